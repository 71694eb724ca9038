/* SPDX-License-Identifier: BSD-2-Clause */
/* The gate is shut for a cut, so no write is under way while the end of the bytes is looked for. */
#include "lib/cut.h"

#include <stdio.h>

#include "lib/barrier.h"
#include "lib/boundary.h"
#include "lib/catalog.h"
#include "lib/early.h"
#include "lib/import.h"
#include "lib/io.h"
#include "lib/lazy.h"
#include "lib/log.h"
#include "lib/pass.h"
#include "lib/raw.h"
#include "lib/rotate.h"
#include "lib/sealer.h"
#include "lib/space.h"

#define AGAIN_NS 1000000000 /* after a failure */
#define KEPT_NS 10000000000 /* a raw file that someone else still writes */

/* ---- what happens to files ---- */

void active_update_locked(struct store *s, struct file *f)
{
	bool want =
	    f->n.linked && (f->dirty || f->segments || f->kept || f->hurry || f->closing);

	if (!f->n.linked)
		early_removed_locked(s, f);
	if (want == f->active)
		return;
	f->active = want;
	if (want)
		DL_APPEND2(s->active, f, active_prev, active_next);
	else
		DL_DELETE2(s->active, f, active_prev, active_next);
}

void file_dirty_locked(struct store *s, struct file *f)
{
	if (!f->dirty) {
		f->dirty = true;
		f->dirty_since_ns = clock_ns();
		rotate_begin_locked(s, f, f->cut_end);
	}
	active_update_locked(s, f);
	if (!f->writers)
		timer_grace_locked(s, f);
	else
		rotate_arm_locked(s, f);
}

void file_closed_locked(struct store *s, struct file *f)
{
	if (!f->n.linked || s->options.read_only)
		return;
	if (f->size <= f->cut_end)
		f->dirty = false;
	f->fsync_armed = false;
	/* What a barrier has waited for; grace is not for it. */
	f->hurry = f->hurry || f->closing;
	f->closing = false;
	active_update_locked(s, f);
	early_closed_locked(s, f);
	if (f->hurry)
		timer_arm_locked(s, f, clock_ns(), TIMER_NOW);
	else if (f->dirty)
		timer_grace_locked(s, f);
	else if (f->raw_present && !file_unsealed(f))
		timer_arm_locked(s, f, clock_ns(), TIMER_NOW);
}

void file_unused_locked(struct store *s, struct file *f)
{
	if (f->n.linked && !s->options.read_only && f->raw_present && !file_unsealed(f) &&
	    !f->deadline_ns)
		timer_arm_locked(s, f, clock_ns(), TIMER_NOW);
}

void cut_hurry_closed_locked(struct store *s)
{
	struct file *f;

	DL_FOREACH2(s->active, f, active_next)
	{
		if (f->dirty && !f->writers)
			timer_arm_locked(s, f, clock_ns(), TIMER_NOW);
	}
}

/* ---- cutting ---- */

/* Freeze up to `to`: one segment, or several of SEEKGZ_RAW_MAX. Returns the first to submit. */
static struct segment *freeze_locked(struct store *s, struct file *f, uint64_t to)
    REQUIRES(s->lock)
{
	bool idle = !f->segments;

	while (f->cut_end < to) {
		struct segment *seg =
		    segment_new_locked(s, f, MIN(SEEKGZ_RAW_MAX, to - f->cut_end));

		if (!seg) {
			timer_retry_locked(s, f, AGAIN_NS);
			break;
		}
		early_cut_locked(s, f, seg);
	}
	f->dirty = f->size > f->cut_end;
	if (f->dirty)
		f->dirty_since_ns = clock_ns();
	if (f->cut_end == to)
		rotate_begin_locked(s, f, to);
	f->last_cut_ns = clock_ns();
	return idle ? f->segments : NULL;
}

