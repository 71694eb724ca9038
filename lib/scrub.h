/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scrub: a thread that reads every sealed object again, once in each interval, and verifies it.
 *
 * The reading is spread evenly: plain bytes of the archive by the interval are the rate, but at
 * most SCRUB_RATE_MAX; a pass that takes longer for that is followed by the next at once. It
 * pauses while segments wait to be sealed, or are sealed. A pass begins somewhere in the archive,
 * elsewhere at each mount, so that short mounts get around, too. Objects are read from the disk,
 * not from the page cache. What is found is damage (lib/damage.h).
 */
#ifndef NOTEPACKFS_LIB_SCRUB_H
#define NOTEPACKFS_LIB_SCRUB_H

#include "lib/core.h"

#define SCRUB_RATE_MAX ((uint64_t)32 << 20) /* plain bytes a second */

/* Start, if options.scrub_ns > 0; 0 or -errno. Stop at once, in the middle of an object. */
int scrub_start(struct store *s) EXCLUDES(s->lock);
void scrub_stop(struct store *s) EXCLUDES(s->lock);

/* Its JSON object, or null. */
void scrub_status_locked(struct store *s, struct buf *out) REQUIRES(s->lock);

#endif
