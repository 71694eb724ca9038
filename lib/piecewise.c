/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/piecewise.h"

#include <errno.h>
#include <stdio.h>

#include "lib/boundary.h"
#include "lib/early.h"
#include "lib/io.h"
#include "lib/log.h"
#include "lib/raw.h"
#include "lib/seekgz.h"
#include "lib/space.h"
#include "lib/state.h"

#define PIECE_MIN ((uint64_t)4096)

/* Can it be split at all? Its parts need names, and the raw file a mark. */
static bool can_split_locked(struct store *s, const struct segment *seg) REQUIRES(s->lock)
{
	const struct file *f = seg->file;
	char name[NAME_BYTES + 1];

	return s->have_xattrs && f->n.linked && !seg->cancelled && !seg->taken &&
	       !seg->orphan && !seg->renamed && f->next_part <= NAME_PART_MAX &&
	       name_sealed(f->n.name, f->next_part, store_suffix(s), name) == 0;
}

/* At a record's end, if there is one. */
static uint64_t boundary(struct store *s, struct file *f, const char *name, uint64_t from,
			 uint64_t bytes)
{
	struct raw *raw = NULL;
	int64_t to;

	lock_take(&s->lock);
	gate_enter_locked(s, f);
	lock_drop(&s->lock);
	to = raw_get(s, f, &raw);
	if (to == 0)
		to = boundary_find(raw->fd, name, from, from + bytes);
	raw_put(s, f, raw);
	lock_take(&s->lock);
	gate_leave_locked(s, f);
	lock_drop(&s->lock);
	return to > (int64_t)from ? (uint64_t)to - from : bytes;
}

static void shorten(struct store *s, struct segment *seg, uint64_t bytes)
{
	struct file *f = seg->file;
	char name[NAME_BYTES + 1];
	bool split;

	bytes -= bytes % (bytes >= 4 * SEEKGZ_CHUNK_BYTES ? SEEKGZ_CHUNK_BYTES : PIECE_MIN);
	if (bytes < PIECE_MIN)
		return;
	lock_take(&s->lock);
	split = bytes < seg->raw_bytes && can_split_locked(s, seg);
	snprintf(name, sizeof(name), "%s", split ? f->n.name : "");
	lock_drop(&s->lock);
	if (!split)
		return;
	bytes = boundary(s, f, name, seg->offset, bytes);
	lock_take(&s->lock);
	split = can_split_locked(s, seg) && segment_split_locked(s, seg, bytes);
	if (split)
		f->piecewise = true;
	lock_drop(&s->lock);
	if (split)
		log_notice(
		    "%s: the store has less room than it may need: it is sealed in several "
		    "parts",
		    name);
}

void piecewise_fit(struct store *s, struct segment *seg)
{
	uint64_t room = seg->raw_bytes > PIECE_MIN ? space_free(s) : UINT64_MAX;

	if (room < seg->raw_bytes && early_give_way(s))
		room = space_free(s);
	if (room < seg->raw_bytes)
		shorten(s, seg, room / 2);
}

void piecewise_failed(struct store *s, struct segment *seg, int err)
{
	/* Without inodes, several parts have less room than one. */
	if ((err == -ENOSPC || err == -EDQUOT) && space_free(s) >= seg->raw_bytes &&
	    space_inodes(s) > 0)
		shorten(s, seg, seg->raw_bytes / 2);
}
