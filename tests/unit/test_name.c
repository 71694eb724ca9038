/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/name.h"

#include <errno.h>

#include "tests/unit/unit.h"

#define N ".notepack"

static const char *sealed(const char *plain, uint32_t part)
{
	static char out[NAME_BYTES + 1];

	return name_sealed(plain, part, N, out) == 0 ? out : "too long";
}

static const char *repeat(char c, size_t n)
{
	static char out[512];

	memset(out, c, n);
	out[n] = '\0';
	return out;
}

static void the_stem_is_the_name_without_the_suffix(void)
{
	CHECK_EQ(name_stem_len("x", N), 1);
	CHECK_EQ(name_stem_len("x.notepack", N), 1);
	CHECK_EQ(name_stem_len("x.notepack.notepack", N), 10);
	CHECK_EQ(name_stem_len("x.notepac", N), 9);
	CHECK_EQ(name_stem_len(".notepack", N), 9); /* nothing but the suffix: its own stem */
}

static void both_spellings_are_sealed_under_one_name(void)
{
	CHECK_STR(sealed("x", 1), "x.notepack.gz");
	CHECK_STR(sealed("x.notepack", 1), "x.notepack.gz");
	CHECK_STR(sealed("x", 2), "x.p000000002.notepack.gz");
	CHECK_STR(sealed("x.notepack", NAME_PART_MAX), "x.p999999999.notepack.gz");
	CHECK_STR(sealed(".notepack", 1), ".notepack.notepack.gz");
}

static void a_sealed_name_comes_apart_again(void)
{
	size_t stem;
	uint32_t part;

	CHECK(name_parse_sealed("x.notepack.gz", N, &stem, &part));
	CHECK_EQ(stem, 1);
	CHECK_EQ(part, 1);
	CHECK(name_parse_sealed("x.p000000002.notepack.gz", N, &stem, &part));
	CHECK_EQ(stem, 1);
	CHECK_EQ(part, 2);
	CHECK(name_parse_sealed("x.p123.notepack.gz", N, &stem, &part)); /* not nine digits */
	CHECK_EQ(stem, 6);
	CHECK_EQ(part, 1);
	CHECK(!name_parse_sealed("x.p000000001.notepack.gz", N, &stem, &part));
	CHECK(!name_parse_sealed("x.p000000000.notepack.gz", N, &stem, &part));
	CHECK(!name_parse_sealed("x.p000000002.p000000003.notepack.gz", N, &stem, &part));
	CHECK(!name_parse_sealed("x.gz", N, &stem, &part));
	CHECK(!name_parse_sealed(".notepack.gz", N, &stem, &part));
	CHECK(!name_parse_sealed("x.notepack", N, &stem, &part));
}

static void later_parts_sort_behind_the_first(void)
{
	char first[NAME_BYTES + 1];

	snprintf(first, sizeof(first), "%s", sealed("x", 1));
	CHECK(strcmp(first, sealed("x", 2)) < 0);
}

static void names_that_look_like_parts_are_refused(void)
{
	CHECK_EQ(name_check_plain("x.p000000002", N), -EINVAL);
	CHECK_EQ(name_check_plain("x.p000000002.notepack", N), -EINVAL);
	CHECK_EQ(name_check_plain("x.p00000002", N), 0);
	CHECK_EQ(name_check_plain(".p000000002", N), 0); /* no stem before it */
	CHECK_EQ(name_check_plain("x", N), 0);
}

static void the_longest_name_is_233_bytes(void)
{
	CHECK_EQ(name_check_plain(repeat('a', NAME_PLAIN_BYTES), N), 0);
	CHECK_EQ(name_check_plain(repeat('a', NAME_PLAIN_BYTES + 1), N), -ENAMETOOLONG);
	CHECK_EQ(strlen(sealed(repeat('a', NAME_PLAIN_BYTES), 1)), NAME_PLAIN_BYTES + 12);
	/* A stem of that length has a second part, too, of exactly 255 bytes or one byte less.
	 */
	CHECK_STR(sealed(repeat('a', 255), 1), "too long");
}

static void a_sealed_name_is_as_long_as_its_plain_name(void)
{
	CHECK_EQ(name_plain_bytes("x.notepack.gz", N), 1);
	CHECK_EQ(name_plain_bytes("x.p000000002.notepack.gz", N), 1);
	CHECK_EQ(name_plain_bytes("x.notepack.notepack.gz", N), strlen("x.notepack.notepack"));
	CHECK_EQ(name_plain_bytes("x.p000000001.notepack.gz", N),
		 strlen("x.p000000001.notepack.gz")); /* is none */
	CHECK_EQ(name_plain_bytes("x.gz", N), 4);
	CHECK_EQ(name_plain_bytes("x", N), 1);
}

