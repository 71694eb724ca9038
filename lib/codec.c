/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registry of codecs, the stored form, and the way back.
 *
 * The inflater is zlib's, stopped at every block boundary (Z_BLOCK). That is how it sees each
 * block's header before zlib acts on it: a final block is refused, and the end of the chunk is
 * recognised by structure, not by counting bytes. The bits that fill up the byte before a
 * stored block carry no meaning, so no checksum of plain bytes covers them; they must be
 * zeroes.
 */
#include "lib/codec.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#ifdef HAVE_LIBDEFLATE
#include <libdeflate.h>
#endif

#include "lib/bytes.h"
#include "lib/codec_impl.h"

#define STORED_MAX ((size_t)65535) /* in one stored block */
#define STORED_HEAD ((size_t)5)	   /* block header and padding, LEN, NLEN */

/* "auto" is the first. */
static const struct codec *const codecs[] = {
#ifdef HAVE_LIBDEFLATE
    &codec_libdeflate,
#endif
    &codec_zlib,
#ifdef HAVE_ISAL
    &codec_isal,
#endif
};

const struct codec *codec_find(const char *name)
{
	if (strcmp(name, "auto") == 0)
		return codecs[0];
	for (size_t i = 0; i < ARRAY_LEN(codecs); i++)
		if (strcmp(name, codecs[i]->name) == 0)
			return codecs[i];
	return NULL;
}

const struct codec *codec_at(size_t i)
{
	return i < ARRAY_LEN(codecs) ? codecs[i] : NULL;
}

const struct codec *codec_fastest(const struct codec *codec)
{
	const struct codec *isal = codec_find("isal");

	return isal ? isal : codec;
}

size_t codec_bound(size_t len)
{
	size_t blocks = len / STORED_MAX + (len % STORED_MAX != 0);

	return len + (blocks + 1) * STORED_HEAD;
}

static uint8_t *put_stored_block(uint8_t *out, const uint8_t *in, size_t len)
{
	*out = 0; /* BFINAL 0, BTYPE 00, padding */
	put_le16(out + 1, (uint16_t)len);
	put_le16(out + 3, (uint16_t)~len);
	if (len > 0)
		memcpy(out + STORED_HEAD, in, len);
	return out + STORED_HEAD + len;
}

static size_t store_chunk(const uint8_t *in, size_t len, uint8_t *out)
{
	uint8_t *p = out;

	for (size_t done = 0; done < len;) {
		size_t n = MIN(len - done, STORED_MAX);

		p = put_stored_block(p, in + done, n);
		done += n;
	}
	return (size_t)(put_stored_block(p, NULL, 0) - out);
}

/* n: what the codec made of it. */
static ssize_t smaller(ssize_t n, const uint8_t *in, size_t len, uint8_t *out)
{
	if (n == -ENOSPC || n >= (ssize_t)codec_bound(len))
		return (ssize_t)store_chunk(in, len, out);
	return n;
}

ssize_t codec_chunk(const struct codec *codec, void *state, const uint8_t *in, size_t len,
		    uint8_t *out)
{
	return smaller(codec->compress(state, in, len, out, codec_bound(len)), in, len, out);
}

ssize_t codec_chunk_surely(const struct codec *codec, void *state, const uint8_t *in,
			   size_t len, uint8_t *out)
{
	if (!codec->compress_surely)
		return codec_chunk(codec, state, in, len, out);
	return smaller(codec->compress_surely(state, in, len, out, codec_bound(len)), in, len,
		       out);
}

uint32_t codec_crc32(uint32_t crc, const void *data, size_t len)
{
#ifdef HAVE_LIBDEFLATE
	return libdeflate_crc32(crc, data, len);
#else
	return (uint32_t)crc32_z(crc, data, len);
#endif
}

struct inflater {
	z_stream z;
#ifdef HAVE_LIBDEFLATE
	struct libdeflate_decompressor *quick;
#endif
};

static void free_quick(struct inflater *inf)
{
#ifdef HAVE_LIBDEFLATE
	libdeflate_free_decompressor(inf->quick);
#else
	(void)inf;
#endif
}

struct inflater *inflater_new(void)
{
	struct inflater *inf = calloc(1, sizeof(*inf));

