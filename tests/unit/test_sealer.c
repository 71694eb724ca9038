/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the sealer starts with, and the backoff of failed segments. The product of 0.25 s in nanoseconds and a power of two was
 * an int once: from the fifth failure on it was negative, and a segment was tried again at
 * once, for ever (L9).
 */
#include "lib/sealer.h"
#include "lib/store.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

static void waits_twice_as_long_after_each_failure_up_to_30_s_L9(void)
{
	int64_t expected_ns = 250000000;

	for (unsigned i = 0; i < 7; i++) {
		CHECK_EQ(sealer_backoff_ns(i), expected_ns);
		expected_ns *= 2;
	}
}

static void never_waits_longer_than_30_s_L9(void)
{
	for (unsigned i = 7; i < 100; i++)
		CHECK_EQ(sealer_backoff_ns(i), INT64_C(30000000000));
	CHECK_EQ(sealer_backoff_ns(UINT32_MAX), INT64_C(30000000000));
}

/* 0, or the exit status of a refusal. */
static int start_with(struct scratch *dir, const char *codec, int level)
{
	struct store_options options = {
	    .path = dir->path, .codec = codec, .level = level, .threads = 1};
	struct store_error error = {.text = ""};
	struct store *s;

	if (store_open(&options, NULL, &s, &error) != 0)
		return error.exit_status;
	CHECK_EQ(store_close(s), 0);
	return 0;
}

static void starts_with_codecs_and_levels_that_there_are(void)
{
	struct scratch dir;

	scratch_init(&dir);
	CHECK_EQ(start_with(&dir, NULL, 6), 0);
	CHECK_EQ(start_with(&dir, "auto", 1), 0);
	CHECK_EQ(start_with(&dir, "zlib", 9), 0);
	CHECK_EQ(start_with(&dir, "zlib", 10), 1);
	CHECK_EQ(start_with(&dir, "zlib", 0), 1);
	CHECK_EQ(start_with(&dir, "lzma", 1), 1);
	CHECK_EQ(start_with(&dir, "zlib", 1), 0); /* and the lock is free again */
	scratch_release(&dir);
}

int main(void)
{
	RUN(waits_twice_as_long_after_each_failure_up_to_30_s_L9);
	RUN(never_waits_longer_than_30_s_L9);
	RUN(starts_with_codecs_and_levels_that_there_are);
	return unit_done();
}
