/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rotate: files that are held open for long: cut without being closed or fsynced, when enough is new
 * (rotate_size) or has been waiting for long enough (rotate_age); and the disk space of what is sealed
 * of a file that is open, for whichever reason it was cut.
 *
 * A try that cuts nothing (no record is complete yet, the name is excluded, a mapping has written) is
 * repeated when as much is new, or as much time has passed, once more.
 */
#ifndef NOTEPACKFS_LIB_ROTATE_H
#define NOTEPACKFS_LIB_ROTATE_H

#include "lib/core.h"

/* So much of an open file is sealed and has its raw bytes still, before they go: less is not worth the
 * fsync. */
#define ROTATE_SPACE_BYTES ((uint64_t)1 << 20)

/* Count from here: its first bytes behind `from` are new since now. */
void rotate_begin_locked(struct store *s, struct file *f, uint64_t from) REQUIRES(s->lock);

/* Is it time? For a file that someone has open for writing. */
bool rotate_is_due_locked(const struct store *s, const struct file *f, int64_t now_ns)
    REQUIRES(s->lock);

/* Have the timer thread look at it in time, unless that will be earlier. Call it for each change. */
void rotate_arm_locked(struct store *s, struct file *f) REQUIRES(s->lock);

/* A part is published: give back its raw bytes if its file is open for writing, and there are enough
 * of them, or is sealed piecewise (lib/piecewise.h). If someone outside still writes it, it is listed as
 * kept. The node is busy (by the caller). */
void rotate_published(struct store *s, struct file *f) EXCLUDES(s->lock);

#endif
