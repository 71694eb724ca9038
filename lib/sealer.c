/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is compressed and not published yet has a temporary, and its descriptor: BEGUN_MAX of them at most.
 *
 * With few inodes left no temporary is begun while another one is to be published: each takes one
 * until its raw file goes, and the manifest needs some for that.
 *
 * Retries: a failed segment waits 0.25 s, then twice as long each time, up to 30 s. While
 * draining there is no one left to wait for: each segment gets one more try, then counts as
 * unfinished; its raw bytes stay, and the next start takes them up.
 */
#include "lib/sealer.h"

#include <stdio.h>

#include "lib/catalog.h"
#include "lib/codec.h"
#include "lib/cut.h"
#include "lib/io.h"
#include "lib/log.h"
#include "lib/piecewise.h"
#include "lib/publish.h"
#include "lib/seal.h"
#include "lib/segment_queue.h"
#include "lib/space.h"
#include "lib/verifier.h"

#define RETRY_FIRST_NS INT64_C(250000000)
#define RETRY_MAX_NS INT64_C(30000000000)
#define PROGRESS_NS 200000000
#define INODES_KEPT 8 /* of the last, and one for each thread that may begin one */
#define BEGUN_MAX 512 /* two batches of the publisher */
#define FAST_PART 3   /* of the backlog; beyond one, adaptive */

struct sealer {
	struct store *store;
	struct pool *pool;
	pthread_t publisher;
	unsigned open_max;

	/* Rank 20. Protects all below and the sealer's fields of segments. */
	struct lock lock;
	struct cond wake; /* the publisher has something to do */
	struct cond idle; /* the publisher has finished a turn */
	struct segment_queue queued, ready, retry;
	unsigned open;	   /* segments being compressed */
	unsigned small;	   /* … of these, those of one chunk */
	unsigned gathered; /* made ready since the last batch */
	int64_t gather_ns; /* the time by which they are published; 0: at once */
	unsigned in_work;  /* submitted, and neither published nor waiting for a retry */
	unsigned begun;	   /* of those in work, no more queued */
	bool held_back;	   /* for want of inodes, until one that is begun ends */
	bool draining, stop;
	struct lane lanes[2]; /* the options'; the fast one */
};

struct pool *sealer_pool(struct sealer *p)
{
	return p->pool;
}

struct lane *sealer_lane(struct sealer *p)
{
	const struct store_options *o = &p->store->options;
	bool fast;

	lock_take(&p->store->lock);
	fast = o->adaptive && o->backlog_bytes &&
	       p->store->pending_bytes > o->backlog_bytes / FAST_PART;
	lock_drop(&p->store->lock);
	return &p->lanes[fast];
}

static void free_state(struct codec_state *state)
{
	if (state->codec)
		state->lane->codec->free_state(state->codec);
	verifier_free(state->verifier);
	free(state);
}

struct codec_state *sealer_take_state(struct sealer *p, struct lane *lane)
{
	struct codec_state *state;

	lock_take(&p->lock);
	state = lane->states;
	if (state)
		lane->states = state->next;
	lock_drop(&p->lock);
	if (state)
		return state;
	state = calloc(1, sizeof(*state));
	if (!state)
		return NULL;
	state->lane = lane;
	state->codec = lane->codec->new_state(lane->level);
	state->verifier = verifier_new();
	if (state->codec && state->verifier)
		return state;
	free_state(state);
	return NULL;
}

void sealer_give_state(struct sealer *p, struct codec_state *state)
{
	lock_take(&p->lock);
	state->next = state->lane->states;
	state->lane->states = state;
	lock_drop(&p->lock);
}

static bool has_room_locked(const struct sealer *p) REQUIRES(p->lock)
{
	return p->queued.first && p->open < p->open_max && p->begun < BEGUN_MAX;
}

static bool can_start_locked(const struct sealer *p) REQUIRES(p->lock)
{
	return has_room_locked(p) && !p->held_back;
}

/* One that was begun is published, has failed, or is not wanted any more. */
static void ended_locked(struct sealer *p) REQUIRES(p->lock)
{
	p->in_work--;
	p->begun--;
	p->held_back = false;
	cond_signal(&p->wake);
}

/* Start queued segments while there is room. Called without the lock. */
static void start_queued(struct sealer *p)
{
	struct segment *seg;
	uint64_t kept;
	bool room, few;

	for (;;) {
		lock_take(&p->lock);
		room = has_room_locked(p);
		/* What is open may have no temporary yet. */
		kept = INODES_KEPT + p->store->options.threads + p->open;
		lock_drop(&p->lock);
		if (!room)
			return;
		few = space_inodes(p->store) < kept;

		lock_take(&p->lock);
		p->held_back = few && p->begun > 0;
		seg = can_start_locked(p) ? segment_queue_take(&p->queued) : NULL;
		if (seg) {
			seg->small = seg->raw_bytes <= SEEKGZ_CHUNK_BYTES;
			p->open++;
			p->small += seg->small;
			p->begun++;
		}
		lock_drop(&p->lock);
		if (!seg)
			return;
		seal_start(p->store, p, seg);
	}
}

