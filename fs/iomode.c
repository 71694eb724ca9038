/* SPDX-License-Identifier: BSD-2-Clause */
#include "fs/iomode.h"

#include <fcntl.h>

#include "fs/passthrough.h"

void iomode_file(struct fuse_file_info *fi, int32_t passthrough, bool direct)
{
	passthrough_set_reply(passthrough);
	fi->direct_io = direct;
	fi->keep_cache = !passthrough;
	/* FLUSH reports a writer's errors at close; a reader has none to be told. */
	fi->noflush = (fi->flags & O_ACCMODE) == O_RDONLY;
}

void iomode_dir(struct fuse_file_info *fi, enum store_listing listing)
{
	fi->cache_readdir = listing != STORE_LISTING_DIRECT;
	fi->keep_cache = listing == STORE_LISTING_KEPT;
}

void iomode_control(struct fuse_file_info *fi)
{
	fi->direct_io = 1;
	fi->keep_cache = 0;
	fi->noflush = 1;
}
