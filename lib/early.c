/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A chunk counts as read from the moment at which `begun` passes it, under store.lock and before the first
 * byte is read; a write says that it has changed bytes under the same lock and behind its last byte. So what
 * was changed while it was read, or later, is known to be changed, if the daemon has seen it.
 */
#include "lib/early.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>

#include "lib/catalog.h"
#include "lib/early_impl.h"
#include "lib/io.h"
#include "lib/layout.h"
#include "lib/pool.h"
#include "lib/raw.h"

#define STALE_NS INT64_C(60000000000) /* unchanged for so long, it makes room for another job */

/* ---- the end of a job ---- */

void early_free(struct early *e)
{
	struct store *s;

	if (!e)
		return;
	s = e->window.store;
	if (e->window.raw_fd >= 0)
		close(e->window.raw_fd);
	raw_put(s, e->file, e->raw);
	if (e->tmp_fd >= 0) {
		close(e->tmp_fd);
		io_unlink(s->fd, e->tmp, 0);
	}
	seekgz_writer_release(&e->writer);
	seekgz_writer_release(&e->end);
	window_release(&e->window);
	lock_take(&s->lock);
	DL_DELETE(s->earlies, e);
	node_unref_locked(s, &e->file->n, 1);
	cond_broadcast(&s->changed);
	lock_drop(&s->lock);
	free(e);
}

void early_poke_locked(struct early *e, bool idle)
{
	struct pool *pool = sealer_pool(e->window.sealer);

	if (e->busy)
		return;
	e->busy = true;
	if (idle)
		pool_submit_idle(pool, &e->task);
	else
		pool_submit(pool, &e->task);
}

void early_drop_locked(struct early *e)
{
	struct file *f = e->file;

	if (e->dropped)
		return;
	e->dropped = true;
	if (e->seg) {
		e->seg->early = NULL;
	} else {
		f->early = NULL;
		f->early_from =
		    f->written_end + (f->written_end - MIN(f->written_end, e->offset));
	}
	early_poke_locked(e, false);
}

/* ---- beginning ---- */

/* One for each thread; one that has not been changed for long makes room. */
static bool has_place_locked(struct store *s) REQUIRES(s->lock)
{
	struct early *e, *oldest = NULL;
	unsigned count = 0;

	DL_FOREACH (s->earlies, e) {
		count++;
		if (!e->busy && !e->seg && (!oldest || e->changed_ns < oldest->changed_ns))
			oldest = e;
	}
	if (count < pool_threads(sealer_pool(s->sealer)))
		return true;
	if (!oldest || clock_ns() - oldest->changed_ns < STALE_NS)
		return false;
	early_drop_locked(oldest);
	return true;
}

static bool may_begin_locked(struct store *s, const struct file *f) REQUIRES(s->lock)
{
	return f->n.linked && !f->import && !f->raw_recovered && !s->stopping && s->sealer &&
	       !catalog_excluded_locked(s, f->n.dir, f->n.name) && has_place_locked(s);
}

static void begin_locked(struct store *s, struct file *f) REQUIRES(s->lock)
{
	static atomic_ulong counter;
	struct early *e = may_begin_locked(s, f) ? calloc(1, sizeof(*e)) : NULL;

	if (!e) {
		f->early_from = f->written_end + (f->written_end - f->cut_end);
		return;
	}
	window_init(&e->window);
	e->window.store = s;
	e->window.sealer = s->sealer;
	e->window.offset = f->cut_end;
	e->file = f;
	e->offset = f->cut_end;
	e->task.run = early_run;
	e->tmp_fd = -1;
	e->keep = UINT64_MAX;
	e->changed_ns = clock_ns();
	frames_init(&e->frames);
	snprintf(e->tmp, sizeof(e->tmp), LAYOUT_TMP "/%llu.early.%lu.gz",
		 (unsigned long long)f->id, atomic_fetch_add(&counter, 1));
	node_ref_locked(&f->n);
	DL_APPEND(s->earlies, e);
	f->early = e;
	early_poke_locked(e, true);
}

/* ---- what happens to files ---- */

static void try_begin_locked(struct store *s, struct file *f) REQUIRES(s->lock)
{
	if (f->written_end >= f->cut_end + SEEKGZ_RESERVE_BYTES + EARLY_BEHIND &&
	    f->written_end >= f->early_from)
		begin_locked(s, f);
}

