/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many small files that are sealed together share what makes them durable: commits of the manifest
 * and fsyncs of their directory are counted.
 */
#include "tests/unit/store_kit.h"

#include <fnmatch.h>
#include <sys/syscall.h>

#define FILES 1280
#define SHARE 64 /* files that a commit is for, at least */

static struct scratch dir;
static atomic_uint commits, dir_syncs, object_syncs;

static bool is_of(const char *path, const char *pattern)
{
	return fnmatch(pattern, path + strlen(dir.path), 0) == 0;
}

int fsync(int fd)
{
	char link[64], path[PATH_MAX] = "";
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n > 0 && dir.path[0] && strncmp(path, dir.path, strlen(dir.path)) == 0) {
		commits += is_of(path, "/.notepackfs/manifest.new.*");
		object_syncs += is_of(path, "/.notepackfs/tmp/*.gz");
		dir_syncs += is_of(path, "");
	}
	return (int)syscall(SYS_fsync, fd);
}

/* Compression is what takes long here: a batch that does not wait for more is small. */
ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	struct timespec pause = {.tv_nsec = 500000};

	nanosleep(&pause, NULL);
	return syscall(SYS_pwrite64, fd, buf, len, offset);
}

static void small_files_share_commits_and_fsyncs_of_their_directory(void)
{
	uint8_t data[4096];
	struct store *s;

	scratch_init(&dir);
	s = open_store(&dir, 2, NEVER_NS);
	memset(data, 'x', sizeof(data));
	for (int i = 0; i < FILES; i++) {
		char name[32];

		snprintf(name, sizeof(name), "f%d", i);
		put(s, name, data, sizeof(data));
	}
	commits = dir_syncs = object_syncs = 0;
	seal_all(s);
	printf("# %u commits, %u fsyncs of the directory\n", commits, dir_syncs);
	CHECK_EQ(object_syncs, FILES);
	CHECK(commits > 0 && commits <= FILES / SHARE);
	CHECK(dir_syncs > 0 && dir_syncs <= commits);
	CHECK_EQ(store_close(s), 0);
	scratch_release(&dir);
}

int main(void)
{
	RUN(small_files_share_commits_and_fsyncs_of_their_directory);
	return unit_done();
}
