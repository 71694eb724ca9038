/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sealer: from segments to published objects: the queue, the compressing pool, the publisher.
 *
 *	sealer_submit → queue → [pool: compress, verify, write a temporary] → ready
 *	    → [publisher thread: batches of lib/publish.h] → next segment of the file
 *
 * A bounded number of segments is open at a time (threads + 2); each has at most 2 * threads +
 * 1 chunks in memory, half a MiB each, and never more than it has chunks. So memory is bounded
 * by about (threads + 2) * (2 * threads + 1) / 2 MiB, whatever the sizes: 10 MiB for 2 threads. Files
 * that are compressed while they are written (lib/early.h) have threads * (threads + 1) / 2 MiB besides.
 * To that come the codec states, one a lane and thread at most, each with a verifier of 0.3 MiB:
 * zlib 0.3 MiB, ISA-L 0.4 MiB, libdeflate 0.7 MiB, at its levels 10 to 12 8.7 MiB.
 */
#ifndef NOTEPACKFS_LIB_SEALER_H
#define NOTEPACKFS_LIB_SEALER_H

#include "lib/segment.h"

#define PUBLISH_BATCH 256 /* segments at most */

/*
 * A batch of small segments (of one chunk) is begun when so many are ready, when no other small one
 * is being compressed and none may be cut so soon, or when the first has waited so long. Anything
 * larger is published at once, with what is ready then.
 */
#define PUBLISH_TOGETHER 128
#define PUBLISH_WAIT_NS INT64_C(1000000000)
#define PUBLISH_SOON_NS INT64_C(20000000)

struct sealer;

/*
 * How segments are compressed: as the options say, or (the option adaptive, while more than a third
 * of the backlog waits) with what is fastest. Of a segment all chunks are compressed in one way.
 */
struct lane {
	const struct codec *codec;
	int level;
	struct codec_state *states; /* the sealer's */
};

/* NULL: no memory, the publisher's thread could not be created, or -EINVAL: this build has no such
 * codec (*err says which, -errno). */
struct sealer *sealer_open(struct store *s, unsigned threads, int *err);

/* Take a segment that is first in its file. */
void sealer_submit(struct sealer *p, struct segment *seg);

/* What seal_start's job reports, from any thread. */
void sealer_compressed(struct sealer *p, struct segment *seg, int err, const char *step);

/* How long a segment that has failed waits, after so many failures before. */
int64_t sealer_backoff_ns(unsigned attempts);

/* Put a segment aside, to be tried again. While draining: once more, then it is given up. */
void sealer_retry(struct sealer *p, struct segment *seg);

/* A segment that was parked by the publisher is ready again. */
void sealer_ready(struct sealer *p, struct segment *seg);

/* A segment's work has come to its end. A drain goes on when this was said of the last one:
 * what it looks at then (store.active), and what follows of the same file, must be settled
 * before. */
void sealer_done(struct sealer *p);

/* A segment's file was removed: free it and those behind it. */
void sealer_discard(struct sealer *p, struct segment *seg);

struct pool *sealer_pool(struct sealer *p);

/*
 * Seal everything that is queued, join all threads, free. progress (may be NULL) is called
 * about five times a second meanwhile. Returns how many segments could not be sealed.
 */
uint64_t sealer_drain(struct sealer *p, void (*progress)(struct store *s));
void sealer_close(struct sealer *p);

/* The lane for a segment that is begun now. */
struct lane *sealer_lane(struct sealer *p);

/* Codec states are kept and used again: at most one a lane and thread. NULL: no memory. */
struct codec_state {
	struct lane *lane;
	void *codec;
	struct verifier *verifier;
	struct codec_state *next;
};
struct codec_state *sealer_take_state(struct sealer *p, struct lane *lane);
void sealer_give_state(struct sealer *p, struct codec_state *state);

#endif
