/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notepackctl wait, seal and rm: one request each to the daemon, by ioctl(2) on the mount's
 * status file (lib/proto.h). wait also takes a store that is no longer mounted, and follows its
 * daemon's end: what `umount --timeout` left to the background.
 */
#include "mount/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/layout.h"
#include "lib/proto.h"

static volatile sig_atomic_t stopped;

static void on_signal(int signo)
{
	stopped = signo;
}

/* A signal ends the ioctl with EINTR; the daemon goes on with what was asked. */
static void catch_signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal};

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

int ctl_request(const struct ctl_mount *m, enum proto_op op, const char *rel)
{
	CLEANUP_FREE struct proto_request *r = ctl_alloc(sizeof(*r));
	CLEANUP_FD int fd = -1;

	memset(r, 0, sizeof(*r));
	r->op = op;
	if (strlen(rel) >= sizeof(r->path))
		return -ENAMETOOLONG;
	memcpy(r->path, rel, strlen(rel));
	fd = ctl_control_open(m, "status");
	if (fd < 0)
		return fd;
	while (ioctl(fd, PROTO_IOCTL, r) != 0) {
		if (errno != EINTR || stopped)
			return -errno;
	}
	return 0;
}

/* What an error of this request means, and what helps. */
static const char *explain(enum proto_op op, int err)
{
	switch (-err) {
	case ENOTCONN:
		return "the daemon died; clear the mount with notepackctl umount, and mount "
		       "again";
	case ENXIO:
		return "only a part of the mount can be seen here; use its own mountpoint";
	case EISDIR:
		return "is a directory; rm removes files only";
	case ELOOP:
		return op == PROTO_REMOVE ? "is a symbolic link; rm removes it"
					  : "is a symbolic link; name the file itself";
	case EROFS:
		return "the mount is read-only";
	case EIO:
		return op == PROTO_REMOVE
			   ? "input/output error; the daemon's log has the reason"
			   : "not everything could be sealed; notepackctl status "
			     "names the files and the reasons";
	case EPERM:
	case EACCES:
		return op == PROTO_REMOVE
			   ? "not permitted; root, the daemon's user and the file's owner may, "
			     "in "
			     "a directory that they may write"
			   : "not permitted; it takes the right to write the file";
	default:
		return strerror(-err);
	}
}

static int report(enum proto_op op, const char *path, int err)
{
	if (!err)
		return CTL_DONE;
	if (err == -EINTR) {
		ctl_error("%s: interrupted; sealing goes on, and notepackctl status shows it",
			  path);
		return CTL_NOT_FLUSHED;
	}
	ctl_error("%s: %s", path, explain(op, err));
	return err == -EIO && op != PROTO_REMOVE ? CTL_NOT_FLUSHED : CTL_FAILED;
}

/* The root of the mount, "" for others, is not a file that rm could remove. */
static int request_path(enum proto_op op, const char *path)
{
	CLEANUP_MOUNT struct ctl_mount m = {0};
	CLEANUP_FREE char *rel = NULL;

	if (ctl_mount_need(path, &m, &rel) != CTL_DONE)
		return CTL_FAILED;
	if (op == PROTO_REMOVE && !*rel)
		return report(op, path, -EISDIR);
	return report(op, path, ctl_request(&m, op, rel));
}

static int run(int argc, char **argv, enum proto_op op)
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {0}};
	int c, status = CTL_DONE;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) >= 0)
		return c == 'h' ? ctl_help() : ctl_usage(NULL);
	if (optind == argc)
		return ctl_usage("a path is needed");
	catch_signals();
	for (int i = optind; i < argc && !stopped; i++)
		status = ctl_worse(status, request_path(op, argv[i]));
	return status;
}

/* Is it the path of a store, rather than of something in a mount? */
static bool is_store(const char *path)
{
	CLEANUP_MOUNT struct ctl_mount m = {0};
	CLEANUP_FD int fd = -1;
	int kind;

	if (ctl_mount_find(path, &m, NULL) != 1)
		return false;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	kind = fd < 0 ? fd : layout_probe(fd);
	return kind == LAYOUT_STORE || kind == LAYOUT_BEGUN;
}

/* A store whose daemon is ending: wait for that. */
static int wait_for_store(const char *path)
{
	const struct drain_wait how = {.timeout_ns = -1, .unmounted = true};
	CLEANUP_DRAIN struct drain d = DRAIN_CLOSED;

	if (drain_open(&d, path, NULL) != CTL_DONE)
		return CTL_FAILED;
	if (drain_is_released(&d))
		return CTL_DONE; /* not in use: nothing that could be waited for */
	return drain_wait(&d, &how);
}

int ctl_wait(int argc, char **argv)
{
	if (argc == 2 && argv[1][0] != '-' && is_store(argv[1]))
		return wait_for_store(argv[1]);
	return run(argc, argv, PROTO_WAIT);
}

int ctl_seal(int argc, char **argv)
{
	return run(argc, argv, PROTO_SEAL);
}

int ctl_rm(int argc, char **argv)
{
	return run(argc, argv, PROTO_REMOVE);
}
