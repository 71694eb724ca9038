/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reader of sealed objects. The first byte says what is made right before the object is looked
 * at, so that forged headers get past their checks; then come the places of reads, and the object.
 *
 * What verifies is one gzip member of the bytes and the length that the header says, by zlib's word.
 * What is read is right, at whatever offset and in whatever order, or it is refused. No more bytes
 * are decompressed than the header has announced.
 */
#include <errno.h>

#include "lib/object.h"
#include "lib/seekgz.h"
#include "tests/fuzz/fuzz_memory.h"

#define FIX_CRC 1    /* of the field in the header */
#define FIX_LENGTH 2 /* the last group takes what is left of the file */
#define FIX_LAYOUT 4 /* stride, XLEN and LEN as the raw length wants them */
#define READS 6
#define READ_MAX ((size_t)300 << 10)
#define LIMIT ((uint64_t)64 << 20)

#define FIELD_POS 16
#define GROUPS_POS (FIELD_POS + 60)

static void fix(uint8_t *gz, size_t len, uint8_t how)
{
	uint64_t raw_bytes, sum;
	struct seekgz_layout layout;
	uint8_t *field = gz + FIELD_POS;

	if (len < GROUPS_POS)
		return;
	raw_bytes = get_le64(field + 16);
	if (raw_bytes == 0 || raw_bytes > SEEKGZ_RAW_MAX)
		return;
	seekgz_layout(raw_bytes, &layout);
	if (layout.header_bytes > len)
		return;
	if (how & FIX_LAYOUT) {
		put_le16(gz + 10, (uint16_t)(layout.header_bytes - 12));
		put_le16(gz + 14, (uint16_t)(layout.header_bytes - FIELD_POS));
		field[2] = layout.stride_log2;
	}
	sum = layout.header_bytes + SEEKGZ_TRAILER_BYTES;
	for (uint32_t i = 0; i + 1 < layout.groups; i++)
		sum += get_le32(gz + GROUPS_POS + 8 * (size_t)i);
	if (how & FIX_LENGTH && sum <= len)
		put_le32(gz + GROUPS_POS + 8 * (size_t)(layout.groups - 1),
			 (uint32_t)(len - sum));
	if (how & FIX_CRC) {
		memset(field + 56, 0, 4);
		put_le32(field + 56,
			 (uint32_t)crc32_z(0, field, 60 + 8 * (size_t)layout.groups));
	}
}

struct place {
	uint64_t offset;
	size_t len;
};

/* Bytes at an offset; compared with what is known of them, if anything is. */
static void read_at(struct seekgz_reader *r, const struct place *at, const struct plain *known)
{
	uint64_t raw_bytes = seekgz_header(r)->layout.raw_bytes;
	uint8_t *buf = malloc(at->len ? at->len : 1);
	struct seekgz_damage damage = {0};
	ssize_t n;

	if (!buf)
		abort();
	n = seekgz_read(r, buf, at->len, at->offset, &damage);
	if (n < 0) {
		MUST(n == -EIO && damage.reason && damage.raw_offset < raw_bytes);
		MUST(!known);
	} else {
		MUST((size_t)n <= at->len);
		MUST(n == 0 || at->offset + (size_t)n <= raw_bytes);
		MUST(n > 0 || at->len == 0 || at->offset >= raw_bytes);
	}
	if (known && at->offset < known->bytes) {
		MUST((size_t)n == MIN(at->len, known->bytes - at->offset));
		if (n > 0 && at->offset + (size_t)n <= known->kept)
			MUST(memcmp(buf, known->data + at->offset, (size_t)n) == 0);
	}
	free(buf);
}

/* A group of one chunk: what is read of it has the CRC-32 that the header says. */
static void read_chunk(struct seekgz_reader *r, uint32_t i)
{
	const struct seekgz_header *h = seekgz_header(r);
	size_t want = seekgz_chunk_bytes(&h->layout, i);
	uint8_t *buf = malloc(want);
	ssize_t n;

	MUST(buf);
	n = seekgz_read(r, buf, want, (uint64_t)i << SEEKGZ_CHUNK_LOG2, NULL);
	MUST(n == -EIO || (size_t)n == want);
	MUST(n < 0 || (uint32_t)crc32_z(0, buf, want) == h->group[i].crc32);
	free(buf);
}

static void read_some(int fd, const struct place *places, const struct plain *known)
{
	struct seekgz_reader *r = NULL;
	const char *reason = NULL;
	int err = seekgz_open(fd, &r, &reason);

	MUST(err == 0 || (err == -EBADMSG && reason && *reason));
	MUST(err == 0 || !known);
	if (err)
		return;
	for (unsigned i = 0; i < READS; i++)
		read_at(r, &places[i], known);
	for (uint32_t i = 0; i < MIN(seekgz_header(r)->layout.groups, 3u); i++) {
		if (seekgz_header(r)->layout.stride_log2 == 0)
			read_chunk(r, i);
	}
	seekgz_close(r);
}

static void check_good(int fd, const struct seekgz_header *h, const struct seekgz_summary *s,
		       const struct plain *got, const uint8_t *gz, size_t len)
{
	struct seekgz_damage damage;
	struct plain wanted;
	struct sealed rec;

	plain_init(&wanted, LIMIT);
	MUST(plain_of_gzip(gz, len, &wanted));
	MUST(wanted.members == 1 && plain_same(got, &wanted));
	MUST(wanted.bytes == h->layout.raw_bytes && wanted.crc32 == s->crc32);
	MUST(memcmp(wanted.sha256, h->raw_sha256, SHA256_BYTES) == 0);
	MUST(s->gz_bytes == len);
	MUST(object_verify(fd, &rec, NULL, NULL, &damage) == 0);
	MUST(rec.part == h->part && rec.offset == h->offset && rec.crc32 == s->crc32);
	plain_release(&wanted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint8_t how = input_byte(&in);
	struct place places[READS];
	struct seekgz_summary summary = {0};
	struct seekgz_header header = {0};
	struct seekgz_damage damage = {0};
	struct plain got;
	int fd, err;

	for (unsigned i = 0; i < READS; i++) {
		unsigned shift = input_below(&in, 28);

		places[i].offset = (uint64_t)input_byte(&in) << shift;
		places[i].len = (size_t)input_u16(&in) * 8;
		places[i].len = MIN(places[i].len, READ_MAX);
	}
	CLEANUP_FREE uint8_t *gz = fuzz_copy(in.p, in.len);

	fix(gz, in.len, how);
	fd = memory_file(gz, in.len);
	plain_init(&got, LIMIT);
	err = seekgz_verify(fd, &header, &summary, plain_add, &got, &damage);
	plain_end(&got);
	MUST(err == 0 || err == -ECANCELED || (err == -EBADMSG && damage.reason));
	if (err == 0)
		check_good(fd, &header, &summary, &got, gz, in.len);
	seekgz_header_release(&header);
	read_some(fcntl(fd, F_DUPFD_CLOEXEC, 0), places, err ? NULL : &got);
	if (seekgz_header_read(fd, in.len, &header, &damage.reason) == 0) {
		MUST(got.bytes <= header.layout.raw_bytes);
		seekgz_header_release(&header);
	} else {
		MUST(got.bytes == 0);
	}
	plain_release(&got);
	close(fd);
	return 0;
}
