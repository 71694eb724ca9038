/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store: the archive engine's façade; all that the file system layer needs of lib.
 *
 * A store is opened once, used by any number of threads, drained, and closed. Everything in it
 * is a node: the root is one, look-ups give others. A node stays valid, at the same address,
 * while its caller holds references on it, whatever becomes of its name.
 *
 * Errors: every function returns 0 (or a documented positive value) or -errno. No function
 * holds a lock of the store while it calls back, unless it says so.
 *
 * STORE_BUSY: a name is just being published, renamed or removed by someone else. The operation
 * has done nothing; caller->busy is a referenced node. The caller gives it to store_park with a
 * waiter, which takes the reference over: either the waiter's wake function is called once,
 * later, from a thread of the store's (which it must not block), or store_park returns 0
 * and nothing will be called. In both cases the operation is then tried again. store_wait_idle
 * is the same, blocking. What is being published and cannot be recorded (the disk is full, or broken)
 * keeps its name: operations on it get the error of that (-ENOSPC, -EROFS, -EIO …), and do not wait.
 */
#ifndef NOTEPACKFS_LIB_STORE_H
#define NOTEPACKFS_LIB_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>

#include "lib/buf.h"
#include "lib/name.h"
#include "lib/proto.h"

#define STORE_BUSY 1

struct store;
struct node;
struct handle;

enum node_kind {
	NODE_DIR,
	NODE_LINK,
	NODE_FILE,   /* under its plain name, in every state */
	NODE_OBJECT, /* a sealed part, under its sealed name */
};

/* ---- life ---- */

/* 64 MiB, or a sixteenth of a file system smaller than 1 GiB. */
#define STORE_RESERVE_DEFAULT UINT64_MAX

struct store_options {
	const char *path;		/* of the store; made absolute by the caller */
	const char *codec;		/* a name of lib/codec.h; NULL: "auto" */
	int level;			/* one of the codec's */
	bool adaptive;			/* the fastest, while a third of the backlog waits */
	unsigned threads;		/* that compress; >= 1 */
	int64_t grace_ns;		/* from the last close to the cut */
	const char *suffix;		/* NULL: what the store has */
	const char *exclude;		/* globs; NULL: NAME_DEFAULT_EXCLUDE */
	bool fsync_seals;		/* an fsync arms a cut (fsync=seal) */
	uint64_t cut_bytes;		/* cuts of a file that stays open: new bytes … */
	int64_t cut_age_ns;		/* … or time since the last */
	uint64_t rotate_bytes;		/* … and without an fsync: new bytes (0: never) … */
	int64_t rotate_age_ns;		/* … or since they are (0: never) */
	bool allow_delete;		/* everywhere */
	const char *allow_delete_globs; /* or for these plain names; NULL: none */
	int64_t scrub_ns;		/* read everything again in this time; 0: never */
	int64_t lockwait_ns;		/* how long to wait for a holder that drains */
	uint64_t backlog_bytes;		/* writers are slowed beyond; 0: never */
	uint64_t reserve_bytes;		/* of free space, or STORE_RESERVE_DEFAULT */
	bool read_only;
};

/* What went wrong at the start, for one line on stderr. */
struct store_error {
	int exit_status; /* 1 failed, 2 usage, 3 in use, 4 damaged */
	char text[768];
};

/* Called by a thread of the store's with no lock held; must not block on anything that needs
 * the store. */
struct store_hooks {
	/* Something other than a request of the caller's changed what name means in dir. */
	void (*changed)(void *ctx, struct node *dir, const char *name);
	/* The attributes of n changed, in a request for another node; what is remembered of them
	 * is wrong when this has returned, and before the request is answered. */
	void (*attributes)(void *ctx, struct node *n);
	void *ctx;
};

/* Lock, load, recover, start the threads. On failure *error is filled in and -1 returned. */
int store_open(const struct store_options *options, const struct store_hooks *hooks,
	       struct store **out, struct store_error *error);

/*
 * Without mounting it, have a store agree with its directory as a start after a crash does: every
 * object that is not recorded is read in full and recorded; a bad one is renamed to
 * NAME.invalid, and stays where it is. Nothing is copied, no raw file is sealed.
 *
 * adopted is told of each file when it is done with: reason NULL (recorded), or why it is bad;
 * done and total count bytes of objects. 0, or -1 with *error, as store_open.
 */
