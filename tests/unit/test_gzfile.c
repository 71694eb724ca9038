/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading gzip files at an offset, and the index that it takes. Damage is in
 * test_gzfile_damage.c. With UNIT_QUICK set (valgrind, sanitizers) the files are smaller.
 */
#include "tests/unit/gzfile_kit.h"
#include "tests/unit/gzfile_reader.h"
#include "tests/unit/random_reads.h"

static size_t large(void)
{
	return getenv("UNIT_QUICK") ? 4 * MIB + 777 : 10 * MIB + 777;
}

static ssize_t read_file(void *reader, void *buf, size_t len, uint64_t pos)
{
	return gzfile_read(reader, buf, len, pos, NULL);
}

static struct random_reads reads_of(struct gzfile_reader *r, const uint8_t *raw, size_t len,
				    int reads, size_t most)
{
	return (struct random_reads){read_file, r, raw, len, reads, most};
}

/* Read it at random and in order, with an index that is made and with one that is there. */
static void check_file(const struct gz *gz, const uint8_t *raw, size_t len)
{
	struct gzfile_facts facts = gz_facts(gz, raw, len);
	struct gzfile_counts counts;
	struct gzfile_reader *r;
	struct scratch s;

	scratch_init(&s);
	for (int i = 0; i < 2; i++) {
		r = open_gz(gz, &facts, s.fd);
		check_random_reads(reads_of(r, raw, len, 20, 3 * MIB));
		check_whole(r, raw, len);
		gzfile_counts(r, &counts);
		CHECK_EQ(counts.indexes_made, i == 0 && len > MIB);
		CHECK_EQ(counts.indexes_loaded, i == 1 && len > MIB);
		CHECK_EQ(scratch_has(&s, "index"), len > MIB);
		CHECK_EQ(entries(&s), len > MIB);
		gzfile_close(r);
	}
	scratch_release(&s);
}

static void reads_what_zlib_writes(void)
{
	static const struct member kinds[] = {
	    {.level = 0, .mem_level = 8},
	    {.level = 1, .mem_level = 8},
	    {.level = 6, .mem_level = 8},
	    {.level = 9, .mem_level = 9},
	    {.level = 6, .mem_level = 8, .strategy = Z_FIXED},
	};
	size_t len = large();
	CLEANUP_FREE uint8_t *raw = malloc(len);
	struct gz gz = {0};

	sample_mixed(raw, len, 1);
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		gz.len = 0;
		gz_member(&gz, raw, len, &kinds[k]);
		check_file(&gz, raw, len);
	}
	gz_release(&gz);
}

static void reads_every_length_around_a_piece(void)
{
	static const size_t lengths[] = {1,	      2,	   MIB - 1,	MIB,
					 MIB + 1,     2 * MIB - 1, 2 * MIB,	2 * MIB + 1,
					 3 * MIB + 7, MIB + 32768, MIB + 32769, MIB + 32767};
	CLEANUP_FREE uint8_t *raw = malloc(4 * MIB);
	struct gz gz = {0};

	sample_mixed(raw, 4 * MIB, 2);
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		gz.len = 0;
		gz_member(&gz, raw, lengths[i], &usual);
		check_file(&gz, raw, lengths[i]);
	}
	gz_release(&gz);
}

/* Members of any length, some without content, with header fields. */
static void reads_files_of_many_members(void)
{
	size_t len = large(), n;
	CLEANUP_FREE uint8_t *raw = malloc(len);
	struct gz gz = {0};
	uint64_t seed = 3;

	sample_mixed(raw, len, 3);
	for (size_t done = 0; done < len; done += n) {
		struct member m = {.level = (int)sample_below(&seed, 7),
				   .mem_level = 8,
				   .flags = (uint8_t)sample_below(&seed, 32)};
		size_t most = sample_below(&seed, 10) == 0 ? 3 * MIB : 100 * KIB;

		n = (size_t)sample_below(&seed, most);
		n = MIN(n, len - done);
		if (sample_below(&seed, 3) == 0)
			gz_member(&gz, raw, 0, &usual);
		gz_member(&gz, raw + done, n, &m);
	}
	gz_member(&gz, raw, 0, &usual);
	gz_add(&gz, "\0\0\0\0", 4);
	check_file(&gz, raw, len);
	gz_release(&gz);
}

