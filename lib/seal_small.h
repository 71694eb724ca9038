/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seal_small: a segment of one chunk, by one task.
 *
 * Its object is made in memory and written at once. It is what lib/seal.c would make, to the byte.
 */
#ifndef NOTEPACKFS_LIB_SEAL_SMALL_H
#define NOTEPACKFS_LIB_SEAL_SMALL_H

#include "lib/sealer.h"

/* As seal_start, for a segment of at most SEEKGZ_CHUNK_BYTES. */
void seal_small_start(struct store *s, struct sealer *p, struct segment *seg);

#endif
