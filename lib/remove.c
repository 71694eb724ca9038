/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Removing. The order for sealed bytes: the manifest forgets them, durably; then the objects
 * go; then the raw file. A crash in between leaves objects that the manifest names as removed,
 * and recovery finishes the work.
 */
#include <fcntl.h>
#include <stdio.h>

#include "lib/barrier.h"
#include "lib/catalog.h"
#include "lib/cut.h"
#include "lib/dirfd.h"
#include "lib/events.h"
#include "lib/file.h"
#include "lib/import.h"
#include "lib/io.h"
#include "lib/lazy.h"
#include "lib/leftover.h"
#include "lib/log.h"
#include "lib/notify.h"
#include "lib/object.h"
#include "lib/permit.h"
#include "lib/plain.h"
#include "lib/raw.h"
#include "lib/remove_impl.h"
#include "lib/segment.h"
#include "lib/tree.h"

bool may_delete(const struct store *s, const char *plain)
{
	return s->options.allow_delete || globs_match(&s->deletable, plain);
}

/* ---- files ---- */

struct removal {
	struct file *file;
	uint32_t *numbers;
	uint32_t count;
	uint64_t unsealed;	/* bytes that were cut, and in no part yet */
	struct sealed *indexed; /* the records of those parts that may have an index */
	uint32_t indexed_count;
};

static int remove_records(struct manifest_txn *txn, void *ctx)
{
	struct removal *r = ctx;

	for (uint32_t i = 0; i < r->count; i++) {
		int err = manifest_remove(txn, r->file->id, r->numbers[i]);

		if (err && err != -ENOENT)
			return err;
	}
	return 0;
}

static void cancel_locked(struct file *f)
{
	struct segment *seg;

	DL_FOREACH (f->segments, seg)
		seg->cancelled = true;
}

/* Without memory its index stays, which is no harm. */
static void note_index_locked(struct store *s, struct removal *r, const struct part *part)
    REQUIRES(s->lock)
{
	size_t size = (r->indexed_count + 1) * sizeof(*r->indexed);
	struct sealed *grown = realloc(r->indexed, size);

	if (!grown)
		return;
	r->indexed = grown;
	if (manifest_get(s->manifest, r->file->id, part->number, &grown[r->indexed_count]))
		r->indexed_count++;
}

/* Which parts go; and no segment of the file is sealed any more if all do. */
static int plan_locked(struct store *s, struct removal *r) REQUIRES(s->lock)
{
	struct file *f = r->file;

	r->numbers = calloc(f->part_count ? f->part_count : 1, sizeof(*r->numbers));
	if (!r->numbers)
		return -ENOMEM;
	for (uint32_t i = 0; i < f->part_count; i++) {
		r->numbers[r->count++] = f->parts[i].number;
		if (object_has_index(f->parts[i].codec, f->parts[i].raw_bytes))
			note_index_locked(s, r, &f->parts[i]);
	}
	if (f->cut_end > f->sealed_end)
		r->unsealed = f->cut_end - f->sealed_end;
	cancel_locked(f);
	return 0;
}

/* Whoever has the file open goes on reading: keep the object open for them (L23). */
static void pin_part(struct store *s, struct file *f, uint32_t number)
{
	int fd = plain_open_part(s, f, number);
	int i;

	if (fd < 0)
		return;
	lock_take(&s->lock);
	i = part_by_number(f, number);
	if (i >= 0 && f->parts[i].pinned_fd < 0) {
		f->parts[i].pinned_fd = fd;
		fd = -1;
	}
	lock_drop(&s->lock);
	if (fd >= 0)
		close(fd);
}

/* The raw file, too: a handle that was opened when there was none has it by its name only. */
static void pin_raw(struct store *s, struct file *f)
{
	struct raw *raw = NULL;

	lock_take(&s->lock);
	gate_enter_locked(s, f);
	lock_drop(&s->lock);
	if (f->raw_present && !f->raw_pinned && raw_get(s, f, &raw) != 0)
		raw = NULL; /* those who have it open have it still */
	lock_take(&s->lock);
	f->raw_pinned = f->raw_pinned || raw;
	gate_leave_locked(s, f);
	lock_drop(&s->lock);
}

static void unpin_raw(struct store *s, struct file *f)
{
	struct raw *raw = NULL;

	lock_take(&s->lock);
	if (f->raw_pinned && f->n.linked)
		raw = f->raw;
	f->raw_pinned = f->raw_pinned && !raw;
	lock_drop(&s->lock);
	raw_put(s, f, raw);
}

static int unlink_objects(struct store *s, const struct removal *r)
{
	struct file *f = r->file;
	int dfd = dirfd_get(s, f->n.dir);
	int err = dfd < 0 ? dfd : 0;

	for (uint32_t i = 0; i < r->count; i++) {
		char name[NAME_BYTES + 1];
		int e;

		name_sealed(f->n.name, r->numbers[i], store_suffix(s), name);
		e = leftover_unlink(s, f->n.dir, dfd, name);
		if (e && e != -ENOENT && !err)
			err = e;
	}
	if (dfd >= 0)
		dirfd_put(s, f->n.dir);
	return err;
}

