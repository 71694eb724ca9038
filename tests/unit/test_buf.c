/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/buf.h"

#include "tests/unit/unit.h"

static void grows_and_stays_terminated(void)
{
	CLEANUP_BUF struct buf b = {0};

	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%03d,", i);
	CHECK_EQ(b.len, 4000);
	CHECK_EQ(b.data[b.len], 0);
	CHECK(memcmp(b.data + 3996, "999,", 4) == 0);
	buf_reset(&b);
	CHECK_EQ(b.len, 0);
	buf_add(&b, "a\0b", 3);
	CHECK_EQ(b.len, 3);
	CHECK(memcmp(b.data, "a\0b", 4) == 0);
}

static void a_failure_is_sticky(void)
{
	CLEANUP_BUF struct buf b = {0};

	buf_str(&b, "kept");
	b.failed = true;
	buf_str(&b, "not added");
	buf_printf(&b, "%d", 1);
	CHECK_STR(b.data, "kept");
	buf_release(&b);
	CHECK(!b.failed && !b.data && !b.len);
	buf_str(&b, "usable again");
	CHECK_STR(b.data, "usable again");
}

static void json_strings_are_escaped(void)
{
	CLEANUP_BUF struct buf b = {0};
	static const char text[] = "a\"b\\c\n\x01z";

	buf_json_string(&b, text, sizeof(text) - 1);
	CHECK_STR(b.data, "\"a\\\"b\\\\c\\u000a\\u0001z\"");
}

static void paths_that_are_no_utf8_are_base64(void)
{
	CLEANUP_BUF struct buf b = {0};

	buf_json_path(&b, "path", "x/y", 3);
	buf_json_path(&b, "path", "\xff\xfe", 2);
	CHECK_STR(b.data, "\"path\":\"x/y\"\"path_b64\":\"//4=\"");
}

static void base64_comes_back(void)
{
	uint8_t bytes[64];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 37 + 129);
	for (size_t len = 1; len <= sizeof(bytes); len++) {
		CLEANUP_BUF struct buf text = {0}, back = {0};
		size_t start;

		bytes[0] = 0xff; /* never UTF-8 */
		buf_json_path(&text, "k", (const char *)bytes, len);
		start = strlen("\"k_b64\":\"");
		CHECK(buf_base64_decode(&back, text.data + start, text.len - start - 1));
		CHECK_EQ(back.len, len);
		CHECK(back.len == len && memcmp(back.data, bytes, len) == 0);
	}
}

static void what_is_no_base64_is_refused(void)
{
	static const char *const bad[] = {
	    "a", "abc", "ab=c", "a===", "=abc", "ab!d", "ab==abcd"};
	CLEANUP_BUF struct buf b = {0};

	buf_str(&b, "before");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(!buf_base64_decode(&b, bad[i], strlen(bad[i])));
	CHECK_STR(b.data, "before");
}

int main(void)
{
	RUN(grows_and_stays_terminated);
	RUN(a_failure_is_sticky);
	RUN(json_strings_are_escaped);
	RUN(paths_that_are_no_utf8_are_base64);
	RUN(base64_comes_back);
	RUN(what_is_no_base64_is_refused);
	return unit_done();
}
