/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ctl_adopt: can a directory with files in it become a store?
 *
 * Refused, each with its name: a part number that no file has; a name that no file in a mount
 * could have; two raw files that would have one sealed name; a FIFO, socket or device; another
 * store. Excluded names may be anything. Nothing is changed.
 */
#ifndef NOTEPACKFS_MOUNT_CTL_ADOPT_H
#define NOTEPACKFS_MOUNT_CTL_ADOPT_H

/* CTL_DONE, or CTL_FAILED after a line for each that is refused. path is for messages. */
int adopt_check(int storefd, const char *path, const char *suffix);

/* The directory is a store by now: read its objects, record them, and rename those that are bad;
 * with progress. CTL_DONE, CTL_DAMAGED: not all are good, or what a mount would exit with. */
int adopt_objects(const char *path, const char *suffix);

#endif
