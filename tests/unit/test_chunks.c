/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cache of chunks: what is given out is right or an error, whoever reads what at the same time; what
 * is decompressed when; how much memory it takes. A cache without threads reads ahead while it is read,
 * so that the counts are certain.
 */
#include <pthread.h>

#include "lib/chunks.h"
#include "tests/unit/sample.h"
#include "tests/unit/seekgz_build.h"
#include "tests/unit/unit.h"

#define CHUNK ((uint64_t)SEEKGZ_CHUNK_BYTES)
#define COUNT 30
#define BYTES (COUNT * CHUNK - 1000)

static uint8_t *raw;

static int make_object(void)
{
	struct seekgz_recipe recipe = {.codec = "auto", .level = 1, .part = 1};
	int fd = seekgz_build_temporary(raw, BYTES, &recipe);

	CHECK(fd >= 0);
	return fd;
}

static struct chunks_reader *open_reader(struct chunks *c, int fd)
{
	struct seekgz_reader *r = NULL;
	struct chunks_reader *reader;
	const char *reason;

	CHECK_EQ(seekgz_open(dup(fd), &r, &reason), 0);
	reader = chunks_attach(c, r);
	CHECK(reader != NULL);
	return reader;
}

/* Read len bytes at offset; they must be there, and right. */
static void read_right(struct chunks_reader *r, uint64_t offset, size_t len)
{
	CLEANUP_FREE uint8_t *buf = malloc(len);
	size_t want = (size_t)MIN(len, BYTES - offset);

	CHECK_EQ(chunks_read(r, buf, len, offset, NULL), want);
	CHECK(memcmp(buf, raw + offset, want) == 0);
}

static struct chunks_counts counts_of(struct chunks *c)
{
	struct chunks_counts counts;

	chunks_count(c, &counts);
	return counts;
}

static void read_in_order(struct chunks_reader *r, size_t step)
{
	for (uint64_t at = 0; at < BYTES; at += step)
		read_right(r, at, step);
}

static void what_is_read_in_order_is_read_ahead_and_decompressed_once(void)
{
	static const size_t steps[] = {65536, 131072, 3 * CHUNK / 2, 1 << 20};
	int fd = make_object();

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct chunks *c = chunks_open(16, 0);
		struct chunks_reader *r = open_reader(c, fd);

		read_in_order(r, steps[i]);
		CHECK_EQ(counts_of(c).needed, 2);
		CHECK_EQ(counts_of(c).ahead, COUNT - 2);
		CHECK_EQ(counts_of(c).wasted, 0);
		CHECK(counts_of(c).most <= CHUNKS_AHEAD + 3);
		chunks_detach(r);
		CHECK_EQ(counts_of(c).held, 0);
		chunks_close(c);
	}
	close(fd);
}

static void requests_that_overtake_each_other_are_in_order_all_the_same(void)
{
	struct chunks *c = chunks_open(16, 0);
	int fd = make_object();
	struct chunks_reader *r = open_reader(c, fd);

	/* Always a chunk in advance. */
	for (uint64_t i = 1; i < COUNT; i++) {
		read_right(r, i * CHUNK, 65536);
		read_right(r, (i - 1) * CHUNK + 65536, CHUNK - 65536);
	}
	CHECK_EQ(counts_of(c).needed, 4);
	CHECK_EQ(counts_of(c).ahead, COUNT - 4);
	chunks_detach(r);
	chunks_close(c);
	close(fd);
}

static void what_is_read_at_random_is_not_read_ahead(void)
{
	struct chunks *c = chunks_open(4, 0);
	int fd = make_object();
	struct chunks_reader *r = open_reader(c, fd);

	for (uint64_t i = 0; i < COUNT; i++)
		read_right(r, i * 7 % COUNT * CHUNK + 100, 4096);
	CHECK_EQ(counts_of(c).needed, COUNT);
	CHECK_EQ(counts_of(c).ahead, 0);
	CHECK_EQ(counts_of(c).most, 4);
	chunks_detach(r);
	chunks_close(c);
	close(fd);
}

/* Four readers in order by turns, with room for one to be read ahead for. */
static void memory_is_bounded_however_many_read(void)
{
	struct chunks *c = chunks_open(10, 0);
	int fd = make_object();
	struct chunks_reader *r[4];

	for (int i = 0; i < 4; i++)
		r[i] = open_reader(c, fd);
	for (uint64_t at = 0; at < BYTES; at += 131072) {
		for (int i = 0; i < 4; i++)
			read_right(r[i], at, 131072);
	}
	CHECK(counts_of(c).most <= 10);
	/* Some had to give way. */
	CHECK(counts_of(c).needed + counts_of(c).ahead - counts_of(c).wasted < 5 * COUNT);
	for (int i = 0; i < 4; i++)
		chunks_detach(r[i]);
	CHECK_EQ(counts_of(c).held, 0);
	chunks_close(c);
	close(fd);
}

