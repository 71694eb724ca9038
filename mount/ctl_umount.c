/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notepackctl umount: unmount, and return when the daemon has flushed everything.
 *
 * --helper is how umount(8) gets the same: its helper /sbin/umount.fuse.notepackfs passes its
 * arguments on (MNT and umount's own flags), and the unmount is left to `umount -i` with these
 * flags.
 */
#include "mount/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/layout.h"

#define HELPER_ARGS_MAX 32

struct options {
	const char *mountpoint;
	int64_t timeout_ns; /* < 0: none */
	bool no_wait;
	bool helper;
	bool lazy;
	char *flags[HELPER_ARGS_MAX + 1]; /* with --helper: for umount -i */
	size_t flag_count;
};

/* Run a program, with what it writes to stderr in text. Returns its exit status, 127 if there
 * is none to run. */
static int run(char *const argv[], char *text, size_t size)
{
	int pipefd[2], status;
	size_t len = 0;
	pid_t pid;

	text[0] = '\0';
	if (pipe2(pipefd, O_CLOEXEC) != 0)
		return 127;
	pid = fork();
	if (pid == 0) {
		dup2(pipefd[1], STDERR_FILENO);
		setenv("LC_ALL", "C", 1);
		execvp(argv[0], argv);
		dprintf(STDERR_FILENO, "%s: %s", argv[0], strerror(errno));
		_exit(127);
	}
	close(pipefd[1]);
	for (ssize_t n = 1; pid > 0 && len + 1 < size && n > 0; len += (size_t)MAX(n, 0)) {
		do
			n = read(pipefd[0], text + len, size - 1 - len);
		while (n < 0 && errno == EINTR);
	}
	close(pipefd[0]);
	text[len] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (pid < 0)
		return 127;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return 127;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 126;
}

static int say_busy(const char *mountpoint)
{
	ctl_error(
	    "%s: is in use; close the files that are open in it (fuser -vm '%s' lists who "
	    "has them) and try again",
	    mountpoint, mountpoint);
	return CTL_FAILED;
}

static int by_program(char *const argv[], const char *mountpoint)
{
	char text[512];
	int status = run(argv, text, sizeof(text));

	if (status == 0)
		return CTL_DONE;
	if (strstr(text, "busy"))
		return say_busy(mountpoint);
	ctl_error("%s: cannot be unmounted: %s", mountpoint, *text ? text : argv[0]);
	return CTL_FAILED;
}

/* Who may not unmount by the system call asks the setuid helper of FUSE. */
static int by_fusermount(const char *mountpoint, bool lazy)
{
	char *argv[] = {"fusermount3", lazy ? "-uz" : "-u", "--", (char *)(uintptr_t)mountpoint,
			NULL};

	return by_program(argv, mountpoint);
}

static int by_umount(const struct options *o, const char *mountpoint)
{
	char *argv[HELPER_ARGS_MAX + 5] = {"umount", "-i"};
	size_t n = 2;

	for (size_t i = 0; i < o->flag_count; i++)
		argv[n++] = o->flags[i];
	argv[n++] = "--";
	argv[n++] = (char *)(uintptr_t)mountpoint;
	return by_program(argv, mountpoint);
}

static int detach(const struct options *o, const char *mountpoint)
{
	if (o->helper)
		return by_umount(o, mountpoint);
	if (umount2(mountpoint, UMOUNT_NOFOLLOW) == 0)
		return CTL_DONE;
	if (errno == EPERM)
		return by_fusermount(mountpoint, false);
	if (errno == EBUSY)
		return say_busy(mountpoint);
	ctl_error("%s: cannot be unmounted: %m", mountpoint);
	return CTL_FAILED;
}

/*
 * A daemon that was killed while it told the kernel of a name may not end: that thread waits
 * for a directory that a client holds, and the client for the daemon. Asking it anything would
 * hang as well. A forced unmount aborts the connection, and both go on.
 */
static void abort_stuck(const struct ctl_mount *m)
{
	CLEANUP_FD int storefd = open(m->store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pid_t pid = 0;

	if (storefd < 0)
		return;
	layout_holder(storefd, &pid);
	if (!layout_holder_is_stuck(pid))
		return;
	ctl_note("%s: process %ld was killed and cannot end; its connection is aborted",
		 m->mountpoint, (long)pid);
	/* Held by this descriptor it stays mounted: what is left is a dead mount like any
	 * other. */
	int busy = open(m->mountpoint, O_PATH | O_CLOEXEC);

	(void)umount2(m->mountpoint, MNT_FORCE | UMOUNT_NOFOLLOW);
	if (busy >= 0)
		close(busy);
}

/* Asked by statfs, which always reaches the daemon: attributes may be cached. */
static bool is_dead(const char *mountpoint)
{
	struct statfs st;

	return statfs(mountpoint, &st) != 0 && errno == ENOTCONN;
}

/* Clear a mountpoint whose daemon is gone; lazily if there are files open in it still: no one
 * can use them any more. */
static int clear_dead(const char *mountpoint)
{
	if (umount2(mountpoint, UMOUNT_NOFOLLOW) == 0 ||
	    (errno == EBUSY && umount2(mountpoint, UMOUNT_NOFOLLOW | MNT_DETACH) == 0))
		return CTL_DONE;
	if (errno == EPERM)
		return by_fusermount(mountpoint, true);
	ctl_error("%s: the daemon died, and the dead mountpoint cannot be cleared: %m",
		  mountpoint);
	return CTL_FAILED;
}

/* The connection is gone. Mostly the daemon is, too; but an aborted one (fusectl) leaves a
 * daemon that still flushes, and that is waited for. */
static int umount_dead(const struct options *o, const struct ctl_mount *m)
{
	const struct drain_wait how = {.timeout_ns = o->timeout_ns};
	CLEANUP_DRAIN struct drain d = DRAIN_CLOSED;
	bool watched = !o->no_wait && drain_open(&d, m->store, m) == CTL_DONE;

	if (clear_dead(m->mountpoint) != CTL_DONE)
		return CTL_FAILED;
	if (watched && !drain_is_released(&d)) {
		ctl_note(
		    "%s: the connection was lost, and the daemon ends; the dead mountpoint "
		    "is cleared",
		    m->mountpoint);
		return drain_wait(&d, &how);
	}
	ctl_error(
	    "%s: the daemon had died; the dead mountpoint is cleared. Nothing is lost: mount "
	    "%s again to recover",
	    m->mountpoint, m->store);
	/* For umount(8) it is unmounted, and that was all that was asked for. */
	return o->helper ? CTL_DONE : CTL_FAILED;
}

static int umount_live(const struct options *o, const struct ctl_mount *m)
{
	const struct drain_wait how = {.timeout_ns = o->timeout_ns, .lazy = o->lazy};
	CLEANUP_DRAIN struct drain d = DRAIN_CLOSED;
	CLEANUP_FREE char *other = NULL;
	int status;

	/* Before the unmount: what cannot be watched is not unmounted. */
	if (!o->no_wait && drain_open(&d, m->store, m) != CTL_DONE) {
		ctl_error("%s: not unmounted, since its flushing could not be watched; "
			  "--no-wait unmounts without",
			  m->mountpoint);
		return CTL_FAILED;
	}
	status = detach(o, m->mountpoint);
	if (status != CTL_DONE || o->no_wait)
		return status;
	other = ctl_mount_other(m->device);
	if (other) {
		ctl_note("%s: is mounted at %s, too, and stays in use there", m->store, other);
		return CTL_DONE;
	}
	return drain_wait(&d, &how);
}

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
	    {"timeout", required_argument, NULL, 't'},
	    {"no-wait", no_argument, NULL, 'n'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) >= 0) {
		if (c == 'h')
			return ctl_help();
		if (c == 'n')
			o->no_wait = true;
		else if (c != 't')
			return ctl_usage(NULL);
		else if (!ctl_parse_timeout(optarg, &o->timeout_ns))
			return CTL_USAGE;
	}
	if (argc - optind != 1)
		return ctl_usage("one mountpoint is needed");
	o->mountpoint = argv[optind];
	return -1;
}

