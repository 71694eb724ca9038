/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a job does before the cut: chunks in rounds, as long as there are some, and then the end. Between two
 * rounds it looks for what has happened meanwhile.
 */
#include "lib/catalog.h"
#include "lib/codec.h"
#include "lib/early_impl.h"
#include "lib/io.h"
#include "lib/log.h"
#include "lib/pool.h"
#include "lib/seal.h"
#include "lib/space.h"
#include "lib/temporary.h"
#include "lib/verifier.h"

#define ROUND_MIN 16 /* chunks that are worth a task; … */
#define ROUND_MAX 64 /* … and after which it is looked for room, and for other things to do */
#define HASH_A_TURN ((uint64_t)16 << 20)
#define INODES_MIN 128

static void drop(struct early *e, const char *why)
{
	struct store *s = e->window.store;

	log_debug("%s: what was compressed while it was written is dropped: %s", e->tmp, why);
	lock_take(&s->lock);
	if (e->sealing) /* it has come to that meanwhile */
		e->changed = true;
	else
		early_drop_locked(e);
	lock_drop(&s->lock);
}

/* ---- its work ---- */

static bool is_stopped(struct window *w)
{
	const struct early *e = (struct early *)w;

	return e->dropped || e->sealing || e->keep < e->begun;
}

static int add(struct window *w, const uint8_t *raw, size_t raw_len, const uint8_t *gz,
	       size_t gz_len)
{
	struct early *e = (struct early *)w;
	int err = seekgz_writer_add(&e->writer, raw, raw_len, gz, gz_len);

	if (!err)
		frames_feed(&e->frames, raw, raw_len);
	return err;
}

/* The room that sealing it without us would want must stay. */
static bool has_room(const struct early *e, uint64_t raw_bytes)
{
	const struct store *s = e->window.store;

	return space_has_room(s, raw_bytes - MIN(raw_bytes, e->writer.gz_bytes));
}

static int open_all(struct early *e, const char **step)
{
	struct store *s = e->window.store;
	struct window *w = &e->window;
	int err;

	*step = "no inodes to spare";
	if (space_inodes(s) < INODES_MIN)
		return -ENOSPC;
	*step = "opening the raw file";
	err = seal_open_raw(s, e->file, &e->raw, &w->raw_fd, step);
	if (err)
		return err;
	*step = "creating a temporary";
	/* early_give_way opens it once more, to write, and may have no privileges. */
	e->tmp_fd = temporary_open_path(s, e->tmp, 0600);
	if (e->tmp_fd < 0)
		return e->tmp_fd;
	*step = "getting memory";
	w->lane = sealer_lane(w->sealer);
	e->open = true;
	return seekgz_writer_init(&e->writer, e->tmp_fd, 0);
}

static int add_tail(struct early *e, uint64_t raw_bytes)
{
	struct window *w = &e->window;
	uint64_t at = e->end.raw_bytes;
	size_t len = (size_t)(raw_bytes - at);
	CLEANUP_FREE uint8_t *raw = malloc(len);
	CLEANUP_FREE uint8_t *gz = malloc(codec_bound(len) + VERIFIER_ROOM);
	struct codec_state *state;
	const char *step;
	ssize_t n;

	if (!raw || !gz)
		return -ENOMEM;
	n = io_pread(w->raw_fd, raw, len, e->offset + at);
	if (n < 0 || (size_t)n != len)
		return n < 0 ? (int)n : -EIO;
	state = sealer_take_state(w->sealer, w->lane);
	if (!state)
		return -ENOMEM;
	n = window_compress(state, raw, len, gz, &step);
	sealer_give_state(w->sealer, state);
	if (n < 0)
		return (int)n;
	frames_feed(&e->end_frames, raw, len);
	return seekgz_writer_add(&e->end, raw, len, gz, (size_t)n);
}

int early_make_end(struct early *e, uint64_t raw_bytes, uint32_t part)
{
	int err;

	seekgz_writer_release(&e->end);
	err = seekgz_writer_fork(&e->writer, &e->end);
	e->end_frames = e->frames;
	if (!err && raw_bytes > e->end.raw_bytes)
		err = add_tail(e, raw_bytes);
	if (!err)
		err = seekgz_writer_end(&e->end, part, e->offset, e->raw_sha256);
	/* An end that was made before may have been longer. */
	return err ? err : io_truncate(e->tmp_fd, e->end.gz_bytes);
}

/* A step of making the end ahead of the cut: 1: there are more; 0 or -errno. */
static int work_at_end(struct early *e, uint64_t raw_bytes)
{
	int err = e->has_end ? 0 : early_make_end(e, raw_bytes, e->part);

	if (err)
		return err;
	e->has_end = true;
	return seekgz_writer_hash(&e->end, HASH_A_TURN, e->sha256);
}

/* ---- what is next ---- */

enum work { REST, FREE, SEAL, OPEN, CHUNKS, END, COMPARE };

/* How many chunks may be read. */
static uint64_t chunks_there(const struct early *e)
{
	const struct file *f = e->file;
	uint64_t end = f->size;

	if (f->writers)
		end = MIN(end, f->written_end - MIN(f->written_end, EARLY_BEHIND));
	end -= MIN(end, e->offset);
	return early_full_chunks(MIN(end, SEEKGZ_RAW_MAX));
}

bool early_has_chunks(const struct early *e)
{
	uint64_t chunks = chunks_there(e);

	return chunks > e->writer.chunks &&
	       (!e->file->writers || chunks - e->writer.chunks >= ROUND_MIN);
}

