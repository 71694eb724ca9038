/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seekgz: the sealed object, a seekable gzip file of exactly one member (RFC 1952).
 *
 *	header	1f 8b 08 04, MTIME 0, XFL 0, OS 255, XLEN, FEXTRA
 *	body	chunks of 256 KiB of plain data (the last may be shorter), as in lib/codec.h
 *	end	03 00 (an empty final block), CRC-32, ISIZE (both little-endian, ISIZE mod 2^32)
 *
 * FEXTRA is one subfield 'N' 'P' (LEN u16), all integers little-endian:
 *
 *	offset	size
 *	0	1	version, 1
 *	1	1	log2 of the chunk size, 18
 *	2	1	stride: log2 of the chunks in a group
 *	3	1	0
 *	4	4	part (u32, from 1)
 *	8	8	logical offset of the segment in its file
 *	16	8	raw length
 *	24	32	SHA-256 of the raw bytes
 *	56	4	CRC-32 of the used bytes of this field, taken with these four as zeroes
 *	60	8*g	for each group: compressed length (u32), CRC-32 of its plain bytes (u32)
 *	…		zeroes, where the field is longer than what is used (not in the CRC)
 *
 * The layout depends on the raw length only. A segment of SEEKGZ_RESERVE_BYTES and more has the
 * full field (XLEN 16,000: busybox zcat refuses 30,000), so that its chunks can be written
 * before its length is known. The stride is the smallest whose groups fit into the full field:
 * 0 up to about 0.5 GiB. Equal bytes, part, offset, codec and level give an equal object.
 */
#ifndef NOTEPACKFS_LIB_SEEKGZ_H
#define NOTEPACKFS_LIB_SEEKGZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/bytes.h"

#define SEEKGZ_CHUNK_LOG2 18
#define SEEKGZ_CHUNK_BYTES ((size_t)1 << SEEKGZ_CHUNK_LOG2)
#define SEEKGZ_RESERVE_BYTES ((uint64_t)64 << 20)
#define SEEKGZ_RAW_MAX ((uint64_t)1 << 40) /* a longer file is cut */
#define SEEKGZ_XLEN_MAX 16000
#define SEEKGZ_TRAILER_BYTES 10 /* the empty final block, CRC-32, ISIZE */

/* What follows from the raw length alone. */
struct seekgz_layout {
	uint64_t raw_bytes;
	uint64_t chunks;
	uint32_t groups;
	uint8_t stride_log2;
	uint32_t header_bytes; /* where the first chunk starts */
};

/* raw_bytes: 1 … SEEKGZ_RAW_MAX. */
void seekgz_layout(uint64_t raw_bytes, struct seekgz_layout *layout);

/* How many plain bytes a chunk (< chunks), a group (< groups) holds. */
static inline size_t seekgz_chunk_bytes(const struct seekgz_layout *layout, uint64_t chunk)
{
	uint64_t left = layout->raw_bytes - (chunk << SEEKGZ_CHUNK_LOG2);

	return (size_t)MIN(left, SEEKGZ_CHUNK_BYTES);
}

static inline uint64_t seekgz_group_bytes(const struct seekgz_layout *layout, uint32_t group)
{
	unsigned log2 = SEEKGZ_CHUNK_LOG2 + layout->stride_log2;
	uint64_t left = layout->raw_bytes - ((uint64_t)group << log2);

	return MIN(left, (uint64_t)1 << log2);
}

struct seekgz_group {
	uint32_t gz_bytes;
	uint32_t crc32;
};

struct seekgz_header {
	struct seekgz_layout layout;
	uint32_t part;
	uint64_t offset;
	uint8_t raw_sha256[SHA256_BYTES];
	struct seekgz_group *group; /* layout.groups of them; owned once decoded */
};

/* Write layout.header_bytes bytes. */
void seekgz_header_encode(const struct seekgz_header *header, uint8_t *out);

/*
 * Read the header of a whole object of gz_bytes bytes from fd (pread; the position is left
 * alone) and check everything in it: magic, field CRC, layout, and that the groups fill the
 * file exactly.
 *
 * 0 · -EBADMSG: not one of ours, or damaged; *reason (a constant) says how · -ENOMEM · an I/O
 * error. On 0 free it with seekgz_header_release.
 */
int seekgz_header_read(int fd, uint64_t gz_bytes, struct seekgz_header *header,
		       const char **reason);
void seekgz_header_release(struct seekgz_header *header);

