/* SPDX-License-Identifier: BSD-2-Clause */
/* What must not be believed is refused, and what is not known is survived. */
#include "tests/unit/record_sample.h"

/* The sample line with the first `from` replaced; how it decodes. */
static int decode_changed(const char *from, const char *to)
{
	CLEANUP_BUF struct buf b = {0}, changed = {0};
	struct sealed s = sample();
	struct record r = {0};
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
	struct record a = {0}, b = {0};
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
	static const char twice[] = "{\"seq\":1,\"op\":\"done\",\"intent\":5,\"intent\":6}";
	static const char others[] = "\"\\{}[],:0-9.aA \x01\x80\xc3";
	CLEANUP_BUF struct buf b = {0};
	struct sealed s = sample();

	check_agreement(twice, sizeof(twice) - 1);
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
	struct record r = {0};
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
	struct record r = {0};

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
	RUN(members_that_are_not_known_are_ignored);
	RUN(wrong_members_are_refused);
	RUN(paths_that_leave_the_store_are_refused);
	RUN(both_parsers_agree_on_every_changed_byte);
	RUN(every_truncation_is_refused);
	RUN(any_bytes_are_survived);
	RUN(what_must_not_be_written_is_named);
	return unit_done();
}
