/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check_impl: what check.c and check_live.c share.
 */
#ifndef NOTEPACKFS_LIB_CHECK_IMPL_H
#define NOTEPACKFS_LIB_CHECK_IMPL_H

#define HASH_NONFATAL_OOM 1
/* The default falls through cases in a way that compilers warn about. */
#define HASH_FUNCTION(key, len, value) HASH_OAT(key, len, value)
#include <uthash.h>

#include "lib/check.h"
#include "lib/name.h"

/* What became of one look at one object. */
enum check_outcome {
	CHECK_GOOD,
	CHECK_DISAGREES, /* with the manifest: missing, another one, without a record */
	CHECK_DAMAGED,	 /* in itself, whatever the manifest says */
};

struct check_verdict {
	enum check_outcome outcome;
	bool has_offset;
	uint64_t raw_offset, gz_offset;
	char reason[256];
};

/* A directory that records name. */
struct check_dir {
	char *path;
	bool visited;
	UT_hash_handle hh;
};

/* What a live check looks at again: a record (id, part), or an object without one (id 0). */
struct check_suspect {
	struct {
		uint64_t id;
		uint64_t part;
	} key;
	char *dir;  /* where it was, or is */
	char *name; /* the object's */
	struct sealed sealed;
	bool found; /* in this round's manifest */
	struct check_verdict verdict;
	UT_hash_handle hh; /* records by key, objects without one by path */
	char *path;	   /* of those */
	struct check_suspect *next;
};

struct check {
	int storefd;
	const struct check_options *options;
	struct check_counts *counts;
	struct manifest_error *error;
	struct manifest *manifest;
	struct globs exclude;
	struct check_dir *dirs;
	struct check_suspect *suspects; /* a list */
	uint64_t done, total;
};

/* dir + "/" + name, "" being the root; NULL when there is no memory. */
char *check_join(const char *dir, const char *name);

/* Fill in a verdict without an offset; reason NULL: unknown. Returns 0. */
int check_verdict(struct check_verdict *v, enum check_outcome outcome, const char *reason);

/*
 * Look at one object, by the facts of its record. name is beneath dirfd (a path, too); dirfd <
 * 0: the directory is gone. Returns 0 with the verdict, or -ENOMEM.
 */
int check_object(struct check *c, int dirfd, const char *name, const struct sealed *s,
		 struct check_verdict *v);

/* Some of the work is done: bytes if deep, else records. */
void check_progress(struct check *c, uint64_t done);

/* Count a good one; report a problem. */
void check_count_good(struct check *c, const struct sealed *s);
int check_report(struct check *c, const char *dir, const char *name,
		 const struct check_verdict *v);

/* Remember a suspect: s NULL for an object without a record. 0 or -ENOMEM. */
int check_suspect(struct check *c, const char *dir, const char *name, const struct sealed *s,
		  const struct check_verdict *v);

/* Look at all suspects again, until they are cleared or the time is up: then report them. */
int check_suspects(struct check *c);
void check_suspects_free(struct check *c);

#endif
