/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The window: chunk i lives in slot i % window from its claim until it was written. A task that
 * finds the window full ends (it is "idle"); the task that writes submits it again when a slot
 * has become free. No thread ever waits for another one. A task gives the thread up after some
 * chunks, so that a large segment does not hold up small ones behind it.
 */
#include "lib/seal.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <zlib.h>

#include "lib/catalog.h"
#include "lib/codec.h"
#include "lib/io.h"
#include "lib/layout.h"
#include "lib/orphan.h"
#include "lib/piecewise.h"
#include "lib/raw.h"
#include "lib/seal_small.h"
#include "lib/seekgz_index.h"
#include "lib/space.h"
#include "lib/temporary.h"
#include "lib/verifier.h"

#define CHUNKS_A_TURN 16
#define HASH_BYTES ((size_t)1 << 20)

struct chunk {
	uint8_t *raw, *gz;
	size_t gz_len;
	bool done;
};

struct seal;

struct seal_task {
	struct task task;
	struct seal *seal;
	bool idle; /* seal->lock */
};

struct seal {
	struct store *store;
	struct sealer *sealer;
	struct segment *seg;
	struct lane *lane;
	struct seekgz_header header;
	struct raw *raw;
	int raw_fd;
	uint32_t window, task_count;
	struct chunk *chunks; /* window of them */

	/* Rank 22. Protects what follows, up to the next comment, and chunk.done. */
	struct lock lock;
	uint64_t claimed, written;
	unsigned active; /* tasks that are not idle */
	bool writing;	 /* a task is the writer; the fields below are its */
	int error;
	const char *step;

	/* The writer's. */
	uint64_t gz_pos;
	uint32_t crc, body_crc;
	EVP_MD_CTX *sha;
	struct frames frames;

	struct seal_task tasks[];
};

static void free_seal(struct seal *sl)
{
	for (uint32_t i = 0; sl->chunks && i < sl->window; i++) {
		free(sl->chunks[i].raw);
		free(sl->chunks[i].gz);
	}
	free(sl->chunks);
	if (sl->raw_fd >= 0)
		close(sl->raw_fd);
	raw_put(sl->store, sl->seg->file, sl->raw);
	EVP_MD_CTX_free(sl->sha);
	seekgz_header_release(&sl->header);
	lock_release(&sl->lock);
	free(sl);
}

/* ---- one chunk, by any thread ---- */

static size_t chunk_len(const struct seal *sl, uint64_t i)
{
	return (size_t)MIN(SEEKGZ_CHUNK_BYTES, sl->seg->raw_bytes - i * SEEKGZ_CHUNK_BYTES);
}

typedef ssize_t compress_fn(const struct codec *codec, void *state, const uint8_t *in,
			    size_t len, uint8_t *out);

/* Compress, decompress and compare. Returns the compressed length. */
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

ssize_t seal_compress(struct codec_state *state, const uint8_t *raw, size_t len, uint8_t *gz,
		      const char **step)
{
	ssize_t n = compress_verified(state, codec_chunk, raw, len, gz, step);

	return n == -EIO ? compress_verified(state, codec_chunk_surely, raw, len, gz, step) : n;
}

static int do_chunk(struct seal *sl, uint64_t i, const char **step)
{
	struct chunk *c = &sl->chunks[i % sl->window];
	size_t len = chunk_len(sl, i);
	struct codec_state *state = sealer_take_state(sl->sealer, sl->lane);
	ssize_t n;

	*step = "compressing";
	if (!state)
		return -ENOMEM;
	n = io_pread(sl->raw_fd, c->raw, len, sl->seg->offset + i * SEEKGZ_CHUNK_BYTES);
	if (n < 0 || (size_t)n != len) {
		*step = "reading the raw file";
		n = n < 0 ? n : -EIO;
	} else {
		n = seal_compress(state, c->raw, len, c->gz, step);
	}
	sealer_give_state(sl->sealer, state);
	if (n < 0)
		return (int)n;
	c->gz_len = (size_t)n;
	return 0;
}

/* The same, unless the segment is cancelled. */
static int do_chunk_counted(struct seal *sl, uint64_t i, const char **step)
{
	struct store *s = sl->store;
	bool cancelled;
	int err;

	lock_take(&s->lock);
	cancelled = sl->seg->cancelled;
	if (!cancelled)
		space_chunk_begin_locked(s);
	lock_drop(&s->lock);
	*step = "sealing";
	if (cancelled)
		return -ECANCELED;
	err = do_chunk(sl, i, step);
	space_chunk_end(s, err ? 0 : chunk_len(sl, i));
	return err;
}

/* ---- in order, by one thread at a time ---- */

