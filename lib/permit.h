/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * permit: what a caller may do where the kernel has not looked: requests by ioctl name paths, and act
 * on files that their caller may not be able to reach. The rules are those of a system call, by
 * mode bits, as with default_permissions.
 */
#ifndef NOTEPACKFS_LIB_PERMIT_H
#define NOTEPACKFS_LIB_PERMIT_H

#include <sys/stat.h>

#include "lib/store.h"

/* Root, or the daemon's user, who can do in the store whatever we can. */
bool permit_is_trusted(const struct caller *c);

/* Do the mode bits give the caller all of R_OK, W_OK, X_OK in want? Always, if trusted. */
bool permit_may(const struct caller *c, const struct stat *st, int want);

/* May the caller unlink what has these attributes from a directory with those? 0, -EACCES, or
 * -EPERM: the directory is sticky. */
int permit_unlink(const struct caller *c, const struct stat *dir, const struct stat *st);

#endif
