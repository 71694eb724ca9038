/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_impl: what store.c (the start, and the whole) and store_stop.c share.
 */
#ifndef NOTEPACKFS_LIB_STORE_IMPL_H
#define NOTEPACKFS_LIB_STORE_IMPL_H

#include "lib/core.h"

/* At the start: have room for what the stop has to say, even when the disk is full by then. */
void store_stop_prepare(struct store *s);

/* Drain, commit, and join every thread; not for a read-only store. Returns store_close's
 * status. */
int store_stop(struct store *s);

#endif