/* MNT and umount's flags, in any order; -t and -N have an argument. */
static int parse_helper(int argc, char **argv, struct options *o)
{
	for (int i = 2; i < argc; i++) {
		bool takes = strcmp(argv[i], "-N") == 0 || strcmp(argv[i], "-t") == 0;

		if (argv[i][0] != '-') {
			o->mountpoint = argv[i];
			continue;
		}
		if (o->flag_count + takes >= HELPER_ARGS_MAX)
			return ctl_usage("too many arguments");
		if (argv[i][1] != '-' && strchr(argv[i], 'l'))
			o->lazy = true;
		o->flags[o->flag_count++] = argv[i];
		if (takes && i + 1 < argc)
			o->flags[o->flag_count++] = argv[++i];
	}
	o->helper = true;
	return o->mountpoint ? -1 : ctl_usage("one mountpoint is needed");
}

int ctl_umount(int argc, char **argv)
{
	struct options o = {.timeout_ns = -1};
	CLEANUP_MOUNT struct ctl_mount m = {0};
	CLEANUP_FREE char *rel = NULL;
	bool helper = argc > 1 && strcmp(argv[1], "--helper") == 0;
	int status = helper ? parse_helper(argc, argv, &o) : parse(argc, argv, &o);

	if (status >= 0)
		return status;
	status = ctl_mount_need(o.mountpoint, &m, &rel);
	if (status != CTL_DONE)
		return status;
	if (strcmp(rel, m.root + 1) != 0) {
		ctl_error("%s: is no mountpoint; the mount is %s", o.mountpoint, m.mountpoint);
		return CTL_FAILED;
	}
	abort_stuck(&m);
	return is_dead(m.mountpoint) ? umount_dead(&o, &m) : umount_live(&o, &m);
}
