/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * manifest_rebuild: what is left of a damaged manifest, and a new one in its place. For
 * lib/repair.c, which knows the objects.
 *
 * What is left. A chunk file, or the tail, is verified if its SHA-256 stands in the manifest's
 * first line: that line may be damaged elsewhere. A line of any other piece is doubtful: good
 * for a hint about an object that has its SHA-256, and for nothing else. So removals and intents
 * count only where they are verified, and an intent only if no later piece is lost or doubtful:
 * it may be done. A record from before such a piece is stale: what is lost may have removed it.
 *
 * The new one is built in memory, with the sequence numbers it is given, and takes the place of
 * the old one with one rename, after its chunk files are durable.
 */
#ifndef NOTEPACKFS_LIB_MANIFEST_REBUILD_H
#define NOTEPACKFS_LIB_MANIFEST_REBUILD_H

#include "lib/manifest.h"

/* A record that was found. dir and plain point into the salvage. */
struct manifest_old {
	struct sealed sealed; /* seq: of the removal, if removed */
	const char *dir, *plain;
	bool removed;
	bool doubtful, stale; /* as above; a removal is neither */
	bool taken;	      /* the caller's */
};

struct manifest_salvage {
	struct manifest *m; /* owns what the records point to */
	struct manifest_old *records;
	size_t count;
	bool header_is_right; /* and so are suffix, exclude and the numbers below */
	char *suffix;  /* NULL: unknown; where the header is damaged, what it seems to say */
	char *exclude; /* NULL: unknown */
	uint64_t generation;	    /* the highest known */
	uint64_t next_seq, next_id; /* above all that were met, in whatever line */
	uint64_t lost_pieces;	    /* chunk files, or the tail: missing, or doubtful */
	uint64_t lost_lines;	    /* that say nothing any more */
	char *text;		    /* the manifest's file; NULL: cannot be read */
	size_t text_len;
};

/*
 * Read the first line. 0 · -EPROTO: a newer format wrote it · -ENOMEM. A file that is missing or
 * cannot be read is not an error: nothing is left of it. Release it in every case.
 */
int manifest_salvage_header(int storefd, struct manifest_salvage *out);

/* Read the rest, for the store's suffix. note is told of each piece that is not as it was.
 * 0 or -ENOMEM. */
typedef void manifest_note(void *ctx, const char *text);
int manifest_salvage_lines(int storefd, const char *suffix, manifest_note *note, void *ctx,
			   struct manifest_salvage *s);
/* Was this part removed? */
bool manifest_salvage_was_removed(const struct manifest_salvage *s, uint64_t id, uint32_t part);
void manifest_salvage_release(struct manifest_salvage *s);

/* The intents that count. */
size_t manifest_salvage_intents(const struct manifest_salvage *s,
				const struct manifest_intent **out);

/*
 * A manifest that is not in the store yet. put and intent take a seq that no other line has and
 * that is below next_seq, as id is below next_id. commit writes it, marked unclean; old chunk
 * files go when it has the place of the old one, not before. 0 or -errno; -EINVAL: a record that
 * must not be written.
 */
struct manifest_new {
	const char *suffix, *exclude;
	uint64_t generation; /* of the old one */
	uint64_t next_seq, next_id;
};
int manifest_rebuild_begin(int storefd, const struct manifest_new *n, struct manifest **out);
int manifest_rebuild_put(struct manifest *m, const struct sealed *s, const char *dir,
			 const char *plain, bool removed);
int manifest_rebuild_intent(struct manifest *m, const struct manifest_intent *i);
int manifest_rebuild_commit(struct manifest *m);

/*
 * Keep the manifest's files, as they are, in a new directory `dir` beneath the store's (which is
 * made; -EEXIST), with links or, where there are none, copies; durably. What cannot be read is
 * left out. 0 or -errno.
 */
int manifest_rebuild_keep(int storefd, const char *dir);

#endif
