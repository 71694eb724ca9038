/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Objects that nobody wrote by accident: headers that say something else under a right CRC, and
 * files that are no objects at all.
 */
#include <fcntl.h>

#include "tests/unit/seekgz_small.h"

#define MIB ((uint64_t)1 << 20)
#define CHUNK ((uint64_t)SEEKGZ_CHUNK_BYTES)
#define FIELD_POS 16 /* of the header's field */
#define GROUPS_POS (FIELD_POS + 60)

/* Put another value into the header and make the CRC of its field right again. */
static void forge(uint8_t *gz, size_t pos, uint64_t value, int bytes)
{
	uint32_t used = get_le16(gz + 14);

	for (int i = 0; i < bytes; i++)
		gz[pos + (size_t)i] = (uint8_t)(value >> 8 * i);
	memset(gz + FIELD_POS + 56, 0, 4);
	put_le32(gz + FIELD_POS + 56, (uint32_t)crc32_z(0, gz + FIELD_POS, used));
}

static void check_forged(size_t pos, uint64_t value, int bytes)
{
	uint8_t gz[sizeof(object)], sha256[SHA256_BYTES];
	int fd;

	memcpy(gz, object, object_len);
	forge(gz, pos, value, bytes);
	fd = put_object(gz, object_len);
	CHECK(!reads_right_or_not_at_all(fd));
	CHECK(!verifies(fd, sha256));
	close(fd);
}

static void refuses_forged_headers_with_the_right_crc(void)
{
	uint32_t gz_bytes;

	close(small_object(2000));
	gz_bytes = get_le32(object + GROUPS_POS);
	check_forged(FIELD_POS, 2, 1);
	check_forged(FIELD_POS + 1, 17, 1);
	check_forged(FIELD_POS + 2, 1, 1);
	check_forged(FIELD_POS + 3, 1, 1);
	check_forged(FIELD_POS + 4, 0, 4);
	check_forged(FIELD_POS + 8, INT64_MAX, 8);
	check_forged(FIELD_POS + 8, UINT64_MAX, 8);
	check_forged(FIELD_POS + 16, 0, 8);
	check_forged(FIELD_POS + 16, 1999, 8);
	check_forged(FIELD_POS + 16, 2001, 8);
	check_forged(FIELD_POS + 16, CHUNK + 1, 8);
	check_forged(FIELD_POS + 16, SEEKGZ_RAW_MAX, 8);
	check_forged(FIELD_POS + 16, SEEKGZ_RAW_MAX + 1, 8);
	check_forged(FIELD_POS + 16, UINT64_MAX, 8);
	check_forged(GROUPS_POS, 0, 4);
	check_forged(GROUPS_POS, gz_bytes - 1, 4);
	check_forged(GROUPS_POS, gz_bytes + 1, 4);
	check_forged(GROUPS_POS, UINT32_MAX, 4);
	check_forged(GROUPS_POS + 4, 0, 4);
}

static void refuses_a_forged_sha_256_of_the_content_when_verifying(void)
{
	uint8_t sha256[SHA256_BYTES];
	int fd;

	close(small_object(2000));
	forge(object, FIELD_POS + 24, 0, 8);
	fd = put_object(object, object_len);
	CHECK(reads_right_or_not_at_all(fd));
	CHECK(!verifies(fd, sha256));
	close(fd);
}

