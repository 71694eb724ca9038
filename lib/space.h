/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * space: room on the store's file system, and raw bytes that wait to be sealed.
 *
 * The reserve is room that writers do not get: with it, what was written can be compressed and
 * recorded when they have filled the rest. Writers are refused in write(), while someone is there
 * who is told. The backlog is a limit for bytes that are cut and not sealed: beyond it, writers are
 * slowed down to about the speed of the sealing.
 */
#ifndef NOTEPACKFS_LIB_SPACE_H
#define NOTEPACKFS_LIB_SPACE_H

#include "lib/core.h"

/* The reserve if none was asked for: this much, or a part of a small file system. */
#define SPACE_RESERVE ((uint64_t)64 << 20)
#define SPACE_RESERVE_PART 16

/* May a writer have so many bytes? 0, or -ENOSPC: the reserve would be touched. Asks the file
 * system only now and then: the answer is good for half of what there was. */
int space_take(struct store *s, uint64_t bytes) EXCLUDES(s->lock);

/* What the file system has left for us, in bytes, reserve or not; UINT64_MAX if it does not say. */
uint64_t space_free(const struct store *s);

/* Is it room that is missing, when it says -ENOSPC? */
bool space_has_inodes(const struct store *s);

/*
 * Writers that are slowed down (store_pause in lib/store.h). Return those that may go on: all, if
 * the backlog is below its limit or the store stops, else those whose time is over; to be woken by
 * space_wake without the lock. *next_ns: when the next one's time is over (0: never).
 */
struct store_pause *space_due_locked(struct store *s, int64_t *next_ns) REQUIRES(s->lock);
void space_wake(struct store_pause *due);

#endif
