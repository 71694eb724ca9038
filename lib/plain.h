/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * plain: reading a file's plain bytes, wherever they are: in the raw file, else in the parts.
 */
#ifndef NOTEPACKFS_LIB_PLAIN_H
#define NOTEPACKFS_LIB_PLAIN_H

#include "lib/core.h"

/*
 * Read at an offset of the plain view (0 is the file's base). Returns the count, short at the
 * end only: to the kernel a short answer is the end of the file, so bytes before an error are
 * not given out; it asks again, page by page. -EIO for damage (lib/damage.h), for a part that is
 * missing, or for a hole where a part was removed.
 */
ssize_t plain_read(struct store *s, struct handle *h, void *buf, size_t len, uint64_t offset)
    EXCLUDES(s->lock);

/* Open the object of a part. Returns a descriptor or -errno. */
int plain_open_part(struct store *s, struct file *f, uint32_t number) EXCLUDES(s->lock);

#endif
