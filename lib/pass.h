/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pass: files whose raw file someone appends to himself (fs has the kernel do it), so that no byte of it
 * comes through store_write. The functions that fs calls are in lib/store.h.
 *
 * What he does is the end of the file growing, and nothing else: he can neither read nor map it, and what
 * is there he cannot change. So a cut needs no more than to know how long it is. That is looked at
 * wherever it decides something, and where he is heard of (flush, fsync, release).
 *
 * While one such handle is open, or any that was opened beside it, whoever opens the same file maps the raw file itself,
 * though what he reads and writes comes here. Before a file is passed, its raw file has all of its bytes, and
 * while it is, it stays, and no hole is made in it; nor is one later, since a mapping outlives its handle. Who may map it to write can change
 * it unseen: then it is treated as one from before a crash.
 */
#ifndef NOTEPACKFS_LIB_PASS_H
#define NOTEPACKFS_LIB_PASS_H

#include "lib/core.h"

/* The raw file was seen to have this many bytes. In the gate. */
void pass_grown_locked(struct store *s, struct file *f, uint64_t bytes) REQUIRES(s->lock);

/* Look how long it is, if it may have grown past us. Takes the gate. to: only if it is not known to reach
 * there. */
void pass_learn(struct store *s, struct file *f) EXCLUDES(s->lock);
void pass_learn_to(struct store *s, struct file *f, uint64_t to) EXCLUDES(s->lock);
/* Of all that are open so; in NULL: or only of those in this directory. */
void pass_learn_all(struct store *s, const struct dir *in) EXCLUDES(s->lock);

/* By the timer thread, at store.pass_look_ns: how long they are decides of nothing then, but what is large is
 * compressed while it grows (lib/early.h). */
#define PASS_LOOK_NS INT64_C(1000000000)
void pass_look(struct store *s) EXCLUDES(s->lock);

/* The handle is being released. */
void pass_release_locked(struct store *s, struct handle *h) REQUIRES(s->lock);

#endif