/* Damage one chunk in the middle of those that are read ahead. */
static void damage_is_met_by_who_reads_it_and_nobody_else(unsigned threads)
{
	struct chunks *c = chunks_open(16, threads);
	CLEANUP_FREE uint8_t *buf = malloc(CHUNK);
	int fd = make_object();
	struct chunks_reader *r = open_reader(c, fd);
	struct seekgz_damage damage = {0};
	struct seekgz_header h;
	const char *reason;
	struct stat st;
	uint64_t pos;

	CHECK_EQ(io_fstat(fd, &st), 0);
	CHECK_EQ(seekgz_header_read(fd, (uint64_t)st.st_size, &h, &reason), 0);
	pos = h.layout.header_bytes;
	for (int i = 0; i < 10; i++)
		pos += h.group[i].gz_bytes;
	CHECK_EQ(io_pwrite(fd, "damage", 6, pos + h.group[10].gz_bytes / 2), 0);
	for (uint64_t i = 0; i < COUNT; i++) {
		if (i != 10) {
			read_right(r, i * CHUNK, CHUNK);
			continue;
		}
		for (int again = 0; again < 3; again++) {
			CHECK_EQ(chunks_read(r, buf, 4096, i * CHUNK + 100, &damage), -EIO);
			CHECK_EQ(damage.raw_offset, 10 * CHUNK);
			CHECK_EQ(damage.gz_offset, pos);
		}
		/* What lies before it comes first. */
		CHECK_EQ(chunks_read(r, buf, CHUNK, i * CHUNK - 5, &damage), 5);
		CHECK(memcmp(buf, raw + i * CHUNK - 5, 5) == 0);
	}
	seekgz_header_release(&h);
	chunks_detach(r);
	CHECK_EQ(counts_of(c).held, 0);
	chunks_close(c);
	close(fd);
}

static void damage_is_met_by_who_reads_it(void)
{
	damage_is_met_by_who_reads_it_and_nobody_else(0);
	damage_is_met_by_who_reads_it_and_nobody_else(2);
}

/* The object is cut short under the readers: an error, for what is not decompressed yet. */
static void a_truncation_under_a_reader_is_an_error(void)
{
	struct chunks *c = chunks_open(16, 1);
	int fd = make_object();
	struct chunks_reader *r = open_reader(c, fd);
	struct seekgz_damage damage;
	uint8_t byte;

	read_right(r, 0, 100);
	CHECK_EQ(ftruncate(fd, 20000), 0);
	CHECK_EQ(chunks_read(r, &byte, 1, BYTES - 1, &damage), -EIO);
	CHECK_STR(damage.reason, "the object is cut short");
	read_right(r, 100, 100);
	CHECK_EQ(chunks_read(r, &byte, 1, BYTES, NULL), 0);
	chunks_detach(r);
	chunks_close(c);
	close(fd);
}

struct work {
	struct chunks *chunks;
	struct chunks_reader *shared;
	int fd;
	unsigned seed;
};

/* Some in order through the shared reader, some through one that is closed in between. */
static void *read_some(void *arg)
{
	struct work *w = arg;
	uint64_t seed = w->seed + 1;

	for (int turn = 0; turn < 12; turn++) {
		struct chunks_reader *own = open_reader(w->chunks, w->fd);
		uint64_t at = sample_below(&seed, COUNT / 2) * CHUNK;

		for (uint64_t i = 0; i < sample_below(&seed, 12); i++)
			read_right(own, at + i * 131072, 131072);
		chunks_detach(own); /* what is being read ahead for it is in the way */
		for (uint64_t i = 0; i < 8; i++)
			read_right(w->shared, (turn * 8 + i) * 131072 % (BYTES / 2), 131072);
	}
	return NULL;
}

static void threads_can_share_a_cache_and_a_reader(unsigned slots, unsigned threads)
{
	struct chunks *c = chunks_open(slots, threads);
	int fd = make_object();
	struct chunks_reader *shared = open_reader(c, fd);
	struct work work[4];
	pthread_t thread[4];

	for (unsigned i = 0; i < 4; i++) {
		work[i] = (struct work){c, shared, fd, i};
		CHECK_EQ(pthread_create(&thread[i], NULL, read_some, &work[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	CHECK(counts_of(c).most <= slots);
	chunks_detach(shared);
	CHECK_EQ(counts_of(c).held, 0);
	chunks_close(c);
	close(fd);
}

static void threads_can_share_it(void)
{
	threads_can_share_a_cache_and_a_reader(2, 2);
	threads_can_share_a_cache_and_a_reader(16, 2);
	threads_can_share_a_cache_and_a_reader(16, 0);
}

static void closing_nothing_does_nothing(void)
{
	chunks_close(NULL);
	chunks_close(chunks_open(2, 2));
}

int main(void)
{
	raw = malloc(BYTES);
	sample_text(raw, BYTES, 5);
	RUN(what_is_read_in_order_is_read_ahead_and_decompressed_once);
	RUN(requests_that_overtake_each_other_are_in_order_all_the_same);
	RUN(what_is_read_at_random_is_not_read_ahead);
	RUN(memory_is_bounded_however_many_read);
	RUN(damage_is_met_by_who_reads_it);
	RUN(a_truncation_under_a_reader_is_an_error);
	RUN(threads_can_share_it);
	RUN(closing_nothing_does_nothing);
	free(raw);
	return unit_done();
}
