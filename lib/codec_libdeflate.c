/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libdeflate compresses whole streams, and has no flush. So the chunk is compressed as one, the bit
 * that makes its last block the final one is cleared, and the empty stored block is put behind.
 *
 * Where that bit is, libdeflate does not say. To decompress the chunk with zlib, from block to
 * block, takes a quarter of what the compression takes at level 6. But the last block is mostly a
 * small part of the chunk (one of 28 in JSON at level 6, one of 4 at level 1), and nearly always it
 * has codes of its own, whose header few other bits look like. So it is looked for from the end,
 * and what looks like it is decompressed by zlib: it must end where the stream ends. Where that
 * finds nothing, as when the last block is a stored one, zlib walks all of them.
 *
 * A stored block at the end may hold a deflate stream of someone's, which then is taken for the last
 * block. The chunk still has a final block in it then, and the verifier refuses it:
 * compress_surely always walks.
 *
 * A file can have gigabytes of zeros that were never written. Of a chunk of them the last result is kept.
 */
#include <errno.h>
#include <libdeflate.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "lib/bytes.h"
#include "lib/codec_impl.h"

#define WINDOW_BYTES 32768
#define SEARCH_BYTES ((size_t)48 << 10) /* at most, from the end */
#define END_BYTES 5			/* what is put behind, at most */
#define STEP_BYTES 6			/* whose bits are looked at in one go */
#define ZEROS_BYTES 1024 /* what a chunk of zeros is compressed to is kept up to here */

struct state {
	struct libdeflate_compressor *compressor;
	z_stream z;
	uint8_t shares[512]; /* of three code lengths; share_of */
	uint8_t plain[WINDOW_BYTES];
	/* So many zeros are compressed to these bytes; 0: not known. */
	size_t zeros, zeros_n;
	uint8_t zeros_gz[ZEROS_BYTES];
};

struct last {
	size_t bit;	/* where its header starts */
	unsigned spare; /* bits of the last byte behind its end */
};

/* What codes of the three lengths in bits take of all, in 128ths; a length of 0 is no code. */
static uint8_t share_of(unsigned bits)
{
	unsigned sum = 0;

	for (int i = 0; i < 3; i++, bits >>= 3) {
		if (bits & 7)
			sum += 128u >> (bits & 7);
	}
	return (uint8_t)sum;
}

static void libdeflate_free_state(void *state)
{
	struct state *s = state;

	if (!s)
		return;
	libdeflate_free_compressor(s->compressor);
	inflateEnd(&s->z);
	free(s);
}

static void *libdeflate_new_state(int level)
{
	struct state *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->compressor = libdeflate_alloc_compressor(level);
	/* The dictionary makes zlib allocate its window now: no lack of memory later. */
	if (!s->compressor || inflateInit2(&s->z, -15) != Z_OK ||
	    inflateSetDictionary(&s->z, s->plain, WINDOW_BYTES) != Z_OK) {
		libdeflate_free_state(s);
		return NULL;
	}
	for (unsigned i = 0; i < ARRAY_LEN(s->shares); i++)
		s->shares[i] = share_of(i);
	return s;
}

/* Decompress to the end of a block; the plain bytes are of no interest. */
static bool pass_block(struct state *s)
{
	do {
		s->z.next_out = s->plain;
		s->z.avail_out = WINDOW_BYTES;
		if (inflate(&s->z, Z_BLOCK) != Z_OK)
			return false;
	} while (!(s->z.data_type & 128));
	return true;
}

/* Was the block that was passed the final one, and is it followed by zeroes up to the byte? */
static bool is_at_end(const struct state *s, const uint8_t *gz, size_t n, unsigned *spare)
{
	*spare = (unsigned)s->z.data_type & 7;
	return (s->z.data_type & 64) && s->z.avail_in == 0 && gz[n - 1] >> (8 - *spare) == 0;
}

static bool walk(struct state *s, const uint8_t *gz, size_t n, struct last *last)
{
	if (inflateReset(&s->z) != Z_OK)
		return false;
	s->z.next_in = (Bytef *)gz;
	s->z.avail_in = (uInt)n;
	last->bit = 0;
	for (;;) {
		if (!pass_block(s))
			return false;
		if (s->z.data_type & 64)
			return is_at_end(s, gz, n, &last->spare);
		last->bit = 8 * (n - s->z.avail_in) - ((unsigned)s->z.data_type & 7);
	}
}

/* Does a block that starts here end with the stream? What it refers to does not matter, but must be
 * there; few have a right header, and come that far. */
static bool try_block(struct state *s, const uint8_t *gz, size_t n, struct last *last)
{
	size_t at = last->bit / 8;
	int used = (int)(last->bit % 8);

	if (inflateReset(&s->z) != Z_OK)
		return false;
	if (used > 0 && inflatePrime(&s->z, 8 - used, gz[at++] >> used) != Z_OK)
		return false;
	s->z.next_in = (Bytef *)gz + at;
	s->z.avail_in = (uInt)(n - at);
	s->z.next_out = s->plain;
	s->z.avail_out = WINDOW_BYTES;
	if (inflate(&s->z, Z_TREES) != Z_OK ||
	    inflateSetDictionary(&s->z, s->plain, WINDOW_BYTES) != Z_OK)
		return false;
	return pass_block(s) && is_at_end(s, gz, n, &last->spare);
}

