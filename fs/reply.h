/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reply: every answer to the kernel is made here, and here only -errno becomes FUSE's errno.
 *
 * After any of these the request is gone, and so may be a node or a handle that was given away
 * in it: touch neither. An answer that does not arrive (the request was interrupted, the
 * connection is gone) takes back what it would have given.
 */
#ifndef NOTEPACKFS_FS_REPLY_H
#define NOTEPACKFS_FS_REPLY_H

#include "fs/private.h"

/*
 * How long the kernel may keep names and attributes, in seconds. The store is this mount's
 * alone, and what changes without a request of the kernel's is invalidated (fs/inval.h), so
 * this is long.
 */
#define REPLY_KEEP_SECONDS 3600.0

/* 0 or -errno. */
void reply_err(fuse_req_t req, int err);
void reply_none(fuse_req_t req);

/* Fill in an entry for a node; 0 or -errno. The node's reference stays the caller's. */
int reply_fill_entry(struct fs *fs, struct node *n, struct fuse_entry_param *e);

/* The node's reference passes to the kernel. */
void reply_entry(struct fs *fs, fuse_req_t req, struct node *n);
/* So does the handle. */
void reply_create(struct fs *fs, fuse_req_t req, struct node *n, struct handle *h,
		  struct fuse_file_info *fi);
void reply_open(struct fs *fs, fuse_req_t req, struct node *n, struct handle *h,
		struct fuse_file_info *fi);
/* False: the answer did not arrive. */
bool reply_open_dir(fuse_req_t req, struct fuse_file_info *fi);

/* A control file: not counted, never kept by the kernel. */
void reply_control_entry(fuse_req_t req, fuse_ino_t ino, const struct stat *st);
void reply_control_attr(fuse_req_t req, const struct stat *st);
/* Returns false if the open did not reach the kernel: no RELEASE will come. */
bool reply_control_open(fuse_req_t req, struct fuse_file_info *fi);

void reply_attr(struct fs *fs, fuse_req_t req, struct node *n, const struct stat *st);
void reply_readlink(fuse_req_t req, const char *target);
/* len >= 0, or -errno. */
void reply_data(fuse_req_t req, const void *data, ssize_t len);
/* The same; false if it did not reach the kernel. */
bool reply_listing(fuse_req_t req, const void *data, size_t len);
void reply_xattr_size(fuse_req_t req, size_t len);
void reply_written(fuse_req_t req, ssize_t len);
void reply_statfs(fuse_req_t req, const struct statvfs *st);
void reply_ioctl(fuse_req_t req, int err);

#endif
