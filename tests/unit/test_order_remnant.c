/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a power cut left of a raw file: shorter, or with zeroes. If its objects have all else of it, it goes;
 * else nothing of it does.
 */
#include "tests/unit/prover_kit.h"

ssize_t pread(int fd, void *buf, size_t len, off_t offset)
{
	return held_pread(fd, buf, len, offset);
}

static void die(void)
{
	_exit(0);
}

/* Named bug: after a power cut the stop said that not all was sealed, and one more start was needed. */
static void zeroes_of_a_power_cut_are_no_difference(void)
{
	struct store *s;

	crashed();
	cut_to_zeroes("a", BIG - 100);
	s = start(NEVER_NS);
	prover_finish(s);
	CHECK(!has_doubt("a"));
	CHECK_TRACE(before("mark a", "sync a"));
	CHECK_EQ(store_close(s), 0);
	CHECK(!scratch_has(&dir, "a"));
	CHECK(object_equals(&dir, "a.notepack.gz", big, BIG));
	end();
}

/* Up to the block in which the parts end. */
static bool begins_with_hole(const char *name)
{
	CLEANUP_FD int fd = openat(dir.fd, name, O_RDONLY | O_CLOEXEC);

	return lseek(fd, 0, SEEK_DATA) >= BIG - 4096;
}

/* Named risk: where the raw file stays, for what is behind the parts, its zeroes are read. */
static void what_is_appended_to_a_remnant_is_behind_the_parts(void)
{
	struct store *s;

	crashed();
	cut_to_zeroes("a", BIG - 100);
	hold();
	s = start(NEVER_NS);
	wait_for_reader();
	append(s, "a", "more", 4);
	let_go();
	prover_finish(s);
	CHECK(reads(s, "a", big));
	CHECK(begins_with_hole("a"));
	CHECK_EQ(store_close(s), 0);
	CHECK(!scratch_has(&dir, "a"));
	CHECK(object_equals(&dir, "a.notepack.gz", big, BIG));
	CHECK(seals_to("a.p000000002.notepack.gz", "more"));
	end();
}

/* With O_APPEND, by who takes offset for the end. */
static ssize_t append_at(struct store *s, const char *name, const char *text, uint64_t offset)
{
	struct caller c = me();
	struct handle *h;
	struct node *n;
	ssize_t done;

	CHECK_EQ(store_lookup(s, store_root(s), name, &n), 0);
	CHECK_EQ(store_open_node(s, &c, n, O_WRONLY | O_APPEND, &h), 0);
	done = store_append(h, text, strlen(text), offset);
	store_release(h);
	node_unref(s, n, 1);
	return done;
}

/* Named bug: while someone else had it open, too, O_APPEND wrote where the remnant ended: below the sealed
 * length, where no one reads. */
static void what_is_appended_to_a_shorter_remnant_is_behind_the_parts(void)
{
	struct store *s;
	int survivor;

	crashed();
	cut_short("a", BIG / 2);
	survivor = openat(dir.fd, "a", O_WRONLY | O_APPEND | O_CLOEXEC);
	s = start(NEVER_NS);
	CHECK_EQ(append_at(s, "a", "more", BIG), 4);
	CHECK_EQ(append_at(s, "a", " and more", BIG + 4), 9);
	CHECK(reads(s, "a", big));
	close(survivor);
	CHECK_EQ(store_close(s), 0);
	CHECK(!scratch_has(&dir, "a"));
	CHECK(object_equals(&dir, "a.notepack.gz", big, BIG));
	CHECK(seals_to("a.p000000002.notepack.gz", "more and more"));
	end();
}

static void write_and_die(void)
{
	put(start(NEVER_NS), "a", big, BIG);
}

