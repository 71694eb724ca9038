/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * core: the structures that the engine's modules share. Private to lib.
 *
 * One lock, store.lock (rank 10), protects everything here that is not said to be otherwise. It
 * is held for memory work only. What must last across a system call is a state, taken and given
 * back under the lock:
 *
 *	node.busy	BUSY_NAME: the node's name is changing (made, renamed); its holder never
 *			needs the node's gate, so who is in the gate may wait for it.
 *			BUSY_HELD: its names stand still until its holder changes them itself
 *			(publication, removal, making and dropping the raw file): the holder may
 *			wait for the gate, so who is in the gate must not wait for it.
 *			Who needs the node parks or waits. The order is tree → busy → gate.
 *	store.tree	a pseudo-node whose busy state keeps paths still: held by a batch of
 *			publications, a lazy commit and a directory's rename.
 *	file gate	shared: a write, a change of attributes, an opening of the raw file;
 *			exclusive: a cut, a truncation, making and dropping the raw file.
 *
 * Invariants whenever the lock is free and the gate is open (file_check):
 *	sealed_end <= cut_end <= size; the parts lie end to end up to sealed_end, from base;
 *	the segments lie end to end from sealed_end to cut_end; written_end <= size;
 *	the plain name has an entry exactly if size > sealed_end or there is no part, or living;
 *	raw_present if size > sealed_end.
 */
#ifndef NOTEPACKFS_LIB_CORE_H
#define NOTEPACKFS_LIB_CORE_H

/* An allocation that fails leaves the element out of the table (hh.tbl NULL): catalog.c looks.
 */
#define HASH_NONFATAL_OOM 1
/* The default falls through cases in a way that compilers warn about. */
#define HASH_FUNCTION(key, len, value) HASH_OAT(key, len, value)
#include <uthash.h>
#include <stdatomic.h>
#include <utlist.h>

#include "lib/bytes.h"
#include "lib/frames.h"
#include "lib/lock.h"
#include "lib/manifest.h"
#include "lib/name.h"
#include "lib/seekgz.h"
#include "lib/store.h"

enum busy { IDLE, BUSY_NAME, BUSY_HELD };

struct dir;
struct file;
struct id;

struct node {
	enum node_kind kind;
	enum busy busy;
	int stuck; /* while it is busy: what holds it fails with -errno, and is tried again; 0 */
	bool linked;	 /* it has a name */
	uint64_t refs;	 /* of callers and jobs; freed when !linked and 0 */
	struct dir *dir; /* while linked; NULL for the root */
	char *name;	 /* while linked; for a file its plain name; NULL for objects */
	uint64_t cookie; /* of its entry in dir; 0: not listed */
	struct waiter *waiters;
	UT_hash_handle hh; /* in dir->files (by stem) or dir->others (by name) */
};

/* An entry of a listing: a node under its own name, or a part of a file. Sorted by cookie. */
struct slot {
	uint64_t cookie;
	struct node *node; /* NULL: it is gone */
	uint32_t part;	   /* 0: the node's own name */
};

struct dir {
	struct node n;
	struct node *files;  /* hash: struct file by stem */
	struct node *others; /* hash: struct dir and struct link by name */
	struct slot *slots;
	size_t slot_count, slot_size, slot_gone;
	uint64_t next_cookie;
	uint64_t ino;	   /* of the backing directory */
	uint64_t changes;  /* of what is listed, from 1; never the same again. lib/listing.c: */
	uint64_t kept;	   /* as of which the kernel's copy is; 0: it has none that is right */
	unsigned listings; /* open ones that may fill or use that copy, and */
	uint64_t listed_at; /* as of which they all are */
	bool loaded, loading;
	bool durable; /* its own entry has been fsynced */
	/* Publications in progress, and the times to give back to it after them. */
	unsigned held, touched;
	struct timespec held_mtime;
	/* O_PATH descriptor, -1 when not open; lib/dirfd.c. */
	int fd;
	unsigned fd_users;
	struct dir *fd_prev, *fd_next;
};

struct link {
	struct node n;
	uint64_t ino;
};

/* A sealed segment. */
struct part {
	uint32_t number;
	int pinned_fd; /* open because the object was removed while handles are open; else -1 */
	uint64_t offset, raw_bytes, gz_bytes;
	uint64_t cookie; /* of its entry; 0: not listed (never, while linked) */
	uint32_t crc32;	 /* of the plain bytes */
	uint8_t codec;
	struct object *object;
	bool seen; /* its object was met when the directory was loaded */
	enum {
		RAW_UNKNOWN,
		RAW_SAME,
		RAW_OTHER
	} raw; /* of an unproven raw file: raw_vouches() */
};

/* A node of one part; holds a reference on its file. */
struct object {
	struct node n;
	struct file *file;
	uint32_t number;
};

/* The open raw file; the descriptor stays good after the name is gone. */
struct raw {
	int fd;
	unsigned refs;
};

/* lib/chunks.h, lib/object.h */
struct chunks;
struct object_reader;

