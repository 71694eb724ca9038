/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A slot is EMPTY, or it belongs to a chunk of a reader: QUEUED to be read ahead, LOADING (one
 * thread decompresses, without the lock), or READY. A chunk has one slot at most. Who waits for a
 * slot holds none, and who holds one (LOADING, or users of a READY one) waits for nothing.
 */
#include "lib/chunks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/lock.h"
#include "lib/pool.h"

#define NONE UINT64_MAX

struct slot {
	enum { EMPTY, QUEUED, LOADING, READY } state;
	struct chunks_reader *reader;
	uint64_t chunk;
	unsigned users; /* who copy from it */
	bool unread;	/* read ahead, and not used yet */
	size_t given;	/* bytes that were copied from it */
	uint64_t turn;	/* of its latest use, or when it was queued */
	uint8_t *plain; /* NULL: no memory yet */
};

struct worker {
	struct task task;
	struct chunks *chunks;
	bool idle;
};

struct scratch {
	struct scratch *next;
	struct seekgz_scratch *seekgz;
};

struct chunks_reader {
	struct chunks *chunks;
	struct seekgz_reader *seekgz;
	/* Under the cache's lock: how it is read. */
	uint64_t last; /* the chunk that was read last */
	unsigned run;  /* how many before it were read in order */
};

struct chunks {
	struct pool *pool;
	unsigned slot_count, worker_count;
	struct worker *workers;

	struct lock lock; /* rank 42; protects all below, and every slot but the bytes of those
			      * that are LOADING or have users */
	struct cond changed; /* a slot is not LOADING any more, or has no users */
	uint64_t turn;
	struct scratch *scratches;
	struct chunks_counts counts;
	struct slot slots[];
};

/* ---- slots ---- */

static struct slot *find_locked(struct chunks *c, const struct chunks_reader *r, uint64_t chunk)
    REQUIRES(c->lock)
{
	for (unsigned i = 0; i < c->slot_count; i++) {
		struct slot *slot = &c->slots[i];

		if (slot->state != EMPTY && slot->reader == r && slot->chunk == chunk)
			return slot;
	}
	return NULL;
}

/*
 * What it costs to take a slot for another chunk. The order is: an empty one that has memory, what
 * was read from end to end, an empty one, other chunks, unread ones; of each, what was used longest
 * ago. NONE: it must not be taken.
 */
static uint64_t price_locked(const struct chunks *c, const struct slot *slot, bool ahead)
    REQUIRES(c->lock)
{
	bool unread = slot->state == QUEUED || (slot->state == READY && slot->unread);
	uint64_t class = c->turn + 1;

	if (slot->state == EMPTY)
		return slot->plain ? 0 : 2 * class;
	if (slot->state == LOADING || slot->users > 0)
		return NONE;
	if (slot->given >= SEEKGZ_CHUNK_BYTES)
		return class + slot->turn;
	if (ahead && (unread || slot->chunk == slot->reader->last))
		return NONE;
	return (unread ? 4 : 3) * class + slot->turn;
}

/* The cheapest slot, for a chunk that has none; NULL: there is none to be had now. */
static struct slot *take_slot_locked(struct chunks *c, struct chunks_reader *r, uint64_t chunk,
				     bool ahead) REQUIRES(c->lock)
{
	struct slot *best = NULL;
	uint64_t least = NONE;

	for (unsigned i = 0; i < c->slot_count; i++) {
		uint64_t price = price_locked(c, &c->slots[i], ahead);

		if (price < least) {
			least = price;
			best = &c->slots[i];
		}
	}
	if (!best)
		return NULL;
	c->counts.wasted += best->state == READY && best->unread;
	best->state = QUEUED;
	best->reader = r;
	best->chunk = chunk;
	best->unread = false;
	best->given = 0;
	best->turn = c->turn++;
	return best;
}

/* ---- decompressing ---- */

static struct scratch *take_scratch_locked(struct chunks *c) REQUIRES(c->lock)
{
	struct scratch *scratch = c->scratches;

	if (scratch)
		c->scratches = scratch->next;
	return scratch;
}

static void free_scratch(struct scratch *scratch)
{
	seekgz_scratch_free(scratch->seekgz);
	free(scratch);
}

static struct scratch *new_scratch(void)
{
	struct scratch *scratch = calloc(1, sizeof(*scratch));

	if (!scratch)
		return NULL;
	scratch->seekgz = seekgz_scratch_new();
	if (scratch->seekgz)
		return scratch;
	free(scratch);
	return NULL;
}

