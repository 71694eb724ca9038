/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ctl: what the commands of notepackctl share.
 *
 * A command is a function in a file of its own (ctl_NAME.c) and a line in the table in ctl.c.
 * It returns the exit status of the process. It has said why on stderr, in one line that names
 * the file, the reason and the remedy, before it returns anything but CTL_DONE.
 */
#ifndef NOTEPACKFS_MOUNT_CTL_H
#define NOTEPACKFS_MOUNT_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/buf.h"
#include "lib/manifest.h"
#include "lib/proto.h"

enum ctl_exit {
	CTL_DONE = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2,
	CTL_IN_USE = 3,
	CTL_DAMAGED = 4,
	CTL_NOT_FLUSHED = 5,
};

struct ctl_command {
	const char *name;
	const char *usage; /* what follows the name */
	const char *help;  /* one line */
	int (*run)(int argc, char **argv);
};

int ctl_umount(int argc, char **argv);
int ctl_status(int argc, char **argv);
int ctl_wait(int argc, char **argv);
int ctl_seal(int argc, char **argv);
int ctl_rm(int argc, char **argv);
int ctl_check(int argc, char **argv);
int ctl_repair(int argc, char **argv);
int ctl_init(int argc, char **argv);
int ctl_cat(int argc, char **argv);
int ctl_ls(int argc, char **argv);
int ctl_import(int argc, char **argv);

/* Print one line to stderr. Control characters in it are replaced: a name must not forge a
 * line. */
void ctl_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void ctl_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The same, and the usage of the command that runs; returns CTL_USAGE. fmt NULL: getopt has
 * already said what is wrong. */
int ctl_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The argument of --timeout, in seconds. false: it is none, and that has been said as by ctl_usage. */
bool ctl_parse_timeout(const char *text, int64_t *out_ns);

/* For -h and --help: the usage on stdout; returns CTL_DONE. */
int ctl_help(void);

/* The worse of two exit statuses, for commands with several operands. */
int ctl_worse(int a, int b);

/* "12.3 MB" (powers of 1000); out holds CTL_SIZE_TEXT bytes. Returns out. */
#define CTL_SIZE_TEXT 16
const char *ctl_size(uint64_t bytes, char *out);

/* "file" or "files", for count. */
const char *ctl_files(uint64_t count);

/* The path as text, for lists: what cannot be shown on a terminal (lib/name.h) as \ooo,
 * a backslash doubled. Free it. */
char *ctl_printable(const char *path);

/* malloc and friends that end the process with a clear line when there is no memory. */
void ctl_no_memory(void) __attribute__((noreturn));
void *ctl_alloc(size_t size);
char *ctl_strdup(const char *s);
char *ctl_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Mounts (ctl_mount.c), from /proc/self/mountinfo.
 */
struct ctl_mount {
	char *mountpoint; /* where it is mounted, absolute */
	char *root;	  /* what of it is mounted there: "/" but for bind mounts */
	char *store;	  /* absolute */
	char *device;	  /* "MAJOR:MINOR" */
	bool read_only;
};
void ctl_mount_release(struct ctl_mount *m);

/* An absolute path without symbolic links in its directory part; the last component may not
 * exist and is not followed. NULL with errno. Free it. */
char *ctl_canonical(const char *path);

/*
 * The notepackfs mount that holds path, and (rel may be NULL) path relative to the root of the
 * mount, "" for the root itself. Returns 0 · 1: path is in no such mount · -errno: the path
 * cannot be resolved (-ENOTCONN: within a mount whose daemon died).
 */
int ctl_mount_find(const char *path, struct ctl_mount *out, char **rel);

/* The same, for commands that need one: says what is wrong and returns CTL_FAILED. */
int ctl_mount_need(const char *path, struct ctl_mount *out, char **rel);

/* Another place at which the device is mounted still; NULL if there is none. Free it. */
char *ctl_mount_other(const char *device);

/* Open a file in the mount's control directory. A descriptor or -errno. */
int ctl_control_open(const struct ctl_mount *m, const char *name);

/* Append what is in one. 0 or -errno. */
int ctl_control_read(const struct ctl_mount *m, const char *name, struct buf *out);

/* One request to the daemon (lib/proto.h), interrupted by SIGINT, SIGTERM and a timeout only. 0 or -errno.
 */
int ctl_request(const struct ctl_mount *m, enum proto_op op, const char *rel);

/*
 * Stores (ctl_store.c).
 */

/* Open a directory; says what is wrong and returns -1 if it cannot. */
int ctl_open_dir(const char *path);

/*
 * The store or mount that holds the canonical path: the nearest parent (or the path itself)
 * with a manifest in its private directory. Returns its path (free it) and sets *suffix (free
 * it, too) to the suffix named in the manifest's first line; NULL if there is none: then
 * *suffix is the default.
 */
char *ctl_store_above(const char *canonical, char **suffix);

/*
 * Watching a daemon end (ctl_drain.c).
 *
 *	drain_open → unmount → drain_wait → drain_close
 *
 * The lock file is opened and its text is read before the unmount, so that the answer is
 * about this daemon and no other. Daemons of read-only mounts share the lock: of theirs the process
 * is watched.
 */
struct drain {
	char *store;
	int storefd;
	int lockfd;  /* -1: the store has no lock file, so no one holds it */
	int pidfd;   /* of the daemon of a read-only mount; else -1 */
	long pid;    /* of the daemon; 0: not known */
	bool writes; /* the store is mounted for writing: how that ended must be on record */
	bool noted;  /* the lock's text says so; it is emptied at the end */
	uint64_t stop_ino; /* of last_stop, as it was before */
	int64_t stop_mtime_ns;
	bool stop_found;
};

#define DRAIN_CLOSED ((struct drain){.storefd = -1, .lockfd = -1, .pidfd = -1})

/*
 * m: the mount, or NULL if there is none. 0, or CTL_FAILED with a line printed. The process of a
 * read-only mount cannot be found where its status cannot be read (root's view of a mount of
 * another user without allow_root), or from another PID namespace: then there is nothing to wait
 * for.
 */
int drain_open(struct drain *d, const char *store, const struct ctl_mount *m);
void drain_close(struct drain *d);

/* Has the daemon ended, or let go of the lock, or has another one got it since? */
bool drain_is_released(const struct drain *d);

struct drain_wait {
	int64_t timeout_ns; /* < 0: none */
	bool lazy;	    /* the mount may live on in open files: don't wait for their end */
	bool unmounted;	    /* it must be: a store that is mounted is an error */
};

/*
 * Wait until the daemon has let go of the store, and show its progress on stderr. SIGINT,
 * SIGTERM and SIGHUP end the wait, not the daemon. Returns the exit status, having said why it
 * is not 0.
 */
int drain_wait(struct drain *d, const struct drain_wait *how);

static inline void ctl_cleanup_mount(struct ctl_mount *m)
{
	ctl_mount_release(m);
}

static inline void ctl_cleanup_drain(struct drain *d)
{
	drain_close(d);
}

static inline void ctl_cleanup_file(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void ctl_cleanup_manifest(struct manifest **m)
{
	if (*m)
		manifest_close(*m);
}

#define CLEANUP_MOUNT __attribute__((cleanup(ctl_cleanup_mount)))
#define CLEANUP_DRAIN __attribute__((cleanup(ctl_cleanup_drain)))
#define CLEANUP_FILE __attribute__((cleanup(ctl_cleanup_file)))
#define CLEANUP_MANIFEST __attribute__((cleanup(ctl_cleanup_manifest)))

#endif
