/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inval: tells the kernel to forget names that changed without a request of its own.
 *
 * A notification waits for every look-up, creation and listing in flight in the same directory.
 * So they are queued, and one thread makes them, holding no lock: no thread of ours ever waits
 * for one.
 */
#ifndef NOTEPACKFS_FS_INVAL_H
#define NOTEPACKFS_FS_INVAL_H

#include "fs/fs.h"
#include "lib/lock.h"

struct inval_entry;

struct inval {
	pthread_t thread;
	bool live; /* there is a thread to join; for the threads that start and stop it */
	/* Rank 50. Protects the rest. */
	struct lock lock;
	struct cond changed;
	struct inval_entry *head; /* oldest first */
	struct inval_entry *tail;
	/* Else nothing is queued: the kernel knows no name yet, or will forget all of them. */
	bool running;
	bool stopping;
};

void inval_init(struct inval *v);
void inval_release(struct inval *v);
int inval_start(struct fs *fs); /* 0 or -errno */

/* Drop what is queued, wait for the notification in progress (see fs_quiet), join. Idempotent.
 */
void inval_stop(struct fs *fs);

/* Answer an ioctl with success once everything queued before is told to the kernel. The caller
 * has no directory locked. */
void inval_then_reply(struct fs *fs, fuse_req_t req);

/* What the page cache holds of this file is wrong: bytes that a mapping wrote were refused. */
void inval_data(struct fs *fs, struct node *n);

/* hooks.attributes: at once. It drops what the kernel remembers of an inode's attributes, and
 * unlike the others it waits for no request: the kernel takes no lock of a directory or file. */
void inval_attributes(void *ctx, struct node *n);

/* hooks.changed: name in dir means something else now. ctx is the struct fs. */
void inval_changed(void *ctx, struct node *dir, const char *name);

#endif
