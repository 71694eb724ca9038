/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Damaged objects: a read gives the right bytes or an error, never wrong bytes; verify fails.
 * Forged ones are in test_seekgz_forged.c. With UNIT_QUICK set (valgrind) the object of more
 * than 0.5 GiB is left out.
 */
#include "tests/unit/seekgz_small.h"

#define CHUNK ((uint64_t)SEEKGZ_CHUNK_BYTES)

static bool flip_bit(int fd, size_t bit, const uint8_t *good_sha256)
{
	uint8_t byte = object[bit / 8] ^ (uint8_t)(1 << bit % 8);
	uint8_t sha256[SHA256_BYTES];
	bool passed;

	CHECK_EQ(io_pwrite(fd, &byte, 1, bit / 8), 0);
	reads_right_or_not_at_all(fd);
	passed = verifies(fd, sha256);
	CHECK(!passed || memcmp(sha256, good_sha256, SHA256_BYTES) != 0);
	CHECK_EQ(io_pwrite(fd, &object[bit / 8], 1, bit / 8), 0);
	return passed;
}

static void check_every_bit(int fd)
{
	uint8_t sha256[SHA256_BYTES];
	size_t header_bytes = 12 + get_le16(object + 10);
	size_t body_end = object_len - SEEKGZ_TRAILER_BYTES, passed = 0;

	CHECK(verifies(fd, sha256));
	CHECK(reads_right_or_not_at_all(fd));
	for (size_t bit = 0; bit < object_len * 8; bit++) {
		bool ok = flip_bit(fd, bit, sha256);

		/* Header, end, and the flush between them leave no room for two spellings. */
		if (bit / 8 < header_bytes || bit / 8 >= body_end - 4)
			CHECK(!ok);
		passed += ok;
	}
	if (passed > 0)
		printf("# %zu flipped bits of %zu changed nothing but the object's SHA-256\n",
		       passed, object_len * 8);
	CHECK(passed < object_len / 100);
	close(fd);
}

static void notices_every_flipped_bit(void)
{
	check_every_bit(small_object(sizeof(plain)));
	CHECK(object_len > 2500);
}

static void notices_every_flipped_bit_of_a_stored_chunk(void)
{
	struct seekgz_recipe recipe = seekgz_default_recipe();
	uint8_t sha256[SHA256_BYTES];
	int fd;

	plain_bytes = 500;
	sample_random(plain, plain_bytes, 1);
	fd = seekgz_build_temporary(plain, plain_bytes, &recipe);
	object_len = object_bytes(fd);
	read_object(fd, object, object_len);
	CHECK(verifies(fd, sha256));
	for (size_t bit = 0; bit < object_len * 8; bit++)
		CHECK(!flip_bit(fd, bit, sha256));
	close(fd);
}

static void notices_every_truncation(void)
{
	int fd = small_object(sizeof(plain));
	uint8_t sha256[SHA256_BYTES];

	for (size_t len = object_len; len-- > 0;) {
		CHECK_EQ(ftruncate(fd, (off_t)len), 0);
		CHECK(!reads_right_or_not_at_all(fd));
		CHECK(!verifies(fd, sha256));
	}
	close(fd);
}

static void notices_anything_behind_the_end(void)
{
	uint8_t sha256[SHA256_BYTES];
	int fd = small_object(100);

	CHECK_EQ(io_pwrite(fd, "", 1, object_len), 0);
	CHECK(!reads_right_or_not_at_all(fd));
	CHECK(!verifies(fd, sha256));
	/* A second member. */
	CHECK_EQ(io_pwrite(fd, object, object_len, object_len), 0);
	CHECK(!reads_right_or_not_at_all(fd));
	CHECK(!verifies(fd, sha256));
	close(fd);
}

/* The object is cut short while a reader has it open. */
static void notices_a_truncation_under_a_reader(void)
{
	struct seekgz_damage damage;
	struct seekgz_reader *r;
	const char *reason;
	uint8_t byte;
	int fd = small_object(3000);

	CHECK_EQ(seekgz_open(dup(fd), &r, &reason), 0);
	CHECK_EQ(ftruncate(fd, 200), 0);
	CHECK_EQ(seekgz_read(r, &byte, 1, 0, &damage), -EIO);
	CHECK_STR(damage.reason, "the object is cut short");
	seekgz_close(r);
	close(fd);
}

