/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index of a gzip file: damaged ones, and places where none can be saved. With UNIT_QUICK
 * set (valgrind, sanitizers) there is less of each, and the file of 1.2 GiB is left out.
 */
#include "tests/unit/gzfile_kit.h"
#include "tests/unit/gzfile_reader.h"

static bool quick(void)
{
	return getenv("UNIT_QUICK") != NULL;
}

static bool disk_is_full; /* to everything that has a name */
static int writes_left;

/* An error where the disk is full, and the system's own pwrite else. */
ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	struct iovec iov = {.iov_base = (void *)buf, .iov_len = len};
	struct stat st;

	if (disk_is_full && fstat(fd, &st) == 0 && st.st_nlink > 0 && --writes_left < 0) {
		errno = ENOSPC;
		return -1;
	}
	return pwritev(fd, &iov, 1, offset);
}

/* Text that repeats, so that the windows take little space in the index. */
static void sample_lines(uint8_t *out, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t) "a line, and "[i % 12];
}

static const struct member small_blocks = {.level = 6, .mem_level = 1};

struct index_file {
	char *bytes;
	size_t len;
	int fd;
};

static struct index_file open_index(struct subject *s)
{
	struct index_file f = {.len = 0};

	CHECK_EQ(indexes_made(s), 1);
	CHECK_EQ(indexes_made(s), 0);
	CHECK_EQ(io_read_file(s->dir.fd, "index", MIB, &f.bytes, &f.len), 0);
	return f;
}

