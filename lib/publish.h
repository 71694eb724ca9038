/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * publish: from temporaries to objects, in the order that the design rests on:
 *
 *	fsync of the temporaries → rename without replacing → fsync of the directories
 *	→ manifest commit → flip → callers' caches, barriers, the event → raw bytes go
 *
 * Each step is done for the whole batch before the next begins: one fsync a directory, one
 * commit.
 */
#ifndef NOTEPACKFS_LIB_PUBLISH_H
#define NOTEPACKFS_LIB_PUBLISH_H

#include "lib/segment.h"

/*
 * Publish count segments, all READY, each the first of its file, on the publisher's thread. One
 * whose name is busy gets parked: its waiter puts it into the sealer's ready queue again. What
 * fails is handed to sealer_retry. What is published is freed, and the file's next segment
 * submitted.
 */
void publish_batch(struct store *s, struct segment **segs, size_t count);

#endif
