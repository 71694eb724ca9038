/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * orphan: an object that had its final name when a crash came, and no record yet; its raw file still has
 * its bytes. A start moves it into LAYOUT_TMP, under a name that says whose it is, and cuts off its range
 * as the file's next segment. The pool reads it when that segment's turn comes, when the mount has long
 * been usable: if all of it is good it is the segment's temporary, and is published like any other; else it
 * goes to quarantine, and the segment is compressed.
 *
 * If the raw file has other bytes there, a power cut or a write error may have taken what nobody had synced:
 * the object was verified when they were right. So it is used all the same, but the raw file then stays
 * (raw_unproven), and the next start, which finds the difference, keeps that, too, under another name.
 *
 * It keeps its name in LAYOUT_TMP until then, also over a crash: it may be the only copy.
 */
#ifndef NOTEPACKFS_LIB_ORPHAN_H
#define NOTEPACKFS_LIB_ORPHAN_H

#include "lib/sealer.h"

#define ORPHAN_PATH_BYTES 64

/* Its path, from the store's root. */
void orphan_path(uint64_t id, uint32_t part, char out[ORPHAN_PATH_BYTES]);

/* Is this (of an entry of LAYOUT_TMP) the name of one? id, part: whose, if so. */
bool orphan_parse(const char *name, uint64_t *id, uint32_t *part);

/*
 * Cut the orphan's range off f, as its next segment; the caller submits it. 0 · -ESTALE: it is not what
 * comes next of f, and nothing has changed · -ENOMEM.
 */
int orphan_cut_locked(struct store *s, struct file *f, const struct sealed *rec,
		      struct segment **out) REQUIRES(s->lock);

/* seal_start of a segment that has one. */
void orphan_start(struct store *s, struct sealer *p, struct segment *seg);

#endif