static int write_chunk(struct seal *sl, uint64_t i)
{
	struct chunk *c = &sl->chunks[i % sl->window];
	struct seekgz_group *g = &sl->header.group[i >> sl->header.layout.stride_log2];
	size_t len = chunk_len(sl, i);
	uint32_t crc = codec_crc32(0, c->raw, len);
	int err = io_pwrite(sl->seg->tmp_fd, c->gz, c->gz_len, sl->gz_pos);

	if (err)
		return err;
	seekgz_index_put(sl->seg->index, i, (uint32_t)c->gz_len, crc);
	sl->gz_pos += c->gz_len;
	sl->body_crc = codec_crc32(sl->body_crc, c->gz, c->gz_len);
	sl->crc = (uint32_t)crc32_combine(sl->crc, crc, (z_off_t)len);
	g->crc32 = g->gz_bytes ? (uint32_t)crc32_combine(g->crc32, crc, (z_off_t)len) : crc;
	g->gz_bytes += (uint32_t)c->gz_len;
	frames_feed(&sl->frames, c->raw, len);
	return EVP_DigestUpdate(sl->sha, c->raw, len) == 1 ? 0 : -ENOMEM;
}

static void fail_locked(struct seal *sl, int err, const char *step) REQUIRES(sl->lock)
{
	if (!sl->error) {
		sl->error = err;
		sl->step = step;
	}
}

/* Write everything that is next in order and done, unless another task is at it. */
static void write_in_order_locked(struct seal *sl) REQUIRES(sl->lock)
{
	if (sl->writing)
		return;
	sl->writing = true;
	while (!sl->error && sl->chunks[sl->written % sl->window].done) {
		uint64_t i = sl->written;
		int err;

		lock_drop(&sl->lock);
		err = write_chunk(sl, i);
		lock_take(&sl->lock);
		if (err)
			fail_locked(sl, err, "writing the temporary");
		sl->chunks[i % sl->window].done = false;
		sl->written++;
	}
	sl->writing = false;
}

static bool claimable_locked(const struct seal *sl) REQUIRES(sl->lock)
{
	return !sl->error && sl->claimed < sl->header.layout.chunks &&
	       sl->claimed - sl->written < sl->window;
}

/* ---- the end ---- */

/* SHA-256 of the whole temporary, from the disk; its body must be what was written. */
static int hash_object(struct seal *sl, const uint8_t *header, uint8_t *out)
{
	uint64_t pos = sl->header.layout.header_bytes, end = sl->seg->record.gz_bytes;
	CLEANUP_FREE uint8_t *buf = malloc(HASH_BYTES);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint32_t crc = 0;
	int err = -ENOMEM;

	if (!buf || !md || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestUpdate(md, header, pos) != 1)
		goto out_free;
	while (pos < end) {
		ssize_t n =
		    io_pread(sl->seg->tmp_fd, buf, (size_t)MIN(HASH_BYTES, end - pos), pos);

		err = n < 0 ? (int)n : -EIO;
		if (n <= 0 || EVP_DigestUpdate(md, buf, (size_t)n) != 1)
			goto out_free;
		crc = codec_crc32(crc, buf, (size_t)n);
		pos += (uint64_t)n;
	}
	err = crc != sl->body_crc ? -EIO : EVP_DigestFinal_ex(md, out, NULL) == 1 ? 0 : -ENOMEM;
out_free:
	EVP_MD_CTX_free(md);
	return err;
}

static int write_ends(struct seal *sl)
{
	struct sealed *rec = &sl->seg->record;
	uint32_t header_bytes = sl->header.layout.header_bytes;
	CLEANUP_FREE uint8_t *header = malloc(header_bytes);
	uint8_t trailer[SEEKGZ_TRAILER_BYTES];
	int err;

	if (!header || EVP_DigestFinal_ex(sl->sha, sl->header.raw_sha256, NULL) != 1)
		return -ENOMEM;
	seekgz_header_encode(&sl->header, header);
	seekgz_trailer_encode(sl->crc, sl->seg->raw_bytes, trailer);
	err = io_pwrite(sl->seg->tmp_fd, trailer, sizeof(trailer), sl->gz_pos);
	if (!err)
		err = io_pwrite(sl->seg->tmp_fd, header, header_bytes, 0);
	if (err)
		return err;
	sl->body_crc = codec_crc32(sl->body_crc, trailer, sizeof(trailer));
	rec->gz_bytes = sl->gz_pos + sizeof(trailer);
	memcpy(rec->raw_sha256, sl->header.raw_sha256, SHA256_BYTES);
	return hash_object(sl, header, rec->sha256);
}

/* The last task is through. */
static void end(struct seal *sl)
{
	struct store *s = sl->store;
	struct sealer *sealer = sl->sealer;
	struct segment *seg = sl->seg;
	const char *step = sl->step;
	int err = sl->error;

	if (!err) {
		step = "completing the temporary";
		err = write_ends(sl);
		temporary_record(seg, sl->lane, sl->crc, &sl->frames);
	}
	if (err)
		temporary_drop(s, seg);
	free_seal(sl);
	sealer_compressed(sealer, seg, err, step);
}

/* Submit the idle tasks there is work for, now that the window has moved. */
static void wake_idle_locked(struct seal *sl) REQUIRES(sl->lock)
{
	for (uint32_t i = 0; claimable_locked(sl) && i < sl->task_count; i++) {
		if (!sl->tasks[i].idle)
			continue;
		sl->tasks[i].idle = false;
		sl->active++;
		pool_submit(sealer_pool(sl->sealer), &sl->tasks[i].task);
	}
}