/* Two chunks, the border between them shifted by one byte. */
static void refuses_groups_that_meet_in_the_wrong_place(void)
{
	CLEANUP_FREE uint8_t *raw = calloc(1, 2 * CHUNK), *gz = malloc(CHUNK);
	struct seekgz_recipe recipe = seekgz_default_recipe();
	struct seekgz_summary s;
	struct seekgz_reader *r;
	struct seekgz_header h;
	const char *reason;
	size_t len;
	int fd;

	fd = seekgz_build_temporary(raw, 2 * CHUNK, &recipe);
	len = object_bytes(fd);
	read_object(fd, gz, len);
	for (int shift = -1; shift <= 1; shift += 2) {
		uint32_t first = get_le32(gz + GROUPS_POS),
			 second = get_le32(gz + GROUPS_POS + 8);

		forge(gz, GROUPS_POS, first + (uint32_t)shift, 4);
		forge(gz, GROUPS_POS + 8, second - (uint32_t)shift, 4);
		CHECK_EQ(io_pwrite(fd, gz, len, 0), 0);
		CHECK_EQ(seekgz_open(dup(fd), &r, &reason), 0);
		CHECK_EQ(seekgz_read(r, raw, 1, 0, NULL), -EIO);
		CHECK_EQ(seekgz_read(r, raw, 1, CHUNK, NULL), -EIO);
		seekgz_close(r);
		CHECK_EQ(seekgz_verify(fd, &h, &s, NULL, NULL, NULL), -EBADMSG);
		forge(gz, GROUPS_POS, first, 4);
		forge(gz, GROUPS_POS + 8, second, 4);
	}
	close(fd);
}

/* A second flush behind the last chunk: any gzip would read it, but we would not write it. Reading
 * may let it pass: the bytes are the right ones. */
static void refuses_anything_between_the_last_chunk_and_the_end_when_verifying(void)
{
	uint8_t sha256[SHA256_BYTES];
	int fd;

	close(small_object(2000));
	memmove(object + object_len - 5, object + object_len - 10, 10);
	memcpy(object + object_len - 10, "\0\0\0\xff\xff", 5);
	object_len += 5;
	forge(object, GROUPS_POS, get_le32(object + GROUPS_POS) + 5, 4);
	fd = put_object(object, object_len);
	reads_right_or_not_at_all(fd);
	CHECK(!verifies(fd, sha256));
	close(fd);
}

static int append(void *ctx, const uint8_t *data, size_t len)
{
	const int *fd = ctx;

	return io_pwrite(*fd, "x", 1, object_len);
}

static void notices_a_file_that_grows_while_it_is_verified(void)
{
	struct seekgz_damage damage;
	struct seekgz_summary s;
	struct seekgz_header h;
	int fd = small_object(2000);

	CHECK_EQ(seekgz_verify(fd, &h, &s, append, &fd, &damage), -EBADMSG);
	CHECK_EQ(damage.gz_offset, object_len - SEEKGZ_TRAILER_BYTES);
	close(fd);
}

/* Read back a header of this length whose groups have this many bytes each. */
static int read_header_of(uint64_t raw_bytes, uint32_t group_bytes, const char **reason)
{
	struct seekgz_header h = {.part = 1};
	CLEANUP_FREE uint8_t *p = NULL;
	uint64_t gz_bytes;
	int fd, err;

	seekgz_layout(raw_bytes, &h.layout);
	h.group = calloc(h.layout.groups + 1, sizeof(*h.group));
	for (uint32_t i = 0; i < h.layout.groups; i++)
		h.group[i].gz_bytes = group_bytes;
	p = malloc(h.layout.header_bytes);
	seekgz_header_encode(&h, p);
	seekgz_header_release(&h);
	gz_bytes = h.layout.header_bytes + (uint64_t)h.layout.groups * group_bytes +
		   SEEKGZ_TRAILER_BYTES;
	fd = put_object(p, h.layout.header_bytes);
	err = seekgz_header_read(fd, gz_bytes, &h, reason);
	if (!err)
		seekgz_header_release(&h);
	close(fd);
	return err;
}

static void takes_lengths_from_1_byte_to_1_tebibyte(void)
{
	const char *reason;

	CHECK_EQ(read_header_of(0, 1, &reason), -EBADMSG);
	CHECK_EQ(read_header_of(1, 1, &reason), 0);
	CHECK_EQ(read_header_of(SEEKGZ_RAW_MAX, 1, &reason), 0);
	CHECK_EQ(read_header_of(SEEKGZ_RAW_MAX + 1, 1, &reason), -EBADMSG);
	CHECK_STR(reason, "its header has an impossible length");
}