/* Bytes of a file that are cut and not sealed yet: one job. lib/segment.h */
struct segment;

struct attrs {
	uint32_t mode; /* 07777 */
	uint32_t uid, gid;
	int64_t mtime_ns;
};

struct file {
	struct node n;
	uint64_t id;
	uint64_t base; /* the logical offset at which the plain view starts */
	uint64_t size, written_end, cut_end, sealed_end;
	uint64_t
	    answered; /* while writes are withheld (store_withhold): the size before them */
	unsigned withheld;

	bool raw_present;
	bool
	    raw_recovered; /* from before our start, and someone may still hold it open for writing:
			     * raw_get() looks. Or a mapping of our own was passed (lib/pass.h) */
	bool raw_old;	   /* … from before our start: not only a mapping */
	bool
	    living; /* … and does, when last looked for: listed as active, though all is sealed */
	bool raw_unproven; /* it holds bytes of parts, and no one has compared them: it stays */
	bool raw_pending;  /* … the prover will, or does (lib/prover.h) */
	bool raw_doubted; /* … or has, and they are not the same: the next start settles it */
	bool base_removed;     /* what was before base is no gap: it was removed */
	bool raw_durable;      /* its entry has been fsynced */
	uint64_t raw_identity; /* io_identity() */
	uint64_t raw_base;     /* the raw file holds the bytes from here */
	struct raw *raw;       /* while open */
	bool raw_shown;	       /* someone outside may have mapped it (lib/pass.h) … */
	bool raw_mapped;       /* … to write */
	bool raw_pinned; /* removed while it was open: one of raw's references is the file's */

	struct part *parts;
	uint32_t part_count, next_part;
	struct segment *segments; /* in order; the first is the one in work */
	struct early *early;	  /* of the bytes from cut_end on: lib/early.h */
	uint64_t early_from;	  /* … not before written_end is here */
	/*
	 * An import (lib/import.h): under a sealed name, listed while it is empty only; its raw
	 * file lies in LAYOUT_IMPORT. It ends by being unlinked: what took its place is another node, since
	 * the kernel has pages of this one. Then it is settled, and nothing can change it.
	 */
	bool import, settled;
	bool verifying;	 /* busy, and a task of the pool is at it */
	bool claimed;	 /* busy, for someone who wants to read it and waits for the verdict */
	bool lingering;	 /* … who waited in vain for the last close */
	char *reason;	 /* why it is not adopted: of a refused one, or of a failed try */
	bool in_imports; /* in store.imports: an import, a refused or a settled one */
	struct file *imports_prev, *imports_next;

	struct attrs attrs; /* of a file without raw bytes */
	bool attrs_dirty; /* the manifest and the objects do not have them, or the path, yet */
	struct file *attrs_prev, *attrs_next;

	unsigned opens, writers;
	unsigned flushed; /* writers whose latest operation was a FLUSH: closed, most likely */
	bool mapped;	  /* a shared mapping has written, and one who may is left */
	bool dirty;	  /* changed since the last cut */
	bool fsync_armed; /* the deadline is an fsync's */
	int error;	  /* sticky: a failed fsync of the raw file (-errno) */
	int64_t last_cut_ns, dirty_since_ns;
	/* lib/rotate.h: what is new since when. */
	uint64_t rotate_from;
	int64_t rotate_ns;
	bool rewritten; /* changed, not only appended to, since a boundary was looked for */

	unsigned passed; /* handles that append to the raw file past us (lib/pass.h) */
	struct file *passed_prev, *passed_next; /* in store.passed, while there are some */
	unsigned
	    beside; /* other handles from while there were some: the kernel has the raw file for them, too */

	unsigned gate_in;
	bool gate_shut;

	int64_t deadline_ns; /* 0: not in a list of timers */
	unsigned timer;	     /* which list */
	struct file *timer_prev, *timer_next;

	/* In store.active: has bytes or a raw file that are to be dealt with. See
	 * active_update_locked. */
	bool active;
	bool hurry;	 /* a barrier wants it cut as soon as can be */
	bool closing;	 /* a barrier waits for the RELEASE that should be on its way */
	bool kept;	 /* sealed, but someone else may still write the raw file, or reads it
		       * past us, or it could not be removed */
	bool kept_tried; /* the stop has tried once more */
	bool piecewise;	 /* for want of room: lib/piecewise.h */
	struct file *active_prev, *active_next;
	struct file *proof_prev, *proof_next; /* in store.proofs */
};

struct handle {
	struct store *store;
	struct node *node; /* referenced */
	int flags;
	bool writer;
	bool flushed;	 /* see file.flushed; store.lock */
	bool passed;	 /* counted in file.passed; store.lock */
	bool beside;	 /* … in file.beside */
	bool syncs;	 /* after each write; set before the first */
	struct raw *raw; /* referenced, or NULL */
	int fd;		 /* of an object; else -1 */
	/* The reader of the part used last. Rank 5 (store.lock is taken inside) protects these
	 * three. */
	struct lock reader_lock;
	struct object_reader *reader;
	uint32_t reader_part;
	struct handle *prev, *next;
};

