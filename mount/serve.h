/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * serve: mounts a session, serves it until the kernel or a signal ends it, and lets go of it.
 *
 *	serve_begin → … → serve_mount → serve_loop → serve_end → … → serve_release
 *
 * SIGTERM, SIGINT and SIGHUP are blocked in all threads and taken by one of this module. Before
 * the mount they end the process at once: a start is crash-safe at any point. Afterwards the
 * mount is detached and served until its last file is closed, or for stop_wait; then the loop
 * ends. Later signals change nothing.
 */
#ifndef NOTEPACKFS_MOUNT_SERVE_H
#define NOTEPACKFS_MOUNT_SERVE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/fs.h"
#include "lib/lock.h"
#include "mount/mounter.h"

enum serve_state {
	SERVE_STARTING, /* a signal ends the process */
	SERVE_MOUNTING, /* it waits */
	SERVE_SERVING,	/* it detaches the mount */
	SERVE_ENDED,	/* it is ignored */
};

struct serve {
	struct fs *fs;
	struct fuse_session *session; /* NULL: nothing is mounted */
	struct mounter *mounter;
	const char *mountpoint;
	int64_t stop_wait_ns;
	pthread_t main_thread;
	pthread_t signal_thread;
	/* Rank 50. Protects the rest. */
	struct lock lock;
	struct cond changed;
	enum serve_state state;
};

/* Block the signals and start their thread: before any other thread. The mounter has been
 * started. 0 or -errno. */
int serve_begin(struct serve *sv, struct mounter *mounter, const char *mountpoint,
		int64_t stop_wait_ns);

/* Returns 0, or -1: a line in the log says why. The session is taken over unless nothing was
 * mounted. On failure go on with serve_end. */
int serve_mount(struct serve *sv, struct fs *fs, struct fuse_session *session);

/* Returns when the loop has ended: 0, or -errno. */
int serve_loop(struct serve *sv);

/*
 * Join the signals' thread; the signals stay blocked. If the kernel has not ended the session,
 * detach the mount and sever the connection: whoever still uses it gets errors from now on, and
 * answers go nowhere. Also right without a mount.
 */
void serve_end(struct serve *sv);

/* Destroy the session: when nothing can answer a request of its any more. */
void serve_release(struct serve *sv);

#endif
