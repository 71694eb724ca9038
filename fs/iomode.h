/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iomode: how the I/O of an open file goes; decided here and nowhere else.
 *
 * Handles of one inode must not mix modes freely (the kernel answers EIO to some mixtures), so
 * the decision has to be in one place.
 */
#ifndef NOTEPACKFS_FS_IOMODE_H
#define NOTEPACKFS_FS_IOMODE_H

#include "fs/fs.h"

/* A file or an object of the store, of which an OPEN is answered next by this thread: written through,
 * read from the page cache, which is kept from one open to the next: nothing but this mount changes the
 * content. passthrough not 0: the kernel has to do with it itself; direct: but does not read or write it
 * (passthrough_enter).
 *
 * Writers are not direct of themselves, though cp would be faster by half: the kernel drops the pages that such a
 * write goes to before it, and not behind it. A reader of the page in which the file ends, who comes between, has
 * zeroes then where bytes were written (tried: 1 of 46,523 writes of 100 bytes beside one who reads the page, Linux
 * 6.18). */
void iomode_file(struct fuse_file_info *fi, int32_t passthrough, bool direct);

/* A directory's listing: what the kernel keeps of it stays right, or is dropped by this open. */
void iomode_dir(struct fuse_file_info *fi, enum store_listing listing);

/* A control file: every read comes here. */
void iomode_control(struct fuse_file_info *fi);

#endif
