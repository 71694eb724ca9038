/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ioctls of lib/proto.h on the status file.
 *
 * A barrier's request is answered from one of four places: by whoever calls done (a thread of
 * the store's), by the handler (done came before it was ready), by the handler's or by the
 * interrupt function's cancellation. Three things must not happen:
 *
 *   - an answer while the handler or libfuse still uses the request: so done only answers once
 * the wait is armed, and a thread other than the interrupting one first takes the interrupt
 *     function off the request, which waits for one that is running;
 *   - a cancellation of a barrier that the store has freed: so done does not return while one
 * is in progress in another thread;
 *   - taking the interrupt function off from within it: libfuse holds the request's mutex
 *     then, and the wait is freed by the interrupt function itself, which is the last to use
 * it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/node.h"
#include "fs/ops.h"
#include "fs/reply.h"

struct wait {
	struct store *store;
	fuse_req_t req;
	/* Rank 50. Protects the rest. */
	struct lock lock;
	struct cond changed;
	struct barrier *barrier;
	bool armed;	  /* the handler is through with it */
	bool finished;	  /* done was called, with err */
	bool interrupted; /* perhaps before there was a barrier to cancel */
	bool cancelling;  /* canceller is in store_barrier_cancel … */
	bool cancelled;	  /* … which called done */
	pthread_t canceller;
	int err;
};

static struct wait *wait_new(struct store *s, fuse_req_t req)
{
	struct wait *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	lock_init(&w->lock);
	cond_init(&w->changed);
	w->store = s;
	w->req = req;
	return w;
}

/* Answer, and free: for the one thread whose turn it is, with the interrupt function off or
 * being that function. */
static void wait_end(struct wait *w)
{
	fuse_req_t req = w->req;
	int err;

	lock_take(&w->lock);
	err = w->err;
	lock_drop(&w->lock);
	cond_release(&w->changed);
	lock_release(&w->lock);
	free(w);
	reply_ioctl(req, err);
}

static void take_off_and_end(struct wait *w)
{
	fuse_req_interrupt_func(w->req, NULL, NULL);
	wait_end(w);
}

static void done(void *ctx, int err)
{
	struct wait *w = ctx;
	bool is_mine;

	lock_take(&w->lock);
	w->err = err;
	w->finished = true;
	w->cancelled = w->cancelling && pthread_equal(w->canceller, pthread_self());
	while (w->cancelling && !w->cancelled)
		cond_wait(&w->changed, &w->lock);
	is_mine = w->armed && !w->cancelled;
	lock_drop(&w->lock);
	if (is_mine)
		take_off_and_end(w);
}

/* Is it the caller's to end w now? If not, w may be gone as soon as the lock is free. */
static bool cancel_locked(struct wait *w) REQUIRES(&w->lock)
{
	struct barrier *b = w->barrier;

	w->interrupted = true;
	if (!w->armed || w->finished || w->cancelling)
		return false;
	w->cancelling = true;
	w->canceller = pthread_self();
	lock_drop(&w->lock);
	store_barrier_cancel(w->store, b);
	lock_take(&w->lock);
	w->cancelling = false;
	cond_broadcast(&w->changed);
	return w->cancelled;
}

/* Called with the request's mutex held, by any thread of the session's. */
static void interrupt(fuse_req_t req, void *data)
{
	struct wait *w = data;
	bool is_mine;

	lock_take(&w->lock);
	is_mine = cancel_locked(w);
	lock_drop(&w->lock);
	if (is_mine)
		wait_end(w);
}

static void arm(struct wait *w, struct barrier *b)
{
	bool is_mine;

	lock_take(&w->lock);
	w->barrier = b;
	w->armed = true;
	is_mine = w->finished;
	if (!is_mine && w->interrupted)
		is_mine = cancel_locked(w);
	lock_drop(&w->lock);
	if (is_mine)
		take_off_and_end(w);
}

static void request_barrier(struct fs *fs, fuse_req_t req, const struct proto_request *request)
{
	struct caller caller = caller_of(req);
	struct wait *w = wait_new(fs->store, req);
	struct barrier *b = NULL;
	int err;

	if (!w) {
		reply_err(req, -ENOMEM);
		return;
	}
	/* Before there is a barrier: afterwards the request may be answered at any moment. */
	fuse_req_interrupt_func(req, interrupt, w);
	err = store_barrier(fs->store, &caller, (enum proto_op)request->op, request->path, done,
			    w, &b);
	if (!err) {
		arm(w, b);
		return;
	}
	lock_take(&w->lock);
	w->err = err;
	lock_drop(&w->lock);
	take_off_and_end(w);
}

static int run_remove(struct fs *fs, struct op *op)
{
	int r = store_remove(fs->store, &op->caller, op->name);

	if (r == 0) /* its names must be free for the caller */
		inval_then_reply(fs, op->req);
	return r;
}

static void request_remove(struct fs *fs, fuse_req_t req, const struct proto_request *request)
{
	struct op op = op_of(req, run_remove);

	op.name = request->path;
	park_run(fs, &op);
}

static int check(const struct proto_request *request, size_t size)
{
	if (size < sizeof(*request) || request->zero != 0)
		return -EINVAL;
	return memchr(request->path, '\0', sizeof(request->path)) ? 0 : -ENAMETOOLONG;
}

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
	      struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
	      size_t out_size)
{
	const struct proto_request *request = in;
	int err = -ENOTTY;

	if (ino == CONTROL_STATUS && cmd == (unsigned int)PROTO_IOCTL)
		err = check(request, in_size);
	if (err) {
		reply_err(req, err);
		return;
	}
	switch (request->op) {
	case PROTO_WAIT:
	case PROTO_SEAL:
		request_barrier(fs_of(req), req, request);
		break;
	case PROTO_REMOVE:
		request_remove(fs_of(req), req, request);
		break;
	default:
		reply_err(req, -EINVAL);
	}
}