/* The lock is dropped meanwhile. On an error the slot is empty. */
static int load_locked(struct chunks *c, struct slot *slot, struct seekgz_damage *damage)
    REQUIRES(c->lock)
{
	struct scratch *scratch = take_scratch_locked(c);
	bool fresh = !slot->plain;
	int err = -ENOMEM;

	slot->state = LOADING;
	lock_drop(&c->lock);
	if (!scratch)
		scratch = new_scratch();
	if (fresh)
		slot->plain = malloc(SEEKGZ_CHUNK_BYTES + SEEKGZ_CHUNK_ROOM);
	if (scratch && slot->plain)
		err = seekgz_chunk(slot->reader->seekgz, scratch->seekgz, slot->chunk,
				   slot->plain, damage);
	lock_take(&c->lock);
	if (scratch) {
		scratch->next = c->scratches;
		c->scratches = scratch;
	}
	c->counts.held += fresh && slot->plain;
	c->counts.most = MAX(c->counts.most, c->counts.held);
	slot->state = err ? EMPTY : READY;
	cond_broadcast(&c->changed);
	return err;
}

/* Have the chunk in a slot, of which the caller is a user then. */
static int use_locked(struct chunks *c, struct chunks_reader *r, uint64_t chunk,
		      struct slot **out, struct seekgz_damage *damage) REQUIRES(c->lock)
{
	int err = 0;

	for (;;) {
		struct slot *slot = find_locked(c, r, chunk);

		if (!slot)
			slot = take_slot_locked(c, r, chunk, false);
		if (!slot || slot->state == LOADING) {
			cond_wait(&c->changed, &c->lock);
			continue;
		}
		if (slot->state == QUEUED) {
			err = load_locked(c, slot, damage);
			c->counts.needed += !err;
		}
		if (err)
			return err;
		slot->users++;
		slot->unread = false;
		slot->turn = c->turn++;
		*out = slot;
		return 0;
	}
}

static void leave_locked(struct chunks *c, struct slot *slot, size_t given) REQUIRES(c->lock)
{
	slot->given += given;
	if (--slot->users == 0)
		cond_broadcast(&c->changed);
}

/* ---- reading ahead ---- */

/* What was queued first. */
static struct slot *next_queued_locked(struct chunks *c) REQUIRES(c->lock)
{
	struct slot *next = NULL;

	for (unsigned i = 0; i < c->slot_count; i++) {
		struct slot *slot = &c->slots[i];

		if (slot->state == QUEUED && (!next || slot->turn < next->turn))
			next = slot;
	}
	return next;
}

static void run(struct task *t)
{
	struct worker *w = (struct worker *)t;
	struct chunks *c = w->chunks;
	struct seekgz_damage damage;
	struct slot *slot;

	lock_take(&c->lock);
	while ((slot = next_queued_locked(c))) {
		if (load_locked(c, slot, &damage))
			continue;
		slot->unread = true;
		c->counts.ahead++;
	}
	w->idle = true;
	lock_drop(&c->lock);
}

/* The reader is at this chunk: how many behind it are to be read ahead? The requests of one reader
 * may overtake each other by less than a chunk. */
static unsigned note_chunk_locked(struct chunks *c, struct chunks_reader *r, uint64_t chunk)
    REQUIRES(c->lock)
{
	if (chunk == r->last + 1) {
		r->run++;
		r->last = chunk;
	} else if (chunk != r->last && chunk + 1 != r->last) {
		r->run = 0;
		r->last = chunk;
	}
	if (r->run < 2)
		return 0;
	return r->run > 3 ? CHUNKS_AHEAD : 1U << (r->run - 1);
}

/* Where reading ahead ends: with the group, whose index is at hand. */
static uint64_t ahead_end(const struct chunks_reader *r, uint64_t chunk)
{
	const struct seekgz_layout *layout = &seekgz_header(r->seekgz)->layout;
	uint64_t group = chunk >> layout->stride_log2;

	if (layout->stride_log2 == 0)
		return layout->chunks;
	return MIN(layout->chunks, (group + 1) << layout->stride_log2);
}

/* Queue what is to be read ahead; returns how many there are to be done. */
static unsigned queue_ahead_locked(struct chunks *c, struct chunks_reader *r, uint64_t chunk)
    REQUIRES(c->lock)
{
	unsigned queued = 0, count = note_chunk_locked(c, r, chunk);
	uint64_t end = MIN(chunk + 1 + count, ahead_end(r, chunk));

	for (uint64_t i = chunk + 1; i < end; i++) {
		if (find_locked(c, r, i))
			continue;
		if (!take_slot_locked(c, r, i, true))
			break;
		queued++;
	}
	return queued;
}

