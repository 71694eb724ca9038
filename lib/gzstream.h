/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gzstream: one pass over a gzip file (RFC 1952) of any number of members, from its start or
 * from a point in its middle. What gzfile and gzindex share.
 *
 * Memory: 64 KiB of input and zlib's state, whatever is in the file. A stream belongs to one
 * thread.
 */
#ifndef NOTEPACKFS_LIB_GZSTREAM_H
#define NOTEPACKFS_LIB_GZSTREAM_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <zlib.h>

#include "lib/seekgz.h"

#define GZSTREAM_WINDOW_BYTES ((size_t)32768) /* how far back deflate refers */

/*
 * Where decompression can begin: at the start of a member (window_bytes 0), or in a member
 * between two deflate blocks, given the plain bytes before it.
 */
struct gzstream_point {
	uint64_t raw_offset;
	uint64_t gz_offset; /* of the first byte of which no bit belongs to what was before */
	uint8_t bits; /* high bits of the byte before gz_offset that belong to it, 0 … 7 */
	uint32_t window_bytes; /* plain bytes before it that it needs, of its own member */
};

struct gzstream {
	/* The caller's: every byte read from the file is added, if it is not NULL. */
	EVP_MD_CTX *gz_hash;
	/* The caller's: it checks the plain bytes itself, so the CRC-32 and the length at the
	 * end of a member are not looked at. */
	bool unchecked;

	/* What the caller may look at. */
	uint64_t raw_offset;	     /* of the next plain byte */
	uint64_t members;	     /* begun */
	uint32_t crc32;		     /* of the plain bytes of the members that ended */
	struct gzstream_point point; /* the last one that was passed */
	struct seekgz_damage damage; /* where and why the last call failed */

	/* Private. */
	int fd;
	z_stream z; /* next_in lies in `in` */
	uint8_t *in;
	uint64_t in_end; /* offset in the file of the end of the bytes in `in` */
	bool in_member, ended;
	bool whole;	     /* the member is decompressed from its start: check its end */
	uint64_t member_raw; /* plain bytes of the member, so far */
	uint32_t member_crc;
	uint32_t header_crc;
};

/* The descriptor stays the caller's, and its position is left alone. 0 or -ENOMEM (then there
 * is nothing to release). */
int gzstream_init(struct gzstream *s, int fd);
void gzstream_release(struct gzstream *s);

/* Go to a point; window: its window_bytes plain bytes. 0, or an error as gzstream_read. */
int gzstream_resume(struct gzstream *s, const struct gzstream_point *point,
		    const uint8_t *window);

/*
 * Decompress the next len (< 4 GiB) plain bytes. Fewer, and only then, where the file ends, and
 * all that is in it was found right: the header of each member, the CRC-32 and the length at
 * its end (unless it was entered in the middle), nothing but zeroes behind the last.
 *
 * -EBADMSG: damaged · -EFBIG: more than SEEKGZ_RAW_MAX plain bytes · -ENOMEM · an I/O error, as
 * it came. damage says where; the stream is of no use then until gzstream_resume.
 */
ssize_t gzstream_read(struct gzstream *s, uint8_t *out, size_t len);

/* The offset in the file of the next byte to be looked at. */
static inline uint64_t gzstream_gz_offset(const struct gzstream *s)
{
	return s->in_end - s->z.avail_in;
}

#endif
