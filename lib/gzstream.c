/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The members' headers and ends are read here, and zlib sees raw deflate alone: only so can a
 * member be entered in its middle. inflate stops at every block boundary (Z_BLOCK) and tells in
 * data_type how many bits of the last byte are not used yet; each such place is a point at
 * which another stream can begin (zlib.h, inflate and inflatePrime).
 */
#include "lib/gzstream.h"

#include <errno.h>
#include <string.h>

#include "lib/bytes.h"
#include "lib/digest.h"
#include "lib/io.h"

#define IN_BYTES ((size_t)64 << 10)

/* The flags of a member's header. */
#define FHCRC 0x02
#define FEXTRA 0x04
#define FNAME 0x08
#define FCOMMENT 0x10
#define RESERVED 0xe0

/* Bits of data_type. */
#define UNUSED_BITS 7
#define LAST_BLOCK 64
#define BLOCK_BOUNDARY 128

static int failed(struct gzstream *s, int err, const char *reason)
{
	s->damage = (struct seekgz_damage){
	    .raw_offset = s->raw_offset,
	    .gz_offset = gzstream_gz_offset(s),
	    .reason = reason,
	};
	return err;
}

static int damaged(struct gzstream *s, const char *reason)
{
	return failed(s, -EBADMSG, reason);
}

int gzstream_init(struct gzstream *s, int fd)
{
	*s = (struct gzstream){.fd = fd};
	s->in = malloc(IN_BYTES);
	if (s->in && inflateInit2(&s->z, -15) == Z_OK)
		return 0;
	free(s->in);
	return -ENOMEM;
}

void gzstream_release(struct gzstream *s)
{
	inflateEnd(&s->z);
	free(s->in);
}

/* Have input. 1 · 0: the file ends here · -errno */
static int fill(struct gzstream *s)
{
	ssize_t n;

	if (s->z.avail_in > 0)
		return 1;
	n = io_pread(s->fd, s->in, IN_BYTES, s->in_end);
	if (n < 0)
		return failed(s, (int)n, "it cannot be read");
	if (n > 0 && s->gz_hash && digest_add(s->gz_hash, s->in, (size_t)n) != 0)
		return -ENOMEM;
	s->in_end += (uint64_t)n;
	s->z.next_in = s->in;
	s->z.avail_in = (uInt)n;
	return n > 0;
}

/* Take n bytes that must be there. */
static int take(struct gzstream *s, uint8_t *out, size_t n)
{
	while (n > 0) {
		size_t some;
		int err = fill(s);

		if (err < 0)
			return err;
		if (err == 0)
			return damaged(s, "it is cut short");
		some = MIN(n, s->z.avail_in);
		memcpy(out, s->z.next_in, some);
		s->z.next_in += some;
		s->z.avail_in -= (uInt)some;
		out += some;
		n -= some;
	}
	return 0;
}

static int take_header(struct gzstream *s, uint8_t *out, size_t n)
{
	int err = take(s, out, n);

	if (!err)
		s->header_crc = (uint32_t)crc32_z(s->header_crc, out, n);
	return err;
}

static int skip_extra(struct gzstream *s)
{
	uint8_t buf[256];
	int err = take_header(s, buf, 2);
	size_t left = err ? 0 : get_le16(buf);

	for (size_t n; left > 0 && !err; left -= n) {
		n = MIN(left, sizeof(buf));
		err = take_header(s, buf, n);
	}
	return err;
}

static int skip_string(struct gzstream *s)
{
	uint8_t byte;
	int err;

	do
		err = take_header(s, &byte, 1);
	while (!err && byte != 0);
	return err;
}

static int check_header_crc(struct gzstream *s)
{
	uint32_t want = s->header_crc & 0xffff;
	uint8_t buf[2];
	int err = take(s, buf, 2);

	if (!err && get_le16(buf) != want)
		return damaged(s, "the CRC of a header is wrong");
	return err;
}

/* The header of a member, from its second byte on. */
static int take_member_header(struct gzstream *s)
{
	uint8_t head[10] = {0x1f};
	int err;

	s->header_crc = (uint32_t)crc32_z(0, head, 1);
	err = take_header(s, head + 1, 1);
	if (!err && head[1] != 0x8b)
		return damaged(s, s->members > 0 ? "there are bytes behind its end"
						 : "it is not a gzip file");
	if (!err)
		err = take_header(s, head + 2, 8);
	if (err)
		return err;
	if (head[2] != Z_DEFLATED)
		return damaged(s, "it is compressed with an unknown method");
	if (head[3] & RESERVED)
		return damaged(s, "a header has flags of an unknown meaning");
	if (head[3] & FEXTRA)
		err = skip_extra(s);
	if (!err && (head[3] & FNAME))
		err = skip_string(s);
	if (!err && (head[3] & FCOMMENT))
		err = skip_string(s);
	if (!err && (head[3] & FHCRC))
		err = check_header_crc(s);
	return err;
}

static int skip_zeroes(struct gzstream *s)
{
	int more;

	while ((more = fill(s)) > 0) {
		for (; s->z.avail_in > 0; s->z.next_in++, s->z.avail_in--)
			if (*s->z.next_in != 0)
				return damaged(s, "there are bytes behind its end");
	}
	s->ended = more == 0;
	return more;
}

/* Between members: the next one begins, or the file ends, perhaps behind some zeroes, with
 * which tapes and block devices fill up what they hold. */
