/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * order_kit: what is done to the disk, in its order. The calls are noted, each as a line "CALL PATH" of
 * the trace: sync (fsync), syncfs, name (the name that a rename gives), link, unlink, write, mark (an attribute), punch;
 * patterns are fnmatch's.
 *
 * To be included by the file with main, once: it defines fsync and others for the whole program.
 */
#ifndef NOTEPACKFS_TESTS_ORDER_KIT_H
#define NOTEPACKFS_TESTS_ORDER_KIT_H

#include "tests/unit/store_kit.h"

#include <dlfcn.h>
#include <fnmatch.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "lib/core.h"
#include "lib/layout.h"
#include "lib/manifest.h"
#include "lib/raw.h"
#include "lib/repair.h"

#define LINES 1000
#define MANIFEST "name .notepackfs/manifest"
#define SAVE "sync .notepackfs/manifest.new.*"

static pthread_mutex_t trace_lock = PTHREAD_MUTEX_INITIALIZER;
static char trace[LINES][PATH_MAX];
static int trace_count;
static struct scratch dir;

/* When a line matches: the call fails, as many times; or something happens behind it, once. */
static const char *fail_at, *then_at;
static int fail_times, fail_errno = EIO;
static void (*then_do)(void);
static bool lose_answer;       /* a rename or an unlink that fails has been done */
static atomic_bool corrupt;    /* a bit of the next write of an object, or of a chunk of it */
static atomic_int fail_pwrite; /* 2: the second write into an object fails; 0: none */

static bool matches(const char *pattern, const char *line)
{
	return fnmatch(pattern, line, 0) == 0;
}

/* Note the call; true: it is to fail. */
static bool note(const char *call, int dirfd, const char *name)
{
	char link[64], path[PATH_MAX / 2], line[PATH_MAX];
	size_t root = strlen(dir.path);
	bool fail;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n < 0 ? 0 : n] = '\0';
	if (!root || strncmp(path, dir.path, root) != 0)
		return false;
	snprintf(line, sizeof(line), "%s %s%s%s", call,
		 path[root] ? path + root + 1
		 : name	    ? ""
			    : ".",
		 path[root] && name ? "/" : "", name ? name : "");
	pthread_mutex_lock(&trace_lock);
	if (trace_count < LINES)
		strcpy(trace[trace_count++], line);
	fail = fail_times && matches(fail_at, line);
	fail_times -= fail;
	pthread_mutex_unlock(&trace_lock);
	return fail;
}

static int done(int result)
{
	void (*fn)(void) = NULL;
	int err = errno;

	pthread_mutex_lock(&trace_lock);
	if (then_do && trace_count && matches(then_at, trace[trace_count - 1])) {
		fn = then_do;
		then_do = NULL;
	}
	pthread_mutex_unlock(&trace_lock);
	if (fn)
		fn();
	errno = err;
	return result;
}

static int refuse(void)
{
	errno = fail_errno;
	return -1;
}

int fsync(int fd)
{
	return note("sync", fd, NULL) ? refuse() : done((int)syscall(SYS_fsync, fd));
}

int syncfs(int fd)
{
	return note("syncfs", fd, NULL) ? refuse() : done((int)syscall(SYS_syncfs, fd));
}

int renameat2(int from_dirfd, const char *from, int to_dirfd, const char *to, unsigned flags)
{
	bool fail = note("name", to_dirfd, to);
	int r;

	if (fail && !lose_answer)
		return refuse();
	r = (int)syscall(SYS_renameat2, from_dirfd, from, to_dirfd, to, flags);
	return fail ? refuse() : done(r);
}

int unlinkat(int dirfd, const char *name, int flags)
{
	bool fail = note("unlink", dirfd, name);
	int r;

	if (fail && !lose_answer)
		return refuse();
	r = (int)syscall(SYS_unlinkat, dirfd, name, flags);
	return fail ? refuse() : done(r);
}

int linkat(int from_dirfd, const char *from, int to_dirfd, const char *to, int flags)
{
	if (note("link", to_dirfd, to))
		return refuse();
	return (int)syscall(SYS_linkat, from_dirfd, from, to_dirfd, to, flags);
}

