/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * corpus KIND BYTES [SEED]: benchmark data, the same on every machine, to the standard output.
 *
 *	jsonl		events of a Nostr relay, one JSON object a line; gzip -6: 1.80 times smaller
 *	notepack	the same events as a notepack segment; 1.36 times
 *	log		a web server's log with syslog lines between; 6.1 times
 *	random		incompressible; 1.0 times
 *
 * Whole records, as many as fit into BYTES (random: all of BYTES). smoke.py checks the factors.
 * Ids and signatures are random bytes: nothing here looks at what they sign.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/corpus.h"

#define OUT_BYTES (1U << 20)
#define WORDS 6000
#define WORD_BYTES 16

static char words[WORDS][WORD_BYTES];

uint64_t rng_next(struct rng *r)
{
	uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint64_t rng_below(struct rng *r, uint64_t limit)
{
	return rng_next(r) % limit;
}

bool rng_percent(struct rng *r, unsigned percent)
{
	return rng_below(r, 100) < percent;
}

void rng_bytes(struct rng *r, uint8_t *out, size_t count)
{
	for (size_t done = 0; done < count; done += 8) {
		uint64_t z = rng_next(r);
		size_t len = count - done < 8 ? count - done : 8;

		memcpy(out + done, &z, len);
	}
}

size_t rng_skewed(struct rng *r, size_t count, unsigned power)
{
	double even = (double)(rng_next(r) >> 11) / (double)(UINT64_C(1) << 53), u = even;

	while (--power > 0)
		u *= even;
	return (size_t)(u * (double)count);
}

void text_add(struct record_text *t, const void *data, size_t len)
{
	if (len > sizeof(t->data) - t->used) {
		fprintf(stderr, "corpus: a record is larger than %d bytes\n", RECORD_BYTES);
		exit(1);
	}
	memcpy(t->data + t->used, data, len);
	t->used += len;
}

void text_put(struct record_text *t, const char *string)
{
	text_add(t, string, strlen(string));
}

void text_hex(struct record_text *t, const uint8_t *bytes, size_t count)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < count; i++) {
		char pair[2] = {digits[bytes[i] >> 4], digits[bytes[i] & 15]};

		text_add(t, pair, sizeof(pair));
	}
}

void text_format(struct record_text *t, const char *format, ...)
{
	char line[1024];
	va_list ap;
	int len;

	va_start(ap, format);
	len = vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	text_add(t, line, (size_t)len < sizeof(line) ? (size_t)len : sizeof(line) - 1);
}

const char *word_of(struct rng *r, size_t count)
{
	return words[rng_skewed(r, count, 3)];
}

void text_words(struct record_text *t, struct rng *r, size_t len)
{
	size_t end = t->used + len;

	while (t->used < end) {
		if (rng_percent(r, 4))
			text_format(t, "%u ", (unsigned)rng_below(r, 100000));
		text_put(t, word_of(r, WORDS));
		text_put(t, rng_percent(r, 8) ? ", " : " ");
	}
	t->used = end;
}

/* Words of one to four syllables; the frequent ones, which come first, are shorter. */
static void make_words(void)
{
	static const char *const onset[] = {"b", "c", "d", "f",	 "g", "h",  "l", "m", "n",
					    "p", "r", "s", "st", "t", "th", "v", "w", ""};
	static const char *const core[] = {"a",	 "e",  "i",  "o",  "u",
					   "ea", "ou", "er", "in", "on"};
	struct rng r = {.state = 2026};

	for (size_t i = 0; i < WORDS; i++) {
		size_t syllables = 1 + rng_below(&r, i < 100 ? 2 : 3) + (i > 1000);
		size_t used = 0;

		while (syllables-- > 0)
			used +=
			    (size_t)snprintf(words[i] + used, WORD_BYTES - used, "%s%s",
					     onset[rng_below(&r, 18)], core[rng_below(&r, 10)]);
	}
}

static void emit(const char *data, size_t len)
{
	if (fwrite(data, 1, len, stdout) != len) {
		fprintf(stderr, "corpus: the standard output: %s\n", strerror(errno));
		exit(1);
	}
}

static void emit_records(void (*next)(struct rng *, struct record_text *), uint64_t bytes,
			 struct rng *r)
{
	static struct record_text t;

	for (;;) {
		t.used = 0;
		next(r, &t);
		if (t.used > bytes)
			break;
		emit(t.data, t.used);
		bytes -= t.used;
	}
}

static void emit_random(uint64_t bytes, struct rng *r)
{
	static uint8_t block[RECORD_BYTES];

	while (bytes > 0) {
		size_t len = bytes < sizeof(block) ? (size_t)bytes : sizeof(block);

		rng_bytes(r, block, len);
		emit((const char *)block, len);
		bytes -= len;
	}
}

static int usage(void)
{
	fprintf(stderr, "usage: corpus jsonl|notepack|log|random BYTES [SEED]\n");
	return 2;
}

int main(int argc, char **argv)
{
	static char buffer[OUT_BYTES];
	struct rng r = {.state = argc == 4 ? strtoull(argv[3], NULL, 10) : 1};
	uint64_t bytes;

	if (argc != 3 && argc != 4)
		return usage();
	bytes = strtoull(argv[2], NULL, 10);
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	make_words();
	if (strcmp(argv[1], "jsonl") == 0)
		emit_records(corpus_jsonl, bytes, &r);
	else if (strcmp(argv[1], "notepack") == 0)
		emit_records(corpus_notepack, bytes, &r);
	else if (strcmp(argv[1], "log") == 0)
		emit_records(corpus_log, bytes, &r);
	else if (strcmp(argv[1], "random") == 0)
		emit_random(bytes, &r);
	else
		return usage();
	if (fflush(stdout) != 0) {
		fprintf(stderr, "corpus: the standard output: %s\n", strerror(errno));
		return 1;
	}
	return 0;
}
