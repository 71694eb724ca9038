/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * leftover: objects whose removal is in the manifest, and that could not be unlinked.
 *
 * The next start would find and remove them (lib/recovery.h). Until then they must not stand in the
 * way of a new file of that name, nor outlive a stop that counts as clean.
 */
#ifndef NOTEPACKFS_LIB_LEFTOVER_H
#define NOTEPACKFS_LIB_LEFTOVER_H

#include "lib/core.h"

/* Unlink an object of d, a descriptor of which is dfd; on an error it is noted. 0 or -errno. */
int leftover_unlink(struct store *s, struct dir *d, int dfd, const char *object)
    EXCLUDES(s->lock);

/* Something is in the way of this object's name: was it removed, and can it be unlinked now? */
bool leftover_clear(struct store *s, struct dir *d, int dfd, const char *object)
    EXCLUDES(s->lock);

/* Try all of them again. false: some are left, or were not noted for want of memory. */
bool leftover_remove_all(struct store *s) EXCLUDES(s->lock);
void leftover_free_all_locked(struct store *s) REQUIRES(s->lock);

#endif
