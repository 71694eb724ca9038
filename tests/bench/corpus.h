/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * corpus: what the generators of benchmark data share: numbers, words, and the output.
 *
 * All of it follows from the seed alone, on every machine.
 */
#ifndef NOTEPACKFS_TESTS_CORPUS_H
#define NOTEPACKFS_TESTS_CORPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- numbers (splitmix64) ---- */

struct rng {
	uint64_t state;
};

uint64_t rng_next(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t limit);
bool rng_percent(struct rng *r, unsigned percent); /* true so often in a hundred */
void rng_bytes(struct rng *r, uint8_t *out, size_t count);

/* An index below count; small ones are frequent: about count * u^power for an even u. */
size_t rng_skewed(struct rng *r, size_t count, unsigned power);

/* ---- one record, as it grows ---- */

#define RECORD_BYTES 65536

struct record_text {
	size_t used;
	char data[RECORD_BYTES];
};

void text_add(struct record_text *t, const void *data,
	      size_t len); /* ends the program if full */
void text_put(struct record_text *t, const char *string);
void text_hex(struct record_text *t, const uint8_t *bytes, size_t count);
void text_format(struct record_text *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Pseudo-words by frequency, until len bytes are added; some of them are numbers. */
void text_words(struct record_text *t, struct rng *r, size_t len);

/* One word of the most frequent count. */
const char *word_of(struct rng *r, size_t count);

/* ---- the generators: the next record ---- */

void corpus_jsonl(struct rng *r, struct record_text *t);
void corpus_notepack(struct rng *r, struct record_text *t);
void corpus_log(struct rng *r, struct record_text *t);

#endif
