/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * threads: how many there are, and a pthread_create that can be made to fail.
 *
 * To be included by the file with main, once: it defines pthread_create for the whole program.
 */
#ifndef NOTEPACKFS_TESTS_THREADS_H
#define NOTEPACKFS_TESTS_THREADS_H

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* How many more may be created; negative: any number. And how many fail before that. */
static atomic_int threads_left = -1, threads_failing;

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
		   void *arg)
{
	int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

	if (atomic_load(&threads_left) == 0)
		return EAGAIN;
	if (atomic_load(&threads_failing) > 0) {
		atomic_fetch_sub(&threads_failing, 1);
		return EAGAIN;
	}
	if (atomic_load(&threads_left) > 0)
		atomic_fetch_sub(&threads_left, 1);
	*(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
	return real(thread, attr, start, arg);
}

static inline void threads_fail_from(int count)
{
	atomic_store(&threads_left, count);
}

static inline void threads_fail_next(int count)
{
	atomic_store(&threads_failing, count);
}

static inline void threads_fail_never(void)
{
	atomic_store(&threads_failing, 0);
	atomic_store(&threads_left, -1);
}

static void *threads_say_tid(void *tid)
{
	*(pid_t *)tid = gettid();
	return NULL;
}

/* ThreadSanitizer starts a thread of its own with the first of the program: let it be counted
 * from the beginning; but not that first one, which the kernel takes a moment to forget. */
__attribute__((constructor)) static void threads_first(void)
{
	struct timespec pause = {.tv_nsec = 100000};
	pthread_t thread;
	char path[64];
	pid_t tid;

	if (pthread_create(&thread, NULL, threads_say_tid, &tid) != 0)
		return;
	pthread_join(thread, NULL);
	snprintf(path, sizeof(path), "/proc/self/task/%d", (int)tid);
	while (access(path, F_OK) == 0)
		nanosleep(&pause, NULL);
}

static inline int threads_now(void)
{
	DIR *d = opendir("/proc/self/task");
	int count = 0;

	if (!d)
		abort();
	while (readdir(d))
		count++;
	closedir(d);
	return count - 2; /* "." and ".." */
}

/* The kernel takes a moment to forget a thread that was joined: wait until no more than want
 * are left, ten seconds at most. */
static inline int threads_settle(int want)
{
	struct timespec pause = {.tv_nsec = 1000000};

	for (int i = 0; i < 10000 && threads_now() > want; i++)
		nanosleep(&pause, NULL);
	return threads_now();
}

#endif
