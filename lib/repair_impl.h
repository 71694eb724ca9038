/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repair_impl: what the files of repair share.
 *
 *	repair.c	 the order of things
 *	repair_walk.c	 what lies in the store
 *	repair_match.c	 objects and the records that are left
 *	repair_facts.c	 what an object says of itself
 *	repair_file.c	 which parts make up a file: its plain name and its id
 *	repair_save.c	 the new manifest
 */
#ifndef NOTEPACKFS_LIB_REPAIR_IMPL_H
#define NOTEPACKFS_LIB_REPAIR_IMPL_H

#include <sys/stat.h>

#include "lib/bytes.h"
#include "lib/manifest_rebuild.h"
#include "lib/name.h"
#include "lib/raw.h"
#include "lib/repair.h"

enum repair_fate {
	REPAIR_UNDECIDED,
	REPAIR_RECORD,	   /* gets a record: rec */
	REPAIR_QUARANTINE, /* is moved away; why has been said */
	REPAIR_LEAVE,	   /* stays, without a record; why has been said */
	REPAIR_IGNORE,	   /* is the user's */
};

/* A regular file with a sealed name. */
struct repair_object {
	enum repair_fate fate;
	const char *dir; /* one of repair.dirs */
	char *name;
	size_t stem;	 /* bytes of name */
	uint32_t part;	 /* by its name; 0: it is no part's */
	bool unreadable; /* sha256 is unknown */
	bool excluded;	 /* by its path */
	struct stat st;
	uint8_t sha256[SHA256_BYTES];
	struct manifest_old *old; /* whose record it keeps */
	struct sealed rec;
	char *plain; /* its file's; owned by the first object of the file */
};

/* A regular file with another name. */
struct repair_raw {
	const char *dir;
	char *name;
	uint64_t bytes;
	struct raw_mark mark; /* id 0: none */
};

struct repair_votes {
	char own[NAME_SUFFIX_BYTES + 1]; /* of the first object of ours; "": none yet */
	bool differ;
	bool foreign; /* there are other gzip files */
};

struct repair {
	int storefd;
	const struct repair_options *options;
	struct repair_counts *counts;
	struct repair_error *error;
	struct manifest_salvage salvage;
	char *suffix;
	struct repair_votes votes; /* where the suffix must be guessed */
	struct globs exclude;
	uint64_t next_seq, next_id;
	uint64_t done, total; /* bytes */
	char **dirs;	      /* paths from the root, "" first */
	size_t dir_count, dir_size;
	struct repair_object *objects; /* by dir, stem and part, once matched */
	size_t count, size;
	struct repair_raw *raws; /* by dir and name */
	size_t raw_count, raw_size;
};

/* One line for the user; path is dir/name, and stands in front of it. */
void repair_say(struct repair *r, enum repair_level level, const char *dir, const char *name,
		const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Room for one more; 0 or -ENOMEM. */
int repair_grow(void **list, size_t count, size_t *size, size_t element);

/* Open an object for reading. A descriptor or -errno. */
int repair_open(struct repair *r, const char *dir, const char *name);

/* The order of objects: by dir, stem and part. */
int repair_by_file(const void *a, const void *b);

/* A number from a damaged line, or mark, counts only below this. */
#define REPAIR_NUMBER_MAX ((uint64_t)1 << 62)

/* repair_walk.c: collect objects and raw files, and the highest id of a mark. */
int repair_walk(struct repair *r);
/* The raw file of this name; NULL: there is none. */
const struct repair_raw *repair_find_raw(const struct repair *r, const char *dir,
					 const char *name);
void repair_release(struct repair *r);
/* Fill in r->suffix. 0, -EINVAL with the error said, -ENOMEM. */
int repair_find_suffix(struct repair *r);

/* repair_match.c: hash every object and find its record. Sorts the objects. */
int repair_match(struct repair *r);

/* repair_facts.c: decide about an object that has no record yet. named: a verified record that
 * has its name, or NULL. */
int repair_judge(struct repair *r, struct repair_object *o, struct manifest_old *named);

/* repair_file.c: plain names, ids, and which of the missing records stay. */
int repair_files(struct repair *r);

/* repair_save.c */
int repair_save(struct repair *r);

#endif
