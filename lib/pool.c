/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/pool.h"

#include <stdlib.h>
#include <string.h>

#include "lib/lock.h"
#include "lib/log.h"

#define IDLE_PASSED_MAX 8

struct queue {
	struct task *first, **last;
};

struct pool {
	/* Rank 25. Protects the queues, passed, stop and inline_running. */
	struct lock lock;
	struct cond wake;
	struct queue tasks, idle_tasks;
	unsigned passed; /* tasks, while an idle one was waiting */
	bool stop;
	bool inline_running;
	/* Constant after pool_open. */
	unsigned count;
	pthread_t threads[];
};

static void queue_add(struct queue *q, struct task *t)
{
	t->next = NULL;
	*q->last = t;
	q->last = &t->next;
}

static struct task *take_locked(struct pool *p) REQUIRES(p->lock)
{
	bool other = p->tasks.first && (!p->idle_tasks.first || p->passed < IDLE_PASSED_MAX);
	struct queue *q = other ? &p->tasks : &p->idle_tasks;
	struct task *t = q->first;

	p->passed = other && p->idle_tasks.first ? p->passed + 1 : 0;
	if (t) {
		q->first = t->next;
		if (!q->first)
			q->last = &q->first;
	}
	return t;
}

static void *work(void *arg)
{
	struct pool *p = arg;
	struct task *t;

	lock_take(&p->lock);
	for (;;) {
		t = take_locked(p);
		if (t) {
			lock_drop(&p->lock);
			t->run(t);
			lock_take(&p->lock);
		} else if (p->stop) {
			break;
		} else {
			cond_wait(&p->wake, &p->lock);
		}
	}
	lock_drop(&p->lock);
	return NULL;
}

struct pool *pool_open(unsigned threads)
{
	struct pool *p = calloc(1, sizeof(*p) + threads * sizeof(p->threads[0]));

	if (!p)
		return NULL;
	lock_init(&p->lock);
	cond_init(&p->wake);
	p->tasks.last = &p->tasks.first;
	p->idle_tasks.last = &p->idle_tasks.first;
	for (unsigned i = 0; i < threads; i++) {
		int err = pthread_create(&p->threads[p->count], NULL, work, p);

		if (err == 0)
			p->count++;
		else
			log_warning("only %u of %u threads could be started (%s); the "
				    "work is done all the same",
				    p->count, threads, strerror(err));
	}
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
	lock_take(&p->lock);
	queue_add(&p->idle_tasks, t);
	cond_signal(&p->wake);
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
	lock_drop(&p->lock);
	for (unsigned i = 0; i < p->count; i++)
		pthread_join(p->threads[i], NULL);
	cond_release(&p->wake);
	lock_release(&p->lock);
	free(p);
}
