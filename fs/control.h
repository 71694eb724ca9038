/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control: the directory .notepackfs at the mount's root, and its files.
 *
 *	manifest	generated when opened: a snapshot
 *	sha256sums	the same
 *	status		the same; also takes the ioctls of lib/proto.h
 *	log		read as it grows
 *
 * They can be looked up and listed, but the root's own listing does not show the directory.
 * Nothing in it can be changed. The kernel keeps neither their attributes nor their content.
 */
#ifndef NOTEPACKFS_FS_CONTROL_H
#define NOTEPACKFS_FS_CONTROL_H

#include "fs/fs.h"
#include "lib/lock.h"

enum control_ino {
	CONTROL_DIR = 2,
	CONTROL_MANIFEST,
	CONTROL_SHA256SUMS,
	CONTROL_STATUS,
	CONTROL_LOG,
};

struct control_reader;

struct control {
	struct timespec time; /* every control file's times: the start */
	/* Rank 50. Protects the rest. */
	struct lock lock;
	/* Open files; those whose RELEASE never comes (a lazy unmount) are closed in the end.
	 */
	struct control_reader *readers;
};

void control_init(struct control *c);
void control_release_all(struct control *c);

/* The files' names by index, from 0; NULL behind the last. */
const char *control_name_at(uint64_t index, fuse_ino_t *ino);

/* Answers. parent is the root, or a control file's number. */
void control_lookup(struct fs *fs, fuse_req_t req, fuse_ino_t parent, const char *name);
void control_getattr(struct fs *fs, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void control_open(struct fs *fs, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* These do not answer. Bytes read, or -errno. */
ssize_t control_read(struct fs *fs, fuse_ino_t ino, const struct fuse_file_info *fi, void *buf,
		     size_t size, uint64_t offset);
void control_release(struct fs *fs, const struct fuse_file_info *fi);

#endif
