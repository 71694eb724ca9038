/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/io_impl.h"

/* What an O_PATH descriptor stands for, for the system calls that take none. */
#define FD_LINK_BYTES 32

static const char *fd_link(int fd, char out[FD_LINK_BYTES])
{
	snprintf(out, FD_LINK_BYTES, "/proc/self/fd/%d", fd);
	return out;
}

int io_reopen_unseen(int fd)
{
	char link[FD_LINK_BYTES];
	int fresh;

	fresh = open(fd_link(fd, link), O_RDONLY | O_NOATIME | O_CLOEXEC);
	if (fresh < 0)
		fresh = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return fresh < 0 ? -errno : fresh;
}

/* 0, or -EINVAL: no regular file. */
static int regular(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return -errno;
	return S_ISREG(st.st_mode) ? 0 : -EINVAL;
}

/* Someone has a lease on it (fcntl(2)), so that only an open that may wait gets it: of what is a
 * regular file for certain, and as long as leases last. */
static int open_leased(int dirfd, const char *path, int flags)
{
	CLEANUP_FD int pin = io_resolve(dirfd, path, O_PATH | O_NOFOLLOW, 0);
	int fd = pin, err = pin < 0 ? pin : regular(pin);
	char link[FD_LINK_BYTES];

	if (err)
		return err;
	do
		fd = open(fd_link(pin, link), (flags & ~(O_CREAT | O_NOFOLLOW)) | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

/* O_NONBLOCK: a FIFO does not wait for its other end. It means nothing to a regular file. */
static int open_file(int dirfd, const char *path, int flags, mode_t mode)
{
	int fd = io_resolve(dirfd, path, flags | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, mode);
	int err;

	if (fd == -EAGAIN)
		fd = open_leased(dirfd, path, flags);
	if (fd == -ENXIO || fd == -ENODEV) /* a socket, a FIFO, a device */
		return -EINVAL;
	if (fd < 0 || (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return fd;
	err = regular(fd);
	if (!err)
		return fd;
	close(fd);
	return err;
}

int io_open(int dirfd, const char *path, int flags, mode_t mode)
{
	if (flags & (O_DIRECTORY | O_PATH))
		return io_resolve(dirfd, path, flags, mode);
	return open_file(dirfd, path, flags, mode);
}

int io_memory_file(void)
{
	int fd = memfd_create("notepackfs", MFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int io_next_data(int fd, uint64_t offset, uint64_t *at)
{
	off_t r = lseek(fd, (off_t)offset, SEEK_DATA);

	if (r < 0)
		return -errno;
	*at = (uint64_t)r;
	return 0;
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

ssize_t io_append_some(int fd, const void *buf, size_t len)
{
	struct iovec iov = {.iov_base = (void *)buf, .iov_len = len};
	ssize_t n;

	do
		n = pwritev2(fd, &iov, 1, 0, RWF_APPEND);
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

uint64_t io_hole_bytes(int fd, uint64_t offset, uint64_t len, uint64_t most)
{
	uint64_t end = offset + len, sum = 0;

	while (offset < end && sum <= most) {
		off_t data = lseek(fd, (off_t)offset, SEEK_DATA);
		uint64_t from = data < 0 ? end : MIN((uint64_t)data, end);
		off_t hole = from < end ? lseek(fd, (off_t)from, SEEK_HOLE) : -1;

		sum += from - offset;
		offset = hole < 0 ? end : (uint64_t)hole;
	}
	return sum;
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
	CLEANUP_FREE char *buf = NULL;
	size_t size = 0;
	int err = io_read_file_into(dirfd, path, max, &buf, &size, len);

	if (err)
		return err;
	*out = buf;
	buf = NULL;
	return 0;
}

int io_read_file_into(int dirfd, const char *path, size_t max, char **buf, size_t *size,
		      size_t *len)
{
	CLEANUP_FD int fd = io_open(dirfd, path, O_RDONLY, 0);
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
	if ((size_t)st.st_size >= *size) {
		free(*buf);
		*size = 0;
		*buf = malloc((size_t)st.st_size + 1);
		if (!*buf)
			return -ENOMEM;
		*size = (size_t)st.st_size + 1;
	}
	n = io_pread(fd, *buf, (size_t)st.st_size, 0);
	if (n < 0)
		return (int)n;
	(*buf)[n] = '\0';
	*len = (size_t)n;
	return 0;
}

int io_syncfs(int fd)
{
	return syncfs(fd) == 0 ? 0 : -errno;
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

/* ---- names ---- */

int io_stat(int dirfd, const char *path, struct stat *st)
{
	struct io_name n;
	int err = io_name_init(&n, dirfd, path);

	if (err)
		return err;
	err = fstatat(n.dirfd, n.name, st, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : -errno;
	io_name_release(&n);
	return err;
}

int io_fstat(int fd, struct stat *st)
{
	return fstat(fd, st) == 0 ? 0 : -errno;
}

int io_mkdir(int dirfd, const char *path, mode_t mode)
{
	struct io_name n;
	int err = io_name_init(&n, dirfd, path);

	if (err)
		return err;
	err = mkdirat(n.dirfd, n.name, mode) == 0 ? 0 : -errno;
	io_name_release(&n);
	return err;
}

int io_symlink(const char *target, int dirfd, const char *path)
{
	struct io_name n;
	int err = io_name_init(&n, dirfd, path);

	if (err)
		return err;
	err = symlinkat(target, n.dirfd, n.name) == 0 ? 0 : -errno;
	io_name_release(&n);
	return err;
}

ssize_t io_readlink(int dirfd, const char *path, char *out, size_t size)
{
	struct io_name n;
	ssize_t len = io_name_init(&n, dirfd, path);

	if (len)
		return len;
	len = readlinkat(n.dirfd, n.name, out, size - 1);
	len = len < 0 ? -errno : len;
	io_name_release(&n);
	if (len >= 0)
		out[len] = '\0';
	return len;
}

static bool is_gone(const struct io_name *n)
{
	struct stat st;

	return fstatat(n->dirfd, n->name, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
}

static int unlink_name(const struct io_name *n, int flags)
{
	int err = unlinkat(n->dirfd, n->name, flags) == 0 ? 0 : -errno;

	return err && err != -ENOENT && is_gone(n) ? 0 : err;
}

int io_unlink(int dirfd, const char *path, int flags)
{
	struct io_name n;
	int err = io_name_init(&n, dirfd, path);

	if (err)
		return err;
	err = unlink_name(&n, flags);
	io_name_release(&n);
	return err;
}

static int rename_names(const struct io_name *from, const struct io_name *to, unsigned flags)
{
	int err =
	    renameat2(from->dirfd, from->name, to->dirfd, to->name, flags) == 0 ? 0 : -errno;
	bool made = err && err != -ENOENT && is_gone(from) && !is_gone(to);

	return made ? 0 : err;
}

static int rename_noreplace(const struct io_name *from, const struct io_name *to,
			    unsigned flags)
{
	int err = rename_names(from, to, flags | RENAME_NOREPLACE);

	if (err != -EINVAL && err != -ENOSYS)
		return err;
	if (linkat(from->dirfd, from->name, to->dirfd, to->name, 0) != 0)
		return -errno;
	return unlink_name(from, 0);
}

static int link_names(const struct io_name *from, const struct io_name *to, unsigned flags)
{
	return linkat(from->dirfd, from->name, to->dirfd, to->name, 0) == 0 ? 0 : -errno;
}

static int both_names(int from_dirfd, const char *from, int to_dirfd, const char *to,
		      int (*rename_them)(const struct io_name *, const struct io_name *,
					 unsigned),
		      unsigned flags)
{
	struct io_name a, b;
	int err = io_name_init(&a, from_dirfd, from);

	if (err)
		return err;
	err = io_name_init(&b, to_dirfd, to);
	if (!err) {
		err = rename_them(&a, &b, flags);
		io_name_release(&b);
	}
	io_name_release(&a);
	return err;
}

int io_rename(int from_dirfd, const char *from, int to_dirfd, const char *to, unsigned flags)
{
	return both_names(from_dirfd, from, to_dirfd, to, rename_names, flags);
}

int io_rename_noreplace(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	return both_names(from_dirfd, from, to_dirfd, to, rename_noreplace, 0);
}

void io_start_writeback(int fd, uint64_t offset, uint64_t len)
{
	(void)sync_file_range(fd, (off_t)offset, (off_t)len, SYNC_FILE_RANGE_WRITE);
}

void io_drop_cache(int fd)
{
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

int io_link(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	return both_names(from_dirfd, from, to_dirfd, to, link_names, 0);
}

/* ---- attributes ---- */

int io_set_times(int fd, const struct timespec times[2])
{
	return futimens(fd, times) == 0 ? 0 : -errno;
}

/* What has this name (O_PATH), if it is of this kind and has no other name: who put it there might
 * mean to have someone else's file changed. Directories have several in any case. */
static int open_only_name(int dirfd, const char *path, mode_t kind)
{
	int fd = io_resolve(dirfd, path, O_PATH | O_NOFOLLOW, 0);
	struct stat st;
	int err;

	if (fd < 0)
		return fd;
	err = fstat(fd, &st) != 0		   ? -errno
	      : (st.st_mode & S_IFMT) != kind	   ? -EINVAL
	      : kind != S_IFDIR && st.st_nlink > 1 ? -EMLINK
						   : 0;
	if (!err)
		return fd;
	close(fd);
	return err;
}

int io_chown(int dirfd, const char *path, mode_t kind, uid_t uid, gid_t gid)
{
	CLEANUP_FD int fd = open_only_name(dirfd, path, kind);

	if (fd < 0)
		return fd;
	return fchownat(fd, "", uid, gid, AT_EMPTY_PATH) == 0 ? 0 : -errno;
}

int io_chmod(int dirfd, const char *path, mode_t kind, mode_t mode)
{
	CLEANUP_FD int fd = open_only_name(dirfd, path, kind);
	char link[FD_LINK_BYTES];

	if (fd < 0)
		return fd;
	return chmod(fd_link(fd, link), mode) == 0 ? 0 : -errno;
}

int io_set_times_at(int dirfd, const char *path, mode_t kind, const struct timespec times[2])
{
	CLEANUP_FD int fd = open_only_name(dirfd, path, kind);
	char link[FD_LINK_BYTES];

	if (fd < 0)
		return fd;
	return utimensat(AT_FDCWD, fd_link(fd, link), times, 0) == 0 ? 0 : -errno;
}
