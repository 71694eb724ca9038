/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checking whole gzip files: which are good, and what is said of those that are not.
 */
#include "tests/unit/gzfile_kit.h"

static uint8_t raw[600 << 10];

/* It is good, and holds these bytes. */
static void check_good(const struct gz *gz, const uint8_t *want, size_t len, uint64_t members)
{
	struct expected e = {.raw = want, .len = len};
	uint8_t sha256[SHA256_BYTES];
	struct seekgz_damage damage;
	struct gzfile_summary s = {0};
	int fd = gz_file(gz);

	CHECK_EQ(gzfile_verify(fd, &s, compare, &e, &damage), 0);
	CHECK(damage.reason == NULL);
	CHECK_EQ(e.pos, len);
	CHECK_EQ(s.raw_bytes, len);
	CHECK_EQ(s.gz_bytes, gz->len);
	CHECK_EQ(s.members, members);
	CHECK_EQ(s.crc32, crc32_z(0, want, len));
	EVP_Digest(gz->p, gz->len, sha256, NULL, EVP_sha256(), NULL);
	CHECK(memcmp(s.sha256, sha256, SHA256_BYTES) == 0);
	EVP_Digest(want, len, sha256, NULL, EVP_sha256(), NULL);
	CHECK(memcmp(s.raw_sha256, sha256, SHA256_BYTES) == 0);
	close(fd);
}

/* It is refused for this reason, at this offset. */
static void check_bad(const struct gz *gz, const char *reason, uint64_t gz_offset)
{
	struct seekgz_damage damage = {0};
	struct gzfile_summary s;
	int fd = gz_file(gz);

	CHECK_EQ(gzfile_verify(fd, &s, NULL, NULL, &damage), -EBADMSG);
	CHECK_STR(damage.reason ? damage.reason : "", reason);
	CHECK_EQ(damage.gz_offset, gz_offset);
	CHECK_EQ(gzfile_verify(fd, &s, NULL, NULL, NULL), -EBADMSG);
	close(fd);
}

static void takes_what_zlib_writes(void)
{
	static const size_t lengths[] = {0,	     1, 2, 32768, 256 << 10, (256 << 10) + 1,
					 sizeof(raw)};
	static const struct member kinds[] = {
	    {.level = 0, .mem_level = 8},
	    {.level = 1, .mem_level = 8},
	    {.level = 6, .mem_level = 8},
	    {.level = 9, .mem_level = 9},
	    {.level = 9, .mem_level = 1},
	    {.level = 6, .mem_level = 8, .strategy = Z_FIXED},
	    {.level = 6, .mem_level = 8, .strategy = Z_HUFFMAN_ONLY},
	};
	struct gz gz = {0};

	sample_mixed(raw, sizeof(raw), 1);
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
			gz.len = 0;
			gz_member(&gz, raw, lengths[i], &kinds[k]);
			check_good(&gz, raw, lengths[i], 1);
		}
	}
	gz_release(&gz);
}

static void takes_every_field_of_a_header(void)
{
	struct member m = usual;
	struct gz gz = {0};

	sample_text(raw, 1000, 2);
	for (unsigned flags = 0; flags < 32; flags++) {
		m.flags = (uint8_t)flags;
		gz.len = 0;
		gz_member(&gz, raw, 1000, &m);
		check_good(&gz, raw, 1000, 1);
	}
	gz_release(&gz);
}

static void takes_names_and_fields_longer_than_its_buffers(void)
{
	CLEANUP_FREE uint8_t *name = malloc(200 << 10);
	uint8_t head[12] = {0x1f, 0x8b, 8, FEXTRA | FNAME, [10] = 0xff, [11] = 0xff};
	struct gz gz = {0};

	memset(name, 'n', 200 << 10);
	name[(200 << 10) - 1] = 0;
	gz_add(&gz, head, sizeof(head));
	gz_add(&gz, name, 65535);
	gz_add(&gz, name, 200 << 10);
	gz_deflate(&gz, raw, 100, &usual);
	gz_trailer(&gz, (uint32_t)crc32_z(0, raw, 100), 100);
	check_good(&gz, raw, 100, 1);
	gz_release(&gz);
}

