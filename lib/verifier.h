/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verifier: does a chunk (lib/codec.h) decompress to the bytes that it was made of?
 *
 * The question at the seal, before the raw bytes are given up. It is asked of what reads the chunk
 * later, inflater_whole: a wrong byte, a final block within, and an end that is not the empty stored
 * block are found.
 */
#ifndef NOTEPACKFS_LIB_VERIFIER_H
#define NOTEPACKFS_LIB_VERIFIER_H

#include <stddef.h>
#include <stdint.h>

#include "lib/codec.h"

#define VERIFIER_ROOM INFLATER_GZ_ROOM /* bytes behind a chunk that verifier_chunk may write */

/* Belongs to one thread. NULL: no memory. It grows by the size of the largest chunk. */
struct verifier;
struct verifier *verifier_new(void);
void verifier_free(struct verifier *v);

/*
 * The chunk is gz, n bytes and VERIFIER_ROOM more of room; it is changed meanwhile, and is as it was
 * in the end. The bytes are raw, len > 0 of them. 0 · -EIO: it does not · -ENOMEM.
 */
int verifier_chunk(struct verifier *v, uint8_t *gz, size_t n, const uint8_t *raw, size_t len);

#endif
