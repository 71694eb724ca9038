/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * random_reads: a reader asked at random places, compared with what it should say, by one thread or by
 * several.
 */
#ifndef NOTEPACKFS_TESTS_RANDOM_READS_H
#define NOTEPACKFS_TESTS_RANDOM_READS_H

#include <pthread.h>

#include "lib/bytes.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

struct random_reads {
	ssize_t (*read)(void *reader, void *buf, size_t len, uint64_t pos);
	void *reader;
	const uint8_t *raw;
	uint64_t raw_bytes;
	int reads;
	size_t most; /* bytes of one read */
};

/* Ends with reads at the end and past it. */
static inline void check_random_reads(struct random_reads t)
{
	CLEANUP_FREE uint8_t *buf = malloc(t.most);
	uint64_t seed = t.raw_bytes;

	for (int i = 0; i < t.reads; i++) {
		uint64_t pos = sample_below(&seed, t.raw_bytes);
		size_t len = (size_t)sample_below(&seed, t.most) + 1;
		ssize_t n = t.read(t.reader, buf, len, pos);

		CHECK_EQ(n, MIN(len, t.raw_bytes - pos));
		CHECK(n > 0 && memcmp(buf, t.raw + pos, (size_t)n) == 0);
	}
	CHECK_EQ(t.read(t.reader, buf, 10, t.raw_bytes - 1), 1);
	CHECK_EQ(buf[0], t.raw[t.raw_bytes - 1]);
	CHECK_EQ(t.read(t.reader, buf, 10, t.raw_bytes), 0);
	CHECK_EQ(t.read(t.reader, buf, 10, UINT64_MAX), 0);
	CHECK_EQ(t.read(t.reader, buf, 0, 0), 0);
}

static inline void *random_reads_main(void *arg)
{
	check_random_reads(*(const struct random_reads *)arg);
	return NULL;
}

/* Each by a thread of its own; they may have one reader. */
static inline void check_random_reads_at_once(struct random_reads *list, size_t count)
{
	pthread_t thread[8];

	CHECK(count <= ARRAY_LEN(thread));
	for (size_t i = 0; i < count; i++)
		CHECK_EQ(pthread_create(&thread[i], NULL, random_reads_main, &list[i]), 0);
	for (size_t i = 0; i < count; i++)
		CHECK_EQ(pthread_join(thread[i], NULL), 0);
}

#endif
