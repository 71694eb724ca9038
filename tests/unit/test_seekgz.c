/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whole objects: their shape, and reading them. What happens to damaged ones is in
 * test_seekgz_damage.c. With UNIT_QUICK set (valgrind) the objects of 64 MiB and more are left
 * out.
 */
#include <fcntl.h>

#include "tests/unit/random_reads.h"
#include "tests/unit/seekgz_build.h"
#include "tests/unit/unit.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define CHUNK ((uint64_t)SEEKGZ_CHUNK_BYTES)
#define GROUPS_MAX 1992

static struct seekgz_reader *open_object(int fd)
{
	struct seekgz_reader *r = NULL;
	const char *reason = NULL;
	int err = seekgz_open(fd, &r, &reason);

	if (err)
		printf("# seekgz_open: %s: %s\n", strerror(-err), reason ? reason : "");
	CHECK_EQ(err, 0);
	return r;
}

/* What verify's sink compares with. */
struct expected {
	const uint8_t *raw;
	uint64_t pos;
};

static int compare(void *ctx, const uint8_t *data, size_t len)
{
	struct expected *e = ctx;

	CHECK(memcmp(e->raw + e->pos, data, len) == 0);
	e->pos += len;
	return 0;
}

/* Verify the object, compare what it holds and what is said of it. */
static void check_whole(int fd, const uint8_t *raw, uint64_t raw_bytes)
{
	struct expected e = {.raw = raw};
	struct seekgz_header h;
	struct seekgz_summary s;
	struct stat st;

	CHECK_EQ(seekgz_verify(fd, &h, &s, compare, &e, NULL), 0);
	CHECK_EQ(e.pos, raw_bytes);
	CHECK_EQ(h.layout.raw_bytes, raw_bytes);
	CHECK_EQ(s.crc32, crc32_z(0, raw, raw_bytes));
	CHECK_EQ(io_fstat(fd, &st), 0);
	CHECK_EQ(s.gz_bytes, st.st_size);
	seekgz_header_release(&h);
}

static ssize_t read_object(void *reader, void *buf, size_t len, uint64_t pos)
{
	return seekgz_read(reader, buf, len, pos, NULL);
}

static struct random_reads reads_of(struct seekgz_reader *r, const uint8_t *raw,
				    uint64_t raw_bytes, int reads, size_t most)
{
	return (struct random_reads){read_object, r, raw, raw_bytes, reads, most};
}

static void the_layout_follows_from_the_length(void)
{
	static const struct {
		uint64_t raw_bytes, chunks;
		uint32_t groups, stride_log2, header_bytes;
	} want[] = {
	    {1, 1, 1, 0, 16 + 68},
	    {CHUNK, 1, 1, 0, 16 + 68},
	    {CHUNK + 1, 2, 2, 0, 16 + 76},
	    {64 * MIB - 1, 256, 256, 0, 16 + 60 + 8 * 256},
	    {64 * MIB, 256, 256, 0, 16012},
	    {GROUPS_MAX * CHUNK, GROUPS_MAX, GROUPS_MAX, 0, 16012},
	    {GROUPS_MAX * CHUNK + 1, GROUPS_MAX + 1, GROUPS_MAX / 2 + 1, 1, 16012},
	    {2 * GROUPS_MAX * CHUNK, 2 * GROUPS_MAX, GROUPS_MAX, 1, 16012},
	    {2 * GROUPS_MAX * CHUNK + 1, 2 * GROUPS_MAX + 1, GROUPS_MAX / 2 + 1, 2, 16012},
	    {SEEKGZ_RAW_MAX, 1 << 22, 1024, 12, 16012},
	};
	struct seekgz_layout layout;

	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		seekgz_layout(want[i].raw_bytes, &layout);
		CHECK_EQ(layout.raw_bytes, want[i].raw_bytes);
		CHECK_EQ(layout.chunks, want[i].chunks);
		CHECK_EQ(layout.groups, want[i].groups);
		CHECK_EQ(layout.stride_log2, want[i].stride_log2);
		CHECK_EQ(layout.header_bytes, want[i].header_bytes);
	}
}

static void chunks_and_groups_add_up_to_the_length(void)
{
	uint64_t lengths[] = {1, CHUNK, CHUNK + 1, 64 * MIB, GROUPS_MAX * CHUNK + 5};
	struct seekgz_layout layout;

	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		uint64_t chunks = 0, groups = 0;

		seekgz_layout(lengths[i], &layout);
		for (uint64_t c = 0; c < layout.chunks; c++)
			chunks += seekgz_chunk_bytes(&layout, c);
		for (uint32_t g = 0; g < layout.groups; g++)
			groups += seekgz_group_bytes(&layout, g);
		CHECK_EQ(chunks, lengths[i]);
		CHECK_EQ(groups, lengths[i]);
	}
}

