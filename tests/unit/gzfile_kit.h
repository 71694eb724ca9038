/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gzfile_kit: gzip files as others write them, member by member, in memory and as files.
 */
#ifndef NOTEPACKFS_TESTS_GZFILE_KIT_H
#define NOTEPACKFS_TESTS_GZFILE_KIT_H

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

#include "lib/bytes.h"
#include "lib/gzfile.h"
#include "lib/io.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

enum { FTEXT = 1, FHCRC = 2, FEXTRA = 4, FNAME = 8, FCOMMENT = 16 };

/* A file that grows. */
struct gz {
	uint8_t *p;
	size_t len, size;
};

/* How a member is made. */
struct member {
	int level, strategy, mem_level;
	uint8_t flags;
};

static const struct member usual = {.level = 6, .mem_level = 8};

static inline void gz_add(struct gz *gz, const void *data, size_t len)
{
	if (gz->len + len > gz->size) {
		gz->size = 2 * gz->size + len;
		gz->p = realloc(gz->p, gz->size);
		if (!gz->p)
			abort();
	}
	if (len > 0)
		memcpy(gz->p + gz->len, data, len);
	gz->len += len;
}

static inline void gz_head(struct gz *gz, uint8_t flags)
{
	uint8_t head[10] = {0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 3}, crc[2];
	size_t start = gz->len;

	gz_add(gz, head, sizeof(head));
	if (flags & FEXTRA)
		gz_add(gz, "\x05\0extra", 7);
	if (flags & FNAME)
		gz_add(gz, "a name", 7);
	if (flags & FCOMMENT)
		gz_add(gz, "a comment", 10);
	put_le16(crc, (uint16_t)crc32_z(0, gz->p + start, gz->len - start));
	if (flags & FHCRC)
		gz_add(gz, crc, 2);
}

static inline void gz_trailer(struct gz *gz, uint32_t crc, uint32_t len)
{
	uint8_t end[8];

	put_le32(end, crc);
	put_le32(end + 4, len);
	gz_add(gz, end, sizeof(end));
}

static inline void gz_deflate(struct gz *gz, const uint8_t *raw, size_t len,
			      const struct member *m)
{
	CLEANUP_FREE uint8_t *out = NULL;
	z_stream z = {0};
	size_t bound;

	CHECK_EQ(deflateInit2(&z, m->level, Z_DEFLATED, -15, m->mem_level, m->strategy), Z_OK);
	bound = deflateBound(&z, len) + 100;
	out = malloc(bound);
	z.next_in = (Bytef *)raw;
	z.avail_in = (uInt)len;
	z.next_out = out;
	z.avail_out = (uInt)bound;
	CHECK_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
	gz_add(gz, out, z.total_out);
	deflateEnd(&z);
}

static inline void gz_member(struct gz *gz, const uint8_t *raw, size_t len,
			     const struct member *m)
{
	gz_head(gz, m->flags);
	gz_deflate(gz, raw, len, m);
	gz_trailer(gz, (uint32_t)crc32_z(0, raw, len), (uint32_t)len);
}

/* Bits of a deflate stream, the least significant first. */
struct bits {
	struct gz *gz;
	unsigned count;
	uint32_t held;
};

static inline void put_bits(struct bits *b, uint32_t value, unsigned count)
{
	b->held |= value << b->count;
	b->count += count;
	for (; b->count >= 8; b->count -= 8, b->held >>= 8) {
		uint8_t byte = (uint8_t)b->held;

		gz_add(b->gz, &byte, 1);
	}
}

/* A code of the fixed Huffman table (RFC 1951, 3.2.6) goes out its highest bit first. */
static inline void put_code(struct bits *b, uint32_t code, unsigned count)
{
	uint32_t reversed = 0;

	for (unsigned i = 0; i < count; i++)
		reversed |= (code >> i & 1) << (count - 1 - i);
	put_bits(b, reversed, count);
}

/* The bytes as literals of one block with the fixed table: zlib never makes one as long. */
static inline void put_fixed_block(struct bits *b, const uint8_t *raw, size_t len, bool last)
{
	put_bits(b, last, 1);
	put_bits(b, 1, 2);
	for (size_t i = 0; i < len; i++) {
		if (raw[i] < 144)
			put_code(b, 0x30u + raw[i], 8);
		else
			put_code(b, 0x190u + raw[i] - 144, 9);
	}
	put_code(b, 0, 7);
	if (last && b->count > 0)
		put_bits(b, 0, 8 - b->count);
}

/* A member of fixed blocks of block_bytes each; 0: of one. */
static inline void gz_fixed_member(struct gz *gz, const uint8_t *raw, size_t len,
				   size_t block_bytes)
{
	struct bits b = {.gz = gz};
	size_t n;

	gz_head(gz, 0);
	for (size_t done = 0; done < len; done += n) {
		n = block_bytes ? MIN(block_bytes, len - done) : len;
		put_fixed_block(&b, raw + done, n, done + n == len);
	}
	gz_trailer(gz, (uint32_t)crc32_z(0, raw, len), (uint32_t)len);
}

static inline void gz_release(struct gz *gz)
{
	free(gz->p);
	*gz = (struct gz){0};
}

/* A temporary file with these bytes. */
static inline int gz_file(const struct gz *gz)
{
	int fd = memfd_create("gz", MFD_CLOEXEC);

	CHECK_EQ(io_pwrite(fd, gz->p, gz->len, 0), 0);
	return fd;
}

static inline struct gzfile_facts gz_facts(const struct gz *gz, const uint8_t *raw, size_t len)
{
	return (struct gzfile_facts){
	    .gz_bytes = gz->len,
	    .raw_bytes = len,
	    .crc32 = (uint32_t)crc32_z(0, raw, len),
	};
}

/* What verify's sink compares with. */
struct expected {
	const uint8_t *raw;
	size_t len, pos;
};

static inline int compare(void *ctx, const uint8_t *data, size_t len)
{
	struct expected *e = ctx;
	bool equal = len <= e->len - e->pos && memcmp(e->raw + e->pos, data, len) == 0;

	e->pos += equal ? len : 0;
	return equal ? 0 : -ESTALE;
}

#endif
