/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * disk: a file system in an image in memory, and the end of its power.
 *
 *	ext4, noauto (ext4 without auto_da_alloc), xfs	the shutdown ioctl, without a flush of the
 *			journal: what was not durable by then is lost
 *	btrfs		has none: the image, on an XFS of its own, is cloned at that moment (FICLONE), and the
 *			clone is mounted then
 *	heal	ext4 on a device whose writes fail (EIO) from disk_fail to disk_heal: the error filter of
 *			nbdkit, behind nbdfuse and a loop device
 *	thin	ext4 of 64 MiB in a sparse image on a tmpfs of 8: from disk_fail to disk_heal that one is
 *			full, so ext4 gives out blocks that it does not have, and fsync is told
 *
 * As root, in a mount namespace of the caller's. What fails here ends the program: nothing is tested
 * without a disk.
 */
#ifndef NOTEPACKFS_TESTS_DISK_H
#define NOTEPACKFS_TESTS_DISK_H

#include <sys/types.h>

struct disk {
	const char *kind;
	char base[64];	/* holds all below */
	char image[96]; /* of the file system */
	char dir[96];	/* where it is mounted */
	char host[96];	/* where the image's own file system is mounted; "" */
	pid_t server;	/* nbdfuse, with nbdkit; 0: none */
};

void disk_open(struct disk *d, const char *kind);
void disk_close(struct disk *d);

/* Of what is on it now, only that survives which was durable. */
void disk_cut(struct disk *d);
/* Mount it again, as after a cut. */
void disk_restart(struct disk *d);

/* heal, thin: from now on it fails; no more. */
void disk_fail(struct disk *d);
void disk_heal(struct disk *d);
/* Before a store is made on it: thin is made anew, since what was removed keeps its room. */
void disk_renew(struct disk *d);

#endif
