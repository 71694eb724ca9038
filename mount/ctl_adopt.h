/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ctl_adopt: can a directory with files in it become a store?
 *
 * Refused, each with its name: a file with a sealed name that is no object of ours, or whose
 * header disagrees with its name; a name that no file in a mount could have; two raw files that
 * would have one sealed name; a FIFO, socket or device; another store. Excluded names may be
 * anything. Nothing is changed.
 */
#ifndef NOTEPACKFS_MOUNT_CTL_ADOPT_H
#define NOTEPACKFS_MOUNT_CTL_ADOPT_H

/* CTL_DONE, or CTL_FAILED after a line for each that is refused. path is for messages. */
int adopt_check(int storefd, const char *path, const char *suffix);

#endif
