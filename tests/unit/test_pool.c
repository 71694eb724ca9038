/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pool: L1 (every thread is joined), L5 (no wake-up is lost), L7 (stopping runs what is
 * queued), L8 (a thread that cannot be created is done without), L9 (a bounded number of them).
 */
#include "lib/pool.h"

#include <stdatomic.h>
#include <sys/resource.h>

#include "lib/log.h"
#include "tests/unit/threads.h"
#include "tests/unit/unit.h"

#define TASKS 24

struct counted {
	struct task task;
	struct pool *pool;
	int again; /* times to submit itself once more */
};

static atomic_int runs;

static void count_run(struct task *t)
{
	struct counted *c = (struct counted *)t;

	atomic_fetch_add(&runs, 1);
	if (c->again > 0) {
		c->again--;
		pool_submit(c->pool, t);
	}
}

static void submit_all(struct pool *p, struct counted *tasks, int again)
{
	for (int i = 0; i < TASKS; i++) {
		tasks[i] = (struct counted){.task.run = count_run, .pool = p, .again = again};
		pool_submit(p, &tasks[i].task);
	}
}

static void starts_and_stops_1000_times_under_load_L1_L5_L7(void)
{
	struct counted tasks[TASKS];
	int threads = threads_now();

	for (int i = 0; i < 1000; i++) {
		struct pool *p = pool_open(1 + (unsigned)i % 8, i % 2);

		atomic_store(&runs, 0);
		submit_all(p, tasks, i % 3);
		pool_close(p);
		if (atomic_load(&runs) != TASKS * (1 + i % 3)) {
			CHECK_EQ(atomic_load(&runs), TASKS * (1 + i % 3));
			break;
		}
	}
	CHECK_EQ(threads_settle(threads), threads);
}

static void an_idle_pool_stops_L5(void)
{
	int threads = threads_now();

	for (int i = 0; i < 200; i++)
		pool_close(pool_open(4, true));
	pool_close(NULL);
	CHECK_EQ(threads_settle(threads), threads);
}

static void has_no_more_threads_than_asked_for_L9(void)
{
	struct counted tasks[TASKS];
	int threads = threads_now();
	struct pool *p = pool_open(3, false), *with_idle = pool_open(3, true);

	CHECK_EQ(pool_threads(p), 3);
	CHECK_EQ(pool_threads(with_idle), 3);
	submit_all(p, tasks, 50);
	CHECK(threads_now() <= threads + 9);
	pool_close(p);
	pool_close(with_idle);
}

/* Several threads submit while the pool works. */
struct submitter {
	pthread_t thread;
	struct pool *pool;
	struct counted tasks[TASKS];
};

static void *submit_from_outside(void *arg)
{
	struct submitter *s = arg;

	submit_all(s->pool, s->tasks, 2);
	return NULL;
}

static void takes_tasks_from_many_threads(void)
{
	static struct submitter from[6];
	struct pool *p = pool_open(2, true);

	atomic_store(&runs, 0);
	for (size_t i = 0; i < 6; i++) {
		from[i].pool = p;
		CHECK_EQ(pthread_create(&from[i].thread, NULL, submit_from_outside, &from[i]),
			 0);
	}
	for (size_t i = 0; i < 6; i++)
		pthread_join(from[i].thread, NULL);
	pool_close(p);
	CHECK_EQ(atomic_load(&runs), 6 * TASKS * 3);
}

static void with_no_thread_at_all_the_caller_does_the_work_L8(void)
{
	struct counted tasks[TASKS];
	struct pool *p;

	threads_fail_from(0);
	p = pool_open(4, true);
	threads_fail_never();
	CHECK(p != NULL);
	CHECK_EQ(pool_threads(p), 0);
	atomic_store(&runs, 0);
	submit_all(p, tasks, 3);
	CHECK_EQ(atomic_load(&runs), TASKS * 4); /* before the pool is closed */
	pool_close(p);
}

/* One that waits to be let go, and those that note when they ran. */
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static struct task *order[21];
static atomic_int ran;

static void wait_run(struct task *t)
{
	pthread_mutex_lock(&held);
	pthread_mutex_unlock(&held);
}

static void note_run(struct task *t)
{
	order[atomic_fetch_add(&ran, 1)] = t;
}

static void idle_tasks_run_when_no_other_waits(void)
{
	struct task first = {.run = wait_run}, idle[2], other[2];
	struct pool *p = pool_open(1, true);

	pthread_mutex_lock(&held);
	pool_submit(p, &first);
	for (int i = 0; i < 2; i++) {
		idle[i].run = other[i].run = note_run;
		pool_submit_idle(p, &idle[i]);
	}
	for (int i = 0; i < 2; i++)
		pool_submit(p, &other[i]);
	pthread_mutex_unlock(&held);
	pool_close(p);
	CHECK_EQ(atomic_load(&ran), 4);
	CHECK(order[0] == &other[0] && order[1] == &other[1]);
	CHECK(order[2] == &idle[0] && order[3] == &idle[1]);
}

