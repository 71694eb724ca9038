/* SPDX-License-Identifier: BSD-2-Clause */
#include "mount/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/log.h"

/* The writing end of a pipe to the parent; -1 without one. */
static int ready_fd = -1;

/* A store's file must never become descriptor 2, and be written to by a message. */
static void fill_stdio(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
			_exit(1);
	}
}

static void set_limits(void)
{
	struct rlimit limit = {0, 0};

	setrlimit(RLIMIT_CORE, &limit);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

void daemon_prepare(void)
{
	fill_stdio();
	close_range(3, ~0U, 0);
	umask(0);
	set_limits();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

static int status_of(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return 1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* The parent: wait for the byte that says ready, or for the child's end. */
static void await(int fd, pid_t child)
{
	char byte;
	ssize_t n;

	do
		n = read(fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	_exit(n == 1 ? 0 : status_of(child));
}

void daemon_fork(void)
{
	int fds[2];
	pid_t child;

	if (pipe2(fds, O_CLOEXEC) != 0) {
		log_error("cannot start a daemon: %s; try -f", strerror(errno));
		_exit(1);
	}
	child = fork();
	if (child < 0) {
		log_error("cannot start a daemon: %s; try -f", strerror(errno));
		_exit(1);
	}
	if (child > 0) {
		close(fds[1]);
		await(fds[0], child);
	}
	close(fds[0]);
	ready_fd = fds[1];
}

static void leave_stdio(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int i = 0; fd >= 0 && i <= 2; i++)
		dup2(fd, i);
	if (fd > 2)
		close(fd);
}

void daemon_ready(void)
{
	ssize_t n;

	if (ready_fd < 0)
		return;
	log_open("notepackfs", true, LOG_INFO);
	setsid();
	if (chdir("/") != 0)
		log_warning("cannot leave the directory it was started in: %s",
			    strerror(errno));
	leave_stdio();
	do
		n = write(ready_fd, "", 1);
	while (n < 0 && errno == EINTR);
	close(ready_fd);
	ready_fd = -1;
}

/* What exec would give back to root, capability by capability. Without CAP_SETPCAP it cannot be
 * taken away; no_new_privs does the same then. */
static void shrink_bounding_set(uint64_t kept)
{
	for (int i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++) {
		if (!(kept >> i & 1))
			prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
	}
}

int daemon_keep_capabilities(const int *kept, size_t count)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	uint64_t set = 0;

	for (size_t i = 0; i < count; i++)
		set |= UINT64_C(1) << kept[i];
	if (syscall(SYS_capget, &header, data) != 0)
		return -errno;
	shrink_bounding_set(set);
	for (int i = 0; i < 2; i++) {
		data[i].permitted &= (uint32_t)(set >> (32 * i));
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0; /* takes them from the ambient set, too */
	}
	return syscall(SYS_capset, &header, data) == 0 ? 0 : -errno;
}

/*
 * CHOWN: new files are their makers', objects their files' owners'. DAC_OVERRIDE, FOWNER: all of it
 * is read, renamed, and given times and modes, whoever owns it. FSETID: a mode with set-ID bits is
 * set as it was asked for. LEASE: to look for writers of files of other users.
 */
int daemon_drop_privileges(void)
{
	static const int needed[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID,
				     CAP_LEASE};
	int err = daemon_keep_capabilities(needed, ARRAY_LEN(needed));

	if (err)
		return err;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : -errno;
}
