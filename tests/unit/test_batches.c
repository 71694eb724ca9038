/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many small files that are sealed together share what makes them durable: commits of the manifest
 * and fsyncs of their directory are counted.
 */
#include "lib/core.h"
#include "lib/fsyncs.h"
#include "tests/unit/store_kit.h"

#include <fnmatch.h>
#include <sys/syscall.h>

#define FILES 2500
#define STREAM 1280
#define STREAM_GRACE_NS 30000000
#define STREAM_STEP_NS 1000000
#define STREAM_GAP_NS 10000000
#define SHARE 64 /* files that a commit is for, at least, unless they have taken a second */

static struct scratch dir;
static atomic_uint commits, dir_syncs, dir_times, object_syncs, log_writes, name_changes;
static atomic_uint together, together_max; /* fsyncs of objects under way */
static atomic_bool held;		   /* nothing is compressed */

static bool is_of(const char *path, const char *pattern)
{
	return fnmatch(pattern, path + strlen(dir.path), 0) == 0;
}

struct path {
	char text[PATH_MAX];
};

/* The path of what is in the store; else "". */
static struct path path_of(int fd)
{
	struct path path;
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path.text, sizeof(path.text) - 1);
	path.text[MAX(n, 0)] = '\0';
	if (!dir.path[0] || strncmp(path.text, dir.path, strlen(dir.path)) != 0)
		path.text[0] = '\0';
	return path;
}

static atomic_bool
    slow; /* compression is what takes long: a batch that does not wait for more is small */

static void pause_ns(long ns)
{
	struct timespec pause = {.tv_nsec = ns};

	nanosleep(&pause, NULL);
}

static void note_together(unsigned now)
{
	unsigned most = together_max;

	while (now > most && !atomic_compare_exchange_weak(&together_max, &most, now))
		;
}

int fsync(int fd)
{
	struct path path = path_of(fd);
	bool object = path.text[0] && is_of(path.text, "/.notepackfs/tmp/*.gz");
	int r;

	if (path.text[0]) {
		commits += is_of(path.text, "/.notepackfs/manifest.new.*");
		object_syncs += object;
		dir_syncs += is_of(path.text, "");
	}
	if (!object)
		return (int)syscall(SYS_fsync, fd);
	note_together(++together);
	if (slow) /* as a disk is: the next one comes meanwhile */
		pause_ns(100000);
	r = (int)syscall(SYS_fsync, fd);
	together--;
	return r;
}

ssize_t write(int fd, const void *buf, size_t len)
{
	struct path path = path_of(fd);

	log_writes += path.text[0] && is_of(path.text, "/.notepackfs/log");
	return syscall(SYS_write, fd, buf, len);
}

int futimens(int fd, const struct timespec times[2])
{
	struct path path = path_of(fd);

	dir_times += path.text[0] && is_of(path.text, "");
	return (int)syscall(SYS_utimensat, fd, NULL, times, 0);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	while (held)
		pause_ns(1000000);
	if (slow)
		pause_ns(500000);
	return syscall(SYS_pwrite64, fd, buf, len, offset);
}

static void count_change(void *ctx, struct node *d, const char *name)
{
	name_changes++;
}

static void wait_until_all_are_queued(struct store *s)
{
	uint64_t queued;

	do {
		pause_ns(1000000);
		lock_take(&s->lock);
		queued = s->pending_files;
		lock_drop(&s->lock);
	} while (queued < FILES);
}

static void small_files_share_commits_and_fsyncs_of_their_directory(void)
{
	uint8_t data[4096];
	int64_t start_ns, seconds;
	struct store *s;
	struct wait w;

	scratch_init(&dir);
	s = open_store(&dir, 2, NEVER_NS);
	memset(data, 'x', sizeof(data));
	for (int i = 0; i < FILES; i++) {
		char name[32];

		snprintf(name, sizeof(name), "f%d", i);
		put(s, name, data, sizeof(data));
	}
	commits = dir_syncs = dir_times = object_syncs = log_writes = name_changes =
	    together_max = 0;
	s->hooks.changed = count_change;
	held = slow = true;
	seal_begin(s, &w);
	wait_until_all_are_queued(s);
	start_ns = clock_ns();
	held = false;
	seal_end(&w);
	slow = false;
	seconds = (clock_ns() - start_ns) / NS_IN_SECOND;
	printf("# %u commits, %u fsyncs of the directory, its times set %u times, %d s\n",
	       commits, dir_syncs, dir_times, (int)seconds);
	CHECK_EQ(object_syncs, FILES);
	CHECK_EQ(name_changes, FILES); /* the object's name means nothing before */
	CHECK(together_max > 1 && together_max <= FSYNCS_MAX);
	CHECK(commits > 0 && commits <= FILES / SHARE + seconds);
	CHECK(dir_syncs > 0 && dir_syncs <= commits);
	CHECK(dir_times > 0 && dir_times <= commits);
	CHECK(log_writes > 0 && log_writes <= commits);
	CHECK_EQ(store_close(s), 0);
	scratch_release(&dir);
}

/* They are cut one by one, as their grace ends, and sealed faster than they come. A machine that is busy may
 * leave gaps between them, in which nothing is coming. */
static void small_files_that_come_one_by_one_share_them_too(void)
{
	unsigned gaps = 0;
	uint8_t data[4096];
	int64_t start_ns, last_ns, seconds;
	struct store *s;

	scratch_init(&dir);
	s = open_store(&dir, 2, STREAM_GRACE_NS);
	memset(data, 'x', sizeof(data));
	commits = dir_syncs = object_syncs = 0;
	start_ns = last_ns = clock_ns();
	for (int i = 0; i < STREAM; i++) {
		char name[32];

		snprintf(name, sizeof(name), "f%d", i);
		put(s, name, data, sizeof(data));
		gaps += clock_ns() - last_ns > STREAM_GAP_NS;
		last_ns = clock_ns();
		pause_ns(STREAM_STEP_NS);
	}
	seal_all(s);
	seconds = (clock_ns() - start_ns) / NS_IN_SECOND;
	printf("# %u commits, %u gaps, %d s\n", commits, gaps, (int)seconds);
	CHECK_EQ(object_syncs, STREAM);
	CHECK(commits > 0 && commits <= STREAM / SHARE + gaps + seconds + 1);
	CHECK(dir_syncs > 0 && dir_syncs <= commits);
	CHECK_EQ(store_close(s), 0);
	scratch_release(&dir);
}

int main(void)
{
	RUN(small_files_share_commits_and_fsyncs_of_their_directory);
	RUN(small_files_that_come_one_by_one_share_them_too);
	return unit_done();
}
