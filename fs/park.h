/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * park: operations on names that the store may be publishing, renaming or removing just then.
 *
 * Such an operation is described by a struct op and given to park_run. Where the store says
 * STORE_BUSY, the description is copied to the heap and parked in the store; no handler thread
 * waits. When the store wakes it, one thread of this module runs it again, as often as it
 * takes. One that is parked on an import can be interrupted: it is answered with EINTR.
 *
 * The nodes in an op need no references of their own: see fs/node.h.
 */
#ifndef NOTEPACKFS_FS_PARK_H
#define NOTEPACKFS_FS_PARK_H

#include "fs/fs.h"
#include "lib/lock.h"

struct op {
	fuse_req_t req;
	/* 0: it has replied · -errno to reply · STORE_BUSY: nothing was done */
	int (*run)(struct fs *fs, struct op *op);
	struct caller caller;
	struct node *node; /* what it is about, or the directory of name */
	struct node *to_dir;
	const char *name; /* or the path of a removal; park.c copies both strings */
	const char *to;	  /* rename: the new name; symlink: the target */
	mode_t mode;
	unsigned flags; /* rename's, or STORE_SET_… */
	struct stat attr;
	struct fuse_file_info fi;
};

struct parked;

struct park {
	pthread_t thread;
	/* Rank 50: also taken by the store's threads, which hold none then. Protects the rest.
	 */
	struct lock lock;
	struct cond changed;
	struct parked *head; /* woken, to be run, oldest first */
	struct parked *tail;
	bool stopping;
};

/* Who makes the request; valid as long as it. */
struct caller caller_of(fuse_req_t req);

/* An op for this request, with its caller; the rest is zero. */
struct op op_of(fuse_req_t req, int (*run)(struct fs *fs, struct op *op));

/* Run it, now or later, and make sure that it is answered. op may be on the stack. */
void park_run(struct fs *fs, struct op *op);

void park_init(struct park *p);
void park_release(struct park *p); /* after store_close: nothing is parked any more */

int park_start(struct fs *fs); /* 0 or -errno */

/* Join the thread. What is queued is answered with EIO, and so is what the store wakes later.
 */
void park_stop(struct fs *fs);

#endif
