/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * manifest_kit: what the tests of the manifest share: a store in a temporary directory, records
 * made from numbers, and an fsync that does what a test wants.
 *
 * To be included by the file with main, once: it defines fsync(2) for the whole program. The
 * hook gets every descriptor, and answers -1 with errno set to fail; it may wait.
 */
#ifndef NOTEPACKFS_TESTS_MANIFEST_KIT_H
#define NOTEPACKFS_TESTS_MANIFEST_KIT_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/io.h"
#include "lib/manifest_impl.h"
#include "tests/unit/unit.h"

static _Atomic(int (*)(int fd)) kit_fsync;

int fsync(int fd)
{
	int (*hook)(int) = atomic_load(&kit_fsync);

	return hook ? hook(fd) : (int)syscall(SYS_fsync, fd);
}

struct store {
	char path[PATH_MAX];
	int fd;
	struct manifest *m;
	struct manifest_error error;
};

static int kit_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static inline void store_init(struct store *s)
{
	const char *tmp = getenv("TMPDIR");

	memset(s, 0, sizeof(*s));
	snprintf(s->path, sizeof(s->path), "%s/notepackfs-unit-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(s->path))
		abort();
	s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static inline int store_open_with(struct store *s, const struct manifest_options *o)
{
	int err = manifest_open(s->fd, o, &s->m, &s->error);

	if (err)
		s->m = NULL;
	return err;
}

/* Open, or create, and check the invariants. */
static inline int store_open(struct store *s)
{
	struct manifest_options o = {.create = true};
	int err = store_open_with(s, &o);

	if (err)
		printf("# %s\n", s->error.text);
	else
		manifest_check(s->m);
	return err;
}

static inline void store_close(struct store *s)
{
	manifest_close(s->m);
	s->m = NULL;
}

static inline int store_reopen(struct store *s)
{
	store_close(s);
	return store_open(s);
}

static inline void store_release(struct store *s)
{
	atomic_store(&kit_fsync, NULL);
	store_close(s);
	close(s->fd);
	nftw(s->path, kit_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* The bytes of a file; NULL if there is none. */
static inline char *store_read(struct store *s, const char *path, size_t *len)
{
	char *text = NULL;

	return io_read_file(s->fd, path, 1 << 28, &text, len) == 0 ? text : NULL;
}

static inline void store_write(struct store *s, const char *path, const void *data, size_t len)
{
	int fd = openat(s->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || io_write(fd, data, len) != 0)
		abort();
	close(fd);
}

/* How many files does a directory hold? */
static inline int store_count(struct store *s, const char *path)
{
	int fd = openat(s->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = -2;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir)
		return -1;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* A record of which every field depends on id, part and version. */
static inline struct sealed kit_sealed(uint64_t id, uint32_t part, unsigned version)
{
	uint64_t x = id * 1000003 + part * 101 + version;
	struct sealed s = {
	    .id = id,
	    .part = part,
	    .offset = (part - 1) * 1000ULL,
	    .raw_bytes = x % 1000000007 * 1000,
	    .gz_bytes = x % 1000000007,
	    .mtime_ns = (int64_t)(x * 1000000007) - 5000000000,
	    .sealed_at_ns = (int64_t)(x * 1000000009),
	    .crc32 = (uint32_t)(x * 2654435761U),
	    .mode = (uint32_t)x & 07777,
	    .uid = (uint32_t)x,
	    .gid = (uint32_t)x + 1,
	    .codec = (uint8_t)(x % 3),
	    .level = (uint8_t)(x % 10),
	    .is_notepack = x % 2,
	};

	if (s.is_notepack)
		s.records = x, s.first_created_at = x + 1, s.last_created_at = x + 2;
	for (int i = 0; i < SHA256_BYTES; i++) {
		s.sha256[i] = (uint8_t)(x >> i % 5 * 8) ^ (uint8_t)i;
		s.raw_sha256[i] = (uint8_t)~s.sha256[i];
	}
	return s;
}

/* All but the seq. */
static inline bool kit_same(const struct sealed *a, const struct sealed *b)
{
	CLEANUP_BUF struct buf x = {0}, y = {0};
	struct sealed c = *a;

	c.seq = b->seq;
	record_encode_sealed(&x, &c, "", "o", "p");
	record_encode_sealed(&y, b, "", "o", "p");
	return x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
}

struct put {
	uint64_t id;
	uint32_t part;
	unsigned version;
	const char *dir, *plain;
	int result; /* what the function returns after its put */
};

static inline int kit_put_fn(struct manifest_txn *txn, void *ctx)
{
	struct put *p = ctx;
	struct sealed s = kit_sealed(p->id, p->part, p->version);
	int err = manifest_put(txn, &s, p->dir, p->plain);

	return err ? err : p->result;
}

static inline int kit_put(struct store *s, uint64_t id, uint32_t part, const char *dir)
{
	char plain[32];
	struct put p = {.id = id, .part = part, .dir = dir, .plain = plain};

	snprintf(plain, sizeof(plain), "f%llu", (unsigned long long)id);
	return manifest_commit(s->m, kit_put_fn, &p);
}

static inline int kit_remove_fn(struct manifest_txn *txn, void *ctx)
{
	struct put *p = ctx;

	return manifest_remove(txn, p->id, p->part);
}

static inline int kit_rm(struct store *s, uint64_t id, uint32_t part)
{
	struct put p = {.id = id, .part = part};

	return manifest_commit(s->m, kit_remove_fn, &p);
}

static inline int kit_mv_fn(struct manifest_txn *txn, void *ctx)
{
	const char **names = ctx;

	return manifest_move_dir(txn, names[0], names[1]);
}

static inline int kit_mv(struct store *s, const char *from, const char *to)
{
	const char *names[] = {from, to};

	return manifest_commit(s->m, kit_mv_fn, names);
}

static inline int kit_clean_fn(struct manifest_txn *txn, void *ctx)
{
	manifest_set_clean(txn, *(bool *)ctx);
	return 0;
}

static inline int kit_clean(struct store *s, bool clean)
{
	return manifest_commit(s->m, kit_clean_fn, &clean);
}

static inline bool kit_has(struct store *s, uint64_t id, uint32_t part, unsigned version)
{
	struct sealed expected = kit_sealed(id, part, version), got;

	return manifest_get(s->m, id, part, &got) && kit_same(&expected, &got);
}

static int kit_count_visit(void *ctx, const struct sealed *s, const char *dir,
			   const char *plain)
{
	++*(int *)ctx;
	return 0;
}

/* How many live records does a directory have? */
static inline int kit_in_dir(struct store *s, const char *dir)
{
	int n = 0;

	manifest_each_in_dir(s->m, dir, kit_count_visit, &n);
	return n;
}

#endif
