/* SPDX-License-Identifier: BSD-2-Clause */
/* What is written comes back. */
#include "tests/unit/record_sample.h"

/* Without the newline, which must be there. */
static int decode(const struct buf *b, struct record *r)
{
	const char *reason = NULL;
	int err;

	CHECK(b->len && b->data[b->len - 1] == '\n');
	err = record_decode(b->data, b->len - 1, SUFFIX, r, &reason);
	if (err)
		printf("# %.*s: %s\n", (int)b->len - 1, b->data, reason);
	return err;
}

static void check_round_trip(const struct sealed *s, const char *dir, const char *plain)
{
	CLEANUP_BUF struct buf b = {0};
	struct record r = {0};

	encode(&b, s, dir, plain);
	CHECK(memchr(b.data, '\n', b.len - 1) == NULL);
	CHECK(name_is_utf8(b.data, b.len));
	if (decode(&b, &r) != 0) {
		CHECK(!"decodes");
		return;
	}
	CHECK_EQ(r.op, RECORD_SEALED);
	CHECK(same_facts(&r.sealed, s));
	CHECK_STR(r.dir, dir);
	CHECK_STR(r.name, plain);
	record_release(&r);
}

static void a_sealed_record_comes_back(void)
{
	struct sealed s = sample();

	check_round_trip(&s, "", "x");
	check_round_trip(&s, "a", "x.notepack");
	check_round_trip(&s, "a/b c/d", "events.jsonl");
	s.part = 2;
	check_round_trip(&s, "a", "x");
	s.part = NAME_PART_MAX;
	check_round_trip(&s, "a", "x");
	s.is_notepack = false;
	s.records = s.first_created_at = s.last_created_at = 0;
	check_round_trip(&s, "a", "x");
}

static void the_line_is_the_one_that_is_documented(void)
{
	CLEANUP_BUF struct buf b = {0};
	struct sealed s = sample();

	encode(&b, &s, "a", "x");
	CHECK_STR(
	    b.data,
	    "{\"seq\":7,\"path\":\"a/x.notepack.gz\",\"plain\":\"x\",\"id\":12,\"part\":1,"
	    "\"offset\":4096,\"raw_size\":1234567890123,\"gz_size\":345678,\"sha256\":"
	    "\"01080f161d242b323940474e555c636a71787f868d949ba2a9b0b7bec5ccd3da\","
	    "\"raw_sha256\":"
	    "\"fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0efeeedecebeae9e8e7e6e5e4e3e2e1e0\","
	    "\"crc32\":\"00c0ffee\",\"records\":99,\"first_created_at\":1700000000,"
	    "\"last_created_at\":1700000001,\"mtime\":\"1700000000.123456789\","
	    "\"sealed_at\":\"1700000002.000000001\",\"mode\":416,\"uid\":1000,\"gid\":100,"
	    "\"codec\":\"libdeflate\",\"level\":6}\n");
}

static void extreme_numbers_come_back(void)
{
	static const int64_t times[] = {
	    INT64_MIN, INT64_MIN + 1, -1000000000, -999999999, -1, 0, 1, 999999999, INT64_MAX};
	struct sealed s = sample();

	s.seq = UINT64_MAX;
	s.id = UINT64_MAX - 1;
	s.records = s.first_created_at = s.last_created_at = UINT64_MAX;
	s.offset = 1;
	s.raw_bytes = INT64_MAX - 1;
	s.gz_bytes = INT64_MAX;
	s.crc32 = s.uid = s.gid = UINT32_MAX;
	s.mode = 07777;
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		s.mtime_ns = times[i];
		s.sealed_at_ns = times[ARRAY_LEN(times) - 1 - i];
		check_round_trip(&s, "a", "x");
		/* An escape in the name: the other parser. */
		check_round_trip(&s, "a", "x\"y");
	}
	s = (struct sealed){.seq = 1, .id = 1, .part = 1};
	check_round_trip(&s, "", "x");
}

static void every_byte_of_a_path_comes_back(void)
{
	static const char *const names[] = {
	    "\xff\xfe", "caf\xe9", "caf\xc3\xa9", "\xed\xa0\x80",	 "a\"b",
	    "a\\b",	"a\nb",	   "a\x7f\x01",	  "\xf0\x9f\x8c\xb3",	 "..a",
	    " ",	"-",	   ".notepack",	  "x.notepack.notepack", "\\u0041"};
	struct sealed s = sample();

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		check_round_trip(&s, "", names[i]);
		check_round_trip(&s, names[i], "x");
		check_round_trip(&s, "\xff/d", names[i]);
	}
	for (int c = 1; c < 256; c++) {
		char name[] = {'n', (char)c, 'n', '\0'};

		if (c != '/')
			check_round_trip(&s, name, name);
	}
}