/* The lock is dropped meanwhile: the pool's is of a lower rank. */
static void wake_locked(struct chunks *c, unsigned count) REQUIRES(c->lock)
{
	for (unsigned i = 0; i < c->worker_count && count > 0; i++) {
		if (!c->workers[i].idle)
			continue;
		c->workers[i].idle = false;
		count--;
		lock_drop(&c->lock);
		pool_submit(c->pool, &c->workers[i].task);
		lock_take(&c->lock);
	}
}

/* ---- readers ---- */

ssize_t chunks_read(struct chunks_reader *r, void *buf, size_t len, uint64_t offset,
		    struct seekgz_damage *damage)
{
	const struct seekgz_layout *layout = &seekgz_header(r->seekgz)->layout;
	struct chunks *c = r->chunks;
	struct seekgz_damage met = {0};
	size_t done = 0;
	int err = 0;

	if (offset >= layout->raw_bytes)
		return 0;
	len = (size_t)MIN(len, layout->raw_bytes - offset);
	lock_take(&c->lock);
	while (done < len) {
		uint64_t chunk = (offset + done) >> SEEKGZ_CHUNK_LOG2;
		size_t skip = (offset + done) & (SEEKGZ_CHUNK_BYTES - 1), n;
		struct slot *slot;

		wake_locked(c, queue_ahead_locked(c, r, chunk));
		err = use_locked(c, r, chunk, &slot, &met);
		if (err)
			break;
		n = MIN(len - done, seekgz_chunk_bytes(layout, chunk) - skip);
		lock_drop(&c->lock);
		memcpy((uint8_t *)buf + done, slot->plain + skip, n);
		lock_take(&c->lock);
		leave_locked(c, slot, n);
		done += n;
	}
	lock_drop(&c->lock);
	if (!err || done > 0)
		return (ssize_t)done;
	if (damage)
		*damage = met;
	return err;
}

struct chunks_reader *chunks_attach(struct chunks *c, struct seekgz_reader *seekgz)
{
	struct chunks_reader *r = calloc(1, sizeof(*r));

	if (!r) {
		seekgz_close(seekgz);
		return NULL;
	}
	r->chunks = c;
	r->seekgz = seekgz;
	r->last = NONE; /* the first chunk is the one behind it */
	return r;
}

void chunks_detach(struct chunks_reader *r)
{
	struct chunks *c = r->chunks;

	lock_take(&c->lock);
	for (unsigned i = 0; i < c->slot_count; i++) {
		struct slot *slot = &c->slots[i];

		/* What is being read ahead ends by itself; it may be empty then. */
		while (slot->reader == r && slot->state == LOADING)
			cond_wait(&c->changed, &c->lock);
		if (slot->reader != r)
			continue;
		c->counts.wasted += slot->state == READY && slot->unread;
		c->counts.held -= slot->plain != NULL;
		slot->state = EMPTY;
		slot->reader = NULL;
		free(slot->plain);
		slot->plain = NULL;
	}
	lock_drop(&c->lock);
	seekgz_close(r->seekgz);
	free(r);
}

/* ---- the cache ---- */

struct chunks *chunks_open(unsigned slots, unsigned threads)
{
	struct chunks *c = calloc(1, sizeof(*c) + slots * sizeof(c->slots[0]));

	if (!c)
		return NULL;
	c->slot_count = slots;
	c->worker_count = MAX(threads, 1U);
	c->workers = calloc(c->worker_count, sizeof(*c->workers));
	c->pool = c->workers ? pool_open(threads, false) : NULL;
	if (!c->pool) {
		free(c->workers);
		free(c);
		return NULL;
	}
	lock_init(&c->lock);
	cond_init(&c->changed);
	for (unsigned i = 0; i < c->worker_count; i++)
		c->workers[i] = (struct worker){.task.run = run, .chunks = c, .idle = true};
	return c;
}

void chunks_close(struct chunks *c)
{
	struct scratch *scratch;

	if (!c)
		return;
	pool_close(c->pool);
	lock_take(&c->lock);
	while ((scratch = take_scratch_locked(c)))
		free_scratch(scratch);
	lock_drop(&c->lock);
	cond_release(&c->changed);
	lock_release(&c->lock);
	free(c->workers);
	free(c);
}

void chunks_count(struct chunks *c, struct chunks_counts *counts)
{
	lock_take(&c->lock);
	*counts = c->counts;
	lock_drop(&c->lock);
}
