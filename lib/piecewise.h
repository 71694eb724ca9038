/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * piecewise: a segment is sealed in several parts where the store's file system has less room than
 * it may need. Each part gives back the raw bytes that it holds before the next begins
 * (lib/rotate.h), so a disk that is nearly full empties itself.
 */
#ifndef NOTEPACKFS_LIB_PIECEWISE_H
#define NOTEPACKFS_LIB_PIECEWISE_H

#include "lib/segment.h"

/* Before a segment is compressed: shorten it to what there is room for. */
void piecewise_fit(struct store *s, struct segment *seg) EXCLUDES(s->lock);

/* It failed with err: if that is for want of room, and the file system had said that there is
 * enough (a quota, a thin volume), shorten it to half for the next try. */
void piecewise_failed(struct store *s, struct segment *seg, int err) EXCLUDES(s->lock);

#endif