typedef void store_adopted(void *ctx, const char *path, const char *reason, uint64_t done,
			   uint64_t total);
int store_adopt(const struct store_options *options, store_adopted *adopted, void *ctx,
		struct store_error *error);

/*
 * Stop: cut what is active, seal everything, join every thread, commit, and mark the store
 * clean. All handles must have been released (store_release_all does what an unmount left
 * undone). Returns the exit status: 0 clean, 5 not everything could be sealed (it is kept, and
 * taken up at the next start), 1 the manifest, or the result, could not be written. The store is closed and
 * freed.
 */
int store_close(struct store *s);
void store_release_all(struct store *s);

/* ---- nodes ---- */

struct caller {
	uid_t uid;
	gid_t gid;
	/* Is this one of its supplementary groups? NULL: it has none. */
	bool (*is_member)(const struct caller *c, gid_t gid);
	void *ctx;	   /* is_member's */
	struct node *busy; /* out, with STORE_BUSY */
};

struct waiter {
	void (*wake)(struct waiter *w);
	/* The store's, zero at first: */
	struct waiter *next;
	struct node *node; /* while it is parked */
	bool cancelled;
};

/* 1: parked · 0: no need to · -EINTR: it was taken back, before or after it was woken last. */
int store_park(struct store *s, struct node *busy, struct waiter *w);
/* Take it back. True: it was parked, and will not be woken. False: it is not, or is being woken:
 * the next store_park says so. */
bool store_unpark(struct store *s, struct waiter *w);
void store_wait_idle(struct store *s, struct node *busy);

struct node *store_root(struct store *s); /* not referenced: it lives as long as the store */
enum node_kind node_kind(const struct node *n);
void node_ref(struct store *s, struct node *n);
void node_unref(struct store *s, struct node *n, uint64_t count);
bool store_is_read_only(const struct store *s);
/* Does its file system lie on another one (overlayfs)? */
bool store_is_stacked(const struct store *s);
const char *store_suffix(const struct store *s);

/* ---- names: a dir must be a NODE_DIR. Found and created nodes are referenced once. ---- */

/* -ENOENT · -ENAMETOOLONG */
int store_lookup(struct store *s, struct node *dir, const char *name, struct node **out);
/* May a look-up that found nothing be remembered by the kernel? Not for sealed names. */
bool store_may_cache_absence(const struct store *s, const char *name);

/* mode: permission bits and set-ID bits, the umask applied. A new file is opened with flags.
 * -EEXIST: the name, or the other spelling of its stem, is there · -EINVAL, -ENAMETOOLONG:
 * lib/name.h · -EROFS. A file with a sealed name is an import (lib/import.h); -EPERM: another
 * thing of such a name · -EOPNOTSUPP: no imports in this store, for want of attributes */
int store_create(struct store *s, struct caller *c, struct node *dir, const char *name,
		 mode_t mode, int flags, struct node **out, struct handle **handle);
int store_mkdir(struct store *s, struct caller *c, struct node *dir, const char *name,
		mode_t mode, struct node **out);
int store_symlink(struct store *s, struct caller *c, struct node *dir, const char *name,
		  const char *target, struct node **out);
int store_readlink(struct store *s, struct node *link, char *out,
		   size_t size); /* NUL-terminated */
/* -EPERM: sealed bytes, and no allow_delete */
int store_unlink(struct store *s, struct caller *c, struct node *dir, const char *name);
int store_rmdir(struct store *s, struct caller *c, struct node *dir, const char *name);
/* flags: 0, RENAME_NOREPLACE, RENAME_EXCHANGE (directories, links and files without sealed
 * bytes). */
int store_rename(struct store *s, struct caller *c, struct node *from_dir, const char *from,
		 struct node *to_dir, const char *to, unsigned flags);

struct store_dirent {
	uint64_t
	    cookie; /* of this entry; pass it to go on behind it. Stays the same for its life */
	struct node *node; /* referenced */
	char name[NAME_BYTES + 1];
};

/* Up to max entries behind cookie (0: the first; "." and ".." are the caller's business,
 * cookies 1 and 2 are never used). Returns the count, 0 at the end. */
int store_readdir(struct store *s, struct node *dir, uint64_t cookie, struct store_dirent *out,
		  int max);

