/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cut: when bytes are frozen, and the thread that sees to it in time.
 *
 * A file is armed with a deadline; the timer thread comes by then and looks at the file as it
 * is: closed and dirty: cut to its end; open and fsynced: cut at the last complete record, if
 * the rules for parts allow it; sealed, closed, with a raw file: the raw file is given up.
 */
#ifndef NOTEPACKFS_LIB_CUT_H
#define NOTEPACKFS_LIB_CUT_H

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

/* Something has changed: note that the file is dirty; arm grace if no one has it open to write.
 */
void file_dirty_locked(struct store *s, struct file *f) REQUIRES(s->lock);

/* The last writer has gone. */
void file_closed_locked(struct store *s, struct file *f) REQUIRES(s->lock);

/* The last reader has gone, who may have kept a raw file from being given up. */
void file_unused_locked(struct store *s, struct file *f) REQUIRES(s->lock);

/* Put into, or take from, store.active. */
void active_update_locked(struct store *s, struct file *f) REQUIRES(s->lock);

/* End grace now for every closed file. */
void cut_hurry_closed_locked(struct store *s) REQUIRES(s->lock);

/* The raw bytes of a file are all sealed: give them up if they may be. busy: the caller has the
 * node. */
void file_drop_raw(struct store *s, struct file *f) EXCLUDES(s->lock);

/* 0 or -errno (no thread). stop: cut everything that is closed, then end and join the thread.
 */
int timers_start(struct store *s);
void timers_stop(struct store *s);

#endif