static int unlink_raw(struct store *s, struct file *f)
{
	struct raw_place place;
	int dfd, err;

	raw_place_init(&place, f->n.dir, f->n.name, f->id, f->import);
	dfd = raw_place_get(s, &place);
	err = dfd < 0 ? dfd : io_unlink(dfd, place.name, 0);
	if (dfd >= 0)
		raw_place_put(s, &place);
	if (!err && f->import)
		dirfd_changed(s, f->n.dir);
	return err == -ENOENT ? 0 : err;
}

static void tell(struct store *s, const char *path, const struct removal *r)
{
	char more[128], unsealed[80] = "";

	if (r->unsealed)
		snprintf(unsealed, sizeof(unsealed), ", and %llu bytes that were to be sealed",
			 (unsigned long long)r->unsealed);
	snprintf(more, sizeof(more), ",\"id\":%llu,\"parts\":%u,\"unsealed\":%llu",
		 (unsigned long long)r->file->id, (unsigned)r->count,
		 (unsigned long long)r->unsealed);
	log_notice("%s: removed, with %u sealed part%s%s", path, (unsigned)r->count,
		   r->count == 1 ? "" : "s", unsealed);
	events_add(s->events, "remove", manifest_last_seq(s->manifest), path, more);
}

static void forget_locked(struct store *s, const struct removal *r) REQUIRES(s->lock)
{
	struct file *f = r->file;
	struct dir *d = f->n.dir;

	dirfd_touch_locked(d);
	timer_disarm_locked(s, f);
	lazy_unmark_locked(s, f);
	cancel_locked(f); /* what was cut since, too */
	catalog_unlink_locked(s, &f->n);
	active_update_locked(s, f);
}

/* Whichever name it was asked for by, the kernel may remember the others. */
static void notify(struct store *s, struct dir *d, const char *plain, const struct removal *r)
{
	notify_name(s, d, plain);
	notify_objects(s, d, plain, r->numbers, r->count);
}

/* name: the file goes; else its sealed bytes do, and the caller gives its name to another. */
static int take_away(struct store *s, struct file *f, bool name)
{
	struct removal r = {.file = f};
	struct dir *d = f->n.dir;
	char plain[NAME_BYTES + 1];
	CLEANUP_BUF struct buf path = {0};
	bool pin;
	int err;

	lock_take(&s->lock);
	node_ref_locked(&d->n);
	snprintf(plain, sizeof(plain), "%s", f->n.name);
	err = plan_locked(s, &r);
	catalog_path_locked(s, &f->n, 0, &path);
	pin = f->opens > 0;
	lock_drop(&s->lock);

	for (uint32_t i = 0; pin && !err && i < r.count; i++)
		pin_part(s, f, r.numbers[i]);
	if (pin && !err)
		pin_raw(s, f);
	if (!err && r.count)
		err = manifest_commit(s->manifest, remove_records, &r);
	if (!err) {
		err = unlink_objects(s, &r);
		if (!err && name)
			err = unlink_raw(s, f);
		/* What is left in the store after an error, recovery removes: the manifest says
		 * so. */
		if (!err || r.count) {
			lock_take(&s->lock);
			if (name)
				forget_locked(s, &r);
			lock_drop(&s->lock);
			notify(s, d, plain, &r);
			for (uint32_t i = 0; i < r.indexed_count; i++)
				object_forget_index(s->indexfd, &r.indexed[i]);
			if (r.count || r.unsealed)
				tell(s, path.data ? path.data : "", &r);
		}
	}
	unpin_raw(s, f); /* it was not removed */
	free(r.numbers);
	free(r.indexed);
	node_unref(s, &d->n, 1);
	barrier_check(s);
	return err;
}

int remove_file(struct store *s, struct file *f)
{
	return take_away(s, f, true);
}

int remove_sealed(struct store *s, struct file *f)
{
	int err = take_away(s, f, false);

	/* The manifest has forgotten it: what could not be unlinked, recovery removes. */
	return f->part_count &&
		       manifest_get(s->manifest, f->id, f->parts[0].number, &(struct sealed){0})
		   ? err
		   : 0;
}

static bool has_sealed_bytes(const struct file *f)
{
	return f->part_count > 0 || f->segments || f->cut_end > 0;
}

/* What to say of a removal that is refused; NULL: it is not. *first: it is of the first part of
 * several. A file with a hole would have neither its size nor its content. */
static const char *refusal_locked(struct store *s, const struct file *f, uint32_t part,
				  bool always, bool *first) REQUIRES(s->lock)
{
	bool several = part && (f->part_count > 1 || file_unsealed(f));

	*first = several && f->part_count > 1 && part == f->parts[0].number;
	if (!always && has_sealed_bytes(f) && !may_delete(s, f->n.name))
		return "removing a sealed file is refused; notepackctl rm removes it, and the "
		       "option allow_delete=GLOB permits it";
	if (several && !*first)
		return "removing one of its parts is refused; remove the plain name: all "
		       "parts go with it";
	return NULL;
}