/* May any of its bytes be cut at all? -ENAMETOOLONG: its name has no room for another part. */
static int cuttable_locked(struct store *s, struct file *f) REQUIRES(s->lock)
{
	char name[NAME_BYTES + 1];

	if (!f->n.linked || !f->raw_present || f->size <= f->cut_end || s->options.read_only ||
	    catalog_excluded_locked(s, f->n.dir, f->n.name) || (f->writers && f->mapped))
		return 0;
	if (f->next_part > NAME_PART_MAX ||
	    name_sealed(f->n.name, f->next_part, store_suffix(s), name) != 0)
		return -ENAMETOOLONG;
	/* A file whose name has no room for a second part is cut once, when it is closed. */
	return !f->writers ||
	       name_sealed(f->n.name, f->next_part + 1, store_suffix(s), name) == 0;
}

/* Where to cut a file that is open. Called in the gate, without the lock. */
static int64_t open_boundary(struct store *s, struct file *f, const char *name, uint64_t from,
			     uint64_t to)
{
	struct raw *raw;
	int64_t at = raw_get(s, f, &raw);

	if (at < 0)
		return at;
	at = boundary_find(raw->fd, name, from, to);
	raw_put(s, f, raw);
	return at;
}

/* The same before the gate is shut: all that is new may have to be read, and no one waits for that. It
 * holds unless the file is rewritten meanwhile. */
static int64_t boundary_ahead(struct store *s, struct file *f)
{
	char name[NAME_BYTES + 1];
	uint64_t from, end;
	int64_t to = 0;
	bool may;

	lock_take(&s->lock);
	gate_enter_locked(s, f);
	may = f->writers && cuttable_locked(s, f) > 0;
	snprintf(name, sizeof(name), "%s", may ? f->n.name : "");
	from = f->cut_end;
	end = f->written_end;
	f->rewritten = false;
	lock_drop(&s->lock);
	if (may)
		to = open_boundary(s, f, name, from, end);
	lock_take(&s->lock);
	gate_leave_locked(s, f);
	lock_drop(&s->lock);
	return to;
}

/* How far to cut it. With the gate shut; drops the lock meanwhile. */
static int64_t cut_to_locked(struct store *s, struct file *f, int64_t ahead) REQUIRES(s->lock)
{
	uint64_t from = f->cut_end, end = f->written_end;
	char name[NAME_BYTES + 1];
	int64_t to;

	if (!f->writers)
		return (int64_t)f->size;
	if (ahead && !f->rewritten)
		return ahead;
	snprintf(name, sizeof(name), "%s", f->n.name);
	lock_drop(&s->lock);
	to = open_boundary(s, f, name, from, end);
	lock_take(&s->lock);
	return to;
}

/* Cut what the state allows; open: a file that is open, too, else someone has just opened it and
 * grace begins anew when they close it. The caller holds a reference. */
static void cut_file(struct store *s, struct file *f, bool open)
{
	int64_t ahead = open ? boundary_ahead(s, f) : 0, to;
	struct segment *submit = NULL;
	char name[NAME_BYTES + 1];
	int may;

	lock_take(&s->lock);
	gate_shut_locked(s, f);
	snprintf(name, sizeof(name), "%s", f->n.linked ? f->n.name : "");
	may = f->writers && !open ? 0 : cuttable_locked(s, f);
	rotate_begin_locked(s, f, f->written_end);
	if (may > 0) {
		to = cut_to_locked(s, f, ahead);
		/* It may have been renamed or removed meanwhile. */
		if (to > (int64_t)f->cut_end && cuttable_locked(s, f) > 0)
			submit = freeze_locked(s, f, (uint64_t)to);
		else if (to < 0) {
			f->fsync_armed = f->writers > 0;
			timer_retry_locked(s, f, AGAIN_NS);
		}
	} else if (f->size <= f->cut_end) {
		f->dirty = false;
	}
	f->hurry = false;
	if (f->writers)
		rotate_arm_locked(s, f);
	active_update_locked(s, f);
	gate_open_locked(s, f);
	lock_drop(&s->lock);
	if (submit)
		sealer_submit(s->sealer, submit);
	if (may < 0)
		log_error(
		    "%s: cannot be sealed further: its name is too long for another part; "
		    "its bytes are safe in the store: rename it",
		    name);
}

/* A raw file that no recovery has looked at goes only if it is what its parts say. */
static bool is_proven(struct store *s, struct file *f)
{
	bool last, refused;

	lock_take(&s->lock);
	/* Of a file that was removed meanwhile there is nothing to compare with, nor to keep. */
	last = f->n.linked && f->raw_unproven && f->raw_present && !f->writers &&
	       f->size == f->sealed_end;
	refused = last && (f->raw_pending || f->raw_doubted);
	lock_drop(&s->lock);
	return !refused && (!last || raw_prove(s, f));
}

