/* SPDX-License-Identifier: BSD-2-Clause */
/* Which files someone may append to past the store, and what he has to do with it who has one open beside him. */
#include "tests/unit/pass_kit.h"

/* ---- which handles ---- */

static void only_who_can_do_nothing_but_append_is_passed(void)
{
	static const int others[] = {O_RDONLY,
				     O_WRONLY,
				     O_RDWR,
				     O_RDWR | O_APPEND,
				     O_WRONLY | O_APPEND | O_DIRECT,
				     O_WRONLY | O_APPEND | O_DSYNC,
				     O_WRONLY | O_APPEND | O_SYNC};
	struct store *s;

	begin();
	s = start(NEVER_NS);
	put(s, "a", "a", 1);
	CHECK(may_begin(s, "a", O_WRONLY | O_APPEND));
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		CHECK(!may_begin(s, "a", others[i]));
	CHECK_EQ(store_close(s), 0);
	end();
}

static void only_a_file_that_is_all_in_its_raw_file_is_passed(void)
{
	struct store *s;
	struct handle *h;
	struct node *n;

	begin();
	s = start(NEVER_NS);
	put(s, "sealed", "a", 1);
	seal_all(s);
	append(s, "sealed", "b", 1); /* its raw file begins behind the part */
	CHECK(!may_begin(s, "sealed", O_WRONLY | O_APPEND));
	put(s, "gz.notepack.gz", "", 0);
	CHECK(!may_begin(s, "gz.notepack.gz", O_WRONLY | O_APPEND));
	h = create(s, "mapped", &n);
	CHECK_EQ(store_write(h, "x", 1, 0, true), 1);
	CHECK(!may_begin(s, "mapped", O_WRONLY | O_APPEND));
	store_release(h);
	CHECK(may_begin(s, "mapped", O_WRONLY | O_APPEND));
	node_unref(s, n, 1);
	CHECK_EQ(store_close(s), 0);
	end();
}

static void who_has_to_be_slowed_or_refused_is_not_passed(void)
{
	struct store *s;

	begin();
	s = start(NEVER_NS);
	put(s, "a", "a", 1);
	lock_take(&s->lock);
	s->options.backlog_bytes = 1;
	s->pending_bytes += 2;
	lock_drop(&s->lock);
	CHECK(!may_begin(s, "a", O_WRONLY | O_APPEND));
	lock_take(&s->lock);
	s->pending_bytes -= 2;
	s->options.reserve_bytes = (uint64_t)1 << 60;
	lock_drop(&s->lock);
	CHECK(!may_begin(s, "a", O_WRONLY | O_APPEND));
	lock_take(&s->lock);
	s->options.reserve_bytes = 0;
	s->options.rotate_bytes = 1 << 30;
	lock_drop(&s->lock);
	CHECK(!may_begin(s, "a", O_WRONLY | O_APPEND));
	lock_take(&s->lock);
	s->options.rotate_bytes = 0;
	lock_drop(&s->lock);
	CHECK(may_begin(s, "a", O_WRONLY | O_APPEND));
	CHECK_EQ(store_close(s), 0);
	end();
}

/* Another one, while it is passed to the appender. */
static struct handle *open_beside(struct appender *a, int flags)
{
	struct handle *h;

	CHECK_EQ(open_flags(a->s, a->n, flags, &h), 0);
	CHECK_EQ(store_pass_too(h), STORE_PASS_BESIDE);
	return h;
}

/* ---- mappings ---- */

static bool has_hole(struct appender *a)
{
	bool has;

	CHECK_EQ(punch(a->s, "a"), 0);
	lock_take(&a->s->lock);
	has = to_file(a->n)->raw_base > 0;
	lock_drop(&a->s->lock);
	return has;
}

static void no_hole_is_made_that_someone_could_see(void)
{
	struct handle *keeps, *reader;
	struct appender a;

	begin();
	a = start_appending();
	append_past(&a, LINE);
	seal_all(a.s);
	CHECK(!has_hole(&a));
	reader = open_beside(&a, O_RDONLY);
	store_release(reader);				     /* but not what he has mapped */
	CHECK_EQ(open_flags(a.s, a.n, O_WRONLY, &keeps), 0); /* as behind all of them */
	store_release(a.h);
	CHECK(!has_hole(&a));
	a.h = keeps;
	release(&a);
	CHECK_EQ(store_close(a.s), 0);
	end();
}

static void a_hole_is_made_when_no_one_can_see_it(void)
{
	struct handle *beside, *keeps;
	struct appender a;

	begin();
	a = start_appending();
	append_past(&a, LINE);
	seal_all(a.s);
	/* He can neither read nor map it, but whoever comes while he is there can. */
	beside = open_beside(&a, O_WRONLY);
	CHECK_EQ(open_flags(a.s, a.n, O_WRONLY, &keeps), 0);
	store_release(a.h);
	CHECK(!has_hole(&a));
	store_release(beside);
	CHECK(has_hole(&a));
	a.h = keeps;
	CHECK(!may_begin(a.s, "a", O_WRONLY | O_APPEND));
	release(&a);
	CHECK_EQ(store_close(a.s), 0);
	end();
}

