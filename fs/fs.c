/* SPDX-License-Identifier: BSD-2-Clause */
#include "fs/fs.h"

#include <stdlib.h>
#include <string.h>

#include "fs/handshake.h"
#include "fs/node.h"
#include "fs/ops.h"
#include "lib/log.h"

#define MAX_WRITE_BYTES (1024 * 1024) /* libfuse 3.14 dies of more */

/*
 * RELEASEs are background requests: behind this many the kernel holds them back, and an ioctl
 * that waits for closed files would overtake them. Its default of 12 is soon reached.
 */
#define MAX_BACKGROUND 1024

static void on_changed(void *ctx, struct node *dir, const char *name)
{
	inval_changed(ctx, dir, name);
}

/*
 * Off: page caches that the kernel drops when a file's time changes (nothing else changes it);
 * the older form of leaving set-ID bits to us, and O_TRUNC in OPEN (fs/handshake.h says why);
 * dirty pages that a crash of this process would lose; splice (measured: no gain). On: symbolic
 * links in the page cache, they never change.
 */
static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct fs *fs = userdata;

	conn->want &=
	    ~(unsigned)(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_HANDLE_KILLPRIV |
			FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_WRITEBACK_CACHE |
			FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
	conn->want |= conn->capable & (FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS |
				       FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_CACHE_SYMLINKS |
				       FUSE_CAP_ASYNC_READ);
	conn->max_write = MAX_WRITE_BYTES;
	conn->max_background = MAX_BACKGROUND;
	conn->congestion_threshold = MAX_BACKGROUND * 3 / 4;
	if (fs->ready)
		fs->ready(fs->ready_ctx);
}

/* No locks: the kernel's own are right for a filesystem of one host. No access: the mount
 * always has default_permissions. */
static const struct fuse_lowlevel_ops *operations(void)
{
	static const struct fuse_lowlevel_ops ops = {
	    .init = op_init,
	    .lookup = op_lookup,
	    .forget = node_op_forget,
	    .forget_multi = node_op_forget_multi,
	    .getattr = op_getattr,
	    .setattr = op_setattr,
	    .readlink = op_readlink,
	    .mknod = op_mknod,
	    .mkdir = op_mkdir,
	    .unlink = op_unlink,
	    .rmdir = op_rmdir,
	    .symlink = op_symlink,
	    .rename = op_rename,
	    .link = op_link,
	    .open = op_open,
	    .create = op_create,
	    .read = op_read,
	    .write = op_write,
	    .flush = op_flush,
	    .release = op_release,
	    .fsync = op_fsync,
	    .fallocate = op_fallocate,
	    .opendir = op_opendir,
	    .readdir = op_readdir,
	    .readdirplus = op_readdirplus,
	    .releasedir = op_releasedir,
	    .fsyncdir = op_fsyncdir,
	    .statfs = op_statfs,
	    .getxattr = op_getxattr,
	    .listxattr = op_listxattr,
	    .setxattr = op_setxattr,
	    .removexattr = op_removexattr,
	    .ioctl = op_ioctl,
	};

	return &ops;
}

struct fs *fs_new(void (*ready)(void *ctx), void *ctx)
{
	struct fs *fs = calloc(1, sizeof(*fs));

	if (!fs)
		return NULL;
	fs->ready = ready;
	fs->ready_ctx = ctx;
	fs->hooks = (struct store_hooks){
	    .changed = on_changed, .attributes = inval_attributes, .ctx = fs};
	park_init(&fs->park);
	inval_init(&fs->inval);
	control_init(&fs->control);
	passthrough_init(&fs->passthrough);
	return fs;
}

void fs_pass_through(struct fs *fs, const struct store *s, const struct fs_backing *backing)
{
	passthrough_want(&fs->passthrough, backing, store_is_stacked(s));
}

void fs_pass_no_more(struct fs *fs)
{
	passthrough_end(&fs->passthrough);
}

void fs_free(struct fs *fs)
{
	if (!fs)
		return;
	passthrough_release(&fs->passthrough);
	control_release_all(&fs->control);
	inval_release(&fs->inval);
	park_release(&fs->park);
	free(fs);
}

const struct store_hooks *fs_hooks(struct fs *fs)
{
	return &fs->hooks;
}

struct fuse_session *fs_session(struct fs *fs, struct fuse_args *args)
{
	return fuse_session_new(args, operations(), sizeof(struct fuse_lowlevel_ops), fs);
}

int fs_start(struct fs *fs, struct store *s, struct fuse_session *se)
{
	int err;

	fs->store = s;
	fs->session = se;
	err = handshake_install(se);
	if (err)
		log_notice("writes will be slower: %s", strerror(-err));
	err = park_start(fs);
	if (err)
		return err;
	err = inval_start(fs);
	if (err)
		park_stop(fs);
	fs->started = err == 0;
	return err;
}

void fs_quiet(struct fs *fs)
{
	inval_stop(fs);
}

void fs_stop(struct fs *fs)
{
	if (!fs->started)
		return;
	fs->started = false;
	inval_stop(fs);
	store_unpause(fs->store);
	park_stop(fs);
}
