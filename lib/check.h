/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check: does a store hold what its manifest says?
 *
 * Every live record must have its object: a regular file of gz_size bytes whose header can be
 * read and agrees on part, offset, raw_size and raw_sha256; deep, every byte of it is read and
 * checked too, and the object's SHA-256 must be the record's. Every file with a sealed name
 * must have a record. .notepackfs/tmp must be empty. Raw files are counted: they are not sealed
 * yet. What matches the exclusion globs of the manifest (any component) is counted and left
 * alone.
 *
 * A live check (the store is mounted; no lock is held) looks at what moves: a name that a
 * rename, a removal or a publication has just changed is looked up again in a freshly loaded
 * manifest, for as long as a commit may be deferred, before it is called a problem. An object
 * that is damaged in itself is one at once. Temporaries are the daemon's then, and are only
 * counted.
 *
 * Nothing is written. Memory: the manifest, and the entries of one directory for each level of
 * the tree.
 */
#ifndef NOTEPACKFS_LIB_CHECK_H
#define NOTEPACKFS_LIB_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/manifest.h"

struct check_counts {
	uint64_t records;	 /* live ones in the manifest */
	uint64_t objects;	 /* that agree with their record */
	uint64_t raw_bytes;	 /* sealed in those objects */
	uint64_t gz_bytes;	 /* of those objects */
	uint64_t unsealed_files; /* raw files with bytes that no object has */
	uint64_t unsealed_bytes; /* these bytes */
	uint64_t excluded_files; /* or directories */
	uint64_t temporaries;
	uint64_t problems;
	bool was_clean; /* the manifest says that the last stop was clean */
};

struct check_problem {
	const char *path; /* from the store's root */
	const char *reason;
	bool has_offset;     /* the place of damage is known: */
	uint64_t raw_offset; /* in the segment's plain bytes */
	uint64_t gz_offset;  /* in the object */
};

struct check_options {
	bool deep;
	bool live;
	void *ctx; /* for the calls below */
	void (*problem)(void *ctx, const struct check_problem *problem);
	/* From time to time (may be NULL): raw bytes if deep, else records. */
	void (*progress)(void *ctx, uint64_t done, uint64_t total);
};

/*
 * Check the store. Returns 0 (look at counts->problems) · -EBADMSG: the manifest is damaged ·
 * -ENOENT: there is none · -EPROTO: a newer format (error->text says more) · -ENOMEM · an I/O
 * error of the manifest or of a directory's listing (error->text names it).
 */
int check_store(int storefd, const struct check_options *options, struct check_counts *counts,
		struct manifest_error *error);

/*
 * Load a manifest for reading while a daemon may commit to it: a load that met a commit is
 * tried again. Errors as manifest_open.
 */
int check_load(int storefd, struct manifest **out, struct manifest_error *error);

#endif
