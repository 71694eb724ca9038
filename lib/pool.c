/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/pool.h"

#include <stdlib.h>
#include <string.h>

#include "lib/lock.h"
#include "lib/log.h"

struct pool {
	/* Rank 25. Protects the queue, stop and inline_running. */
	struct lock lock;
	struct cond wake;
	struct task *first, **last;
	bool stop;
	bool inline_running;
	/* Constant after pool_open. */
	unsigned count;
	pthread_t threads[];
};

static struct task *take_locked(struct pool *p) REQUIRES(p->lock)
{
	struct task *t = p->first;

	if (t) {
		p->first = t->next;
		if (!p->first)
			p->last = &p->first;
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
	p->last = &p->first;
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
	t->next = NULL;
	*p->last = t;
	p->last = &t->next;
	cond_signal(&p->wake);
	lock_drop(&p->lock);
	if (!p->count)
		run_inline(p);
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
