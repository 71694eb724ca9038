/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_scratch: a directory in memory for the targets that need one, emptied between two inputs and
 * removed at the end. It lies in FUZZ_SCRATCH, or else in /dev/shm, TMPDIR or /tmp: the first of
 * them that has user attributes (tmpfs has them since Linux 6.6), or just the first.
 */
#ifndef NOTEPACKFS_TESTS_FUZZ_SCRATCH_H
#define NOTEPACKFS_TESTS_FUZZ_SCRATCH_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "tests/fuzz/fuzz.h"

/* Remove everything in the directory fd, which stays the caller's. */
static inline void scratch_empty(int fd)
{
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = again < 0 ? NULL : fdopendir(again);
	struct dirent *e;

	if (!d)
		abort();
	while ((e = readdir(d))) {
		int sub;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (unlinkat(fd, e->d_name, 0) == 0)
			continue;
		sub = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0)
			abort();
		scratch_empty(sub);
		close(sub);
		if (unlinkat(fd, e->d_name, AT_REMOVEDIR) != 0)
			abort();
	}
	closedir(d);
}

static struct {
	char path[PATH_MAX / 2];
	int fd;
} scratch = {.fd = -1};

static inline void scratch_end(void)
{
	scratch_empty(scratch.fd);
	close(scratch.fd);
	rmdir(scratch.path);
}

static inline bool scratch_has_attributes(void)
{
	return fsetxattr(scratch.fd, "user.probe", "", 0, 0) == 0 &&
	       fremovexattr(scratch.fd, "user.probe") == 0;
}

static inline bool scratch_try(const char *where)
{
	if (!where)
		return false;
	snprintf(scratch.path, sizeof(scratch.path), "%s/notepackfs-fuzz-XXXXXX", where);
	if (!mkdtemp(scratch.path))
		return false;
	scratch.fd = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return scratch.fd >= 0;
}

/* Have it, and have it empty. */
static inline void scratch_begin(void)
{
	const char *const places[] = {getenv("FUZZ_SCRATCH"), "/dev/shm", getenv("TMPDIR"),
				      "/tmp"};
	size_t first = ARRAY_LEN(places);

	if (scratch.fd >= 0) {
		scratch_empty(scratch.fd);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (!scratch_try(places[i]))
			continue;
		first = MIN(first, i);
		if (i == 0 || scratch_has_attributes())
			break;
		scratch_end();
		scratch.fd = -1;
	}
	if (scratch.fd < 0 && (first == ARRAY_LEN(places) || !scratch_try(places[first])))
		abort();
	atexit(scratch_end);
}

/* A new file of these bytes, beneath dirfd. */
static inline void scratch_put(int dirfd, const char *path, const void *data, size_t len)
{
	int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, data, len) != (ssize_t)len || close(fd) != 0)
		abort();
}

#endif
