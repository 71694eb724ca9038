/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seal: one segment from raw bytes to a complete, verified temporary object.
 *
 * Its chunks come through a window (lib/window.h); what must be in order (the hashes, the frame scanner,
 * the file) is done as they come. Of a segment whose first chunks were compressed while it was written
 * lib/early.h does it, or gives them to us to be used again.
 */
#ifndef NOTEPACKFS_LIB_SEAL_H
#define NOTEPACKFS_LIB_SEAL_H

#include "lib/sealer.h"
#include "lib/seekgz_write.h"

/*
 * Begin. Opens the raw file and the temporary, and submits the first tasks to the pool. The end
 * is reported by sealer_compressed(…, seg, 0 or -errno, step): on 0 seg->record, tmp and tmp_fd
 * are filled in; on failure there is no temporary.
 */
void seal_start(struct store *s, struct sealer *p, struct segment *seg);

/* The same; early: chunks of the segment that are used again where they are right; given back with early_free
 * in the end. NULL: there are none. */
struct early;
void seal_begin(struct store *s, struct sealer *p, struct segment *seg, struct early *early);

/*
 * The raw file of f, for reading: referenced (*raw, given back with raw_put in every case), and open as *fd.
 * 0 or -errno, then *step may say what is wrong with it. -EMLINK: it can be changed through another name.
 */
int seal_open_raw(struct store *s, struct file *f, struct raw **raw, int *fd,
		  const char **step);

/* An object is complete: what its record says of it. */
void seal_fill_record(struct segment *seg, const struct lane *lane,
		      const struct seekgz_writer *w, const struct frames *frames);

#endif
