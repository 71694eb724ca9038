/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The overlay as a thing: made, taken back to an earlier mark, made a part of the base, freed. What
 * it holds, and how it comes in, is at the head of manifest_txn.c.
 */
#include "lib/manifest_impl.h"

#include <errno.h>
#include <string.h>

void manifest_overlay_init(struct overlay *o, uint64_t next_seq)
{
	memset(o, 0, sizeof(*o));
	o->at.next_seq = next_seq;
	o->at.clean = -1;
}

void manifest_overlay_free_node(struct node *n)
{
	if (!n)
		return;
	manifest_mem_free_dir(n->dir);
	free(n);
}

void manifest_overlay_release(struct overlay *o)
{
	struct slot *s = o->slots;

	HASH_CLEAR(hh, o->slots);
	while (s) {
		struct slot *next = s->hh.next;

		manifest_overlay_free_node(s->state.node);
		free(s);
		s = next;
	}
	for (size_t i = 0; i < o->at.move_count; i++) {
		free(o->moves[i].from);
		free(o->moves[i].to);
	}
	free(o->moves);
	manifest_intents_truncate(&o->intents, 0);
	free(o->dones);
	free(o->undo);
	buf_release(&o->lines);
}

bool manifest_overlay_changed(const struct overlay *o)
{
	return o->at.line_count || o->at.clean >= 0 || o->at.id_mark;
}

void manifest_overlay_accept(struct overlay *o)
{
	/* What a node replaced is freed by the entry that replaced it; a removal keeps its
	 * node, which then stands in the next entry of the slot or in the slot itself. */
	for (size_t i = 0; i < o->undo_count; i++) {
		struct undo *u = &o->undo[i];

		if (u->slot->state.node != u->before.node)
			manifest_overlay_free_node(u->before.node);
	}
	o->undo_count = 0;
}

void manifest_overlay_rollback(struct overlay *o, const struct overlay_mark *since)
{
	while (o->undo_count) {
		struct undo *u = &o->undo[--o->undo_count];

		if (u->slot->state.node != u->before.node)
			manifest_overlay_free_node(u->slot->state.node);
		u->slot->state = u->before;
	}
	while (o->at.move_count > since->move_count) {
		struct move *move = &o->moves[--o->at.move_count];

		free(move->from);
		free(move->to);
	}
	manifest_intents_truncate(&o->intents, since->intent_count);
	o->lines.len = since->line_bytes;
	o->lines.failed = false;
	o->at = *since;
}

struct slot *manifest_overlay_find(const struct overlay *o, uint64_t id, uint32_t part)
{
	struct {
		uint64_t id;
		uint32_t part;
	} key = {.id = id, .part = part};
	struct slot *s;

	HASH_FIND(hh, o->slots, &key, SLOT_KEY_BYTES, s);
	return s;
}

bool manifest_overlay_is_done(const struct overlay *o, uint64_t seq)
{
	for (size_t i = 0; i < o->at.done_count; i++) {
		if (o->dones[i] == seq)
			return true;
	}
	return false;
}

const char *manifest_overlay_move_path(const struct overlay *o, size_t first, const char *path,
				       char **moved)
{
	*moved = NULL;
	for (size_t i = first; i < o->at.move_count; i++) {
		bool failed;
		char *next =
		    manifest_mem_moved(path, o->moves[i].from, o->moves[i].to, &failed);

		if (failed) {
			free(*moved);
			*moved = NULL;
			return NULL;
		}
		if (!next)
			continue;
		free(*moved);
		*moved = next;
		path = next;
	}
	return path;
}

static int plan_dir(struct overlay *o, size_t first, struct dir *d)
{
	return manifest_overlay_move_path(o, first, d->path, &d->next_path) ? 0 : -ENOMEM;
}

int manifest_overlay_plan(struct overlay *o, struct memory *mem)
{
	int err = 0;

	if (!o->at.move_count)
		return 0;
	for (struct dir *d = mem->dirs; d && !err; d = d->hh.next)
		err = plan_dir(o, 0, d);
	for (struct slot *s = o->slots; s && !err; s = s->hh.next) {
		if (s->state.node)
			err = plan_dir(o, s->state.moves, s->state.node->dir);
	}
	if (err)
		manifest_overlay_unplan(o, mem);
	return err;
}

void manifest_overlay_unplan(struct overlay *o, struct memory *mem)
{
	if (!o->at.move_count)
		return;
	for (struct dir *d = mem->dirs; d; d = d->hh.next) {
		free(d->next_path);
		d->next_path = NULL;
	}
}
