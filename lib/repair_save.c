/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Saving. A record that is as it was keeps its sequence number, so that a consumer who goes on
 * behind the last one it saw meets only what is new. Numbers of doubtful lines may be there
 * twice; then the second is new, too.
 */
#include "lib/repair_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/events.h"
#include "lib/io.h"
#include "lib/layout.h"
#include "lib/quarantine.h"

#define LOG_BYTES ((uint64_t)64 << 20)

/* One record to be saved. */
struct line {
	struct sealed *rec;
	const char *dir, *plain;
	bool removed;
	bool fixed; /* its seq cannot change */
};

struct lines {
	struct line *list;
	size_t count, size;
};

static int add_line(struct lines *l, struct line line)
{
	int err = repair_grow((void **)&l->list, l->count, &l->size, sizeof(*l->list));

	if (!err)
		l->list[l->count++] = line;
	return err;
}

static int add_objects(struct repair *r, struct lines *l)
{
	const char *plain = NULL;
	int err = 0;

	for (size_t i = 0; i < r->count && !err; i++) {
		struct repair_object *o = &r->objects[i];

		if (o->plain)
			plain = o->plain;
		if (o->fate == REPAIR_RECORD)
			err = add_line(l, (struct line){&o->rec, o->dir, plain, false,
							o->old && !o->old->doubtful});
	}
	return err;
}

/* Removals, and records whose object is missing. */
static int add_old(struct repair *r, struct lines *l)
{
	int err = 0;

	for (size_t i = 0; i < r->salvage.count && !err; i++) {
		struct manifest_old *old = &r->salvage.records[i];

		if (!old->taken && !old->doubtful)
			err = add_line(l, (struct line){&old->sealed, old->dir, old->plain,
							old->removed, true});
	}
	return err;
}

/* By seq, those that cannot change first. */
static int by_seq(const void *a, const void *b)
{
	const struct line *x = a, *y = b;

	if (x->rec->seq != y->rec->seq)
		return x->rec->seq < y->rec->seq ? -1 : 1;
	return (int)y->fixed - (int)x->fixed;
}

static bool is_intents(const struct repair *r, uint64_t seq)
{
	const struct manifest_intent *list;
	size_t count = manifest_salvage_intents(&r->salvage, &list);

	for (size_t i = 0; i < count; i++) {
		if (list[i].seq == seq)
			return true;
	}
	return false;
}

static void give_seqs(struct repair *r, struct lines *l)
{
	uint64_t last = 0;

	if (l->count)
		qsort(l->list, l->count, sizeof(*l->list), by_seq);
	for (size_t i = 0; i < l->count; i++) {
		struct sealed *rec = l->list[i].rec;

		if (rec->seq == 0 || rec->seq == last || is_intents(r, rec->seq))
			rec->seq = r->next_seq++;
		else
			last = rec->seq;
	}
}

static int put_lines(struct repair *r, const struct lines *l, struct manifest *m)
{
	const struct manifest_intent *intents;
	size_t count = manifest_salvage_intents(&r->salvage, &intents);
	int err = 0;

	for (size_t i = 0; i < l->count && !err; i++) {
		const struct line *line = &l->list[i];

		err = manifest_rebuild_put(m, line->rec, line->dir, line->plain, line->removed);
		if (err == -EINVAL)
			repair_say(r, REPAIR_DAMAGE, line->dir, line->plain,
				   "a record of it cannot be written");
	}
	for (size_t i = 0; i < count && !err; i++)
		err = manifest_rebuild_intent(m, &intents[i]);
	return err;
}

/* Keep the old one's files, under the first number that is free. */
static int keep_old(struct repair *r)
{
	char *dir = r->counts->old;
	int err = -EEXIST;

	for (unsigned i = 1; err == -EEXIST; i++) {
		snprintf(dir, sizeof(r->counts->old), LAYOUT_QUARANTINE "/manifest.%u", i);
		err = manifest_rebuild_keep(r->storefd, dir);
	}
	if (!err)
		err = io_syncdir(r->storefd, LAYOUT_QUARANTINE);
	if (err)
		snprintf(r->error->text, sizeof(r->error->text), "%s: %s", dir, strerror(-err));
	return err;
}

static int write_new(struct repair *r, const struct lines *l)
{
	struct manifest_new n = {
	    .suffix = r->suffix,
	    .exclude = r->salvage.exclude ? r->salvage.exclude : NAME_DEFAULT_EXCLUDE,
	    .generation = r->salvage.generation,
	    .next_seq = r->next_seq,
	    .next_id = r->next_id,
	};
	struct manifest *m;
	int err = manifest_rebuild_begin(r->storefd, &n, &m);

	if (err)
		return err;
	err = put_lines(r, l, m);
	if (!err)
		err = manifest_rebuild_commit(m);
	manifest_close(m);
	if (err)
		snprintf(r->error->text, sizeof(r->error->text),
			 "the new manifest cannot be written: %s", strerror(-err));
	return err;
}

/* The manifest does not have it; a crash before it is moved leaves it to the next mount. */
static void move_away(struct repair *r, struct events *events, const struct repair_object *o)
{
	CLEANUP_FD int dfd =
	    io_open(r->storefd, *o->dir ? o->dir : ".", O_PATH | O_DIRECTORY, 0);
	CLEANUP_BUF struct buf path = {0};
	char to[QUARANTINE_PATH_BYTES];
	int err = dfd < 0 ? dfd : quarantine_move(r->storefd, dfd, o->name, to);

	r->counts->quarantined += !err;
	if (err) {
		repair_say(r, REPAIR_DAMAGE, o->dir, o->name, "cannot be moved away: %s",
			   strerror(-err));
		return;
	}
	repair_say(r, REPAIR_DAMAGE, o->dir, o->name, "was moved to %s", to);
	buf_printf(&path, "%s%s%s", o->dir, *o->dir ? "/" : "", o->name);
	if (events && !path.failed)
		events_add(events, "recover", r->next_seq - 1, path.data,
			   ",\"what\":\"quarantined\"");
}

static void finish(struct repair *r)
{
	struct events *events = events_open(r->storefd, LOG_BYTES, 0);

	if (events)
		events_add(events, "recover", r->next_seq - 1, LAYOUT_MANIFEST,
			   ",\"what\":\"rebuilt\"");
	for (size_t i = 0; i < r->count; i++) {
		if (r->objects[i].fate == REPAIR_QUARANTINE)
			move_away(r, events, &r->objects[i]);
	}
	events_close(events);
}

int repair_save(struct repair *r)
{
	struct lines l = {0};
	int err = add_objects(r, &l);

	if (!err)
		err = add_old(r, &l);
	if (!err) {
		give_seqs(r, &l);
		err = keep_old(r);
	}
	if (!err)
		err = write_new(r, &l);
	free(l.list);
	if (!err)
		finish(r);
	return err;
}
