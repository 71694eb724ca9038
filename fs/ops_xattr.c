/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Extended attributes can be read, and not be set (lib/store.h). Control files have none.
 */
#include <errno.h>
#include <string.h>

#include "fs/node.h"
#include "fs/ops.h"
#include "fs/reply.h"

/* Size 0 asks for the length. */
static void answer(fuse_req_t req, const char *data, ssize_t len, size_t size)
{
	if (len < 0)
		reply_err(req, (int)len);
	else if (size == 0)
		reply_xattr_size(req, (size_t)len);
	else if ((size_t)len > size)
		reply_err(req, -ERANGE);
	else
		reply_data(req, data, len);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct fs *fs = fs_of(req);
	char value[STORE_XATTR_BYTES];
	ssize_t len = -ENODATA;

	if (!ino_is_control(ino))
		len = store_getxattr(fs->store, ino_node(fs, ino), name, value);
	answer(req, value, len, size);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct fs *fs = fs_of(req);
	char names[STORE_XATTR_BYTES];
	ssize_t len = 0;

	if (!ino_is_control(ino))
		len = store_listxattr(fs->store, ino_node(fs, ino), names);
	answer(req, names, len, size);
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
		 size_t size, int flags)
{
	reply_err(req, -ENOTSUP);
}

/* Facts are there again at once. rsync -X takes off what the source does not have, and would report
 * each file as failed. */
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	bool fact = strncmp(name, STORE_XATTR_PREFIX, strlen(STORE_XATTR_PREFIX)) == 0;

	reply_err(req, fact && !ino_is_control(ino) ? 0 : -ENOTSUP);
}
