/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fsyncs: each file once, its own result; several side by side, no more than FSYNCS_MAX; threads that are joined,
 * and done without where there are none (L1, L8, L9).
 */
#include "lib/fsyncs.h"

#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

#include "lib/log.h"
#include "tests/unit/threads.h"
#include "tests/unit/unit.h"

#define FILES 256
#define WAIT_SECONDS 20

/* The files are numbers, and these stand for what the kernel does with them. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned calls[FILES], inside, inside_max, wanted;
static int failing = -1;

/* Returns when as many as wanted are inside, or have been. */
int fsync(int fd)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_SECONDS;
	pthread_mutex_lock(&lock);
	calls[fd]++;
	inside++;
	if (inside > inside_max) {
		inside_max = inside;
		pthread_cond_broadcast(&changed);
	}
	while (inside_max < wanted && !err)
		err = pthread_cond_timedwait(&changed, &lock, &until);
	if (err)
		wanted = 0; /* none of the others waits as long */
	inside--;
	pthread_mutex_unlock(&lock);
	errno = EIO;
	return fd == failing ? -1 : 0;
}

/* All of count, of which as many as `together` are to be inside at once. */
static void sync_files(size_t count, unsigned together)
{
	int fds[FILES] = {0}, results[FILES] = {0};
	bool right = true;

	inside_max = 0;
	wanted = together;
	for (size_t i = 0; i < count; i++) {
		fds[i] = (int)i;
		results[i] = 1;
		calls[i] = 0;
	}
	fsyncs(fds, results, count);
	for (size_t i = 0; i < count; i++)
		right &= calls[i] == 1 && results[i] == ((int)i == failing ? -EIO : 0);
	CHECK(right);
	CHECK_EQ(inside_max, together);
}

static void many_are_under_way_at_once_and_no_more_than_the_limit_L9(void)
{
	int threads = threads_now();

	sync_files(FILES, FSYNCS_MAX);
	threads_fail_from(FSYNCS_MAX);
	sync_files(FSYNCS_MAX * FSYNCS_A_THREAD, FSYNCS_MAX);
	CHECK_EQ(threads_left, 1);
	threads_fail_never();
	CHECK_EQ(threads_settle(threads), threads);
}

static void few_need_no_thread(void)
{
	threads_fail_from(0);
	sync_files(0, 0);
	sync_files(1, 1);
	sync_files(2 * FSYNCS_A_THREAD - 1, 1);
	threads_fail_never();
	sync_files(2 * FSYNCS_A_THREAD, 2);
}

static void a_failure_is_that_of_its_own_file(void)
{
	failing = 77;
	sync_files(FILES, FSYNCS_MAX);
	failing = 0;
	sync_files(1, 1);
	failing = -1;
}

static void threads_that_cannot_be_created_are_done_without_L8(void)
{
	threads_fail_from(0);
	sync_files(FILES, 1);
	threads_fail_from(2);
	sync_files(FILES, 3);
	threads_fail_never();
}

static void a_thousand_times_no_thread_is_left_L1(void)
{
	int threads = threads_now(), fds[FILES] = {0}, results[FILES];

	wanted = 0;
	for (int i = 0; i < 1000; i++)
		fsyncs(fds, results, FILES);
	CHECK_EQ(threads_settle(threads), threads);
}

int main(void)
{
	log_open("test_fsyncs", false, LOG_ERR);
	RUN(many_are_under_way_at_once_and_no_more_than_the_limit_L9);
	RUN(few_need_no_thread);
	RUN(a_failure_is_that_of_its_own_file);
	RUN(threads_that_cannot_be_created_are_done_without_L8);
	RUN(a_thousand_times_no_thread_is_left_L1);
	return unit_done();
}
