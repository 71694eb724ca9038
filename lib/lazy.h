/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lazy: changes of a sealed file's mode, owner, times or name, committed some seconds later.
 *
 * The objects in the store are changed at once (a rename, a chmod); the manifest follows within
 * LAZY_NS, at "sync MNT", or at the end. After a crash in between recovery finds the objects by
 * content, and takes their mode and owner; times that were changed in the last seconds are lost.
 */
#ifndef NOTEPACKFS_LIB_LAZY_H
#define NOTEPACKFS_LIB_LAZY_H

#include "lib/core.h"

#define LAZY_NS 5000000000

void lazy_mark_locked(struct store *s, struct file *f) REQUIRES(s->lock);
void lazy_unmark_locked(struct store *s, struct file *f) REQUIRES(s->lock);

/* Commit what is marked. 0, or the commit's error: what could not be committed stays marked.
 * Files that are busy are left for the next time. */
int lazy_flush(struct store *s) EXCLUDES(s->lock);

/* The same for the publisher, which has the tree: before a name is committed for one file, the
 * manifest must know that another one has left it. So renames under way are waited for; files
 * that the publisher itself holds are left to it. */
int lazy_flush_held(struct store *s) EXCLUDES(s->lock);

/* Set mode, owner and mtime of a file's objects to f->attrs, and their atime, which only they
 * have (tv_nsec may be UTIME_OMIT or UTIME_NOW). The caller has the node busy. */
int lazy_apply_attrs(struct store *s, struct file *f, struct timespec atime) EXCLUDES(s->lock);

/* The attributes of f that its newest record has not got: apply and mark. Node busy. */
void lazy_check_attrs(struct store *s, struct file *f) EXCLUDES(s->lock);

#endif
