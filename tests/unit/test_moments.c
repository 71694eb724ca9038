/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two operations on one file, the second at a certain moment of the first.
 */
#include "tests/unit/store_kit.h"

#include <sched.h>

#include "lib/core.h"
#include "lib/state.h"

/* Bug: a truncation that was parked behind its size, to set the times, cut off when it went on
 * what had been appended meanwhile. */
static void a_parked_truncation_does_not_truncate_again(void)
{
	unsigned set = STORE_SET_SIZE | STORE_SET_MTIME_NOW;
	struct stat st = {.st_size = 6};
	struct caller c = me();
	struct scratch dir;
	struct handle *h;
	struct store *s;
	struct node *n;

	scratch_init(&dir);
	s = open_store(&dir, 1, NEVER_NS);
	put(s, "log", "sealed", 6);
	seal_all(s);
	CHECK_EQ(store_lookup(s, store_root(s), "log", &n), 0);
	CHECK_EQ(store_open_node(s, &c, n, O_WRONLY | O_APPEND, &h), 0);
	CHECK_EQ(store_write(h, "tail", 4, 6, false), 4);

	lock_take(&s->lock);
	node_take_wait_locked(s, n, BUSY_HELD);
	lock_drop(&s->lock);
	CHECK_EQ(store_setattr(s, &c, n, &st, &set, &st), STORE_BUSY);
	CHECK_EQ(store_write(h, "more", 4, 6, false), 4);
	node_unref(s, c.busy, 1);
	node_give(s, n);
	CHECK_EQ(store_setattr(s, &c, n, &st, &set, &st), 0);
	CHECK_EQ(st.st_size, 10);

	store_release(h);
	node_unref(s, n, 1);
	CHECK_EQ(store_close(s), 0);
	scratch_release(&dir);
}

static bool gate_is_shut(struct store *s, struct node *n)
{
	bool shut;

	lock_take(&s->lock);
	shut = to_file(n)->gate_shut;
	lock_drop(&s->lock);
	return shut;
}

static uint64_t cut_end_of(struct store *s, struct node *n)
{
	uint64_t end;

	lock_take(&s->lock);
	end = to_file(n)->cut_end;
	lock_drop(&s->lock);
	return end;
}

/* Bug: while the end of the last record of an open file was looked for, the file was renamed to an
 * excluded name, and cut all the same: its writer got EPERM. */
static void a_file_renamed_to_an_excluded_name_is_not_cut_any_more(void)
{
	enum { FRAME = 204, FRAMES = 100000 };
	CLEANUP_FREE char *data = calloc(FRAMES, FRAME);
	struct caller c = me();
	struct scratch dir;
	struct handle *h;
	struct store *s;
	struct node *n;
	uint64_t end;

	for (size_t i = 0; i < FRAMES; i++) {
		put_le32((uint8_t *)data + i * FRAME, FRAME - 4);
		data[i * FRAME + 4] = 1;
	}
	scratch_init(&dir);
	s = open_store(&dir, 1, 0);
	h = create(s, "log.notepack", &n);
	for (size_t done = 0; done < (size_t)FRAME * FRAMES; done += FRAME * 1000)
		CHECK_EQ(store_write(h, data + done, FRAME * 1000, done, false), FRAME * 1000);
	CHECK_EQ(store_fsync(h), 0);
	while (!gate_is_shut(s, n) && !cut_end_of(s, n))
		sched_yield();
	CHECK_EQ(store_rename(s, &c, store_root(s), "log.notepack", store_root(s), ".log", 0),
		 0);
	end = cut_end_of(s, n);
	while (gate_is_shut(s, n))
		sched_yield();
	CHECK_EQ(cut_end_of(s, n), end);

	store_release(h);
	node_unref(s, n, 1);
	CHECK_EQ(store_close(s), 0);
	scratch_release(&dir);
}

int main(void)
{
	log_open("test_moments", false, LOG_ERR);
	RUN(a_parked_truncation_does_not_truncate_again);
	RUN(a_file_renamed_to_an_excluded_name_is_not_cut_any_more);
	return unit_done();
}
