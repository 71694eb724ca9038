/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pass has a list of what is sealed at its start: id and part, 16 bytes each. Where an object
 * lies is asked of the manifest when its turn comes. It may have been renamed in the store some
 * seconds before the manifest says so (lib/lazy.h), so one that is not there is looked for again
 * before it is called missing.
 */
#include "lib/scrub.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/damage.h"
#include "lib/io.h"
#include "lib/log.h"
#include "lib/object.h"

#define SECOND_NS INT64_C(1000000000)
#define MISSING_TRIES 4 /* 2 s apart: longer than a rename may be on its way */
#define MISSING_PAUSE_NS (2 * SECOND_NS)

struct key {
	uint64_t id, part;
};

struct scrub {
	struct store *s;
	pthread_t thread;
	struct cond wake; /* stop was set */
	/* Under the store's lock. */
	bool stop;
	uint64_t passes;		  /* complete ones */
	uint64_t done_bytes, total_bytes; /* of this pass */
	/* The thread's. */
	struct key *keys;
	size_t count, size;
	uint64_t rate;	 /* plain bytes a second */
	int64_t next_ns; /* no more before */
};

/* ---- pacing ---- */

/* False: stop. */
static bool wait_until_locked(struct store *s, struct scrub *c, int64_t until_ns)
    REQUIRES(s->lock)
{
	while (!c->stop && clock_ns() < until_ns)
		cond_wait_until(&c->wake, &s->lock, until_ns);
	return !c->stop;
}

/* So many bytes were read: wait until more may be. False: stop. */
static bool pace(struct scrub *c, uint64_t bytes)
{
	struct store *s = c->s;
	bool go;

	/* Time that was lost is not made up for. */
	c->next_ns = MAX(c->next_ns, clock_ns() - SECOND_NS);
	c->next_ns += (int64_t)((double)bytes / (double)c->rate * (double)SECOND_NS);
	lock_take(&s->lock);
	c->done_bytes += bytes;
	go = wait_until_locked(s, c, c->next_ns);
	while (go && s->pending_files > 0) /* looked at once a second: no one must wake us */
		go = wait_until_locked(s, c, clock_ns() + SECOND_NS);
	lock_drop(&s->lock);
	return go;
}

struct reading {
	struct scrub *scrub;
	uint64_t counted;
};

static int on_progress(void *ctx, uint64_t raw_bytes)
{
	struct reading *r = ctx;
	uint64_t fresh = raw_bytes - r->counted;

	r->counted = raw_bytes;
	return pace(r->scrub, fresh) ? 0 : -ECANCELED;
}

/* ---- one object ---- */

/* Open it; fills in the record and the path. -ENOENT: there is no such record (any more). */
static int open_object(struct store *s, const struct key *k, struct sealed *rec,
		       struct buf *path)
{
	CLEANUP_BUF struct buf dir = {0}, plain = {0};
	char name[NAME_BYTES + 1];

	if (!manifest_find(s->manifest, k->id, (uint32_t)k->part, rec, &dir, &plain))
		return -ESTALE;
	if (dir.failed || plain.failed)
		return -ENOMEM;
	if (name_sealed(plain.data, rec->part, store_suffix(s), name) != 0)
		return -ESTALE;
	buf_reset(path);
	buf_printf(path, "%s%s%s", dir.data, dir.len ? "/" : "", name);
	return path->failed ? -ENOMEM
			    : io_open(s->fd, path->data, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
}

static int find_object(struct scrub *c, const struct key *k, struct sealed *rec,
		       struct buf *path)
{
	int fd = open_object(c->s, k, rec, path);