static void suffixes_are_checked(void)
{
	CHECK_EQ(name_check_suffix(".notepack"), 0);
	CHECK_EQ(name_check_suffix(".x"), 0);
	CHECK_EQ(name_check_suffix("."), -EINVAL);
	CHECK_EQ(name_check_suffix("notepack"), -EINVAL);
	CHECK_EQ(name_check_suffix(".gz"), -EINVAL);
	CHECK_EQ(name_check_suffix(".a/b"), -EINVAL);
	CHECK_EQ(name_check_suffix(".a b"), -EINVAL);
	CHECK_EQ(name_check_suffix(".toolonger"), -EINVAL);
}

static void what_a_terminal_obeys_is_not_shown(void)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
	    {"plain gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80",
	     "plain gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80"},
	    {"two\nlines\r\t", "two?lines??"},
	    {"\033[31mred\033[0m", "?[31mred?[0m"},
	    {"\177", "?"},
	    {"\xc2\x9b"
	     "31m",
	     "??31m"}, /* CSI, as one character of C1 */
	    {"\x9b"
	     "31m",
	     "?31m"}, /* … and as a byte */
	    {"\xc2\xa0", "\xc2\xa0"},
	    {"\xe2\x80\xae"
	     "gpj",
	     "???gpj"}, /* right to left */
	    {"\xe2\x81\xa6", "???"},
	    {"\xe2\x80\xa8", "???"},
	    {"latin1 \xe9", "latin1 ?"},
	    {"torn \xe2\x82", "torn ??"},
	    {"\xed\xa0\x80", "???"},
	    {"", ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[64];

		snprintf(text, sizeof(text), "%s", cases[i].in);
		name_make_printable(text);
		CHECK_STR(text, cases[i].out);
	}
}

static void utf8_is_told_from_other_bytes(void)
{
	CHECK(name_is_utf8("gr\xc3\xbc\xc3\x9f", 6));
	CHECK(name_is_utf8("\xf0\x9f\x98\x80", 4));
	CHECK(!name_is_utf8("\xff", 1));
	CHECK(!name_is_utf8("\xc0\x80", 2));	 /* overlong */
	CHECK(!name_is_utf8("\xed\xa0\x80", 3)); /* a surrogate */
	CHECK(!name_is_utf8("\xf4\x90\x80\x80", 4));
	CHECK(!name_is_utf8("\xc3", 1)); /* torn */
}

static void globs_match_names_and_every_component(void)
{
	struct globs g;

	CHECK_EQ(globs_init(&g, NAME_DEFAULT_EXCLUDE), 0);
	CHECK_EQ(g.count, 6);
	CHECK(globs_match(&g, ".hidden"));
	CHECK(globs_match(&g, "a.tmp"));
	CHECK(globs_match(&g, "a~"));
	CHECK(!globs_match(&g, "a.tmp.txt"));
	CHECK(globs_match_path(&g, ".git/config"));
	CHECK(globs_match_path(&g, "a/b.part/c"));
	CHECK(!globs_match_path(&g, "a/b/c"));
	CHECK(!globs_match_path(&g, ""));
	globs_release(&g);
	CHECK_EQ(globs_init(&g, "::*.a::"), 0);
	CHECK_EQ(g.count, 1);
	globs_release(&g);
	CHECK_EQ(globs_init(&g, NULL), 0);
	CHECK(!globs_match(&g, "a"));
	globs_release(&g);
}

int main(void)
{
	RUN(the_stem_is_the_name_without_the_suffix);
	RUN(both_spellings_are_sealed_under_one_name);
	RUN(a_sealed_name_comes_apart_again);
	RUN(later_parts_sort_behind_the_first);
	RUN(names_that_look_like_parts_are_refused);
	RUN(the_longest_name_is_233_bytes);
	RUN(a_sealed_name_is_as_long_as_its_plain_name);
	RUN(suffixes_are_checked);
	RUN(utf8_is_told_from_other_bytes);
	RUN(what_a_terminal_obeys_is_not_shown);
	RUN(globs_match_names_and_every_component);
	return unit_done();
}
