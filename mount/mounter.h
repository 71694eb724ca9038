/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mounter: a process beside the daemon that makes the mount, and undoes it when it is asked.
 *
 * Both need what the daemon is better without: CAP_SYS_ADMIN, or, for other users than root, the
 * right to run fusermount3(1), which is set-user-ID root. This process keeps it, has no descriptor
 * but the pipe to the daemon (and those that come with a request, while it works on it), and reads
 * nothing but small requests of one form; the daemon itself gives all of it up before it looks at the
 * store. It ends with the daemon, whatever ends that; signals to stop
 * are the daemon's alone. Of a daemon that was killed, and cannot end, it aborts the connection, so
 * that nobody waits for it.
 */
#ifndef NOTEPACKFS_MOUNT_MOUNTER_H
#define NOTEPACKFS_MOUNT_MOUNTER_H

#include <stdint.h>
#include <sys/types.h>

#include "lib/lock.h"

struct mounter {
	pid_t pid;
	int fd;	      /* to the process; -1: there is none */
	dev_t device; /* the mount's; 0: nothing was mounted */
	/* Rank 60. Held while a request is sent and answered: it protects nothing else. */
	struct lock lock;
};

/* Start the process: before any thread, and before privileges are dropped. mountpoint is absolute,
 * options as after -o; both need to live until then only. 0 or -errno. */
int mounter_start(struct mounter *m, const char *mountpoint, const char *options);

/* Mount. Returns the connection, a descriptor, or -errno: libfuse has logged why. */
int mounter_mount(struct mounter *m);

/*
 * Detach the mount (umount2(2), MNT_DETACH), if it is still what lies at the mountpoint. 0: done, or
 * it was not there any more; or -errno.
 */
int mounter_detach(struct mounter *m);

/*
 * Tell the kernel of a file, open as fd, that it shall read itself for whoever opens one of the
 * connection's (struct fs_backing in fs/fs.h). A number above 0, or -errno; -EPIPE: the process has
 * ended. By any thread.
 */
int32_t mounter_open_backing(struct mounter *m, int connection, int fd);
void mounter_close_backing(struct mounter *m, int connection, int32_t id);

/* End the process, and wait for that. Also right if it was never started. */
void mounter_end(struct mounter *m);

#endif
