/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line of notepackfs: the arguments behind the name, with NULs between them.
 *
 * What is accepted is in range, what is handed to FUSE are words that FUSE may have, a refusal has a
 * message that fits, and durations, sizes and numbers are what exact arithmetic makes of them.
 */
#include "lib/name.h"
#include "mount/options.h"
#include "mount/value.h"
#include "tests/fuzz/fuzz.h"

#define ARGS_MAX 16
#define YEARS_100_NS (INT64_C(36500) * 86400 * 1000000000)

typedef unsigned __int128 u128;

/* ---- values ---- */

/* text is digits, perhaps a point and more digits, and a unit of this many 1/million. */
static bool exact(const char *text, u128 scale, size_t number_len, u128 max, uint64_t *out)
{
	u128 whole = 0, fraction = 0, divisor = 1;
	size_t i = 0, decimals = 0;

	for (; i < number_len && text[i] != '.'; i++) {
		whole = whole * 10 + (u128)(text[i] - '0');
		if (whole > max)
			return false;
	}
	for (i += i < number_len; i < number_len; i++, decimals++) {
		if (decimals < 6) { /* more are not looked at */
			fraction = fraction * 10 + (u128)(text[i] - '0');
			divisor *= 10;
		}
	}
	whole = whole * scale + scale * fraction / divisor;
	*out = (uint64_t)whole;
	return whole <= max;
}

/* Is it DIGITS[.DIGITS][UNIT]? The length without the unit; 0: no. */
static size_t number_length(const char *text, const char *units)
{
	size_t n = strspn(text, "0123456789");

	if (n == 0)
		return 0;
	if (text[n] == '.') {
		size_t decimals = strspn(text + n + 1, "0123456789");

		if (decimals == 0)
			return 0;
		n += 1 + decimals;
	}
	return text[n] == '\0' || (text[n + 1] == '\0' && strchr(units, text[n])) ? n : 0;
}

static void check_duration(const char *text)
{
	static const uint64_t seconds[] = {1, 60, 3600, 86400};
	static const char units[] = "smhd";
	size_t n = number_length(text, units);
	u128 scale = 1000000000;
	uint64_t wanted = 0;
	int64_t got = -1;
	bool ok = value_duration(text, &got);

	if (n && text[n])
		scale *= seconds[strchr(units, text[n]) - units];
	MUST(ok == (n && exact(text, scale, n, YEARS_100_NS, &wanted)));
	MUST(!ok || (uint64_t)got == wanted);
}

static void check_size(const char *text)
{
	static const char units[] = "KMGT";
	size_t n = number_length(text, units);
	u128 scale = 1;
	uint64_t got = 0, wanted = 0;
	bool ok = value_size(text, &got), right;

	if (n && text[n])
		scale <<= 10 * (strchr(units, text[n]) - units + 1);
	right = n && exact(text, scale, n, INT64_MAX, &wanted);
	if (n && scale == 1 && strchr(text, '.'))
		right = false; /* there is no half byte */
	MUST(ok == right);
	MUST(!ok || got == wanted);
}

static void check_number(const char *text)
{
	unsigned got = 0;

	if (!value_number(text, 3, 256, &got))
		return;
	MUST(got >= 3 && got <= 256);
	MUST(strspn(text, "0123456789") == strlen(text));
	MUST((unsigned long)got == strtoul(text, NULL, 10));
}

/* ---- the command line ---- */

static bool fuse_words_only(const char *list)
{
	static const char *const words[] = {",allow_other", ",allow_root", ",noexec",
					    ",noatime",	    ",sync",	   ",dirsync"};
	size_t i;

	while (*list) {
		for (i = 0; i < ARRAY_LEN(words); i++) {
			size_t n = strlen(words[i]);

			if (strncmp(list, words[i], n) == 0 &&
			    (list[n] == ',' || list[n] == '\0')) {
				list += n;
				break;
			}
		}
		if (i == ARRAY_LEN(words))
			return false;
	}
	return true;
}

static bool is_one_of(const char *s, int argc, char *const argv[])
{
	for (int i = 1; i < argc; i++) {
		if (argv[i] == s)
			return true;
	}
	return false;
}

static bool duration_ok(int64_t ns)
{
	return ns >= 0 && ns <= YEARS_100_NS;
}

static void check_accepted(const struct options *o, int argc, char *const argv[])
{
	MUST(is_one_of(o->store, argc, argv) && *o->store);
	MUST(is_one_of(o->mountpoint, argc, argv) && *o->mountpoint);
	MUST(o->foreground || !o->debug);
	MUST(o->codec && o->level >= o->codec->min_level && o->level <= o->codec->max_level);
	MUST(o->threads <= 256);
	MUST(!o->suffix || name_check_suffix(o->suffix) == 0);
	MUST(!o->allow_delete_globs || *o->allow_delete_globs);
	MUST(duration_ok(o->grace_ns) && duration_ok(o->cut_age_ns));
	MUST(duration_ok(o->rotate_age_ns) && o->rotate_bytes <= INT64_MAX);
	MUST(duration_ok(o->lockwait_ns) && duration_ok(o->stop_wait_ns));
	MUST(o->cut_bytes <= INT64_MAX && o->backlog_bytes <= INT64_MAX);
	MUST(!o->has_reserve || o->reserve_bytes <= INT64_MAX);
	MUST(o->fuse && fuse_words_only(o->fuse));
	MUST(!o->no_memory);
}

/* With room for a message of this size. */
static enum options_result parse(int argc, char *const argv[], size_t size)
{
	char *message = malloc(size);
	struct options o;
	enum options_result r;

	if (!message)
		abort();
	memset(message, 0x5a, size);
	r = options_parse(argc, argv, &o, message, size);
	MUST(r >= OPTIONS_RUN && r <= OPTIONS_WRONG);
	if (r == OPTIONS_RUN)
		check_accepted(&o, argc, argv);
	if (r == OPTIONS_WRONG)
		MUST(memchr(message, '\0', size) && (size == 1 || *message));
	options_release(&o);
	free(message);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *argv[ARGS_MAX + 2] = {(char *)"notepackfs"};
	struct input in = {data, size};
	enum options_result r;
	int argc = 1;

	while (in.len > 0 && argc <= ARGS_MAX) {
		size_t n = strnlen((const char *)in.p, in.len);

		argv[argc++] = input_string(&in, n);
		(void)input_byte(&in);
	}
	r = parse(argc, argv, 512);
	MUST(parse(argc, argv, 1) == r);
	MUST(parse(argc, argv, 40) == r);
	for (int i = 1; i < argc; i++) {
		check_duration(argv[i]);
		check_size(argv[i]);
		check_number(argv[i]);
		free(argv[i]);
	}
	return 0;
}