static int next_member(struct gzstream *s)
{
	uint64_t start = gzstream_gz_offset(s);
	uint8_t byte;
	int err = fill(s);

	if (err == 0 && s->members > 0)
		s->ended = true;
	if (err == 0 && s->members == 0)
		return damaged(s, "it is not a gzip file: it is empty");
	if (err <= 0)
		return err;
	if (s->members > 0 && *s->z.next_in == 0)
		return skip_zeroes(s);
	if (*s->z.next_in != 0x1f)
		return damaged(s, s->members > 0 ? "there are bytes behind its end"
						 : "it is not a gzip file");
	err = take(s, &byte, 1);
	if (!err)
		err = take_member_header(s);
	if (err)
		return err;
	inflateReset(&s->z);
	s->members++;
	s->in_member = true;
	s->whole = !s->unchecked;
	s->member_raw = 0;
	s->member_crc = 0;
	s->point = (struct gzstream_point){.raw_offset = s->raw_offset, .gz_offset = start};
	return 0;
}

static int end_member(struct gzstream *s)
{
	uint8_t end[8];
	int err = take(s, end, sizeof(end));

	if (err)
		return err;
	s->in_member = false;
	if (s->whole && get_le32(end) != s->member_crc)
		return damaged(s, "its CRC-32 is wrong");
	if (s->whole && get_le32(end + 4) != (uint32_t)s->member_raw)
		return damaged(s, "its length is not what its end says");
	s->crc32 = (uint32_t)crc32_combine(s->crc32, s->member_crc, (z_off_t)s->member_raw);
	return 0;
}

/* Count and check what inflate put at out. */
static int account(struct gzstream *s, const uint8_t *out)
{
	size_t n = (size_t)(s->z.next_out - out);

	if (s->whole)
		s->member_crc = (uint32_t)crc32_z(s->member_crc, out, n);
	s->member_raw += n;
	s->raw_offset += n;
	if (s->raw_offset > SEEKGZ_RAW_MAX)
		return failed(s, -EFBIG, "it holds more than 1 TiB");
	return 0;
}

/* Where a block ended and another follows. A member's start needs no window, so it is the
 * better point of two at the same place. */
static void pass_boundary(struct gzstream *s)
{
	if (s->member_raw == 0)
		return;
	s->point = (struct gzstream_point){
	    .raw_offset = s->raw_offset,
	    .gz_offset = gzstream_gz_offset(s),
	    .bits = (uint8_t)(s->z.data_type & UNUSED_BITS),
	    .window_bytes = (uint32_t)MIN(s->member_raw, GZSTREAM_WINDOW_BYTES),
	};
}

/* Decompress up to the end of the block, of the input at hand, or of the room for output. */
static int inflate_some(struct gzstream *s)
{
	const uint8_t *out = s->z.next_out;
	int more = fill(s), err, result;

	if (more < 0)
		return more;
	result = inflate(&s->z, Z_BLOCK);
	err = account(s, out);
	if (err)
		return err;
	if (result == Z_STREAM_END)
		return end_member(s);
	if (result == Z_MEM_ERROR)
		return -ENOMEM;
	/* Z_BUF_ERROR says that no byte went in or out. With input at hand it is no error: the
	 * end of a block may have been among the bits that inflate held already. */
	if (result == Z_BUF_ERROR && more == 0)
		return damaged(s, "it is cut short");
	if (result != Z_OK && result != Z_BUF_ERROR)
		return damaged(s, "it does not decompress");
	if ((s->z.data_type & (BLOCK_BOUNDARY | LAST_BLOCK)) == BLOCK_BOUNDARY)
		pass_boundary(s);
	return 0;
}

ssize_t gzstream_read(struct gzstream *s, uint8_t *out, size_t len)
{
	s->z.next_out = out;
	s->z.avail_out = (uInt)len;
	while (s->z.avail_out > 0 && !s->ended) {
		int err = s->in_member ? inflate_some(s) : next_member(s);

		if (err)
			return err;
	}
	return (ssize_t)(len - s->z.avail_out);
}

/* Give inflate the bits of the byte before the point, and the bytes that the point refers to.
 */
static int prime(struct gzstream *s, const struct gzstream_point *point, const uint8_t *window)
{
	uint8_t byte;
	ssize_t n;
	int result = Z_OK;

	if (point->bits > 0) {
		n = io_pread(s->fd, &byte, 1, point->gz_offset - 1);
		if (n < 0)
			return failed(s, (int)n, "it cannot be read");
		if (n == 0)
			return damaged(s, "it is cut short");
		result = inflatePrime(&s->z, point->bits, byte >> (8 - point->bits));
	}
	if (result == Z_OK)
		result = inflateSetDictionary(&s->z, window, point->window_bytes);
	return result == Z_OK ? 0 : -ENOMEM;
}

int gzstream_resume(struct gzstream *s, const struct gzstream_point *point,
		    const uint8_t *window)
{
	inflateReset(&s->z);
	s->z.avail_in = 0;
	s->in_end = point->gz_offset;
	s->raw_offset = point->raw_offset;
	s->members = point->gz_offset > 0;
	s->in_member = point->window_bytes > 0;
	s->ended = false;
	s->whole = false;
	s->member_raw = point->window_bytes; /* at least; no one asks for more */
	s->point = *point;
	return s->in_member ? prime(s, point, window) : 0;
}
