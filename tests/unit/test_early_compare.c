/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that are compressed while they are written: when that is compared with the raw file, ahead of the cut or
 * behind it, and that no change is missed.
 */
#include "tests/unit/early_kit.h"
#include "tests/unit/order_held.h"

#include "lib/early_impl.h"

#define ALL (CHUNKS + 1)    /* of the file */
#define HELD ((uint64_t)40) /* where the comparison waits */

static bool is_held(const char *path, off_t offset)
{
	return offset == (off_t)(HELD * CHUNK) && !strstr(path, ".gz");
}

ssize_t pread(int fd, void *buf, size_t len, off_t offset)
{
	return held_pread(fd, buf, len, offset);
}

static void change_raw(const char *name, uint64_t chunk)
{
	change(name, (off_t)(chunk * CHUNK));
	now[chunk * CHUNK] ^= 1;
}

/* What the first of the jobs does has come to this. */
static void wait_for_job(struct store *s, bool (*is)(const struct early *e))
{
	int64_t deadline_ns = clock_ns() + (int64_t)60 * 1000000000;

	for (bool there = false; !there; usleep(1000)) {
		lock_take(&s->lock);
		there = s->earlies && is(s->earlies);
		lock_drop(&s->lock);
		if (clock_ns() > deadline_ns)
			abort();
	}
}

static bool is_at_rest(const struct early *e)
{
	return e->complete && !e->busy;
}

static bool is_being_sealed(const struct early *e)
{
	return e->sealing;
}

static struct handle *open_it(struct store *s, struct node *n, int flags)
{
	struct handle *h = NULL;
	struct caller c = me();

	CHECK_EQ(store_open_node(s, &c, n, flags, &h), 0);
	return h;
}

static void what_was_compared_is_not_compared_again(void)
{
	struct store *s;

	begin();
	s = start_with(2);
	store_release(begin_file(s, "a"));
	wait_early(s, "compared_chunks", ALL);
	seal_all(s);
	CHECK_EQ(early(s, "reused_chunks"), CHUNKS);
	CHECK_EQ(early(s, "late_chunks"), 0);
	check_object(s, "a");
	close_store(s);
}

static void who_opens_it_to_write_has_it_compared_anew(void)
{
	struct store *s;
	struct handle *h;
	struct node *n;

	begin();
	s = start_with(2);
	store_release(begin_file(s, "a"));
	wait_early(s, "compared_chunks", ALL);
	n = node_of(s, "a");
	h = open_it(s, n, O_WRONLY);
	CHECK_EQ(early(s, "complete"), 1);
	CHECK_EQ(early(s, "compared_chunks"), 0);
	store_release(h);
	wait_early(s, "compared_chunks", ALL);
	h = open_it(s, n, O_RDONLY); /* a reader does not */
	CHECK_EQ(early(s, "compared_chunks"), ALL);
	store_release(h);
	/* One who comes while it is being compared. */
	h = open_it(s, n, O_WRONLY);
	hold();
	store_release(h);
	wait_for_reader();
	h = open_it(s, n, O_WRONLY);
	change_raw("a", 3); /* of what was compared */
	let_go();
	wait_for_job(s, is_at_rest);
	CHECK_EQ(early(s, "compared_chunks"), 0);
	store_release(h);
	node_unref(s, n, 1);
	seal_all(s);
	CHECK_EQ(early(s, "redone_chunks"), 1);
	check_object(s, "a");
	close_store(s);
}

static void a_change_behind_the_comparison_is_found(void)
{
	struct store *s;

	begin();
	s = start_with(2);
	store_release(begin_file(s, "a"));
	wait_early(s, "compared_chunks", ALL);
	change_raw("a", 70);
	seal_all(s);
	CHECK_EQ(early(s, "late_chunks"), ALL);
	CHECK_EQ(early(s, "redone_chunks"), 1);
	check_object(s, "a");
	close_store(s);
}

static void a_change_before_it_is_found_ahead(void)
{
	struct store *s;
	struct handle *h;

	begin();
	s = start_with(1);
	h = begin_file(s, "a");
	change_raw("a", 70);
	store_release(h);
	wait_early(s, "compared_chunks", 70);
	CHECK_EQ(early(s, "compared_chunks"), 70);
	seal_all(s);
	CHECK_EQ(early(s, "late_chunks"), 0);
	CHECK_EQ(early(s, "redone_chunks"), 1);
	check_object(s, "a");
	close_store(s);
}

static void a_seal_goes_on_where_the_comparison_is(void)
{
	struct store *s;
	struct handle *h;
	struct wait w;

	begin();
	s = start_with(1);
	h = begin_file(s, "a");
	hold();
	store_release(h);
	wait_for_reader();
	seal_begin(s, &w);
	wait_for_job(s, is_being_sealed);
	let_go();
	seal_end(&w);
	CHECK_EQ(early(s, "late_chunks"), ALL - (HELD + 1));
	CHECK_EQ(early(s, "redone_chunks"), 0);
	check_object(s, "a");
	close_store(s);
}

/* The mapping may live on, and no one sees what it writes (lib/pass.h). */
static void one_that_may_be_mapped_is_compared_behind_the_cut(void)
{
	struct store *s;
	struct handle *h;

	begin();
	s = start_with(2);
	h = begin_file(s, "a");
	lock_take(&s->lock);
	s->earlies->file->raw_mapped = true;
	lock_drop(&s->lock);
	store_release(h);
	wait_for_job(s, is_at_rest);
	CHECK_EQ(early(s, "compared_chunks"), 0);
	seal_all(s);
	CHECK_EQ(early(s, "late_chunks"), ALL);
	check_object(s, "a");
	close_store(s);
}

int main(void)
{
	early_begin();
	RUN(what_was_compared_is_not_compared_again);
	RUN(who_opens_it_to_write_has_it_compared_anew);
	RUN(a_change_behind_the_comparison_is_found);
	RUN(a_change_before_it_is_found_ahead);
	RUN(a_seal_goes_on_where_the_comparison_is);
	RUN(one_that_may_be_mapped_is_compared_behind_the_cut);
	return early_done();
}
