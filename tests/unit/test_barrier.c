/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What waits for many files does work for each of them once, and not for all of them whenever one was cut. The
 * module is a part of this program, which so sees how far a barrier has looked.
 */
#include "tests/unit/store_kit.h"

#include <sys/syscall.h>

#include "lib/barrier.c"
#include "lib/state.h"

#define FILES 300
#define BARRIERS 4

static struct scratch dir;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER; /* then nothing is compressed */

ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	pthread_mutex_lock(&held);
	pthread_mutex_unlock(&held);
	return syscall(SYS_pwrite64, fd, buf, len, offset);
}

static struct store *store_with_files(void)
{
	struct store *s;

	scratch_init(&dir);
	s = open_store(&dir, 1, NEVER_NS);
	for (int i = 0; i < FILES; i++) {
		char name[32];

		snprintf(name, sizeof(name), "f%d", i);
		put(s, name, name, strlen(name));
	}
	return s;
}

static void wait_until_all_are_queued(struct store *s)
{
	uint64_t queued;

	do {
		usleep(1000);
		lock_take(&s->lock);
		queued = s->pending_files;
		lock_drop(&s->lock);
	} while (queued < FILES);
}

/* At how many files that are cut have all barriers looked? */
static size_t looked_at(struct store *s)
{
	const struct barrier *b;
	size_t count = 0;

	lock_take(&s->lock);
	DL_FOREACH (s->barriers, b) {
		for (size_t i = 0; i < b->count; i++)
			count += b->wanted[i].cut;
	}
	lock_drop(&s->lock);
	return count;
}

/* Named bug: for ten thousand files that was a fifth of the work of sealing them. */
static void a_barrier_looks_no_further_than_the_first_that_is_not_done(void)
{
	struct wait w[BARRIERS];
	struct store *s = store_with_files();

	pthread_mutex_lock(&held);
	for (int i = 0; i < BARRIERS; i++)
		seal_begin(s, &w[i]);
	wait_until_all_are_queued(s);
	CHECK_EQ(looked_at(s), BARRIERS);
	pthread_mutex_unlock(&held);
	for (int i = 0; i < BARRIERS; i++)
		seal_end(&w[i]);
	CHECK_EQ(count_entries(&dir, "."), FILES);
	CHECK_EQ(store_close(s), 0);
	scratch_release(&dir);
}

static int armed(struct store *s, unsigned list)
{
	const struct file *f;
	int count;

	lock_take(&s->lock);
	DL_COUNT2(s->timers[list], f, count, timer_next);
	lock_drop(&s->lock);
	return count;
}

/* Named bug: each went through all whose grace was not over to its place among them. */
static void what_is_to_be_cut_at_once_has_a_list_of_its_own(void)
{
	struct store *s = store_with_files();
	struct node *first;
	struct wait w;

	CHECK_EQ(armed(s, TIMER_SOON), FILES);
	CHECK_EQ(store_lookup(s, store_root(s), "f0", &first), 0);
	lock_take(&s->lock);
	gate_enter_locked(s, to_file(first)); /* so the timer's thread gets no further */
	lock_drop(&s->lock);
	seal_begin(s, &w);
	CHECK_EQ(armed(s, TIMER_SOON), 0);
	CHECK(armed(s, TIMER_NOW) >= FILES - 1);
	lock_take(&s->lock);
	gate_leave_locked(s, to_file(first));
	lock_drop(&s->lock);
	seal_end(&w);
	node_unref(s, first, 1);
	CHECK_EQ(store_close(s), 0);
	scratch_release(&dir);
}

int main(void)
{
	RUN(a_barrier_looks_no_further_than_the_first_that_is_not_done);
	RUN(what_is_to_be_cut_at_once_has_a_list_of_its_own);
	return unit_done();
}
