/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The overlay: the changes of a group of commits, beside the base. A slot holds what becomes of
 * one record; each change of a slot is noted in a log, so that the member in hand can be taken
 * back without a trace when its function fails or declines. Renamed directories are a list: a
 * record's path is what it was when it came in, with every later move applied to it. Moves are
 * rare and groups are short, so nothing is indexed.
 */
#include "lib/manifest_impl.h"

#include <errno.h>
#include <string.h>

static int fail(struct manifest_txn *txn, int err)
{
	if (!txn->error)
		txn->error = err;
	return txn->error;
}

/* Count a line that was appended to the buffer, and with it its seq. */
static int line_added(struct manifest_txn *txn)
{
	struct overlay *o = txn->overlay;

	if (o->lines.failed)
		return fail(txn, -ENOMEM);
	if (o->at.next_seq == UINT64_MAX)
		return fail(txn, -EOVERFLOW);
	o->at.next_seq++;
	o->at.line_count++;
	o->at.line_bytes = o->lines.len;
	return 0;
}

static struct slot *need_slot(struct overlay *o, uint64_t id, uint32_t part)
{
	struct slot *s = manifest_overlay_find(o, id, part);

	if (s)
		return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->id = id;
	s->part = part;
	HASH_ADD_KEYPTR(hh, o->slots, &s->id, SLOT_KEY_BYTES, s);
	if (s->hh.tbl)
		return s;
	free(s);
	return NULL;
}

/* Change a slot, noting what it was. On failure nothing has changed. */
static int set_slot(struct overlay *o, struct slot *s, const struct slot_state *state)
{
	if (o->undo_count == o->undo_size) {
		size_t size = o->undo_size ? 2 * o->undo_size : 8;
		struct undo *undo = realloc(o->undo, size * sizeof(*undo));

		if (!undo)
			return -ENOMEM;
		o->undo = undo;
		o->undo_size = size;
	}
	o->undo[o->undo_count++] = (struct undo){.slot = s, .before = s->state};
	s->state = *state;
	return 0;
}

/* How a transaction sees one record. */
struct view {
	const struct node *node; /* NULL: there was never one */
	bool removed;
	size_t moves; /* these and later moves concern its directory */
	uint64_t seq;
};

static struct view view_of(const struct manifest_txn *txn, uint64_t id, uint32_t part)
{
	const struct node *n = manifest_mem_find(&txn->m->mem, id, part);
	const struct slot *s = manifest_overlay_find(txn->overlay, id, part);
	struct view v = {.node = n, .removed = n && n->removed};

	if (s && s->state.node) {
		v.node = s->state.node;
		v.moves = s->state.moves;
	}
	if (s && (s->state.node || s->state.removed_seq))
		v.removed = s->state.removed_seq != 0;
	return v;
}

static bool is_in_dir(const struct overlay *o, const struct view *v, const char *dir)
{
	char *moved;
	const char *path = manifest_overlay_move_path(o, v->moves, v->node->dir->path, &moved);
	bool same = path && strcmp(path, dir) == 0;

	free(moved);
	return same;
}

/* A new node with a directory of its own. */
static struct node *new_node(const struct sealed *s, const char *dir, const char *plain)
{
	struct node *n = manifest_node_new(s, plain);

	if (!n)
		return NULL;
	n->dir = manifest_mem_new_dir(dir);
	if (n->dir)
		return n;
	free(n);
	return NULL;
}

/* An id that came from elsewhere (a rebuilt manifest) is never handed out again, and is below
 * the header's mark. It does no harm if this commit fails. */
static void used_id(struct manifest_txn *txn, uint64_t id)
{
	txn->m->id_next = MAX(txn->m->id_next, id + 1);
}

static int put_node(struct manifest_txn *txn, struct node *n, bool was_live)
{
	struct overlay *o = txn->overlay;
	struct slot_state state = {.node = n, .moves = o->at.move_count};
	struct slot *s = need_slot(o, n->id, n->part);

	if (!s || set_slot(o, s, &state) != 0) {
		manifest_overlay_free_node(n);
		return fail(txn, -ENOMEM);
	}
	manifest_node_encode(&o->lines, n, n->dir->path, txn->m->suffix);
	o->at.live_delta += !was_live;
	used_id(txn, n->id);
	return line_added(txn);
}

int manifest_put(struct manifest_txn *txn, struct sealed *s, const char *dir, const char *plain)
{
	struct overlay *o = txn->overlay;
	struct view v;
	struct node *n;

	if (txn->error)
		return txn->error;
	if (record_check_sealed(s, dir, plain, txn->m->suffix))
		return fail(txn, -EINVAL);
	v = view_of(txn, s->id, s->part);
	if (v.node && v.removed)
		return fail(txn, -EINVAL);
	n = new_node(s, dir, plain);
	if (!n)
		return fail(txn, -ENOMEM);
	if (v.node && manifest_node_same(v.node, n) && is_in_dir(o, &v, dir)) {
		s->seq = v.node->seq;
		manifest_overlay_free_node(n);
		return 0;
	}
	n->seq = s->seq = o->at.next_seq;
	return put_node(txn, n, v.node != NULL);
}

