/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * world: a store in a directory of its own, the engine without FUSE, and what the one who uses it
 * was promised.
 *
 * The world lies in shared memory, so it outlives the process that is killed. Its promises are
 * noted between the engine's answers; every byte of a file is a function of the file's key and the
 * offset. Then another process looks whether they were kept.
 *
 * Names are paths from the store's root. A call that fails is counted (world.errors); the user goes
 * on with the next thing, as a user would.
 */
#ifndef NOTEPACKFS_TESTS_WORLD_H
#define NOTEPACKFS_TESTS_WORLD_H

#include "lib/store.h"
#include "tests/crash/shim.h"

#define WORLD_FILES 64
#define WORLD_NAME 64
#define WORLD_PAST 4

struct promise {
	char name[WORLD_NAME];
	char next[WORLD_NAME];		   /* while it is being renamed */
	char past[WORLD_PAST][WORLD_NAME]; /* what the power may bring back */
	unsigned past_count;
	uint64_t key;
	uint64_t accepted; /* bytes that write() has taken */
	uint64_t tried;	   /* bytes that it was given: none behind them */
	uint64_t durable;  /* bytes that fsync or a wait for the manifest has acknowledged */
	/* Where the content begins: as far as its first parts were removed; as far as that was tried;
	 * and what the power may bring back. */
	uint64_t base, next_base, past_base;
	bool import; /* cannot be looked up before it was verified */
	bool open;   /* a wait seals it to its last complete record only */
	bool created, moving, removing, removed;
	bool sealed; /* a wait for the manifest has acknowledged it under this name */
};

struct world {
	struct shim_state shim;
	char dir[256]; /* of the store */
	uint64_t seed;
	unsigned count;
	struct promise list[WORLD_FILES];
	atomic_bool frozen; /* what is said from now on is no promise */
	int errors;	    /* calls that failed */
	int close_status;   /* of store_close; -1: not called, -2: the start failed */
	bool may_put_aside; /* a read error makes an object one that cannot be trusted */
	/* A raw file that is back with other bytes after a power cut, or cannot be read where an object
	 * should be compared with it, is kept under another name. */
	bool may_recover;
	bool started_twice; /* until such a one had its name */
	bool repairs;	    /* its manifest may be damaged: who looks has it repaired first */
	bool may_refuse;    /* an import whose fsync failed, which then is NAME.invalid */
	int violations;
	char verdict[512]; /* the first of them */
};

/* How the last user of the store ended. */
enum world_end {
	WORLD_KILLED, /* or not: what write() has accepted is there */
	WORLD_CUT,    /* the power: what was acknowledged is there */
};

struct world *world_new(void);
void world_violation(struct world *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void world_fill(char *out, size_t len, uint64_t key, uint64_t offset);

/* NULL: it could not be opened; why was logged. */
struct store *world_open(struct world *w, int64_t grace_ns);
/* … which reads all of it again and again; wait until it did so twice. */
struct store *world_open_scrubbed(struct world *w);
void world_scrub(struct world *w, struct store *s);
/* … where files that stay open are cut when this much is new; grace never ends. */
struct store *world_open_rotating(struct world *w, uint64_t bytes);
void world_close(struct world *w, struct store *s);

/* An open file; h NULL: it could not be. */
struct writer {
	struct promise *p;
	struct handle *h;
};
struct writer world_create(struct world *w, struct store *s, const char *name);
struct writer world_append(struct world *w, struct store *s, struct promise *p);
void world_write(struct world *w, struct writer *wr, size_t len);
void world_fsync(struct world *w, struct writer *wr);
void world_release(struct writer *wr);
/* Create, write, close. */
struct promise *world_put(struct world *w, struct store *s, const char *name, size_t len);
/* A gzip file of len plain bytes, whose plain name is name. */
void world_import(struct world *w, struct store *s, const char *name, size_t len);
void world_mkdir(struct world *w, struct store *s, const char *name);
void world_rename(struct world *w, struct store *s, struct promise *p, const char *to);
void world_remove(struct world *w, struct store *s, struct promise *p);
/* The first part that is left, of this many bytes; false: an error. */
bool world_prune(struct world *w, struct store *s, struct promise *p, unsigned part,
		 uint64_t bytes);
/* Damage the manifest of the closed store, in a way that the seed chooses; repair it: 0 or -errno. */
void world_damage(struct world *w);
int world_repair(struct world *w);
void world_chmod(struct world *w, struct store *s, struct promise *p, mode_t mode);
/* Everything is in the manifest, when it has succeeded. */
void world_seal(struct world *w, struct store *s);
/* It was stopped, with 0: that is an acknowledgement, too. Not of what is never sealed. */
void world_acknowledge_all(struct world *w);
struct promise *world_find(struct world *w, const char *name);

/*
 * Were the promises kept? Looks at the store as it was left, starts the engine, reads everything,
 * has all sealed, reads it again, stops it, checks the store with the engine's own check and without
 * it, and starts it once more.
 */
void world_verify(struct world *w, enum world_end how);
/* Of the closed store, without the engine: whole objects only; and, at the end of all, every promise
 * and nothing that is not finished. */
void world_check_objects(struct world *w);
void world_check_archive(struct world *w, enum world_end how);

/* Every byte of an open file against what was promised (world_check.c). */
bool world_has_content(const struct promise *p, const char *data, size_t len, uint64_t offset);

#endif
