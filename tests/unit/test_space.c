/* SPDX-License-Identifier: BSD-2-Clause */
/* Whom the backlog holds up, for how many bytes, and who goes on when. */
#include "tests/unit/store_kit.h"

#include "lib/core.h"
#include "lib/space.h"

#define MIB ((uint64_t)1 << 20)

static struct scratch dir;

/* As if so many bytes waited, with a limit of 1 MiB. */
static void wait_with(struct store *s, uint64_t bytes)
{
	lock_take(&s->lock);
	s->options.backlog_bytes = MIB;
	s->pending_bytes = bytes;
	lock_drop(&s->lock);
}

/* A chunk is in work, so that no one goes on by the time. */
static void compress_begin(struct store *s)
{
	lock_take(&s->lock);
	space_chunk_begin_locked(s);
	lock_drop(&s->lock);
}

struct writer {
	struct store_pause pause; /* first */
	struct store *store;
	int woken; /* times; store.lock */
};

static void woken(struct store_pause *p)
{
	struct writer *w = (struct writer *)p;

	lock_take(&w->store->lock);
	w->woken++;
	lock_drop(&w->store->lock);
}

static struct writer writer(struct store *s)
{
	return (struct writer){.pause.wake = woken, .store = s};
}

static int times_woken(struct writer *w)
{
	int times;

	lock_take(&w->store->lock);
	times = w->woken;
	lock_drop(&w->store->lock);
	return times;
}

/* By the thread of the timers. */
static void wait_until_woken(struct writer *w)
{
	struct store *s = w->store;

	lock_take(&s->lock);
	while (!w->woken || s->waking)
		cond_wait(&s->changed, &s->lock);
	lock_drop(&s->lock);
}

/* What the first of the queue has got when so much more is compressed while so much waits. */
static uint64_t earn(struct store *s, uint64_t compressed, uint64_t waiting)
{
	uint64_t credit;

	wait_with(s, waiting);
	compress_begin(s);
	space_chunk_end(s, compressed);
	lock_take(&s->lock);
	credit = s->pause_credit;
	lock_drop(&s->lock);
	return credit;
}

static struct store *begin(void)
{
	scratch_init(&dir);
	return open_store(&dir, 1, NEVER_NS);
}

static void end(struct store *s)
{
	wait_with(s, 0);
	CHECK_EQ(store_close(s), 0);
	scratch_release(&dir);
}

static void writers_wait_for_their_bytes_not_for_their_writes(void)
{
	struct store *s = begin();
	uint64_t sum = 0;
	int waits = 0;

	wait_with(s, 2 * MIB);
	CHECK_EQ(store_pause_bytes(s, MIB), MIB);
	for (uint64_t i = 0; i < MIB / 128; i++) {
		uint64_t bytes = store_pause_bytes(s, 128);

		waits += bytes > 0;
		sum += bytes;
	}
	CHECK_EQ(sum, MIB);
	CHECK_EQ(waits, 16);
	wait_with(s, MIB);
	CHECK_EQ(store_pause_bytes(s, MIB), 0);
	end(s);
}

static void the_further_above_the_limit_the_less_is_earned_down_to_a_part(void)
{
	struct store *s = begin();
	struct writer w = writer(s);

	wait_with(s, MIB + 1);
	compress_begin(s);
	CHECK(store_pause(s, &w.pause, 2 * MIB));
	CHECK_EQ(earn(s, MIB, MIB + 1), MIB / 2);
	CHECK_EQ(earn(s, MIB, 3 * MIB), MIB / 2 + MIB / 4);
	CHECK_EQ(earn(s, MIB, 1000 * MIB), MIB / 2 + MIB / 4 + MIB / 16);
	CHECK_EQ(earn(s, 0, MIB + 1), MIB / 2 + MIB / 4 + MIB / 16);
	CHECK_EQ(times_woken(&w), 0);
	earn(s, 4 * MIB, MIB + 1);
	wait_until_woken(&w);
	space_chunk_end(s, 0);
	end(s);
	CHECK_EQ(w.woken, 1);
}

/* What all of them together may write is what was earned, and no one passes those who wait. */
static void who_came_first_goes_on_first(void)
{
	struct store *s = begin();
	struct writer first = writer(s), second = writer(s);

	wait_with(s, 2 * MIB - 1);
	compress_begin(s);
	CHECK(store_pause(s, &first.pause, MIB));
	CHECK(store_pause(s, &second.pause, MIB));
	earn(s, 3 * MIB, 2 * MIB - 1);
	wait_until_woken(&first);
	CHECK_EQ(times_woken(&second), 0);
	CHECK_EQ(earn(s, 0, 2 * MIB - 1), MIB / 2);
	earn(s, MIB, 2 * MIB - 1);
	wait_until_woken(&second);
	space_chunk_end(s, 0);
	end(s);
	CHECK_EQ(first.woken, 1);
	CHECK_EQ(second.woken, 1);
}

/* Above the limit while nothing can be sealed, and below it. */
static void no_one_waits_for_what_may_never_be(void)
{
	struct store *s = begin();
	struct writer above = writer(s), below = writer(s), behind = writer(s);

	wait_with(s, 2 * MIB);
	CHECK(store_pause(s, &above.pause, 64 << 10));
	wait_until_woken(&above);
	compress_begin(s);
	CHECK(store_pause(s, &below.pause, 1000 * MIB));
	CHECK(store_pause(s, &behind.pause, 1000 * MIB));
	space_chunk_end(s, 0);
	earn(s, 0, MIB);
	wait_until_woken(&below);
	wait_until_woken(&behind);
	end(s);
	CHECK_EQ(above.woken, 1);
}

static void who_gives_up_is_not_woken(void)
{
	struct store *s = begin();
	struct writer early = writer(s), late = writer(s), stays = writer(s);

	wait_with(s, 2 * MIB);
	compress_begin(s);
	CHECK(!store_pause_cancel(s, &early.pause));
	CHECK(!store_pause(s, &early.pause, MIB));
	CHECK(store_pause(s, &late.pause, 1000 * MIB));
	CHECK(store_pause(s, &stays.pause, MIB));
	CHECK(store_pause_cancel(s, &late.pause));
	CHECK(!store_pause_cancel(s, &late.pause));
	earn(s, 3 * MIB, 2 * MIB - 1);
	wait_until_woken(&stays);
	CHECK(!store_pause_cancel(s, &stays.pause));
	space_chunk_end(s, 0);
	end(s);
	CHECK_EQ(early.woken, 0);
	CHECK_EQ(late.woken, 0);
	CHECK_EQ(stays.woken, 1);
}

static void the_end_lets_all_go_on(void)
{
	struct store *s = begin();
	struct writer first = writer(s), second = writer(s), late = writer(s);

	wait_with(s, 2 * MIB);
	compress_begin(s);
	CHECK(store_pause(s, &first.pause, 1000 * MIB));
	CHECK(store_pause(s, &second.pause, 1000 * MIB));
	store_unpause(s);
	CHECK_EQ(first.woken, 1);
	CHECK_EQ(second.woken, 1);
	CHECK(!store_pause(s, &late.pause, MIB));
	space_chunk_end(s, 0);
	end(s);
}

int main(void)
{
	log_open("test_space", false, LOG_ERR);
	RUN(writers_wait_for_their_bytes_not_for_their_writes);
	RUN(the_further_above_the_limit_the_less_is_earned_down_to_a_part);
	RUN(who_came_first_goes_on_first);
	RUN(no_one_waits_for_what_may_never_be);
	RUN(who_gives_up_is_not_woken);
	RUN(the_end_lets_all_go_on);
	return unit_done();
}
