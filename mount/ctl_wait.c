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
#include <sys/time.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/layout.h"
#include "lib/lock.h"
#include "lib/proto.h"

#define AGAIN_US 100000

static volatile sig_atomic_t stopped; /* by this signal */

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
	sigaction(SIGALRM, &sa, NULL);
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

/* As ctl_request, until end_ns. A signal that comes before the ioctl would be lost: so it comes again. */
static int request_until(const struct ctl_mount *m, enum proto_op op, const char *rel,
			 int64_t end_ns)
{
	const struct itimerval off = {0};
	struct itimerval timer = {.it_interval.tv_usec = AGAIN_US};
	int64_t left_us = MAX((end_ns - clock_ns()) / 1000, 1);
	int err;

	timer.it_value.tv_sec = (time_t)(left_us / 1000000);
	timer.it_value.tv_usec = (suseconds_t)(left_us % 1000000);
	if (end_ns != INT64_MAX)
		setitimer(ITIMER_REAL, &timer, NULL);
	err = ctl_request(m, op, rel);
	setitimer(ITIMER_REAL, &off, NULL);
	return err;
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
	case EBUSY:
		return "a program has it open and mapped, and may change any byte; it is "
		       "sealed when that program closes it";
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
		ctl_error("%s: %s; sealing goes on, and notepackctl status shows it", path,
			  stopped == SIGALRM ? "timed out" : "interrupted");
		return CTL_NOT_FLUSHED;
	}
	ctl_error("%s: %s", path, explain(op, err));
	return err == -EIO && op != PROTO_REMOVE ? CTL_NOT_FLUSHED : CTL_FAILED;
}

/* The root of the mount, "" for others, is not a file that rm could remove. */
static int request_path(enum proto_op op, const char *path, int64_t end_ns)
{
	CLEANUP_MOUNT struct ctl_mount m = {0};
	CLEANUP_FREE char *rel = NULL;

	if (ctl_mount_need(path, &m, &rel) != CTL_DONE)
		return CTL_FAILED;
	if (op == PROTO_REMOVE && !*rel)
		return report(op, path, -EISDIR);
	return report(op, path, request_until(&m, op, rel, end_ns));
}

/* A signal has come before its turn did. */
static int report_left_out(enum proto_op op, const char *path)
{
	ctl_error("%s: interrupted before it was asked for", path);
	return op == PROTO_REMOVE ? CTL_FAILED : CTL_NOT_FLUSHED;
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
static int wait_for_store(const char *path, int64_t timeout_ns)
{
	const struct drain_wait how = {.timeout_ns = timeout_ns, .unmounted = true};
	CLEANUP_DRAIN struct drain d = DRAIN_CLOSED;

	if (drain_open(&d, path, NULL) != CTL_DONE)
		return CTL_FAILED;
	if (drain_is_released(&d))
		return CTL_DONE; /* not in use: nothing that could be waited for */
	return drain_wait(&d, &how);
}

static int run(int argc, char **argv, enum proto_op op)
{
	static const struct option longs[] = {
	    {"timeout", required_argument, NULL, 't'}, {"help", no_argument, NULL, 'h'}, {0}};
	int64_t timeout_ns = -1, end_ns;
	int c, status = CTL_DONE;

	while ((c = getopt_long(argc, argv, "h", longs + (op != PROTO_WAIT), NULL)) >= 0) {
		if (c != 't')
			return c == 'h' ? ctl_help() : ctl_usage(NULL);
		if (!ctl_parse_timeout(optarg, &timeout_ns))
			return CTL_USAGE;
	}
	if (optind == argc)
		return ctl_usage("a path is needed");
	if (op == PROTO_WAIT && optind + 1 == argc && is_store(argv[optind]))
		return wait_for_store(argv[optind], timeout_ns);
	catch_signals();
	end_ns = timeout_ns < 0 ? INT64_MAX : clock_ns() + timeout_ns;
	for (int i = optind; i < argc; i++)
		status = ctl_worse(status, stopped && stopped != SIGALRM
					       ? report_left_out(op, argv[i])
					       : request_path(op, argv[i], end_ns));
	return status;
}

int ctl_wait(int argc, char **argv)
{
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
