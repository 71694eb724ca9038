/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bigstore: stores with any number of records, and what their manifest costs.
 *
 *	bigstore make DIR N [M]		make DIR a store with N records of 1 MiB each, M in each
 *					directory (100); stopped cleanly, so that a mount compares
 *					nothing. The objects are not there
 *	bigstore fill DIR N [M]		put N records more into the store DIR, M in each directory,
 *					each of a file like the first that is recorded there, with
 *					its object: a link to a copy of that one's
 *	bigstore commit DIR COUNT	commit one record, COUNT times: p50, p99 in ms, records
 *	bigstore load DIR		read the manifest: seconds, records, peak memory in MiB
 *
 * As "NAME VALUE" lines. All go through lib/manifest.h, under the store's lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/layout.h"
#include "lib/lock.h"
#include "lib/manifest.h"

#define BATCH 10000
#define PER_DIR 100
#define LINKS_MOST 60000 /* ext4 has 65,000 */
#define RAW_BYTES (1 << 20)
#define GZ_BYTES (300 << 10)

static void die(const char *what, const char *why)
{
	fprintf(stderr, "bigstore: %s: %s\n", what, why);
	exit(1);
}

struct opened {
	int fd, lock;
	struct manifest *manifest;
};

static struct opened open_store(const char *path, bool create)
{
	/* With what a mount excludes by default: with something else it would compare all. */
	struct manifest_options o = {.create = create, .exclude = NAME_DEFAULT_EXCLUDE};
	struct manifest_error error = {.text = ""};
	struct opened s = {.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	int err;

