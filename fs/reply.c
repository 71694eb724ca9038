/* SPDX-License-Identifier: BSD-2-Clause */
#include "fs/reply.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fs/iomode.h"
#include "fs/node.h"

/* The kernel takes 0 … 511; anything else would end the request with EINVAL on our side, and
 * leave the client without an answer. */
#define ERRNO_LIMIT 512

void reply_err(fuse_req_t req, int err)
{
	if (err > 0 || err <= -ERRNO_LIMIT)
		err = -EIO;
	fuse_reply_err(req, -err);
}

void reply_none(fuse_req_t req)
{
	fuse_reply_none(req);
}

static double keep_seconds(struct fs *fs, struct node *n)
{
	return node_may_grow(fs->store, n) ? 0 : REPLY_KEEP_SECONDS;
}

int reply_fill_entry(struct fs *fs, struct node *n, struct fuse_entry_param *e)
{
	memset(e, 0, sizeof(*e));
	e->ino = ino_of_node(fs, n);
	if (!node_is_fleeting(fs->store, n)) {
		e->attr_timeout = keep_seconds(fs, n);
		e->entry_timeout = REPLY_KEEP_SECONDS;
	}
	return store_getattr(fs->store, n, &e->attr);
}

void reply_entry(struct fs *fs, fuse_req_t req, struct node *n)
{
	struct fuse_entry_param e;
	int err = reply_fill_entry(fs, n, &e);

	if (err)
		reply_err(req, err);
	else
		err = fuse_reply_entry(req, &e);
	if (err)
		node_unref(fs->store, n, 1);
}

/* 0, or -errno, and the handle is released. */
static int prepare_handle(struct fs *fs, struct node *n, struct handle *h,
			  struct fuse_file_info *fi)
{
	bool direct;
	int32_t id = passthrough_enter(&fs->passthrough, n, h, &direct);

	if (id < 0) {
		store_release(h);
		return id;
	}
	/* Through the page cache the kernel makes two requests of a write over a page's end: someone who appends
	 * past us could come between them. */
	direct |= !id && (fi->flags & O_APPEND) && node_has_old_writer(fs->store, n);
	fi->fh = (uintptr_t)h;
	iomode_file(fi, id, direct);
	return 0;
}

/* It did not reach the kernel; the handle keeps the node. */
static void drop_handle(struct fs *fs, struct node *n, struct handle *h)
{
	passthrough_leave(&fs->passthrough, n);
	store_release(h);
}

void reply_create(struct fs *fs, fuse_req_t req, struct node *n, struct handle *h,
		  struct fuse_file_info *fi)
{
	struct fuse_entry_param e;
	int err = reply_fill_entry(fs, n, &e);

	if (err)
		store_release(h);
	else
		err = prepare_handle(fs, n, h, fi);
	if (err) {
		reply_err(req, err);
		node_unref(fs->store, n, 1);
	} else if (fuse_reply_create(req, &e, fi)) {
		drop_handle(fs, n, h);
		node_unref(fs->store, n, 1);
	}
}

void reply_open(struct fs *fs, fuse_req_t req, struct node *n, struct handle *h,
		struct fuse_file_info *fi)
{
	int err = prepare_handle(fs, n, h, fi);

	if (err)
		reply_err(req, err);
	else if (fuse_reply_open(req, fi))
		drop_handle(fs, n, h);
}

bool reply_open_dir(fuse_req_t req, struct fuse_file_info *fi)
{
	return fuse_reply_open(req, fi) == 0;
}

void reply_control_entry(fuse_req_t req, fuse_ino_t ino, const struct stat *st)
{
	struct fuse_entry_param e = {.ino = ino, .attr = *st};

	fuse_reply_entry(req, &e);
}

void reply_control_attr(fuse_req_t req, const struct stat *st)
{
	fuse_reply_attr(req, st, 0);
}

bool reply_control_open(fuse_req_t req, struct fuse_file_info *fi)
{
	iomode_control(fi);
	return fuse_reply_open(req, fi) == 0;
}

void reply_attr(struct fs *fs, fuse_req_t req, struct node *n, const struct stat *st)
{
	fuse_reply_attr(req, st, keep_seconds(fs, n));
}

void reply_readlink(fuse_req_t req, const char *target)
{
	fuse_reply_readlink(req, target);
}

void reply_data(fuse_req_t req, const void *data, ssize_t len)
{
	if (len < 0)
		reply_err(req, (int)len);
	else
		fuse_reply_buf(req, data, (size_t)len);
}

bool reply_listing(fuse_req_t req, const void *data, size_t len)
{
	return fuse_reply_buf(req, data, len) == 0;
}

void reply_xattr_size(fuse_req_t req, size_t len)
{
	fuse_reply_xattr(req, len);
}

void reply_written(fuse_req_t req, ssize_t len)
{
	if (len < 0)
		reply_err(req, (int)len);
	else
		fuse_reply_write(req, (size_t)len);
}

void reply_statfs(fuse_req_t req, const struct statvfs *st)
{
	fuse_reply_statfs(req, st);
}

void reply_ioctl(fuse_req_t req, int err)
{
	if (err)
		reply_err(req, err);
	else
		fuse_reply_ioctl(req, 0, NULL, 0);
}
