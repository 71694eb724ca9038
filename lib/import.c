/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/import_impl.h"

#include "lib/barrier.h"
#include "lib/catalog.h"
#include "lib/cut.h"

#define CLOSING_NS 200000000 /* as long as a barrier waits for a last close */

static bool is_ready_locked(const struct file *f)
{
	return f->import && f->n.linked && !f->writers && f->size > 0 && !f->verifying;
}

void import_due(struct store *s, struct file *f)
{
	bool begin, give = false;

	lock_take(&s->lock);
	/* Who renames or removes it needs nothing of this thread. A reader who claims it does. */
	while (is_ready_locked(f) && f->n.busy != IDLE && !f->claimed)
		cond_wait(&s->changed, &s->lock);
	begin = is_ready_locked(f);
	if (f->claimed) {
		f->claimed = false;
		give = !begin;
		f->lingering = f->writers > 0;
	} else if (begin) {
		node_take_wait_locked(s, &f->n, BUSY_HELD);
	}
	f->verifying = f->verifying || begin;
	f->hurry = f->hurry && f->verifying;
	s->verifying += begin;
	active_update_locked(s, f);
	lock_drop(&s->lock);
	if (begin)
		import_start(s, f);
	if (give)
		node_give(s, &f->n);
	if (!begin)
		barrier_check(s);
}

int import_may_open(struct store *s, struct caller *c, struct file *f, bool change)
{
	int err = 0;

	lock_take(&s->lock);
	if (!f->import || f->settled) {
		err = f->settled ? -ESTALE : 0;
	} else if (f->n.busy != IDLE) {
		err = node_take_locked(s, &f->n, BUSY_HELD, c);
	} else if (!change && f->size > 0) {
		err = f->writers > f->flushed || f->lingering ? -EBUSY : STORE_BUSY;
		if (err == STORE_BUSY) {
			node_take_wait_locked(s, &f->n, BUSY_HELD);
			f->claimed = true;
			node_ref_locked(&f->n);
			c->busy = &f->n;
			f->closing = f->writers > 0;
			timer_arm_locked(s, f, clock_ns() + (f->writers ? CLOSING_NS : 0),
					 f->writers ? TIMER_LATER : TIMER_SOON);
		}
	}
	lock_drop(&s->lock);
	return err;
}

void import_drain(struct store *s)
{
	lock_take(&s->lock);
	while (s->verifying > 0)
		cond_wait(&s->changed, &s->lock);
	lock_drop(&s->lock);
}

bool import_is_within_locked(struct store *s, const struct dir *d)
{
	struct file *f;
	bool within = false;

	DL_FOREACH2(s->imports, f, imports_next)
	within = within || (f->import && f->n.dir == d);
	return within;
}
