/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/bytes.h"

int io_reopen_unseen(int fd)
{
	char path[32];
	int fresh;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fresh = open(path, O_RDONLY | O_NOATIME | O_CLOEXEC);
	if (fresh < 0)
		fresh = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return fresh < 0 ? -errno : fresh;
}

int io_open(int dirfd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
	    .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
	    .mode = flags & (O_CREAT | O_TMPFILE) ? mode & 07777 : 0,
	    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	long fd;

	do
		fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : (int)fd;
}

int io_memory_file(void)
{
	int fd = memfd_create("notepackfs", MFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

ssize_t io_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int io_pwrite(int fd, const void *buf, size_t len, uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n =
		    pwrite(fd, (const char *)buf + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENOSPC;
		done += (size_t)n;
	}
	return 0;
}

ssize_t io_pwrite_some(int fd, const void *buf, size_t len, uint64_t offset)
{
	ssize_t n;

	do
		n = pwrite(fd, buf, len, (off_t)offset);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int io_truncate(int fd, uint64_t bytes)
{
	return ftruncate(fd, (off_t)bytes) == 0 ? 0 : -errno;
}

int io_fallocate(int fd, int mode, uint64_t offset, uint64_t len)
{
	return fallocate(fd, mode, (off_t)offset, (off_t)len) == 0 ? 0 : -errno;
}

int io_write(int fd, const void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(fd, (const char *)buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENOSPC;
		done += (size_t)n;
	}
	return 0;
}

int io_read_file(int dirfd, const char *path, size_t max, char **out, size_t *len)
{
	CLEANUP_FD int fd = io_open(dirfd, path, O_RDONLY, 0);
	CLEANUP_FREE char *buf = NULL;
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((uint64_t)st.st_size > max)
		return -EFBIG;
	buf = malloc((size_t)st.st_size + 1);
	if (!buf)
		return -ENOMEM;
	n = io_pread(fd, buf, (size_t)st.st_size, 0);
	if (n < 0)
		return (int)n;
	buf[n] = '\0';
	*len = (size_t)n;
	*out = buf;
	buf = NULL;
	return 0;
}

int io_fsync(int fd)
{
	/* Never retried: after an error the kernel has dropped the dirty state (I5, L14). */
	return fsync(fd) == 0 ? 0 : -errno;
}

int io_syncdir(int dirfd, const char *path)
{
	CLEANUP_FD int fd = io_open(dirfd, path, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return fd;
	return io_fsync(fd);
}

int io_stat(int dirfd, const char *name, struct stat *st)
{
	return fstatat(dirfd, name, st, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : -errno;
}

int io_fstat(int fd, struct stat *st)
{
	return fstat(fd, st) == 0 ? 0 : -errno;
}

static bool is_gone(int dirfd, const char *name)
{
	struct stat st;

	return io_stat(dirfd, name, &st) == -ENOENT;
}

int io_unlink(int dirfd, const char *name, int flags)
{
	int err = unlinkat(dirfd, name, flags) == 0 ? 0 : -errno;

	return err && err != -ENOENT && is_gone(dirfd, name) ? 0 : err;
}

/* err is what a rename returned: was it made all the same? */
static int rename_result(int err, int from_dirfd, const char *from, int to_dirfd,
			 const char *to)
{
	bool made =
	    err && err != -ENOENT && is_gone(from_dirfd, from) && !is_gone(to_dirfd, to);

	return made ? 0 : err;
}

int io_link(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	return linkat(from_dirfd, from, to_dirfd, to, 0) == 0 ? 0 : -errno;
}

int io_rename(int from_dirfd, const char *from, int to_dirfd, const char *to, unsigned flags)
{
	int err = renameat2(from_dirfd, from, to_dirfd, to, flags) == 0 ? 0 : -errno;

	return rename_result(err, from_dirfd, from, to_dirfd, to);
}

int io_rename_noreplace(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	if (renameat2(from_dirfd, from, to_dirfd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return rename_result(-errno, from_dirfd, from, to_dirfd, to);
	if (linkat(from_dirfd, from, to_dirfd, to, 0) != 0)
		return -errno;
	return io_unlink(from_dirfd, from, 0);
}

bool io_same_file(int a_dirfd, const char *a, int b_dirfd, const char *b)
{
	struct stat x, y;

	return io_stat(a_dirfd, a, &x) == 0 && io_stat(b_dirfd, b, &y) == 0 &&
	       x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

int io_rename_resume(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	int err = io_rename_noreplace(from_dirfd, from, to_dirfd, to);

	if (err == -EEXIST && io_same_file(from_dirfd, from, to_dirfd, to))
		err = io_unlink(from_dirfd, from, 0);
	return err;
}

int io_set_times(int dirfd, const char *name, const struct timespec times[2])
{
	int r;

	if (*name)
		r = utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW);
	else
		r = futimens(dirfd, times);
	return r == 0 ? 0 : -errno;
}
