/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index of a foreign gzip file, as it lies beside the manifest. One byte says what is made
 * right in it before it is used, then come the places of reads, and the index. The gzip file is
 * always the same: three pieces, with blocks that end within bytes.
 *
 * What is read is right, or it is refused; with the index that the reader would have made it is
 * right. One that the reader has found wrong is replaced by that.
 */
#include <errno.h>

#include "lib/io.h"
#include "tests/fuzz/fuzz_memory.h"
#include "tests/fuzz/fuzz_scratch.h"
#include "tests/fuzz/gzindex_subject.h"

#define FIX_CRC 1     /* of header and table */
#define FIX_LENGTH 2  /* of the file */
#define FIX_WINDOWS 4 /* the CRC of each window that lies in the file */
#define READS 4
#define HEADER_BYTES 48
#define ENTRY_BYTES 40

static void fix_windows(uint8_t *index, size_t len, uint64_t pieces)
{
	for (uint64_t i = 0; i < pieces; i++) {
		uint8_t *e = index + HEADER_BYTES + i * ENTRY_BYTES;
		uint64_t pos = get_le64(e + 16);
		uint32_t bytes = get_le32(e + 24);

		if (pos <= len && bytes <= len - pos)
			put_le32(e + 28, (uint32_t)crc32_z(0, index + pos, bytes));
	}
}

static void fix(uint8_t *index, size_t len, uint8_t how)
{
	uint64_t pieces = gzindex_pieces(RAW_BYTES);
	size_t head = HEADER_BYTES + (size_t)pieces * ENTRY_BYTES;
	uLong crc;

	if (len < head)
		return;
	if (how & FIX_LENGTH)
		put_le64(index + 32, len);
	if (how & FIX_WINDOWS)
		fix_windows(index, len, pieces);
	if (how & FIX_CRC) {
		memset(index + 44, 0, 4);
		crc = crc32_z(0, index, head);
		put_le32(index + 44, (uint32_t)crc);
	}
}

static void read_at(struct gzfile_reader *r, uint64_t offset, bool honest)
{
	struct seekgz_damage damage = {0};
	uint8_t *buf = malloc(5000);
	ssize_t n;

	if (!buf)
		abort();
	n = gzfile_read(r, buf, 5000, offset, &damage);
	MUST(n >= 0 || (n == -EIO && damage.reason && !honest));
	if (n > 0)
		MUST(memcmp(buf, subject.raw + offset, (size_t)n) == 0);
	MUST(n <= 0 || n == (ssize_t)MIN((uint64_t)5000, RAW_BYTES - offset) || !honest);
	free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint8_t how = input_byte(&in);
	struct gzfile_counts counts;
	struct gzfile_reader *r;
	uint64_t places[READS];
	size_t len;
	bool honest;

	scratch_begin();
	if (!subject.raw)
		subject_prepare();
	for (unsigned i = 0; i < READS; i++)
		places[i] = (uint64_t)input_byte(&in) * RAW_BYTES / 256;
	len = in.len;
	CLEANUP_FREE uint8_t *index = fuzz_copy(in.p, len);

	fix(index, len, how);
	honest = len == subject.index_len && memcmp(index, subject.index, len) == 0;
	scratch_put(scratch.fd, "index", index, len);
	r = subject_open();
	for (unsigned i = 0; i < READS; i++)
		read_at(r, places[i], honest);
	gzfile_counts(r, &counts);
	gzfile_close(r);
	MUST(!honest || (counts.indexes_loaded == 1 && counts.indexes_made == 0));
	if (counts.indexes_made > 0) {
		CLEANUP_FREE char *text = NULL;

		MUST(io_read_file(scratch.fd, "index", 1 << 20, &text, &len) == 0);
		MUST(len == subject.index_len && memcmp(text, subject.index, len) == 0);
	}
	return 0;
}
