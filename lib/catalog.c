/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two hashes a directory: files by stem, since every question about a file's names (plain, of
 * its parts, colliding spellings) starts from the stem; directories and links by name.
 */
#include "lib/catalog.h"

#include <assert.h>
#include <stdio.h>

struct file *catalog_new_file(uint64_t id)
{
	struct file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->n.kind = NODE_FILE;
	f->n.refs = 1;
	f->id = id;
	f->next_part = 1;
	return f;
}

struct dir *catalog_new_dir(uint64_t ino)
{
	struct dir *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->n.kind = NODE_DIR;
	d->n.refs = 1;
	d->ino = ino;
	d->fd = -1;
	d->next_cookie = 3;
	d->changes = 1;
	return d;
}

struct link *catalog_new_link(uint64_t ino)
{
	struct link *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->n.kind = NODE_LINK;
	l->n.refs = 1;
	l->ino = ino;
	return l;
}

static void free_node_locked(struct store *s, struct node *n) REQUIRES(s->lock)
{
	if (n->kind == NODE_OBJECT) {
		struct object *o = (struct object *)n;
		int i = part_by_number(o->file, o->number);

		if (i >= 0 && o->file->parts[i].object == o)
			o->file->parts[i].object = NULL;
		node_unref_locked(s, &o->file->n, 1);
	} else if (n->kind == NODE_FILE) {
		struct file *f = to_file(n);

		for (uint32_t i = 0; i < f->part_count; i++) {
			if (f->parts[i].pinned_fd >= 0)
				close(f->parts[i].pinned_fd);
		}
		free(f->parts);
		free(f->reason);
		if (f->in_imports)
			DL_DELETE2(s->imports, f, imports_prev, imports_next);
		if (f->raw_pinned) {
			close(f->raw->fd);
			free(f->raw);
		}
	} else if (n->kind == NODE_DIR) {
		struct dir *d = to_dir(n);

		if (d->fd >= 0) {
			DL_DELETE2(s->fd_list, d, fd_prev, fd_next);
			s->fd_count--;
			close(d->fd);
		}
		free(d->slots);
	}
	free(n->name);
	free(n);
}

void node_ref_locked(struct node *n)
{
	n->refs++;
}

void node_unref_locked(struct store *s, struct node *n, uint64_t count)
{
	assert(n->refs >= count);
	n->refs -= count;
	if (n->refs == 0 && !n->linked && n != &s->tree && n != &s->root->n)
		free_node_locked(s, n);
}

/* ---- names ---- */

/* In store.imports while it has a name, and is an import or a refused one; and when it is
 * settled, until the kernel forgets it. */
static void imports_update_locked(struct store *s, struct file *f) REQUIRES(s->lock)
{
	bool named = f->n.linked && (f->import || name_is_refused(f->n.name, store_suffix(s)));
	bool want = named || f->settled;

	if (want == f->in_imports)
		return;
	f->in_imports = want;
	if (want)
		DL_APPEND2(s->imports, f, imports_prev, imports_next);
	else
		DL_DELETE2(s->imports, f, imports_prev, imports_next);
}

int catalog_link_locked(struct store *s, struct dir *d, struct node *n, const char *name)
{
	char *copy = strdup(name);
	int err = 0;

	if (!copy)
		return -ENOMEM;
	free(n->name);
	n->name = copy;
	n->dir = d;
	n->linked = true;
	if (n->kind == NODE_FILE)
		HASH_ADD_KEYPTR(hh, d->files, n->name, name_stem_len(n->name, store_suffix(s)),
				n);
	else
		HASH_ADD_KEYPTR(hh, d->others, n->name, strlen(n->name), n);
	if (!n->hh.tbl) {
		n->linked = false;
		n->dir = NULL;
		return -ENOMEM;
	}
	err = n->kind == NODE_FILE ? catalog_list_locked(s, to_file(n))
				   : catalog_slot_add(d, n, 0, &n->cookie);
	if (err)
		catalog_unlink_locked(s, n);
	else if (n->kind == NODE_FILE)
		imports_update_locked(s, to_file(n));
	return err;
}

