/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * order_held: what reads the body of a file waits, or ends the process. Which reads these are says
 * is_held(), which the test defines.
 */
#ifndef NOTEPACKFS_TESTS_ORDER_HELD_H
#define NOTEPACKFS_TESTS_ORDER_HELD_H

#include "tests/unit/order_kit.h"

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static bool held, waits;
static bool deadly; /* the first one ends the process */

static bool is_held(const char *path, off_t offset);

static inline bool is_held_fd(int fd, off_t offset)
{
	char link[64], path[PATH_MAX] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return readlink(link, path, sizeof(path) - 1) > 0 && is_held(path, offset);
}

/* What the test's pread() is. */
static inline ssize_t held_pread(int fd, void *buf, size_t len, off_t offset)
{
	pthread_mutex_lock(&gate);
	if ((held || deadly) && is_held_fd(fd, offset)) {
		if (deadly)
			_exit(0);
		waits = true;
		pthread_cond_broadcast(&moved);
		while (held)
			pthread_cond_wait(&moved, &gate);
	}
	pthread_mutex_unlock(&gate);
	return syscall(SYS_pread64, fd, buf, len, offset);
}

static inline void hold(void)
{
	pthread_mutex_lock(&gate);
	held = true;
	waits = false;
	pthread_mutex_unlock(&gate);
}

static inline void wait_for_reader(void)
{
	pthread_mutex_lock(&gate);
	while (!waits)
		pthread_cond_wait(&moved, &gate);
	pthread_mutex_unlock(&gate);
}

static inline void let_go(void)
{
	pthread_mutex_lock(&gate);
	held = false;
	pthread_cond_broadcast(&moved);
	pthread_mutex_unlock(&gate);
}

/* A bit of it is another one, behind the backs of the hooks. */
static inline void change(const char *name, off_t at)
{
	CLEANUP_FD int fd = openat(dir.fd, name, O_RDWR | O_CLOEXEC);
	char c;

	CHECK_EQ(fchmod(fd, 0600), 0);
	CHECK_EQ(syscall(SYS_pread64, fd, &c, 1, at), 1);
	c ^= 1;
	CHECK_EQ(syscall(SYS_pwrite64, fd, &c, 1, at), 1);
}

#endif
