/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Chunk i lives in slot i % size from its claim until it was handed on. A task that finds the window full
 * is idle: the task that hands on submits it again when a slot has become free. No thread ever waits for
 * another one. A task gives the thread up after some chunks, so that a large segment does not hold up small
 * ones behind it.
 */
#include "lib/window.h"

#include "lib/codec.h"
#include "lib/io.h"
#include "lib/pool.h"
#include "lib/space.h"
#include "lib/verifier.h"

#define CHUNKS_A_TURN 16

struct window_chunk {
	uint8_t *raw, *gz;
	size_t gz_len;
	uint64_t source_pos;
	bool ready, reused;
};

struct window_task {
	struct task task;
	struct window *window;
	bool waits; /* for a slot */
};

void window_init(struct window *w)
{
	*w = (struct window){.raw_fd = -1};
	lock_init(&w->lock);
}

static void free_slots(struct window *w)
{
	for (uint32_t i = 0; w->slots && i < w->size; i++) {
		free(w->slots[i].raw);
		free(w->slots[i].gz);
	}
	free(w->slots);
	free(w->tasks);
	w->slots = NULL;
	w->tasks = NULL;
}

void window_release(struct window *w)
{
	free_slots(w);
	lock_release(&w->lock);
}

/* ---- one chunk, by any thread ---- */

static size_t chunk_len(const struct window *w, uint64_t i)
{
	return (size_t)MIN(SEEKGZ_CHUNK_BYTES, w->raw_bytes - i * SEEKGZ_CHUNK_BYTES);
}

typedef ssize_t compress_fn(const struct codec *codec, void *state, const uint8_t *in,
			    size_t len, uint8_t *out);

static ssize_t compress_verified(struct codec_state *state, compress_fn *how,
				 const uint8_t *raw, size_t len, uint8_t *gz, const char **step)
{
	ssize_t n = how(state->lane->codec, state->codec, raw, len, gz);
	int err;

	if (n < 0)
		return n;
	err = verifier_chunk(state->verifier, gz, (size_t)n, raw, len);
	if (err == -EIO)
		*step = "what was compressed does not decompress to the same bytes";
	return err ? err : n;
}

ssize_t window_compress(struct codec_state *state, const uint8_t *raw, size_t len, uint8_t *gz,
			const char **step)
{
	ssize_t n;

	*step = "compressing";
	n = compress_verified(state, codec_chunk, raw, len, gz, step);
	if (n == -EIO)
		n = compress_verified(state, codec_chunk_surely, raw, len, gz, step);
	return n;
}

/* What the source has of the chunk at c->raw; 0: nothing that is of use. */
static ssize_t use_again(const struct window *w, struct codec_state *state, uint64_t i,
			 struct window_chunk *c, size_t len)
{
	const struct seekgz_writer *source = w->source;
	const struct seekgz_group *g;
	size_t n;

	if (!source || i >= source->chunks)
		return 0;
	g = &source->group[i];
	n = g->gz_bytes;
	if (codec_crc32(0, c->raw, len) != g->crc32 || n > codec_bound(len) ||
	    io_pread(source->fd, c->gz, n, c->source_pos) != (ssize_t)n ||
	    verifier_chunk(state->verifier, c->gz, n, c->raw, len) != 0)
		return 0;
	return (ssize_t)n;
}

static ssize_t compress(const struct window *w, struct codec_state *state, uint64_t i,
			struct window_chunk *c, const char **step)
{
	size_t len = chunk_len(w, i);
	ssize_t n;

	*step = "compressing";
	if (!state)
		return -ENOMEM;
	n = use_again(w, state, i, c, len);
	c->reused = n > 0;
	return n ? n : window_compress(state, c->raw, len, c->gz, step);
}

static int do_chunk(struct window *w, uint64_t i, const char **step)
{
	struct window_chunk *c = &w->slots[i % w->size];
	size_t len = chunk_len(w, i);
	struct codec_state *state;
	ssize_t n = io_pread(w->raw_fd, c->raw, len, w->offset + i * SEEKGZ_CHUNK_BYTES);

	*step = "reading the raw file";
	if (n < 0 || (size_t)n != len)
		return n < 0 ? (int)n : -EIO;
	if (w->check)
		return codec_crc32(0, c->raw, len) == w->source->group[i].crc32 ? 0 : -ESTALE;
	state = sealer_take_state(w->sealer, w->lane);
	n = compress(w, state, i, c, step);
	if (state)
		sealer_give_state(w->sealer, state);
	if (n < 0)
		return (int)n;
	c->gz_len = (size_t)n;
	return 0;
}

/* The same, unless it is stopped. */
static int do_chunk_counted(struct window *w, uint64_t i, const char **step)
{
	struct store *s = w->store;
	bool stopped;
	int err;

	lock_take(&s->lock);
	stopped = w->stopped(w);
	if (!stopped && !w->idle)
		space_chunk_begin_locked(s);
	lock_drop(&s->lock);
	*step = "sealing";
	if (stopped)
		return -ECANCELED;
	err = do_chunk(w, i, step);
	if (!w->idle)
		space_chunk_end(s, err ? 0 : chunk_len(w, i));
	return err;
}