	if (!inf)
		return NULL;
#ifdef HAVE_LIBDEFLATE
	inf->quick = libdeflate_alloc_decompressor();
	if (!inf->quick)
		goto out_free;
#endif
	/* zlib allocates its window when it first needs it. A dictionary makes it do so now,
	 * so that decompression cannot run out of memory, which would look like damage. */
	if (inflateInit2(&inf->z, -15) != Z_OK)
		goto out_free;
	if (inflateSetDictionary(&inf->z, (const Bytef *)"", 1) != Z_OK)
		goto out_end;
	return inf;
out_end:
	inflateEnd(&inf->z);
out_free:
	free_quick(inf);
	free(inf);
	return NULL;
}

void inflater_free(struct inflater *inf)
{
	if (!inf)
		return;
	inflateEnd(&inf->z);
	free_quick(inf);
	free(inf);
}

/*
 * Check the header of the block that starts in the high `spare` bits of the byte before p (0:
 * at p). *end: it is the empty stored block, which ends at *next.
 */
static int check_block(const uint8_t *p, size_t len, unsigned spare, bool *end,
		       const uint8_t **next)
{
	size_t head = spare < 3 ? 1 : 0; /* bytes of p that the three bits reach into */
	unsigned bits = 0;

	*end = false;
	if (len < head)
		return -EIO;
	if (spare > 0)
		bits = (unsigned)p[-1] >> (8 - spare);
	if (head > 0)
		bits |= (unsigned)p[0] << spare;
	if (bits & 1)
		return -EIO; /* final */
	if ((bits & 6) != 0)
		return 0; /* not stored */
	if (bits >> 3)
		return -EIO; /* padding that is not zero */
	*next = p + head + 4;
	*end = len >= head + 4 && memcmp(p + head, "\0\0\xff\xff", 4) == 0;
	return 0;
}

int inflater_chunk(struct inflater *inf, const uint8_t *in, size_t in_len, uint8_t *out,
		   size_t out_len, size_t *used)
{
	z_stream *z = &inf->z;
	const uint8_t *next;
	unsigned spare = 0;
	bool end;

	if (out_len > UINT32_MAX || inflateReset(z) != Z_OK)
		return -EIO;
	z->next_in = (Bytef *)in;
	z->avail_in = (uInt)MIN(in_len, UINT32_MAX);
	z->next_out = out;
	z->avail_out = (uInt)out_len;
	for (;;) {
		if (check_block(z->next_in, z->avail_in, spare, &end, &next))
			return -EIO;
		if (end && z->avail_out == 0)
			break;
		/* Bit 7: it stopped where a block ended, not for want of input or of room. */
		if (inflate(z, Z_BLOCK) != Z_OK || !(z->data_type & 128))
			return -EIO;
		spare = (unsigned)z->data_type & 7;
	}
	*used = (size_t)(next - in);
	return 0;
}

#ifdef HAVE_LIBDEFLATE

#define MARK 0xa5

/*
 * libdeflate decompresses whole streams, and does not say where blocks are. So the chunk is made
 * one: the empty stored block at its end gets a byte, which must come out behind the others, and a
 * final block follows. If the stream then ends where it should, it had no other final block, and
 * what ended the chunk was a stored block, not data that look like one.
 */
static int inflate_quickly(struct inflater *inf, uint8_t *gz, size_t n, uint8_t *out,
			   size_t len)
{
	static const uint8_t empty[4] = {0, 0, 0xff, 0xff};
	static const uint8_t marked[4 + INFLATER_GZ_ROOM] = {1, 0, 0xfe, 0xff, MARK, 3, 0};
	size_t in_len, out_len;
	enum libdeflate_result r;

	if (n < sizeof(empty) || memcmp(gz + n - sizeof(empty), empty, sizeof(empty)) != 0)
		return -EIO;
	memcpy(gz + n - sizeof(empty), marked, sizeof(marked));
	r = libdeflate_deflate_decompress_ex(inf->quick, gz, n + INFLATER_GZ_ROOM, out,
					     len + INFLATER_RAW_ROOM, &in_len, &out_len);
	memcpy(gz + n - sizeof(empty), empty, sizeof(empty));
	return r == LIBDEFLATE_SUCCESS && in_len == n + INFLATER_GZ_ROOM &&
		       out_len == len + INFLATER_RAW_ROOM
		   ? 0
		   : -EIO;
}

int inflater_whole(struct inflater *inf, uint8_t *gz, size_t n, uint8_t *out, size_t len)
{
	return inflate_quickly(inf, gz, n, out, len);
}

#else

int inflater_whole(struct inflater *inf, uint8_t *gz, size_t n, uint8_t *out, size_t len)
{
	size_t used;
	int err = inflater_chunk(inf, gz, n, out, len, &used);

	return err ? err : used == n ? 0 : -EIO;
}

#endif
