/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What flush and fsync do: errors that stick, bytes and entries made durable, and the cut that
 * an fsync arms.
 */
#include <errno.h>
#include <string.h>

#include "lib/catalog.h"
#include "lib/cut.h"
#include "lib/dirfd.h"
#include "lib/file.h"
#include "lib/io.h"
#include "lib/layout.h"
#include "lib/log.h"
#include "lib/pass.h"
#include "lib/raw.h"

/* A FLUSH comes for each close of each duplicate, a RELEASE once: was this the last close? */
void handle_flushed_locked(struct handle *h, bool flushed)
{
	struct file *f = to_file(h->node);

	if (h->flushed == flushed)
		return;
	h->flushed = flushed;
	if (flushed)
		f->flushed++;
	else
		f->flushed--;
}

int store_flush(struct handle *h)
{
	int err = 0;

	if (h->passed)
		pass_learn(h->store, to_file(h->node));
	if (h->writer) {
		lock_take(&h->store->lock);
		handle_flushed_locked(h, true);
		err = to_file(h->node)->error;
		lock_drop(&h->store->lock);
	}
	return err;
}

static int sync_entry(struct store *s, struct file *f)
{
	struct dir *d = NULL;
	int err;

	lock_take(&s->lock);
	if (f->n.linked && (!f->raw_durable || !f->n.dir->durable)) {
		d = f->n.dir;
		node_ref_locked(&d->n);
	}
	lock_drop(&s->lock);
	if (!d)
		return 0;
	err = f->import ? io_syncdir(s->fd, LAYOUT_IMPORT) : dirfd_sync(s, d);
	lock_take(&s->lock);
	if (!err && f->n.linked && f->n.dir == d && f->n.busy != BUSY_NAME)
		f->raw_durable = true;
	node_unref_locked(s, &d->n, 1);
	lock_drop(&s->lock);
	return err;
}

/* One that waits for cut_age does so no longer when there are bytes enough for a part. */
static bool is_armed_locked(struct store *s, struct file *f) REQUIRES(s->lock)
{
	return f->fsync_armed &&
	       (f->timer <= TIMER_SOON || f->written_end - f->cut_end < s->options.cut_bytes);
}

static void arm_after_fsync(struct store *s, struct file *f)
{
	lock_take(&s->lock);
	if (s->options.fsync_seals && !f->import && f->n.linked && f->dirty && f->writers &&
	    !is_armed_locked(s, f) && f->written_end > f->cut_end) {
		f->fsync_armed = true;
		timer_grace_locked(s, f);
	}
	lock_drop(&s->lock);
}

int store_fsync(struct handle *h)
{
	struct store *s = h->store;
	struct file *f = to_file(h->node);
	struct raw *raw = NULL;
	int err = 0;

	if (h->node->kind != NODE_FILE || s->options.read_only)
		return 0;
	lock_take(&s->lock);
	handle_flushed_locked(h, false);
	gate_enter_locked(s, f);
	err = f->error;
	bool present = f->raw_present;

	lock_drop(&s->lock);
	if (!err && present)
		err = raw_get(s, f, &raw);
	if (!err && raw)
		err = raw_sync(s, f, raw->fd);
	raw_put(s, f, raw);
	lock_take(&s->lock);
	gate_leave_locked(s, f);
	lock_drop(&s->lock);
	if (!err && raw)
		err = sync_entry(s, f);
	pass_learn(s, f);
	if (!err)
		arm_after_fsync(s, f);
	return err;
}
