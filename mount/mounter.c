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

enum request { MOUNT = 'm', DETACH = 'd' };

struct answer {
	int err;
	dev_t device;
};

extern char **environ;

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

/* fd: to be passed on, or -1. */
static void send_answer(const struct answer *answer, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {.iov_base = (void *)answer, .iov_len = sizeof(*answer)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		struct cmsghdr *c;

		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	while (sendmsg(CHANNEL, &msg, MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
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

static void answer_requests(const char *mountpoint, const char *options)
{
	static const int to_detach[] = {CAP_SYS_ADMIN, CAP_DAC_READ_SEARCH};
	dev_t device = 0;

	for (;;) {
		struct answer answer = {0};
		char request;
		int fd = -1;
		ssize_t n;

		wait_for_request();
		if (daemon_died) {
			end_connection(mountpoint, device);
			return;
		}
		n = recv(CHANNEL, &request, 1, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		if (request == MOUNT) {
			answer.err = mount_it(mountpoint, options, &fd);
			answer.device = device = answer.err ? 0 : device_at(mountpoint);
			leave();
			if (daemon_keep_capabilities(to_detach, ARRAY_LEN(to_detach)) != 0)
				_exit(1);
		} else {
			answer.err = detach_it(mountpoint, device);
		}
		send_answer(&answer, fd);
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

/* Returns the answer's error; -EPIPE: the process has ended. *fd: what came with it, or -1. */
static int ask(struct mounter *m, enum request request, struct answer *answer, int *fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {0}, byte = (char)request;
	struct iovec iov = {.iov_base = answer, .iov_len = sizeof(*answer)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *c;
	ssize_t n;

	*fd = -1;
	do
		n = send(m->fd, &byte, 1, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n != 1)
		return -EPIPE;
	do
		n = recvmsg(m->fd, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(*answer))
		return -EPIPE;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	return answer->err;
}

int mounter_mount(struct mounter *m)
{
	struct answer answer;
	int fd, err = ask(m, MOUNT, &answer, &fd);

	if (err)
		return err;
	m->device = answer.device;
	return fd >= 0 ? fd : -EPROTO;
}

int mounter_detach(struct mounter *m)
{
	struct answer answer;
	int fd;

	return m->device ? ask(m, DETACH, &answer, &fd) : 0;
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