int catalog_respell_locked(struct store *s, struct node *n, const char *name)
{
	char *copy = strdup(name);

	if (!copy)
		return -ENOMEM;
	HASH_DEL(n->dir->files, n);
	free(n->name);
	n->name = copy;
	n->dir->changes++;
	HASH_ADD_KEYPTR(hh, n->dir->files, n->name, name_stem_len(n->name, store_suffix(s)), n);
	return n->hh.tbl ? 0 : -ENOMEM;
}

void catalog_unlink_locked(struct store *s, struct node *n)
{
	struct dir *d = n->dir;

	if (!n->linked)
		return;
	if (n->kind == NODE_FILE) {
		struct file *f = to_file(n);

		HASH_DEL(d->files, n);
		for (uint32_t i = 0; i < f->part_count; i++)
			catalog_slot_remove(d, &f->parts[i].cookie);
	} else {
		HASH_DEL(d->others, n);
	}
	catalog_slot_remove(d, &n->cookie);
	n->linked = false;
	n->dir = NULL;
	if (n->kind == NODE_FILE)
		imports_update_locked(s, to_file(n));
	if (n->refs == 0)
		free_node_locked(s, n);
}

void catalog_replace_locked(struct store *s, struct file *f, struct file *heir)
{
	struct dir *d = f->n.dir;

	catalog_hand_over_locked(d, f, heir);
	HASH_DEL(d->files, &f->n);
	heir->n.name = f->n.name;
	heir->n.dir = d;
	heir->n.linked = true;
	HASH_ADD_KEYPTR(hh, d->files, heir->n.name,
			name_stem_len(heir->n.name, store_suffix(s)), &heir->n);
	f->n.name = NULL;
	f->n.dir = NULL;
	f->n.linked = false;
	f->settled = true;
	imports_update_locked(s, f);
}

struct file *catalog_find_stem_locked(struct store *s, struct dir *d, const char *plain)
{
	struct node *n;

	HASH_FIND(hh, d->files, plain, name_stem_len(plain, store_suffix(s)), n);
	return n ? to_file(n) : NULL;
}

struct file *catalog_find_rival_locked(struct store *s, struct dir *d, const char *name,
				       bool import)
{
	struct file *f = catalog_find_stem_locked(s, d, name);
	char sealed[NAME_BYTES + 1];
	struct node *n = NULL;
	size_t stem;
	uint32_t part;

	if (f)
		return f;
	if (import && name_parse_sealed(name, store_suffix(s), &stem, &part)) {
		HASH_FIND(hh, d->files, name, stem, n);
	} else if (!import && name_sealed(name, 1, store_suffix(s), sealed) == 0) {
		HASH_FIND(hh, d->files, sealed, strlen(sealed), n);
		n = n && to_file(n)->import ? n : NULL;
	}
	return n ? to_file(n) : NULL;
}

static struct file *find_object(struct store *s, struct dir *d, const char *name,
				uint32_t *part)
{
	struct node *n;
	size_t stem;

	if (!name_parse_sealed(name, store_suffix(s), &stem, part))
		return NULL;
	HASH_FIND(hh, d->files, name, stem, n);
	return n && part_by_number(to_file(n), *part) >= 0 ? to_file(n) : NULL;
}

void catalog_find_locked(struct store *s, struct dir *d, const char *name, struct found *out)
{
	struct file *f;

	memset(out, 0, sizeof(*out));
	HASH_FIND(hh, d->others, name, strlen(name), out->node);
	if (out->node)
		return;
	f = find_object(s, d, name, &out->part);
	if (f) {
		out->node = &f->n;
		return;
	}
	out->part = 0;
	f = catalog_find_stem_locked(s, d, name);
	if (f && strcmp(f->n.name, name) == 0)
		out->node = &f->n;
}

void catalog_path_locked(struct store *s, const struct node *n, uint32_t part, struct buf *out)
{
	const struct node *chain[64];
	const struct node *p = n;
	size_t depth = 0;

	if (n == &s->root->n)
		return;
	while (p != &s->root->n && depth < ARRAY_LEN(chain)) {
		chain[depth++] = p;
		p = &p->dir->n;
	}
	if (p != &s->root->n) { /* deeper than the array: go up the slow way */
		catalog_path_locked(s, p, 0, out);
		buf_add(out, "/", 1);
	}
	while (depth-- > 0) {
		char sealed[NAME_BYTES + 1];

		if (depth == 0 && part &&
		    name_sealed(n->name, part, store_suffix(s), sealed) == 0)
			buf_str(out, sealed);
		else
			buf_str(out, chain[depth]->name);
		if (depth > 0)
			buf_add(out, "/", 1);
	}
}

