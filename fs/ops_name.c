/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Operations on names. What the store can find busy goes through park_run: a front function
 * fills in a struct op, a run_ function does it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fs/node.h"
#include "fs/ops.h"
#include "fs/reply.h"

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct node *n;
	int err;

	if (ino_is_control_name(parent, name)) {
		control_lookup(fs, req, parent, name);
		return;
	}
	/* That a name is absent is never left to the kernel to remember: any stem may get a
	 * sealed name at any time. */
	err = store_lookup(fs->store, ino_node(fs, parent), name, &n);
	if (err)
		reply_err(req, err);
	else
		reply_entry(fs, req, n);
}

/* An op on name in parent; false if the name is a control file's, and the request was refused.
 */
static bool name_op(struct op *op, fuse_req_t req, int (*run)(struct fs *, struct op *),
		    fuse_ino_t parent, const char *name)
{
	if (ino_is_control_name(parent, name)) {
		reply_err(req, -EPERM);
		return false;
	}
	*op = op_of(req, run);
	op->node = ino_node(fs_of(req), parent);
	op->name = name;
	return true;
}

static int run_mknod(struct fs *fs, struct op *op)
{
	struct node *n;
	struct handle *h;
	int r = store_create(fs->store, &op->caller, op->node, op->name, op->mode, O_RDONLY, &n,
			     &h);

	if (r == 0) {
		store_release(h);
		reply_entry(fs, op->req, n);
	}
	return r;
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct op op;

	if (!S_ISREG(mode)) {
		reply_err(req, -EPERM);
		return;
	}
	if (name_op(&op, req, run_mknod, parent, name)) {
		op.mode = mode & 07777;
		park_run(fs_of(req), &op);
	}
}

static int run_mkdir(struct fs *fs, struct op *op)
{
	struct node *n;
	int r = store_mkdir(fs->store, &op->caller, op->node, op->name, op->mode, &n);

	if (r == 0)
		reply_entry(fs, op->req, n);
	return r;
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct op op;

	if (name_op(&op, req, run_mkdir, parent, name)) {
		op.mode = mode & 07777;
		park_run(fs_of(req), &op);
	}
}

static int run_symlink(struct fs *fs, struct op *op)
{
	struct node *n;
	int r = store_symlink(fs->store, &op->caller, op->node, op->name, op->to, &n);

	if (r == 0)
		reply_entry(fs, op->req, n);
	return r;
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct op op;

	if (name_op(&op, req, run_symlink, parent, name)) {
		op.to = target;
		park_run(fs_of(req), &op);
	}
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	reply_err(req, -EPERM);
}

static int run_unlink(struct fs *fs, struct op *op)
{
	int r = store_unlink(fs->store, &op->caller, op->node, op->name);

	if (r == 0)
		reply_err(op->req, 0);
	return r;
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct op op;

	if (name_op(&op, req, run_unlink, parent, name))
		park_run(fs_of(req), &op);
}

static int run_rmdir(struct fs *fs, struct op *op)
{
	int r = store_rmdir(fs->store, &op->caller, op->node, op->name);

	if (r == 0)
		reply_err(op->req, 0);
	return r;
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct op op;

	if (name_op(&op, req, run_rmdir, parent, name))
		park_run(fs_of(req), &op);
}

static int run_rename(struct fs *fs, struct op *op)
{
	int r = store_rename(fs->store, &op->caller, op->node, op->name, op->to_dir, op->to,
			     op->flags);

	if (r == 0)
		reply_err(op->req, 0);
	return r;
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to_parent,
	       const char *to, unsigned int flags)
{
	struct fs *fs = fs_of(req);
	struct op op;

	if (ino_is_control_name(to_parent, to)) {
		reply_err(req, -EPERM);
		return;
	}
	if (name_op(&op, req, run_rename, parent, name)) {
		op.to_dir = ino_node(fs, to_parent);
		op.to = to;
		op.flags = flags;
		park_run(fs, &op);
	}
}