/* The ninth waits until the idle one has run. */
static pthread_cond_t idle_ran = PTHREAD_COND_INITIALIZER;
static bool has_idle_run, was_early, was_late;
static int others;

static void idle_run(struct task *t)
{
	pthread_mutex_lock(&held);
	has_idle_run = true;
	pthread_cond_signal(&idle_ran);
	pthread_mutex_unlock(&held);
}

static void other_run(struct task *t)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	pthread_mutex_lock(&held);
	others++;
	while (others == 9 && !has_idle_run &&
	       pthread_cond_timedwait(&idle_ran, &held, &until) == 0)
		;
	if (others < 8)
		was_early |= has_idle_run;
	else if (others == 9)
		was_late = !has_idle_run;
	pthread_mutex_unlock(&held);
}

static void idle_tasks_wait_for_eight_others_at_most(void)
{
	struct task first = {.run = wait_run}, idle = {.run = idle_run}, other[9];
	struct pool *p = pool_open(1, true);

	pthread_mutex_lock(&held);
	pool_submit(p, &first);
	pool_submit_idle(p, &idle);
	for (int i = 0; i < 9; i++) {
		other[i].run = other_run;
		pool_submit(p, &other[i]);
	}
	pthread_mutex_unlock(&held);
	pool_close(p);
	CHECK_EQ(others, 9);
	CHECK(!was_early);
	CHECK(!was_late);
}

/* An idle one that is at work until another has met it. */
static pthread_barrier_t runs_now, both;
static int nice_idle, nice_other;

static void idle_meets(struct task *t)
{
	nice_idle = getpriority(PRIO_PROCESS, 0);
	pthread_barrier_wait(&runs_now);
	pthread_barrier_wait(&both);
}

static void other_meets(struct task *t)
{
	nice_other = getpriority(PRIO_PROCESS, 0);
	pthread_barrier_wait(&both);
}

static void no_one_waits_for_an_idle_task(void)
{
	struct task idle = {.run = idle_meets}, other = {.run = other_meets};
	int own = getpriority(PRIO_PROCESS, 0);
	struct pool *p = pool_open(1, true);

	pthread_barrier_init(&runs_now, NULL, 2);
	pthread_barrier_init(&both, NULL, 2);
	pool_submit_idle(p, &idle);
	pthread_barrier_wait(&runs_now);
	pool_submit(p, &other);
	pool_close(p);
	CHECK_EQ(nice_other, own);
	CHECK_EQ(nice_idle, own + 15 < 19 ? own + 15 : 19);
	pthread_barrier_destroy(&runs_now);
	pthread_barrier_destroy(&both);
}

static void without_threads_for_idle_tasks_the_others_do_them_L8(void)
{
	struct task idle = {.run = note_run};
	struct pool *p;

	threads_fail_from(2);
	p = pool_open(2, true);
	threads_fail_never();
	CHECK_EQ(pool_threads(p), 2);
	atomic_store(&ran, 0);
	pool_submit_idle(p, &idle);
	pool_close(p);
	CHECK_EQ(atomic_load(&ran), 1);
}

static void with_some_threads_missing_the_others_do_it_L8(void)
{
	struct counted tasks[TASKS];
	struct pool *p;

	threads_fail_from(2);
	p = pool_open(8, true);
	threads_fail_never();
	CHECK_EQ(pool_threads(p), 2);
	atomic_store(&runs, 0);
	submit_all(p, tasks, 3);
	pool_close(p);
	CHECK_EQ(atomic_load(&runs), TASKS * 4);
}

int main(void)
{
	log_open("test_pool", false, LOG_ERR);
	RUN(starts_and_stops_1000_times_under_load_L1_L5_L7);
	RUN(an_idle_pool_stops_L5);
	RUN(has_no_more_threads_than_asked_for_L9);
	RUN(takes_tasks_from_many_threads);
	RUN(idle_tasks_run_when_no_other_waits);
	RUN(idle_tasks_wait_for_eight_others_at_most);
	RUN(no_one_waits_for_an_idle_task);
	RUN(with_no_thread_at_all_the_caller_does_the_work_L8);
	RUN(with_some_threads_missing_the_others_do_it_L8);
	RUN(without_threads_for_idle_tasks_the_others_do_them_L8);
	return unit_done();
}
