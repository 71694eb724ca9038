/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verifier: does a chunk (lib/codec.h) decompress to the bytes that it was made of?
 *
 * The question at the seal, before the raw bytes are given up. It is asked of another decompressor
 * than reading uses where there is a faster one: libdeflate's takes half the time of zlib's. Both
 * find a wrong byte, a final block within, and an end that is not the empty stored block. What only
 * inflater_chunk refuses are bits that fill up the byte before a stored block and are not zero:
 * they mean nothing, and every codec writes zeroes.
 */
#ifndef NOTEPACKFS_LIB_VERIFIER_H
#define NOTEPACKFS_LIB_VERIFIER_H

#include <stddef.h>
#include <stdint.h>

#define VERIFIER_ROOM 3 /* bytes behind a chunk that verifier_chunk may write */

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
