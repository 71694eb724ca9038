/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * makedata: content that is the same on every machine and in every run.
 *
 *	makedata file KIND BYTES SEED		to stdout; KIND: text, binary or random
 *	makedata tree DIR COUNT DIRS MAX SEED	COUNT files of 0 to MAX bytes in DIRS
 *						directories
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KINDS 3
#define BLOCK 65536

static const char *const kind_names[KINDS] = {"text", "binary", "random"};

/* xorshift64* */
static uint64_t next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

static void die(const char *what)
{
	fprintf(stderr, "makedata: %s: %s\n", what, strerror(errno));
	exit(1);
}

static size_t fill_text(char *buf, uint64_t *state)
{
	static const char *const words[] = {"relay",  "event",	"sealed",  "accepted",
					    "client", "closed", "timeout", "segment"};
	size_t used = 0;

	while (used + 256 < BLOCK) {
		uint64_t r = next(state);
		int n = snprintf(buf + used, 256, "%llu.%03u host%u %s[%u]: %s %s id=%016llx\n",
				 (unsigned long long)(1720000000 + (r & 0xffff)),
				 (unsigned)(r >> 16) % 1000, (unsigned)(r >> 26) % 8,
				 words[(r >> 29) % 8], (unsigned)(r >> 32) % 5000,
				 words[(r >> 45) % 8], words[(r >> 48) % 8],
				 (unsigned long long)next(state));

		used += (size_t)n;
	}
	return used;
}

static size_t fill_binary(char *buf, uint64_t *state)
{
	uint32_t value = (uint32_t)next(state);

	for (size_t i = 0; i < BLOCK; i += 8) {
		uint32_t pair[2] = {value, (uint32_t)(next(state) & 0xfff)};

		value += 7;
		memcpy(buf + i, pair, sizeof(pair));
	}
	return BLOCK;
}

static size_t fill_random(char *buf, uint64_t *state)
{
	for (size_t i = 0; i < BLOCK; i += 8) {
		uint64_t r = next(state);

		memcpy(buf + i, &r, sizeof(r));
	}
	return BLOCK;
}

static size_t fill(unsigned kind, char *buf, uint64_t *state)
{
	if (kind == 0)
		return fill_text(buf, state);
	return kind == 1 ? fill_binary(buf, state) : fill_random(buf, state);
}

static void write_file(int fd, unsigned kind, uint64_t bytes, uint64_t seed)
{
	static char buf[BLOCK];
	uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

	while (bytes > 0) {
		size_t len = fill(kind, buf, &state);

		if (len > bytes)
			len = (size_t)bytes;
		for (size_t done = 0; done < len;) {
			ssize_t n = write(fd, buf + done, len - done);

			if (n < 0)
				die("write");
			done += (size_t)n;
		}
		bytes -= len;
	}
}

/* Sizes at the edges of chunks first, then some large ones, then small ones of all sizes. */
static uint64_t size_of(unsigned i, uint64_t max, uint64_t *state)
{
	static const uint64_t edges[] = {0, 1, 262143, 262144, 262145, 524288, 65536, 0, 17, 2};
	uint64_t r = next(state);

	if (i < sizeof(edges) / sizeof(edges[0]))
		return edges[i] < max ? edges[i] : max;
	if (i == 10)
		return max;
	if (i < 18)
		return max / 4 + r % 1000;
	return (r >> 8) % (UINT64_C(1) << (r % 20));
}

/* Names of all kinds; one in fifty is excluded from sealing. */
static const char *name_of(unsigned i)
{
	static const char *const prefix[] = {"f", "f", "f", "f ", "f\303\274"};
	static const char *const suffix[] = {".jsonl", ".notepack", "", ".bin", ".log"};
	static char name[64];

	snprintf(name, sizeof(name), "%s%04u%s", prefix[i % 5], i,
		 i % 50 == 49 ? ".tmp" : suffix[i % 5]);
	return name;
}

static void make_tree(const char *dir, unsigned count, unsigned dirs, uint64_t max,
		      uint64_t seed)
{
	uint64_t state = seed + 1;
	char path[4096];

	for (unsigned i = 0; i < count; i++) {
		uint64_t bytes = size_of(i, max, &state);
		int fd;

		snprintf(path, sizeof(path), "%s/d%02u", dir, i % dirs);
		if (mkdir(path, 0755) != 0 && errno != EEXIST)
			die(path);
		snprintf(path, sizeof(path), "%s/d%02u/%s", dir, i % dirs, name_of(i));
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
		if (fd < 0)
			die(path);
		write_file(fd, i % KINDS, bytes, seed + i);
		if (close(fd) != 0)
			die(path);
	}
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "file") == 0) {
		for (unsigned kind = 0; kind < KINDS; kind++) {
			if (strcmp(argv[2], kind_names[kind]) == 0) {
				write_file(STDOUT_FILENO, kind, strtoull(argv[3], NULL, 10),
					   strtoull(argv[4], NULL, 10));
				return 0;
			}
		}
	} else if (argc == 7 && strcmp(argv[1], "tree") == 0) {
		make_tree(argv[2], (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]),
			  strtoull(argv[5], NULL, 10), strtoull(argv[6], NULL, 10));
		return 0;
	}
	fprintf(stderr, "makedata: wrong usage; see its source\n");
	return 2;
}
