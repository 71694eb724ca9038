/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * file: open files: handles, and what changes a file's bytes. The functions that fs calls are
 * in lib/store.h.
 */
#ifndef NOTEPACKFS_LIB_FILE_H
#define NOTEPACKFS_LIB_FILE_H

#include "lib/core.h"

/* A handle for a node that the caller has referenced (the handle takes its own). raw:
 * referenced already (a file just created), or NULL to open what is needed. */
int handle_new(struct store *s, struct node *n, int flags, struct raw *raw, struct handle **out)
    EXCLUDES(s->lock);

/* A FLUSH comes for each close of each duplicate, a RELEASE once: note whether the handle's
 * latest operation was a FLUSH, most likely of its last close. */
void handle_flushed_locked(struct handle *h, bool flushed);

/* Set the size. -EPERM below the cut. Takes the gate. */
int file_truncate(struct store *s, struct file *f, uint64_t size) EXCLUDES(s->lock);

/* One line that says why a change was refused, and what helps. */
void refuse_change(struct store *s, struct node *n, const char *what) EXCLUDES(s->lock);

#endif