/*
 * A listing may be kept by the caller (the kernel does) and given out again by later ones, while
 * nothing has changed. What each may do is said when it begins:
 *
 *	DIRECT	nothing: each of its entries comes from store_readdir
 *	FRESH	forget what is kept, then keep what comes
 *	KEPT	use what is kept, or keep what comes
 *
 * No listing that has begun after a change is given what was kept before it: for that, listings of
 * different states never keep at the same time, and what is kept counts only once a FRESH one has
 * asked for entries, and so has forgotten the older.
 */
enum store_listing { STORE_LISTING_DIRECT, STORE_LISTING_FRESH, STORE_LISTING_KEPT };

/* *state: what is listed now; for the other two. Every listing that is not DIRECT ends. */
enum store_listing store_listing_begin(struct store *s, struct node *dir, uint64_t *state);
/* A FRESH one asks for its first entries. */
void store_listing_started(struct store *s, struct node *dir, uint64_t state);
void store_listing_end(struct store *s, struct node *dir);
int store_sync_dir(struct store *s, struct node *dir);
/* What "sync MNT" does: grace ends for everything closed, lazy metadata are committed. */
int store_sync(struct store *s);
int store_statfs(struct store *s, struct statvfs *out);

/* ---- attributes ---- */

enum {
	STORE_SET_MODE = 1,
	STORE_SET_UID = 2,
	STORE_SET_GID = 4,
	STORE_SET_SIZE = 8,
	STORE_SET_ATIME = 16,
	STORE_SET_MTIME = 32,
	STORE_SET_ATIME_NOW = 64,
	STORE_SET_MTIME_NOW = 128,
	STORE_SET_NO_SET_ID = 256, /* take off what a writer without privileges may not keep */
};

/* Its name means this node for a moment only (an import): not to be remembered. */
bool node_is_fleeting(struct store *s, struct node *n);
/* Someone who began before the store was opened may still append to its raw file: how long it is, and what is
 * behind the end, is not to be remembered. */
bool node_may_grow(struct store *s, struct node *n);
/* … and he has not been looked for yet, or was found. */
bool node_has_old_writer(struct store *s, struct node *n);
uint64_t node_ino(struct store *s, struct node *n);
int store_getattr(struct store *s, struct node *n, struct stat *out);
/* An object stands for its file (chmod -R meets objects only), and never shows the right to
 * write. What is done and must not be done again is taken out of *set: after STORE_BUSY, call it
 * with what is left. -EPERM: cut or sealed bytes would change. */
int store_setattr(struct store *s, struct caller *c, struct node *n, const struct stat *want,
		  unsigned *set, struct stat *out);

/*
 * Extended attributes, all read-only facts about a file or an object: what is known of this
 * one. STORE_XATTR_PREFIX and
 *	state		active, sealing, sealed, importing, or invalid (a refused import)
 *	sha256		of the object, and
 *	raw_sha256	of the plain bytes: of an object, and of a plain name that one part holds
 *	raw_size	how many plain bytes
 *	records		of a notepack, when all of it is sealed
 *	error		why it cannot be sealed just now, or was refused; or where a part of it was
 *			found to be damaged
 */
#define STORE_XATTR_PREFIX "user.notepack."
#define STORE_XATTR_BYTES 256 /* the longest value, and all names together */

/* The value of one into out (STORE_XATTR_BYTES), or all names, each with its NUL. The length,
 * or -ENODATA. */
ssize_t store_getxattr(struct store *s, struct node *n, const char *name, char *out);
ssize_t store_listxattr(struct store *s, struct node *n, char *out);

/* ---- data ---- */

/* flags as open(2). -EPERM: O_TRUNC on cut bytes; an object for writing. -ESTALE: it was
 * removed, or an import that is settled; look the name up again. -EBUSY: reading an import that
 * someone writes. */
int store_open_node(struct store *s, struct caller *c, struct node *n, int flags,
		    struct handle **out);
/* Short at the end of the file only; where a byte of it cannot be read, an error. */
ssize_t store_read(struct handle *h, void *buf, size_t len, uint64_t offset);
/* cached: the bytes come from the kernel's page cache (a shared mapping). -EPERM: below the
 * cut. */
ssize_t store_write(struct handle *h, const void *buf, size_t len, uint64_t offset,
		    bool cached);
/* For a writer with O_APPEND, who takes offset for the end. If node_may_grow, it is written at the end, as it
 * is then. -EIO: cut bytes that are in no part yet are not there any more. */
