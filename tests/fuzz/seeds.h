/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seeds: what the files of the program seeds share.
 */
#ifndef NOTEPACKFS_TESTS_FUZZ_SEEDS_H
#define NOTEPACKFS_TESTS_FUZZ_SEEDS_H

#include "lib/buf.h"
#include "tests/fuzz/fuzz.h"

/* Write DIR/target/seed-name. */
void seeds_write(const char *target, const char *name, const struct buf *b);

/* The seeds of seekgz, gzfile and gzindex. */
void seeds_gzip(void);

#endif
