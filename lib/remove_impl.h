/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * remove_impl: what remove.c (what may be removed, whole files) and remove_part.c share.
 */
#ifndef NOTEPACKFS_LIB_REMOVE_IMPL_H
#define NOTEPACKFS_LIB_REMOVE_IMPL_H

#include "lib/core.h"

/*
 * Remove the first of several parts of f, which is busy (BUSY_HELD): the record, durably, then
 * the object. The plain content begins at the next part from then on. -EBUSY: someone has the
 * file open, or more of it is being sealed.
 */
int remove_first_part(struct store *s, struct file *f) EXCLUDES(s->lock);

#endif
