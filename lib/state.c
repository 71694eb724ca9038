/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/state.h"

#include "lib/catalog.h"

int node_take_locked(struct store *s, struct node *n, enum busy busy, struct caller *c)
{
	if (n->busy != IDLE && n->stuck)
		return n->stuck;
	if (n->busy != IDLE) {
		n->refs++;
		c->busy = n;
		return STORE_BUSY;
	}
	n->busy = busy;
	n->refs++;
	return 0;
}

static struct waiter *take_waiters_locked(struct node *n)
{
	struct waiter *w = n->waiters;

	for (struct waiter *p = w; p; p = p->next)
		p->node = NULL;
	n->waiters = NULL;
	return w;
}

struct waiter *node_give_locked(struct store *s, struct node *n)
{
	struct waiter *w = take_waiters_locked(n);

	n->busy = IDLE;
	n->stuck = 0;
	cond_broadcast(&s->changed);
	node_unref_locked(s, n, 1);
	return w;
}

void waiters_wake(struct waiter *w)
{
	while (w) {
		struct waiter *next = w->next;

		w->wake(w);
		w = next;
	}
}

void node_give(struct store *s, struct node *n)
{
	struct waiter *w;

	lock_take(&s->lock);
	w = node_give_locked(s, n);
	lock_drop(&s->lock);
	waiters_wake(w);
}

void node_stuck(struct store *s, struct node *n, int err)
{
	struct waiter *w;

	lock_take(&s->lock);
	n->stuck = err;
	w = take_waiters_locked(n);
	cond_broadcast(&s->changed);
	lock_drop(&s->lock);
	waiters_wake(w);
}

void node_wait_locked(struct store *s, const struct node *n)
{
	while (n->busy != IDLE)
		cond_wait(&s->changed, &s->lock);
}

void node_take_wait_locked(struct store *s, struct node *n, enum busy busy)
{
	n->refs++;
	node_wait_locked(s, n);
	n->busy = busy;
}

int store_park(struct store *s, struct node *busy, struct waiter *w)
{
	int r;

	lock_take(&s->lock);
	r = w->cancelled ? -EINTR : busy->busy != IDLE && !busy->stuck;
	if (r == 1) {
		w->node = busy;
		LL_PREPEND(busy->waiters, w);
	}
	node_unref_locked(s, busy, 1);
	lock_drop(&s->lock);
	return r;
}

bool store_unpark(struct store *s, struct waiter *w)
{
	bool parked;

	lock_take(&s->lock);
	parked = w->node != NULL;
	if (parked)
		LL_DELETE(w->node->waiters, w);
	w->node = NULL;
	w->cancelled = !parked;
	lock_drop(&s->lock);
	return parked;
}

void store_wait_idle(struct store *s, struct node *busy)
{
	lock_take(&s->lock);
	while (busy->busy != IDLE && !busy->stuck)
		cond_wait(&s->changed, &s->lock);
	node_unref_locked(s, busy, 1);
	lock_drop(&s->lock);
}

void gate_enter_locked(struct store *s, struct file *f)
{
	while (f->gate_shut)
		cond_wait(&s->changed, &s->lock);
	f->gate_in++;
}

void gate_leave_locked(struct store *s, struct file *f)
{
	f->gate_in--;
	if (f->gate_shut && f->gate_in == 0)
		cond_broadcast(&s->changed);
}

void gate_shut_locked(struct store *s, struct file *f)
{
	while (f->gate_shut)
		cond_wait(&s->changed, &s->lock);
	f->gate_shut = true;
	while (f->gate_in > 0)
		cond_wait(&s->changed, &s->lock);
}

void gate_open_locked(struct store *s, struct file *f)
{
	f->gate_shut = false;
	cond_broadcast(&s->changed);
}
