/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * recovery_impl: what the files of recovery share.
 *
 *	recovery.c		the order of things, intents, temporaries
 *	recovery_walk.c		the walk through the store that collects the differences
 *	recovery_objects.c	objects without records, records without objects
 *	recovery_orphan.c	… of which the raw file is there: they are read later
 *	recovery_raw.c		raw files
 *	recovery_records.c	… the records of their names
 *	recovery_displace.c	… whose name is another's
 *	recovery_later.c	… of which the reading is put off
 *	recovery_ids.c		their file ids
 */
#ifndef NOTEPACKFS_LIB_RECOVERY_IMPL_H
#define NOTEPACKFS_LIB_RECOVERY_IMPL_H

#include "lib/recovery.h"

/* A name in a directory; both strings are owned. */
struct place {
	char *dir; /* from the root, "" for the root */
	char *name;
};

/* Its path, for printf. */
#define PLACE_FORMAT "%s%s%s"
#define PLACE_PATH(dir, name) (dir), *(dir) ? "/" : "", (name)

struct stray { /* an object that no record names */
	struct place at;
	uint64_t bytes;
};

struct missing { /* a record whose object is not there */
	struct sealed rec;
	struct place at; /* name: the plain name */
	bool found;
};

struct found_raw {
	struct place at;
	uint64_t bytes;
	uint64_t id, base; /* of its mark; id 0: none */
	/* Filled in from the manifest: the file's sealed bytes, wherever they are. */
	uint64_t sealed_end;
	bool recorded;
	bool hollow; /* it has no byte of its own, nor is any of its bytes in a part */
	bool gone;   /* it was unlinked */
	bool waits;  /* its comparison waits until the mount is usable (lib/prover.h) */
	bool doubt;  /* by its attribute (raw_has_doubt()) */
};

struct differences {
	struct stray *strays;
	size_t stray_count, stray_size;
	struct missing *missing;
	size_t missing_count, missing_size;
	struct found_raw *raws;
	size_t raw_count, raw_size;
	struct sealed *orphans; /* id, part, offset and raw_bytes only */
	size_t orphan_count, orphan_size;
};

int recovery_walk(struct store *s, struct differences *out);
/* An object that no record names. 0 or -ENOMEM. */
int recovery_add_stray(struct differences *diff, const char *dir, const char *name,
		       uint64_t bytes);
/*
 * Does the object say of itself that it is not the record's? Renames are recorded lazily: after
 * "mv x.1 x.2; mv x x.1" the name of a record may be another object's. One that is damaged says
 * nothing, and is left to check; nor does an import.
 */
bool recovery_is_another(int dfd, const char *name, uint64_t gz_bytes,
			 const struct sealed *rec);
void recovery_release(struct differences *diff);
int recovery_objects(struct store *s, struct differences *diff);
/* The records of the stems of raw files: of one directory at a time. Zeroes are none. */
struct raw_records {
	char *dir;
	struct stem *stems;
};
/* Call fn for each live record of the stem of raw file i, in its directory, until it returns other than 0,
 * which is returned. -ENOMEM. */
int recovery_records(struct store *s, struct raw_records *r, const struct differences *diff,
		     size_t i, int (*fn)(void *ctx, const struct sealed *rec), void *ctx);
void recovery_records_release(struct raw_records *r);
/* Judges raw files; those that are left for sealing stay in diff->raws, the others are taken
 * out. */
int recovery_raws(struct store *s, struct differences *diff);
/*
 * Its mark may say that more of it was sealed than there are parts of, up to end: what there is of that is in
 * the raw file (open as fd), or lost. Sets base, or hollow. 0 or -errno.
 */
int recovery_find_base(struct found_raw *raw, int fd, uint64_t end);
/* Nothing is left in it to be kept. */
int recovery_remove_hollow(struct store *s, struct found_raw *raw);
bool recovery_same_stem(const char *a, const char *b, const char *suffix);
/* Another file has its name: it gets another one, under which it has no parts, unless it is hollow. */
int recovery_displace(struct store *s, const struct differences *diff, struct found_raw *raw,
		      int dfd, int fd);
/* Of both spellings of one stem only one file can be shown, and sealed, under it. */
int recovery_part_spellings(struct store *s, struct differences *diff);
/*
 * May the comparison of a raw file (open as fd) with its records wait until the mount is usable? If its mark
 * is that of all of them, and it has the length of what it should hold, and the objects are there with
 * theirs. Reads no more than headers.
 */
bool recovery_may_wait(struct store *s, const struct found_raw *raw, int dfd, int fd,
		       const struct sealed *list, size_t count);
/* Is the object of this record what was sealed? 1, 0, or -errno: it cannot be told now. */
int recovery_is_whole(struct store *s, const struct found_raw *raw, int dfd,
		      const struct sealed *rec);
/* Before the timers run: those that do are the prover's. 0 or -errno. */
int recovery_prove_later(struct store *s, const struct differences *diff);
/* err, with which something failed for a raw file: it is left as it is, for the next start. 0, or
 * -ENOMEM. */
int recovery_leave(struct store *s, const struct found_raw *raw, int err);
/* Behind that: a raw file that has the id of another file gets one of its own. 0 or -errno. */
int recovery_ids(struct store *s, struct differences *diff);

/*
 * An object without a record (open as fd), beside the raw file that it was made of: put off until the mount is
 * usable. 1: it is out of the way, and in diff->orphans · 0: it is not such an object, or must be looked
 * at now · -errno.
 */
int recovery_put_off(struct store *s, struct differences *diff, const struct place *at,
		     const char *stem, uint32_t part, int fd);
/* Those that an earlier start has put off. 0 or -errno. */
int recovery_orphans(struct store *s, struct differences *diff);
/* When the sealer is there, and before anything else cuts: have them looked at. 0 or -errno. */
int recovery_cut_orphans(struct store *s, const struct differences *diff);

/* Move an object that cannot be trusted out of the way; path: for the log. 0 or -errno. */
int recovery_quarantine(struct store *s, const struct place *at, const char *path);
/* An O_PATH descriptor of a directory, given by its path. */
int recovery_open_dir(struct store *s, const char *dir);
/* dir "/" name */
char *recovery_path(const char *dir, const char *name);
void recovery_event(struct store *s, const char *what, const char *path);
void recovery_event_at(struct store *s, const char *what, const char *dir, const char *name);

#endif
