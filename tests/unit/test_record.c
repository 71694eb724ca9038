/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <limits.h>

#include "lib/name.h"
#include "lib/record.h"
#include "tests/unit/unit.h"

#define SUFFIX ".notepack"

static struct sealed sample(void)
{
	struct sealed s = {
	    .seq = 7,
	    .id = 12,
	    .part = 1,
	    .offset = 4096,
	    .raw_bytes = 1234567890123,
	    .gz_bytes = 345678,
	    .records = 99,
	    .first_created_at = 1700000000,
	    .last_created_at = 1700000001,
	    .mtime_ns = 1700000000123456789,
	    .sealed_at_ns = 1700000002000000001,
	    .crc32 = 0x00c0ffee,
	    .mode = 0640,
	    .uid = 1000,
	    .gid = 100,
	    .codec = 1,
	    .level = 6,
	    .is_notepack = true,
	};

	for (int i = 0; i < SHA256_BYTES; i++) {
		s.sha256[i] = (uint8_t)(i * 7 + 1);
		s.raw_sha256[i] = (uint8_t)(255 - i);
	}
	return s;
}

static void encode(struct buf *b, const struct sealed *s, const char *dir, const char *plain)
{
	char object[NAME_BYTES + 1];

	CHECK_EQ(name_sealed(plain, s->part, SUFFIX, object), 0);
	buf_reset(b);
	record_encode_sealed(b, s, dir, object, plain);
	CHECK(!b->failed);
}

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

static bool same_facts(const struct sealed *a, const struct sealed *b)
{
	return a->seq == b->seq && a->id == b->id && a->part == b->part &&
	       a->offset == b->offset && a->raw_bytes == b->raw_bytes &&
	       a->gz_bytes == b->gz_bytes && a->is_notepack == b->is_notepack &&
	       a->records == b->records && a->first_created_at == b->first_created_at &&
	       a->last_created_at == b->last_created_at && a->mtime_ns == b->mtime_ns &&
	       a->sealed_at_ns == b->sealed_at_ns && a->crc32 == b->crc32 &&
	       a->mode == b->mode && a->uid == b->uid && a->gid == b->gid &&
	       a->codec == b->codec && a->level == b->level &&
	       memcmp(a->sha256, b->sha256, SHA256_BYTES) == 0 &&
	       memcmp(a->raw_sha256, b->raw_sha256, SHA256_BYTES) == 0;
}

