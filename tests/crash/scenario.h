/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scenario: what is done to a store while a fault is waiting for it.
 *
 * To add one: a function for what comes before (without faults; it ends without closing the store,
 * as by SIGKILL, or closes it), one for what is tested, a line in the table of scenario.c.
 */
#ifndef NOTEPACKFS_TESTS_SCENARIO_H
#define NOTEPACKFS_TESTS_SCENARIO_H

#include "tests/crash/world.h"

struct scenario {
	const char *name;
	void (*before)(struct world *w); /* in a process of its own; NULL: nothing */
	bool killed; /* and that is killed at an operation that the seed chooses */
	void (*run)(struct world *w);
};

extern const struct scenario scenarios[];
extern const unsigned scenario_count;

const struct scenario *scenario_find(const char *name);

#endif
