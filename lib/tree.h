/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tree: making, finding and removing names. The functions that fs calls are in lib/store.h.
 */
#ifndef NOTEPACKFS_LIB_TREE_H
#define NOTEPACKFS_LIB_TREE_H

#include "lib/core.h"

/* May a file of this plain name be removed, sealed bytes and all? */
bool may_delete(const struct store *s, const char *plain);

/* Make a directory ready for an operation on a name in it. 0 or -errno (-ENOENT: it was
 * removed). */
int enter_dir(struct store *s, struct node *dir, struct dir **out) EXCLUDES(s->lock);

/* May an entry of this kind be called so in this directory? 0 · -EPERM a sealed name · -EINVAL
 * · -ENAMETOOLONG · -EEXIST the reserved name */
int check_new_name_locked(struct store *s, struct dir *d, const char *name, enum node_kind kind)
    REQUIRES(s->lock);

/* One line that says why check_new_name_locked gave -EPERM, and what helps. */
void refuse_new_name(struct store *s, struct dir *d, const char *name);

/*
 * Remove a file, sealed or not, with all its parts. The caller has the node busy. The removal
 * is committed first; then the names go.
 */
int remove_file(struct store *s, struct file *f) EXCLUDES(s->lock);
/* The same for the parts of a file without a raw file; it keeps its name, which the caller gives
 * to another. On an error nothing has changed. */
int remove_sealed(struct store *s, struct file *f) EXCLUDES(s->lock);

#endif
