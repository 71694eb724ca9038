/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * passthrough: files of which the kernel reads or appends to the store's own file itself, at its speed,
 * and no READ or WRITE comes here (FUSE_PASSTHROUGH, Linux 6.9). These are the sealed objects of 1 MiB and
 * more, which never change; and files that are open for appending only (O_WRONLY and O_APPEND), whose bytes no
 * one needs to see on their way: what lib/pass.h says of them holds.
 *
 * libfuse has this from 3.17 on. What it takes is little, and the kernel's interface: two bits and a
 * number in the answer to INIT, a bit and a number in the answer to OPEN, and two ioctls of the
 * connection. So it is done here, for every libfuse; the answers are amended on their way out
 * (fs/handshake.h). The ioctls need CAP_SYS_ADMIN, which the daemon does not keep: someone else makes
 * them (struct fs_backing in fs/fs.h), and libfuse's own calls, which make them in this process, would
 * be refused.
 *
 * The kernel lets the handles of one inode be all ordinary, or all passed through to one file, and
 * answers an open that would mix them with EIO. So the first open of an inode decides for all that
 * come until the last is released: for an object each of them is passed through; for a file that someone
 * appends to, the other appenders are, and of the rest the mappings only (reads and writes come here, by
 * FOPEN_DIRECT_IO). Where the kernel, or the one who makes the ioctls, will not, that is
 * said once in the log, and I/O is ordinary.
 */
#ifndef NOTEPACKFS_FS_PASSTHROUGH_H
#define NOTEPACKFS_FS_PASSTHROUGH_H

#include <sys/uio.h>

#include "fs/fs.h"
#include "lib/lock.h"

struct passthrough_inode;

struct passthrough {
	/* Constant while the session's loop runs. */
	struct fs_backing backing; /* open NULL: it is not wanted */
	uint32_t stack_depth;	   /* of the mount, over the store's file system */
	bool appends; /* files that are appended to, too; set with the answer to INIT */

	/* Rank 50. Protects the rest. */
	struct lock lock;
	struct cond changed;
	struct passthrough_inode *inodes; /* hash; those that are open */
	bool offered;			  /* by the kernel, and asked for */
	bool refused;			  /* it has been said that it does not work */
};

void passthrough_init(struct passthrough *p);
void passthrough_release(struct passthrough *p);

/* The connection is served no more: give back the kernel's numbers, with which it keeps files open that we
 * want to know unused, though not all handles were released. */
void passthrough_end(struct passthrough *p);

/* Before the mount is served: files of the store are to be passed through. stacked: its file system lies
 * on another one. */
void passthrough_want(struct passthrough *p, const struct fs_backing *backing, bool stacked);

/* The kernel's INIT, and our answer's body: ask for it, if it is offered. */
void passthrough_amend_init(struct passthrough *p, const void *in, size_t in_len, void *out,
			    size_t out_len);

/*
 * A handle of this node is about to be given to the kernel: the number under which it is passed
 * through, or 0, or -ENOMEM: then it must not be. *direct: what it reads and writes is not. May wait for
 * another open of the same node. leave: it was released, or did not reach the kernel; not after -ENOMEM.
 */
int32_t passthrough_enter(struct passthrough *p, const struct node *n, struct handle *h,
			  bool *direct);
void passthrough_leave(struct passthrough *p, const struct node *n);

/* The next answer that this thread sends is to an OPEN, with this number (0: an ordinary one). */
void passthrough_set_reply(int32_t id);
void passthrough_amend_reply(const struct iovec *iov, int count);

#endif
