/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gzindex_subject: the gzip file of the target gzindex, of three pieces, with blocks that end within
 * bytes, and the index that a reader makes of it. Its place is the scratch directory.
 */
#ifndef NOTEPACKFS_TESTS_FUZZ_GZINDEX_SUBJECT_H
#define NOTEPACKFS_TESTS_FUZZ_GZINDEX_SUBJECT_H

#include <sys/mman.h>
#include <zlib.h>

#include "lib/gzindex.h"
#include "lib/io.h"
#include "tests/fuzz/fuzz_scratch.h"
#include "tests/unit/sample.h"

#define RAW_BYTES (2 * GZINDEX_PIECE_BYTES + 300000)
#define PERIOD 3000
#define BLOCK 210007

static struct {
	uint8_t *raw, *gz, *index;
	size_t gz_len, index_len;
	struct gzfile_facts facts;
	int fd;
} subject;

static inline void subject_compress(void)
{
	z_stream z = {0};

	subject.raw = malloc(RAW_BYTES);
	subject.gz = malloc(RAW_BYTES);
	MUST(subject.raw && subject.gz);
	sample_text(subject.raw, PERIOD, 1);
	for (size_t i = PERIOD; i < RAW_BYTES; i++)
		subject.raw[i] = subject.raw[i - PERIOD];
	MUST(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	z.next_in = subject.raw;
	z.next_out = subject.gz;
	z.avail_out = RAW_BYTES;
	for (size_t done = 0; done < RAW_BYTES; done += BLOCK) {
		z.avail_in = (uInt)MIN((size_t)BLOCK, RAW_BYTES - done);
		MUST(deflate(&z, Z_BLOCK) == Z_OK);
	}
	MUST(deflate(&z, Z_FINISH) == Z_STREAM_END);
	subject.gz_len = z.total_out;
	deflateEnd(&z);
}

static inline struct gzfile_reader *subject_open(void)
{
	struct gzfile_reader *r = NULL;
	const char *reason;
	int fd = fcntl(subject.fd, F_DUPFD_CLOEXEC, 0);

	MUST(fd >= 0);
	MUST(gzfile_open(fd, &subject.facts, scratch.fd, "index", &r, &reason) == 0);
	return r;
}

static inline void subject_prepare(void)
{
	struct gzfile_reader *r;
	uint8_t byte;
	char *text;

	subject_compress();
	subject.fd = memfd_create("subject", MFD_CLOEXEC);
	MUST(subject.fd >= 0);
	MUST(io_pwrite(subject.fd, subject.gz, subject.gz_len, 0) == 0);
	subject.facts = (struct gzfile_facts){
	    .gz_bytes = subject.gz_len,
	    .raw_bytes = RAW_BYTES,
	    .crc32 = (uint32_t)crc32_z(0, subject.raw, RAW_BYTES),
	};
	r = subject_open();
	MUST(gzfile_read(r, &byte, 1, 0, NULL) == 1);
	gzfile_close(r);
	MUST(io_read_file(scratch.fd, "index", 1 << 20, &text, &subject.index_len) == 0);
	subject.index = (uint8_t *)text;
	MUST(unlinkat(scratch.fd, "index", 0) == 0);
}

#endif
