/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seekgz_build: the reference writer. One thread, one pass, no cleverness: what the sealer
 * makes of the same bytes must be the same object. For tests only.
 */
#ifndef NOTEPACKFS_TESTS_SEEKGZ_BUILD_H
#define NOTEPACKFS_TESTS_SEEKGZ_BUILD_H

#include <errno.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

#include "lib/bytes.h"
#include "lib/codec.h"
#include "lib/io.h"
#include "lib/seekgz.h"

struct seekgz_recipe {
	const char *codec;
	int level;
	uint32_t part;
	uint64_t offset;
};

static inline struct seekgz_recipe seekgz_default_recipe(void)
{
	return (struct seekgz_recipe){.codec = "auto", .level = 6, .part = 1};
}

/* Compress all chunks into fd behind the header; fills in the groups. Returns the end or
 * -errno. */
static inline int64_t seekgz_build_body(int fd, const uint8_t *raw, const struct codec *codec,
					void *state, struct seekgz_header *h)
{
	CLEANUP_FREE uint8_t *out = malloc(codec_bound(SEEKGZ_CHUNK_BYTES));
	uint64_t pos = h->layout.header_bytes;

	if (!out)
		return -ENOMEM;
	for (uint64_t i = 0; i < h->layout.chunks; i++) {
		const uint8_t *in = raw + (i << SEEKGZ_CHUNK_LOG2);
		size_t len = seekgz_chunk_bytes(&h->layout, i);
		struct seekgz_group *g = &h->group[i >> h->layout.stride_log2];
		ssize_t n = codec_chunk_surely(codec, state, in, len, out);
		int err = n < 0 ? (int)n : io_pwrite(fd, out, (size_t)n, pos);

		if (err)
			return err;
		g->gz_bytes += (uint32_t)n;
		g->crc32 = (uint32_t)crc32_z(g->crc32, in, len);
		pos += (uint64_t)n;
	}
	return (int64_t)pos;
}

/* Write the header at 0 and the end at `end`. */
static inline int seekgz_build_ends(int fd, const uint8_t *raw, const struct seekgz_header *h,
				    uint64_t end)
{
	CLEANUP_FREE uint8_t *p = malloc(h->layout.header_bytes);
	uint8_t trailer[SEEKGZ_TRAILER_BYTES];
	int err;

	if (!p)
		return -ENOMEM;
	seekgz_header_encode(h, p);
	err = io_pwrite(fd, p, h->layout.header_bytes, 0);
	seekgz_trailer_encode((uint32_t)crc32_z(0, raw, h->layout.raw_bytes),
			      h->layout.raw_bytes, trailer);
	return err ? err : io_pwrite(fd, trailer, sizeof(trailer), end);
}

/* Write the object of raw_bytes > 0 bytes into the empty file fd. 0 or -errno. */
static inline int seekgz_build(int fd, const uint8_t *raw, uint64_t raw_bytes,
			       const struct seekgz_recipe *recipe)
{
	const struct codec *codec = codec_find(recipe->codec);
	struct seekgz_header h = {.part = recipe->part, .offset = recipe->offset};
	int64_t end = -ENOMEM;
	void *state;

	if (!codec)
		return -EINVAL;
	seekgz_layout(raw_bytes, &h.layout);
	EVP_Digest(raw, raw_bytes, h.raw_sha256, NULL, EVP_sha256(), NULL);
	h.group = calloc(h.layout.groups, sizeof(*h.group));
	state = codec->new_state(recipe->level);
	if (h.group && state)
		end = seekgz_build_body(fd, raw, codec, state, &h);
	if (end > 0)
		end = seekgz_build_ends(fd, raw, &h, (uint64_t)end);
	codec->free_state(state);
	seekgz_header_release(&h);
	return (int)end;
}

/* A new anonymous file with the object in it, or -errno. */
static inline int seekgz_build_temporary(const uint8_t *raw, uint64_t raw_bytes,
					 const struct seekgz_recipe *recipe)
{
	int fd = memfd_create("object", MFD_CLOEXEC);
	int err = fd < 0 ? -errno : seekgz_build(fd, raw, raw_bytes, recipe);

	if (!err)
		return fd;
	if (fd >= 0)
		close(fd);
	return err;
}

#endif