	for (int i = 1; i < MISSING_TRIES && fd == -ENOENT; i++) {
		struct store *s = c->s;
		bool go;

		lock_take(&s->lock);
		go = wait_until_locked(s, c, clock_ns() + MISSING_PAUSE_NS);
		lock_drop(&s->lock);
		if (!go)
			return -ECANCELED;
		fd = open_object(c->s, k, rec, path);
	}
	return fd;
}

static int scrub_object(struct scrub *c, const struct key *k)
{
	CLEANUP_BUF struct buf path = {0};
	struct reading reading = {.scrub = c};
	struct seekgz_damage damage = {0};
	struct sealed rec, found = {0};
	CLEANUP_FD int fd = find_object(c, k, &rec, &path);
	int err = fd;

	if (fd >= 0) {
		io_drop_cache(fd);
		err = object_verify(fd, &found, on_progress, &reading, &damage);
	}
	if (err == -ECANCELED || err == -ENOMEM)
		return err;
	if (err == -ESTALE || err == -EMFILE || err == -ENFILE)
		return 0;
	if (err)
		damage_met(c->s, &rec, path.data, damage.reason ? &damage : NULL,
			   err == -ENOENT ? "it is missing" : strerror(-err));
	else if (memcmp(found.sha256, rec.sha256, SHA256_BYTES) != 0)
		damage_met(c->s, &rec, path.data, NULL,
			   "its SHA-256 is not what its record says");
	else
		damage_healed(c->s, rec.id, rec.part);
	return 0;
}

/* ---- a pass ---- */

static int add_key(void *ctx, const struct sealed *rec, const char *dir, const char *plain)
{
	struct scrub *c = ctx;

	if (c->count == c->size) {
		size_t size = c->size ? c->size * 2 : 1024;
		struct key *keys = realloc(c->keys, size * sizeof(*keys));

		if (!keys)
			return -ENOMEM;
		c->keys = keys;
		c->size = size;
	}
	c->keys[c->count++] = (struct key){rec->id, rec->part};
	c->rate += rec->raw_bytes; /* their sum, for now */
	return 0;
}

static int by_key(const void *a, const void *b)
{
	const struct key *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->part < y->part ? -1 : x->part > y->part;
}

static int list_all(struct scrub *c)
{
	double seconds = (double)c->s->options.scrub_ns / (double)SECOND_NS;
	uint64_t total;
	int err;

	c->count = 0;
	c->rate = 0;
	err = manifest_each(c->s->manifest, add_key, c);
	total = c->rate;
	c->rate = MAX(MIN((uint64_t)((double)total / seconds), SCRUB_RATE_MAX), 1);
	if (c->count)
		qsort(c->keys, c->count, sizeof(*c->keys), by_key);
	lock_take(&c->s->lock);
	c->done_bytes = 0;
	c->total_bytes = total;
	lock_drop(&c->s->lock);
	return err;
}

static int pass(struct scrub *c)
{
	size_t start;
	int err = list_all(c);

	c->next_ns = clock_ns();
	start = c->count ? (size_t)((uint64_t)clock_wall_ns() % c->count) : 0;
	for (size_t i = 0; i < c->count && !err; i++)
		err = scrub_object(c, &c->keys[(start + i) % c->count]);
	if (!err) {
		lock_take(&c->s->lock);
		c->passes++;
		lock_drop(&c->s->lock);
	}
	return err;
}

static void *scrub_thread(void *arg)
{
	struct scrub *c = arg;
	struct store *s = c->s;
	bool go = true;

	while (go) {
		int64_t start_ns = clock_ns();
		int err = pass(c);

		if (err && err != -ECANCELED)
			log_warning("scrubbing: %s; it begins again later", strerror(-err));
		lock_take(&s->lock);
		go = wait_until_locked(
		    s, c, MAX(start_ns + s->options.scrub_ns, clock_ns() + SECOND_NS));
		lock_drop(&s->lock);
	}
	return NULL;
}

/* ---- start and stop ---- */

static void free_scrub(struct scrub *c)
{
	cond_release(&c->wake);
	free(c->keys);
	free(c);
}

int scrub_start(struct store *s)
{
	struct scrub *c;
	int err;

	if (s->options.scrub_ns <= 0)
		return 0;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->s = s;
	cond_init(&c->wake);
	err = pthread_create(&c->thread, NULL, scrub_thread, c);
	if (err) {
		free_scrub(c);
		return -err;
	}
	lock_take(&s->lock);
	s->scrub = c;
	lock_drop(&s->lock);
	return 0;
}

void scrub_stop(struct store *s)
{
	struct scrub *c;

	lock_take(&s->lock);
	c = s->scrub;
	s->scrub = NULL;
	if (c) {
		c->stop = true;
		cond_broadcast(&c->wake);
	}
	lock_drop(&s->lock);
	if (!c)
		return;
	pthread_join(c->thread, NULL);
	free_scrub(c);
}

void scrub_status_locked(struct store *s, struct buf *out)
{
	const struct scrub *c = s->scrub;

	if (!c)
		buf_str(out, "null");
	else
		buf_printf(out, "{\"passes\":%llu,\"done_bytes\":%llu,\"total_bytes\":%llu}",
			   (unsigned long long)c->passes, (unsigned long long)c->done_bytes,
			   (unsigned long long)c->total_bytes);
}