int manifest_remove(struct manifest_txn *txn, uint64_t id, uint32_t part)
{
	struct overlay *o = txn->overlay;
	struct view v = view_of(txn, id, part);
	struct slot_state state;
	struct slot *s;
	const char *dir;
	char *moved;

	if (txn->error)
		return txn->error;
	if (!v.node || v.removed)
		return -ENOENT;
	s = need_slot(o, id, part);
	if (!s)
		return fail(txn, -ENOMEM);
	dir = manifest_overlay_move_path(o, v.moves, v.node->dir->path, &moved);
	if (!dir)
		return fail(txn, -ENOMEM);
	manifest_node_encode_rm(&o->lines, v.node, o->at.next_seq, dir, txn->m->suffix);
	free(moved);
	state = s->state;
	state.removed_seq = o->at.next_seq;
	if (set_slot(o, s, &state) != 0)
		return fail(txn, -ENOMEM);
	o->at.live_delta--;
	return line_added(txn);
}

/* Does a move concern a directory of this path? 1, 0, -EINVAL: its path would be too long. */
static int concerns(const struct overlay *o, size_t first, const char *path, const char *from,
		    const char *to)
{
	char *moved;
	const char *now = manifest_overlay_move_path(o, first, path, &moved);
	size_t len = strlen(from);
	int r;

	if (!now)
		return -ENOMEM;
	r = strncmp(now, from, len) == 0 && (!now[len] || now[len] == '/');
	if (r && strlen(now) - len + strlen(to) > RECORD_PATH_BYTES)
		r = -EINVAL;
	free(moved);
	return r;
}

/* The same for all that is recorded: 1 if it concerns any directory. */
static int concerns_any(const struct manifest_txn *txn, const char *from, const char *to)
{
	const struct overlay *o = txn->overlay;
	int any = 0;

	for (struct dir *d = txn->m->mem.dirs; d; d = d->hh.next) {
		int r = concerns(o, 0, d->path, from, to);

		if (r < 0)
			return r;
		any |= r;
	}
	for (struct slot *s = o->slots; s; s = s->hh.next) {
		int r = 0;

		if (s->state.node)
			r = concerns(o, s->state.moves, s->state.node->dir->path, from, to);
		if (r < 0)
			return r;
		any |= r;
	}
	return any;
}

static int add_move(struct overlay *o, const char *from, const char *to)
{
	struct move move;

	if (o->at.move_count == o->moves_size) {
		size_t size = o->moves_size ? 2 * o->moves_size : 4;
		struct move *moves = realloc(o->moves, size * sizeof(*moves));

		if (!moves)
			return -ENOMEM;
		o->moves = moves;
		o->moves_size = size;
	}
	move.from = strdup(from);
	move.to = strdup(to);
	if (!move.from || !move.to) {
		free(move.from);
		free(move.to);
		return -ENOMEM;
	}
	o->moves[o->at.move_count++] = move;
	return 0;
}

int manifest_move_dir(struct manifest_txn *txn, const char *from, const char *to)
{
	struct overlay *o = txn->overlay;
	int r;

	if (txn->error)
		return txn->error;
	if (!record_move_ok(from, to) || strlen(to) > RECORD_PATH_BYTES)
		return fail(txn, -EINVAL);
	r = concerns_any(txn, from, to);
	if (r == 0)
		return 0;
	if (r > 0)
		r = add_move(o, from, to);
	if (r < 0)
		return fail(txn, r);
	record_encode_mvdir(&o->lines, o->at.next_seq, from, to);
	return line_added(txn);
}

int manifest_intent(struct manifest_txn *txn, uint64_t id, const char *from, const char *to,
		    uint64_t *seq)
{
	struct overlay *o = txn->overlay;

	if (txn->error)
		return txn->error;
	if (!record_move_ok(from, to) || id == UINT64_MAX)
		return fail(txn, -EINVAL);
	if (manifest_intents_add(&o->intents, o->at.next_seq, id, from, to) != 0)
		return fail(txn, -ENOMEM);
	used_id(txn, id);
	o->at.intent_count++;
	*seq = o->at.next_seq;
	record_encode_intent(&o->lines, *seq, id, from, to);
	return line_added(txn);
}

int manifest_done(struct manifest_txn *txn, uint64_t intent_seq)
{
	struct overlay *o = txn->overlay;

	if (txn->error)
		return txn->error;
	if (manifest_overlay_is_done(o, intent_seq) ||
	    (!manifest_intents_has(&txn->m->intents, intent_seq) &&
	     !manifest_intents_has(&o->intents, intent_seq)))
		return fail(txn, -EINVAL);
	if (o->at.done_count == o->dones_size) {
		size_t size = o->dones_size ? 2 * o->dones_size : 4;
		uint64_t *dones = realloc(o->dones, size * sizeof(*dones));

		if (!dones)
			return fail(txn, -ENOMEM);
		o->dones = dones;
		o->dones_size = size;
	}
	o->dones[o->at.done_count++] = intent_seq;
	record_encode_done(&o->lines, o->at.next_seq, intent_seq);
	return line_added(txn);
}

void manifest_set_clean(struct manifest_txn *txn, bool clean)
{
	txn->overlay->at.clean = clean == txn->m->clean ? -1 : clean;
}

void manifest_overlay_raise_ids(struct manifest_txn *txn, uint64_t mark)
{
	txn->overlay->at.id_mark = mark;
}

bool manifest_txn_get(struct manifest_txn *txn, uint64_t id, uint32_t part, struct sealed *out)
{
	struct view v = view_of(txn, id, part);

	if (!v.node || v.removed)
		return false;
	manifest_node_facts(v.node, out);
	return true;
}