static void takes_members_one_after_the_other(void)
{
	struct gz gz = {0};
	size_t done = 0, n = 0;

	sample_mixed(raw, sizeof(raw), 3);
	for (; n < 100; n++) {
		struct member m = {.level = (int)n % 10, .mem_level = 8, .flags = n % 32};

		gz_member(&gz, raw + done, n % 7 * 900, &m);
		done += n % 7 * 900;
	}
	check_good(&gz, raw, done, n);
	gz_release(&gz);
}

static void takes_members_without_content(void)
{
	struct gz gz = {0};

	gz_member(&gz, raw, 0, &usual);
	check_good(&gz, raw, 0, 1);
	gz_member(&gz, raw, 0, &usual);
	check_good(&gz, raw, 0, 2);
	gz_member(&gz, raw, 10, &usual);
	gz_member(&gz, raw, 0, &usual);
	check_good(&gz, raw, 10, 4);
	gz_release(&gz);
}

static void takes_zeroes_behind_the_end(void)
{
	CLEANUP_FREE uint8_t *zeroes = calloc(1, 200 << 10);
	struct gz gz = {0};

	gz_member(&gz, raw, 1000, &usual);
	gz_add(&gz, zeroes, 1);
	check_good(&gz, raw, 1000, 1);
	gz_add(&gz, zeroes, 200 << 10);
	check_good(&gz, raw, 1000, 1);
	gz_release(&gz);
}

/* Blocks of any length, whose ends lie at any bit. */
static void takes_fixed_blocks_of_any_length(void)
{
	static const size_t blocks[] = {1, 2, 3, 100, 5000, 0};
	struct gz gz = {0};

	sample_mixed(raw, sizeof(raw), 4);
	for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
		gz.len = 0;
		gz_fixed_member(&gz, raw, 100 << 10, blocks[i]);
		check_good(&gz, raw, 100 << 10, 1);
	}
	gz_release(&gz);
}

static void refuses_bytes_behind_the_end(void)
{
	static const char *const garbage[] = {"x", "\x1f", "\x1fx", "\x1e\x8b", "garbage"};
	struct gz gz = {0};

	gz_member(&gz, raw, 1000, &usual);
	for (size_t i = 0, end = gz.len; i < ARRAY_LEN(garbage); i++) {
		bool half = strcmp(garbage[i], "\x1f") == 0;

		gz.len = end;
		gz_add(&gz, garbage[i], strlen(garbage[i]));
		check_bad(&gz, half ? "it is cut short" : "there are bytes behind its end",
			  end + (garbage[i][0] == '\x1f' ? strlen(garbage[i]) : 0));
	}
	gz_release(&gz);
}

static void refuses_anything_behind_zeroes(void)
{
	struct gz gz = {0};
	size_t end;

	gz_member(&gz, raw, 1000, &usual);
	gz_add(&gz, "\0\0\0", 3);
	end = gz.len;
	gz_add(&gz, "x", 1);
	check_bad(&gz, "there are bytes behind its end", end);
	gz.len = end;
	gz_member(&gz, raw, 1000, &usual);
	check_bad(&gz, "there are bytes behind its end", end);
	gz_release(&gz);
}

static void refuses_what_is_no_gzip_file(void)
{
	struct gz gz = {0};

	gz_add(&gz, "", 0);
	check_bad(&gz, "it is not a gzip file: it is empty", 0);
	gz_add(&gz, "BZh91AY&SY", 10);
	check_bad(&gz, "it is not a gzip file", 0);
	gz.len = 0;
	gz_add(&gz, "\0\0\0\0", 4);
	check_bad(&gz, "it is not a gzip file", 0);
	gz.len = 0;
	gz_add(&gz, "\x1f\x9d\x90", 3); /* compress(1) */
	check_bad(&gz, "it is not a gzip file", 2);
	gz_release(&gz);
}

