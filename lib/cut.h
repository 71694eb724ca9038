/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cut: when bytes are frozen.
 *
 * A file is armed with a deadline (lib/timer.h); the timer thread comes by then and looks at the file as it
 * is: closed and dirty: cut to its end; open and fsynced: cut at the last complete record, if
 * the rules for parts allow it; sealed, closed, with a raw file: the raw file is given up.
 */
#ifndef NOTEPACKFS_LIB_CUT_H
#define NOTEPACKFS_LIB_CUT_H

#include "lib/core.h"
#include "lib/timer.h"

/* Something has changed: note that the file is dirty; arm grace if no one has it open to write.
 */
void file_dirty_locked(struct store *s, struct file *f) REQUIRES(s->lock);

/* The last writer has gone. */
void file_closed_locked(struct store *s, struct file *f) REQUIRES(s->lock);

/* The last reader has gone, who may have kept a raw file from being given up. */
void file_unused_locked(struct store *s, struct file *f) REQUIRES(s->lock);

/* Put into, or take from, store.active. */
void active_update_locked(struct store *s, struct file *f) REQUIRES(s->lock);

/* Its deadline has come. By the timer thread. */
void cut_due(struct store *s, struct file *f) EXCLUDES(s->lock);

/* End grace now for every closed file. */
void cut_hurry_closed_locked(struct store *s) REQUIRES(s->lock);

/* The raw bytes of a file are all sealed: give them up if they may be. busy: the caller has the
 * node. Returns raw_drop()'s rest: to be closed behind all that others wait for, or -1. */
int file_drop_raw(struct store *s, struct file *f) EXCLUDES(s->lock);

#endif