static void check_round_trip(const struct sealed *s, const char *dir, const char *plain)
{
	CLEANUP_BUF struct buf b = {0};
	struct record r;

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
	struct record r;

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

/* The sample line with the first `from` replaced; how it decodes. */
static int decode_changed(const char *from, const char *to)
{
	CLEANUP_BUF struct buf b = {0}, changed = {0};
	struct sealed s = sample();
	struct record r;
	const char *reason = NULL, *at;
	int err;

	encode(&b, &s, "a", "x");
	at = strstr(b.data, from);
	if (!at) {
		printf("# %s is not in the line\n", from);
		return 0;
	}
	buf_add(&changed, b.data, (size_t)(at - b.data));
	buf_str(&changed, to);
	buf_add(&changed, at + strlen(from), b.len - 1 - (size_t)(at - b.data) - strlen(from));
	err = record_decode(changed.data, changed.len, SUFFIX, &r, &reason);
	if (err)
		CHECK(reason != NULL);
	else
		record_release(&r);
	return err;
}

static void members_that_are_not_known_are_ignored(void)
{
	CHECK_EQ(decode_changed("\"id\"", "\"new\":1,\"id\""), 0);
	CHECK_EQ(decode_changed("\"id\"", "\"new\":{\"a\":[1,null,-1.5e3]},\"id\""), 0);
	CHECK_EQ(decode_changed("{", "{\"new\":\"\\u0000\","), 0);
	CHECK_EQ(decode_changed("{", "{ "), 0);
}

static void wrong_members_are_refused(void)
{
	static const struct {
		const char *from, *to;
	} changes[] = {
	    {"\"seq\":7", "\"seq\":0"},
	    {"\"seq\":7", "\"seq\":-7"},
	    {"\"seq\":7", "\"seq\":7.0"},
	    {"\"seq\":7", "\"seq\":\"7\""},
	    {"\"seq\":7", "\"seq\":true"},
	    {"\"seq\":7", "\"seq\":null"},
	    {"\"seq\":7", "\"seq\":18446744073709551616"},
	    {"\"seq\":7", "\"seq\":99999999999999999999999"},
	    {"\"seq\":7", "\"seq\":07"},
	    {"\"seq\":7,", ""},
	    {"\"seq\":7", "\"op\":\"new\",\"seq\":7"},
	    {"\"seq\":7", "\"op\":1,\"seq\":7"},
	    {"\"id\":12", "\"id\":0"},
	    {"\"id\":12", "\"id\":18446744073709551615"},
	    {"\"part\":1,", "\"part\":0,"},
	    {"\"part\":1,", "\"part\":2,"},
	    {"\"part\":1,", "\"part\":1000000000,"},
	    {"\"part\":1,", "\"part\":4294967297,"},
	    {"\"offset\":4096", "\"offset\":9223372036854775808"},
	    {"\"offset\":4096", "\"offset\":9223372036854775807"},
	    {"\"offset\":4096", "\"offset\":[4096]"},
	    {"\"sha256\":\"01", "\"sha256\":\"0"},
	    {"\"sha256\":\"01", "\"sha256\":\"001"},
	    {"\"sha256\":\"01", "\"sha256\":\"0G"},
	    {"\"sha256\":\"01080f", "\"sha256\":\"01080F"},
	    {"\"crc32\":\"00c0ffee\"", "\"crc32\":12648430"},
	    {"\"records\":99,", ""},
	    {"\"records\":99", "\"records\":\"99\""},
	    {"\"mtime\":\"1700000000.123456789\"", "\"mtime\":1700000000.123456789"},
	    {"1700000000.123456789", "1700000000"},
	    {"1700000000.123456789", "1700000000.12345678"},
	    {"1700000000.123456789", "01700000000.123456789"},
	    {"1700000000.123456789", "+1700000000.123456789"},
	    {"1700000000.123456789", "1700000000.1234567890"},
	    {"1700000000.123456789", ".123456789"},
	    {"1700000000.123456789", ""},
	    {"1700000000.123456789", "-"},
	    {"1700000000.123456789", "-0.000000000"},
	    {"1700000000.123456789", "9223372036.854775808"},
	    {"1700000000.123456789", "-9223372036.854775809"},
	    {"1700000000.123456789", "99999999999999999999.123456789"},
	    {"\"mode\":416", "\"mode\":4096"},
	    {"\"uid\":1000", "\"uid\":4294967296"},
	    {"\"codec\":\"libdeflate\"", "\"codec\":\"zstd\""},
	    {"\"codec\":\"libdeflate\"", "\"codec\":1"},
	    {"\"level\":6", "\"level\":13"},
	    {"\"plain\":\"x\"", "\"plain\":\"y\""},
	    {"\"plain\":\"x\"", "\"plain\":\"\""},
	    {"\"plain\":\"x\"", "\"plain\":\"a/x\""},
	    {"\"plain\":\"x\"", "\"plain\":\"x\",\"plain_b64\":\"eA==\""},
	    {"\"plain\":\"x\"", "\"plain_b64\":\"eA=\""},
	    {"\"plain\":\"x\"", "\"plain_b64\":\"eAA=\""},
	    {"\"plain\":\"x\"", "\"plain\":\"x\\u0000\""},
	    {"\"path\":\"a/x.notepack.gz\"", "\"path\":\"a/x.gz\""},
	    {"}", "},"},
	    {"}", ""},
	    {"{", "[{"},
	    {"a/x", "a\xff/x"},
	};

	CHECK_EQ(decode_changed("\"seq\":7", "\"seq\":7"), 0);
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		int err = decode_changed(changes[i].from, changes[i].to);

		if (err != -EBADMSG)
			printf("# %s → %s: %d\n", changes[i].from, changes[i].to, err);
		CHECK_EQ(err, -EBADMSG);
	}
}

