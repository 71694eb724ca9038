/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Four lists of deadlines, each sorted: at once, grace, longer ones, and those of the option
 * rotate_age. A file is in at most one. Deadlines of one list are nearly always armed in rising order, so
 * inserting from the end is constant work.
 */
#include "lib/timer.h"

#include "lib/catalog.h"
#include "lib/cut.h"
#include "lib/lazy.h"
#include "lib/pass.h"
#include "lib/space.h"

static void note_soon_locked(struct store *s) REQUIRES(s->lock)
{
	const struct file *now = s->timers[TIMER_NOW], *soon = s->timers[TIMER_SOON];

	atomic_store(&s->soon_ns, now ? now->deadline_ns : soon ? soon->deadline_ns : 0);
}

void timer_disarm_locked(struct store *s, struct file *f)
{
	if (!f->deadline_ns)
		return;
	DL_DELETE2(s->timers[f->timer], f, timer_prev, timer_next);
	f->deadline_ns = 0;
	note_soon_locked(s);
	node_unref_locked(s, &f->n, 1);
}

void timer_arm_locked(struct store *s, struct file *f, int64_t deadline_ns, unsigned list)
{
	struct file *head, *after;

	node_ref_locked(&f->n); /* the list's; and for the time between */
	timer_disarm_locked(s, f);
	f->deadline_ns = deadline_ns;
	f->timer = list;
	head = s->timers[list];
	after = head ? head->timer_prev : NULL; /* the last */
	while (after && after->deadline_ns > deadline_ns)
		after = after == head ? NULL : after->timer_prev;
	if (after)
		DL_APPEND_ELEM2(s->timers[list], after, f, timer_prev, timer_next);
	else
		DL_PREPEND2(s->timers[list], f, timer_prev, timer_next);
	if (s->timers[list] == f) { /* else the thread comes back for another one before */
		note_soon_locked(s);
		cond_signal(&s->timer_wake);
	}
}

void timer_grace_locked(struct store *s, struct file *f)
{
	bool awaited = f->hurry || f->closing || f->claimed;
	int64_t wait_ns = awaited ? 0 : s->options.grace_ns;

	if (!awaited || !f->deadline_ns)
		timer_arm_locked(s, f, clock_ns() + wait_ns, wait_ns ? TIMER_SOON : TIMER_NOW);
}

void timer_retry_locked(struct store *s, struct file *f, int64_t wait_ns)
{
	if (!s->stopping)
		timer_arm_locked(s, f, clock_ns() + wait_ns, TIMER_LATER);
}

/* ---- the thread ---- */

/* Writers that were slowed down and may go on. Drops the lock meanwhile if there are any. */
static bool wake_paused_locked(struct store *s, int64_t *next_ns) REQUIRES(s->lock)
{
	struct store_pause *due = space_due_locked(s, next_ns);

	if (!due)
		return false;
	s->waking = true;
	lock_drop(&s->lock);
	space_wake(due);
	lock_take(&s->lock);
	s->waking = false;
	cond_broadcast(&s->changed);
	return true;
}

/* The next file that is due, referenced, or NULL; *next_ns: when to come back (0: never). */
static struct file *take_due_locked(struct store *s, int64_t *next_ns) REQUIRES(s->lock)
{
	int64_t now_ns = clock_ns();

	*next_ns = s->attrs_deadline_ns;
	if (s->passed && (!*next_ns || s->pass_look_ns < *next_ns))
		*next_ns = s->pass_look_ns;
	for (int list = 0; list < TIMERS; list++) {
		struct file *f = s->timers[list];

		if (!f)
			continue;
		if (f->deadline_ns <= now_ns || s->stopping) {
			node_ref_locked(&f->n);
			timer_disarm_locked(s, f);
			return f;
		}
		if (!*next_ns || f->deadline_ns < *next_ns)
			*next_ns = f->deadline_ns;
	}
	return NULL;
}

static void *timer_thread(void *arg)
{
	struct store *s = arg;
	int64_t next_ns, pause_ns;

	lock_take(&s->lock);
	for (;;) {
		struct file *f;

		if (wake_paused_locked(s, &pause_ns))
			continue;
		f = take_due_locked(s, &next_ns);
		if (pause_ns && (!next_ns || pause_ns < next_ns))
			next_ns = pause_ns;
		if (f) {
			lock_drop(&s->lock);
			cut_due(s, f);
			lock_take(&s->lock);
			node_unref_locked(s, &f->n, 1);
		} else if (s->stopping) {
			break;
		} else if (s->attrs_deadline_ns && s->attrs_deadline_ns <= clock_ns()) {
			lock_drop(&s->lock);
			lazy_flush(s);
			lock_take(&s->lock);
		} else if (s->passed && s->pass_look_ns <= clock_ns()) {
			lock_drop(&s->lock);
			pass_look(s);
			lock_take(&s->lock);
		} else if (next_ns) {
			cond_wait_until(&s->timer_wake, &s->lock, next_ns);
		} else {
			cond_wait(&s->timer_wake, &s->lock);
		}
	}
	lock_drop(&s->lock);
	return NULL;
}

int timer_start(struct store *s)
{
	int err = pthread_create(&s->timer_thread, NULL, timer_thread, s);

	s->timer_running = err == 0;
	return -err;
}

void timer_stop(struct store *s)
{
	if (!s->timer_running)
		return;
	lock_take(&s->lock);
	cut_hurry_closed_locked(s); /* whatever their timers say */
	s->stopping = true;
	cond_signal(&s->timer_wake);
	lock_drop(&s->lock);
	pthread_join(s->timer_thread, NULL);
	s->timer_running = false;
}