static int unlink_file(struct store *s, struct caller *c, struct file *f, uint32_t part,
		       bool always)
{
	CLEANUP_BUF struct buf path = {0};
	const char *refusal = NULL;
	int err = -ENOENT;
	bool first;

	lock_take(&s->lock);
	if (f->n.linked) {
		refusal = refusal_locked(s, f, part, always, &first);
		err = refusal ? -EPERM : node_take_locked(s, &f->n, BUSY_HELD, c);
	}
	if (refusal)
		catalog_path_locked(s, &f->n, 0, &path);
	lock_drop(&s->lock);
	if (refusal)
		log_notice("%s: %s", path.data ? path.data : "", refusal);
	if (err)
		return err;
	err = first ? remove_first_part(s, f) : remove_file(s, f);
	if (err == -EBUSY)
		log_notice(
		    "%s: removing its first part is refused while someone has it open, or "
		    "more of it is being sealed; try again, or remove the plain name",
		    f->n.name);
	node_give(s, &f->n);
	return err;
}

/* ---- directories and links ---- */

static int remove_other(struct store *s, struct caller *c, struct node *n, int flags)
{
	struct dir *d;
	int err, dfd;

	lock_take(&s->lock);
	err = n->linked ? node_take_locked(s, n, BUSY_NAME, c) : -ENOENT;
	d = n->dir;
	if (!err)
		node_ref_locked(&d->n);
	lock_drop(&s->lock);
	if (err)
		return err;
	dfd = dirfd_get(s, d);
	err = dfd < 0 ? dfd : io_unlink(dfd, n->name, flags);
	if (dfd >= 0)
		dirfd_put(s, d);
	lock_take(&s->lock);
	if (!err) {
		dirfd_touch_locked(d);
		catalog_unlink_locked(s, n);
	}
	node_unref_locked(s, &d->n, 1);
	struct waiter *w = node_give_locked(s, n);

	lock_drop(&s->lock);
	waiters_wake(w);
	return err;
}

/* The node of a name, referenced; part as in struct found. */
static int find(struct store *s, struct node *dir, const char *name, struct found *out)
{
	struct dir *d;
	int err = s->options.read_only ? -EROFS : enter_dir(s, dir, &d);

	if (err)
		return err;
	if (strlen(name) > NAME_BYTES)
		return -ENAMETOOLONG;
	lock_take(&s->lock);
	catalog_find_locked(s, d, name, out);
	if (out->node)
		node_ref_locked(out->node);
	lock_drop(&s->lock);
	return out->node ? 0 : -ENOENT;
}

int store_unlink(struct store *s, struct caller *c, struct node *dir, const char *name)
{
	struct found found;
	int err = find(s, dir, name, &found);

	if (err)
		return err;
	if (found.node->kind == NODE_DIR)
		err = -EISDIR;
	else if (found.node->kind == NODE_LINK)
		err = remove_other(s, c, found.node, 0);
	else
		err = unlink_file(s, c, to_file(found.node), found.part, false);
	node_unref(s, found.node, 1);
	return err;
}

int store_rmdir(struct store *s, struct caller *c, struct node *dir, const char *name)
{
	struct found found;
	int err = find(s, dir, name, &found);

	if (err)
		return err;
	/* The store knows best whether it is empty: it has every entry of ours, and any other;
	 * but imports lie elsewhere. */
	lock_take(&s->lock);
	if (found.node->kind != NODE_DIR)
		err = -ENOTDIR;
	else if (import_is_within_locked(s, to_dir(found.node)))
		err = -ENOTEMPTY;
	lock_drop(&s->lock);
	if (!err)
		err = remove_other(s, c, found.node, AT_REMOVEDIR);
	node_unref(s, found.node, 1);
	return err;
}

/* As unlink(2) would say. */
static int may_unlink(struct store *s, const struct caller *c, struct node *n,
		      const struct stat *st)
{
	struct node *dir = NULL;
	struct stat dir_st;
	int err = -ENOENT;

	lock_take(&s->lock);
	if (n->linked) {
		dir = &n->dir->n;
		node_ref_locked(dir);
	}
	lock_drop(&s->lock);
	if (dir) {
		err = store_getattr(s, dir, &dir_st);
		node_unref(s, dir, 1);
	}
	return err ? err : permit_unlink(c, &dir_st, st);
}

int store_remove(struct store *s, struct caller *c, const char *path)
{
	struct node *n, *file;
	struct stat st;
	int err = s->options.read_only ? -EROFS : store_resolve(s, c, path, &n);

	if (err)
		return err;
	file = n->kind == NODE_OBJECT ? &((struct object *)n)->file->n : n;
	err = n->kind == NODE_DIR ? -EISDIR : n->kind == NODE_LINK ? -ELOOP : 0;
	if (!err)
		err = store_getattr(s, file, &st);
	if (!err && !permit_is_trusted(c))
		err = c->uid != st.st_uid ? -EPERM : may_unlink(s, c, file, &st);
	if (!err)
		err = unlink_file(s, c, to_file(file),
				  n->kind == NODE_OBJECT ? ((struct object *)n)->number : 0,
				  true);
	node_unref(s, n, 1);
	return err;
}