ssize_t store_append(struct handle *h, const void *buf, size_t len, uint64_t offset);
int store_fallocate(struct handle *h, int mode, uint64_t offset, uint64_t len);
int store_flush(struct handle *h); /* a sticky error of the file, else 0 */
int store_fsync(struct handle *h);
void store_release(struct handle *h);

/*
 * For one who reads or appends to a file of the store himself, for the one who has the handle, and does not
 * call store_read and store_write for it (the kernel: fs/passthrough.h).
 *
 * store_pass: of an object, to be read; of a file that is not open in another way, with a handle of O_WRONLY
 * and O_APPEND, to be appended to: the store's own file, open as long as the handle; until that is released
 * the file may grow unseen. Or -1: that must not be; for other handles, and as long as it must be seen. undo: it
 * did not come to that.
 *
 * store_pass_too: another handle, to be used with the same descriptor while there is a first one. ALIKE: it is as
 * that one. BESIDE: what it reads and writes is read and written here, but what it maps is the store's own
 * file. OVER: all that were passed, or beside, have been released, and the store's own file may be another now.
 */
enum store_pass { STORE_PASS_ALIKE, STORE_PASS_BESIDE, STORE_PASS_OVER };
int store_pass(struct handle *h);
void store_pass_undo(struct handle *h);
enum store_pass store_pass_too(struct handle *h);

/* ---- what notepackctl and the control files need ---- */

/*
 * Slowing writers down. More raw bytes wait to be sealed than the option backlog allows:
 * store_pause_bytes is for how many bytes the one who has written these should wait for his answer; 0:
 * not at all. store_pause, true: wake will be called once, when it is his turn, by a thread of the
 * store's that holds no lock; until then *p is the store's. False: it will not be called. How long
 * that takes has no limit but what the sealing sets: see lib/space.h.
 * store_pause_cancel, by anyone at any time before wake or he himself gives *p away: true: *p is the
 * caller's again, and wake will not be called; false: it is being called, or store_pause was not called
 * yet, and will return false. store_unpause wakes all, has none wait from then on, and returns when the
 * last wake has.
 */
struct store_pause {
	void (*wake)(struct store_pause *p);
	uint64_t bytes; /* the store's, as all that follows; zero at first */
	bool waiting, cancelled;
	struct store_pause *prev, *next;
};
/*
 * The answer to the next write of h may have to wait. The kernel reads no further than it knows of by answers, so
 * until store_answered, which comes before the answer, the file is as long for all as it is now. False: it need
 * not wait, and store_answered must not be called.
 */
bool store_withhold(struct handle *h);
void store_answered(struct handle *h);
uint64_t store_pause_bytes(struct store *s, uint64_t bytes);
bool store_pause(struct store *s, struct store_pause *p, uint64_t bytes);
bool store_pause_cancel(struct store *s, struct store_pause *p);
void store_unpause(struct store *s);

/*
 * A barrier (lib/proto.h: PROTO_WAIT, PROTO_SEAL), for a caller, who need not live on. done is
 * called exactly once, from a thread of the store's or from within these calls. Returns 0 and, unless done was called already,
 * *out to cancel with; or -errno, and done is not called. done(-EBUSY): the one file that was to be sealed
 * is open, and written through a mapping: it is not cut before that ends. A barrier stays valid until its
 * done has returned. store_barrier_cancel never waits for a done that is running; it calls
 * done(-EINTR) unless it was called.
 */
struct barrier;
int store_barrier(struct store *s, const struct caller *c, enum proto_op op, const char *path,
		  void (*done)(void *ctx, int err), void *ctx, struct barrier **out);
void store_barrier_cancel(struct store *s, struct barrier *b);

/* PROTO_REMOVE */
int store_remove(struct store *s, struct caller *c, const char *path);

/* names: with the paths of what is pending, refused and damaged, which may not be everyone's to
 * know. */
void store_status(struct store *s, bool names, struct buf *out);
typedef int store_writer(void *ctx, const char *data, size_t len);
int store_dump_manifest(struct store *s, store_writer *write, void *ctx);
int store_dump_sha256sums(struct store *s, store_writer *write, void *ctx);
int store_log_size(struct store *s, uint64_t *bytes);
ssize_t store_log_read(struct store *s, void *buf, size_t len, uint64_t offset);

/* For the drain: how much is left (for a log line, or a progress file). */
struct store_progress {
	uint64_t files_left, bytes_left;
};
void store_progress(struct store *s, struct store_progress *out);

#endif
