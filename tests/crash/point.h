/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * point: one fault in one scenario, and the verdict. A process for each stage: what came before, the
 * one that the fault meets, the one that looks at what it left.
 */
#ifndef NOTEPACKFS_TESTS_POINT_H
#define NOTEPACKFS_TESTS_POINT_H

#include "tests/crash/disk.h"
#include "tests/crash/scenario.h"

struct point {
	const struct scenario *scenario;
	struct shim_mode mode;
	long at, span;
	uint64_t seed;
	struct disk *disk; /* where the store is made; NULL: in a directory of /dev/shm */
};

struct verdict {
	long injected, total;
	int violations;
	int close_status;   /* world.h */
	bool started_twice; /* world.h */
	bool silent;	    /* an error was injected, and no one was told of it */
	bool in_json_c; /* it died in json-c for want of memory: counted, not held against us */
	char what[SHIM_WHAT];
	char text[512];
};

void point_run(const struct point *p, struct verdict *v);

#endif