/* Is an end to be made, or to be gone on with? It is, if the file is closed; but one who appends and closes
 * again and again has it made when the file has doubled only. */
static bool wants_end(struct early *e)
{
	const struct file *f = e->file;
	uint64_t bytes = f->size - MIN(f->size, e->offset);

	if (f->writers || e->changed || e->complete || bytes > SEEKGZ_RAW_MAX ||
	    bytes < MAX(e->aim_min, SEEKGZ_RESERVE_BYTES))
		return false;
	if (!e->aim) {
		e->aim = f->size;
		e->part = f->next_part;
		e->has_end = false;
	}
	return true;
}

/* Can its bytes be compared ahead of the cut? Only if no one can change them unseen: who has mapped the raw file
 * may (lib/pass.h). */
static bool wants_compare(const struct early *e)
{
	const struct file *f = e->file;

	return e->complete && !e->changed && !f->writers && !f->raw_mapped &&
	       e->compared < e->end.chunks;
}

static enum work next_locked(struct store *s, struct early *e) REQUIRES(s->lock)
{
	if (!e->dropped && !e->sealing && (!e->file->n.linked || e->file->import))
		early_drop_locked(e);
	if (e->dropped)
		return FREE;
	if (e->changed)
		seekgz_writer_keep(&e->writer, MIN(e->keep, e->writer.chunks));
	e->ready = e->begun = e->writer.chunks;
	e->keep = UINT64_MAX;
	if (e->sealing)
		return SEAL;
	if (!e->seg && !e->open)
		return OPEN;
	if (!e->seg && early_has_chunks(e)) {
		e->begun = MIN(chunks_there(e), e->begun + ROUND_MAX);
		return CHUNKS;
	}
	if (!e->seg && wants_end(e))
		return END;
	if (!e->seg && wants_compare(e)) {
		e->unseen = false;
		return COMPARE;
	}
	e->busy = false;
	return REST;
}

static void submit_again(struct early *e)
{
	pool_submit_idle(sealer_pool(e->window.sealer), &e->task);
}

/* A window's end. */
static void round_ended(struct window *w, int err, const char *step)
{
	struct early *e = (struct early *)w;

	if (err && err != -ECANCELED) {
		bool truncated;

		lock_take(&w->store->lock);
		truncated = e->keep < e->begun; /* then there was nothing to read */
		lock_drop(&w->store->lock);
		if (!truncated)
			drop(e, step);
	}
	early_run(&e->task);
}

static int start_round(struct early *e, uint64_t raw_bytes, const char **step)
{
	struct window *w = &e->window;

	*step = "no room to spare";
	if (!has_room(e, raw_bytes))
		return -ENOSPC;
	w->first = e->writer.chunks;
	w->chunks = e->begun;
	w->raw_bytes = e->begun << SEEKGZ_CHUNK_LOG2;
	w->idle = true;
	w->stopped = is_stopped;
	w->add = add;
	w->end = round_ended;
	*step = "getting memory";
	return window_start(w);
}

static bool is_stopped_comparing(struct window *w)
{
	return is_stopped(w) || ((struct early *)w)->unseen;
}

/* Also when it was stopped: the seal goes on from there. */
static void compare_ended(struct window *w, int err, const char *step)
{
	struct early *e = (struct early *)w;

	w->check = false;
	lock_take(&w->store->lock);
	e->compared = e->unseen ? 0 : w->done;
	e->changed |= err == -ESTALE;
	lock_drop(&w->store->lock);
	if (err && err != -ECANCELED && err != -ESTALE)
		drop(e, step);
	early_run(&e->task);
}

static int start_compare(struct early *e, const char **step)
{
	struct store *s = e->window.store;
	uint64_t compared;
	int err = 0;

	lock_take(&s->lock);
	compared = e->compared;
	lock_drop(&s->lock);
	*step = "comparing it";
	if (!compared)
		err = io_fstat(e->window.raw_fd, &e->compared_with);
	return err ? err
		   : early_compare(e, &e->end, compared, true, is_stopped_comparing,
				   compare_ended);
}

static int end_turn(struct early *e, uint64_t aim)
{
	struct store *s = e->window.store;
	int r = work_at_end(e, aim - e->offset);

	lock_take(&s->lock);
	e->complete = r == 0 && e->aim == aim;
	/* What was changed meanwhile may have been read half. */
	r = e->aim ? r : 1;
	lock_drop(&s->lock);
	return r;
}

void early_run(struct task *t)
{
	struct early *e = (struct early *)((char *)t - offsetof(struct early, task));
	struct store *s = e->window.store;
	const char *step = "making its end";
	uint64_t bytes, aim;
	enum work work;
	int err;

	lock_take(&s->lock);
	work = next_locked(s, e);
	bytes = e->file->size - MIN(e->file->size, e->offset);
	aim = e->aim;
	lock_drop(&s->lock);
	switch (work) {
	case REST:
		return;
	case FREE:
		early_free(e);
		return;
	case SEAL:
		early_seal_run(e);
		return;
	case OPEN:
		err = open_all(e, &step);
		break;
	case CHUNKS:
		err = start_round(e, bytes, &step);
		if (!err)
			return;
		break;
	case END:
		err = end_turn(e, aim);
		break;
	case COMPARE:
		err = start_compare(e, &step);
		if (!err)
			return;
		break;
	}
	if (err < 0)
		drop(e, step);
	submit_again(e);
}
