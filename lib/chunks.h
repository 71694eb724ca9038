/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chunks: the decompressed chunks of all objects that are being read, in a fixed number of slots,
 * and reading ahead.
 *
 * A chunk is decompressed once, by the thread that needs it first; others that need it meanwhile
 * wait for that one. Who reads an object in order is read ahead for, by a few threads of the
 * cache's own: from the second chunk on 2 (from the third, if it began within), then 4, then
 * CHUNKS_AHEAD chunks; not beyond a group where that is more than a chunk. A slot whose chunk was
 * read from end to end is used again first, then what was used longest ago. Reading ahead never
 * takes one that was read ahead and not used yet, nor one that a reader is in the middle of; a read
 * takes the former last.
 *
 * What is given out was checked (lib/seekgz.h). Damage is not kept: whoever reads a damaged chunk
 * decompresses it again, and is told where it is; what was read ahead in vain is met once more by
 * who gets there.
 *
 * Memory: `slots` times 256 KiB at most, taken as it is needed and given back when the last reader of
 * a chunk's object is closed; and 0.3 MiB of scratch for each thread that has decompressed at the
 * same time as others.
 */
#ifndef NOTEPACKFS_LIB_CHUNKS_H
#define NOTEPACKFS_LIB_CHUNKS_H

#include "lib/seekgz.h"

#define CHUNKS_AHEAD 8 /* of one reader, at most */

struct chunks;

/* slots ≥ 2. Without threads (0, or none could be started) who reads reads ahead, too. NULL: no memory. */
struct chunks *chunks_open(unsigned slots, unsigned threads);
/* Every reader is closed. Joins the threads. */
void chunks_close(struct chunks *c);

struct chunks_reader;

/* Takes r over, in every case. NULL: no memory. */
struct chunks_reader *chunks_attach(struct chunks *c, struct seekgz_reader *r);
/* Nobody reads through it any more. Waits for what is being read ahead, a chunk at most a thread. */
void chunks_detach(struct chunks_reader *r);

/*
 * As seekgz_read, by any number of threads at the same time; and -ENOMEM. No lock is held while a
 * chunk is decompressed or copied: the cache's own is of rank 42.
 */
ssize_t chunks_read(struct chunks_reader *r, void *buf, size_t len, uint64_t offset,
		    struct seekgz_damage *damage);

/* What has happened since the cache was opened. */
struct chunks_counts {
	uint64_t needed; /* chunks decompressed for who waited for them */
	uint64_t ahead;	 /* … ahead, damaged ones left out */
	uint64_t wasted; /* of those, dropped before they were used */
	unsigned held;	 /* slots with memory, now */
	unsigned most;	 /* … at most so far */
};

void chunks_count(struct chunks *c, struct chunks_counts *counts);

#endif
