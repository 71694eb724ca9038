/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repair: a new manifest for a store that lost its own, or whose own is damaged.
 *
 * The objects are what counts; what is left of the old manifest (lib/manifest_rebuild.h) adds
 * what they do not say of themselves. For each file with a sealed name:
 *
 *	its SHA-256 is a record's		keeps this record: file id, seq, times, all of it;
 *						of a doubtful one what the object does not say
 *	  … at another path			… with the path at which it is
 *	  … and a removal has it, here		is left for the next mount, which completes that
 *	a verified record has its name, but
 *	other bytes				keeps the record, and is reported: check says more
 *	one of ours				gets a record from its header, nothing decompressed;
 *						but what begins like a notepack is read for its
 *						records and their times, which no header has
 *	another's gzip file			is read in full, as no header vouches for it
 *	damage is seen in it			goes to quarantine
 *	under an excluded name			is left alone, unless a record has its SHA-256
 *
 * What has no record gets its times, mode and owner from the object's stat, and its plain name
 * from a raw file beside it, or from the parts with records; else it is the stem, or, where
 * the content is notepack, the stem with the suffix. Parts of one stem belong to one file. Its id
 * is a verified record's, the mark of a raw file that has its bytes, or a doubtful record's; else
 * it is new. A record without its object is kept if
 * nothing that could have removed it is lost, and reported.
 *
 * New sequence numbers and ids start above all that were ever given out: the header says where,
 * or else they start REPAIR_GAP above the highest that is met anywhere.
 *
 * Raw files are not touched. The new manifest is marked unclean, so that the next mount recovers
 * the store as after a crash. The old one's files are kept beneath quarantine/. Nothing in the
 * store changes before the new manifest, complete and durable, is renamed over the old one; so a
 * repair that is cut short can be run again.
 *
 * Memory: about 1 KB for each object.
 */
#ifndef NOTEPACKFS_LIB_REPAIR_H
#define NOTEPACKFS_LIB_REPAIR_H

#include <stdbool.h>
#include <stdint.h>

#define REPAIR_GAP ((uint64_t)1 << 20)

enum repair_level { REPAIR_NOTE, REPAIR_DAMAGE };

struct repair_options {
	const char *suffix; /* NULL: what the manifest says, or the names of the objects */
	void *ctx;	    /* for the calls below */
	/* One line; REPAIR_DAMAGE: something is not as it was sealed. */
	void (*say)(void *ctx, enum repair_level level, const char *text);
	/* From time to time: bytes of objects. */
	void (*progress)(void *ctx, uint64_t done, uint64_t total);
};

struct repair_counts {
	uint64_t kept;	      /* objects with a record of the old manifest, damaged ones, too */
	uint64_t anew;	      /* objects that got a new one */
	uint64_t quarantined; /* objects */
	uint64_t damaged; /* others that are not what their record says, or cannot be read */
	uint64_t missing; /* records whose object is not there */
	char old[64];	  /* where the old manifest is, from the store's root */
};

/* Why it could not be done, for one line. */
struct repair_error {
	char text[512];
};

/*
 * The caller holds the store's lock. 0: a new manifest is in place · REPAIR_NOTHING: the
 * manifest is good, or there never was one · -EEXIST: the suffix is not the store's · -EINVAL:
 * the suffix cannot be told · -EPROTO: a newer format · or another -errno; *error says why, and
 * the store is as it was (after an error behind the rename, -EIO among them, it may be repaired).
 */
#define REPAIR_NOTHING 1
int repair_store(int storefd, const struct repair_options *options,
		 struct repair_counts *counts, struct repair_error *error);

#endif
