/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * point: one fault in one scenario, and the verdict. A process for each stage: what came before, the
 * one that the fault meets, the one that looks at what it left.
 */
#ifndef NOTEPACKFS_TESTS_POINT_H
#define NOTEPACKFS_TESTS_POINT_H

#include "tests/crash/scenario.h"

struct point {
	const struct scenario *scenario;
	struct shim_mode mode;
	long at, span;
	uint64_t seed;
	/* Where the store is made; NULL: in a new directory of /dev/shm, removed afterwards. */
	const char *dir;
	void (*cut)(void);     /* what a hook does: it does not return */
	void (*restart)(void); /* between the fault and the look at it; may be NULL */
};

struct verdict {
	long injected, total;
	int violations;
	bool silent; /* an error was injected, and no one was told of it */
	char what[SHIM_WHAT];
	char text[512];
};

void point_run(const struct point *p, struct verdict *v);

#endif
