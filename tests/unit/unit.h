/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unit: a plain main with named tests, TAP on stdout.
 *
 *	static void refuses_a_torn_header(void) { CHECK(…); CHECK_EQ(a, b); }
 *	int main(void) { RUN(refuses_a_torn_header); return unit_done(); }
 *
 * A failed check is counted and reported, from any thread; the test goes on. UNIT_FAIL_FAST
 * ends the process at the first one. SKIP says why a test cannot run here, and is counted by
 * TAP.
 */
#ifndef NOTEPACKFS_TESTS_UNIT_H
#define NOTEPACKFS_TESTS_UNIT_H

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_int unit_failures;
static int unit_tests, unit_failed;
static const char *unit_skip;

static inline void unit_fail(const char *file, int line, const char *what)
{
	atomic_fetch_add(&unit_failures, 1);
	printf("# %s:%d: failed: %s\n", file, line, what);
	fflush(stdout);
	if (getenv("UNIT_FAIL_FAST"))
		abort();
}

#define CHECK(x) ((x) ? (void)0 : unit_fail(__FILE__, __LINE__, #x))
#define CHECK_EQ(a, b)                                                                         \
	do {                                                                                   \
		long long unit_a = (long long)(a), unit_b = (long long)(b);                    \
		if (unit_a != unit_b) {                                                        \
			char unit_text[256];                                                   \
			snprintf(unit_text, sizeof(unit_text), "%s == %s (%lld, %lld)", #a,    \
				 #b, unit_a, unit_b);                                          \
			unit_fail(__FILE__, __LINE__, unit_text);                              \
		}                                                                              \
	} while (0)
#define CHECK_STR(a, b)                                                                        \
	do {                                                                                   \
		const char *unit_a = (a), *unit_b = (b);                                       \
		if (strcmp(unit_a, unit_b) != 0) {                                             \
			printf("# \"%s\" is not \"%s\"\n", unit_a, unit_b);                    \
			unit_fail(__FILE__, __LINE__, #a " == " #b);                           \
		}                                                                              \
	} while (0)
#define SKIP(reason) (unit_skip = (reason))

static inline void unit_run(const char *name, void (*test)(void))
{
	int before = atomic_load(&unit_failures);
	int failed;

	unit_skip = NULL;
	test();
	failed = atomic_load(&unit_failures) != before;
	unit_failed += failed;
	printf("%s %d - %s%s%s\n", failed ? "not ok" : "ok", ++unit_tests, name,
	       unit_skip ? " # SKIP " : "", unit_skip ? unit_skip : "");
	fflush(stdout);
}

#define RUN(test) unit_run(#test, test)

static inline int unit_done(void)
{
	printf("1..%d\n", unit_tests);
	return unit_failed != 0;
}

#endif