/* To be published: now, or together with other small ones that are on their way. */
static void ready_locked(struct sealer *p, struct segment *seg, bool gather) REQUIRES(p->lock)
{
	bool first = !p->ready.first;

	segment_queue_add(&p->ready, seg);
	if (!gather)
		p->gather_ns = 0;
	else if (first)
		p->gather_ns = clock_ns() + PUBLISH_WAIT_NS;
	p->gathered = first ? 1 : p->gathered + 1;
}

/* The time until which a batch is gathered, as more is coming; 0: it is not. A file that is due soon may
 * be changed, and not cut then: that is looked at again. */
static int64_t gather_until_locked(const struct sealer *p) REQUIRES(p->lock)
{
	int64_t now_ns = clock_ns(), soon_ns = atomic_load(&p->store->soon_ns);

	if (!p->ready.first || p->gathered >= PUBLISH_TOGETHER || p->gather_ns <= now_ns)
		return 0;
	if (can_start_locked(p) || p->small)
		return p->gather_ns;
	if (!soon_ns || soon_ns > now_ns + PUBLISH_SOON_NS)
		return 0;
	return MIN(p->gather_ns, now_ns + PUBLISH_SOON_NS);
}

void sealer_submit(struct sealer *p, struct segment *seg)
{
	lock_take(&p->lock);
	segment_queue_add(&p->queued, seg);
	p->in_work++;
	lock_drop(&p->lock);
	start_queued(p);
}

void sealer_discard(struct sealer *p, struct segment *seg)
{
	struct store *s = p->store;
	struct file *f = seg->file;

	lock_take(&s->lock);
	node_ref_locked(&f->n);
	lock_drop(&s->lock);
	while (seg) /* those behind the first were never submitted */
		seg = segment_free(s, seg);
	lock_take(&s->lock);
	active_update_locked(s, f);
	node_unref_locked(s, &f->n, 1);
	lock_drop(&s->lock);
	sealer_done(p);
}

void sealer_compressed(struct sealer *p, struct segment *seg, int err, const char *step)
{
	bool cancelled, first;

	if (err) {
		segment_failed(p->store, seg, err, step);
		piecewise_failed(p->store, seg, err);
	}
	lock_take(&p->store->lock);
	cancelled = seg->cancelled;
	seg->state = err ? SEGMENT_RETRY : SEGMENT_READY;
	lock_drop(&p->store->lock);

	lock_take(&p->lock);
	p->open--;
	p->small -= seg->small;
	first = !p->ready.first;
	if (!err && !cancelled)
		ready_locked(p, seg, seg->small);
	/* It gathers, and does so for the first only. */
	if (first || !gather_until_locked(p))
		cond_signal(&p->wake);
	lock_drop(&p->lock);
	if (cancelled)
		sealer_discard(p, seg);
	else if (err)
		sealer_retry(p, seg);
	start_queued(p);
}

int64_t sealer_backoff_ns(unsigned attempts)
{
	return MIN(RETRY_FIRST_NS << MIN(attempts, 7u), RETRY_MAX_NS);
}

void sealer_retry(struct sealer *p, struct segment *seg)
{
	lock_take(&p->lock);
	seg->retry_ns = clock_ns() + sealer_backoff_ns(seg->attempts++);
	segment_queue_add(&p->retry, seg);
	ended_locked(p);
	lock_drop(&p->lock);
}

void sealer_ready(struct sealer *p, struct segment *seg)
{
	lock_take(&p->lock);
	ready_locked(p, seg, false);
	cond_signal(&p->wake);
	lock_drop(&p->lock);
}

void sealer_done(struct sealer *p)
{
	lock_take(&p->lock);
	ended_locked(p);
	cond_broadcast(&p->idle);
	lock_drop(&p->lock);
}

/* Move segments whose time has come to the queue; all of them while draining, once. */
static int64_t requeue_retries_locked(struct sealer *p) REQUIRES(p->lock)
{
	struct segment_queue old = p->retry;
	int64_t now_ns = clock_ns(), next_ns = 0;
	struct segment *seg;

	if (!old.first)
		return 0;
	segment_queue_init(&p->retry);
	while ((seg = segment_queue_take(&old))) {
		if (p->draining ? !seg->last_try : seg->retry_ns <= now_ns) {
			seg->last_try = p->draining;
			if (seg->renamed)
				ready_locked(p, seg, false);
			else
				segment_queue_add(&p->queued, seg);
			p->in_work++;
			p->begun += seg->renamed;
			continue;
		}
		segment_queue_add(&p->retry, seg);
		if (!next_ns || seg->retry_ns < next_ns)
			next_ns = seg->retry_ns;
	}
	return next_ns;
}

