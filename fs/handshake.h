/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handshake: features that the kernel offers and this libfuse does not know, asked for in the
 * reply to FUSE_INIT on its way out (include/uapi/linux/fuse.h).
 *
 *	FUSE_HANDLE_KILLPRIV_V2		set-ID bits are taken off a file that is written by us,
 *					and the kernel may remember that a file has no
 *					security.capability: without this every write asks for
 *					that attribute first. Where a write or an allocation has
 *					to take bits off, a SETATTR that sets nothing comes
 *					before it. Not so with O_TRUNC in OPEN, and the kernel
 *					would keep the old mode: so that is not asked for.
 *	FUSE_PASSTHROUGH		fs/passthrough.h
 */
#ifndef NOTEPACKFS_FS_HANDSHAKE_H
#define NOTEPACKFS_FS_HANDSHAKE_H

#include "fs/fs.h"

/* Between fuse_session_mount and the loop. 0, or -errno: without it all works, more slowly. */
int handshake_install(struct fuse_session *se);

#endif