static void the_header_is_written_as_the_format_says(void)
{
	struct seekgz_group group = {.gz_bytes = 0x01020304, .crc32 = 0x05060708};
	struct seekgz_header h = {.part = 7, .offset = 0x1122334455667788, .group = &group};
	static const uint8_t start[] = {
	    0x1f, 0x8b, 8,    4,    0, 0, 0, 0, 0, 255, 72,   0,    'N',  'P',
	    68,	  0,	1,    18,   0, 0, 7, 0, 0, 0,	0x88, 0x77, 0x66, 0x55,
	    0x44, 0x33, 0x22, 0x11, 3, 0, 0, 0, 0, 0,	0,    0};
	static const uint8_t end[] = {4, 3, 2, 1, 8, 7, 6, 5};
	uint8_t out[84 + 1] = {[84] = 0xa5};
	uint8_t copy[84];
	uint32_t crc;

	seekgz_layout(3, &h.layout);
	memset(h.raw_sha256, 0xcc, SHA256_BYTES);
	seekgz_header_encode(&h, out);
	CHECK(memcmp(out, start, sizeof(start)) == 0);
	for (size_t i = 0; i < SHA256_BYTES; i++)
		CHECK_EQ(out[40 + i], 0xcc);
	CHECK(memcmp(out + 76, end, sizeof(end)) == 0);
	CHECK_EQ(out[84], 0xa5);
	memcpy(copy, out, 84);
	memset(copy + 72, 0, 4);
	crc = (uint32_t)crc32_z(0, copy + 16, 68);
	CHECK_EQ(get_le32(out + 72), crc);
}

static void the_end_is_written_as_the_format_says(void)
{
	static const uint8_t want[] = {3, 0, 4, 3, 2, 1, 8, 7, 6, 5};
	uint8_t out[SEEKGZ_TRAILER_BYTES];

	seekgz_trailer_encode(0x01020304, 0xffffffff05060708, out);
	CHECK(memcmp(out, want, sizeof(want)) == 0);
}

static void the_header_comes_back_as_it_was_written(void)
{
	struct seekgz_recipe recipe = {
	    .codec = "zlib", .level = 1, .part = 999999999, .offset = 1ull << 61};
	uint8_t raw[1000], sha256[SHA256_BYTES];
	struct seekgz_reader *r;
	const struct seekgz_header *h;

	sample_text(raw, sizeof(raw), 5);
	r = open_object(seekgz_build_temporary(raw, sizeof(raw), &recipe));
	h = seekgz_header(r);
	EVP_Digest(raw, sizeof(raw), sha256, NULL, EVP_sha256(), NULL);
	CHECK_EQ(h->part, recipe.part);
	CHECK_EQ(h->offset, recipe.offset);
	CHECK(memcmp(h->raw_sha256, sha256, SHA256_BYTES) == 0);
	CHECK_EQ(h->group[0].crc32, crc32_z(0, raw, sizeof(raw)));
	seekgz_close(r);
}

/* Decompress with plain zlib, as gzip's readers do: one member, nothing behind it. */
static void check_gunzip(int fd, const uint8_t *raw, uint64_t raw_bytes)
{
	CLEANUP_FREE uint8_t *out = malloc(raw_bytes + 1);
	struct stat st;
	z_stream z = {0};
	uint8_t *gz;

	CHECK_EQ(io_fstat(fd, &st), 0);
	gz = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK_EQ(inflateInit2(&z, 31), Z_OK);
	z.next_in = gz;
	z.avail_in = (uInt)st.st_size;
	z.next_out = out;
	z.avail_out = (uInt)raw_bytes + 1;
	CHECK_EQ(inflate(&z, Z_FINISH), Z_STREAM_END);
	CHECK_EQ(z.avail_in, 0);
	CHECK_EQ(z.total_out, raw_bytes);
	CHECK(memcmp(out, raw, raw_bytes) == 0);
	inflateEnd(&z);
	munmap(gz, (size_t)st.st_size);
}

static void round_trip(uint64_t raw_bytes, void (*sample)(uint8_t *, size_t, uint64_t),
		       int reads)
{
	CLEANUP_FREE uint8_t *raw = malloc(raw_bytes);
	struct seekgz_recipe recipe = seekgz_default_recipe();
	struct seekgz_reader *r;
	int fd;

	recipe.level = raw_bytes > 2 * MIB ? 1 : 6;
	sample(raw, raw_bytes, raw_bytes);
	fd = seekgz_build_temporary(raw, raw_bytes, &recipe);
	check_whole(fd, raw, raw_bytes);
	check_gunzip(fd, raw, raw_bytes);
	r = open_object(fd);
	check_random_reads(reads_of(r, raw, raw_bytes, reads, 600 << 10));
	seekgz_close(r);
}

