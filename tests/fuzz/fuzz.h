/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz: what the targets share: how one fails, and how one takes its input apart.
 *
 * A target is a file fuzz_NAME.c that defines LLVMFuzzerTestOneInput. It is linked twice: with
 * libFuzzer, which makes inputs, and with replay.c, which runs those of the corpus in the normal
 * tests. So a target says what is wrong by ending the process: MUST.
 */
#ifndef NOTEPACKFS_TESTS_FUZZ_H
#define NOTEPACKFS_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/bytes.h"

/* Run the target on these bytes, which end where the block of memory ends. Always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

_Noreturn static inline void fuzz_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}

#define MUST(x) ((x) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #x))

/* What is left of an input. Behind its end there are zeroes. */
struct input {
	const uint8_t *p;
	size_t len;
};

static inline uint8_t input_byte(struct input *in)
{
	if (in->len == 0)
		return 0;
	in->len--;
	return *in->p++;
}

static inline uint16_t input_u16(struct input *in)
{
	uint8_t low = input_byte(in);

	return (uint16_t)(low | input_byte(in) << 8);
}

static inline uint32_t input_u32(struct input *in)
{
	uint32_t low = input_u16(in);

	return low | (uint32_t)input_u16(in) << 16;
}

/* 0 … limit - 1; limit is at most 256. */
static inline unsigned input_below(struct input *in, unsigned limit)
{
	return input_byte(in) % limit;
}

/* Take up to max bytes off as a new string, which ends before the first NUL among them. */
static inline char *input_string(struct input *in, size_t max)
{
	size_t n = MIN(max, in->len);
	char *s = malloc(n + 1);

	if (!s)
		abort();
	if (n > 0)
		memcpy(s, in->p, n);
	s[n] = '\0';
	in->p += n;
	in->len -= n;
	return s;
}

/* A new block of exactly these bytes, so that a sanitizer sees what reads past its end. */
static inline uint8_t *fuzz_copy(const void *data, size_t len)
{
	uint8_t *p = calloc(len ? len : 1, 1);

	if (!p)
		abort();
	if (len > 0)
		memcpy(p, data, len);
	return p;
}

#endif
