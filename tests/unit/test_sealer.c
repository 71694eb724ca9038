/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The backoff of failed segments. The product of 0.25 s in nanoseconds and a power of two was
 * an int once: from the fifth failure on it was negative, and a segment was tried again at
 * once, for ever (L9).
 */
#include "lib/sealer.h"
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

int main(void)
{
	RUN(waits_twice_as_long_after_each_failure_up_to_30_s_L9);
	RUN(never_waits_longer_than_30_s_L9);
	return unit_done();
}
