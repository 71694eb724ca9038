/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scratch: a directory of the test's own, removed with all that is in it.
 */
#ifndef NOTEPACKFS_TESTS_SCRATCH_H
#define NOTEPACKFS_TESTS_SCRATCH_H

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct scratch {
	char path[PATH_MAX / 2];
	int fd;
};

static inline void scratch_init(struct scratch *s)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(s->path, sizeof(s->path), "%s/notepackfs-unit-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(s->path))
		abort();
	s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->fd < 0)
		abort();
}

static int scratch_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static inline void scratch_release(struct scratch *s)
{
	close(s->fd);
	nftw(s->path, scratch_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void scratch_put(struct scratch *s, const char *name, const char *text)
{
	int fd = openat(s->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || dprintf(fd, "%s", text) < 0 || close(fd) != 0)
		abort();
}

static inline bool scratch_has(struct scratch *s, const char *name)
{
	return faccessat(s->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

#endif
