/* SPDX-License-Identifier: BSD-2-Clause */
/* Between lib/io.c and lib/io_resolve.c. */
#ifndef NOTEPACKFS_LIB_IO_IMPL_H
#define NOTEPACKFS_LIB_IO_IMPL_H

#include <sys/types.h>

/* openat2(2) beneath dirfd and through no symbolic link, or the same without that system call.
 * flags as they are given to the kernel. Returns a descriptor, or -errno. */
int io_resolve(int dirfd, const char *path, int flags, mode_t mode);

/* A path as the descriptor of a directory and a name in it, for the system calls that resolve
 * nothing but a name safely. */
struct io_name {
	int dirfd;
	int own_fd; /* -1: dirfd is the caller's */
	const char *name;
};

/* 0, or -errno: -EXDEV for a path that is absolute or ends in "..". Release it after a 0. */
int io_name_init(struct io_name *n, int dirfd, const char *path);
void io_name_release(struct io_name *n);

#endif
