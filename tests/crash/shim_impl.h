/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the calls of shim_calls.c are made of. A call is: begin; unless it fails, the real thing;
 * end.
 */
#ifndef NOTEPACKFS_TESTS_SHIM_IMPL_H
#define NOTEPACKFS_TESTS_SHIM_IMPL_H

#include "tests/crash/shim.h"

#define SHIM_FDS 4096

extern struct shim_state *shim_armed;
extern __thread int shim_paused;
/* fsync of these has failed, and they were not closed since (I5). */
extern atomic_bool shim_sync_failed[SHIM_FDS];

/* The real syscall(2). */
long shim_sys(long number, long a, long b, long c, long d, long e, long f);

/* The turn of one call. */
struct shim_turn {
	bool hit;
	enum shim_action action;
	bool after;
	int err;
};

/* Is it this call's turn? what: a path, or NULL: fd's. Does not return from a kill. */
struct shim_turn shim_begin(unsigned classes, const char *call, int fd, const char *what);
/* Has the call to fail, without being made? errno is set. */
bool shim_fails(const struct shim_turn *t);
/* Without our doing: by the device. */
void shim_has_failed(const char *call, int fd);
/* The call was made. */
long shim_end(const struct shim_turn *t, long result);

/* Does what is done with this descriptor, this path, count? errno is left alone. */
bool shim_counts(int fd);
bool shim_path_counts(const char *path);

#endif
