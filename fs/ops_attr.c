/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "fs/node.h"
#include "fs/ops.h"
#include "fs/reply.h"

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct stat st;
	int err;

	if (ino_is_control(ino)) {
		control_getattr(fs, req, ino, fi);
		return;
	}
	err = store_getattr(fs->store, ino_node(fs, ino), &st);
	if (err)
		reply_err(req, err);
	else
		reply_attr(fs, req, ino_node(fs, ino), &st);
}

/* FUSE sets a time's bit along with its "now" bit; the store takes one of them. */
static unsigned store_set_of(int to_set)
{
	static const struct {
		int fuse;
		unsigned store;
	} bits[] = {
	    {FUSE_SET_ATTR_MODE, STORE_SET_MODE},
	    {FUSE_SET_ATTR_UID, STORE_SET_UID},
	    {FUSE_SET_ATTR_GID, STORE_SET_GID},
	    {FUSE_SET_ATTR_SIZE, STORE_SET_SIZE},
	    {FUSE_SET_ATTR_ATIME, STORE_SET_ATIME},
	    {FUSE_SET_ATTR_MTIME, STORE_SET_MTIME},
	    {FUSE_SET_ATTR_ATIME_NOW, STORE_SET_ATIME_NOW},
	    {FUSE_SET_ATTR_MTIME_NOW, STORE_SET_MTIME_NOW},
	};
	unsigned set = 0;

	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		if (to_set & bits[i].fuse)
			set |= bits[i].store;
	}
	if (set & STORE_SET_ATIME_NOW)
		set &= ~(unsigned)STORE_SET_ATIME;
	if (set & STORE_SET_MTIME_NOW)
		set &= ~(unsigned)STORE_SET_MTIME;
	return set;
}

static int run_setattr(struct fs *fs, struct op *op)
{
	struct stat st;
	int r = store_setattr(fs->store, &op->caller, op->node, &op->attr, &op->flags, &st);

	if (r == 0)
		reply_attr(fs, op->req, op->node, &st);
	return r;
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct op op;

	if (ino_is_control(ino)) {
		reply_err(req, -EPERM);
		return;
	}
	op = op_of(req, run_setattr);
	op.node = ino_node(fs, ino);
	op.attr = *attr;
	op.attr.st_mode &= 07777;
	op.flags = store_set_of(to_set);
	/* Nothing to set: what is left of a request to take set-ID bits off (fs/handshake.h).
	 */
	if (!op.flags)
		op.flags = STORE_SET_NO_SET_ID;
	park_run(fs, &op);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct fs *fs = fs_of(req);
	char target[PATH_MAX + 1];
	int err = -EINVAL;

	if (!ino_is_control(ino))
		err = store_readlink(fs->store, ino_node(fs, ino), target, sizeof(target));
	if (err < 0)
		reply_err(req, err);
	else
		reply_readlink(req, target);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st;
	int err = store_statfs(fs_of(req)->store, &st);

	if (err)
		reply_err(req, err);
	else
		reply_statfs(req, &st);
}