	if (s.fd < 0)
		die(path, strerror(errno));
	err = create ? layout_create(s.fd) : 0;
	if (err)
		die(path, strerror(-err));
	s.lock = layout_lock(s.fd, true, "tool", 0);
	if (s.lock < 0)
		die(path, strerror(-s.lock));
	err = manifest_open(s.fd, &o, &s.manifest, &error);
	if (err)
		die(path, error.text[0] ? error.text : strerror(-err));
	return s;
}

static void close_store(struct opened *s)
{
	manifest_close(s->manifest);
	layout_lock_note(s->lock, NULL);
	close(s->lock);
	close(s->fd);
}

struct range {
	uint64_t first, count, per_dir;
	bool last;
};

static void fill(struct sealed *s, uint64_t id)
{
	*s = (struct sealed){
	    .id = id,
	    .part = 1,
	    .raw_bytes = RAW_BYTES + id,
	    .gz_bytes = GZ_BYTES + id,
	    .mtime_ns = (int64_t)id * 1000000007,
	    .sealed_at_ns = (int64_t)id * 1000000009,
	    .crc32 = (uint32_t)(id * 2654435761U),
	    .mode = 0644,
	    .uid = 1000,
	    .gid = 1000,
	    .level = 6,
	};
	for (int i = 0; i < SHA256_BYTES; i++) {
		s->sha256[i] = (uint8_t)(id >> i % 8 * 8 ^ (uint64_t)i * 37);
		s->raw_sha256[i] = (uint8_t)(s->sha256[i] ^ 0x5a);
	}
}

/* Where the i-th file is. */
static void place(uint64_t i, uint64_t per_dir, char dir[64], char name[64])
{
	snprintf(dir, 64, "2026/%06llu", (unsigned long long)(i / per_dir));
	snprintf(name, 64, "events-%08llu.jsonl", (unsigned long long)i);
}

static int put_range(struct manifest_txn *txn, void *ctx)
{
	const struct range *r = ctx;

	for (uint64_t id = r->first; id < r->first + r->count; id++) {
		char dir[64], name[64];
		struct sealed s;
		int err;

		fill(&s, id);
		place(id - MANIFEST_FIRST_ID, r->per_dir, dir, name);
		err = manifest_put(txn, &s, dir, name);
		if (err)
			return err;
	}
	if (r->last)
		manifest_set_clean(txn, true);
	return 0;
}

static void put(struct manifest *m, struct range r)
{
	int err = manifest_commit(m, put_range, &r);

	if (err)
		die("commit", strerror(-err));
}

static void make_dirs(int fd, uint64_t dirs)
{
	char dir[64];

	if (mkdirat(fd, "2026", 0755) != 0)
		die("2026", strerror(errno));
	for (uint64_t i = 0; i < dirs; i++) {
		snprintf(dir, sizeof(dir), "2026/%06llu", (unsigned long long)i);
		if (mkdirat(fd, dir, 0755) != 0)
			die(dir, strerror(errno));
	}
}

static void make(const char *path, uint64_t count, uint64_t per_dir)
{
	struct opened s;

	if (mkdir(path, 0755) != 0)
		die(path, strerror(errno));
	s = open_store(path, true);
	make_dirs(s.fd, (count + per_dir - 1) / per_dir);
	for (uint64_t done = 0; done < count; done += BATCH) {
		uint64_t n = count - done < BATCH ? count - done : BATCH;

		put(s.manifest,
		    (struct range){MANIFEST_FIRST_ID + done, n, per_dir, done + n == count});
	}
	close_store(&s);
}

/* ---- with objects ---- */

struct model {
	struct opened store;
	struct sealed sealed;
	char object[PATH_MAX];
	uint64_t per_dir;
};

static int take_model(void *ctx, const struct sealed *s, const char *dir, const char *plain)
{
	struct model *m = ctx;
	char object[NAME_BYTES + 1];

	if (name_sealed(plain, s->part, manifest_suffix(m->store.manifest), object) != 0)
		die(plain, "has no sealed name");
	m->sealed = *s;
	snprintf(m->object, sizeof(m->object), "%s%s%s", dir, *dir ? "/" : "", object);
	return 1;
}

/* A link to the model's object, or a copy once it has many. */
static void make_object(struct model *m, uint64_t i, const char *path)
{
	char copy[32];

	if (i % LINKS_MOST == 0) {
		int from = openat(m->store.fd, m->object, O_RDONLY | O_CLOEXEC), to;

		snprintf(copy, sizeof(copy), NAME_PRIVATE "/tmp/model");
		unlinkat(m->store.fd, copy, 0);
		to = openat(m->store.fd, copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
		if (from < 0 || to < 0 ||
		    sendfile(to, from, NULL, m->sealed.gz_bytes) != (ssize_t)m->sealed.gz_bytes)
			die(copy, strerror(errno));
		close(from);
		close(to);
	}
	if (linkat(m->store.fd, NAME_PRIVATE "/tmp/model", m->store.fd, path, 0) != 0)
		die(path, strerror(errno));
}

struct filling {
	struct model *model;
	struct range range;
};

static int put_filling(struct manifest_txn *txn, void *ctx)
{
	const struct filling *f = ctx;

	for (uint64_t i = f->range.first; i < f->range.first + f->range.count; i++) {
		struct sealed s = f->model->sealed;
		char dir[64], name[64];
		int err;

		s.id += 1 + i;
		place(i, f->range.per_dir, dir, name);
		err = manifest_put(txn, &s, dir, name);
		if (err)
			return err;
	}
	if (f->range.last)
		manifest_set_clean(txn, true);
	return 0;
}

static void fill_store(const char *path, uint64_t count, uint64_t per_dir)
{
	struct model m = {.store = open_store(path, false)};

	if (manifest_each(m.store.manifest, take_model, &m) != 1)
		die(path, "has no record to take as the model");
	make_dirs(m.store.fd, (count + per_dir - 1) / per_dir);
	for (uint64_t i = 0; i < count; i++) {
		char dir[64], name[64], object[NAME_BYTES + 1], object_path[PATH_MAX];

		place(i, per_dir, dir, name);
		if (name_sealed(name, 1, manifest_suffix(m.store.manifest), object) != 0)
			die(name, "has no sealed name");
		snprintf(object_path, sizeof(object_path), "%s/%s", dir, object);
		make_object(&m, i, object_path);
	}
	unlinkat(m.store.fd, NAME_PRIVATE "/tmp/model", 0);
	for (uint64_t done = 0; done < count; done += BATCH) {
		uint64_t n = MIN(count - done, BATCH);
		struct filling f = {&m, {done, n, per_dir, done + n == count}};
		int err = manifest_commit(m.store.manifest, put_filling, &f);

		if (err)
			die("commit", strerror(-err));
	}
	close_store(&m.store);
}

static int by_size(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void commit(const char *path, uint64_t count)
{
	struct opened s = open_store(path, false);
	uint64_t first = MANIFEST_FIRST_ID + manifest_count(s.manifest);
	int64_t *took = calloc(count, sizeof(*took));

	if (!took)
		die("commit", strerror(ENOMEM));
	for (uint64_t i = 0; i < count; i++) {
		int64_t start = clock_ns();

		put(s.manifest, (struct range){first + i, 1, PER_DIR, false});
		took[i] = clock_ns() - start;
	}
	qsort(took, count, sizeof(*took), by_size);
	printf("p50 %.6f\np99 %.6f\nrecords %llu\n", (double)took[count / 2] / 1e6,
	       (double)took[count * 99 / 100] / 1e6,
	       (unsigned long long)manifest_count(s.manifest));
	free(took);
	close_store(&s);
}

static void load(const char *path)
{
	int64_t start = clock_ns();
	struct opened s = open_store(path, false);
	double seconds = (double)(clock_ns() - start) / 1e9;
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	printf("seconds %.6f\nrecords %llu\nrss_mib %.1f\n", seconds,
	       (unsigned long long)manifest_count(s.manifest), (double)use.ru_maxrss / 1024);
	close_store(&s);
}

int main(int argc, char **argv)
{
	uint64_t count = argc >= 4 ? strtoull(argv[3], NULL, 10) : 0;
	uint64_t per_dir = argc == 5 ? strtoull(argv[4], NULL, 10) : PER_DIR;

	if (count > 0 && per_dir > 0 && argc <= 5 && strcmp(argv[1], "make") == 0) {
		make(argv[2], count, per_dir);
	} else if (count > 0 && per_dir > 0 && argc <= 5 && strcmp(argv[1], "fill") == 0) {
		fill_store(argv[2], count, per_dir);
	} else if (argc == 4 && count > 0 && strcmp(argv[1], "commit") == 0) {
		commit(argv[2], count);
	} else if (argc == 3 && strcmp(argv[1], "load") == 0) {
		load(argv[2]);
	} else {
		fprintf(stderr, "usage: bigstore make DIR N [M] | fill DIR N [M] | commit DIR "
				"COUNT | load DIR\n");
		return 2;
	}
	return 0;
}
