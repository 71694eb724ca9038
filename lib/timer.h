/* SPDX-License-Identifier: BSD-2-Clause */
/* timer: the thread that sees in time to files, lazy commits, and writers that were slowed down. */
#ifndef NOTEPACKFS_LIB_TIMER_H
#define NOTEPACKFS_LIB_TIMER_H

#include "lib/core.h"

/* Have the timer thread look at f at this time (SOON: grace and below; LATER: retries,
 * cut_age). Each list is kept sorted; an earlier deadline of the file is replaced. */
void timer_arm_locked(struct store *s, struct file *f, int64_t deadline_ns, unsigned list)
    REQUIRES(s->lock);
void timer_disarm_locked(struct store *s, struct file *f) REQUIRES(s->lock);

/* Grace begins, anew if need be; not for what is waited for (by a barrier, or a reader of an
 * import): that keeps its deadline, or is due now. */
void timer_grace_locked(struct store *s, struct file *f) REQUIRES(s->lock);

/* After a failure; a drain does not wait for another try. */
void timer_retry_locked(struct store *s, struct file *f, int64_t wait_ns) REQUIRES(s->lock);

/* 0 or -errno (no thread). stop: cut everything that is closed, then end and join the thread.
 */
int timer_start(struct store *s);
void timer_stop(struct store *s);

#endif
