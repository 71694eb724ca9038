/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Intel ISA-L's igzip: several times as fast as zlib at level 1, and about as small.
 *
 * Once in some 100,000 chunks it makes another, equally right, stream of the same bytes (ISA-L 2.30, with level
 * buffer and stream zeroed before each chunk; not explained; the other codecs have never been seen to). So
 * what this codec makes is verified as any other, but need not be the same object twice.
 *
 * It has Z_FULL_FLUSH of its own. What does not get smaller it would store by itself, and without
 * the empty block behind: so it is given less room than that takes, and the caller stores the chunk.
 */
#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>

#include "lib/bytes.h"
#include "lib/codec_impl.h"

struct state {
	struct isal_zstream stream;
	uint32_t level, level_bytes;
	uint8_t level_buf[]; /* hash tables and the symbols of a block */
};

static const uint32_t level_bytes[] = {
    [1] = ISAL_DEF_LVL1_DEFAULT,
    [2] = ISAL_DEF_LVL2_DEFAULT,
    [3] = ISAL_DEF_LVL3_DEFAULT,
};

static void *isal_new_state(int level)
{
	struct state *s = calloc(1, sizeof(*s) + level_bytes[level]);

	if (s) {
		s->level = (uint32_t)level;
		s->level_bytes = level_bytes[level];
	}
	return s;
}

static ssize_t isal_compress(void *state, const uint8_t *in, size_t len, uint8_t *out,
			     size_t out_size)
{
	struct state *s = state;
	struct isal_zstream *z = &s->stream;
	int r;

	if (len > UINT32_MAX)
		return -EIO;
	isal_deflate_stateless_init(z);
	z->level = s->level;
	z->level_buf = s->level_buf;
	z->level_buf_size = s->level_bytes;
	z->flush = FULL_FLUSH;
	z->next_in = (uint8_t *)in;
	z->avail_in = (uint32_t)len;
	z->next_out = out;
	z->avail_out = (uint32_t)MIN(len, out_size);
	r = isal_deflate_stateless(z);
	if (r == STATELESS_OVERFLOW)
		return -ENOSPC;
	return r == COMP_OK && z->avail_in == 0 ? z->next_out - out : -EIO;
}

const struct codec codec_isal = {
    .name = "isal",
    .min_level = 1,
    .max_level = 3,
    .default_level = 3,
    .new_state = isal_new_state,
    .free_state = free,
    .compress = isal_compress,
};
