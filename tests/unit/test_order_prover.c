/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A raw file all of whose sealed bytes have a record: a start after a crash does not wait until it was
 * compared; it stays until it was, and nothing is lost where it differs.
 */
#include "tests/unit/prover_kit.h"

ssize_t pread(int fd, void *buf, size_t len, off_t offset)
{
	return held_pread(fd, buf, len, offset);
}

static void seal_two_remove_one_and_die(void)
{
	struct store *s = start(NEVER_NS);

	put(s, "a", big, BIG);
	fail_next("unlink a", 100);
	seal_all(s);
	append(s, "a", "more", 4);
	seal_all(s);
	CHECK_EQ(remove_name(s, "a.notepack.gz"), 0);
}

static void change_raw(void)
{
	memcpy(changed, big, BIG);
	changed[BIG / 2] ^= 1;
	change("a", BIG / 2);
}

/* ---- */

static void the_start_does_not_wait_until_it_was_read(void)
{
	struct store *s;

	crashed();
	alarm(60);
	hold();
	s = start(NEVER_NS);
	wait_for_reader();
	CHECK(reads(s, "a", big));
	put(s, "b", "b", 1);
	seal_all(s);
	CHECK(scratch_has(&dir, "b.notepack.gz"));
	append(s, "a", "more", 4);
	seal_all(s);
	CHECK(scratch_has(&dir, "a.p000000002.notepack.gz"));
	CHECK_EQ(rename_to(s, "a", "c"), 0);
	CHECK(reads(s, "c", big));
	CHECK(scratch_has(&dir, "c"));
	CHECK_TRACE(!was("unlink [ac]"));
	let_go();
	CHECK_EQ(store_close(s), 0);
	alarm(0);
	CHECK(!scratch_has(&dir, "c"));
	CHECK(object_equals(&dir, "c.notepack.gz", big, BIG));
	CHECK(seals_to("c.p000000002.notepack.gz", "more"));
	end();
}

static void one_that_was_removed_meanwhile_is_not_doubted(void)
{
	struct store *s;

	begin();
	killed_in(seal_two_parts_and_die);
	CHECK(scratch_has(&dir, "a") && scratch_has(&dir, "a.p000000002.notepack.gz"));
	alarm(60);
	hold();
	s = start(NEVER_NS);
	wait_for_reader();
	CHECK_EQ(remove_name(s, "a"), 0);
	let_go();
	CHECK_EQ(store_close(s), 0);
	alarm(0);
	CHECK(!scratch_has(&dir, "a") && !scratch_has(&dir, "a.notepack.gz"));
	end();
}

static void one_that_differs_is_kept_and_the_next_start_gives_it_a_name(void)
{
	struct store *s;

	crashed();
	change_raw();
	quiet();
	s = start(NEVER_NS);
	prover_finish(s);
	CHECK(reads(s, "a", big));
	CHECK_EQ(store_close(s), 5);
	CHECK_TRACE(before("mark a", "sync a"));
	CHECK(has_doubt("a"));
	forget();
	run_to(0);
	check_displaced();
	end();
}

/* Named risk: what is written while it is in doubt is under its name. */
static void what_is_appended_in_doubt_stays_under_its_name(void)
{
	crashed();
	change_raw();
	killed_in(append_in_doubt_and_die);
	CHECK(has_doubt("a"));
	run_to(5);
	CHECK(seals_to("a.p000000002.notepack.gz", "more"));
	forget();
	run_to(0);
	CHECK(object_equals(&dir, "a.notepack.gz", big, BIG));
	CHECK(seals_to("a.p000000002.notepack.gz", "more"));
	CHECK_TRACE(was("name a.recovered-*[0-9]"));
	CHECK(!scratch_has(&dir, "a"));
	end();
}

static void a_damaged_object_is_no_loss(void)
{
	struct store *s;

	crashed();
	change("a.notepack.gz", BIG / 2);
	quiet();
	s = start(NEVER_NS);
	CHECK(reads(s, "a", big));
	CHECK_EQ(store_close(s), 5);
	CHECK(has_doubt("a"));
	run_to(0);
	CHECK(object_equals(&dir, "a.notepack.gz", big, BIG));
	CHECK_EQ(count_entries(&dir, ".notepackfs/quarantine"), 1);
	CHECK(!scratch_has(&dir, "a"));
	end();
}

/* Neither has what was sealed: nothing is read there. */
static void what_both_have_lost_is_not_read(void)
{
	struct store *s;

	crashed();
	change_raw();
	change("a.notepack.gz", BIG / 2);
	quiet();
	s = start(NEVER_NS);
	CHECK(!reads(s, "a", big) && !reads(s, "a", changed));
	CHECK_EQ(store_close(s), 5);
	CHECK(scratch_has(&dir, "a") && scratch_has(&dir, "a.notepack.gz"));
	loud();
	end();
}

static void killed_while_it_is_read_the_next_start_reads_it(void)
{
	crashed();
	killed_in(read_and_die);
	killed_in(read_and_die);
	CHECK(!has_doubt("a"));
	CHECK(scratch_has(&dir, "a"));
	run_to(0);
	CHECK(object_equals(&dir, "a.notepack.gz", big, BIG));
	CHECK(!scratch_has(&dir, "a"));
	end();
}

/* It differs, and is the same again when the next start compares it. */
static void a_doubt_that_is_settled_is_forgotten(void)
{
	struct store *s;

	crashed();
	change_raw();
	run_to(5);
	change("a", BIG / 2);
	s = start(NEVER_NS);
	CHECK(scratch_has(&dir, "a") && !has_doubt("a"));
	CHECK_EQ(store_close(s), 0);
	CHECK(object_equals(&dir, "a.notepack.gz", big, BIG));
	end();
}

/* Named bug: the prover took the place of a part that had been removed for bytes that are in none. */
static void behind_a_removed_part_it_is_compared(void)
{
	struct store *s;

	begin();
	killed_in(seal_two_remove_one_and_die);
	s = start(NEVER_NS);
	prover_finish(s);
	CHECK(!has_doubt("a"));
	CHECK_EQ(store_close(s), 0);
	CHECK(!scratch_has(&dir, "a") && !scratch_has(&dir, "a.notepack.gz"));
	CHECK(seals_to("a.p000000002.notepack.gz", "more"));
	end();
}

static void its_first_part_may_be_removed_meanwhile(void)
{
	struct store *s;

	begin();
	killed_in(seal_two_parts_and_die);
	alarm(60);
	hold();
	s = start(NEVER_NS);
	wait_for_reader();
	CHECK_EQ(remove_name(s, "a.notepack.gz"), 0);
	let_go();
	CHECK_EQ(store_close(s), 0);
	alarm(0);
	CHECK(!scratch_has(&dir, "a") && !scratch_has(&dir, "a.notepack.gz"));
	CHECK(seals_to("a.p000000002.notepack.gz", "more"));
	end();
}

int main(void)
{
	loud();
	make_big();
	RUN(the_start_does_not_wait_until_it_was_read);
	RUN(one_that_was_removed_meanwhile_is_not_doubted);
	RUN(one_that_differs_is_kept_and_the_next_start_gives_it_a_name);
	RUN(what_is_appended_in_doubt_stays_under_its_name);
	RUN(a_damaged_object_is_no_loss);
	RUN(what_both_have_lost_is_not_read);
	RUN(killed_while_it_is_read_the_next_start_reads_it);
	RUN(a_doubt_that_is_settled_is_forgotten);
	RUN(behind_a_removed_part_it_is_compared);
	RUN(its_first_part_may_be_removed_meanwhile);
	return unit_done();
}
