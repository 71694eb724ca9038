/* SPDX-License-Identifier: BSD-2-Clause */
/* How long writers wait while the backlog is above its limit. */
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

static void writers_wait_for_their_bytes_not_for_their_writes(void)
{
	struct store *s;
	int64_t whole, sum = 0;
	int waits = 0;

	scratch_init(&dir);
	s = open_store(&dir, 1, NEVER_NS);
	wait_with(s, 2 * MIB);
	whole = store_pause_ns(s, MIB);
	CHECK(whole > 0);
	for (uint64_t i = 0; i < MIB / 128; i++) {
		int64_t ns = store_pause_ns(s, 128);

		waits += ns > 0;
		sum += ns;
	}
	CHECK_EQ(sum, whole);
	CHECK_EQ(waits, 16);
	wait_with(s, MIB);
	CHECK_EQ(store_pause_ns(s, MIB), 0);
	wait_with(s, 0);
	CHECK_EQ(store_close(s), 0);
	scratch_release(&dir);
}

static void the_further_above_the_limit_the_longer_up_to_a_limit(void)
{
	struct store *s;
	int64_t one, four;

	scratch_init(&dir);
	s = open_store(&dir, 1, NEVER_NS);
	wait_with(s, MIB + 1);
	one = store_pause_ns(s, MIB);
	wait_with(s, 4 * MIB + 1);
	four = store_pause_ns(s, MIB);
	CHECK_EQ(four, 4 * one);
	wait_with(s, 1000 * MIB);
	CHECK_EQ(store_pause_ns(s, MIB), 16 * one);
	wait_with(s, 0);
	CHECK_EQ(store_close(s), 0);
	scratch_release(&dir);
}

static void not_to_be_woken(struct store_pause *p)
{
	p->wake = NULL;
}

/* Whose time is over first is the first to be woken, not who came first. */
static void the_first_to_wait_is_not_always_the_first_to_go_on(void)
{
	struct store_pause late = {.wake = not_to_be_woken}, soon = {.wake = not_to_be_woken};
	int64_t next_ns;
	struct store *s;

	scratch_init(&dir);
	s = open_store(&dir, 1, NEVER_NS);
	wait_with(s, 2 * MIB);
	CHECK(store_pause(s, &late, NEVER_NS));
	CHECK(store_pause(s, &soon, NEVER_NS / 2));
	lock_take(&s->lock);
	CHECK(!space_due_locked(s, &next_ns));
	CHECK_EQ(next_ns, soon.until_ns);
	lock_drop(&s->lock);
	wait_with(s, 0);
	store_unpause(s);
	CHECK(!late.wake);
	CHECK(!soon.wake);
	CHECK_EQ(store_close(s), 0);
	scratch_release(&dir);
}

int main(void)
{
	log_open("test_space", false, LOG_ERR);
	RUN(writers_wait_for_their_bytes_not_for_their_writes);
	RUN(the_further_above_the_limit_the_longer_up_to_a_limit);
	RUN(the_first_to_wait_is_not_always_the_first_to_go_on);
	return unit_done();
}