/* Named bug: it was sealed and removed, and who came next appended to the file that was removed. */
static void it_stays_while_the_kernel_has_it_for_anyone(void)
{
	struct handle *reader, *next;
	struct appender a;

	begin();
	a = start_appending();
	append_past(&a, LINE);
	reader = open_beside(&a, O_RDONLY);
	store_release(a.h);
	seal_all(a.s);
	CHECK(scratch_has(&dir, "a.notepack.gz"));
	CHECK(scratch_has(&dir, "a"));
	CHECK_EQ(open_flags(a.s, a.n, O_WRONLY | O_APPEND, &next), 0);
	CHECK_EQ(store_pass_too(next), STORE_PASS_ALIKE);
	append_past(&a, LINE);
	store_release(reader);
	store_release(next);
	seal_all(a.s);
	CHECK(object_equals(&dir, "a.p000000002.notepack.gz", LINE, LINE_BYTES));
	close(a.fd);
	node_unref(a.s, a.n, 1);
	CHECK_EQ(store_close(a.s), 0);
	CHECK(!scratch_has(&dir, "a"));
	end();
}

/* … nor is he given it who comes when all have been released. */
static void none_is_given_it_behind_the_last(void)
{
	struct appender a;
	struct handle *next;

	begin();
	a = start_appending();
	append_past(&a, LINE);
	store_release(a.h);
	CHECK_EQ(open_flags(a.s, a.n, O_WRONLY | O_APPEND, &next), 0);
	CHECK_EQ(store_pass_too(next), STORE_PASS_OVER);
	CHECK(store_pass(next) >= 0);
	a.h = next;
	release(&a);
	CHECK_EQ(store_close(a.s), 0);
	end();
}

static void what_someone_may_have_changed_is_compared(void)
{
	struct handle *writer;
	struct appender a;

	begin();
	a = start_appending();
	append_past(&a, LINE);
	writer = open_beside(&a, O_RDWR);
	store_release(writer);
	release(&a);
	seal_all(a.s);
	CHECK_EQ(store_close(a.s), 0);
	CHECK(!scratch_has(&dir, "a")); /* it was the same */
	end();
}

static bool is_kept(struct appender *a)
{
	bool kept;

	lock_take(&a->s->lock);
	kept = to_file(a->n)->kept;
	lock_drop(&a->s->lock);
	return kept;
}

/* Not even if it was the same when it was sealed. */
static void what_someone_has_changed_is_kept(void)
{
	struct handle *writer;
	struct appender a;
	int mapping;

	begin();
	a = start_appending();
	append_past(&a, LINE);
	mapping = openat(dir.fd, "a", O_RDWR | O_CLOEXEC);
	writer = open_beside(&a, O_RDWR);
	store_release(writer);
	close(a.fd);
	store_release(a.h);
	seal_all(a.s);
	while (!is_kept(&a))
		usleep(1000);
	CHECK_EQ(pwrite(mapping, "L", 1, 0), 1);
	close(mapping);
	node_unref(a.s, a.n, 1);
	log_open("test_pass", false, LOG_CRIT);
	CHECK_EQ(store_close(a.s), 5);
	loud();
	CHECK(scratch_has(&dir, "a") && seals_to("a.notepack.gz", LINE));
	end();
}

/* The kernel asks for no FSYNC behind it. */
static void a_write_of_dsync_beside_an_appender_is_on_disk(void)
{
	struct handle *writer;
	struct appender a;

	begin();
	a = start_appending();
	append_past(&a, LINE);
	writer = open_beside(&a, O_WRONLY | O_DSYNC);
	forget();
	CHECK_EQ(store_write(writer, "L", 1, 0, false), 1);
	CHECK_TRACE(was("sync a"));
	store_release(writer);
	release(&a);
	CHECK_EQ(store_close(a.s), 0);
	end();
}

int main(void)
{
	loud();
	RUN(only_who_can_do_nothing_but_append_is_passed);
	RUN(only_a_file_that_is_all_in_its_raw_file_is_passed);
	RUN(who_has_to_be_slowed_or_refused_is_not_passed);
	RUN(no_hole_is_made_that_someone_could_see);
	RUN(a_hole_is_made_when_no_one_can_see_it);
	RUN(it_stays_while_the_kernel_has_it_for_anyone);
	RUN(none_is_given_it_behind_the_last);
	RUN(what_someone_may_have_changed_is_compared);
	RUN(what_someone_has_changed_is_kept);
	RUN(a_write_of_dsync_beside_an_appender_is_on_disk);
	return unit_done();
}
