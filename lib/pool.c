/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/pool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/lock.h"
#include "lib/log.h"

#define IDLE_PASSED_MAX 8
#define IDLE_NICE 15 /* 3 % of a processor that others want, too */

struct queue {
	struct task *first, **last;
};

struct pool {
	/* Rank 25. Protects the queues, running, passed, stop and inline_running. */
	struct lock lock;
	struct cond wake, wake_idle;
	struct queue tasks, idle_tasks;
	unsigned running; /* tasks of both kinds */
	unsigned passed;  /* tasks, while an idle one was waiting */
	bool stop;
	bool inline_running;
	/* Constant after pool_open. */
	unsigned count, idle_count;
	pthread_t threads[]; /* count, and then idle_count */
};

static void queue_add(struct queue *q, struct task *t)
{
	t->next = NULL;
	*q->last = t;
	q->last = &t->next;
}

static struct task *queue_take(struct queue *q)
{
	struct task *t = q->first;

	if (t) {
		q->first = t->next;
		if (!q->first)
			q->last = &q->first;
	}
	return t;
}

/* Is it an idle task's turn? */
static bool has_time_locked(const struct pool *p) REQUIRES(p->lock)
{
	return p->idle_tasks.first &&
	       (p->passed >= IDLE_PASSED_MAX || (!p->tasks.first && p->running < p->count));
}

static struct task *take_locked(struct pool *p) REQUIRES(p->lock)
{
	struct task *t = queue_take(&p->tasks);

	if (t && p->idle_tasks.first)
		p->passed++;
	return t;
}

static struct task *take_idle_locked(struct pool *p) REQUIRES(p->lock)
{
	if (!has_time_locked(p))
		return NULL;
	p->passed = 0;
	return queue_take(&p->idle_tasks);
}

/* No task is left, nor one that might submit another. */
static bool has_ended_locked(const struct pool *p) REQUIRES(p->lock)
{
	return p->stop && !p->running && !p->tasks.first && !p->idle_tasks.first;
}

static void run_locked(struct pool *p, struct task *t) REQUIRES(p->lock)
{
	p->running++;
	if (has_time_locked(p))
		cond_signal(&p->wake_idle);
	lock_drop(&p->lock);
	t->run(t);
	lock_take(&p->lock);
	p->running--;
	if (has_time_locked(p))
		cond_signal(&p->wake_idle);
	if (has_ended_locked(p)) {
		cond_broadcast(&p->wake);
		cond_broadcast(&p->wake_idle);
	}
}

static void work_at(struct pool *p, struct task *(*take)(struct pool *p), struct cond *wake)
{
	struct task *t;

	lock_take(&p->lock);
	while (!has_ended_locked(p)) {
		t = take(p);
		if (t)
			run_locked(p, t);
		else
			cond_wait(wake, &p->lock);
	}
	lock_drop(&p->lock);
}

static void *work(void *arg)
{
	struct pool *p = arg;

	work_at(p, take_locked, &p->wake);
	return NULL;
}

static void *work_when_idle(void *arg)
{
	struct pool *p = arg;

	/* In Linux that is of this thread. Failing, it is no worse than any other. */
	setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + IDLE_NICE);
	work_at(p, take_idle_locked, &p->wake_idle);
	return NULL;
}

/* How many could be started. */
static unsigned start(struct pool *p, pthread_t *threads, unsigned count, void *(*run)(void *))
{
	unsigned started = 0;
	int err = 0;

	for (unsigned i = 0; i < count; i++) {
		int failed = pthread_create(&threads[started], NULL, run, p);

		err = failed ? failed : err;
		started += !failed;
	}
	if (started < count)
		log_warning("only %u of %u threads could be started (%s); the work is done all "
			    "the same",
			    started, count, strerror(err));
	return started;
}

struct pool *pool_open(unsigned threads, bool idle)
{
	struct pool *p = calloc(1, sizeof(*p) + 2 * threads * sizeof(p->threads[0]));

	if (!p)
		return NULL;
	lock_init(&p->lock);
	cond_init(&p->wake);
	cond_init(&p->wake_idle);
	p->tasks.last = &p->tasks.first;
	p->idle_tasks.last = &p->idle_tasks.first;
	/* The threads look at count under the lock. */
	lock_take(&p->lock);
	p->count = start(p, p->threads, threads, work);
	if (idle)
		p->idle_count = start(p, p->threads + p->count, p->count, work_when_idle);
	lock_drop(&p->lock);
	return p;
}

/* No thread: the submitter works. A task that submits from within run is not nested. */
static void run_inline(struct pool *p)
{
	struct task *t;

	lock_take(&p->lock);
	if (!p->inline_running) {
		p->inline_running = true;
		while ((t = take_locked(p))) {
			lock_drop(&p->lock);
			t->run(t);
			lock_take(&p->lock);
		}
		p->inline_running = false;
	}
	lock_drop(&p->lock);
}

void pool_submit(struct pool *p, struct task *t)
{
	lock_take(&p->lock);
	queue_add(&p->tasks, t);
	cond_signal(&p->wake);
	lock_drop(&p->lock);
	if (!p->count)
		run_inline(p);
}

void pool_submit_idle(struct pool *p, struct task *t)
{
	if (!p->idle_count) {
		pool_submit(p, t);
		return;
	}
	lock_take(&p->lock);
	queue_add(&p->idle_tasks, t);
	if (has_time_locked(p))
		cond_signal(&p->wake_idle);
	lock_drop(&p->lock);
}

unsigned pool_threads(const struct pool *p)
{
	return p->count;
}

void pool_close(struct pool *p)
{
	if (!p)
		return;
	lock_take(&p->lock);
	p->stop = true;
	cond_broadcast(&p->wake);
	cond_broadcast(&p->wake_idle);
	lock_drop(&p->lock);
	for (unsigned i = 0; i < p->count + p->idle_count; i++)
		pthread_join(p->threads[i], NULL);
	cond_release(&p->wake);
	cond_release(&p->wake_idle);
	lock_release(&p->lock);
	free(p);
}
