/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/catalog.h"
#include "lib/cut.h"
#include "lib/early.h"
#include "lib/file.h"
#include "lib/io.h"
#include "lib/notify.h"
#include "lib/pass.h"
#include "lib/raw.h"

/* With the gate shut: grow or shrink the raw file. The size is lowered first, so that no reader
 * looks for bytes that are gone. */
static int resize(struct store *s, struct file *f, uint64_t size)
{
	struct raw *raw;
	uint64_t old, cookie;
	int err = raw_get(s, f, &raw);

	if (err)
		return err;
	lock_take(&s->lock);
	old = f->size;
	f->size = MIN(f->size, size);
	early_truncated_locked(s, f, size);
	lock_drop(&s->lock);
	err = io_truncate(raw->fd, size);
	raw_put(s, f, raw);
	lock_take(&s->lock);
	f->size = err ? old : size;
	f->written_end = MIN(f->written_end, f->size);
	cookie = f->n.cookie;
	f->rewritten = true;
	(void)catalog_list_locked(s, f);
	cookie ^= f->n.cookie;
	early_changed_locked(s, f, f->size, f->size);
	if (!err && f->size > f->cut_end)
		file_dirty_locked(s, f);
	else if (!err && !f->writers)
		file_closed_locked(s, f);
	lock_drop(&s->lock);
	if (cookie)
		notify_listed(s, f);
	return err;
}

int file_truncate(struct store *s, struct file *f, uint64_t size)
{
	int err = 0;
	bool make, nothing;

	size += f->base;
	pass_learn(s, f);
	lock_take(&s->lock);
	nothing = size == f->size && !f->raw_present && size > 0;
	make = size > f->size && !f->raw_present;
	lock_drop(&s->lock);
	if (nothing)
		return 0;
	if (make)
		err = raw_make(s, f);
	if (err)
		return err;
	lock_take(&s->lock);
	gate_shut_locked(s, f);
	if (size < f->cut_end || f->settled)
		err = -EPERM;
	else if (!f->raw_present)
		err = size == f->size ? 0 : -EAGAIN;
	lock_drop(&s->lock);
	if (!err && f->raw_present)
		err = resize(s, f, size);
	lock_take(&s->lock);
	gate_open_locked(s, f);
	lock_drop(&s->lock);
	if (err == -EPERM)
		refuse_change(s, &f->n, "truncating");
	return err == -EAGAIN ? file_truncate(s, f, size - f->base) : err;
}
