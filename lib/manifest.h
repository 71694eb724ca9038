/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * manifest: the record of every sealed segment, in memory and in the store.
 *
 * On disk, beneath NAME_PRIVATE in the store: "manifest" (a header line, then the tail: the
 * newest lines), and "chunks/NNNNNNNN.jsonl" (immutable, at most 4,096 lines each, listed in
 * the header with count and SHA-256). Replaying the chunks in the header's order and then the
 * tail gives the live records. The header:
 * {"notepackfs":1,"generation":…,"suffix":"…","exclude":"…",
 * "clean":true,"next_seq":…,"next_id":…,"chunks":[{"file":"00000001.jsonl","lines":…,"bytes":…,
 * "sha256":"…"},…],"tail":{"lines":…,"bytes":…,"sha256":"…"},"sha256":"…"}; the last member is
 * the SHA-256 of the line up to, not with, `,"sha256":` that starts it.
 *
 * Commit = clone and rename: a mutation is collected in an overlay (the clone is the base plus
 * this overlay), the new manifest is written to a temporary, fsynced, renamed over the old, the
 * directory is fsynced, and only then does the overlay become part of the base. On any failure
 * memory, disk and generation are unchanged (see manifest_commit for the one ambiguous case).
 * Commits that meet share one write (group commit). When the tail passes 1,000 lines, the
 * commit folds it into a chunk (together with the last chunk while both fit into 4,096 lines).
 * When more than half of all lines are dead, the fold rewrites all live records into new
 * chunks.
 *
 * Threads: all functions may be called by any thread, except open and close. One lock of rank
 * 30 protects the memory; it is never held across a system call: the thread that writes is the
 * leader of a group (a flag under the lock), the others wait for it.
 */
#ifndef NOTEPACKFS_LIB_MANIFEST_H
#define NOTEPACKFS_LIB_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/record.h"

struct manifest;
struct manifest_txn;

#define MANIFEST_FIRST_ID 1024 /* a file's id is its inode number; small ones are special */

struct manifest_error {
	char text[512]; /* names the file, the line and the reason */
};

struct manifest_options {
	const char
	    *suffix; /* fixed at the first open; NULL: what the store has, or the default */
	const char *exclude; /* recorded in the header, for recovery */
	bool read_only;	     /* nothing is ever written; commits give -EROFS */
	bool create;	     /* a store without a manifest gets an empty one (else -ENOENT) */
};

/*
 * Load the manifest beneath storefd (borrowed; must outlive the manifest).
 * 0 · -ENOENT: there is none · -EBADMSG: damaged, error->text says where · -EEXIST: the suffix
 * differs · -EPROTO: a newer format · -ENOMEM · an I/O error. Never initialises over anything
 * that is there (L17): no manifest, but what only comes after one (manifest_was_there), or sealed
 * objects in any directory, is -EBADMSG. Also -EINVAL: the suffix is none. Unless
 * read_only, chunk files and temporaries that nothing refers to are removed.
 */
int manifest_open(int storefd, const struct manifest_options *options, struct manifest **out,
		  struct manifest_error *error);
void manifest_close(struct manifest *m);

/*
 * Give up the space that is reserved for commits, so that something else can be written on a full disk.
 * False: there was none. Only while nothing can be committed; the next manifest_open reserves it again.
 */
bool manifest_use_reserve(struct manifest *m);

/* Where there is no manifest: was there one? 1: chunk files, the reserve, the log or last_stop tell
 * it; 0, or -errno. */
int manifest_was_there(int storefd);

const char *manifest_suffix(const struct manifest *m);
uint64_t manifest_generation(struct manifest *m);
uint64_t manifest_last_seq(struct manifest *m);
uint64_t manifest_count(struct manifest *m);		    /* live records */
bool manifest_was_clean(const struct manifest *m);	    /* as loaded */
const char *manifest_was_exclude(const struct manifest *m); /* as loaded; "" for a new one */

/* File ids that were never used and never will be again: the header holds a mark above them,
 * moved in steps by a commit of its own. Returns 0, or the error of that commit. */
int manifest_new_id(struct manifest *m, uint64_t *id);

/* Ids below this one have been given out. */
uint64_t manifest_next_id(struct manifest *m);

/* Is there a record, live or removed, of this part? */
bool manifest_knows(struct manifest *m, uint64_t id, uint32_t part);

