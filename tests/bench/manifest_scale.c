/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * manifest_scale: what the manifest costs with N records.
 *
 *	manifest_scale DIR N…
 *
 * For each N: a store in a new directory beneath DIR is built through the interface, in commits
 * of 10,000 records; then 200 commits of one record each are timed, at rest and while the tail
 * grows; then a process of its own loads it, and reports how long that took and its peak memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/lock.h"
#include "lib/manifest.h"

#define BATCH 10000
#define TIMED 200
#define PER_DIR 100

static void die(const char *what, int err)
{
	fprintf(stderr, "manifest_scale: %s: %s\n", what, strerror(-err));
	exit(1);
}

static struct manifest *open_store(int fd)
{
	struct manifest_options o = {.create = true};
	struct manifest_error error;
	struct manifest *m;
	int err = manifest_open(fd, &o, &m, &error);

	if (err)
		die(error.text, err);
	return m;
}

struct range {
	uint64_t first, count;
};

static int put_range(struct manifest_txn *txn, void *ctx)
{
	const struct range *r = ctx;

	for (uint64_t id = r->first; id < r->first + r->count; id++) {
		struct sealed s = {
		    .id = id,
		    .part = 1,
		    .raw_bytes = id * 1000,
		    .gz_bytes = id * 300,
		    .mtime_ns = (int64_t)id * 1000000007,
		    .sealed_at_ns = (int64_t)id * 1000000009,
		    .crc32 = (uint32_t)(id * 2654435761U),
		    .mode = 0644,
		    .uid = 1000,
		    .gid = 1000,
		    .level = 6,
		};
		char dir[64], name[64];
		int err;

		for (int i = 0; i < SHA256_BYTES; i++) {
			s.sha256[i] = (uint8_t)(id >> i % 8 * 8 ^ (uint64_t)i * 37);
			s.raw_sha256[i] = (uint8_t)(s.sha256[i] ^ 0x5a);
		}
		snprintf(dir, sizeof(dir), "2026/%06llu", (unsigned long long)(id / PER_DIR));
		snprintf(name, sizeof(name), "events-%08llu.jsonl", (unsigned long long)id);
		err = manifest_put(txn, &s, dir, name);
		if (err)
			return err;
	}
	return 0;
}

static void put(struct manifest *m, uint64_t first, uint64_t count)
{
	struct range r = {.first = first, .count = count};
	int err = manifest_commit(m, put_range, &r);

	if (err)
		die("commit", err);
}

static int by_size(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void build(int fd, uint64_t count)
{
	struct manifest *m = open_store(fd);
	int64_t start = clock_ns(), took[TIMED];

	for (uint64_t id = 1; id <= count; id += BATCH)
		put(m, id, count - id + 1 < BATCH ? count - id + 1 : BATCH);
	printf("%llu records: built in %.2f s", (unsigned long long)count,
	       (double)(clock_ns() - start) / 1e9);
	for (int i = 0; i < TIMED; i++) {
		start = clock_ns();
		put(m, count + 1 + (uint64_t)i, 1);
		took[i] = clock_ns() - start;
	}
	qsort(took, TIMED, sizeof(took[0]), by_size);
	printf("; commit median %.3f ms, p95 %.3f ms, max %.3f ms",
	       (double)took[TIMED / 2] / 1e6, (double)took[TIMED * 95 / 100] / 1e6,
	       (double)took[TIMED - 1] / 1e6);
	fflush(stdout);
	manifest_close(m);
}

static void load(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int64_t start = clock_ns();
	struct manifest *m = open_store(fd);
	double seconds = (double)(clock_ns() - start) / 1e9;
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	printf("; load %.3f s, %llu records, peak RSS %.1f MiB\n", seconds,
	       (unsigned long long)manifest_count(m), (double)use.ru_maxrss / 1024);
	manifest_close(m);
}

static void measure(const char *self, const char *dir, uint64_t count)
{
	char path[4096];
	int fd, status = 1;
	pid_t child;

	snprintf(path, sizeof(path), "%s/scale-%llu-%d", dir, (unsigned long long)count,
		 (int)getpid());
	if (mkdir(path, 0700) != 0)
		die(path, -errno);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	build(fd, count);
	close(fd);
	child = fork();
	if (child == 0) {
		execl(self, self, "--load", path, (char *)NULL);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0)
		die("the loading process failed", -EIO);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--load") == 0) {
		load(argv[2]);
		return 0;
	}
	if (argc < 3) {
		fprintf(stderr, "usage: manifest_scale DIR N…\n");
		return 2;
	}
	for (int i = 2; i < argc; i++)
		measure("/proc/self/exe", argv[1], strtoull(argv[i], NULL, 10));
	return 0;
}
