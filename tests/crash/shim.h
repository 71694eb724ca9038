/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shim: counts the calls that a store is changed with, and lets one of them fail.
 *
 * shim.c defines the calls for the whole program, whichever thread makes them, so all threads
 * are one sequence. It is linked into a test program, which arms it with shim_arm; or loaded
 * with LD_PRELOAD as libshim.so, which arms itself from the environment:
 *
 *	FI_MODE		what happens: see shim_mode_find
 *	FI_AT=K		to which call: 1 is the first that counts; 0: none, count only
 *	FI_SPAN=N	and to how many in all, from there on (1)
 *	FI_CLASS=NAMES	which calls count (see shim_classes_find); else what suits the mode
 *	FI_LOG=FILE	lines are appended: "injected K CALL WHAT", and "total N" at the exit
 *
 * Calls on anything but regular files and directories do not count (pipes, sockets, the FUSE
 * device), nor do standard output and standard error, nor paths in /proc, /dev and /sys.
 */
#ifndef NOTEPACKFS_TESTS_SHIM_H
#define NOTEPACKFS_TESTS_SHIM_H

#include <stdatomic.h>
#include <stdbool.h>

enum shim_action {
	SHIM_PASS,  /* count only */
	SHIM_KILL,  /* SIGKILL to the process */
	SHIM_ERROR, /* the call fails with err */
	SHIM_SHORT, /* half of it is done */
	SHIM_HOOK,  /* shim_arm's hook is called, which does not return */
	SHIM_DEVICE, /* the hook is called before the first of the calls, and before the first behind
		      * the last; what it has fail by itself is counted */
};

/* Classes of calls. */
enum {
	SHIM_WRITE = 1,	    /* write pwrite writev */
	SHIM_SYNC = 2,	    /* fsync fdatasync */
	SHIM_NAME = 4,	    /* rename* link* symlink* mkdir*, open* with O_CREAT */
	SHIM_REMOVE = 8,    /* unlink* rmdir */
	SHIM_SIZE = 16,	    /* ftruncate fallocate posix_fallocate copy_file_range FICLONE */
	SHIM_META = 32,	    /* fchmod* fchown* futimens utimensat */
	SHIM_XATTR = 64,    /* fsetxattr fremovexattr */
	SHIM_CLOSE = 128,   /* close: an error, but the descriptor is gone */
	SHIM_READ = 256,    /* read pread readdir fgetxattr, open* without O_CREAT */
	SHIM_STAT = 512,    /* fstat fstatat */
	SHIM_OPEN = 1024,   /* whatever makes a descriptor */
	SHIM_THREAD = 2048, /* pthread_create */
	SHIM_MEMORY = 4096, /* malloc calloc realloc */
	SHIM_ACK = 8192,    /* shim_acknowledged */
	SHIM_CHANGE = SHIM_WRITE | SHIM_SYNC | SHIM_NAME | SHIM_REMOVE | SHIM_SIZE | SHIM_META |
		      SHIM_XATTR,
};

struct shim_mode {
	const char *name;
	enum shim_action action;
	bool after; /* the call is made first; its result is then withheld */
	int err;
	unsigned classes;
};

#define SHIM_WHAT 96

/* Lies in memory that is shared with whoever looks at it when the process is gone. */
struct shim_state {
	struct shim_mode mode;
	long at, span;
	atomic_long count, injected;
	atomic_bool dead;     /* the last moment is over: other threads' calls wait for ever */
	atomic_int again;     /* fsyncs of a descriptor whose fsync had failed */
	char what[SHIM_WHAT]; /* the call that was hit first */
};

/*
 * kill, killafter, EIO, ENOSPC, EINTR, short, ENOMEM, EMFILE, EAGAIN; lost (the call is made,
 * and EIO returned); power and powerafter (the hook); ack (the hook, at shim_acknowledged); device
 * (the hook, twice: fsyncs that fail between are what was injected). NULL: unknown.
 */
const struct shim_mode *shim_mode_find(const char *name);
/* "write,sync,…"; 0: unknown. */
unsigned shim_classes_find(const char *names);

/* From now on; state NULL: no more. */
void shim_arm(struct shim_state *state, void (*hook)(void));

/* The user of the store was just told that what it wrote is durable, and has noted it. */
void shim_acknowledged(const char *name);

/* What this thread does between these two does not count. */
void shim_pause(void);
void shim_resume(void);

#endif
