/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Damaged gzip files: a read gives the right bytes or an error, never wrong bytes.
 */
#include "tests/unit/gzfile_kit.h"
#include "tests/unit/gzfile_reader.h"

/* What differs from the facts is not read, and not looked through again. */
static void check_differs(struct subject *s, const char *reason)
{
	struct gzfile_reader *r = subject_open(s);
	struct gzfile_counts first, second;
	struct seekgz_damage damage = {0};
	uint8_t byte;

	CHECK_EQ(gzfile_read(r, &byte, 1, 0, &damage), -EIO);
	CHECK_STR(damage.reason ? damage.reason : "", reason);
	gzfile_counts(r, &first);
	damage.reason = NULL;
	CHECK_EQ(gzfile_read(r, &byte, 1, MIB, &damage), -EIO);
	CHECK_STR(damage.reason ? damage.reason : "", reason);
	gzfile_counts(r, &second);
	CHECK_EQ(first.inflated_bytes, second.inflated_bytes);
	CHECK_EQ(second.indexes_made, 0);
	CHECK_EQ(entries(&s->dir), 0);
	gzfile_close(r);
}

static void refuses_a_file_that_is_not_what_was_recorded(void)
{
	struct gzfile_reader *r;
	const char *reason;
	struct subject s;

	subject_init(&s, 2 * MIB + 5, &usual, sample_mixed);
	s.facts.crc32 ^= 1;
	check_differs(&s, "its CRC-32 is not what was recorded");
	s.facts.crc32 ^= 1;
	s.facts.raw_bytes++;
	check_differs(&s, "it is shorter than was recorded");
	s.facts.raw_bytes -= 2;
	check_differs(&s, "it is longer than was recorded");
	s.facts.raw_bytes++;
	s.facts.gz_bytes++;
	CHECK_EQ(gzfile_open(dup(s.fd), &s.facts, -1, NULL, &r, &reason), -EBADMSG);
	CHECK_STR(reason, "its size is not what was recorded");
	s.facts.gz_bytes--;
	s.facts.raw_bytes = SEEKGZ_RAW_MAX + 1;
	CHECK_EQ(gzfile_open(dup(s.fd), &s.facts, -1, NULL, &r, &reason), -EBADMSG);
	CHECK_STR(reason, "its recorded length is impossible");
	subject_release(&s);
}

static void a_file_of_one_piece_is_checked_too(void)
{
	struct gzfile_reader *r;
	struct seekgz_damage damage = {0};
	struct subject s;
	uint8_t byte;

	subject_init(&s, 1000, &usual, sample_text);
	s.facts.crc32 ^= 1;
	r = subject_open(&s);
	CHECK_EQ(gzfile_read(r, &byte, 1, 0, &damage), -EIO);
	CHECK_STR(damage.reason, "a CRC is wrong");
	gzfile_close(r);
	s.facts.crc32 ^= 1;
	s.facts.raw_bytes++;
	r = subject_open(&s);
	CHECK_EQ(gzfile_read(r, &byte, 1, 0, &damage), -EIO);
	CHECK_STR(damage.reason, "it is shorter than was recorded");
	gzfile_close(r);
	subject_release(&s);
}

/* Which pieces cannot be read? The others must be right. Ends with one read over all. */
static unsigned broken_pieces(struct subject *s)
{
	struct gzfile_reader *r = subject_open(s);
	CLEANUP_FREE uint8_t *buf = malloc(s->len);
	size_t pieces = (s->len + MIB - 1) / MIB, whole;
	struct seekgz_damage damage;
	unsigned broken = 0;

	for (size_t i = 0; i < 2 * pieces; i++) {
		size_t piece = i < pieces ? i : 2 * pieces - 1 - i;
		size_t len = MIN(MIB, s->len - piece * MIB);
		ssize_t n = gzfile_read(r, buf, len, piece * MIB, &damage);

		CHECK(n == -EIO || n == (ssize_t)len);
		CHECK(n < 0 || memcmp(buf, s->raw + piece * MIB, len) == 0);
		CHECK(n > 0 || damage.raw_offset == piece * MIB);
		CHECK(n > 0 || (damage.reason && damage.gz_offset <= s->gz.len));
		if (i < pieces && n < 0)
			broken |= 1u << piece;
		CHECK((n > 0) == !(broken & 1u << piece)); /* both times the same */
	}
	whole = broken ? (size_t)__builtin_ctz(broken) * MIB : s->len;
	CHECK_EQ(gzfile_read(r, buf, s->len, 0, NULL), whole > 0 ? (ssize_t)whole : -EIO);
	CHECK(memcmp(buf, s->raw, whole) == 0);
	gzfile_close(r);
	return broken;
}