int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)
{
	note("mark", fd, NULL);
	return (int)syscall(SYS_fsetxattr, fd, name, value, size, flags);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
	if ((mode & FALLOC_FL_PUNCH_HOLE) && note("punch", fd, NULL))
		return refuse();
	return (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

ssize_t write(int fd, const void *buf, size_t len)
{
	return note("write", fd, NULL) ? refuse() : syscall(SYS_write, fd, buf, len);
}

static bool is_temporary_object(int fd)
{
	char link[64], path[PATH_MAX] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return readlink(link, path, sizeof(path) - 1) > 0 &&
	       matches("*/.notepackfs/tmp/*.gz", path);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	static char copy[1 << 18];

	if (atomic_load(&fail_pwrite) && is_temporary_object(fd) &&
	    atomic_fetch_sub(&fail_pwrite, 1) == 1)
		return refuse();

	if (len > 100 && len <= sizeof(copy) && is_temporary_object(fd) &&
	    atomic_exchange(&corrupt, false)) {
		memcpy(copy, buf, len);
		copy[len / 2] ^= 1;
		buf = copy;
	}
	return syscall(SYS_pwrite64, fd, buf, len, offset);
}

/* ---- what the trace says ---- */

static inline int find(const char *pattern, int from)
{
	for (int i = from; i >= 0 && i < trace_count; i++) {
		if (matches(pattern, trace[i]))
			return i;
	}
	return -1;
}

static inline bool was(const char *pattern)
{
	return find(pattern, 0) >= 0;
}

/* The first a comes before the first b. */
static inline bool before(const char *a, const char *b)
{
	int i = find(a, 0), k = find(b, 0);

	return i >= 0 && k > i;
}

/* Behind the first a comes b, and before the next c, if there is one. */
static inline bool between(const char *a, const char *b, const char *c)
{
	int i = find(a, 0), j = i < 0 ? -1 : find(b, i + 1), k = i < 0 ? -1 : find(c, i + 1);

	return i >= 0 && j >= 0 && (k < 0 || j < k);
}

/* b is the next that is done behind the first a. */
static inline bool right_behind(const char *a, const char *b)
{
	int i = find(a, 0);

	return i >= 0 && i + 1 < trace_count && matches(b, trace[i + 1]);
}

static inline void show(void)
{
	for (int i = 0; i < trace_count; i++)
		printf("# %s\n", trace[i]);
}

#define CHECK_TRACE(condition)                                                                 \
	do {                                                                                   \
		bool holds = condition;                                                        \
		CHECK(holds &&#condition);                                                     \
		if (!holds)                                                                    \
			show();                                                                \
	} while (0)

static inline void forget(void)
{
	pthread_mutex_lock(&trace_lock);
	trace_count = 0;
	pthread_mutex_unlock(&trace_lock);
}

static inline void fail_next(const char *pattern, int times)
{
	pthread_mutex_lock(&trace_lock);
	fail_at = pattern;
	fail_times = times;
	pthread_mutex_unlock(&trace_lock);
}

/* How many of them have failed is what fail_next was told, without this. */
static inline int failures_left(void)
{
	int left;

	pthread_mutex_lock(&trace_lock);
	left = fail_times;
	pthread_mutex_unlock(&trace_lock);
	return left;
}

static inline void fail_the_next_save(void)
{
	fail_next(SAVE, 1);
}

static inline void then(const char *pattern, void (*fn)(void))
{
	pthread_mutex_lock(&trace_lock); /* objects are synced side by side */
	then_at = pattern;
	then_do = fn;
	pthread_mutex_unlock(&trace_lock);
}

static inline void begin(void)
{
	scratch_init(&dir);
	forget();
	fail_times = 0;
	lose_answer = false;
	then_do = NULL;
}

static inline void end(void)
{
	scratch_release(&dir);
	dir.path[0] = '\0';
}

/* ---- kit ---- */

static inline void quiet(void)
{
	log_open("order_kit", false, LOG_EMERG);
}

static inline void loud(void)
{
	log_open("order_kit", false, LOG_ERR);
}

static inline struct store *start(int64_t grace_ns)
{
	return open_store(&dir, 1, grace_ns);
}

/* A store with these files, sealed and stopped. */
static inline void sealed_store(const char *const *names)
{
	struct store *s = start(NEVER_NS);

	for (; *names; names++) {
		put(s, *names, *names, strlen(*names));
		seal_all(s);
	}
	CHECK_EQ(store_close(s), 0);
}

/* Part 1 is "a", part 2 "more". */
static inline struct store *with_two_parts(void)
{
	static const char *const names[] = {"a", NULL};
	struct store *s;

	sealed_store(names);
	s = start(NEVER_NS);
	append(s, "a", "more", 4);
	seal_all(s);
	return s;
}

struct change {
	uint64_t id; /* of the first record */
	const char *from, *to;
};

static inline int visit_id(void *ctx, const struct sealed *rec, const char *d,
			   const char *plain)
{
	*(uint64_t *)ctx = rec->id;
	return 1;
}

static inline int put_intent(struct manifest_txn *txn, void *ctx)
{
	struct change *c = ctx;
	uint64_t seq;

	manifest_set_clean(txn, false);
	return c->from ? manifest_intent(txn, c->id, c->from, c->to, &seq) : 0;
}

/* The store is as after a crash; from: in the middle of this rename. The first record's id. */
static inline uint64_t crash(const char *from, const char *to, bool directory)
{
	struct manifest_options options = {.suffix = NULL};
	struct manifest_error error = {.text = ""};
	struct change c = {.from = from, .to = to};
	struct manifest *m;
	uint64_t id = 0;

	CHECK_EQ(manifest_open(dir.fd, &options, &m, &error), 0);
	manifest_each(m, visit_id, &id);
	c.id = directory ? 0 : id;
	CHECK_EQ(manifest_commit(m, put_intent, &c), 0);
	manifest_close(m);
	forget();
	return id;
}

/* What is done in a process that is killed then. */
static inline void killed_in(void (*fn)(void))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		quiet();
		fn();
		_exit(0); /* as by SIGKILL */
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

static inline int rename_to(struct store *s, const char *from, const char *to)
{
	struct caller c = me();
	int err;

	while ((err = store_rename(s, &c, store_root(s), from, store_root(s), to, 0)) ==
	       STORE_BUSY)
		store_wait_idle(s, c.busy);
	return err;
}

static inline void say(void *ctx, enum repair_level level, const char *text)
{
}

static inline int repair(void)
{
	struct repair_options options = {.say = say};
	struct repair_counts counts;
	struct repair_error error;

	return repair_store(dir.fd, &options, &counts, &error);
}

static inline bool has_text(const char *name, const char *want)
{
	CLEANUP_FREE char *text = NULL;
	size_t len = 0;

	return io_read_file(dir.fd, name, 100000, &text, &len) == 0 && len >= strlen(want) &&
	       memcmp(text, want, strlen(want)) == 0;
}

static inline bool seals_to(const char *object, const char *want)
{
	return object_equals(&dir, object, want, strlen(want));
}

/* A file all of which is sealed, and whose raw file could not go. */
static inline struct store *with_raw_file_kept(void)
{
	struct store *s = start(NEVER_NS);

	put(s, "a", "text", 4);
	log_open("order_kit", false, LOG_CRIT);
	fail_next("unlink a", 1);
	seal_all(s);
	log_open("order_kit", false, LOG_ERR);
	CHECK(scratch_has(&dir, "a") && scratch_has(&dir, "a.notepack.gz"));
	forget();
	return s;
}

/* Make a hole of what is sealed. */
static inline int punch(struct store *s, const char *name)
{
	struct node *n;
	int err = store_lookup(s, store_root(s), name, &n);

	if (err)
		return err;
	err = raw_punch(s, to_file(n));
	node_unref(s, n, 1);
	return err;
}

/* A gzip file of no one's. */
static inline size_t foreign_gzip(uint8_t *out, size_t size, const char *text)
{
	z_stream z = {.next_in = (uint8_t *)text, .avail_in = (unsigned)strlen(text)};

	CHECK_EQ(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_out = out;
	z.avail_out = (unsigned)size;
	CHECK_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
	size = z.total_out;
	deflateEnd(&z);
	return size;
}

#endif
