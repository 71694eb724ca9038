/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fs: a store as a FUSE filesystem (libfuse's low-level API).
 *
 * The calling sequence, by one thread:
 *
 *	fs_new → store_open(…, fs_hooks) → fs_session → fuse_session_mount → fs_start
 *	→ fuse_session_loop_mt → fs_stop → store_release_all, store_close → fs_free
 *	→ fuse_session_destroy
 *
 * The store may answer what is still parked until store_close returns, and every answer needs
 * the session: so fs_free and fuse_session_destroy come last. Answers to a connection that is
 * gone do nothing.
 */
#ifndef NOTEPACKFS_FS_FS_H
#define NOTEPACKFS_FS_FS_H

#include <fuse_lowlevel.h>

#include "lib/store.h"

struct fs;

/* ready is called once, by a thread of the session's, when the kernel has asked for the
 * connection and will be answered: from then on the mount is usable. NULL: no memory. */
struct fs *fs_new(void (*ready)(void *ctx), void *ctx);
void fs_free(struct fs *fs);

/* For store_open; valid as long as fs. */
const struct store_hooks *fs_hooks(struct fs *fs);

/*
 * Who tells the kernel of files that it shall read itself (FUSE_DEV_IOC_BACKING_OPEN and _CLOSE on the
 * connection); any thread may call. open: a number above 0 for the open file fd, or -errno: -EPERM,
 * -EPIPE, -ELOOP, if it will work for no other file either.
 */
struct fs_backing {
	int32_t (*open)(void *ctx, int fd);
	void (*close)(void *ctx, int32_t id);
	void *ctx;
};

/* Have files of the store passed through (fs/passthrough.h). Before fs_start. */
void fs_pass_through(struct fs *fs, const struct store *s, const struct fs_backing *backing);

/* When the loop has ended, and while the connection and the one above are there: the kernel has no more to do
 * with files that no one has open. */
void fs_pass_no_more(struct fs *fs);

/* fuse_session_new with this filesystem's operations. NULL: libfuse has logged why. */
struct fuse_session *fs_session(struct fs *fs, struct fuse_args *args);

/* Start the threads; 0 or -errno (nothing was started). The session must be mounted. */
int fs_start(struct fs *fs, struct store *s, struct fuse_session *se);

/*
 * Make no more notifications to the kernel, and wait for the one in progress. That one may be
 * waiting for a directory which a client holds until its request is answered: so call it while
 * the loop is serving, or after the kernel has ended the connection. Idempotent.
 */
void fs_quiet(struct fs *fs);

/* After the loop: join the threads; what is parked, now or later, is answered with EIO. */
void fs_stop(struct fs *fs);

#endif
