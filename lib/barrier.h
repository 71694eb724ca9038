/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * barrier: waits for segments, parked in memory (store_barrier in lib/store.h).
 */
#ifndef NOTEPACKFS_LIB_BARRIER_H
#define NOTEPACKFS_LIB_BARRIER_H

#include "lib/core.h"

/* Something was cut, published or removed: complete the barriers that wait for nothing any
 * more. Called without locks, from the store's own threads. */
void barrier_check(struct store *s) EXCLUDES(s->lock);

/* The mount stops: complete all, with err. */
void barrier_end_all(struct store *s, int err) EXCLUDES(s->lock);

/* The node of a path from the root (directories are loaded on the way), referenced. 0 or
 * -errno. */
int store_resolve(struct store *s, const struct caller *c, const char *path, struct node **out)
    EXCLUDES(s->lock);

#endif