static void refuses_headers_it_does_not_know(void)
{
	struct gz gz = {0};

	gz_member(&gz, raw, 1000, &usual);
	gz.p[2] = 7;
	check_bad(&gz, "it is compressed with an unknown method", 10);
	gz.p[2] = 8;
	for (unsigned bit = 5; bit < 8; bit++) {
		gz.p[3] = (uint8_t)(1 << bit);
		check_bad(&gz, "a header has flags of an unknown meaning", 10);
	}
	gz_release(&gz);
}

static void refuses_a_wrong_crc_of_a_header(void)
{
	struct member m = usual;
	struct gz gz = {0};

	m.flags = FHCRC | FNAME;
	gz_member(&gz, raw, 1000, &m);
	gz.p[12] ^= 1;
	check_bad(&gz, "the CRC of a header is wrong", 19);
	gz_release(&gz);
}

static void refuses_a_wrong_end(void)
{
	struct gz gz = {0};

	gz_member(&gz, raw, 500, &usual);
	gz_member(&gz, raw, 1000, &usual);
	gz.p[gz.len - 8] ^= 1;
	check_bad(&gz, "its CRC-32 is wrong", gz.len);
	gz.p[gz.len - 8] ^= 1;
	gz.p[gz.len - 1] ^= 1;
	check_bad(&gz, "its length is not what its end says", gz.len);
	gz.len -= 3;
	check_bad(&gz, "it is cut short", gz.len);
	gz_release(&gz);
}

/* A file of members, each of which counts modulo 2^32. */
static void adds_up_more_than_4_gib(void)
{
	const size_t member_bytes = 256 * MIB;
	CLEANUP_FREE uint8_t *zeroes = calloc(1, member_bytes);
	struct member m = {.level = 1, .mem_level = 8};
	struct gzfile_summary s;
	struct gz one = {0}, gz = {0};
	int fd;

	if (getenv("UNIT_QUICK")) {
		SKIP("UNIT_QUICK");
		return;
	}
	gz_member(&one, zeroes, member_bytes, &m);
	for (int i = 0; i < 17; i++)
		gz_add(&gz, one.p, one.len);
	fd = gz_file(&gz);
	CHECK_EQ(gzfile_verify(fd, &s, NULL, NULL, NULL), 0);
	CHECK_EQ(s.raw_bytes, 17 * (uint64_t)member_bytes);
	CHECK_EQ(s.members, 17);
	close(fd);
	gz_release(&one);
	gz_release(&gz);
}

static int end_at_second(void *ctx, const uint8_t *data, size_t len)
{
	int *calls = ctx;

	return ++*calls == 2 ? 7 : 0;
}

static void a_sink_can_end_it(void)
{
	struct seekgz_damage damage;
	struct gzfile_summary s;
	struct gz gz = {0};
	int calls = 0, fd;

	gz_member(&gz, raw, sizeof(raw), &usual);
	fd = gz_file(&gz);
	CHECK_EQ(gzfile_verify(fd, &s, end_at_second, &calls, &damage), 7);
	CHECK_EQ(calls, 2);
	CHECK(damage.reason == NULL);
	close(fd);
	gz_release(&gz);
}

static void says_that_a_file_cannot_be_read(void)
{
	struct seekgz_damage damage;
	struct gzfile_summary s;
	int fd = open("/", O_RDONLY | O_CLOEXEC);

	CHECK_EQ(gzfile_verify(fd, &s, NULL, NULL, &damage), -EISDIR);
	CHECK_STR(damage.reason, "it cannot be read");
	close(fd);
}

static void leaves_the_position_of_the_descriptor_alone(void)
{
	struct gzfile_summary s;
	struct gz gz = {0};
	int fd;

	gz_member(&gz, raw, 1000, &usual);
	fd = gz_file(&gz);
	CHECK_EQ(lseek(fd, 5, SEEK_SET), 5);
	CHECK_EQ(gzfile_verify(fd, &s, NULL, NULL, NULL), 0);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
	close(fd);
	gz_release(&gz);
}