/* Pieces share a point where a block is longer than they are; points at every bit of a byte. */
static void reads_blocks_of_any_length(void)
{
	static const size_t blocks[] = {0, 40, 1000, 7777, MIB, MIB + 1, 5 * MIB / 2};
	size_t len = 4 * MIB + 5;
	CLEANUP_FREE uint8_t *raw = malloc(len);
	struct gz gz = {0};

	sample_mixed(raw, len, 4);
	for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
		gz.len = 0;
		gz_fixed_member(&gz, raw, len, blocks[i]);
		check_file(&gz, raw, len);
	}
	gz_release(&gz);
}

/* Reading in order costs the decompression of every byte once, and once more for the index;
 * with the index at hand only once. */
static void reading_in_order_is_one_pass(void)
{
	size_t len = 5 * MIB + 99;
	CLEANUP_FREE uint8_t *raw = malloc(len);
	struct gzfile_counts counts;
	struct gzfile_facts facts;
	struct gz gz = {0};
	struct scratch s;

	scratch_init(&s);
	sample_mixed(raw, len, 5);
	gz_member(&gz, raw, len, &usual);
	facts = gz_facts(&gz, raw, len);
	for (uint64_t passes = 2; passes > 0; passes--) {
		struct gzfile_reader *r = open_gz(&gz, &facts, s.fd);

		for (size_t pos = 0; pos < len; pos += 4321)
			check_read(r, raw, len, pos, 4321);
		gzfile_counts(r, &counts);
		CHECK_EQ(counts.inflated_bytes, passes * len);
		gzfile_close(r);
	}
	gz_release(&gz);
	scratch_release(&s);
}

/* A read at random costs the piece, and the rest of a block before it. */
static void a_read_at_random_starts_near_its_piece(void)
{
	size_t len = 8 * MIB;
	CLEANUP_FREE uint8_t *raw = malloc(len);
	struct gzfile_counts before, after;
	struct gzfile_reader *r;
	struct gzfile_facts facts;
	struct gz gz = {0};
	struct scratch s;

	scratch_init(&s);
	sample_text(raw, len, 6);
	gz_member(&gz, raw, len, &usual);
	facts = gz_facts(&gz, raw, len);
	r = open_gz(&gz, &facts, s.fd);
	check_read(r, raw, len, len - 1, 1);
	for (size_t piece = 7; piece-- > 0;) {
		gzfile_counts(r, &before);
		check_read(r, raw, len, piece * MIB + 5, 1);
		gzfile_counts(r, &after);
		CHECK(after.inflated_bytes - before.inflated_bytes < MIB + 256 * KIB);
	}
	gzfile_close(r);
	gz_release(&gz);
	scratch_release(&s);
}

static void a_piece_that_was_read_stays(void)
{
	size_t len = 2 * MIB;
	CLEANUP_FREE uint8_t *raw = calloc(1, len);
	struct gzfile_counts before, after;
	struct gzfile_reader *r;
	struct gzfile_facts facts;
	struct gz gz = {0};

	gz_member(&gz, raw, len, &usual);
	facts = gz_facts(&gz, raw, len);
	r = open_gz(&gz, &facts, -1);
	check_read(r, raw, len, 0, 1);
	gzfile_counts(r, &before);
	for (size_t pos = 0; pos < MIB; pos += 1000)
		check_read(r, raw, len, pos, 1);
	gzfile_counts(r, &after);
	CHECK_EQ(after.inflated_bytes, before.inflated_bytes);
	gzfile_close(r);
	gz_release(&gz);
}

/* What the header of gzindex.h says. */
static void the_index_is_written_as_the_format_says(void)
{
	size_t len = 2 * MIB + 1;
	CLEANUP_FREE uint8_t *raw = malloc(len);
	CLEANUP_FREE char *text = NULL;
	uint8_t window[32768 + 1];
	uLongf window_len = sizeof(window);
	struct gzfile_reader *r;
	struct gzfile_facts facts;
	struct gz gz = {0};
	struct scratch s;
	const uint8_t *p, *entry;
	size_t index_len = 0;

	scratch_init(&s);
	sample_text(raw, len, 7);
	gz_member(&gz, raw, MIB, &usual);
	gz_member(&gz, raw + MIB, len - MIB, &usual);
	facts = gz_facts(&gz, raw, len);
	r = open_gz(&gz, &facts, s.fd);
	check_whole(r, raw, len);
	gzfile_close(r);
	CHECK_EQ(io_read_file(s.fd, "index", MIB, &text, &index_len), 0);
	p = (const uint8_t *)text;
	CHECK(memcmp(p, "NPGZIDX\0\1\0\0\0\x14\0\0\0", 16) == 0);
	CHECK_EQ(get_le64(p + 16), len);
	CHECK_EQ(get_le64(p + 24), gz.len);
	CHECK_EQ(get_le64(p + 32), index_len);
	CHECK_EQ(get_le32(p + 40), facts.crc32);
	for (size_t i = 0; i < 3; i++) {
		entry = p + 48 + 40 * i;
		CHECK_EQ(get_le32(entry + 32),
			 crc32_z(0, raw + i * MIB, MIN(MIB, len - i * MIB)));
		CHECK(get_le64(entry) <= i * MIB);
		CHECK_EQ(entry[39], 0);
	}
	CHECK_EQ(get_le32(p + 48 + 24), 0);
	entry = p + 48 + 80;
	CHECK_EQ(get_le16(entry + 36), 32768);
	CHECK_EQ(get_le64(entry + 16) + get_le32(entry + 24), index_len);
	CHECK_EQ(
	    uncompress(window, &window_len, p + get_le64(entry + 16), get_le32(entry + 24)),
	    Z_OK);
	CHECK_EQ(window_len, 32768);
	CHECK(memcmp(window, raw + get_le64(entry) - 32768, 32768) == 0);
	gz_release(&gz);
	scratch_release(&s);
}

