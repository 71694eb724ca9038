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

int replace_file(int dirfd, const char *path, const struct iovec *iov, int iovcnt,
		 bool *renamed)
{
	char temporary[512], dir[512];
	int fd, err, n;

	if (renamed)
		*renamed = false;
	n = snprintf(temporary, sizeof(temporary), "%s" TEMPORARY_MARK "%ld.%lu", path,
		     (long)getpid(), atomic_fetch_add(&counter, 1));
	if (n < 0 || (size_t)n >= sizeof(temporary))
		return -ENAMETOOLONG;
	err = dir_of(path, dir, sizeof(dir));
	if (err)
		return err;

	fd = io_open(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return fd;
	err = write_all(fd, iov, iovcnt);
	if (close(fd) != 0 && !err)
		err = -errno;
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

bool replace_is_temporary(const char *name)
{
	return strstr(name, TEMPORARY_MARK) != NULL;
}