static void flip(struct subject *s, size_t pos)
{
	uint8_t byte;

	CHECK_EQ(io_pread(s->fd, &byte, 1, pos), 1);
	byte ^= 0x40;
	CHECK_EQ(io_pwrite(s->fd, &byte, 1, pos), 0);
}

/* Stored blocks: a byte of the file is a byte of one piece. */
static void damage_in_one_piece_leaves_the_others_readable(void)
{
	static const struct member stored = {.level = 0, .mem_level = 8};
	struct subject s;

	subject_init(&s, 5 * MIB + 100, &stored, sample_random);
	CHECK_EQ(indexes_made(&s), 1);
	CHECK_EQ(broken_pieces(&s), 0);
	for (size_t piece = 0; piece < 5; piece++) {
		size_t pos = piece * MIB + MIB / 2;

		flip(&s, pos);
		CHECK_EQ(broken_pieces(&s), 1u << piece);
		flip(&s, pos);
	}
	flip(&s, s.gz.len - 20);
	CHECK_EQ(broken_pieces(&s), 1u << 5);
	flip(&s, s.gz.len - 20);
	flip(&s, MIB + 1000);
	flip(&s, 3 * MIB + 10000);
	CHECK_EQ(broken_pieces(&s), 1u << 1 | 1u << 3);
	subject_release(&s);
}

/* Deflated: what the bits mean is spoilt up to the end of the block, and what refers to it. */
static void damage_in_deflated_bytes_is_never_given_out(void)
{
	struct subject s;
	uint64_t seed = 1;

	subject_init(&s, 5 * MIB + 100, &usual, sample_mixed);
	CHECK_EQ(indexes_made(&s), 1);
	for (int i = 0; i < 60; i++) {
		size_t pos = 20 + (size_t)sample_below(&seed, s.gz.len - 30);

		flip(&s, pos);
		CHECK(__builtin_popcount(broken_pieces(&s)) <= 2);
		flip(&s, pos);
	}
	CHECK_EQ(broken_pieces(&s), 0);
	CHECK_EQ(indexes_made(&s), 0);
	subject_release(&s);
}

/* The end of a member tells nothing that the index does not know. */
static void a_wrong_end_is_no_damage_to_a_reader_with_an_index(void)
{
	struct subject s;

	subject_init(&s, 2 * MIB, &usual, sample_mixed);
	CHECK_EQ(indexes_made(&s), 1);
	flip(&s, s.gz.len - 8);
	CHECK_EQ(broken_pieces(&s), 0);
	subject_release(&s);
}

static void notices_a_truncation_under_a_reader(void)
{
	struct seekgz_damage damage;
	struct gzfile_reader *r;
	struct subject s;
	uint8_t byte;

	subject_init(&s, 3 * MIB, &usual, sample_random);
	r = subject_open(&s);
	check_read(r, s.raw, s.len, 0, 1);
	CHECK_EQ(ftruncate(s.fd, MIB + MIB / 2), 0);
	CHECK_EQ(gzfile_read(r, &byte, 1, 2 * MIB + 5, &damage), -EIO);
	CHECK_STR(damage.reason, "it is cut short");
	CHECK_EQ(damage.raw_offset, 2 * MIB);
	check_read(r, s.raw, s.len, 7, 1);
	gzfile_close(r);
	subject_release(&s);
}

static void a_small_file_reads_right_or_not_at_all(void)
{
	struct subject s;
	uint8_t buf[3000];

	subject_init(&s, sizeof(buf), &usual, sample_text);
	for (size_t bit = 0; bit < 8 * s.gz.len; bit++) {
		uint8_t byte = s.gz.p[bit / 8] ^ (uint8_t)(1 << bit % 8);
		struct gzfile_reader *r;
		ssize_t n;

		CHECK_EQ(io_pwrite(s.fd, &byte, 1, bit / 8), 0);
		r = subject_open(&s);
		n = gzfile_read(r, buf, sizeof(buf), 0, NULL);
		CHECK(n == -EIO || n == (ssize_t)sizeof(buf));
		CHECK(n < 0 || memcmp(buf, s.raw, sizeof(buf)) == 0);
		gzfile_close(r);
		CHECK_EQ(io_pwrite(s.fd, &s.gz.p[bit / 8], 1, bit / 8), 0);
	}
	subject_release(&s);
}

int main(void)
{
	RUN(refuses_a_file_that_is_not_what_was_recorded);
	RUN(a_file_of_one_piece_is_checked_too);
	RUN(damage_in_one_piece_leaves_the_others_readable);
	RUN(damage_in_deflated_bytes_is_never_given_out);
	RUN(a_wrong_end_is_no_damage_to_a_reader_with_an_index);
	RUN(notices_a_truncation_under_a_reader);
	RUN(a_small_file_reads_right_or_not_at_all);
	return unit_done();
}
