/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_impl: what store.c (the start, and the whole) and store_stop.c share.
 */
#ifndef NOTEPACKFS_LIB_STORE_IMPL_H
#define NOTEPACKFS_LIB_STORE_IMPL_H

#include "lib/core.h"

/* Drain, commit, and join every thread; not for a read-only store. Returns store_close's
 * status. */
int store_stop(struct store *s);

#endif
