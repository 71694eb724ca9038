/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One thread is enough: what it runs has just become free, and takes no longer than any other
 * operation. It is not the store's thread that wakes, because that one must not block, and
 * not a new one each, because a burst of look-ups on a name in motion must not become a burst
 * of threads.
 *
 * To wait for the verdict on an import may take long: who does can be interrupted, else even
 * SIGKILL would have to wait. Other waits last as long as a few system calls (what fails, and is tried
 * again, has them end with its error), and no program expects EINTR of a rename. The interrupt function is set while an op is parked only: it owns the op if
 * the store gives it back, and who runs it again takes the function off first.
 */
#include "fs/park.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/private.h"
#include "fs/reply.h"

struct parked {
	struct waiter waiter; /* first: wake() is given its address */
	struct fs *fs;
	struct parked *next;
	struct op op;
	char strings[];
};

/* From proc(5), which knows nothing of a process of another PID namespace: then it has none. */
static bool is_member(const struct caller *c, gid_t gid)
{
	int size = fuse_req_getgroups(c->ctx, 0, NULL);
	gid_t *groups = size > 0 ? calloc((size_t)size, sizeof(*groups)) : NULL;
	int count = groups ? fuse_req_getgroups(c->ctx, size, groups) : 0;
	bool found = false;

	for (int i = 0; i < count && i < size && !found; i++)
		found = groups[i] == gid;
	free(groups);
	return found;
}

struct caller caller_of(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return (struct caller){
	    .uid = ctx->uid, .gid = ctx->gid, .is_member = is_member, .ctx = req};
}

struct op op_of(fuse_req_t req, int (*run)(struct fs *fs, struct op *op))
{
	return (struct op){.req = req, .run = run, .caller = caller_of(req)};
}

/* From now on it is not interrupted; waits for the interrupt function, if that is running. */
static void take_off(const struct parked *p)
{
	fuse_req_interrupt_func(p->op.req, NULL, NULL);
}

static void answer(struct parked *p, int err)
{
	take_off(p);
	reply_err(p->op.req, err);
	free(p);
}

/* By any thread of the session's, with the request's mutex held. */
static void interrupt(fuse_req_t req, void *data)
{
	struct parked *p = data;

	if (!store_unpark(p->fs->store, &p->waiter))
		return; /* it is run again, or park sees it */
	reply_err(req, -EINTR);
	free(p);
}

/* By a thread of the store's. After the stop no one would run it, so it is answered here. */
static void wake(struct waiter *w)
{
	struct parked *p = (struct parked *)w;
	struct park *park = &p->fs->park;
	bool stopping;

	lock_take(&park->lock);
	stopping = park->stopping;
	if (!stopping) {
		p->next = NULL;
		if (park->tail)
			park->tail->next = p;
		else
			park->head = p;
		park->tail = p;
		cond_signal(&park->changed);
	}
	lock_drop(&park->lock);
	if (stopping)
		answer(p, -EIO);
}

static struct parked *copy(struct fs *fs, const struct op *op)
{
	size_t name_len = op->name ? strlen(op->name) + 1 : 0;
	size_t to_len = op->to ? strlen(op->to) + 1 : 0;
	struct parked *p = malloc(sizeof(*p) + name_len + to_len);

	if (!p)
		return NULL;
	p->waiter = (struct waiter){.wake = wake};
	p->fs = fs;
	p->next = NULL;
	p->op = *op;
	if (op->name)
		p->op.name = memcpy(p->strings, op->name, name_len);
	if (op->to)
		p->op.to = memcpy(p->strings + name_len, op->to, to_len);
	return p;
}

/* 1: the store has it, and p may have been run, or interrupted, and freed by now · 0: try again ·
 * -EINTR. */
static int park(struct fs *fs, struct parked *p)
{
	struct node *busy = p->op.caller.busy;
	int r;

	p->op.caller.busy = NULL;
	if (node_is_fleeting(fs->store, busy))
		fuse_req_interrupt_func(p->op.req, interrupt, p);
	r = store_park(fs->store, busy, &p->waiter);
	if (r != 1)
		take_off(p);
	return r;
}

/* Until it is parked, or answered. r: what it returned. */
static void carry_on(struct fs *fs, struct parked *p, int r)
{
	while (r == STORE_BUSY) {
		r = park(fs, p);
		if (r == 1)
			return;
		if (!r)
			r = p->op.run(fs, &p->op);
	}
	if (r < 0)
		reply_err(p->op.req, r);
	free(p);
}

static void run_again(struct fs *fs, struct parked *p)
{
	take_off(p);
	carry_on(fs, p, p->op.run(fs, &p->op));
}

void park_run(struct fs *fs, struct op *op)
{
	int r = op->run(fs, op);
	struct parked *p;

	if (r == STORE_BUSY) {
		p = copy(fs, op);
		if (p) {
			carry_on(fs, p, r);
			return;
		}
		node_unref(fs->store, op->caller.busy, 1);
		r = -ENOMEM;
	}
	if (r < 0)
		reply_err(op->req, r);
}

static struct parked *take_locked(struct park *park) REQUIRES(&park->lock)
{
	struct parked *p = park->head;

	if (p) {
		park->head = p->next;
		if (!park->head)
			park->tail = NULL;
	}
	return p;
}

static void *park_main(void *arg)
{
	struct fs *fs = arg;
	struct park *park = &fs->park;

	lock_take(&park->lock);
	while (!park->stopping) {
		struct parked *p = take_locked(park);

		if (!p) {
			cond_wait(&park->changed, &park->lock);
			continue;
		}
		lock_drop(&park->lock);
		run_again(fs, p);
		lock_take(&park->lock);
	}
	lock_drop(&park->lock);
	return NULL;
}

void park_init(struct park *p)
{
	lock_init(&p->lock);
	cond_init(&p->changed);
}

void park_release(struct park *p)
{
	cond_release(&p->changed);
	lock_release(&p->lock);
}

int park_start(struct fs *fs)
{
	return -pthread_create(&fs->park.thread, NULL, park_main, fs);
}

void park_stop(struct fs *fs)
{
	struct park *park = &fs->park;
	struct parked *p;

	lock_take(&park->lock);
	park->stopping = true;
	cond_broadcast(&park->changed);
	lock_drop(&park->lock);
	pthread_join(park->thread, NULL);

	lock_take(&park->lock);
	while ((p = take_locked(park))) {
		lock_drop(&park->lock);
		answer(p, -EIO);
		lock_take(&park->lock);
	}
	lock_drop(&park->lock);
}