/* Named risk: behind a gap that is written over with zeroes they would be sealed. */
static void nothing_is_appended_behind_cut_bytes_that_are_missing(void)
{
	struct store *s;
	struct stat st;
	int other;

	begin();
	killed_in(write_and_die);
	other = openat(dir.fd, "a", O_WRONLY | O_CLOEXEC);
	hold();
	s = start(0);
	wait_for_reader();
	cut_short("a", BIG / 2);
	CHECK_EQ(append_at(s, "a", "more", BIG), -EIO);
	CHECK(fstat(other, &st) == 0 && st.st_size == BIG / 2);
	quiet();
	let_go();
	CHECK_EQ(store_close(s), 5);
	loud();
	close(other);
	CHECK(scratch_has(&dir, "a") && !scratch_has(&dir, "a.notepack.gz"));
	end();
}

static void what_was_cut_short_goes(void)
{
	crashed();
	cut_short("a", BIG / 2);
	run_to(0);
	CHECK(!scratch_has(&dir, "a"));
	CHECK(object_equals(&dir, "a.notepack.gz", big, BIG));
	CHECK_TRACE(!was("name a.recovered-*[0-9]"));
	end();
}

static void what_was_cut_short_and_differs_is_kept(void)
{
	char name[400];

	crashed();
	change("a", BIG / 4);
	cut_short("a", BIG / 2);
	run_to(0);
	CHECK(object_equals(&dir, "a.notepack.gz", big, BIG));
	CHECK(find_displaced(name, sizeof(name)));
	memcpy(changed, big, BIG / 2);
	changed[BIG / 4] ^= 1;
	CHECK(object_equals(&dir, name, changed, BIG / 2));
	end();
}

/* The object is damaged, and the raw file has not all of it: both are kept. */
static void a_remnant_of_a_damaged_object_is_kept(void)
{
	char name[400];

	crashed();
	cut_short("a", BIG / 2);
	change("a.notepack.gz", BIG * 3 / 4);
	run_to(0);
	CHECK(scratch_has(&dir, "a.notepack.gz"));
	CHECK(find_displaced(name, sizeof(name)));
	CHECK(object_equals(&dir, name, big, BIG / 2));
	end();
}

/* Named bug: what was written in doubt left its name with a remnant whose object is damaged. */
static void what_is_appended_in_doubt_stays_under_its_name(void)
{
	struct stat st;

	crashed();
	cut_to_zeroes("a", BIG - 100);
	CHECK_EQ(fstatat(dir.fd, "a.notepack.gz", &st, 0), 0);
	change("a.notepack.gz", st.st_size - 2); /* its length at the end */
	killed_in(append_in_doubt_and_die);
	CHECK(has_doubt("a"));
	run_to(5);
	CHECK(seals_to("a.p000000002.notepack.gz", "more"));
	end();
}

static void seal_and_name_and_die(void)
{
	struct store *s = start(NEVER_NS);

	put(s, "a", big, BIG);
	then("name a.notepack.gz", die);
	seal_all(s);
}

/* Named risk: no record says that the object is that file's; it may be a removed one's, that came back. */
static void beside_an_object_without_a_record_it_is_another_file(void)
{
	char name[400];

	begin();
	killed_in(seal_and_name_and_die);
	CHECK(scratch_has(&dir, "a") && scratch_has(&dir, "a.notepack.gz"));
	cut_short("a", BIG / 2);
	run_to(0);
	CHECK(object_equals(&dir, "a.notepack.gz", big, BIG));
	CHECK(find_displaced(name, sizeof(name)));
	CHECK(object_equals(&dir, name, big, BIG / 2));
	end();
}

int main(void)
{
	loud();
	make_big();
	RUN(zeroes_of_a_power_cut_are_no_difference);
	RUN(what_is_appended_to_a_remnant_is_behind_the_parts);
	RUN(what_is_appended_to_a_shorter_remnant_is_behind_the_parts);
	RUN(nothing_is_appended_behind_cut_bytes_that_are_missing);
	RUN(what_was_cut_short_goes);
	RUN(what_was_cut_short_and_differs_is_kept);
	RUN(a_remnant_of_a_damaged_object_is_kept);
	RUN(what_is_appended_in_doubt_stays_under_its_name);
	RUN(beside_an_object_without_a_record_it_is_another_file);
	return unit_done();
}
