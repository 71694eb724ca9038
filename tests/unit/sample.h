/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sample: bytes to test with, the same in every run.
 */
#ifndef NOTEPACKFS_TESTS_SAMPLE_H
#define NOTEPACKFS_TESTS_SAMPLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * One thread makes these bytes, before there is another: ThreadSanitizer, to which each is a call or three, and
 * want of optimisation would make them the most of what some tests do.
 */
#ifdef __clang__
#define SAMPLE_MAKER __attribute__((no_sanitize("thread")))
#else
#define SAMPLE_MAKER __attribute__((no_sanitize_thread, optimize("O2")))
#endif

/* splitmix64: *state may be anything. */
SAMPLE_MAKER static inline uint64_t sample_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* 0 … limit - 1 */
static inline uint64_t sample_below(uint64_t *state, uint64_t limit)
{
	return sample_next(state) % limit;
}

/* Bytes that do not compress. */
SAMPLE_MAKER static inline void sample_random(uint8_t *out, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)sample_next(&seed);
}

/* Bytes that compress as text does. */
SAMPLE_MAKER static inline void sample_text(uint8_t *out, size_t len, uint64_t seed)
{
	static const char *const words[] = {"relay ",	"event ", "note ",  "wss://", "\n",
					    "{\"id\":", "kind ",  "pubkey", " 17200"};

	for (size_t i = 0; i < len;) {
		uint64_t r = sample_next(&seed);
		const char *word = words[r % 9];

		for (; *word && i < len; word++)
			out[i++] = (uint8_t)*word;
		if (i < len && r >> 60 < 5)
			out[i++] = (uint8_t)('0' + (r >> 20) % 75);
	}
}

/* 100 KiB of each in turn: text, what does not compress, zeroes. */
SAMPLE_MAKER static inline void sample_mixed(uint8_t *out, size_t len, uint64_t seed)
{
	const size_t piece = 100 << 10;

	for (size_t i = 0; i < len; i += piece) {
		size_t n = len - i < piece ? len - i : piece;

		switch (i / piece % 3) {
		case 0:
			sample_text(out + i, n, seed + i);
			break;
		case 1:
			sample_random(out + i, n, seed + i);
			break;
		default:
			memset(out + i, 0, n);
		}
	}
}

static inline void sample_zeroes(uint8_t *out, size_t len, uint64_t seed)
{
	(void)seed;
	memset(out, 0, len);
}

#endif