static void refuses_a_group_that_is_larger_than_it_can_be(void)
{
	const char *reason;
	uint32_t bound = (uint32_t)codec_bound(CHUNK);

	CHECK_EQ(read_header_of(4 * CHUNK, bound + 6, &reason), -EBADMSG);
	CHECK_STR(reason, "its header has an impossible group");
	CHECK_EQ(read_header_of(4 * CHUNK, bound, &reason), 0);
}

static void refuses_a_header_cut_short(void)
{
	struct seekgz_header h;
	const char *reason;
	int fd = small_object(2000);

	for (uint64_t len = 0; len < GROUPS_POS + 8; len++) {
		CHECK_EQ(seekgz_header_read(fd, len, &h, &reason), -EBADMSG);
		CHECK_STR(reason, len < GROUPS_POS ? "it is too short for a sealed object"
						   : "its header is cut short");
	}
	close(fd);
}

static void refuses_bytes_in_the_reserved_field(void)
{
	CLEANUP_FREE uint8_t *raw = calloc(1, 64 * MIB);
	struct seekgz_recipe recipe = {.codec = "auto", .level = 1, .part = 1};
	struct seekgz_header h;
	const char *reason;
	size_t len, used = FIELD_POS + 60 + 8 * 256;
	int fd = seekgz_build_temporary(raw, 64 * MIB, &recipe);

	len = object_bytes(fd);
	for (size_t pos = used; pos < 16012; pos += 16011 - used) {
		CHECK_EQ(io_pwrite(fd, "x", 1, pos), 0);
		CHECK_EQ(seekgz_header_read(fd, len, &h, &reason), -EBADMSG);
		CHECK_STR(reason, "its header has something in its reserved bytes");
		CHECK_EQ(io_pwrite(fd, "", 1, pos), 0);
	}
	CHECK_EQ(seekgz_header_read(fd, len, &h, &reason), 0);
	seekgz_header_release(&h);
	close(fd);
}

static void refuses_what_is_no_object_and_closes_it(void)
{
	static const char *const contents[] = {"", "x", "\x1f\x8b",
					       "\x1f\x8b\x08\x04 this begins like a gzip file "
					       "with an extra field, but is none, and "
					       "it is long enough to hold a header"};
	struct seekgz_reader *r;
	const char *reason;

	for (size_t i = 0; i < ARRAY_LEN(contents); i++) {
		int fd = put_object((const uint8_t *)contents[i], strlen(contents[i]));

		CHECK_EQ(seekgz_open(fd, &r, &reason), -EBADMSG);
		CHECK(reason != NULL);
		CHECK_EQ(fcntl(fd, F_GETFD), -1);
	}
}

static void forwards_an_error_of_the_file(void)
{
	struct seekgz_damage damage = {0};
	struct seekgz_summary s;
	struct seekgz_header h;
	struct seekgz_reader *r;
	const char *reason;
	int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	CHECK_EQ(seekgz_verify(fd, &h, &s, NULL, NULL, &damage), -EISDIR);
	CHECK_EQ(seekgz_open(fd, &r, &reason), -EISDIR);
	CHECK(reason == NULL);
	CHECK_EQ(seekgz_open(-1, &r, &reason), -EBADF);
}

int main(void)
{
	RUN(refuses_forged_headers_with_the_right_crc);
	RUN(refuses_a_forged_sha_256_of_the_content_when_verifying);
	RUN(refuses_groups_that_meet_in_the_wrong_place);
	RUN(refuses_anything_between_the_last_chunk_and_the_end_when_verifying);
	RUN(notices_a_file_that_grows_while_it_is_verified);
	RUN(takes_lengths_from_1_byte_to_1_tebibyte);
	RUN(refuses_a_group_that_is_larger_than_it_can_be);
	RUN(refuses_a_header_cut_short);
	RUN(refuses_bytes_in_the_reserved_field);
	RUN(refuses_what_is_no_object_and_closes_it);
	RUN(forwards_an_error_of_the_file);
	return unit_done();
}
