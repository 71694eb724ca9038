/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load: a directory from the store and the manifest into memory, once, when it is first looked
 * into.
 *
 * What the store and the manifest disagree about is recovery's business (lib/recovery.h). What
 * is met here all the same (the store was changed from outside) is said in the log and left
 * alone.
 */
#ifndef NOTEPACKFS_LIB_LOAD_H
#define NOTEPACKFS_LIB_LOAD_H

#include "lib/core.h"

/* Load d unless it is loaded; raw files that want sealing are armed. 0 or -errno; the directory
 * is then not loaded, and the next look tries again. */
int dir_load(struct store *s, struct dir *d) EXCLUDES(s->lock);

#endif
