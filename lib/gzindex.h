/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gzindex: where in a foreign gzip file decompression can begin, and what its plain bytes must
 * be: for gzfile.
 *
 * Deflate data can be entered between two blocks, given the bit at which the second begins and
 * the 32 KiB of plain bytes before it, to which it may refer (the window); zlib tells the
 *places (zlib.h: inflate with Z_BLOCK, data_type, inflatePrime, inflateSetDictionary). The
 *start of a member needs no window. The index has for every piece of 1 MiB the last such point
 *at or before its start; several pieces share one where a block is longer than a piece.
 *
 * The file, all integers little-endian:
 *
 *	offset	size
 *	0	8	"NPGZIDX", and a zero
 *	8	4	version, 1
 *	12	4	log2 of the piece size, 20
 *	16	8	plain bytes of the gzip file
 *	24	8	its length
 *	32	8	the length of this file
 *	40	4	CRC-32 of all plain bytes
 *	44	4	CRC-32 of this header, with these four as zeroes, and of the table
 *	48	40*p	the table: for each piece
 *		0	8	plain offset of its point
 *		8	8	offset in the gzip file of the first byte that is wholly behind
 *it 16	8	where the window lies in this file 24	4	the window's length in this file
 *(0: there is none) 28	4	CRC-32 of the window as it lies here 32	4	CRC-32 of the
 *piece's plain bytes 36	2	plain bytes in the window (0 … 32768)
 *		38	1	bits of the byte before that are behind the point, 0 … 7
 *		39	1	0
 *	…		the windows, each in zlib's format (RFC 1950), in order
 *
 * Header and table are checked when it is loaded, a window when it is used, so that opening
 * costs nothing for windows that no one asks for.
 */
#ifndef NOTEPACKFS_LIB_GZINDEX_H
#define NOTEPACKFS_LIB_GZINDEX_H

#include <stddef.h>
#include <stdint.h>

#include "lib/gzfile.h"
#include "lib/gzstream.h"

#define GZINDEX_PIECE_LOG2 20
#define GZINDEX_PIECE_BYTES ((size_t)1 << GZINDEX_PIECE_LOG2)

/* What the windows of an index may take that is kept in memory; what lies behind goes without
 * points of its own. */
#define GZINDEX_MEMORY_BYTES ((uint64_t)32 << 20)

static inline uint64_t gzindex_pieces(uint64_t raw_bytes)
{
	return (raw_bytes + GZINDEX_PIECE_BYTES - 1) >> GZINDEX_PIECE_LOG2;
}

/* How many plain bytes a piece holds. */
static inline size_t gzindex_piece_bytes(uint64_t raw_bytes, uint64_t piece)
{
	uint64_t left = raw_bytes - (piece << GZINDEX_PIECE_LOG2);

	return (size_t)MIN(left, GZINDEX_PIECE_BYTES);
}

/* An index in memory: the table, and a descriptor for the windows. */
struct gzindex;

/* The index of a file of at most one piece: it follows from the facts. NULL: no memory. */
struct gzindex *gzindex_single(const struct gzfile_facts *facts);

/* 0 · -EBADMSG: damaged, or another file's · -ENOMEM · -ENOENT and other errors of reading it.
 */
int gzindex_load(int dirfd, const char *name, const struct gzfile_facts *facts,
		 struct gzindex **out);

/*
 * Make it, by one pass over fd, and save it if that can be done (dirfd -1: not wanted).
 * *inflated_bytes is increased. 0 · -EBADMSG, -EFBIG: the file is damaged, or not what the
 * facts say, *damage says where · -ENOMEM · an I/O error of fd, in *damage, too.
 */
int gzindex_build(int fd, const struct gzfile_facts *facts, int dirfd, const char *name,
		  struct gzindex **out, uint64_t *inflated_bytes, struct seekgz_damage *damage);
void gzindex_free(struct gzindex *ix);

uint32_t gzindex_crc32(const struct gzindex *ix, uint64_t piece);

/* The point of a piece. -EBADMSG: there is nonsense in the table. */
int gzindex_point(const struct gzindex *ix, uint64_t piece, struct gzstream_point *point);

/* Its window, point->window_bytes into out (of GZSTREAM_WINDOW_BYTES). -EBADMSG: damaged ·
 * -ENOMEM · errors of reading it. */
int gzindex_window(const struct gzindex *ix, uint64_t piece, uint8_t *out);

#endif