enum { TIMER_NOW, TIMER_SOON, TIMER_LATER, TIMER_ROTATE, TIMERS };

/* What is odd about a name in the store, and is logged: lib/load_records.h; LENGTH: by recovery. */
enum odd { ODD_PART, ODD_RAW, ODD_UNRECORDED, ODD_KIND, ODD_MISSING, ODD_LENGTH, ODDS };

struct store {
	/* Constant after store_open. */
	struct store_options options;
	struct store_hooks hooks;
	char *path;
	int fd, lockfd;
	int stop_fd; /* LAYOUT_NEXT_STOP; -1: there was no room for it */
	atomic_int_least64_t
	    space_credit; /* bytes that writers may have without being counted */
	atomic_int_least64_t inode_credit; /* … and inodes */
	atomic_uint odd_lines[ODDS];	   /* of the log */
	atomic_bool no_holes;		   /* the file system cannot punch them */
	int indexfd;			   /* LAYOUT_INDEX; -1: there is none */
	int tmpfd;			   /* LAYOUT_TMP; -1: of a store that is read only */
	struct chunks *chunks;		   /* lib/chunks.h; NULL: not open yet */
	struct manifest *manifest;
	struct globs exclude, deletable;
	struct sealer *sealer;
	struct events *events;
	bool have_xattrs;
	store_adopted *adopted; /* store_adopt, not a mount; else NULL */
	void *adopted_ctx;
	uint64_t adopted_bytes, adopt_total;
	bool
	    recovered_all; /* recovery has run: what a raw file holds was compared with its parts */
	bool have_noreplace;	       /* else a renaming is a link and an unlink */
	struct differences *recovered; /* between recovery_run and recovery_arm */

	/* Rank 10. Protects all below, and every node. */
	struct lock lock;
	struct cond changed; /* a busy state or a gate was given back, a directory was loaded */
	struct node tree;
	unsigned
	    loading; /* directories being loaded; none starts while a directory is renamed */
	struct dir *root;
	struct handle *handles;

	struct dir *fd_list; /* directories with an open, unused descriptor; oldest first */
	unsigned fd_count;

	struct file *active;
	struct file *passed;
	int64_t pass_look_ns; /* when they are looked at next, while there are some */
	struct file *imports;
	struct id *claimed_ids; /* lib/ids.h */
	uint64_t ids_end;	/* the first that this mount gives out; set at the start */
	unsigned verifying;	/* tasks */
	struct file *timers[TIMERS];
	atomic_int_least64_t
	    soon_ns; /* the first deadline of the first two; 0: there is none */
	struct cond timer_wake;
	pthread_t timer_thread;
	bool timer_running, stopping;
	struct file *attrs_list;
	int64_t attrs_deadline_ns;
	bool attrs_flushing;

	struct damage *damages; /* lib/damage.h */
	unsigned damage_count;
	struct scrub *scrub; /* lib/scrub.h; NULL: there is none */
	struct file *proofs; /* lib/prover.h; referenced */
	pthread_t prover_thread;
	bool prover_running; /* until it is joined */

	struct barrier *barriers;
	struct store_pause *paused; /* writers, slowed down; who came first, first */
	uint64_t pause_bytes;	    /* written above the limit, and not waited for yet */
	uint64_t pause_credit;	    /* what sealing has earned for the first of them */
	int64_t
	    pause_turn_ns; /* the latest that went on without that; or since when there are some */
	int64_t pause_step_ns;	   /* below the limit, until the next does */
	unsigned compressing;	   /* chunks */
	int64_t compressed_ns;	   /* the latest that was */
	bool pausing_over, waking; /* store_unpause; the timer's thread wakes some */
	uint64_t sealed_total;	   /* segments published by this mount */
	uint64_t pending_files, pending_bytes; /* segments queued */
	struct early *earlies;
	/* Chunks that were compressed early, at the seal; late: that were compared only then. */
	uint64_t early_reused, early_redone, early_late;
	bool
	    unsettled; /* there is something that only the recovery of the next start can settle */
	struct leftover *leftovers;	   /* lib/leftover.h */
	uint64_t drain_files, drain_bytes; /* the stopping thread's: what there was at first */
};

static inline struct file *to_file(struct node *n)
{
	return (struct file *)n;
}

static inline struct dir *to_dir(struct node *n)
{
	return (struct dir *)n;
}

/*
 * Does the kernel have the raw file, for any handle (lib/pass.h)? It has whoever opens the file meanwhile append to
 * that raw file, and map it, by the number it knows it under, though the appenders have gone. So as long as
 * this is true the raw file is not given up, and gets no hole: what was appended would go with it, and what was
 * mapped be zeroes.
 */
static inline bool file_is_passed(const struct file *f)
{
	return f->passed || f->beside;
}

#endif
