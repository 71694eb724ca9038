/* SPDX-License-Identifier: BSD-2-Clause */
/* Is it the same file? */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include "lib/io.h"
#include "lib/io_impl.h"

/* On overlayfs a file has another one when it was opened to be written, and so copied up. */
static bool keeps_births(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type != OVERLAYFS_SUPER_MAGIC;
}

static uint64_t identity_of(const struct statx *x, int fd)
{
	uint64_t identity = x->stx_ino;

	/* The factor is odd: no two times come to the same. */
	if ((x->stx_mask & STATX_BTIME) && keeps_births(fd))
		identity +=
		    ((uint64_t)x->stx_btime.tv_sec * 1000000000 + x->stx_btime.tv_nsec) *
		    UINT64_C(0x9e3779b97f4a7c15);
	return identity;
}

static int identity(int dirfd, const char *name, int flags, uint64_t *out)
{
	struct statx x = {0};

	if (statx(dirfd, name, flags, STATX_INO | STATX_BTIME, &x) != 0)
		return -errno;
	*out = identity_of(&x, dirfd);
	return 0;
}

static struct timespec time_of(const struct statx_timestamp *t)
{
	return (struct timespec){.tv_sec = t->tv_sec, .tv_nsec = t->tv_nsec};
}

static void stat_of(const struct statx *x, struct stat *st)
{
	*st = (struct stat){
	    .st_dev = makedev(x->stx_dev_major, x->stx_dev_minor),
	    .st_ino = x->stx_ino,
	    .st_nlink = x->stx_nlink,
	    .st_mode = x->stx_mode,
	    .st_uid = x->stx_uid,
	    .st_gid = x->stx_gid,
	    .st_rdev = makedev(x->stx_rdev_major, x->stx_rdev_minor),
	    .st_size = (off_t)x->stx_size,
	    .st_blksize = x->stx_blksize,
	    .st_blocks = (blkcnt_t)x->stx_blocks,
	    .st_atim = time_of(&x->stx_atime),
	    .st_mtim = time_of(&x->stx_mtime),
	    .st_ctim = time_of(&x->stx_ctime),
	};
}

int io_identity(int dirfd, const char *path, uint64_t *out)
{
	struct io_name n;
	int err = io_name_init(&n, dirfd, path);

	if (err)
		return err;
	err = identity(n.dirfd, n.name, AT_SYMLINK_NOFOLLOW, out);
	io_name_release(&n);
	return err;
}

int io_stat_identity(int dirfd, const char *path, struct stat *st, uint64_t *identity)
{
	struct statx x = {0};
	struct io_name n;
	int err = io_name_init(&n, dirfd, path);

	if (err)
		return err;
	err = statx(n.dirfd, n.name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME,
		    &x) == 0
		  ? 0
		  : -errno;
	if (!err) {
		stat_of(&x, st);
		*identity = identity_of(&x, n.dirfd);
	}
	io_name_release(&n);
	return err;
}

int io_fidentity(int fd, uint64_t *out)
{
	return identity(fd, "", AT_EMPTY_PATH, out);
}

bool io_same_file(int a_dirfd, const char *a, int b_dirfd, const char *b)
{
	struct stat x, y;

	return io_stat(a_dirfd, a, &x) == 0 && io_stat(b_dirfd, b, &y) == 0 &&
	       x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

bool io_is_named(int fd, int dirfd, const char *name)
{
	struct stat x, y;

	return io_fstat(fd, &x) == 0 && io_stat(dirfd, name, &y) == 0 && x.st_ino == y.st_ino &&
	       x.st_dev == y.st_dev;
}

int io_rename_resume(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	struct stat st;
	int err;

	/* One name: to remove it is to lose the file. */
	if (strcmp(from, to) == 0 && io_same_file(from_dirfd, ".", to_dirfd, "."))
		return io_stat(from_dirfd, from, &st);
	err = io_rename_noreplace(from_dirfd, from, to_dirfd, to);
	if (err == -EEXIST && io_same_file(from_dirfd, from, to_dirfd, to))
		err = io_unlink(from_dirfd, from, 0);
	return err;
}
