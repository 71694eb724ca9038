/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The baseline codec, in every build. One z_stream lives as long as its state and is reset for every chunk:
 * setting one up clears more memory than a small chunk has bytes.
 */
#include "lib/codec_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#include "lib/bytes.h"

#define WINDOW_BITS (-15) /* raw deflate, 32 KiB */
/* 9 makes larger blocks: 0.2 % worse on notepack and JSON, 0.07 % better on logs. */
#define MEM_LEVEL 8

static void *zlib_new_state(int level)
{
	z_stream *z = calloc(1, sizeof(*z));

	if (z && deflateInit2(z, level, Z_DEFLATED, WINDOW_BITS, MEM_LEVEL,
			      Z_DEFAULT_STRATEGY) != Z_OK) {
		free(z);
		return NULL;
	}
	return z;
}

static void zlib_free_state(void *state)
{
	if (state)
		deflateEnd(state);
	free(state);
}

static ssize_t zlib_compress(void *state, const uint8_t *in, size_t len, uint8_t *out,
			     size_t out_size)
{
	z_stream *z = state;

	if (len > UINT32_MAX || deflateReset(z) != Z_OK)
		return -EIO;
	z->next_in = (Bytef *)in;
	z->avail_in = (uInt)len;
	z->next_out = out;
	z->avail_out = (uInt)MIN(out_size, UINT32_MAX);
	if (deflate(z, Z_FULL_FLUSH) != Z_OK)
		return -EIO;
	/* With no room left there is no telling whether the flush was complete. */
	if (z->avail_in > 0 || z->avail_out == 0)
		return -ENOSPC;
	return z->next_out - out;
}

const struct codec codec_zlib = {
    .name = "zlib",
    .min_level = 1,
    .max_level = 9,
    .default_level = 6,
    .new_state = zlib_new_state,
    .free_state = zlib_free_state,
    .compress = zlib_compress,
};
