/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * early_kit: a file that is compressed while it is written, and whether its object is, byte for byte, what it
 * is when all is compressed behind the cut. (An excluded name has no job: so a file that is renamed from one is
 * sealed as any other.) With UNIT_QUICK (sanitizers, clang) only whether the object has the bytes of the file.
 *
 * To be included by the file with main, once (order_kit.h).
 */
#ifndef NOTEPACKFS_TESTS_EARLY_KIT_H
#define NOTEPACKFS_TESTS_EARLY_KIT_H

#include "tests/unit/order_kit.h"

#include <sys/resource.h>

#include "lib/codec.h"

#define MIB ((size_t)1 << 20)
#define CHUNK SEEKGZ_CHUNK_BYTES
#define SIZE (66 * MIB + 12345) /* of what is written */
#define CHUNKS (SIZE / CHUNK)	/* full ones */
#define MOST (80 * MIB)
#define BEHIND (6 * MIB) /* so far may a job be behind a file that is open */

static uint8_t *sample; /* MOST bytes, quick to compress */
static uint8_t *now;	/* what the file has, MOST bytes */
static size_t now_bytes;
static unsigned compared; /* objects, with what a batch makes */
static const char
    *codec; /* not isal, which may make two objects of one chunk: lib/codec_isal.c */

/* ---- kit ---- */

/* Here someone waits for the threads of low priority, and beside other tests that would be long. */
int setpriority(__priority_which_t which, id_t who, int priority)
{
	return 0;
}

static inline struct store *start_with(unsigned threads)
{
	return open_store_with(&dir, threads, NEVER_NS, codec, codec_find(codec)->min_level);
}

/* A number of the status's "early". */
static inline uint64_t early(struct store *s, const char *key)
{
	CLEANUP_BUF struct buf text = {0};
	char want[32];
	const char *at;

	store_status(s, false, &text);
	at = strstr(text.data, "\"early\":{");
	snprintf(want, sizeof(want), "\"%s\":", key);
	at = at ? strstr(at, want) : NULL;
	CHECK(at);
	return at ? strtoull(at + strlen(want), NULL, 10) : 0;
}

/* Until it is least, or most; a test that waits in vain ends. */
static inline void wait_between(struct store *s, const char *key, uint64_t least, uint64_t most)
{
	int64_t deadline_ns = clock_ns() + (int64_t)60 * 1000000000;
	uint64_t value;

	while ((value = early(s, key)) < least || value > most) {
		if (clock_ns() > deadline_ns) {
			printf("# waited in vain: %s is %llu\n", key,
			       (unsigned long long)value);
			CHECK(!"wait_between");
			abort();
		}
		usleep(1000);
	}
}

static inline void wait_early(struct store *s, const char *key, uint64_t least)
{
	wait_between(s, key, least, UINT64_MAX);
}

static inline void wait_until_there_is_no_job(struct store *s)
{
	wait_between(s, "files", 0, 0);
}

static inline void write_at(struct handle *h, size_t offset, const uint8_t *data, size_t len,
			    bool cached)
{
	for (size_t done = 0; done < len;) {
		size_t n = MIN(len - done, MIB);

		CHECK_EQ(store_write(h, data + done, n, offset + done, cached), (long long)n);
		done += n;
	}
	memcpy(now + offset, data, len);
	now_bytes = MAX(now_bytes, offset + len);
}

static inline struct node *node_of(struct store *s, const char *name)
{
	struct node *n = NULL;

	CHECK_EQ(store_lookup(s, store_root(s), name, &n), 0);
	return n;
}

static inline void cut_to(struct store *s, const char *name, size_t size)
{
	struct stat want = {.st_size = (off_t)size}, st;
	struct caller c = me();
	unsigned set = STORE_SET_SIZE;
	struct node *n = node_of(s, name);

	CHECK_EQ(store_setattr(s, &c, n, &want, &set, &st), 0);
	node_unref(s, n, 1);
	memset(now + size, 0, MOST - size);
	now_bytes = size;
}

/* As far as a job goes while the file is open: 1 MiB from its end, in rounds of 16 chunks or more. */
static inline struct handle *begin_file(struct store *s, const char *name)
{
	struct handle *h = create(s, name, NULL);

	memset(now, 0, MOST);
	now_bytes = 0;
	write_at(h, 0, sample, SIZE, false);
	wait_early(s, "bytes", SIZE - BEHIND);
	return h;
}

static inline bool read_object(const char *name, char **out, size_t *len)
{
	return io_read_file(dir.fd, name, MOST, out, len) == 0;
}

/* The file as it is now is sealed without a job; its object is this one. */
static inline void compare_with_batch(struct store *s, const char *object)
{
	const char *batch = "batch.notepack.gz";
	CLEANUP_FREE char *a = NULL, *b = NULL;
	size_t a_len = 0, b_len = 0;
	uint64_t before = early(s, "reused_chunks") + early(s, "redone_chunks");
	struct handle *h = create(s, ".batch", NULL);

	for (size_t done = 0; done < now_bytes; done += MIB)
		CHECK_EQ(store_write(h, now + done, MIN(MIB, now_bytes - done), done, false),
			 (long long)MIN(MIB, now_bytes - done));
	store_release(h);
	CHECK_EQ(rename_to(s, ".batch", "batch"), 0);
	seal_all(s);
	CHECK_EQ(early(s, "reused_chunks") + early(s, "redone_chunks"), before);
	CHECK(read_object(object, &a, &a_len) && read_object(batch, &b, &b_len));
	CHECK_EQ(a_len, b_len);
	CHECK(a && b && a_len == b_len && memcmp(a, b, a_len) == 0);
	CHECK_EQ(remove_name(s, "batch"), 0);
	compared++;
}

/* Is the object of name what it would be if nothing had been compressed early? */
static inline void check_object(struct store *s, const char *name)
{
	char object[64];

	snprintf(object, sizeof(object), "%s.notepack.gz", name);
	CHECK(object_equals(&dir, object, now, now_bytes));
	if (!getenv("UNIT_QUICK"))
		compare_with_batch(s, object);
}

/* What UNIT_QUICK leaves out, as a test of its own: so it is counted. */
static inline void objects_are_those_of_a_batch(void)
{
	if (getenv("UNIT_QUICK")) {
		SKIP("UNIT_QUICK");
		return;
	}
	CHECK(compared > 0);
}

static inline void close_store(struct store *s)
{
	CHECK_EQ(store_close(s), 0);
	CHECK_EQ(count_entries(&dir, ".notepackfs/tmp"), 0);
	end();
}

/* Each chunk begins with bytes of its own, as a file of a program does, and goes on with one byte. */
static inline void sample_quick(void)
{
	for (size_t at = 0; at < MOST; at += CHUNK) {
		memset(sample + at, (int)(1 + at / CHUNK % 255), CHUNK);
		sample_text(sample + at, 8 << 10, at);
		sample_random(sample + at + (8 << 10), 8 << 10, at);
	}
}

static inline void early_begin(void)
{
	loud();
	codec = codec_find("auto")->name;
	sample = malloc(MOST);
	now = malloc(MOST);
	if (!sample || !now)
		abort();
	sample_quick();
}

static inline int early_done(void)
{
	RUN(objects_are_those_of_a_batch);
	free(sample);
	free(now);
	return unit_done();
}

#endif
