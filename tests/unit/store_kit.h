/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_kit: the engine without FUSE, for tests: a store in a scratch directory, writing and
 * removing by name, waiting until all is sealed, and a look at the objects with zlib only.
 *
 * To be included by the file with main, once (threads.h).
 */
#ifndef NOTEPACKFS_TESTS_STORE_KIT_H
#define NOTEPACKFS_TESTS_STORE_KIT_H

#include "lib/store.h"

#include <errno.h>
#include <zlib.h>

#include "lib/bytes.h"
#include "lib/io.h"
#include "lib/lock.h"
#include "lib/log.h"
#include "tests/unit/sample.h"
#include "tests/unit/scratch.h"
#include "tests/unit/threads.h"
#include "tests/unit/unit.h"

#define NEVER_NS ((int64_t)3600 * 1000000000)

/* codec: NULL: the default. */
static inline struct store *open_store_with(struct scratch *dir, unsigned threads,
					    int64_t grace_ns, const char *codec, int level)
{
	struct store_options options = {
	    .path = dir->path,
	    .codec = codec,
	    .level = level,
	    .threads = threads,
	    .grace_ns = grace_ns,
	    .fsync_seals = true,
	    .cut_age_ns = NEVER_NS,
	    .allow_delete = true,
	};
	struct store_error error = {.text = ""};
	struct store *s = NULL;

	if (store_open(&options, NULL, &s, &error) != 0) {
		printf("# store_open: %s\n", error.text);
		CHECK(!"store_open");
		abort();
	}
	return s;
}

static inline struct store *open_store(struct scratch *dir, unsigned threads, int64_t grace_ns)
{
	return open_store_with(dir, threads, grace_ns, NULL, 1);
}

static inline struct caller me(void)
{
	return (struct caller){.uid = getuid(), .gid = getgid()};
}

/* Create; a name that is busy is waited for. */
static inline struct handle *create(struct store *s, const char *name, struct node **node)
{
	struct handle *h = NULL;
	struct node *n = NULL;
	struct caller c = me();
	int err;

	while ((err = store_create(s, &c, store_root(s), name, 0644, O_WRONLY, &n, &h)) ==
	       STORE_BUSY)
		store_wait_idle(s, c.busy);
	if (err) {
		printf("# %s: %s\n", name, strerror(-err));
		CHECK(!"store_create");
		abort();
	}
	if (node)
		*node = n;
	else
		node_unref(s, n, 1);
	return h;
}

static inline void append(struct store *s, const char *name, const void *data, size_t len)
{
	struct caller c = me();
	struct handle *h;
	struct stat st;
	struct node *n;
	int err;

	CHECK_EQ(store_lookup(s, store_root(s), name, &n), 0);
	CHECK_EQ(store_getattr(s, n, &st), 0);
	while ((err = store_open_node(s, &c, n, O_WRONLY | O_APPEND, &h)) == STORE_BUSY)
		store_wait_idle(s, c.busy);
	CHECK_EQ(err, 0);
	CHECK_EQ(store_write(h, data, len, (uint64_t)st.st_size, false), (long long)len);
	store_release(h);
	node_unref(s, n, 1);
}

static inline void put(struct store *s, const char *name, const void *data, size_t len)
{
	struct handle *h = create(s, name, NULL);

	for (size_t done = 0; done < len;) {
		size_t n = MIN(len - done, (size_t)50000);

		CHECK_EQ(store_write(h, (const char *)data + done, n, done, false),
			 (long long)n);
		done += n;
	}
	store_release(h);
}

static inline int remove_name(struct store *s, const char *name)
{
	struct caller c = me();
	int err;

	while ((err = store_unlink(s, &c, store_root(s), name)) == STORE_BUSY)
		store_wait_idle(s, c.busy);
	return err;
}

/* ---- waiting until all is sealed ---- */

struct wait {
	struct lock lock;
	struct cond cond;
	bool done;
};

static inline void wait_done(void *ctx, int err)
{
	struct wait *w = ctx;

	CHECK_EQ(err, 0);
	lock_take(&w->lock);
	w->done = true;
	cond_signal(&w->cond);
	lock_drop(&w->lock);
}

static inline void seal_begin(struct store *s, struct wait *w)
{
	struct caller c = me();
	struct barrier *b;

	w->done = false;
	lock_init(&w->lock);
	cond_init(&w->cond);
	CHECK_EQ(store_barrier(s, &c, PROTO_SEAL, "", wait_done, w, &b), 0);
}

static inline bool seal_has_ended(struct wait *w)
{
	bool done;

	lock_take(&w->lock);
	done = w->done;
	lock_drop(&w->lock);
	return done;
}

static inline void seal_end(struct wait *w)
{
	lock_take(&w->lock);
	while (!w->done)
		cond_wait(&w->cond, &w->lock);
	lock_drop(&w->lock);
	cond_release(&w->cond);
	lock_release(&w->lock);
}

static inline void seal_all(struct store *s)
{
	struct wait w;

	seal_begin(s, &w);
	seal_end(&w);
}

/* ---- looking at the store with zlib only ---- */

static inline bool object_equals(const struct scratch *dir, const char *name, const void *want,
				 size_t len)
{
	CLEANUP_FREE char *got = malloc(len + 1);
	char path[PATH_MAX];
	gzFile gz;
	int n;

	snprintf(path, sizeof(path), "%s/%s", dir->path, name);
	gz = gzopen(path, "rb");
	if (!gz || !got)
		return false;
	n = gzread(gz, got, (unsigned)len + 1);
	gzclose(gz);
	return n == (int)len && memcmp(got, want, len) == 0;
}

static inline int count_entries(const struct scratch *dir, const char *beneath)
{
	char path[PATH_MAX];
	struct dirent *e;
	int count = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%s/%s", dir->path, beneath);
	d = opendir(path);
	if (!d)
		return -1;
	while ((e = readdir(d)))
		count += e->d_name[0] != '.';
	closedir(d);
	return count;
}

static inline uint64_t ino_of(struct store *s, const char *name)
{
	struct node *n;
	uint64_t ino;

	if (store_lookup(s, store_root(s), name, &n) != 0)
		return 0;
	ino = node_ino(s, n);
	node_unref(s, n, 1);
	return ino;
}

#endif