/* Three members with every kind of field and block. */
static size_t small_file(struct gz *gz)
{
	struct member m = {
	    .level = 9, .mem_level = 8, .flags = FHCRC | FEXTRA | FNAME | FCOMMENT};
	struct member stored = {.level = 0, .mem_level = 8};

	sample_text(raw, 3000, 5);
	gz_member(gz, raw, 2000, &m);
	gz_member(gz, raw + 2000, 100, &stored);
	gz_fixed_member(gz, raw + 2100, 900, 300);
	return 3000;
}

/* Only a file that ends between members is good, as one of fewer. */
static void notices_every_truncation(void)
{
	struct gz gz = {0};
	size_t len = small_file(&gz), good = 0;
	struct expected e = {.raw = raw, .len = len};
	struct gzfile_summary s;

	while (gz.len-- > 0) {
		int fd = gz_file(&gz), err;

		e.pos = 0;
		err = gzfile_verify(fd, &s, compare, &e, NULL);
		CHECK(err == 0 || err == -EBADMSG);
		CHECK(err || s.raw_bytes == 2000 || s.raw_bytes == 2100);
		good += !err;
		close(fd);
	}
	CHECK_EQ(good, 2);
	gz_release(&gz);
}

/* What is said to be good holds the right bytes: MTIME, OS, XFL and the bits before a stored
 * block mean nothing, and deflate can rarely say the same in two ways. */
static void notices_every_flipped_bit(void)
{
	struct gz gz = {0};
	size_t len = small_file(&gz), good = 0;
	struct expected e = {.raw = raw, .len = len};
	struct gzfile_summary s;
	int fd = gz_file(&gz);

	for (size_t bit = 0; bit < gz.len * 8; bit++) {
		uint8_t byte = gz.p[bit / 8] ^ (uint8_t)(1 << bit % 8);
		int err;

		e.pos = 0;
		CHECK_EQ(io_pwrite(fd, &byte, 1, bit / 8), 0);
		err = gzfile_verify(fd, &s, compare, &e, NULL);
		CHECK_EQ(io_pwrite(fd, &gz.p[bit / 8], 1, bit / 8), 0);
		CHECK(err == 0 || err == -EBADMSG || err == -ESTALE);
		CHECK(err || s.raw_bytes == len);
		good += !err;
	}
	printf("# %zu flipped bits of %zu changed no plain byte\n", good, gz.len * 8);
	CHECK(good < 150);
	close(fd);
	gz_release(&gz);
}

/* Noise behind a good header: an error, and no crash. */
static void refuses_noise(void)
{
	struct gzfile_summary s;
	struct gz gz = {0};
	uint8_t noise[2000];
	int fd;

	for (uint64_t seed = 0; seed < 3000; seed++) {
		gz.len = 0;
		gz_head(&gz, 0);
		sample_random(noise, sizeof(noise), seed);
		gz_add(&gz, noise, sizeof(noise));
		fd = gz_file(&gz);
		CHECK_EQ(gzfile_verify(fd, &s, NULL, NULL, NULL), -EBADMSG);
		close(fd);
	}
	gz_release(&gz);
}

int main(void)
{
	RUN(takes_what_zlib_writes);
	RUN(takes_every_field_of_a_header);
	RUN(takes_names_and_fields_longer_than_its_buffers);
	RUN(takes_members_one_after_the_other);
	RUN(takes_members_without_content);
	RUN(takes_zeroes_behind_the_end);
	RUN(takes_fixed_blocks_of_any_length);
	RUN(refuses_bytes_behind_the_end);
	RUN(refuses_anything_behind_zeroes);
	RUN(refuses_what_is_no_gzip_file);
	RUN(refuses_headers_it_does_not_know);
	RUN(refuses_a_wrong_crc_of_a_header);
	RUN(refuses_a_wrong_end);
	RUN(adds_up_more_than_4_gib);
	RUN(a_sink_can_end_it);
	RUN(says_that_a_file_cannot_be_read);
	RUN(leaves_the_position_of_the_descriptor_alone);
	RUN(notices_every_truncation);
	RUN(notices_every_flipped_bit);
	RUN(refuses_noise);
	return unit_done();
}