static void paths_that_leave_the_store_are_refused(void)
{
	static const char *const bad[] = {"",	 "/a",		"a/",		"a//b",
					  ".",	 "..",		"a/../b",	"a/.",
					  "./a", ".notepackfs", ".notepackfs/x"};
	static const char *const good[] = {"a",	 "a/b",		  "...",
					   ".a", "a/.notepackfs", ".notepackfs2"};
	char path[4 * NAME_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CHECK(!record_path_ok(bad[i]));
		snprintf(path, sizeof(path), "\"path\":\"%s/x.notepack.gz\"", bad[i]);
		CHECK_EQ(decode_changed("\"path\":\"a/x.notepack.gz\"", path), -EBADMSG);
	}
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		CHECK(record_path_ok(good[i]));
	memset(path, 'a', sizeof(path));
	path[NAME_BYTES] = '\0';
	CHECK(record_path_ok(path));
	path[NAME_BYTES] = 'a';
	path[NAME_BYTES + 1] = '\0';
	CHECK(!record_path_ok(path));
	CHECK(record_move_ok("a", "ab") && record_move_ok("a/b", "a"));
	CHECK(!record_move_ok("a", "a") && !record_move_ok("a", "a/b") &&
	      !record_move_ok("a", ""));
}

/* Is this decoded alike by both parsers? A blank behind the brace makes it json-c's. */
static void check_agreement(const char *line, size_t len)
{
	CLEANUP_BUF struct buf blank = {0};
	const char *reason;
	struct record a, b;
	int err_a, err_b;

	buf_str(&blank, "{ ");
	buf_add(&blank, line + 1, len - 1);
	err_a = record_decode(line, len, SUFFIX, &a, &reason);
	err_b = record_decode(blank.data, blank.len, SUFFIX, &b, &reason);
	CHECK_EQ(err_a, err_b);
	if (!err_a && !err_b) {
		CHECK(same_facts(&a.sealed, &b.sealed));
		CHECK(a.op == b.op && a.intent == b.intent);
		CHECK(!a.name == !b.name && (!a.name || strcmp(a.name, b.name) == 0));
		CHECK(!a.dir == !b.dir && (!a.dir || strcmp(a.dir, b.dir) == 0));
	}
	if (!err_a)
		record_release(&a);
	if (!err_b)
		record_release(&b);
}

static void both_parsers_agree_on_every_changed_byte(void)
{
	static const char others[] = "\"\\{}[],:0-9.aA \x01\x80\xc3";
	CLEANUP_BUF struct buf b = {0};
	struct sealed s = sample();

	encode(&b, &s, "caf\xc3\xa9", "x");
	b.len--; /* the newline */
	check_agreement(b.data, b.len);
	for (size_t i = 1; i < b.len; i++) {
		char was = b.data[i];

		for (size_t k = 0; k < sizeof(others) - 1; k++) {
			b.data[i] = others[k];
			check_agreement(b.data, b.len);
		}
		b.data[i] = was;
	}
}

static void every_truncation_is_refused(void)
{
	CLEANUP_BUF struct buf b = {0};
	struct sealed s = sample();
	struct record r;
	const char *reason;

	encode(&b, &s, "a", "x");
	for (size_t len = 0; len + 1 < b.len; len++) {
		CLEANUP_FREE char *copy = malloc(len + 1);

		memcpy(copy, b.data, len);
		CHECK_EQ(record_decode(copy, len, SUFFIX, &r, &reason), -EBADMSG);
	}
}

