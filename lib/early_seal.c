/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A job behind the cut: its bytes are frozen now. Nobody else is at it, and it ends here: as the segment's
 * temporary, or as the source of one, or not at all.
 */
#include <stdio.h>

#include "lib/early_impl.h"
#include "lib/io.h"
#include "lib/log.h"
#include "lib/pool.h"
#include "lib/seal.h"
#include "lib/space.h"

bool early_seal(struct store *s, struct sealer *p, struct segment *seg)
{
	struct early *e;

	lock_take(&s->lock);
	e = seg->early;
	if (e && seg->raw_bytes < SEEKGZ_RESERVE_BYTES) {
		early_forget_locked(s, seg);
		e = NULL;
	}
	if (e) {
		seg->early = NULL;
		seg->state = SEGMENT_SEALING;
		e->sealing = true;
		if (!e->busy)
			pool_submit(sealer_pool(p), &e->task);
		e->busy = true;
	}
	lock_drop(&s->lock);
	return e;
}

const struct seekgz_writer *early_chunks(const struct early *e)
{
	return &e->writer;
}

struct lane *early_lane(const struct early *e)
{
	return e->window.lane;
}

void early_count(struct store *s, const struct early *e, uint64_t reused)
{
	lock_take(&s->lock);
	s->early_reused += reused;
	s->early_redone += e->writer.chunks - reused;
	lock_drop(&s->lock);
}

/* ---- the ends ---- */

/* Its segment is sealed as any other. */
static void give_up(struct early *e)
{
	struct store *s = e->window.store;
	struct sealer *p = e->window.sealer;
	struct segment *seg = e->seg;

	early_free(e);
	seal_begin(s, p, seg, NULL);
}

static void cancel(struct early *e)
{
	struct sealer *p = e->window.sealer;
	struct segment *seg = e->seg;

	early_free(e);
	sealer_compressed(p, seg, -ECANCELED, "sealing");
}

/* What is right of it is used again. That takes room for a second temporary. */
static void use_again(struct early *e)
{
	struct store *s = e->window.store;

	if (space_free(s) < e->seg->raw_bytes)
		give_up(e);
	else
		seal_begin(s, e->window.sealer, e->seg, e);
}

static void hand_over(struct early *e)
{
	struct sealer *p = e->window.sealer;
	struct segment *seg = e->seg;

	seal_fill_record(seg, e->window.lane, &e->end, &e->end_frames);
	memcpy(seg->record.raw_sha256, e->raw_sha256, SHA256_BYTES);
	memcpy(seg->record.sha256, e->sha256, SHA256_BYTES);
	snprintf(seg->tmp, sizeof(seg->tmp), "%s", e->tmp);
	seg->tmp_fd = e->tmp_fd;
	e->tmp_fd = -1;
	early_free(e);
	sealer_compressed(p, seg, 0, NULL);
}

/* ---- the steps ---- */

static bool is_cancelled(struct window *w)
{
	return ((struct early *)w)->seg->cancelled;
}

/* All chunks are there but the last, if it is shorter. */
static void complete(struct early *e)
{
	int err = e->has_end ? 0 : early_make_end(e, e->seg->raw_bytes, e->seg->part);

	if (!err && e->end.raw_bytes != e->seg->raw_bytes)
		err = -EIO;
	if (!err && !e->complete)
		err = seekgz_writer_hash(&e->end, UINT64_MAX, e->sha256);
	if (err)
		give_up(e);
	else
		hand_over(e);
}

static void rest_ended(struct window *w, int err, const char *step)
{
	struct early *e = (struct early *)w;

	if (err == -ECANCELED)
		cancel(e);
	else if (err)
		give_up(e);
	else
		complete(e);
}

static void compress_rest(struct early *e)
{
	struct window *w = &e->window;

	w->first = e->writer.chunks;
	w->chunks = early_full_chunks(e->seg->raw_bytes);
	w->raw_bytes = e->seg->raw_bytes;
	w->source = NULL;
	w->idle = false;
	w->check = false;
	w->stopped = is_cancelled;
	w->end = rest_ended;
	if (w->first == w->chunks)
		complete(e);
	else if (window_start(w) != 0)
		give_up(e);
}

static void checked(struct window *w, int err, const char *step)
{
	struct early *e = (struct early *)w;

	if (err == -ECANCELED) {
		cancel(e);
	} else if (err) {
		w->check = false;
		use_again(e);
	} else {
		early_count(w->store, e, e->writer.chunks);
		if (e->has_end)
			complete(e);
		else
			compress_rest(e);
	}
}

int early_compare(struct early *e, const struct seekgz_writer *source, uint64_t first,
		  bool idle, bool (*stopped)(struct window *w),
		  void (*end)(struct window *w, int err, const char *step))
{
	struct window *w = &e->window;

	w->source = source;
	w->first = first;
	w->chunks = source->chunks;
	w->raw_bytes = source->raw_bytes;
	w->idle = idle;
	w->check = true;
	w->stopped = stopped;
	w->end = end;
	return window_start(w);
}

/* Is the raw file the one that was compared, as far as it tells? */
static bool is_as_compared(const struct early *e)
{
	const struct stat *was = &e->compared_with;
	struct stat st;

	return io_fstat(e->window.raw_fd, &st) == 0 && st.st_size == was->st_size &&
	       ns_of_timespec(&st.st_mtim) == ns_of_timespec(&was->st_mtim) &&
	       ns_of_timespec(&st.st_ctim) == ns_of_timespec(&was->st_ctim);
}

/* Has the raw file what was compressed? */
static void check(struct early *e)
{
	const struct seekgz_writer *source = e->has_end ? &e->end : &e->writer;
	struct store *s = e->window.store;

	bool same = is_as_compared(e);
	uint64_t compared;

	lock_take(&s->lock);
	compared = e->compared = same ? MIN(e->compared, source->chunks) : 0;
	s->early_late += source->chunks - compared;
	lock_drop(&s->lock);
	if (compared == source->chunks)
		checked(&e->window, 0, NULL);
	else if (early_compare(e, source, compared, false, is_cancelled, checked) != 0)
		give_up(e);
}

void early_seal_run(struct early *e)
{
	const struct segment *seg = e->seg;
	uint64_t full = early_full_chunks(seg->raw_bytes);

	if (e->writer.chunks > full) { /* it was cut before our end */
		seekgz_writer_keep(&e->writer, full);
		e->changed = true;
	}
	e->has_end =
	    e->has_end && e->aim == seg->offset + seg->raw_bytes && e->part == seg->part;
	e->complete = e->complete && e->has_end;
	if (!e->writer.chunks || space_free(e->window.store) <
				     seg->raw_bytes - MIN(seg->raw_bytes, e->writer.gz_bytes))
		give_up(e);
	else if (e->changed)
		use_again(e);
	else
		check(e);
}
