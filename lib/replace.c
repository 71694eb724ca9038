/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/io.h"

#define TEMPORARY_MARK ".new."

static atomic_ulong counter;

/* The directory part of path: "." where there is none. Returns -ENAMETOOLONG if it does not
 * fit. */
static int dir_of(const char *path, char *out, size_t size)
{
	const char *slash = strrchr(path, '/');
	int n = slash ? snprintf(out, size, "%.*s", (int)(slash - path), path)
		      : snprintf(out, size, ".");

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int write_all(int fd, const struct iovec *iov, int iovcnt)
{
	for (int i = 0; i < iovcnt; i++) {
		int err = io_write(fd, iov[i].iov_base, iov[i].iov_len);

		if (err)
			return err;
	}
	return io_fsync(fd);
}

int replace_begin(int dirfd, const char *path, char temporary[REPLACE_TEMPORARY_BYTES])
{
	int n = snprintf(temporary, REPLACE_TEMPORARY_BYTES, "%s" TEMPORARY_MARK "%ld.%lu",
			 path, (long)getpid(), atomic_fetch_add(&counter, 1));

	if (n < 0 || n >= REPLACE_TEMPORARY_BYTES)
		return -ENAMETOOLONG;
	return io_open(dirfd, temporary, O_RDWR | O_CREAT | O_EXCL, 0600);
}

/* The temporary was written, or was not (err). */
static int finish(int dirfd, const char *path, const char *temporary, int err, bool *renamed)
{
	char dir[REPLACE_TEMPORARY_BYTES];

	if (renamed)
		*renamed = false;
	if (!err)
		err = dir_of(path, dir, sizeof(dir));
	if (!err)
		err = io_rename(dirfd, temporary, dirfd, path, 0);
	if (err) {
		io_unlink(dirfd, temporary, 0);
		return err;
	}
	if (renamed)
		*renamed = true;
	return io_syncdir(dirfd, dir);
}

int replace_commit(int dirfd, const char *path, const char *temporary, int fd, bool *renamed)
{
	return finish(dirfd, path, temporary, io_fsync(fd), renamed);
}

int replace_file(int dirfd, const char *path, const struct iovec *iov, int iovcnt,
		 bool *renamed)
{
	char temporary[REPLACE_TEMPORARY_BYTES];
	int fd, err;

	if (renamed)
		*renamed = false;
	fd = replace_begin(dirfd, path, temporary);
	if (fd < 0)
		return fd;
	err = write_all(fd, iov, iovcnt);
	if (close(fd) != 0 && !err)
		err = -errno;
	return finish(dirfd, path, temporary, err, renamed);
}

bool replace_is_temporary(const char *name)
{
	return strstr(name, TEMPORARY_MARK) != NULL;
}
