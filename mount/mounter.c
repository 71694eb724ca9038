/* SPDX-License-Identifier: BSD-2-Clause */
#include "mount/mounter.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/log.h"
#include "mount/daemon.h"

#define CHANNEL 3 /* the process's descriptor of the pipe */
#define PROCESS_NAME "notepackfs-mnt"
#define DEATH SIGUSR2 /* sent by the kernel when the daemon's main thread ends */
#define ENDING_MS 1000

#define PASSED_MAX 2 /* descriptors with a message */

/* include/uapi/linux/fuse.h of Linux 6.9 */
struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
#define BACKING_OPEN _IOW(229, 1, struct backing_map)
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

enum request_kind { MOUNT, DETACH, OPEN_BACKING, CLOSE_BACKING };

struct request {
	enum request_kind kind;
	int32_t id; /* CLOSE_BACKING: the number */
};

struct answer {
	int err; /* or OPEN_BACKING: the number */
	dev_t device;
};

extern char **environ;

/* ---- messages ---- */

/* 0 or -errno. */
static int send_message(int channel, const void *data, size_t len, const int *fds, size_t count)
{
	char control[CMSG_SPACE(PASSED_MAX * sizeof(int))] = {0};
	struct iovec iov = {.iov_base = (void *)data, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (count) {
		struct cmsghdr *c;

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	}
	do
		n = sendmsg(channel, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* What came with it goes to fds; the rest of those is -1. Returns its length; 0: the other end is gone. */
static ssize_t receive_message(int channel, void *data, size_t len, int fds[PASSED_MAX])
{
	char control[CMSG_SPACE(PASSED_MAX * sizeof(int))] = {0};
	struct iovec iov = {.iov_base = data, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *c;
	ssize_t n;

	for (int i = 0; i < PASSED_MAX; i++)
		fds[i] = -1;
	do
		n = recvmsg(channel, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(c),
		       MIN(c->cmsg_len - CMSG_LEN(0), PASSED_MAX * sizeof(int)));
	return n < 0 ? -errno : n;
}

static void close_passed(const int fds[PASSED_MAX])
{
	for (int i = 0; i < PASSED_MAX; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
}

/* ---- in the process ---- */

/* The device at the mountpoint, without asking the filesystem (it may be us, and busy); 0:
 * unknown. */
static dev_t device_at(const char *path)
{
	struct statx st;

	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
		  STATX_TYPE, &st) != 0)
		return 0;
	return makedev(st.stx_dev_major, st.stx_dev_minor);
}

/* libfuse parses the options, mounts (by fusermount3 if it must), and has the connection. */
static int mount_it(const char *mountpoint, const char *options, int *fd)
{
	static const struct fuse_lowlevel_ops none;
	char *argv[] = {(char *)"notepackfs", (char *)"-o", (char *)options, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);
	struct fuse_session *se = fuse_session_new(&args, &none, sizeof(none), NULL);

	if (!se)
		return -EINVAL;
	if (fuse_session_mount(se, mountpoint) != 0)
		return -EPERM;
	/* The session is never used, nor destroyed: that would unmount. */
	*fd = fuse_session_fd(se);
	return 0;
}

static int run_fusermount(const char *mountpoint)
{
	char *argv[] = {"fusermount3", "-u", "-z", "-q", "--", (char *)mountpoint, NULL};
	int status = 0;
	pid_t pid;
	int err = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);

	if (err)
		return -err;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

static int detach_it(const char *mountpoint, dev_t device)
{
	if (!device || device_at(mountpoint) != device)
		return 0; /* gone already, or under another mount, which is not ours to undo */
	if (umount2(mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		return 0;
	return errno == EPERM ? run_fusermount(mountpoint) : -errno;
}

/* From now on nothing of it is left open, or in use, that others wait for. */
static void leave(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int i = 0; fd >= 0 && i <= 2; i++)
		dup2(fd, i);
	if (fd > CHANNEL)
		close(fd);
	if (chdir("/") != 0)
		_exit(1);
}

static volatile sig_atomic_t daemon_died;

static void on_death(int sig)
{
	daemon_died = 1;
}

/* From now on DEATH is seen in wait_for_request, and only there. */
static void watch_daemon(void)
{
	struct sigaction action = {.sa_handler = on_death};
	sigset_t death;

	sigemptyset(&action.sa_mask);
	sigemptyset(&death);
	sigaddset(&death, DEATH);
	sigprocmask(SIG_BLOCK, &death, NULL);
	sigaction(DEATH, &action, NULL);
	prctl(PR_SET_PDEATHSIG, DEATH);
}

static void wait_for_request(void)
{
	struct pollfd channel = {.fd = CHANNEL, .events = POLLIN};
	sigset_t none;

	sigemptyset(&none);
	while (!daemon_died && ppoll(&channel, 1, NULL, &none) < 0 && errno == EINTR)
		;
}

/*
 * The daemon was killed. Its end of the pipe is closed with the rest of it; if it is not, one of its
 * threads cannot end: it was telling the kernel of a name, and waits for a directory that a client
 * holds, who waits for the daemon. The connection is still its own, then, and aborting it frees both.
 */
static void end_connection(const char *mountpoint, dev_t device)
{
	struct pollfd channel = {.fd = CHANNEL, .events = POLLIN};
	char path[64];
	int fd;

	if (!device || poll(&channel, 1, ENDING_MS) != 0)
		return;
	snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u/abort", minor(device));
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0) {
		(void)!write(fd, "1", 1);
	} else if (device_at(mountpoint) == device) { /* fusectl is not mounted */
		/* Held by this descriptor it stays mounted: a dead mount like any other. */
		fd = open(mountpoint, O_PATH | O_CLOEXEC);
		if (fd >= 0)
			(void)umount2(mountpoint, MNT_FORCE | UMOUNT_NOFOLLOW);
	}
	if (fd >= 0)
		close(fd);
}

/* *fd: to be passed on with the answer. */
static void mount_for_daemon(const char *mountpoint, const char *options, struct answer *answer,
			     int *fd)
{
	static const int kept[] = {CAP_SYS_ADMIN, CAP_DAC_READ_SEARCH};

	answer->err = mount_it(mountpoint, options, fd);
	answer->device = answer->err ? 0 : device_at(mountpoint);
	leave();
	if (daemon_keep_capabilities(kept, ARRAY_LEN(kept)) != 0)
		_exit(1);
}

/* passed: the connection, and the file. */
static int open_backing(const int passed[PASSED_MAX])
{
	struct backing_map map = {.fd = passed[1]};
	int id = ioctl(passed[0], BACKING_OPEN, &map);

	return id < 0 ? -errno : id;
}

static int close_backing(const int passed[PASSED_MAX], int32_t id)
{
	return ioctl(passed[0], BACKING_CLOSE, &id) < 0 ? -errno : 0;
}

static void answer_requests(const char *mountpoint, const char *options)
{
	dev_t device = 0;

	for (;;) {
		struct answer answer = {0};
		struct request request;
		int passed[PASSED_MAX], fd = -1;
		ssize_t n;

		wait_for_request();
		if (daemon_died) {
			end_connection(mountpoint, device);
			return;
		}
		n = receive_message(CHANNEL, &request, sizeof(request), passed);
		if (n != (ssize_t)sizeof(request))
			return;
		switch (request.kind) {
		case MOUNT:
			mount_for_daemon(mountpoint, options, &answer, &fd);
			device = answer.device;
			break;
		case DETACH:
			answer.err = detach_it(mountpoint, device);
			break;
		case OPEN_BACKING:
			answer.err = open_backing(passed);
			break;
		case CLOSE_BACKING:
			answer.err = close_backing(passed, request.id);
			break;
		}
		close_passed(passed);
		send_message(CHANNEL, &answer, sizeof(answer), &fd, fd >= 0);
		if (fd >= 0)
			close(fd); /* the connection ends with the daemon */
	}
}

static void __attribute__((noreturn))
run_process(int channel, const char *mountpoint, const char *options)
{
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	prctl(PR_SET_NAME, PROCESS_NAME);
	watch_daemon();
	if (channel != CHANNEL && dup3(channel, CHANNEL, O_CLOEXEC) < 0)
		_exit(1);
	close_range(CHANNEL + 1, ~0U, 0);
	answer_requests(mountpoint, options);
	_exit(0);
}

/* ---- in the daemon ---- */

int mounter_start(struct mounter *m, const char *mountpoint, const char *options)
{
	int fds[2], err;

	*m = (struct mounter){.fd = -1};
	lock_init(&m->lock);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
		return -errno;
	m->pid = fork();
	if (m->pid == 0)
		run_process(fds[1], mountpoint, options);
	err = m->pid < 0 ? -errno : 0;
	close(fds[1]);
	if (err)
		close(fds[0]);
	else
		m->fd = fds[0];
	return err;
}

/* Returns the answer's error, or number; -EPIPE: the process has ended. *fd: what came with it, or -1. */
static int ask(struct mounter *m, const struct request *request, const int *fds, size_t count,
	       struct answer *answer, int *fd)
{
	int passed[PASSED_MAX] = {-1, -1};
	ssize_t n = 0;

	lock_take(&m->lock);
	if (send_message(m->fd, request, sizeof(*request), fds, count) == 0)
		n = receive_message(m->fd, answer, sizeof(*answer), passed);
	lock_drop(&m->lock);
	*fd = passed[0];
	return n == (ssize_t)sizeof(*answer) ? answer->err : -EPIPE;
}

int mounter_mount(struct mounter *m)
{
	const struct request request = {.kind = MOUNT};
	struct answer answer;
	int fd, err = ask(m, &request, NULL, 0, &answer, &fd);

	if (err)
		return err;
	m->device = answer.device;
	return fd >= 0 ? fd : -EPROTO;
}

int mounter_detach(struct mounter *m)
{
	const struct request request = {.kind = DETACH};
	struct answer answer;
	int fd;

	return m->device ? ask(m, &request, NULL, 0, &answer, &fd) : 0;
}

int32_t mounter_open_backing(struct mounter *m, int connection, int fd)
{
	const struct request request = {.kind = OPEN_BACKING};
	const int fds[PASSED_MAX] = {connection, fd};
	struct answer answer;
	int none;

	return ask(m, &request, fds, 2, &answer, &none);
}

void mounter_close_backing(struct mounter *m, int connection, int32_t id)
{
	const struct request request = {.kind = CLOSE_BACKING, .id = id};
	struct answer answer;
	int none;

	ask(m, &request, &connection, 1, &answer, &none);
}

void mounter_end(struct mounter *m)
{
	if (m->fd < 0)
		return;
	close(m->fd);
	m->fd = -1;
	while (waitpid(m->pid, NULL, 0) < 0 && errno == EINTR)
		;
}
