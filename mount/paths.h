/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * paths: are the store and the mountpoint fit for a mount? Every refusal says why and what to
 * do.
 */
#ifndef NOTEPACKFS_MOUNT_PATHS_H
#define NOTEPACKFS_MOUNT_PATHS_H

#include <limits.h>

struct paths {
	char store[PATH_MAX]; /* absolute, without symbolic links */
	char mountpoint[PATH_MAX];
};

/* 0, or an exit status: 1 not there or not usable, 2 the two overlap. Logged. */
int paths_check(const char *store, const char *mountpoint, struct paths *out);

/* Can FUSE be used at all? 0, or 1: logged. */
int paths_check_fuse(void);

#endif