static void any_bytes_are_survived(void)
{
	static const char *const lines[] = {
	    "",
	    "{",
	    "{}",
	    "[]",
	    "null",
	    "\"",
	    "{\"",
	    "{\"seq",
	    "{\"seq\"",
	    "{\"seq\":",
	    "{\"seq\":1",
	    "{\"seq\":1,",
	    "{\"seq\":1}",
	    "{\"seq\":1,\"seq\":2}",
	    "{\"seq\":1,\"op\":\"rm\"}",
	    "{\"seq\":1,\"op\":\"mvdir\",\"from\":\"a\"}",
	    "{\"seq\":1,\"op\":\"mvdir\",\"from\":\"a\",\"to\":\"a/b\"}",
	    "{\"seq\":1,\"op\":\"done\",\"intent\":0}",
	    "[[[[[[[[[[[[[[[[",
	    "{\"a\":{\"a\":{\"a\":{",
	    "{'seq':1}",
	    "nan",
	    "-",
	    "{\"seq\":-}"};
	CLEANUP_BUF struct buf b = {0};
	static const char alphabet[] = "{}\":,0123seqidop\\u\xff ";
	unsigned seed = 1;
	const char *reason;
	struct record r;

	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		CHECK_EQ(record_decode(lines[i], strlen(lines[i]), SUFFIX, &r, &reason),
			 -EBADMSG);
	for (int i = 0; i < 20000; i++) {
		char bytes[64];
		size_t len = (size_t)(rand_r(&seed) % 64);

		for (size_t k = 0; k < len; k++)
			bytes[k] = alphabet[(size_t)rand_r(&seed) % sizeof(alphabet)];
		if (record_decode(bytes, len, SUFFIX, &r, &reason) == 0)
			record_release(&r);
	}
	for (int i = 0; i < 3 << 18; i++)
		buf_add(&b, "{\"a\":", 5);
	CHECK_EQ(record_decode(b.data, b.len, SUFFIX, &r, &reason), -EBADMSG);
	CHECK_EQ(record_decode(b.data, 1 << 20, SUFFIX, &r, &reason), -EBADMSG);
}

static void what_must_not_be_written_is_named(void)
{
	struct sealed s = sample();

	CHECK(record_check_sealed(&s, "a", "x", SUFFIX) == NULL);
	CHECK(record_check_sealed(&s, "", "x", SUFFIX) == NULL);
	CHECK(record_check_sealed(&s, "..", "x", SUFFIX) != NULL);
	CHECK(record_check_sealed(&s, "a", "", SUFFIX) != NULL);
	CHECK(record_check_sealed(&s, "a", "..", SUFFIX) != NULL);
	CHECK(record_check_sealed(&s, "a", "x/y", SUFFIX) != NULL);
	CHECK(record_check_sealed(&s, "a", "x.p000000002", SUFFIX) != NULL);
	CHECK(record_check_sealed(&s, "", ".notepackfs", SUFFIX) != NULL);
	s.codec = 200;
	CHECK(record_check_sealed(&s, "a", "x", SUFFIX) != NULL);
	CHECK_EQ(record_codec_number("none"), -EINVAL);
	for (unsigned i = 0; record_codec_name(i); i++)
		CHECK_EQ(record_codec_number(record_codec_name(i)), i);
}

int main(void)
{
	RUN(a_sealed_record_comes_back);
	RUN(the_line_is_the_one_that_is_documented);
	RUN(extreme_numbers_come_back);
	RUN(every_byte_of_a_path_comes_back);
	RUN(long_names_and_paths_come_back);
	RUN(the_other_lines_come_back);
	RUN(members_that_are_not_known_are_ignored);
	RUN(wrong_members_are_refused);
	RUN(paths_that_leave_the_store_are_refused);
	RUN(both_parsers_agree_on_every_changed_byte);
	RUN(every_truncation_is_refused);
	RUN(any_bytes_are_survived);
	RUN(what_must_not_be_written_is_named);
	return unit_done();
}