/* The end that was made is not the end. */
static void spoil_end(struct early *e)
{
	if (e->aim)
		e->aim_min = 2 * (e->aim - e->offset);
	e->aim = 0;
	e->complete = false;
	e->unseen = true;
	e->compared = 0;
	e->changed_ns = clock_ns();
}

void early_changed_locked(struct store *s, struct file *f, uint64_t from, uint64_t to)
{
	struct early *e = f->early;

	if (!e) {
		try_begin_locked(s, f);
		return;
	}
	spoil_end(e);
	if (from < to && from < e->offset + (e->begun << SEEKGZ_CHUNK_LOG2))
		e->changed = true;
	if (!e->busy && early_has_chunks(e))
		early_poke_locked(e, true);
}

void early_truncated_locked(struct store *s, struct file *f, uint64_t size)
{
	struct early *e = f->early;
	uint64_t bytes;

	if (!e)
		return;
	spoil_end(e);
	bytes = size - MIN(size, e->offset);
	if (bytes < SEEKGZ_RESERVE_BYTES) {
		early_drop_locked(e);
		f->early_from = 0;
	} else if (early_full_chunks(bytes) < e->begun) {
		e->changed = true;
		e->keep = MIN(e->keep, early_full_chunks(bytes));
		early_poke_locked(e, true);
	}
}

void early_opened_locked(struct file *f)
{
	if (!f->early)
		return;
	f->early->unseen = true;
	f->early->compared = 0;
}

void early_closed_locked(struct store *s, struct file *f)
{
	if (f->early)
		early_poke_locked(f->early, true);
	else
		try_begin_locked(s, f);
}

void early_cut_locked(struct store *s, struct file *f, struct segment *seg)
{
	struct early *e = f->early;

	f->early_from = 0;
	if (!e)
		return;
	if (seg->offset != e->offset) {
		early_drop_locked(e);
		return;
	}
	f->early = NULL;
	e->seg = seg;
	seg->early = e;
}

void early_removed_locked(struct store *s, struct file *f)
{
	if (f->early)
		early_drop_locked(f->early);
}

void early_forget_locked(struct store *s, struct segment *seg)
{
	if (seg->early)
		early_drop_locked(seg->early);
}

/* ---- the store ---- */

bool early_give_way(struct store *s)
{
	struct early *e, *next;
	char paths[16][sizeof(e->tmp)];
	size_t count = 0;

	lock_take(&s->lock);
	DL_FOREACH_SAFE (s->earlies, e, next) {
		if (e->dropped || e->sealing || count == sizeof(paths) / sizeof(*paths))
			continue;
		memcpy(paths[count++], e->tmp, sizeof(e->tmp));
		early_drop_locked(e);
	}
	lock_drop(&s->lock);
	/* Its own task may be at work, and removes it later. */
	for (size_t i = 0; i < count; i++) {
		int fd = io_open(s->fd, paths[i], O_WRONLY | O_TRUNC, 0);

		if (fd >= 0)
			close(fd);
	}
	return count > 0;
}

/* One that is to end, or is on its way. */
static struct early *find_locked(struct store *s, bool cut) REQUIRES(s->lock)
{
	struct early *e;

	DL_FOREACH (s->earlies, e) {
		if (e->dropped || (!e->sealing && (cut || !e->seg)))
			return e;
	}
	return NULL;
}

void early_stop(struct store *s, bool cut)
{
	struct early *e;

	lock_take(&s->lock);
	while ((e = find_locked(s, cut))) {
		early_drop_locked(e);
		cond_wait(&s->changed, &s->lock);
	}
	lock_drop(&s->lock);
}

void early_status_locked(const struct store *s, struct buf *out)
{
	uint64_t bytes = 0, files = 0, complete = 0, compared = 0;
	const struct early *e;

	DL_FOREACH (s->earlies, e) {
		files++;
		bytes += e->ready << SEEKGZ_CHUNK_LOG2;
		complete += e->complete;
		compared += e->compared;
	}
	buf_printf(out,
		   "{\"files\":%llu,\"bytes\":%llu,\"complete\":%llu,\"compared_chunks\":%llu,"
		   "\"reused_chunks\":%llu,\"redone_chunks\":%llu,\"late_chunks\":%llu}",
		   (unsigned long long)files, (unsigned long long)bytes,
		   (unsigned long long)complete, (unsigned long long)compared,
		   (unsigned long long)s->early_reused, (unsigned long long)s->early_redone,
		   (unsigned long long)s->early_late);
}