static void round_trips_at_every_size(void)
{
	static const uint64_t sizes[] = {1,	    2,
					 3,	    255 * KIB,
					 CHUNK - 1, CHUNK,
					 CHUNK + 1, 2 * CHUNK - 1,
					 2 * CHUNK, 2 * CHUNK + 1,
					 MIB + 7};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		round_trip(sizes[i], sample_text, 20);
		round_trip(sizes[i], sample_random, 20);
		round_trip(sizes[i], sample_mixed, 100);
	}
}

static void round_trips_around_the_length_of_the_reserved_field(void)
{
	if (getenv("UNIT_QUICK")) {
		SKIP("UNIT_QUICK");
		return;
	}
	round_trip(64 * MIB - 1, sample_zeroes, 10);
	round_trip(64 * MIB, sample_mixed, 100);
	round_trip(64 * MIB + 1, sample_zeroes, 10);
}

static void what_does_not_compress_grows_by_no_more_than_the_bound(void)
{
	const uint64_t raw_bytes = MIB;
	CLEANUP_FREE uint8_t *raw = malloc(raw_bytes);
	struct seekgz_recipe recipe = seekgz_default_recipe();
	struct seekgz_layout layout;
	struct stat st;
	int fd;

	sample_random(raw, raw_bytes, 4);
	fd = seekgz_build_temporary(raw, raw_bytes, &recipe);
	seekgz_layout(raw_bytes, &layout);
	CHECK_EQ(io_fstat(fd, &st), 0);
	CHECK_EQ(st.st_size,
		 layout.header_bytes + 4 * codec_bound(CHUNK) + SEEKGZ_TRAILER_BYTES);
	close(fd);
}

static void equal_bytes_give_equal_objects(void)
{
	CLEANUP_FREE uint8_t *raw = malloc(MIB);
	struct seekgz_recipe recipe = seekgz_default_recipe();
	struct seekgz_header h;
	struct seekgz_summary s[3];
	int fd;

	sample_mixed(raw, MIB, 4);
	for (int i = 0; i < 3; i++) {
		recipe.part = i < 2 ? 1 : 2;
		fd = seekgz_build_temporary(raw, MIB, &recipe);
		CHECK_EQ(seekgz_verify(fd, &h, &s[i], NULL, NULL, NULL), 0);
		seekgz_header_release(&h);
		close(fd);
	}
	CHECK(memcmp(s[0].sha256, s[1].sha256, SHA256_BYTES) == 0);
	CHECK(memcmp(s[0].sha256, s[2].sha256, SHA256_BYTES) != 0);
}

static void verify_hashes_the_file(void)
{
	const uint64_t raw_bytes = CHUNK + 100;
	CLEANUP_FREE uint8_t *raw = malloc(raw_bytes);
	CLEANUP_FREE uint8_t *gz = malloc(2 * raw_bytes);
	struct seekgz_recipe recipe = seekgz_default_recipe();
	uint8_t sha256[SHA256_BYTES];
	struct seekgz_header h;
	struct seekgz_summary s;
	ssize_t n;
	int fd;

	sample_mixed(raw, raw_bytes, 4);
	fd = seekgz_build_temporary(raw, raw_bytes, &recipe);
	n = io_pread(fd, gz, 2 * raw_bytes, 0);
	EVP_Digest(gz, (size_t)n, sha256, NULL, EVP_sha256(), NULL);
	CHECK_EQ(seekgz_verify(fd, &h, &s, NULL, NULL, NULL), 0);
	CHECK(memcmp(s.sha256, sha256, SHA256_BYTES) == 0);
	seekgz_header_release(&h);
	close(fd);
}

static int end_at_second(void *ctx, const uint8_t *data, size_t len)
{
	int *calls = ctx;

	return ++*calls == 2 ? 7 : 0;
}

static void a_sink_can_end_verification(void)
{
	CLEANUP_FREE uint8_t *raw = calloc(1, MIB);
	struct seekgz_recipe recipe = seekgz_default_recipe();
	struct seekgz_header h;
	struct seekgz_summary s;
	int calls = 0;
	int fd = seekgz_build_temporary(raw, MIB, &recipe);

	CHECK_EQ(seekgz_verify(fd, &h, &s, end_at_second, &calls, NULL), 7);
	CHECK_EQ(calls, 2);
	close(fd);
}