/* Was it proven while someone outside had it open for writing? */
static bool is_written(struct store *s, struct file *f)
{
	bool written;

	lock_take(&s->lock);
	written = f->n.linked && f->raw_present && !f->writers && f->raw_unproven &&
		  f->raw_recovered && f->size == f->sealed_end;
	lock_drop(&s->lock);
	return written;
}

/* Readers from while it was passed have it open: it goes when they have closed it. */
static bool is_read_past_us(const struct file *f)
{
	return f->n.linked && f->raw_present && !f->writers && f->size == f->sealed_end &&
	       file_is_passed(f);
}

int file_drop_raw(struct store *s, struct file *f)
{
	char name[NAME_BYTES + 1] = "";
	int r, rest = -1;

	if (!is_proven(s, f))
		return -1;
	r = is_written(s, f) ? 1 : raw_drop(s, f, &rest);
	lock_take(&s->lock);
	f->kept = r != 0 || is_read_past_us(f);
	catalog_living_locked(s, f,
			      r == 1 || (f->living && f->raw_present && f->raw_recovered));
	if (f->n.linked)
		snprintf(name, sizeof(name), "%s", f->n.name);
	if (r != 0)
		timer_retry_locked(s, f, KEPT_NS);
	else if (f->dirty)
		timer_grace_locked(s, f);
	active_update_locked(s, f);
	lock_drop(&s->lock);
	if (r == 1)
		log_notice(
		    "%s: someone outside of notepackfs still writes to it; its raw file is "
		    "kept until that ends",
		    name);
	else if (r < 0)
		log_error("%s: sealed, but its raw file could not be removed: %s; tried again "
			  "later",
			  name, strerror(-r));
	if (r == 0)
		lazy_check_attrs(s, f);
	return rest;
}

/* What an open file that fsynced waits for: 0, now; else a time. */
static int64_t wait_for_part_locked(struct store *s, struct file *f, int64_t now_ns)
    REQUIRES(s->lock)
{
	if (!f->cut_end || f->hurry || f->written_end - f->cut_end >= s->options.cut_bytes ||
	    now_ns - f->last_cut_ns >= s->options.cut_age_ns)
		return 0;
	return f->last_cut_ns + s->options.cut_age_ns;
}

/* The deadline has come: see what there is to do. The caller holds a reference. */
void cut_due(struct store *s, struct file *f)
{
	enum { NOTHING, CUT, DROP } what = NOTHING;
	int64_t now_ns = clock_ns(), later_ns;
	bool closing, open;

	pass_learn(s, f);
	lock_take(&s->lock);
	closing = f->closing;
	f->closing = false; /* a duplicate of the descriptor lives on */
	if (f->import) {
		lock_drop(&s->lock);
		import_due(s, f);
		return;
	}
	if (f->writers && rotate_is_due_locked(s, f, now_ns)) {
		what = CUT;
		f->fsync_armed = false;
	} else if (f->writers && (f->fsync_armed || f->hurry)) {
		later_ns = wait_for_part_locked(s, f, now_ns);
		if (later_ns)
			timer_arm_locked(s, f, later_ns, TIMER_LATER);
		else
			what = CUT;
		f->fsync_armed = later_ns != 0;
	} else if (!f->writers && (f->dirty || f->hurry)) {
		what = CUT;
	} else if (!f->writers && f->raw_present && !file_unsealed(f) && f->n.linked) {
		what = DROP;
		node_take_wait_locked(s, &f->n, BUSY_HELD);
	}
	open = f->writers > 0;
	if (open && what == NOTHING)
		rotate_arm_locked(s, f);
	active_update_locked(s, f);
	lock_drop(&s->lock);
	if (what == CUT) {
		cut_file(s, f, open);
	} else if (what == DROP) {
		CLEANUP_FD int rest = -1;

		rest = file_drop_raw(s, f);
		node_give(s, &f->n);
	}
	if (what != NOTHING || closing)
		barrier_check(s);
}
