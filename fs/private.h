/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * private: what the files of fs/ share, and nobody else sees.
 */
#ifndef NOTEPACKFS_FS_PRIVATE_H
#define NOTEPACKFS_FS_PRIVATE_H

#include "fs/control.h"
#include "fs/fs.h"
#include "fs/inval.h"
#include "fs/park.h"
#include "fs/passthrough.h"

/* Everything but the members with locks of their own is set before the session's loop starts
 * and does not change while it runs. */
struct fs {
	struct store *store;
	struct fuse_session *session;
	struct store_hooks hooks;
	void (*ready)(void *ctx);
	void *ready_ctx;
	bool started;
	struct park park;
	struct inval inval;
	struct control control;
	struct passthrough passthrough;
};

static inline struct fs *fs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

#endif
