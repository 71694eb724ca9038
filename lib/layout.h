/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * layout: what lies in a store's private directory, and the lock on a store.
 *
 *	.notepackfs/		0700
 *	  manifest, chunks/	lib/manifest.h
 *	  reserve		space kept for commits
 *	  tmp/			objects being written; emptied at the start
 *	  import/		gzip files of others until they are trusted; lib/import.h
 *	  index/		how to read them at an offset; lib/gzindex.h
 *	  quarantine/		what recovery would not trust, kept for a human
 *	  log, log.1		events, one JSON line each (lib/events.h)
 *	  lock			flock(2): exclusive for a mount or a tool that writes, shared
 *				for a reader; its text says who: "PID mounted\n",
 *				"PID draining\n", "PID tool\n", or nothing once released
 *	  drain			while draining: one JSON line, rewritten in place about 5 times
 *				a second:
 *				{"pid":…,"files_total":…,"files_left":…,"bytes_total":…,"bytes_left":…}
 *				(padded with blanks; bytes are raw bytes)
 *	  last_stop		how the last mount ended, written before the lock is released:
 *				{"pid":…,"exit":0,"sealed":…,"unfinished":…,"time":"…"}; exit is
 *				the daemon's: 0 clean, 5 not all flushed, 1 failed
 *	  next_stop		of a mount: blanks, for the next last_stop to be written over, so that
 *				a disk that is full by then has room for it
 */
#ifndef NOTEPACKFS_LIB_LAYOUT_H
#define NOTEPACKFS_LIB_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/name.h"

#define LAYOUT_MANIFEST NAME_PRIVATE "/manifest"
#define LAYOUT_CHUNKS NAME_PRIVATE "/chunks"
#define LAYOUT_TMP NAME_PRIVATE "/tmp"
#define LAYOUT_IMPORT NAME_PRIVATE "/import"
#define LAYOUT_INDEX NAME_PRIVATE "/index"
#define LAYOUT_QUARANTINE NAME_PRIVATE "/quarantine"
#define LAYOUT_LOG NAME_PRIVATE "/log"
#define LAYOUT_LOG_OLD NAME_PRIVATE "/log.1"
#define LAYOUT_LOCK NAME_PRIVATE "/lock"
#define LAYOUT_DRAIN NAME_PRIVATE "/drain"
#define LAYOUT_LAST_STOP NAME_PRIVATE "/last_stop"
#define LAYOUT_NEXT_STOP NAME_PRIVATE "/next_stop"

enum layout_kind {
	LAYOUT_STORE, /* has a private directory with a manifest */
	LAYOUT_BEGUN, /* has a private directory, but no manifest: its creation was cut short */
	LAYOUT_EMPTY, /* an empty directory (lost+found aside) */
	LAYOUT_NOT_STORE, /* other files are in it */
};

/* What is this directory? Returns an enum layout_kind, or -errno. */
int layout_probe(int storefd);

/* Make the private directory and those in it, where they are missing. 0 or -errno. */
int layout_create(int storefd);

/*
 * See to it that the private directory is private: that it is a trusted user's (ours, root's, or,
 * if we are root, that of the store's owner), that those in it are directories, and that its mode is
 * 0700: that is mended, with a line in the log, unless read_only; where it cannot be, it is an error
 * only if others may write. 0 or -errno, then why says what is wrong with it, and what to do.
 */
#define LAYOUT_WHY_BYTES 256
int layout_secure(int storefd, bool read_only, char why[LAYOUT_WHY_BYTES]);

/* Who holds the lock, from its text. */
enum layout_holder { HOLDER_NONE, HOLDER_MOUNTED, HOLDER_DRAINING, HOLDER_TOOL };
enum layout_holder layout_holder(int storefd, pid_t *pid);

/*
 * Does the holder say that it is mounted, and is it? One that has no mount of the store any more
 * is ending, though it may not have noticed yet, or files are open in what umount -l left; one
 * that has none yet is starting. A process that cannot be looked at, on another host or in
 * another PID namespace, is taken at its word.
 */
bool layout_holder_is_mounted(int storefd);

/* Was this process killed while a thread of it cannot end (it waits in the kernel, for a
 * request to the mount that no one answers)? It then holds the lock until its mount is aborted.
 */
bool layout_holder_is_stuck(pid_t pid);

/*
 * Lock a store and write who into the lock's text (exclusive only): "mounted" or "tool". A
 * holder that is mounted is refused at once; any other (one that drains, ends, starts, was
 * killed, or is a tool) is waited for, up to wait_ns (polled
 * every 50 ms: flock(2) knows no deadline). A shared lock of a store on a read-only medium that
 * has no lock file needs none. Returns the descriptor to keep open, or -EBUSY, or another
 * -errno.
 */
int layout_lock(int storefd, bool exclusive, const char *who, int64_t wait_ns);

/* Change the text; as an exclusive holder only. who NULL: released soon. */
void layout_lock_note(int lockfd, const char *who);

#endif
