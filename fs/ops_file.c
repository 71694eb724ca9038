/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Open files. fi->fh is the store's handle, or a control file's reader (fs/control.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "fs/inval.h"
#include "fs/node.h"
#include "fs/ops.h"
#include "fs/reply.h"
#include "lib/bytes.h"

static struct handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct handle *)(uintptr_t)fi->fh;
}

static int run_create(struct fs *fs, struct op *op)
{
	struct node *n;
	struct handle *h;
	int r = store_create(fs->store, &op->caller, op->node, op->name, op->mode, op->fi.flags,
			     &n, &h);

	if (r == 0)
		reply_create(fs, op->req, n, h, &op->fi);
	return r;
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi)
{
	struct op op;

	if (ino_is_control_name(parent, name)) {
		reply_err(req, -EPERM);
		return;
	}
	op = op_of(req, run_create);
	op.node = ino_node(fs_of(req), parent);
	op.name = name;
	op.mode = mode & 07777;
	op.fi = *fi;
	park_run(fs_of(req), &op);
}

static int run_open(struct fs *fs, struct op *op)
{
	struct handle *h;
	int r = store_open_node(fs->store, &op->caller, op->node, op->fi.flags, &h);

	if (r == 0)
		reply_open(fs, op->req, op->node, h, &op->fi);
	return r;
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct op op;

	if (ino_is_control(ino)) {
		control_open(fs, req, ino, fi);
		return;
	}
	op = op_of(req, run_open);
	op.node = ino_node(fs, ino);
	op.fi = *fi;
	park_run(fs, &op);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	CLEANUP_FREE char *buf = malloc(size ? size : 1);
	ssize_t n;

	if (!buf)
		n = -ENOMEM;
	else if (ino_is_control(ino))
		n = control_read(fs_of(req), ino, fi, buf, size, (uint64_t)off);
	else
		n = store_read(handle_of(fi), buf, size, (uint64_t)off);
	reply_data(req, buf, n);
}

/* A write whose answer is kept back, because too much waits to be sealed. */
struct slowed {
	struct store_pause pause; /* first */
	struct handle *h;
	struct store *store;
	fuse_req_t req;
	ssize_t n;
};

static void answer_slowed(struct slowed *slowed)
{
	store_answered(slowed->h);
	reply_written(slowed->req, slowed->n);
	free(slowed);
}

/* By a thread of the store's. Waits for the interrupt function, if that is running. */
static void wake_slowed(struct store_pause *p)
{
	struct slowed *slowed = (struct slowed *)p;

	fuse_req_interrupt_func(slowed->req, NULL, NULL);
	answer_slowed(slowed);
}

/* By any thread of the session's, with the request's mutex held. The bytes are written, so that is the
 * answer: the kernel has even a writer that was killed wait for it. */
static void interrupt_slowed(fuse_req_t req, void *data)
{
	struct slowed *slowed = data;

	(void)req;
	if (store_pause_cancel(slowed->store, &slowed->pause))
		answer_slowed(slowed);
}

/* No thread is held, and what the kernel holds meanwhile is the file that is written, only. The answer is withheld
 * already. */
static void reply_written_slowly(struct fs *fs, fuse_req_t req, struct handle *h, ssize_t n)
{
	uint64_t bytes = store_pause_bytes(fs->store, (uint64_t)n);
	struct slowed *slowed = bytes ? malloc(sizeof(*slowed)) : NULL;

	if (slowed) {
		*slowed = (struct slowed){
		    .pause.wake = wake_slowed, .h = h, .store = fs->store, .req = req, .n = n};
		/* Before it waits: afterwards the request may be answered at any moment. */
		fuse_req_interrupt_func(req, interrupt_slowed, slowed);
		if (store_pause(fs->store, &slowed->pause, bytes))
			return;
		fuse_req_interrupt_func(req, NULL, NULL);
		free(slowed);
	}
	store_answered(h);
	reply_written(req, n);
}

/* With writepage the bytes come from the page cache, through a shared mapping, and the handle
 * is any of the file's that may write. */
void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
	      struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	bool appends = fi->flags & O_APPEND && !fi->writepage;
	struct handle *h = handle_of(fi);
	ssize_t n = -EPERM;
	bool withheld;

	if (ino_is_control(ino)) {
		reply_written(req, n);
		return;
	}
	withheld = !fi->writepage && store_withhold(h);
	n = appends ? store_append(h, data, size, (uint64_t)off)
		    : store_write(h, data, size, (uint64_t)off, fi->writepage);
	/* The cache has them; no one else must. Or it has them where they are not. */
	if ((n < 0 && fi->writepage) ||
	    (appends && node_may_grow(fs->store, ino_node(fs, ino))))
		inval_data(fs, ino_node(fs, ino));
	if (withheld && n > 0) {
		reply_written_slowly(fs, req, h, n);
		return;
	}
	if (withheld)
		store_answered(h);
	reply_written(req, n);
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
		  struct fuse_file_info *fi)
{
	int err = -EPERM;

	if (!ino_is_control(ino))
		err = store_fallocate(handle_of(fi), mode, (uint64_t)off, (uint64_t)len);
	reply_err(req, err);
}

void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	reply_err(req, ino_is_control(ino) ? 0 : store_flush(handle_of(fi)));
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	reply_err(req, ino_is_control(ino) ? 0 : store_fsync(handle_of(fi)));
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (ino_is_control(ino))
		control_release(fs_of(req), fi);
	else {
		passthrough_leave(&fs_of(req)->passthrough, ino_node(fs_of(req), ino));
		store_release(handle_of(fi));
	}
	reply_err(req, 0);
}