static void leaves_the_position_of_the_descriptor_alone(void)
{
	struct seekgz_recipe recipe = seekgz_default_recipe();
	struct seekgz_header h;
	struct seekgz_summary s;
	const char *reason;
	struct stat st;
	int fd = seekgz_build_temporary((const uint8_t *)"hello", 5, &recipe);

	CHECK_EQ(lseek(fd, 3, SEEK_SET), 3);
	CHECK_EQ(io_fstat(fd, &st), 0);
	CHECK_EQ(seekgz_header_read(fd, (uint64_t)st.st_size, &h, &reason), 0);
	CHECK(reason == NULL);
	seekgz_header_release(&h);
	CHECK_EQ(seekgz_verify(fd, &h, &s, NULL, NULL, NULL), 0);
	seekgz_header_release(&h);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 3);
	close(fd);
}

/* > 0.5 GiB of zeroes with something here and there: groups of two chunks. */
static void round_trips_with_groups_of_several_chunks(void)
{
	const uint64_t raw_bytes = (GROUPS_MAX + 8) * CHUNK + 7;
	struct seekgz_recipe recipe = {.codec = "auto", .level = 1, .part = 1};
	struct seekgz_reader *r;
	uint64_t seed = 1;
	uint8_t *raw;
	int fd;

	if (getenv("UNIT_QUICK")) {
		SKIP("UNIT_QUICK");
		return;
	}
	raw = mmap(NULL, raw_bytes, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	for (int i = 0; i < 200; i++)
		sample_random(raw + sample_below(&seed, raw_bytes - 100), 100, (uint64_t)i);
	sample_mixed(raw + 2 * CHUNK, 2 * CHUNK, 2);
	fd = seekgz_build_temporary(raw, raw_bytes, &recipe);
	check_whole(fd, raw, raw_bytes);
	r = open_object(fd);
	CHECK_EQ(seekgz_header(r)->layout.stride_log2, 1);
	check_random_reads(reads_of(r, raw, raw_bytes, 100, 1 << 20));
	seekgz_close(r);
	munmap(raw, raw_bytes);
}

/* A chunk that was read stays decompressed: what happens to its compressed bytes afterwards
 * does not matter until another chunk was read. */
static void small_reads_in_order_decompress_a_chunk_once(void)
{
	CLEANUP_FREE uint8_t *raw = malloc(MIB);
	struct seekgz_recipe recipe = seekgz_default_recipe();
	struct seekgz_reader *r;
	uint8_t byte;
	int fd;

	sample_random(raw, MIB, 6);
	fd = seekgz_build_temporary(raw, MIB, &recipe);
	r = open_object(dup(fd));
	CHECK_EQ(seekgz_read(r, &byte, 1, 0, NULL), 1);
	CHECK_EQ(io_pwrite(fd, "damage", 6, seekgz_header(r)->layout.header_bytes + 1000), 0);
	for (uint64_t pos = 0; pos < CHUNK; pos += 999) {
		CHECK_EQ(seekgz_read(r, &byte, 1, pos, NULL), 1);
		CHECK_EQ(byte, raw[pos]);
	}
	CHECK_EQ(seekgz_read(r, &byte, 1, CHUNK, NULL), 1);
	CHECK_EQ(seekgz_read(r, &byte, 1, 0, NULL), -EIO);
	seekgz_close(r);
	close(fd);
}

static void threads_can_share_a_reader(void)
{
	const uint64_t raw_bytes = MIB + 7;
	CLEANUP_FREE uint8_t *raw = malloc(raw_bytes);
	struct seekgz_recipe recipe = seekgz_default_recipe();
	struct random_reads each[4];
	struct seekgz_reader *r;

	sample_mixed(raw, raw_bytes, 8);
	r = open_object(seekgz_build_temporary(raw, raw_bytes, &recipe));
	for (size_t i = 0; i < ARRAY_LEN(each); i++)
		each[i] = reads_of(r, raw, raw_bytes, 40, 300 << 10);
	check_random_reads_at_once(each, ARRAY_LEN(each));
	seekgz_close(r);
}

static void closing_nothing_does_nothing(void)
{
	struct seekgz_header h = {0};

	seekgz_close(NULL);
	seekgz_header_release(&h);
}

int main(void)
{
	RUN(the_layout_follows_from_the_length);
	RUN(chunks_and_groups_add_up_to_the_length);
	RUN(the_header_is_written_as_the_format_says);
	RUN(the_end_is_written_as_the_format_says);
	RUN(the_header_comes_back_as_it_was_written);
	RUN(round_trips_at_every_size);
	RUN(round_trips_around_the_length_of_the_reserved_field);
	RUN(what_does_not_compress_grows_by_no_more_than_the_bound);
	RUN(equal_bytes_give_equal_objects);
	RUN(verify_hashes_the_file);
	RUN(a_sink_can_end_verification);
	RUN(leaves_the_position_of_the_descriptor_alone);
	RUN(round_trips_with_groups_of_several_chunks);
	RUN(small_reads_in_order_decompress_a_chunk_once);
	RUN(threads_can_share_a_reader);
	RUN(closing_nothing_does_nothing);
	return unit_done();
}