bool catalog_excluded_locked(struct store *s, const struct dir *d, const char *name)
{
	if (globs_match(&s->exclude, name) || name_is_unsealable(name, store_suffix(s)))
		return true;
	for (; d != s->root; d = d->n.dir) {
		if (globs_match(&s->exclude, d->n.name))
			return true;
	}
	return false;
}

bool catalog_is_import_locked(struct store *s, const struct dir *d, const char *name)
{
	return name_has_sealed_suffix(name, store_suffix(s)) &&
	       !catalog_excluded_locked(s, d, name);
}

/* ---- parts ---- */

int part_by_number(const struct file *f, uint32_t number)
{
	uint32_t low = 0, high = f->part_count;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (f->parts[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low < f->part_count && f->parts[low].number == number ? (int)low : -1;
}

int part_by_offset(const struct file *f, uint64_t offset)
{
	uint32_t low = 0, high = f->part_count;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (f->parts[mid].offset + f->parts[mid].raw_bytes <= offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low < f->part_count && f->parts[low].offset <= offset ? (int)low : -1;
}

struct object *catalog_object_locked(struct store *s, struct file *f, uint32_t number)
{
	int i = part_by_number(f, number);
	struct object *o;

	if (i < 0)
		return NULL;
	o = f->parts[i].object;
	if (o) {
		o->n.refs++;
		return o;
	}
	o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	o->n.kind = NODE_OBJECT;
	o->n.refs = 1;
	o->file = f;
	o->number = number;
	f->n.refs++;
	f->parts[i].object = o;
	return o;
}

int catalog_add_part_locked(struct store *s, struct file *f, const struct sealed *rec)
{
	uint32_t at = f->part_count;
	struct part *parts = realloc(f->parts, (f->part_count + 1) * sizeof(*parts));

	if (!parts)
		return -ENOMEM;
	f->parts = parts;
	while (at > 0 && parts[at - 1].number > rec->part)
		at--;
	memmove(parts + at + 1, parts + at, (f->part_count - at) * sizeof(*parts));
	parts[at] = (struct part){
	    .number = rec->part,
	    .pinned_fd = -1,
	    .offset = rec->offset,
	    .raw_bytes = rec->raw_bytes,
	    .gz_bytes = rec->gz_bytes,
	    .crc32 = rec->crc32,
	    .codec = rec->codec,
	};
	f->part_count++;
	f->next_part = MAX(f->next_part, rec->part + 1);
	return 0;
}

void catalog_drop_part_locked(struct store *s, struct file *f, uint32_t number)
{
	int i = part_by_number(f, number);

	if (i < 0)
		return;
	if (f->n.linked)
		catalog_slot_remove(f->n.dir, &f->parts[i].cookie);
	if (f->parts[i].pinned_fd >= 0)
		close(f->parts[i].pinned_fd);
	f->part_count--;
	memmove(f->parts + i, f->parts + i + 1,
		(f->part_count - (uint32_t)i) * sizeof(*f->parts));
}

/* Not assert(3): file_check must find what is wrong in a build with NDEBUG, too. */
static void must(bool holds)
{
	if (!holds)
		abort();
}

void file_check(const struct file *f)
{
	uint64_t end = f->base;

	must(f->sealed_end <= f->cut_end && f->cut_end <= f->size);
	must(f->written_end <= f->size || f->written_end == 0);
	for (uint32_t i = 0; i < f->part_count; i++) {
		must(f->parts[i].offset >= end); /* equal, unless parts were removed */
		end = f->parts[i].offset + f->parts[i].raw_bytes;
		must(i == 0 || f->parts[i].number > f->parts[i - 1].number);
	}
	must(end <= f->sealed_end);
	must(f->raw_present || f->size == f->sealed_end);
	if (f->n.linked && f->n.busy == IDLE)
		must((f->n.cookie != 0) == file_is_active(f));
}
