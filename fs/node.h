/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * node: FUSE's inode numbers and the store's nodes.
 *
 *	1		the root
 *	2 … 63		control files (fs/control.h)
 *	others		the address of a struct node
 *
 * Every entry that a reply gives the kernel is one reference on its node; FORGET gives them
 * back. So a number in a request is always a node that lives: the kernel holds a reference on it
 * at least until it has the answer.
 */
#ifndef NOTEPACKFS_FS_NODE_H
#define NOTEPACKFS_FS_NODE_H

#include "fs/private.h"

#define INO_CONTROL_FIRST 2
#define INO_CONTROL_LAST 63

static inline bool ino_is_control(fuse_ino_t ino)
{
	return ino >= INO_CONTROL_FIRST && ino <= INO_CONTROL_LAST;
}

/* ino is not a control file's. */
struct node *ino_node(struct fs *fs, fuse_ino_t ino);
fuse_ino_t ino_of_node(struct fs *fs, const struct node *n);

/* Is name in parent the control directory, or in it? No operation may change such a name. */
bool ino_is_control_name(fuse_ino_t parent, const char *name);

void node_op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup);
void node_op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);

#endif
