/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting, as a user does: for as long as it can be of use. On a file system that can never be written
 * again, until it is mounted anew, the user interrupts it.
 */
#include "tests/crash/world_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/lock.h"

#define PROBE_NS ((int64_t)500000000)

struct wait {
	struct lock lock;
	struct cond cond;
	bool done;
	int err;
};

static void wait_init(struct wait *wait)
{
	*wait = (struct wait){.done = false};
	lock_init(&wait->lock);
	cond_init(&wait->cond);
}

static void wait_release(struct wait *wait)
{
	cond_release(&wait->cond);
	lock_release(&wait->lock);
}

static void wait_done(void *ctx, int err)
{
	struct wait *wait = ctx;

	lock_take(&wait->lock);
	wait->done = true;
	wait->err = err;
	cond_signal(&wait->cond);
	lock_drop(&wait->lock);
}

/* A journal that could not be written ends all writing, until the file system is mounted again. */
static bool has_no_disk(const struct world *w)
{
	char path[sizeof(w->dir) + 16];
	int fd;

	shim_pause();
	snprintf(path, sizeof(path), "%s.probe", w->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0) {
		close(fd);
		unlink(path);
	}
	shim_resume();
	return fd < 0 && errno == EROFS;
}

/* True: it is done; false: it never will be. */
static bool wait_is_over(struct world *w, struct wait *wait)
{
	bool done;

	lock_take(&wait->lock);
	if (!wait->done)
		cond_wait_until(&wait->cond, &wait->lock, clock_ns() + PROBE_NS);
	done = wait->done;
	lock_drop(&wait->lock);
	return done;
}

/* ---- for a name ---- */

struct parked {
	struct waiter waiter; /* the first */
	struct wait wait;
};

static void wake(struct waiter *waiter)
{
	wait_done(&((struct parked *)waiter)->wait, 0);
}

int world_wait_idle(struct world *w, struct store *s, struct node *busy)
{
	struct parked p = {.waiter = {.wake = wake}};
	bool interrupted = false;
	int r;

	wait_init(&p.wait);
	r = store_park(s, busy, &p.waiter);
	while (r == 1 && !wait_is_over(w, &p.wait)) {
		if (has_no_disk(w) && store_unpark(s, &p.waiter)) {
			interrupted = true;
			break;
		}
	}
	wait_release(&p.wait);
	return interrupted ? -EINTR : MIN(r, 0);
}

/* ---- for all to be sealed ---- */

static bool is_excluded(const struct promise *p)
{
	size_t len = strlen(p->name);

	return len > 4 && strcmp(p->name + len - 4, ".tmp") == 0;
}

void world_acknowledge_all(struct world *w)
{
	for (unsigned i = 0; i < w->count && !atomic_load(&w->frozen); i++) {
		struct promise *p = &w->list[i];

		if (p->created && !p->removing && !p->moving && !p->open && !is_excluded(p) &&
		    !(p->import && !p->durable)) { /* its fsync failed: it is refused */
			p->durable = p->accepted;
			p->sealed = true;
			p->past_count = 0;
		}
	}
}

void world_seal(struct world *w, struct store *s)
{
	struct caller c = {.uid = getuid(), .gid = getgid()};
	bool cancelled = false;
	struct barrier *b;
	struct wait wait;
	int err;

	wait_init(&wait);
	err = store_barrier(s, &c, PROTO_SEAL, "", wait_done, &wait, &b);
	while (!err && !wait_is_over(w, &wait)) {
		if (!cancelled && has_no_disk(w)) {
			cancelled = true;
			store_barrier_cancel(s, b);
		}
	}
	err = err ? err : wait.err;
	wait_release(&wait);
	world_failed(w, err);
	if (!err) {
		world_acknowledge_all(w);
		shim_acknowledged("all");
	}
}
