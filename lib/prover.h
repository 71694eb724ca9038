/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * prover: a thread that compares the raw files that a start after a crash has not read (recovery_raw.c)
 * with what was sealed of them, one after the other, while the mount is used. Until then they are unproven:
 * what has a record is read from its object, and the raw file stays. It holds no busy state and no gate
 * while it reads, so it is in no one's way.
 */
#ifndef NOTEPACKFS_LIB_PROVER_H
#define NOTEPACKFS_LIB_PROVER_H

#include "lib/core.h"

/* Before the timers run: the file's raw file is not proven. doubted: it was compared, and is not the
 * same; once all of the file is sealed the next start settles that. */
void prover_add(struct store *s, struct file *f, bool doubted) EXCLUDES(s->lock);

/* When everything else is up. Without a thread the work is done at once. */
void prover_start(struct store *s) EXCLUDES(s->lock);

/* Wait until all is compared: what agrees can go before the stop ends. */
void prover_finish(struct store *s) EXCLUDES(s->lock);

#endif
