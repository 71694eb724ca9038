/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * space: room on the store's file system, and raw bytes that wait to be sealed.
 *
 * The reserve is room that writers do not get, bytes and inodes: with it, what was written can be
 * compressed and recorded when they have filled the rest. Writers are refused in the call that would
 * take it, while someone is there who is told.
 *
 * The backlog is a limit for bytes that are cut and not sealed. Beyond it what writers may write in sum
 * is what is compressed: each byte of that earns them one, or half of one above the limit, a third above
 * twice the limit, and so on, so that the backlog returns to the limit, however many they are. They wait
 * in a queue, and who came first goes on first. Without being earned
 *   - above the limit: PAUSE_NS_PER_MIB (lib/space.c), while nothing is being compressed: what waits
 *     cannot be sealed just now, for a fault or for want of room, and no one should wait for ever;
 *   - below the limit: one write after the other, faster and faster. All at once would be far more than
 *     the limit if they are many, and nothing shows of it before their files are cut.
 * Bytes that are not cut do not count, so no one waits for what only he can end.
 */
#ifndef NOTEPACKFS_LIB_SPACE_H
#define NOTEPACKFS_LIB_SPACE_H

#include "lib/core.h"

/* The reserve if none was asked for: this much, or a part of a small file system. */
#define SPACE_RESERVE ((uint64_t)64 << 20)
#define SPACE_RESERVE_PART 16

/*
 * Inodes that are left, unless the reserve is 0, or they are not counted: sealing makes a file before
 * it removes one. Each thread has a temporary in work; as many are complete and wait to be
 * published; then there are the manifest's new file and its chunks, indices, the progress file.
 */
#define SPACE_INODES 64

/*
 * May a writer have these bytes of f's raw file, open as fd? 0, or -ENOSPC: the reserve would be
 * touched. What the file has already is not taken, and never refused. Asks the file system only now and
 * then: the answer is good for half of what there was. Enter in f's gate.
 */
int space_take(struct store *s, const struct file *f, int fd, uint64_t offset, uint64_t len)
    EXCLUDES(s->lock);

/* May something new be made: an inode, and a block for it or its entry? As space_take. */
int space_take_inode(struct store *s) EXCLUDES(s->lock);

/* Are more than so many bytes left above the reserve? */
bool space_has_room(const struct store *s, uint64_t bytes);

/* Is so little left, no more than the reserve twice, that who writes past us is one too many? */
bool space_is_short(const struct store *s);

/* What the file system has left for us, in bytes, reserve or not; UINT64_MAX if it does not say. */
uint64_t space_free(const struct store *s);

/* … and in inodes: with 0, it is them that are missing when it says -ENOSPC. */
uint64_t space_inodes(const struct store *s);

/* Do writers wait, or would the next one? */
bool space_is_pausing_locked(const struct store *s) REQUIRES(s->lock);

/* A chunk is being compressed; and no longer: so many raw bytes of it were (0: it failed). */
void space_chunk_begin_locked(struct store *s) REQUIRES(s->lock);
void space_chunk_end(struct store *s, uint64_t bytes) EXCLUDES(s->lock);

/*
 * Writers that are slowed down (store_pause in lib/store.h). Return those that may go on: all, if the
 * store stops, else those whose turn it is; to be woken by space_wake without the lock. *next_ns: when
 * the next one goes on without what is to be earned (0: never, or not as things are).
 */
struct store_pause *space_due_locked(struct store *s, int64_t *next_ns) REQUIRES(s->lock);
void space_wake(struct store_pause *due);

#endif