/* ---- in order, by one thread at a time ---- */

static void fail_locked(struct window *w, int err, const char *step) REQUIRES(w->lock)
{
	if (!w->error) {
		w->error = err;
		w->step = step;
	}
}

/* Hand on everything that is next in order and ready, unless another task is at it. */
static void add_in_order_locked(struct window *w) REQUIRES(w->lock)
{
	if (w->adding)
		return;
	w->adding = true;
	while (!w->error && w->slots[w->done % w->size].ready) {
		struct window_chunk *c = &w->slots[w->done % w->size];
		size_t len = chunk_len(w, w->done);
		int err = 0;

		lock_drop(&w->lock);
		if (!w->check)
			err = w->add(w, c->raw, len, c->gz, c->gz_len);
		lock_take(&w->lock);
		if (err)
			fail_locked(w, err, "writing the temporary");
		w->reused += c->reused;
		c->ready = false;
		w->done++;
	}
	w->adding = false;
}

static bool claimable_locked(const struct window *w) REQUIRES(w->lock)
{
	return !w->error && w->claimed < w->chunks && w->claimed - w->done < w->size;
}

static uint64_t claim_locked(struct window *w) REQUIRES(w->lock)
{
	uint64_t i = w->claimed++;
	const struct seekgz_writer *source = w->source;

	w->slots[i % w->size].source_pos = w->source_pos;
	if (source && i < source->chunks)
		w->source_pos += source->group[i].gz_bytes;
	return i;
}

/* ---- tasks ---- */

static void submit(struct window *w, struct task *t)
{
	if (w->idle)
		pool_submit_idle(sealer_pool(w->sealer), t);
	else
		pool_submit(sealer_pool(w->sealer), t);
}

/* Submit the waiting tasks there is work for, now that the window has moved. */
static void wake_waiting_locked(struct window *w) REQUIRES(w->lock)
{
	for (uint32_t i = 0; claimable_locked(w) && i < w->task_count; i++) {
		if (!w->tasks[i].waits)
			continue;
		w->tasks[i].waits = false;
		w->active++;
		submit(w, &w->tasks[i].task);
	}
}

static void run(struct task *t)
{
	struct window_task *task = (struct window_task *)t;
	struct window *w = task->window;
	int turn = w->idle ? 1 : CHUNKS_A_TURN;
	bool again, last;

	lock_take(&w->lock);
	for (int n = 0; n < turn && claimable_locked(w); n++) {
		uint64_t i = claim_locked(w);
		const char *step;
		int err;

		lock_drop(&w->lock);
		err = do_chunk_counted(w, i, &step);
		lock_take(&w->lock);
		if (err)
			fail_locked(w, err, step);
		w->slots[i % w->size].ready = true;
		add_in_order_locked(w);
		wake_waiting_locked(w);
	}
	again = claimable_locked(w);
	task->waits = !again;
	w->active -= !again;
	last = w->active == 0;
	lock_drop(&w->lock);
	if (again) {
		submit(w, t);
	} else if (last) {
		free_slots(w);
		w->end(w, w->error, w->step);
	}
}

static int alloc_slots(struct window *w)
{
	unsigned threads = MAX(pool_threads(sealer_pool(w->sealer)), 1u);
	size_t len = chunk_len(w, w->first);

	w->size = (uint32_t)MIN(w->idle ? threads + 1 : 2 * threads + 1, w->chunks - w->first);
	w->task_count = (uint32_t)MIN(threads, w->chunks - w->first);
	w->slots = calloc(w->size, sizeof(*w->slots));
	w->tasks = calloc(w->task_count, sizeof(*w->tasks));
	if (!w->slots || !w->tasks)
		return -ENOMEM;
	for (uint32_t i = 0; i < w->size; i++) {
		w->slots[i].raw = malloc(len);
		w->slots[i].gz = w->check ? NULL : malloc(codec_bound(len) + VERIFIER_ROOM);
		if (!w->slots[i].raw || (!w->slots[i].gz && !w->check))
			return -ENOMEM;
	}
	return 0;
}

int window_start(struct window *w)
{
	int err = alloc_slots(w);
	uint32_t count;

	if (err) {
		free_slots(w);
		return err;
	}
	w->claimed = w->done = w->first;
	w->source_pos = w->source ? w->source->begin : 0;
	for (uint64_t i = 0; w->source && i < MIN(w->first, w->source->chunks); i++)
		w->source_pos += w->source->group[i].gz_bytes;
	w->reused = 0;
	w->error = 0;
	/* All are counted before the first can end; w may be gone once the last is submitted. */
	count = w->active = w->task_count;
	for (uint32_t i = 0; i < count; i++)
		w->tasks[i] = (struct window_task){.task.run = run, .window = w};
	for (uint32_t i = 0; i < count; i++)
		submit(w, &w->tasks[i].task);
	return 0;
}
