/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dirfd: O_PATH descriptors of backing directories, opened when needed, a bounded number kept.
 *
 * A descriptor follows its directory through renames; it is opened relative to the parent's, so
 * depth is not limited by PATH_MAX and no symbolic link in the store is ever followed.
 */
#ifndef NOTEPACKFS_LIB_DIRFD_H
#define NOTEPACKFS_LIB_DIRFD_H

#include "lib/core.h"

#define DIRFD_KEPT 512 /* idle descriptors kept open */

/* The descriptor, to be given back with dirfd_put; -ENOENT if the directory was removed, -EIO
 * if something else lies under its name, or another -errno. Takes store.lock. d must be
 * referenced or linked. */
int dirfd_get(struct store *s, struct dir *d) EXCLUDES(s->lock);
void dirfd_put(struct store *s, struct dir *d) EXCLUDES(s->lock);

/*
 * The same for the directory that has n, with the name that n has there. It waits until that
 * stands still; for a file, whose gate the caller may be in, until it is not being renamed.
 * On success *d is referenced until dirfd_put_named. -ENOENT: n has no name.
 */
int dirfd_get_named(struct store *s, struct node *n, char name[NAME_BYTES + 1], struct dir **d)
    EXCLUDES(s->lock);
void dirfd_put_named(struct store *s, struct dir *d) EXCLUDES(s->lock);

/* fsync the directory and, once in its life, the entries that lead to it. */
int dirfd_sync(struct store *s, struct dir *d) EXCLUDES(s->lock);

/* To its users the directory has changed, and the backing one has not: its times are now. */
void dirfd_changed(struct store *s, struct dir *d) EXCLUDES(s->lock);

/*
 * The times of a directory are its users': what publication does to it must not show. Between
 * hold and release getattr reports the held mtime; the last release of several gives it back to the backing
 * directory. touch says that a user's operation changed it meanwhile.
 */
void dirfd_hold_times(struct store *s, struct dir *d) EXCLUDES(s->lock);
void dirfd_release_times(struct store *s, struct dir *d) EXCLUDES(s->lock);
void dirfd_touch_locked(struct dir *d);

#endif
