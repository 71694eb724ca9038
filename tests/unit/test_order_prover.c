/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A raw file all of whose sealed bytes have a record: a start after a crash does not wait until it was
 * compared; it stays until it was, and nothing is lost where it differs.
 */
#include "tests/unit/order_held.h"

#include "lib/prover.h"

#define BIG 600000

static char big[BIG], changed[BIG];

static bool is_held(const char *path, off_t offset)
{
	return offset < BIG && (matches("*/a", path) || matches("*/c", path));
}

/* ---- the crash ---- */

static void seal_and_die(void)
{
	struct store *s = start(NEVER_NS);

	put(s, "a", big, BIG);
	fail_next("unlink a", 1);
	seal_all(s);
}

static void seal_two_parts_and_die(void)
{
	struct store *s = start(NEVER_NS);

	put(s, "a", big, BIG);
	fail_next("unlink a", 2);
	seal_all(s);
	append(s, "a", "more", 4);
	seal_all(s);
}

static void read_and_die(void)
{
	deadly = true;
	prover_finish(start(NEVER_NS));
	_exit(1);
}

static void append_in_doubt_and_die(void)
{
	struct store *s = start(NEVER_NS);

	prover_finish(s);
	append(s, "a", "more", 4);
}

static void crashed(void)
{
	begin();
	killed_in(seal_and_die);
	CHECK(scratch_has(&dir, "a") && scratch_has(&dir, "a.notepack.gz"));
	forget();
}

static void change(const char *name, off_t at)
{
	CLEANUP_FD int fd = openat(dir.fd, name, O_RDWR | O_CLOEXEC);
	char c;

	CHECK_EQ(fchmod(fd, 0600), 0);
	CHECK_EQ(syscall(SYS_pread64, fd, &c, 1, at), 1);
	c ^= 1;
	CHECK_EQ(syscall(SYS_pwrite64, fd, &c, 1, at), 1);
}

/* As a power cut leaves it: its length, or the bytes behind an fsync, were not on the disk yet. */
static void cut_short(const char *name, off_t at)
{
	CLEANUP_FD int fd = openat(dir.fd, name, O_RDWR | O_CLOEXEC);

	CHECK_EQ(ftruncate(fd, at), 0);
}

static void cut_to_zeroes(const char *name, off_t at)
{
	cut_short(name, at);
	CLEANUP_FD int fd = openat(dir.fd, name, O_RDWR | O_CLOEXEC);

	CHECK_EQ(ftruncate(fd, BIG), 0);
}

static bool has_doubt(const char *name)
{
	CLEANUP_FD int fd = openat(dir.fd, name, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && raw_has_doubt(fd);
}

static void run_to(int status)
{
	struct store *s;

	quiet();
	s = start(NEVER_NS);
	CHECK_EQ(store_close(s), status);
	loud();
}

static bool reads(struct store *s, const char *name, const char *want)
{
	static char text[BIG];
	struct caller c = me();
	struct handle *h;
	struct node *n;
	bool same;

	CHECK_EQ(store_lookup(s, store_root(s), name, &n), 0);
	CHECK_EQ(store_open_node(s, &c, n, O_RDONLY, &h), 0);
	same = store_read(h, text, BIG, 0) == BIG && memcmp(text, want, BIG) == 0;
	store_release(h);
	node_unref(s, n, 1);
	return same;
}

/* The name that another file was given. */
static bool find_displaced(char *name, size_t size)
{
	int i = find("name a.recovered-*[0-9]", 0);

	if (i < 0)
		return false;
	snprintf(name, size, "%.255s.notepack.gz", trace[i] + strlen("name "));
	return true;
}

/* The object has what was sealed, the raw file is under another name. */
static void check_displaced(void)
{
	char name[400];

	CHECK(object_equals(&dir, "a.notepack.gz", big, BIG));
	CHECK(!scratch_has(&dir, "a"));
	CHECK(find_displaced(name, sizeof(name)));
	CHECK(object_equals(&dir, name, changed, BIG));
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
	CHECK_EQ(store_close(s), 0);
	CHECK(!scratch_has(&dir, "a"));
	CHECK(object_equals(&dir, "a.notepack.gz", big, BIG));
	CHECK(seals_to("a.p000000002.notepack.gz", "more"));
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

int main(void)
{
	unsigned seed = 1;

	loud();
	for (size_t i = 0; i < BIG; i++)
		big[i] = (char)rand_r(&seed);
	RUN(the_start_does_not_wait_until_it_was_read);
	RUN(one_that_was_removed_meanwhile_is_not_doubted);
	RUN(one_that_differs_is_kept_and_the_next_start_gives_it_a_name);
	RUN(what_is_appended_in_doubt_stays_under_its_name);
	RUN(a_damaged_object_is_no_loss);
	RUN(what_both_have_lost_is_not_read);
	RUN(killed_while_it_is_read_the_next_start_reads_it);
	RUN(a_doubt_that_is_settled_is_forgotten);
	RUN(zeroes_of_a_power_cut_are_no_difference);
	RUN(what_is_appended_to_a_remnant_is_behind_the_parts);
	RUN(what_was_cut_short_goes);
	RUN(what_was_cut_short_and_differs_is_kept);
	RUN(a_remnant_of_a_damaged_object_is_kept);
	return unit_done();
}
