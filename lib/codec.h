/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * codec: one chunk of plain bytes to a run of DEFLATE blocks (RFC 1951), and back.
 *
 * A compressed chunk depends on nothing before it: it starts at a byte boundary, refers to no
 * earlier bytes, holds no block with BFINAL set, and ends with an empty stored block (what zlib
 * writes for Z_FULL_FLUSH), so that chunks can be made by several threads and be put one after
 * the other. Codecs are buffer to buffer and know no files. A state belongs to one thread.
 *
 * Never compare compressed bytes with golden output: they depend on the codec's version, and
 * ISA-L's on the processor. For one of each, equal input and level give equal output, whatever was
 * compressed before.
 */
#ifndef NOTEPACKFS_LIB_CODEC_H
#define NOTEPACKFS_LIB_CODEC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct codec {
	const char *name;
	int min_level, max_level, default_level;

	/* A new state for this level; NULL when there is no memory. */
	void *(*new_state)(int level);
	void (*free_state)(void *state);

	/* Compress len > 0 bytes. Returns the compressed length, or -ENOSPC if it does not fit
	 * into out_size (the caller then stores the chunk), or another -errno. */
	ssize_t (*compress)(void *state, const uint8_t *in, size_t len, uint8_t *out,
			    size_t out_size);

	/* The same, without shortcuts that some bytes lead astray. NULL: it takes none. */
	ssize_t (*compress_surely)(void *state, const uint8_t *in, size_t len, uint8_t *out,
				   size_t out_size);
};

/* The codec of this name; "auto" is libdeflate, or zlib where that was not built in. NULL: this
 * build has none of that name. */
const struct codec *codec_find(const char *name);

/* The i-th of those that were built in, "auto" first; NULL past the last. */
const struct codec *codec_at(size_t i);

/* What compresses fastest, at its lowest level: ISA-L where it was built in, else this one. */
const struct codec *codec_fastest(const struct codec *codec);

/* What a chunk of len bytes takes at most: its stored form (5 bytes for each started 65,535
 * bytes) and the empty stored block. */
size_t codec_bound(size_t len);

/*
 * Compress a chunk and keep the smaller of the compressed and the stored form. out holds
 * codec_bound(len) bytes. Returns the length or -errno (-ENOMEM, -EIO: the codec failed).
 *
 * A few bytes in all the world are such that codec_chunk makes a chunk of them that the verifier
 * refuses; codec_chunk_surely does not, takes longer, and otherwise makes the same.
 */
ssize_t codec_chunk(const struct codec *codec, void *state, const uint8_t *in, size_t len,
		    uint8_t *out);
ssize_t codec_chunk_surely(const struct codec *codec, void *state, const uint8_t *in,
			   size_t len, uint8_t *out);

/* CRC-32 as in gzip, of what crc is that of (0: nothing) and data behind it; with the fastest that was
 * built in. */
uint32_t codec_crc32(uint32_t crc, const void *data, size_t len);

/* An inflater for chunks; belongs to one thread. NULL when there is no memory. */
struct inflater;
struct inflater *inflater_new(void);
void inflater_free(struct inflater *inf);

/*
 * Decompress one chunk: exactly out_len plain bytes, from at most in_len compressed bytes, up
 * to and with the empty stored block that ends it. Writes never pass out + out_len. Sets *used
 * to the compressed bytes taken. Returns 0, or -EIO: damaged, too short, too long, a final
 * block inside, a stored block padded with anything but zeroes (no CRC covers the padding). It
 * allocates nothing.
 */
int inflater_chunk(struct inflater *inf, const uint8_t *in, size_t in_len, uint8_t *out,
		   size_t out_len, size_t *used);

/* Bytes behind a chunk, and behind its plain bytes, that inflater_whole may write. */
#define INFLATER_GZ_ROOM 3
#define INFLATER_RAW_ROOM 1

/*
 * The same for a chunk that is known to be n bytes, by libdeflate where that was built in: in half
 * the time. gz, n bytes and INFLATER_GZ_ROOM more of room, is changed meanwhile, and is as it was in
 * the end; out is len > 0 bytes, and INFLATER_RAW_ROOM more. Returns 0 or -EIO. Two things that
 * inflater_chunk refuses may pass, since the bytes are the same with and without them: bits that
 * fill up the byte before a stored block and are not zero, and more than one empty stored block at
 * the end.
 */
int inflater_whole(struct inflater *inf, uint8_t *gz, size_t n, uint8_t *out, size_t len);

#endif