static void long_names_and_paths_come_back(void)
{
	char name[NAME_PLAIN_BYTES + 1], dir[4096];
	struct sealed s = sample();

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	memset(dir, '\xe9', sizeof(dir) - 1);
	for (size_t i = 200; i < sizeof(dir) - 2; i += 200)
		dir[i] = '/';
	dir[sizeof(dir) - 1] = '\0';
	check_round_trip(&s, dir, name);
}

static void the_other_lines_come_back(void)
{
	CLEANUP_BUF struct buf b = {0};
	struct sealed s = sample();
	struct record r = {0};

	record_encode_rm(&b, 8, &s, "a\xff", "x.notepack.gz");
	CHECK_EQ(decode(&b, &r), 0);
	CHECK(r.op == RECORD_RM && r.sealed.seq == 8 && r.sealed.id == 12 &&
	      r.sealed.part == 1);
	CHECK(memcmp(r.sealed.sha256, s.sha256, SHA256_BYTES) == 0);
	CHECK_STR(r.dir, "a\xff");
	CHECK_STR(r.name, "x.notepack.gz");
	record_release(&r);

	buf_reset(&b);
	record_encode_mvdir(&b, 9, "a", "b/c\xff");
	CHECK_EQ(decode(&b, &r), 0);
	CHECK(r.op == RECORD_MVDIR && r.sealed.seq == 9);
	CHECK_STR(r.from, "a");
	CHECK_STR(r.to, "b/c\xff");
	record_release(&r);

	buf_reset(&b);
	record_encode_intent(&b, 10, 0, "a/x", "a/y");
	CHECK_STR(b.data,
		  "{\"seq\":10,\"op\":\"intent\",\"id\":0,\"from\":\"a/x\",\"to\":\"a/y\"}\n");
	CHECK_EQ(decode(&b, &r), 0);
	CHECK(r.op == RECORD_INTENT && r.sealed.seq == 10 && r.sealed.id == 0);
	record_release(&r);

	buf_reset(&b);
	record_encode_done(&b, UINT64_MAX, 10);
	CHECK_EQ(decode(&b, &r), 0);
	CHECK(r.op == RECORD_DONE && r.sealed.seq == UINT64_MAX && r.intent == 10);
	record_release(&r);
}

/* Lines of different kinds and lengths, one after the other into the same record. */
static void memory_is_used_again(void)
{
	static const size_t lens[] = {200, 3, 150, 1, 1, 220, 40};
	CLEANUP_RECORD struct record r = {0};
	char dir[512], plain[NAME_BYTES + 1];
	const char *reason;

	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		CLEANUP_BUF struct buf b = {0}, other = {0};
		struct sealed s = sample();

		memset(plain, i % 2 ? 'p' : '\xff', lens[i]);
		plain[lens[i]] = '\0';
		snprintf(dir, sizeof(dir), "%s/%s", plain, plain);
		encode(&b, &s, i % 3 ? dir : "", plain);
		CHECK_EQ(decode(&b, &r), 0);
		CHECK(same_facts(&r.sealed, &s) && !r.from && !r.to);
		CHECK_STR(r.dir, i % 3 ? dir : "");
		CHECK_STR(r.name, plain);
		record_encode_mvdir(&other, 7, dir, "to");
		CHECK_EQ(decode(&other, &r), 0);
		CHECK(!r.dir && !r.name);
		CHECK_STR(r.from, dir);
		CHECK_STR(r.to, "to");
	}
	CHECK_EQ(record_decode("{}", 2, SUFFIX, &r, &reason), -EBADMSG);
	CHECK(!r.text && !r.text_size);
}

int main(void)
{
	RUN(a_sealed_record_comes_back);
	RUN(the_line_is_the_one_that_is_documented);
	RUN(extreme_numbers_come_back);
	RUN(every_byte_of_a_path_comes_back);
	RUN(long_names_and_paths_come_back);
	RUN(the_other_lines_come_back);
	RUN(memory_is_used_again);
	return unit_done();
}