static void run(struct task *t)
{
	struct seal_task *task = (struct seal_task *)t;
	struct seal *sl = task->seal;
	bool again, last;

	lock_take(&sl->lock);
	for (int n = 0; n < CHUNKS_A_TURN && claimable_locked(sl); n++) {
		uint64_t i = sl->claimed++;
		const char *step;
		int err;

		lock_drop(&sl->lock);
		err = do_chunk_counted(sl, i, &step);
		lock_take(&sl->lock);
		if (err)
			fail_locked(sl, err, step);
		sl->chunks[i % sl->window].done = true;
		write_in_order_locked(sl);
		wake_idle_locked(sl);
	}
	again = claimable_locked(sl);
	task->idle = !again;
	sl->active -= !again;
	last = sl->active == 0;
	lock_drop(&sl->lock);
	if (again)
		pool_submit(sealer_pool(sl->sealer), t);
	else if (last)
		end(sl);
}

/* ---- the beginning ---- */

int seal_open_raw(struct store *s, struct segment *seg, struct raw **raw, int *fd,
		  const char **step)
{
	struct stat st;
	int err;

	lock_take(&s->lock);
	gate_enter_locked(s, seg->file);
	lock_drop(&s->lock);
	err = raw_open_unseen(s, seg->file, raw, fd);
	lock_take(&s->lock);
	gate_leave_locked(s, seg->file);
	lock_drop(&s->lock);
	if (!err)
		err = io_fstat(*fd, &st);
	if (err)
		return err;
	if (st.st_nlink > 1) {
		*step = "its raw file has another name, a hard link, through which it can be "
			"changed; remove that";
		return -EMLINK;
	}
	return 0;
}

static int alloc_chunks(struct seal *sl)
{
	size_t len = chunk_len(sl, 0);

	sl->chunks = calloc(sl->window, sizeof(*sl->chunks));
	for (uint32_t i = 0; sl->chunks && i < sl->window; i++) {
		sl->chunks[i].raw = malloc(len);
		sl->chunks[i].gz = malloc(codec_bound(len) + VERIFIER_ROOM);
		if (!sl->chunks[i].raw || !sl->chunks[i].gz)
			return -ENOMEM;
	}
	return sl->chunks ? 0 : -ENOMEM;
}

static struct seal *new_seal(struct store *s, struct sealer *p, struct segment *seg)
{
	unsigned threads = MAX(pool_threads(sealer_pool(p)), 1u);
	struct seekgz_layout layout;
	struct seal *sl;
	uint32_t tasks;

	seekgz_layout(seg->raw_bytes, &layout);
	tasks = (uint32_t)MIN(threads, layout.chunks);
	sl = calloc(1, sizeof(*sl) + tasks * sizeof(sl->tasks[0]));
	if (!sl)
		return NULL;
	lock_init(&sl->lock);
	sl->store = s;
	sl->sealer = p;
	sl->seg = seg;
	sl->raw_fd = -1;
	sl->lane = sealer_lane(p);
	sl->task_count = tasks;
	sl->window = (uint32_t)MIN(2 * threads + 1, layout.chunks);
	sl->header =
	    (struct seekgz_header){.layout = layout, .part = seg->part, .offset = seg->offset};
	sl->header.group = calloc(layout.groups, sizeof(*sl->header.group));
	sl->gz_pos = layout.header_bytes;
	sl->sha = EVP_MD_CTX_new();
	frames_init(&sl->frames);
	free(seg->index);
	seg->index = seekgz_index_new(&layout, &seg->index_bytes);
	return sl;
}

void seal_start(struct store *s, struct sealer *p, struct segment *seg)
{
	const char *step = "getting memory";
	struct seal *sl;
	int err;

	if (seg->orphan) {
		orphan_start(s, p, seg);
		return;
	}
	piecewise_fit(s, seg);
	if (seg->raw_bytes <= SEEKGZ_CHUNK_BYTES) {
		seal_small_start(s, p, seg);
		return;
	}
	sl = new_seal(s, p, seg);
	err = sl && sl->sha && sl->header.group &&
		      EVP_DigestInit_ex(sl->sha, EVP_sha256(), NULL) == 1
		  ? 0
		  : -ENOMEM;

	lock_take(&s->lock);
	seg->state = SEGMENT_SEALING;
	lock_drop(&s->lock);
	if (!err)
		err = alloc_chunks(sl);
	if (!err) {
		step = "opening the raw file";
		err = seal_open_raw(s, seg, &sl->raw, &sl->raw_fd, &step);
	}
	if (!err) {
		step = "creating a temporary";
		err = temporary_open(s, seg);
	}
	if (err) {
		if (sl)
			free_seal(sl);
		sealer_compressed(p, seg, err, step);
		return;
	}
	/* All are counted before the first can end. */
	sl->active = sl->task_count;
	uint32_t count = sl->task_count;

	for (uint32_t i = 0; i < count; i++) {
		sl->tasks[i].task.run = run;
		sl->tasks[i].seal = sl;
	}
	for (uint32_t i = 0; i < count; i++)
		pool_submit(sealer_pool(p), &sl->tasks[i].task);
}