/* Are the lengths of the code that the lengths of the codes are written in (RFC 1951, 3.2.7) those
 * of a complete one? */
static bool has_complete_code(const struct state *s, const uint8_t *gz, size_t n, size_t bit)
{
	size_t count = bit + 13, lengths = bit + 17;
	unsigned sum = 0;
	uint64_t bits;

	if (lengths / 8 + 8 > n)
		return false;
	bits = get_le64(gz + lengths / 8) >> lengths % 8; /* at least 57: 19 lengths */
	count = 4 + (get_le16(gz + count / 8) >> count % 8 & 15);
	bits &= (UINT64_C(1) << 3 * count) - 1;
	for (int i = 0; i < 63; i += 9)
		sum += s->shares[bits >> i & 511];
	return sum == 128;
}

/*
 * The bits of w, the first 48, where a final block with codes of its own may start: 1, 01 (read from
 * the high bit: 10), and neither of the two numbers of five bits that follow above 29.
 */
static uint64_t headers(uint64_t w)
{
	uint64_t high =
	    w >> 1 & w >> 2 & w >> 3 & w >> 4; /* the four high bits of such a number */

	return w & ~(w >> 1) & w >> 2 & ~(high >> 3) & ~(high >> 8) &
	       ((UINT64_C(1) << 8 * STEP_BYTES) - 1);
}

static bool search(struct state *s, const uint8_t *gz, size_t n, struct last *last)
{
	size_t end = n > SEARCH_BYTES ? n - SEARCH_BYTES : 0;

	/* Is the first block the last? Then zlib has to go through all of it in any case. */
	if (n < 8 || gz[0] & 1)
		return false;
	for (size_t at = n - 8;; at -= MIN(at, STEP_BYTES)) {
		for (uint64_t found = headers(get_le64(gz + at)); found;) {
			unsigned i = 63 - (unsigned)__builtin_clzll(found);

			found &= ~(UINT64_C(1) << i);
			last->bit = 8 * at + i;
			if (has_complete_code(s, gz, n, last->bit) && try_block(s, gz, n, last))
				return true;
		}
		if (at <= end)
			return false;
	}
}

static ssize_t compress_chunk(struct state *s, const uint8_t *in, size_t len, uint8_t *out,
			      size_t out_size, bool surely)
{
	struct last last;
	size_t n;

	if (len > UINT32_MAX || out_size > UINT32_MAX)
		return -EIO;
	if (out_size <= END_BYTES)
		return -ENOSPC;
	n = libdeflate_deflate_compress(s->compressor, in, len, out, out_size - END_BYTES);
	if (n == 0)
		return -ENOSPC;
	if ((surely || !search(s, out, n, &last)) && !walk(s, out, n, &last))
		return -EIO;
	out[last.bit / 8] &= (uint8_t) ~(1u << last.bit % 8);
	/* The header of the stored block is three zeroes. */
	if (last.spare < 3)
		out[n++] = 0;
	put_le32(out + n, 0xffff0000);
	return (ssize_t)(n + 4);
}

static ssize_t compress_zeros(struct state *s, const uint8_t *in, size_t len, uint8_t *out,
			      size_t out_size)
{
	ssize_t n;

	if (s->zeros == len && s->zeros_n <= out_size) {
		memcpy(out, s->zeros_gz, s->zeros_n);
		return (ssize_t)s->zeros_n;
	}
	n = compress_chunk(s, in, len, out, out_size, false);
	if (n > 0 && n <= ZEROS_BYTES) {
		s->zeros = len;
		s->zeros_n = (size_t)n;
		memcpy(s->zeros_gz, out, (size_t)n);
	}
	return n;
}

static ssize_t libdeflate_compress(void *state, const uint8_t *in, size_t len, uint8_t *out,
				   size_t out_size)
{
	if (in[0] == 0 && memcmp(in, in + 1, len - 1) == 0)
		return compress_zeros(state, in, len, out, out_size);
	return compress_chunk(state, in, len, out, out_size, false);
}

static ssize_t libdeflate_compress_surely(void *state, const uint8_t *in, size_t len,
					  uint8_t *out, size_t out_size)
{
	return compress_chunk(state, in, len, out, out_size, true);
}

const struct codec codec_libdeflate = {
    .name = "libdeflate",
    .min_level = 1,
    .max_level = 12,
    .default_level = 6,
    .new_state = libdeflate_new_state,
    .free_state = libdeflate_free_state,
    .compress = libdeflate_compress,
    .compress_surely = libdeflate_compress_surely,
};
