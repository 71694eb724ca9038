/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * state_names: the directories and names that a state is made of, few, so that they meet. For
 * state_make.c.
 */
#ifndef NOTEPACKFS_TESTS_FUZZ_STATE_NAMES_H
#define NOTEPACKFS_TESTS_FUZZ_STATE_NAMES_H

#include "tests/fuzz/fuzz.h"

#define LONG10 "LLLLLLLLLL"
#define LONG50 LONG10 LONG10 LONG10 LONG10 LONG10

static const char *const dirs[] = {"", "d", "d/e", "t.tmp", "d/b", "", "", "gone"};
static const char *const names[] = {
    "a",
    "a.notepack",
    "b",
    "c.txt",
    ".h",
    "n.tmp",
    LONG50 LONG50 LONG50 LONG50 LONG10 "LLLLLLL",
    LONG50 LONG50 LONG50 LONG50 LONG10 LONG10 LONG10 "LLL",
    "a.notepack.notepack",
    "\xff\xfe",
    "a.recovered-1025",
    "b.notepack",
    "a.p000000002",
    "a.notepack.gz",
    "b.notepack.gz.invalid",
    "a.p000000001.notepack.gz",
};
static const uint16_t lengths[] = {1, 40, 700, 1365};

static const char *take_dir(struct input *in)
{
	return dirs[input_below(in, ARRAY_LEN(dirs))];
}

static const char *take_name(struct input *in)
{
	return names[input_below(in, ARRAY_LEN(names))];
}

#endif