/* Write SEEKGZ_TRAILER_BYTES bytes: the empty final block, CRC-32 and ISIZE. */
void seekgz_trailer_encode(uint32_t crc32, uint64_t raw_bytes, uint8_t *out);

/* Where a read met damage. */
struct seekgz_damage {
	uint64_t raw_offset; /* of the damaged chunk or group, within the segment */
	uint64_t gz_offset;  /* where its compressed bytes start in the object */
	const char *reason;  /* a constant */
	int err; /* 0: the bytes are not what they were; or why they could not be read (-errno) */
};

/*
 * A reader for one object: the descriptor (owned, closed with it) and the header. Memory: the
 * header's groups (at most 16 KB), for stride > 0 an index of the group last used (8 bytes a
 * chunk), and, from the first seekgz_read on, one decompressed chunk and the scratch for one.
 *
 * Any number of threads may use one reader. Those in seekgz_read take turns (a lock of rank 40,
 * held during pread: it protects this reader's chunk alone); those in seekgz_chunk work side by
 * side, but for the making of an index (rank 41).
 */
struct seekgz_reader;

/* Takes fd over in every case. Errors as seekgz_header_read. */
int seekgz_open(int fd, struct seekgz_reader **out, const char **reason);
void seekgz_close(struct seekgz_reader *r);

/*
 * Before the first read of an object of groups of several chunks (of others it does nothing): take
 * the index from the file `name` beneath dirfd (lib/seekgz_index.h), and, with save, put what it
 * lacks there. Whatever fails: the index of a group is made when it is needed, each time that
 * another one has been needed in between.
 */
void seekgz_use_index(struct seekgz_reader *r, int dirfd, const char *name, bool save);
const struct seekgz_header *seekgz_header(const struct seekgz_reader *r);

/*
 * Read up to len plain bytes at offset (within the segment). At most one seek and one group of
 * decompression for each group touched; every group's CRC has been checked before a byte of it
 * is returned. Returns the count (short at the end only), or -EIO for damage: *damage says
 * where (damage may be NULL); bytes before the damaged group are returned first, as a short
 * count.
 */
ssize_t seekgz_read(struct seekgz_reader *r, void *buf, size_t len, uint64_t offset,
		    struct seekgz_damage *damage);

/* What it takes to decompress a chunk: 0.3 MiB. For one thread at a time. NULL: no memory. */
struct seekgz_scratch;
struct seekgz_scratch *seekgz_scratch_new(void);
void seekgz_scratch_free(struct seekgz_scratch *scratch);

/* Bytes behind a chunk in `out` that seekgz_chunk may write. */
#define SEEKGZ_CHUNK_ROOM 1

/*
 * Decompress a chunk (< layout.chunks), all of it, into out, which holds SEEKGZ_CHUNK_BYTES and
 * SEEKGZ_CHUNK_ROOM: 0, and its CRC has been checked; or an error as from seekgz_read, and *damage.
 */
int seekgz_chunk(struct seekgz_reader *r, struct seekgz_scratch *scratch, uint64_t chunk,
		 uint8_t *out, struct seekgz_damage *damage);

/* What a whole object turned out to be. */
struct seekgz_summary {
	uint64_t gz_bytes;
	uint8_t sha256[SHA256_BYTES]; /* of the object */
	uint32_t crc32;		      /* of the raw bytes */
};

/*
 * Read every byte of an object and check everything: all groups, the trailer, the CRC-32, ISIZE
 * and the SHA-256 of the raw bytes; and, in the same pass, hash the object. sink (may be NULL)
 * is given the plain bytes in order; what it returns, if not 0, ends the call. (Where a group
 * is more than one chunk, it is given bytes before the group's CRC is known: they are good once
 * the call has returned 0.) On 0 *header is filled in; free it with seekgz_header_release.
 *
 * 0 · -EBADMSG: damaged, *damage (may be NULL) says where · -ENOMEM · an I/O error, -EIO among
 * them, as it came: where it was met is in *damage, too.
 *
 * Deflate can say the same in two ways, so a flipped bit in the body may rarely leave all of
 * this right. Only the recorded SHA-256 of the object tells that it is not the file that was
 * written.
 */
int seekgz_verify(int fd, struct seekgz_header *header, struct seekgz_summary *summary,
		  int (*sink)(void *ctx, const uint8_t *data, size_t len), void *ctx,
		  struct seekgz_damage *damage);

#endif
