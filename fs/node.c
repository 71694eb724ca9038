/* SPDX-License-Identifier: BSD-2-Clause */
#include "fs/node.h"

#include <string.h>

#include "fs/reply.h"

struct node *ino_node(struct fs *fs, fuse_ino_t ino)
{
	if (ino == FUSE_ROOT_ID)
		return store_root(fs->store);
	return (struct node *)(uintptr_t)ino;
}

fuse_ino_t ino_of_node(struct fs *fs, const struct node *n)
{
	return n == store_root(fs->store) ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)n;
}

bool ino_is_control_name(fuse_ino_t parent, const char *name)
{
	return ino_is_control(parent) ||
	       (parent == FUSE_ROOT_ID && strcmp(name, NAME_PRIVATE) == 0);
}

static void forget(struct fs *fs, fuse_ino_t ino, uint64_t nlookup)
{
	/* The root is never looked up, control files are not counted. */
	if (ino != FUSE_ROOT_ID && !ino_is_control(ino))
		node_unref(fs->store, ino_node(fs, ino), nlookup);
}

void node_op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	forget(fs_of(req), ino, nlookup);
	reply_none(req);
}

void node_op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct fs *fs = fs_of(req);

	for (size_t i = 0; i < count; i++)
		forget(fs, forgets[i].ino, forgets[i].nlookup);
	reply_none(req);
}