static void put_index(struct subject *s, const void *bytes, size_t len)
{
	int fd = openat(s->dir.fd, "index", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK_EQ(io_pwrite(fd, bytes, len, 0), 0);
	close(fd);
}

/* It was made anew, and is the one that it was. */
static void check_healed(struct subject *s, const struct index_file *f)
{
	CLEANUP_FREE char *bytes = NULL;
	size_t len = 0;

	CHECK_EQ(indexes_made(s), 1);
	CHECK_EQ(io_read_file(s->dir.fd, "index", MIB, &bytes, &len), 0);
	CHECK(len == f->len && memcmp(bytes, f->bytes, len) == 0);
	CHECK_EQ(entries(&s->dir), 1);
}

static void a_damaged_index_is_made_anew(void)
{
	struct index_file f;
	struct subject s;

	subject_init(&s, 2 * MIB + 1, &small_blocks, sample_lines);
	f = open_index(&s);
	CHECK(f.len < 1000);
	for (size_t i = 0; i < f.len; i += quick() ? 13 : 1) {
		f.bytes[i] ^= 0x10;
		put_index(&s, f.bytes, f.len);
		f.bytes[i] ^= 0x10;
		check_healed(&s, &f);
	}
	free(f.bytes);
	subject_release(&s);
}

static void an_index_of_another_length_is_made_anew(void)
{
	struct index_file f;
	struct subject s;

	subject_init(&s, 2 * MIB + 1, &small_blocks, sample_lines);
	f = open_index(&s);
	for (size_t len = 0; len < f.len; len += 7) {
		put_index(&s, f.bytes, len);
		check_healed(&s, &f);
	}
	f.bytes = realloc(f.bytes, f.len + 1);
	f.bytes[f.len] = 0;
	put_index(&s, f.bytes, f.len + 1);
	check_healed(&s, &f);
	free(f.bytes);
	subject_release(&s);
}

/* The same length, raw and compressed; another CRC-32. */
static void an_index_of_another_file_is_made_anew(void)
{
	static const struct member stored = {.level = 0, .mem_level = 8};
	struct subject a, b;
	struct index_file f, own;

	subject_init(&a, 2 * MIB, &stored, sample_random);
	subject_init(&b, 2 * MIB, &stored, sample_text);
	CHECK_EQ(a.gz.len, b.gz.len);
	f = open_index(&a);
	own = open_index(&b);
	put_index(&b, f.bytes, f.len);
	check_healed(&b, &own);
	free(f.bytes);
	free(own.bytes);
	subject_release(&a);
	subject_release(&b);
}

/* Nonsense under a right CRC-32: right bytes or an error, and the piece's CRC-32 is the judge.
 */
static void a_forged_index_never_gives_wrong_bytes(void)
{
	struct index_file f;
	struct subject s;
	uint64_t seed = 1;

	subject_init(&s, 2 * MIB + 1, &small_blocks, sample_text);
	f = open_index(&s);
	for (int i = 0; i < (quick() ? 30 : 300); i++) {
		CLEANUP_FREE uint8_t *p = malloc(f.len);
		size_t field = (size_t)sample_below(&seed, 36), piece = 1 + i % 2;
		struct gzfile_reader *r;
		uint8_t buf[1000];
		uint32_t crc;

		memcpy(p, f.bytes, f.len);
		field += field >= 32 ? 4 : 0; /* all but the CRC-32 of the piece */
		p[48 + 40 * piece + field] = (uint8_t)sample_next(&seed);
		put_le32(p + 44, 0);
		crc = (uint32_t)crc32_z(0, p, 48 + 3 * 40);
		put_le32(p + 44, crc);
		put_index(&s, p, f.len);
		r = subject_open(&s);
		for (size_t k = 3; k-- > 0;) {
			ssize_t n = gzfile_read(r, buf, sizeof(buf), k * MIB, NULL);

			CHECK(n == -EIO || n == (ssize_t)MIN(sizeof(buf), s.len - k * MIB));
			CHECK(n < 0 || memcmp(buf, s.raw + k * MIB, (size_t)n) == 0);
			CHECK(n > 0 || k == piece);
		}
		gzfile_close(r);
	}
	free(f.bytes);
	subject_release(&s);
}

/* Wherever the disk becomes full, the reader does its work, and nothing is left behind. */
static void a_full_disk_costs_the_index_only(void)
{
	struct subject s;

	subject_init(&s, 4 * MIB, &usual, sample_mixed);
	disk_is_full = true;
	for (int writes = 0; writes < 4; writes++) {
		writes_left = writes;
		CHECK_EQ(indexes_made(&s), 1);
		CHECK_EQ(entries(&s.dir), 0);
	}
	disk_is_full = false;
	CHECK_EQ(indexes_made(&s), 1);
	CHECK_EQ(entries(&s.dir), 1);
	subject_release(&s);
}

static void a_missing_directory_costs_the_index_only(void)
{
	struct gzfile_reader *r = NULL;
	struct gzfile_counts counts;
	const char *reason;
	struct subject s;

	subject_init(&s, 2 * MIB, &usual, sample_mixed);
	CHECK_EQ(gzfile_open(dup(s.fd), &s.facts, s.dir.fd, "not/there/index", &r, &reason), 0);
	check_every_piece(r, &s);
	check_whole(r, s.raw, s.len);
	gzfile_counts(r, &counts);
	CHECK_EQ(counts.indexes_made, 1);
	gzfile_close(r);
	subject_release(&s);
}

static void a_directory_in_the_way_costs_the_index_only(void)
{
	struct subject s;

	subject_init(&s, 2 * MIB, &usual, sample_mixed);
	CHECK_EQ(mkdirat(s.dir.fd, "index", 0700), 0);
	CHECK_EQ(indexes_made(&s), 1);
	CHECK_EQ(entries(&s.dir), 1);
	subject_release(&s);
}

#define PERIOD ((size_t)32000)

/* Fixed blocks of matches: each repeats 258 bytes, from PERIOD bytes before (RFC 1951, 3.2.5).
 */
static void put_repeats(struct bits *b, size_t blocks, size_t matches)
{
	for (size_t i = 0; i < blocks; i++) {
		put_bits(b, i + 1 == blocks, 1);
		put_bits(b, 1, 2);
		for (size_t k = 0; k < matches; k++) {
			put_code(b, 0xc5, 8);
			put_code(b, 29, 5);
			put_bits(b, PERIOD - 24577, 13);
		}
		put_code(b, 0, 7);
	}
	if (b->count > 0)
		put_bits(b, 0, 8 - b->count);
}

/* A file that is a hundredth of what it holds, but whose windows do not compress. */
static struct gzfile_facts put_periodic(struct gz *gz, const uint8_t *period, size_t blocks)
{
	const size_t matches = 1000;
	uint64_t len = PERIOD + blocks * matches * 258, left = len;
	struct bits b = {.gz = gz};
	uint32_t crc = 0;

	gz_head(gz, 0);
	put_fixed_block(&b, period, PERIOD, false);
	put_repeats(&b, blocks, matches);
	for (; left > 0; left -= MIN(left, PERIOD))
		crc = (uint32_t)crc32_z(crc, period, (size_t)MIN(left, PERIOD));
	gz_trailer(gz, crc, (uint32_t)len);
	return (struct gzfile_facts){.gz_bytes = gz->len, .raw_bytes = len, .crc32 = crc};
}

/* What is decompressed to read a byte. */
static uint64_t cost_of(struct gzfile_reader *r, const uint8_t *period, uint64_t pos)
{
	struct gzfile_counts before, after;
	uint8_t byte;

	gzfile_counts(r, &before);
	CHECK_EQ(gzfile_read(r, &byte, 1, pos, NULL), 1);
	CHECK_EQ(byte, period[pos % PERIOD]);
	gzfile_counts(r, &after);
	return after.inflated_bytes - before.inflated_bytes;
}

/* More windows than may be kept in memory: what lies behind is read from the last point there
 * is. With a place on the disk each piece has its own. */
static void an_index_in_memory_is_bounded(void)
{
	struct gzfile_facts facts;
	struct gzfile_reader *r;
	uint8_t period[PERIOD];
	struct gz gz = {0};
	struct scratch s;

	if (quick()) {
		SKIP("UNIT_QUICK");
		return;
	}
	scratch_init(&s);
	sample_random(period, PERIOD, 1);
	facts = put_periodic(&gz, period, 5000);
	CHECK(facts.raw_bytes > 1200 * MIB);
	for (int saved = 0; saved < 2; saved++) {
		r = open_gz(&gz, &facts, saved ? s.fd : -1);
		cost_of(r, period, facts.raw_bytes - 1);
		CHECK(cost_of(r, period, 500 * MIB) < 2 * MIB);
		CHECK((cost_of(r, period, 1200 * MIB) < 2 * MIB) == saved);
		CHECK(cost_of(r, period, 5 * MIB) < 2 * MIB);
		gzfile_close(r);
	}
	gz_release(&gz);
	scratch_release(&s);
}

int main(void)
{
	RUN(a_damaged_index_is_made_anew);
	RUN(an_index_of_another_length_is_made_anew);
	RUN(an_index_of_another_file_is_made_anew);
	RUN(a_forged_index_never_gives_wrong_bytes);
	RUN(a_full_disk_costs_the_index_only);
	RUN(a_missing_directory_costs_the_index_only);
	RUN(a_directory_in_the_way_costs_the_index_only);
	RUN(an_index_in_memory_is_bounded);
	return unit_done();
}