static void without_a_place_the_index_is_kept_in_memory(void)
{
	size_t len = 3 * MIB;
	CLEANUP_FREE uint8_t *raw = malloc(len);
	struct gzfile_counts counts;
	struct gzfile_reader *r;
	struct gzfile_facts facts;
	struct gz gz = {0};

	sample_mixed(raw, len, 8);
	gz_member(&gz, raw, len, &usual);
	facts = gz_facts(&gz, raw, len);
	r = open_gz(&gz, &facts, -1);
	check_random_reads(reads_of(r, raw, len, 50, MIB));
	check_whole(r, raw, len);
	gzfile_counts(r, &counts);
	CHECK_EQ(counts.indexes_made, 1);
	gzfile_close(r);
	gz_release(&gz);
}

static void threads_can_share_a_reader(void)
{
	size_t len = 3 * MIB + 7;
	CLEANUP_FREE uint8_t *raw = malloc(len);
	struct gzfile_counts counts;
	struct random_reads each[4];
	struct gzfile_reader *r;
	struct gzfile_facts facts;
	struct gz gz = {0};
	struct scratch s;

	scratch_init(&s);
	sample_mixed(raw, len, 9);
	gz_member(&gz, raw, len, &usual);
	facts = gz_facts(&gz, raw, len);
	r = open_gz(&gz, &facts, s.fd);
	for (size_t i = 0; i < ARRAY_LEN(each); i++)
		each[i] = reads_of(r, raw, len, 20, 300 * KIB);
	check_random_reads_at_once(each, ARRAY_LEN(each));
	gzfile_counts(r, &counts);
	CHECK_EQ(counts.indexes_made, 1);
	gzfile_close(r);
	gz_release(&gz);
	scratch_release(&s);
}

/* Each with a reader of its own, and one place for all their indexes. */
static void readers_can_make_one_index_at_the_same_time(void)
{
	size_t len = 3 * MIB + 7;
	CLEANUP_FREE uint8_t *raw = malloc(len);
	struct random_reads each[4];
	struct gzfile_facts facts;
	struct gz gz = {0};
	struct scratch s;

	scratch_init(&s);
	sample_mixed(raw, len, 10);
	gz_member(&gz, raw, len, &usual);
	facts = gz_facts(&gz, raw, len);
	for (size_t i = 0; i < ARRAY_LEN(each); i++)
		each[i] = reads_of(open_gz(&gz, &facts, s.fd), raw, len, 20, 300 * KIB);
	check_random_reads_at_once(each, ARRAY_LEN(each));
	for (size_t i = 0; i < ARRAY_LEN(each); i++)
		gzfile_close(each[i].reader);
	CHECK_EQ(entries(&s), 1);
	check_file(&gz, raw, len);
	gz_release(&gz);
	scratch_release(&s);
}

static void closing_nothing_does_nothing(void)
{
	gzfile_close(NULL);
}

int main(void)
{
	RUN(reads_what_zlib_writes);
	RUN(reads_every_length_around_a_piece);
	RUN(reads_files_of_many_members);
	RUN(reads_blocks_of_any_length);
	RUN(reading_in_order_is_one_pass);
	RUN(a_read_at_random_starts_near_its_piece);
	RUN(a_piece_that_was_read_stays);
	RUN(the_index_is_written_as_the_format_says);
	RUN(without_a_place_the_index_is_kept_in_memory);
	RUN(threads_can_share_a_reader);
	RUN(readers_can_make_one_index_at_the_same_time);
	RUN(closing_nothing_does_nothing);
	return unit_done();
}