/* Five chunks and a bit that do not compress: damage one and look at the others. */
static void damage_in_one_chunk_leaves_the_others_readable(void)
{
	const uint64_t raw_bytes = 5 * CHUNK + 100, stored = codec_bound(CHUNK);
	CLEANUP_FREE uint8_t *raw = malloc(raw_bytes), *buf = malloc(raw_bytes);
	struct seekgz_recipe recipe = seekgz_default_recipe();
	struct seekgz_damage damage = {0}, verified = {0};
	struct seekgz_summary s;
	struct seekgz_reader *r;
	struct seekgz_header h;
	const char *reason;
	uint64_t gz_pos;
	int fd;

	sample_random(raw, raw_bytes, 2);
	fd = seekgz_build_temporary(raw, raw_bytes, &recipe);
	CHECK_EQ(seekgz_open(dup(fd), &r, &reason), 0);
	gz_pos = seekgz_header(r)->layout.header_bytes + 2 * stored;
	CHECK_EQ(io_pwrite(fd, "damage", 6, gz_pos + 70000), 0);

	CHECK_EQ(seekgz_read(r, buf, 1, 2 * CHUNK + 5, &damage), -EIO);
	CHECK_EQ(damage.raw_offset, 2 * CHUNK);
	CHECK_EQ(damage.gz_offset, gz_pos);
	CHECK_STR(damage.reason, "a CRC is wrong");
	CHECK_EQ(seekgz_read(r, buf, 1, 2 * CHUNK + 5, NULL), -EIO);
	CHECK_EQ(seekgz_read(r, buf, raw_bytes, 0, NULL), 2 * CHUNK);
	CHECK(memcmp(buf, raw, 2 * CHUNK) == 0);
	CHECK_EQ(seekgz_read(r, buf, CHUNK, 2 * CHUNK - 1, NULL), 1);
	CHECK_EQ(buf[0], raw[2 * CHUNK - 1]);
	CHECK_EQ(seekgz_read(r, buf, raw_bytes, 3 * CHUNK, NULL), 2 * CHUNK + 100);
	CHECK(memcmp(buf, raw + 3 * CHUNK, 2 * CHUNK + 100) == 0);
	seekgz_close(r);

	CHECK_EQ(seekgz_verify(fd, &h, &s, NULL, NULL, &verified), -EBADMSG);
	CHECK_EQ(verified.raw_offset, 2 * CHUNK);
	CHECK_EQ(verified.gz_offset, gz_pos);
	close(fd);
}

/* An object of zeroes with groups of two chunks; fd, and where group 3 starts and ends. */
static int large_object(uint64_t *start, uint64_t *end)
{
	const uint64_t raw_bytes = 1993 * CHUNK;
	struct seekgz_recipe recipe = {.codec = "auto", .level = 1, .part = 1};
	uint8_t *raw = mmap(NULL, raw_bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct seekgz_header h;
	const char *reason;
	int fd;

	sample_random(raw + 6 * CHUNK, 2 * CHUNK, 1);
	fd = seekgz_build_temporary(raw, raw_bytes, &recipe);
	munmap(raw, raw_bytes);
	CHECK_EQ(seekgz_header_read(fd, object_bytes(fd), &h, &reason), 0);
	CHECK_EQ(h.layout.stride_log2, 1);
	*start = h.layout.header_bytes;
	for (int i = 0; i < 3; i++)
		*start += h.group[i].gz_bytes;
	*end = *start + h.group[3].gz_bytes;
	seekgz_header_release(&h);
	return fd;
}

static void a_group_of_several_chunks_is_checked_before_a_byte_is_given_out(void)
{
	struct seekgz_damage damage;
	struct seekgz_reader *r;
	const char *reason;
	uint64_t start, end, second;
	uint8_t byte, good, zeroes[64], again[64];
	int fd;

	if (getenv("UNIT_QUICK")) {
		SKIP("UNIT_QUICK");
		return;
	}
	fd = large_object(&start, &end);
	second = start + codec_bound(CHUNK);
	CHECK_EQ(end, second + codec_bound(CHUNK));
	CHECK_EQ(io_pread(fd, &good, 1, second + 1000), 1);
	byte = (uint8_t)~good;
	CHECK_EQ(io_pwrite(fd, &byte, 1, second + 1000), 0);
	CHECK_EQ(seekgz_open(dup(fd), &r, &reason), 0);
	CHECK_EQ(seekgz_read(r, zeroes, 64, 8 * CHUNK, NULL), 64);
	CHECK_EQ(seekgz_read(r, &byte, 1, 6 * CHUNK, &damage), -EIO);
	CHECK_EQ(damage.raw_offset, 6 * CHUNK);
	CHECK_EQ(damage.gz_offset, start);
	/* The walk that failed left nothing behind that is taken for something else. */
	CHECK_EQ(seekgz_read(r, again, 64, 8 * CHUNK, NULL), 64);
	CHECK(memcmp(again, zeroes, 64) == 0);
	CHECK_EQ(seekgz_read(r, &byte, 1, 6 * CHUNK, NULL), -EIO);
	CHECK_EQ(seekgz_read(r, again, 64, 9 * CHUNK, NULL), 64);
	CHECK(memcmp(again, zeroes, 64) == 0);
	CHECK_EQ(seekgz_read(r, &byte, 1, 6 * CHUNK - 1, NULL), 1);
	/* Healed; read, so that the index knows the group; damaged again. */
	CHECK_EQ(io_pwrite(fd, &good, 1, second + 1000), 0);
	CHECK_EQ(seekgz_read(r, &byte, 1, 6 * CHUNK, NULL), 1);
	byte = (uint8_t)~good;
	CHECK_EQ(io_pwrite(fd, &byte, 1, second + 1000), 0);
	CHECK_EQ(seekgz_read(r, &byte, 1, 7 * CHUNK - 1, NULL), 1);
	CHECK_EQ(seekgz_read(r, &byte, 1, 7 * CHUNK, &damage), -EIO);
	CHECK_EQ(damage.raw_offset, 7 * CHUNK);
	CHECK_EQ(damage.gz_offset, second);
	seekgz_close(r);
	close(fd);
}

int main(void)
{
	RUN(notices_every_flipped_bit);
	RUN(notices_every_flipped_bit_of_a_stored_chunk);
	RUN(notices_every_truncation);
	RUN(notices_anything_behind_the_end);
	RUN(notices_a_truncation_under_a_reader);
	RUN(damage_in_one_chunk_leaves_the_others_readable);
	RUN(a_group_of_several_chunks_is_checked_before_a_byte_is_given_out);
	return unit_done();
}
