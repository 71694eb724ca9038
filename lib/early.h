/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * early: the chunks of a large file are compressed while it is still being written, by the pool's threads of
 * low priority (lib/pool.h).
 *
 * A job begins with the first 64 MiB that are not cut, and follows the writer at a distance, into a
 * temporary that is written in order, with the hashes of a seal. When the last writer has gone it makes the
 * end, too, ahead of the cut: the header, and the SHA-256 of the object, which cannot be begun before; and it
 * compares the CRC-32 of every chunk with what the raw file has (not every writer is seen). The cut hands the
 * job to its segment. Then
 *   - nothing was changed behind it: what is missing is compressed, and the temporary is the object's. The
 *     chunks are compared now, unless they were when the last writer had gone, none has come since, and the
 *     raw file's size and times are what they were;
 *   - else each chunk is used again that decompresses to what the raw file has now, in a temporary made anew,
 *     and the others are compressed.
 * In both cases the object is the one that it would be without a job.
 *
 * A job gives way: it ends, and what it has made is dropped, for want of room, memory, descriptors, or a place
 * among the jobs (one for each thread), on any error, and where its segment is not what it began with. The
 * segment is then sealed as any other. Memory: a window (lib/window.h) while it is at work, and 8 bytes a
 * chunk.
 */
#ifndef NOTEPACKFS_LIB_EARLY_H
#define NOTEPACKFS_LIB_EARLY_H

#include "lib/core.h"

struct early;
struct lane;
struct sealer;
struct segment;
struct seekgz_writer;

/* ---- what happens to files ---- */

/* The bytes [from, to) were changed, by whom the daemon sees; from == to: its length was. Behind the change.
 * Begins a job, if it is time. */
void early_changed_locked(struct store *s, struct file *f, uint64_t from, uint64_t to)
    REQUIRES(s->lock);
/* It is about to end here. Before that. */
void early_truncated_locked(struct store *s, struct file *f, uint64_t size) REQUIRES(s->lock);
/* Someone has opened it to write. */
void early_opened_locked(struct file *f);
/* The last writer has gone. */
void early_closed_locked(struct store *s, struct file *f) REQUIRES(s->lock);
/* seg was cut off it. */
void early_cut_locked(struct store *s, struct file *f, struct segment *seg) REQUIRES(s->lock);
/* It has no name any more, or is an import. */
void early_removed_locked(struct store *s, struct file *f) REQUIRES(s->lock);
/* The segment goes, sealed or not. */
void early_forget_locked(struct store *s, struct segment *seg) REQUIRES(s->lock);

/* ---- the seal ---- */

/* seal_start of a segment that has a job: false, it has none (any more), and nothing was done. */
bool early_seal(struct store *s, struct sealer *p, struct segment *seg) EXCLUDES(s->lock);

/* For lib/seal.h, which uses the chunks again: these, compressed in this lane; how many were right; the end. */
const struct seekgz_writer *early_chunks(const struct early *e);
struct lane *early_lane(const struct early *e);
void early_count(struct store *s, const struct early *e, uint64_t reused) EXCLUDES(s->lock);
void early_free(struct early *e); /* NULL: does nothing */

/* ---- the store ---- */

/* Room is wanted: the room of all jobs that are not being sealed is free when this returns. False: there were
 * none. */
bool early_give_way(struct store *s) EXCLUDES(s->lock);

/* End all jobs, and wait for that: those of files that were not cut, or with cut all but those that are being
 * sealed. No new one begins once the store stops. */
void early_stop(struct store *s, bool cut) EXCLUDES(s->lock);

/* For the status: {…}, as in notepackfs(5). */
void early_status_locked(const struct store *s, struct buf *out) REQUIRES(s->lock);

#endif
