/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * codec_kit: buffers for chunks, and a look behind their ends.
 */
#ifndef NOTEPACKFS_TESTS_CODEC_KIT_H
#define NOTEPACKFS_TESTS_CODEC_KIT_H

#include <errno.h>
#include <stdint.h>
#include <zlib.h>

#include "lib/bytes.h"
#include "lib/codec.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

#define CHUNK ((size_t)256 << 10)
#define GUARD 64
#define ROOM (CHUNK + 64) /* at least codec_bound(CHUNK) */
#define GUARD_BYTE 0xa5

static uint8_t plain[CHUNK + 1], back[CHUNK + 1 + GUARD], gz[2 * ROOM];

/* Decompress into back; is everything as the contract says, and nothing written behind it? */
static inline int inflate_guarded(struct inflater *inf, const uint8_t *in, size_t in_len,
				  size_t out_len, size_t *used)
{
	/* A block of its own, so that a sanitizer sees a read past its end. */
	CLEANUP_FREE uint8_t *copy = malloc(in_len ? in_len : 1);
	int err;

	if (in_len > 0)
		memcpy(copy, in, in_len);
	memset(back + out_len, GUARD_BYTE, GUARD);
	err = inflater_chunk(inf, copy, in_len, back, out_len, used);
	for (size_t i = 0; i < GUARD; i++)
		CHECK_EQ(back[out_len + i], GUARD_BYTE);
	CHECK(err == 0 || err == -EIO);
	CHECK(err || *used <= in_len);
	return err;
}

#endif