/*
 * Change the manifest: fn collects the changes in txn with the calls below and returns
 *	0		save them
 *	> 0 (commit_if)	nothing is to be changed: nothing is written, and this value is returned
 *	< 0		the same, for an error
 * fn runs under the manifest's lock: it must not block, nor take a lock of a lower rank. A txn
 * without changes writes nothing. Returns 0 when the change is durable and published.
 *
 * A member of a group that ran after another had changed something gets the error of the save
 * even if it declined: it saw what is not there.
 *
 * After a failed fsync of the directory, which follows the rename, disk may already hold the
 * new state while memory holds the old one (L13): the same change may be committed again. The
 * seqs and the generation that failed so are not used twice.
 */
int manifest_commit(struct manifest *m, int (*fn)(struct manifest_txn *txn, void *ctx),
		    void *ctx);
int manifest_commit_if(struct manifest *m, int (*fn)(struct manifest_txn *txn, void *ctx),
		       void *ctx);
/* The rename of this intent was undone: it ends now, or with the next commit. */
void manifest_undone(struct manifest *m, uint64_t intent_seq);

/* Within fn. All return 0 or -ENOMEM / -EINVAL (sticky in the txn: the commit fails with it).
 * s->seq is assigned by put; for an existing (id, part) put replaces the record, unless it says
 * the same. What was removed cannot be put again (-EINVAL; remembered until a full rewrite). A
 * renamed directory that holds no record is no change. */
int manifest_put(struct manifest_txn *txn, struct sealed *s, const char *dir,
		 const char *plain);
int manifest_remove(struct manifest_txn *txn, uint64_t id,
		    uint32_t part); /* -ENOENT, not sticky */
int manifest_move_dir(struct manifest_txn *txn, const char *from, const char *to);
int manifest_intent(struct manifest_txn *txn, uint64_t id, const char *from, const char *to,
		    uint64_t *seq);
int manifest_done(struct manifest_txn *txn, uint64_t intent_seq);
/* Those of this file, whose records now say where it is: an intent whose end could not be committed
 * would move it at the next start. */
int manifest_done_file(struct manifest_txn *txn, uint64_t id);
int manifest_done_all(struct manifest_txn *txn);
void manifest_set_clean(struct manifest_txn *txn, bool clean);
/* The record as this txn sees it; false if there is none. */
bool manifest_txn_get(struct manifest_txn *txn, uint64_t id, uint32_t part, struct sealed *out);

/* Copies of live records. plain and dir point into the manifest: valid within the callback
 * only. The callback runs under the lock, with the rules of fn; a value other than 0 ends the
 * walk and is returned. */
typedef int manifest_visit(void *ctx, const struct sealed *s, const char *dir,
			   const char *plain);
bool manifest_get(struct manifest *m, uint64_t id, uint32_t part, struct sealed *out);
/* The same, and where it is: appended to dir and plain, whose failed is to be looked at. */
bool manifest_find(struct manifest *m, uint64_t id, uint32_t part, struct sealed *out,
		   struct buf *dir, struct buf *plain);
/* Is there a live record in this directory or beneath it? */
bool manifest_has_beneath(struct manifest *m, const char *dir);
int manifest_each_in_dir(struct manifest *m, const char *dir, manifest_visit *visit, void *ctx);
int manifest_each(struct manifest *m, manifest_visit *visit, void *ctx); /* any order */

/* Every live record by rising seq, as the lines of the generated manifest (header first,
 * without chunks and tail); the buffer is flushed through write about every 64 KiB, without the
 * lock. Records that change meanwhile may be seen old or new. 0, -ENOMEM, or what write
 * returned. */
int manifest_dump(struct manifest *m, int (*write)(void *ctx, const char *data, size_t len),
		  void *ctx);

/* For recovery, as loaded: intents that are not done, and removals since the last full rewrite
 * (and those that were in the tail then). */
struct manifest_intent {
	uint64_t seq, id;
	const char *from, *to;
};
struct manifest_removal {
	uint64_t id;
	uint32_t part;
	uint8_t sha256[SHA256_BYTES];
	const char *path; /* of the object */
};
size_t manifest_intents(struct manifest *m, const struct manifest_intent **out);
size_t manifest_removals(struct manifest *m, const struct manifest_removal **out);
void manifest_forget_recovery(struct manifest *m); /* free both lists */

/* What STYLE calls a *_check: the invariants of the memory, for tests. Aborts when one is
 * broken. */
void manifest_check(struct manifest *m);

#endif
