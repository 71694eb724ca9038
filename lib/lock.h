/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lock: an annotated mutex and condition variable, and the clock that goes with them.
 *
 * clang's -Wthread-safety checks the annotations; other compilers ignore them. Deadlines are
 * nanoseconds of CLOCK_MONOTONIC (clock_ns()). None of these can fail once initialised: an
 * error from pthreads here is a bug in the caller, and ends the process.
 *
 * Ranks: a thread that holds a lock may only take one of a higher rank.
 *	 5 a handle's reader of parts
 *	10 store (the namespace and every file's state)
 *	20 sealer (queues of jobs)
 *	30 manifest
 *	40 events, readers' caches
 *	41 a reader's index of a group
 *	42 the cache of chunks
 *	90 log
 */
#ifndef NOTEPACKFS_LIB_LOCK_H
#define NOTEPACKFS_LIB_LOCK_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#if defined(__clang__)
#define TSA(x) __attribute__((x))
#else
#define TSA(x)
#endif

#define GUARDED_BY(x) TSA(guarded_by(x))
#define REQUIRES(x) TSA(requires_capability(x))
#define EXCLUDES(x) TSA(locks_excluded(x))
#define ACQUIRE(x) TSA(acquire_capability(x))
#define RELEASE(x) TSA(release_capability(x))
#define NO_THREAD_SAFETY TSA(no_thread_safety_analysis)

struct TSA(capability("mutex")) lock {
	pthread_mutex_t mutex;
};

struct cond {
	pthread_cond_t cond;
};

static inline void lock_must(int err)
{
	if (err)
		abort();
}

static inline void lock_init(struct lock *l)
{
	lock_must(pthread_mutex_init(&l->mutex, NULL));
}

static inline void lock_release(struct lock *l)
{
	lock_must(pthread_mutex_destroy(&l->mutex));
}

static inline void lock_take(struct lock *l) ACQUIRE(l) NO_THREAD_SAFETY
{
	lock_must(pthread_mutex_lock(&l->mutex));
}

static inline void lock_drop(struct lock *l) RELEASE(l) NO_THREAD_SAFETY
{
	lock_must(pthread_mutex_unlock(&l->mutex));
}

#define NS_IN_SECOND 1000000000

/* Nanoseconds reach from 1677 to 2262: a file's time beyond that becomes the nearest one. */
static inline int64_t ns_of_timespec(const struct timespec *ts)
{
	if (ts->tv_sec >= INT64_MAX / NS_IN_SECOND)
		return INT64_MAX;
	if (ts->tv_sec <= INT64_MIN / NS_IN_SECOND)
		return INT64_MIN;
	return (int64_t)ts->tv_sec * NS_IN_SECOND + ts->tv_nsec;
}

static inline struct timespec timespec_of_ns(int64_t ns)
{
	struct timespec ts = {.tv_sec = ns / NS_IN_SECOND, .tv_nsec = ns % NS_IN_SECOND};

	if (ts.tv_nsec < 0) {
		ts.tv_nsec += NS_IN_SECOND;
		ts.tv_sec--;
	}
	return ts;
}

static inline int64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ns_of_timespec(&ts);
}

/* Wall-clock nanoseconds since 1970: for what users read, never for waiting. */
static inline int64_t clock_wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ns_of_timespec(&ts);
}

static inline void cond_init(struct cond *c)
{
	pthread_condattr_t attr;

	lock_must(pthread_condattr_init(&attr));
	lock_must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
	lock_must(pthread_cond_init(&c->cond, &attr));
	pthread_condattr_destroy(&attr);
}

static inline void cond_release(struct cond *c)
{
	lock_must(pthread_cond_destroy(&c->cond));
}

static inline void cond_wait(struct cond *c, struct lock *l) REQUIRES(l)
{
	lock_must(pthread_cond_wait(&c->cond, &l->mutex));
}

/* Wait until signalled or until deadline_ns; false when the deadline has passed. */
static inline bool cond_wait_until(struct cond *c, struct lock *l, int64_t deadline_ns)
    REQUIRES(l)
{
	struct timespec ts = timespec_of_ns(deadline_ns);
	int err = pthread_cond_timedwait(&c->cond, &l->mutex, &ts);

	lock_must(err == ETIMEDOUT ? 0 : err);
	return err == 0;
}

static inline void cond_broadcast(struct cond *c)
{
	lock_must(pthread_cond_broadcast(&c->cond));
}

static inline void cond_signal(struct cond *c)
{
	lock_must(pthread_cond_signal(&c->cond));
}

#endif
