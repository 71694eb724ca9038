/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Replaying: every line of the chunks and of the tail is applied to the memory, in the order in
 * which it was written. The order matters: a record carries the path that it had then, and a
 * later "mvdir" moves it. So a chunk cannot be rewritten alone with today's paths (the later
 * line, perhaps in another chunk, would move them a second time), nor lose its "mvdir" lines
 * while an earlier chunk has records for them. Chunks are either copied as they are, or all
 * rewritten at once (manifest_fold.c).
 */
#include "lib/manifest_load.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The directory of this path: the last one again, mostly. NULL: it is not in the memory. */
static struct dir *find_dir(const struct load *l, const char *path)
{
	if (l->last && strcmp(l->last->path, path) == 0)
		return l->last;
	return manifest_mem_dir(&l->m->mem, path);
}

/* n is used or freed. */
static int replay_sealed(struct load *l, struct node *n, const char *dir)
{
	struct memory *mem = &l->m->mem;
	struct node *old = NULL;
	struct dir *d;

	/* Most records are of a file that is newer than all before: no look-up. */
	if (n->id <= l->highest_id)
		old = manifest_mem_find(mem, n->id, n->part);
	l->highest_id = MAX(l->highest_id, n->id);
	if (old && old->removed) {
		manifest_node_free(mem, n);
		return manifest_load_damaged(l, "a segment that was removed comes back");
	}
	mem->live += !old;
	d = find_dir(l, dir);
	if (d && !old) {
		manifest_mem_add(mem, n, d);
		l->last = d;
		return 0;
	}
	n->dir = d ? d : manifest_mem_new_dir(dir);
	if (!n->dir) {
		mem->live -= !old;
		manifest_node_free(mem, n);
		return manifest_load_failed(l, -ENOMEM);
	}
	manifest_mem_insert(mem, n, old);
	l->last = n->dir;
	return 0;
}

static int replay_record(struct load *l, const struct record *r, const char *plain)
{
	struct node *n = manifest_node_new(&r->sealed, plain);

	return n ? replay_sealed(l, n, r->dir) : manifest_load_failed(l, -ENOMEM);
}

/* A removal whose record was forgotten in a rewrite: the object's name makes a plain name. */
static int replay_lone_rm(struct load *l, const struct record *r)
{
	char plain[NAME_BYTES + 1], object[NAME_BYTES + 1];
	const char *suffix = l->m->suffix;
	size_t stem;
	uint32_t part;
	int err;

	if (!name_parse_sealed(r->name, suffix, &stem, &part))
		return manifest_load_damaged(l, "the path is not an object's");
	snprintf(plain, sizeof(plain), "%.*s%s", (int)stem, r->name, suffix);
	if (name_sealed(plain, part, suffix, object) != 0 || strcmp(object, r->name) != 0)
		return manifest_load_damaged(l, "the path is not an object's");
	err = replay_record(l, r, plain);
	if (err)
		return err;
	l->m->mem.live--;
	manifest_mem_find(&l->m->mem, r->sealed.id, r->sealed.part)->removed = true;
	return 0;
}

static int replay_rm(struct load *l, const struct record *r)
{
	struct node *n = manifest_mem_find(&l->m->mem, r->sealed.id, r->sealed.part);

	if (!n)
		return replay_lone_rm(l, r);
	if (n->removed)
		return manifest_load_damaged(l, "a segment is removed twice");
	/* Recovery deletes by this hash. */
	if (memcmp(n->sha256, r->sealed.sha256, SHA256_BYTES) != 0)
		return manifest_load_damaged(l,
					     "a removal is of another object than its record");
	n->removed = true;
	n->seq = r->sealed.seq;
	l->m->mem.live--;
	return 0;
}

static int replay_mvdir(struct load *l, const struct record *r)
{
	struct memory *mem = &l->m->mem;

	l->last = NULL;
	for (struct dir *d = mem->dirs; d; d = d->hh.next) {
		bool no_memory;

		d->next_path = manifest_mem_moved(d->path, r->from, r->to, &no_memory);
		if (no_memory)
			return manifest_load_failed(l, -ENOMEM);
		if (d->next_path && strlen(d->next_path) > RECORD_PATH_BYTES)
			return manifest_load_damaged(l, "the renamed path is too long");
	}
	manifest_mem_move(mem);
	return 0;
}

static int replay_intent(struct load *l, const struct record *r)
{
	int err =
	    manifest_intents_add(&l->m->intents, r->sealed.seq, r->sealed.id, r->from, r->to);

	return err ? manifest_load_failed(l, err) : 0;
}

static int replay_done(struct load *l, const struct record *r)
{
	if (!manifest_intents_has(&l->m->intents, r->intent))
		return manifest_load_damaged(l, "what is done was never begun");
	manifest_intents_drop(&l->m->intents, r->intent);
	return 0;
}

static int check_numbers(struct load *l, uint64_t seq, uint64_t id)
{
	if (seq <= l->last_seq)
		return manifest_load_damaged(l, "seq does not rise");
	if (seq >= l->header->next_seq)
		return manifest_load_damaged(l, "seq is above the header's");
	if (id >= l->header->next_id)
		return manifest_load_damaged(l, "the file id is above the header's");
	l->last_seq = seq;
	return 0;
}

int manifest_load_replay_node(struct load *l, struct node *n, const char *dir)
{
	int err = check_numbers(l, n->seq, n->id);

	if (!err)
		return replay_sealed(l, n, dir);
	manifest_node_free(&l->m->mem, n);
	return err;
}

int manifest_load_replay(struct load *l, const struct record *r)
{
	int err = check_numbers(l, r->sealed.seq, r->sealed.id);

	if (err)
		return err;
	switch (r->op) {
	case RECORD_SEALED:
		return replay_record(l, r, r->name);
	case RECORD_RM:
		return replay_rm(l, r);
	case RECORD_MVDIR:
		return replay_mvdir(l, r);
	case RECORD_INTENT:
		return replay_intent(l, r);
	case RECORD_DONE:
		return replay_done(l, r);
	}
	return manifest_load_damaged(l, "the line is of no known kind");
}
