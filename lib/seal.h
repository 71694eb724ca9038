/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seal: one segment from raw bytes to a complete, verified temporary object.
 *
 * All threads of the pool may work on one segment: each takes the next chunk, compresses it,
 * decompresses it again and compares; whoever finishes the chunk that is next in order writes
 * it (and what is ready behind it) and does the work that must be in order: the hashes, the
 * frame scanner. The result does not depend on the number of threads.
 */
#ifndef NOTEPACKFS_LIB_SEAL_H
#define NOTEPACKFS_LIB_SEAL_H

#include "lib/sealer.h"

/*
 * Begin. Opens the raw file and the temporary, and submits the first tasks to the pool. The end
 * is reported by sealer_compressed(…, seg, 0 or -errno, step): on 0 seg->record, tmp and tmp_fd
 * are filled in; on failure there is no temporary.
 */
void seal_start(struct store *s, struct sealer *p, struct segment *seg);

/*
 * Its raw file, for reading: referenced (*raw, given back with raw_put in every case), and open as *fd. 0 or
 * -errno, then *step may say what is wrong with it. -EMLINK: it can be changed through another name.
 */
int seal_open_raw(struct store *s, struct segment *seg, struct raw **raw, int *fd,
		  const char **step);

/*
 * What a segment of one chunk is made with, too (lib/seal_small.h).
 *
 * Compress len bytes, decompress them again and compare; gz has room for codec_bound(len) + VERIFIER_ROOM
 * bytes. Returns the compressed length, or -errno and *step says what has failed.
 */
ssize_t seal_compress(struct codec_state *state, const uint8_t *raw, size_t len, uint8_t *gz,
		      const char **step);

#endif
