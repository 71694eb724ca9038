/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * window: the chunks of a run of raw bytes, compressed side by side, and handed on in their order.
 *
 * All threads of the pool may work on one: each takes the next chunk, reads it, compresses it, decompresses
 * it again and compares; whoever finishes the chunk that is next in order hands it on, and what is ready
 * behind it. The result does not depend on the number of threads.
 *
 * Memory: a window of 2 * threads + 1 chunks at most, or threads + 1 if it is idle, half a MiB each, from
 * start to end.
 */
#ifndef NOTEPACKFS_LIB_WINDOW_H
#define NOTEPACKFS_LIB_WINDOW_H

#include "lib/sealer.h"
#include "lib/seekgz_write.h"

struct window_chunk;
struct window_task;

struct window {
	/* Its owner's to set before window_start. */
	struct store *store;
	struct sealer *sealer;
	struct lane *lane;
	int raw_fd;
	uint64_t offset;	/* of chunk 0, in the raw file */
	uint64_t raw_bytes;	/* from there: the last chunk may be shorter */
	uint64_t first, chunks; /* those from first on, up to this one */
	bool
	    idle; /* when there is nothing else to do; no one who is slowed down waits for it */
	/* Chunks that were compressed before: they are used again where they decompress to what the raw
	 * file has now. check: nothing is compressed, and nothing handed on: -ESTALE is the end if the raw
	 * bytes of a chunk have another CRC-32 than it had. NULL: there are none. */
	const struct seekgz_writer *source;
	bool check;
	bool (*stopped)(
	    struct window
		*w); /* with store.lock: -ECANCELED is the end; no new chunk is begun */
	int (*add)(struct window *w, const uint8_t *raw, size_t raw_len, const uint8_t *gz,
		   size_t gz_len); /* in order, by one thread at a time; 0 or -errno */
	/* No thread is at it any more: 0, or the first error and its step. By a task of the pool; the window
	 * may be started anew, or freed, in it. */
	void (*end)(struct window *w, int err, const char *step);

	/* Rank 22. Protects what follows. */
	struct lock lock;
	uint64_t claimed, done; /* chunks */
	uint64_t source_pos;	/* of chunk `claimed` in the file of source */
	uint64_t reused;	/* chunks that were in source, and were used again */
	unsigned active;	/* tasks that have not come to their end */
	bool adding;		/* a task is in add */
	int error;
	const char *step;
	uint32_t size, task_count;
	struct window_chunk *slots;
	struct window_task *tasks;
};

void window_init(struct window *w);
void window_release(struct window *w);

/* Begin with first; there is at least one chunk. 0, and end is called; or -ENOMEM, and it is not. */
int window_start(struct window *w);

/*
 * By one thread, for an owner whose window is not at work: the chunk at raw, of len bytes, into gz, which
 * has codec_bound(len) + VERIFIER_ROOM bytes; decompressed again and compared. The compressed length, or
 * -errno and *step.
 */
ssize_t window_compress(struct codec_state *state, const uint8_t *raw, size_t len, uint8_t *gz,
			const char **step);

#endif
