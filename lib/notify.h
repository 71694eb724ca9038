/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notify: says to store_hooks.changed which names of a file mean something else now.
 *
 * A file has several names (plain, and one for each object), and the kernel remembers what each
 * means. A request changes its memory of the one name that it was made by; the others are ours
 * to mention.
 */
#ifndef NOTEPACKFS_LIB_NOTIFY_H
#define NOTEPACKFS_LIB_NOTIFY_H

#include "lib/core.h"

/* The objects of these parts of a plain name in d. */
void notify_objects(struct store *s, struct dir *d, const char *plain, const uint32_t *parts,
		    uint32_t count) EXCLUDES(s->lock);

/* All objects of a file, which is busy, under the plain name that it has, or had, in d. */
void notify_file(struct store *s, struct dir *d, const char *plain, const struct file *f)
    EXCLUDES(s->lock);

/* The attributes of f and of its objects changed. f is busy. */
void notify_attributes(struct store *s, struct file *f) EXCLUDES(s->lock);

void notify_name(struct store *s, struct dir *d, const char *name) EXCLUDES(s->lock);

/* The plain name of f: it is listed since just now, or is no more. */
void notify_listed(struct store *s, struct file *f) EXCLUDES(s->lock);

#endif
