/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * remnant: what a power cut left of a raw file whose bytes were sealed. The object was made durable, the
 * raw file's own pages need not have been: it is shorter then, or has zeroes where they were not written
 * (ext4 with data=ordered: those behind the last fsync, in a block that was there before).
 */
#ifndef NOTEPACKFS_LIB_REMNANT_H
#define NOTEPACKFS_LIB_REMNANT_H

#include "lib/record.h"

/*
 * Is each byte that the raw file has of this part either that of the part's object, or zero? Then nothing is
 * in it that the object has not. Reads all of both; the descriptors stay the caller's. That the object
 * is what its record says is the caller's to check.
 *
 * 1 · 0, also where the object cannot be read · -errno of the raw file, or -ENOMEM.
 */
int remnant_of(int raw_fd, int object_fd, const struct sealed *rec);

#endif