static size_t take_batch_locked(struct sealer *p, struct segment **batch) REQUIRES(p->lock)
{
	size_t count = 0;

	while (count < PUBLISH_BATCH && (batch[count] = segment_queue_take(&p->ready)))
		count++;
	p->gathered = 0;
	p->gather_ns = 0; /* of what is left, nothing waits */
	return count;
}

static void *publisher(void *arg)
{
	struct sealer *p = arg;
	struct segment *batch[PUBLISH_BATCH];

	lock_take(&p->lock);
	while (!p->stop) {
		int64_t next_ns = requeue_retries_locked(p);
		bool start = can_start_locked(p);
		int64_t gather_ns = gather_until_locked(p);
		size_t count = 0;

		if (!gather_ns)
			count = take_batch_locked(p, batch);
		if (count || start) {
			lock_drop(&p->lock);
			if (start)
				start_queued(p);
			if (count)
				publish_batch(p->store, batch, count);
			lock_take(&p->lock);
			continue;
		}
		/* Not a moment without the lock from here on: what comes then wakes no one. */
		cond_broadcast(&p->idle);
		if (p->draining)
			next_ns = 0;
		if (gather_ns && (!next_ns || gather_ns < next_ns))
			next_ns = gather_ns;
		if (next_ns)
			cond_wait_until(&p->wake, &p->lock, next_ns);
		else
			cond_wait(&p->wake, &p->lock);
	}
	lock_drop(&p->lock);
	return NULL;
}

static int open_lanes(struct sealer *p)
{
	const struct store_options *o = &p->store->options;
	const struct codec *codec = codec_find(o->codec);
	const struct codec *fastest;

	if (!codec || o->level < codec->min_level || o->level > codec->max_level)
		return -EINVAL;
	fastest = codec_fastest(codec);
	p->lanes[0] = (struct lane){.codec = codec, .level = o->level};
	p->lanes[1] = (struct lane){.codec = fastest, .level = fastest->min_level};
	return 0;
}

static void close_lane(struct lane *lane)
{
	while (lane->states) {
		struct codec_state *state = lane->states;

		lane->states = state->next;
		free_state(state);
	}
}

struct sealer *sealer_open(struct store *s, unsigned threads, int *err)
{
	struct sealer *p = calloc(1, sizeof(*p));

	*err = -ENOMEM;
	if (!p)
		return NULL;
	p->store = s;
	*err = open_lanes(p);
	if (*err) {
		free(p);
		return NULL;
	}
	p->open_max = threads + 2;
	lock_init(&p->lock);
	cond_init(&p->wake);
	cond_init(&p->idle);
	segment_queue_init(&p->queued);
	segment_queue_init(&p->ready);
	segment_queue_init(&p->retry);
	p->pool = pool_open(threads, true);
	*err = -ENOMEM;
	if (p->pool)
		*err = -pthread_create(&p->publisher, NULL, publisher, p);
	if (*err == 0)
		return p;
	pool_close(p->pool);
	free(p);
	return NULL;
}

/* Is everything done that can be done? Retries that had their last try do not count. */
static bool drained_locked(struct sealer *p) REQUIRES(p->lock)
{
	struct segment *seg;

	if (p->in_work || p->queued.first || p->ready.first)
		return false;
	for (seg = p->retry.first; seg; seg = seg->queue_next) {
		if (!seg->last_try)
			return false;
	}
	return true;
}

uint64_t sealer_drain(struct sealer *p, void (*progress)(struct store *s))
{
	uint64_t unfinished = 0;

	lock_take(&p->lock);
	p->draining = true;
	cond_broadcast(&p->wake);
	while (!drained_locked(p)) {
		cond_wait_until(&p->idle, &p->lock, clock_ns() + PROGRESS_NS);
		lock_drop(&p->lock);
		if (progress)
			progress(p->store);
		lock_take(&p->lock);
	}
	for (struct segment *seg = p->retry.first; seg; seg = seg->queue_next)
		unfinished++;
	p->stop = true;
	cond_broadcast(&p->wake);
	lock_drop(&p->lock);
	return unfinished;
}

void sealer_close(struct sealer *p)
{
	struct segment *seg;

	if (!p)
		return;
	lock_take(&p->lock);
	p->stop = true;
	cond_broadcast(&p->wake);
	lock_drop(&p->lock);
	pthread_join(p->publisher, NULL);
	pool_close(p->pool);
	while ((seg = segment_queue_take(&p->retry))) {
		while (seg)
			seg = segment_free(p->store, seg);
	}
	close_lane(&p->lanes[0]);
	close_lane(&p->lanes[1]);
	cond_release(&p->idle);
	cond_release(&p->wake);
	lock_release(&p->lock);
	free(p);
}
