/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gzfile: gzip files that others wrote (RFC 1952: gzip, pigz, zopfli, flate2, 7z, …): checking
 * all of one, and reading one at an offset.
 *
 * Good is a file of one or more members whose headers (method, flags, header CRC), deflate
 * data, CRC-32s and lengths are right, with nothing behind the last but zeroes, which gzip(1)
 * ignores, too. Members without content are good; a file without a member is not. Memory does
 * not depend on what is in the file, so one that grows beyond measure costs time only, and that
 * ends at SEEKGZ_RAW_MAX.
 */
#ifndef NOTEPACKFS_LIB_GZFILE_H
#define NOTEPACKFS_LIB_GZFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/bytes.h"
#include "lib/seekgz.h" /* SEEKGZ_RAW_MAX, struct seekgz_damage */

/* What a whole file turned out to be. */
struct gzfile_summary {
	uint64_t gz_bytes;
	uint64_t raw_bytes; /* 0 is possible */
	uint64_t members;
	uint8_t sha256[SHA256_BYTES];	  /* of the file */
	uint8_t raw_sha256[SHA256_BYTES]; /* of the plain bytes, of all members together */
	uint32_t crc32;			  /* of the same */
};

/*
 * Read every byte of the file fd (pread; the position is left alone) and check everything. sink
 * (may be NULL) is given the plain bytes in order; what it returns, if not 0, ends the call. It
 * is given bytes before the CRC-32 behind them is known: they are good once the call has
 * returned 0.
 *
 * 0 · -EBADMSG: it is no gzip file, or damaged · -EFBIG: it holds more than SEEKGZ_RAW_MAX
 * plain bytes · -ENOMEM · an I/O error as it came. In all cases but -ENOMEM and the sink's
 * *damage (may be NULL) says where and, for a user, why; its reason is NULL else.
 */
int gzfile_verify(int fd, struct gzfile_summary *summary,
		  int (*sink)(void *ctx, const uint8_t *data, size_t len), void *ctx,
		  struct seekgz_damage *damage);

/* What is known of a file that is to be read: from its record, and from gzfile_verify once. */
struct gzfile_facts {
	uint64_t gz_bytes;
	uint64_t raw_bytes;
	uint32_t crc32; /* of all plain bytes */
	bool no_save;	/* an index is read from its place, and not put there */
};

/*
 * A reader for one file. It reads in PIECES of 1 MiB of plain bytes, and an index tells for
 * each where decompression can begin and what the CRC-32 of its bytes is, so no byte is given
 * out that was not checked.
 *
 * The index is made when it is first needed, by one pass over the file which checks all of it
 * against the facts; it is saved beneath index_dirfd as index_name, from where later readers
 * take it (lib/gzindex.h says what it looks like). If it cannot be saved (no place was given,
 * no space, a read-only filesystem), it is kept for this reader alone. One that is damaged, or
 * of another file, is made anew. Several readers may make the same index at the same time. The
 * temporary is removed on failure; what a crash leaves behind is named as
 * replace_is_temporary() knows.
 *
 * Reading in order costs one pass. A read at random costs at most the decompression of the
 * piece and of what lies before it from its point on: the rest of a deflate block, which for
 * usual writers is less than 1 MiB; a block may be as long as the file, though, and then the
 * time is that of its beginning. Memory: 1 MiB, 100 KiB, and 40 bytes a piece (40 MB for 1
 * TiB); 1 MiB more while the index is made; and 32 MiB at most for an index that cannot be
 * saved.
 */
struct gzfile_reader;

/*
 * Takes fd over in every case. index_dirfd (-1: no place) must stay open as long as the reader;
 * the name is copied; it must be this file's alone. Nothing is read before gzfile_read.
 *
 * 0 · -EBADMSG: the file cannot be what the facts say, *reason (a constant) says why · -ENOMEM
 * · an I/O error.
 */
int gzfile_open(int fd, const struct gzfile_facts *facts, int index_dirfd,
		const char *index_name, struct gzfile_reader **out, const char **reason);
void gzfile_close(struct gzfile_reader *r);

/*
 * Read up to len plain bytes at offset. Returns the count (short at the end only), or -EIO for
 * damage: *damage says where (damage may be NULL); bytes before the damaged piece are returned
 * first, as a short count. -ENOMEM and I/O errors as they come. A file that was found to differ
 * from the facts while the index was made cannot be read at all by this reader.
 *
 * Any number of threads may read through one reader; they take turns (a lock of rank 40, held
 * across the reader's own I/O, the making of the index with it: it protects this reader alone).
 */
ssize_t gzfile_read(struct gzfile_reader *r, void *buf, size_t len, uint64_t offset,
		    struct seekgz_damage *damage);

/* What a reader has done, since it was opened. */
struct gzfile_counts {
	uint64_t inflated_bytes; /* plain bytes, those that were not asked for included */
	uint64_t indexes_made;
	uint64_t indexes_loaded;
};

void gzfile_counts(struct gzfile_reader *r, struct gzfile_counts *counts);

#endif
