/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ids: is a raw file's mark its own? A copy of a raw file has its mark, too (cp -a), and whoever owns
 * one can write anything into it. Two files with one id would take each other's records.
 */
#ifndef NOTEPACKFS_LIB_IDS_H
#define NOTEPACKFS_LIB_IDS_H

#include "lib/core.h"

/* Recovery has given out those that it needs. */
void ids_begin(struct store *s);

/* May a file that was found in the store, and has no record, have this id? Then it is taken: false
 * from now on. */
bool ids_claim_locked(struct store *s, uint64_t id) REQUIRES(s->lock);

/* It was not loaded after all. */
void ids_drop_locked(struct store *s, uint64_t id) REQUIRES(s->lock);

void ids_release(struct store *s);

#endif
