/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An object that a crash left between its final name and its record: the start does not wait until it was
 * read, and nothing is believed of it, nor lost with it, that was not compared with its raw file.
 */
#include "tests/unit/order_held.h"

#define BIG 600000 /* noise: its object is longer than a header can be */
#define BEHIND_HEADER 70000
#define ORPHAN ".notepackfs/tmp/orphan.*"
#define QUARANTINED ".notepackfs/quarantine/1.gz"

static char big[2 * BIG];

static bool is_held(const char *path, off_t offset)
{
	return offset >= BEHIND_HEADER &&
	       (matches("*/tmp/orphan.*", path) || matches("*/a.notepack.gz", path));
}

ssize_t pread(int fd, void *buf, size_t len, off_t offset)
{
	return held_pread(fd, buf, len, offset);
}

/* ---- the crash ---- */

static void die(void)
{
	_exit(0);
}

static void seal_and_die(void)
{
	struct store *s = start(NEVER_NS);

	put(s, "a", big, BIG);
	then("name a.notepack.gz", die);
	seal_all(s);
	_exit(1);
}

static void move_and_die(void)
{
	then("name " ORPHAN, die);
	(void)start(NEVER_NS);
	_exit(1);
}

static void read_and_die(void)
{
	deadly = true;
	seal_all(start(NEVER_NS));
	_exit(1);
}

static ino_t inode(const char *name)
{
	struct stat st = {0};

	(void)fstatat(dir.fd, name, &st, 0);
	return st.st_ino;
}

static ino_t crashed(void)
{
	begin();
	killed_in(seal_and_die);
	CHECK(scratch_has(&dir, "a") && scratch_has(&dir, "a.notepack.gz"));
	forget();
	return inode("a.notepack.gz");
}

static void grow(const char *name, const char *data, size_t len)
{
	CLEANUP_FD int fd = openat(dir.fd, name, O_WRONLY | O_APPEND | O_CLOEXEC);

	CHECK_EQ(io_write(fd, data, len), 0);
}

static int truncate_to(const char *name, off_t len)
{
	CLEANUP_FD int fd = openat(dir.fd, name, O_WRONLY | O_CLOEXEC);

	return ftruncate(fd, len);
}

static int orphans(void)
{
	return count_entries(&dir, ".notepackfs/tmp");
}

static int quarantined(void)
{
	return count_entries(&dir, ".notepackfs/quarantine");
}

static void run_to(int status)
{
	struct store *s;

	quiet();
	s = start(NEVER_NS);
	CHECK_EQ(store_close(s), status);
	loud();
}

/* All is as if there had been no crash; used: by the object that it left. */
static void check_sealed(ino_t object, bool used, const char *text, size_t len)
{
	CHECK(object_equals(&dir, "a.notepack.gz", text, len));
	CHECK_EQ(inode("a.notepack.gz") == object, used);
	CHECK(!scratch_has(&dir, "a"));
	CHECK_EQ(orphans(), 0);
}

/* ---- */

static void the_start_does_not_wait_until_it_was_read(void)
{
	ino_t object = crashed();
	struct caller c = me();
	struct handle *h;
	struct store *s;
	struct node *n;
	char text[100];

	alarm(60);
	hold();
	s = start(NEVER_NS);
	wait_for_reader();
	CHECK_EQ(store_lookup(s, store_root(s), "a", &n), 0);
	CHECK_EQ(store_open_node(s, &c, n, O_RDONLY, &h), 0);
	CHECK_EQ(store_read(h, text, sizeof(text), BIG / 2), (long long)sizeof(text));
	CHECK(memcmp(text, big + BIG / 2, sizeof(text)) == 0);
	CHECK(!scratch_has(&dir, "a.notepack.gz"));
	lock_take(&s->lock);
	CHECK_EQ(s->pending_files, 1);
	CHECK_EQ(s->pending_bytes, BIG);
	lock_drop(&s->lock);
	put(s, "b", "b", 1);
	let_go();
	seal_all(s);
	store_release(h);
	node_unref(s, n, 1);
	CHECK_EQ(store_close(s), 0);
	alarm(0);
	CHECK_TRACE(before("sync " ORPHAN, "name a.notepack.gz"));
	CHECK_TRACE(between("name a.notepack.gz", "sync .", MANIFEST));
	check_sealed(object, true, big, BIG);
	CHECK_EQ(quarantined(), 0);
	end();
}

/* Named bug: on btrfs a power cut left the object, whose name is now the orphan's, and not the raw file. */
static void the_raw_file_has_its_name_durably_before(void)
{
	int i;

	crashed();
	run_to(0);
	i = find("name " ORPHAN, 0);
	CHECK_TRACE(i > 0 && matches("sync .", trace[i - 1]));
	end();
}

static void one_that_is_damaged_is_kept_aside(void)
{
	ino_t object = crashed();

	change("a.notepack.gz", BIG / 2);
	run_to(0);
	check_sealed(object, false, big, BIG);
	CHECK_EQ(inode(QUARANTINED), object);
	end();
}

static int find_recovered(void *ctx, const struct sealed *rec, const char *d, const char *plain)
{
	char *name = ctx;

	if (strncmp(plain, "a.recovered-", 12) != 0)
		return 0;
	snprintf(name, NAME_BYTES, "%s.notepack.gz", plain);
	return 1;
}

/* A power cut took what was not synced, or someone else wrote it. */
static void one_with_other_bytes_is_kept_beside_them(void)
{
	static char changed[BIG + 4];
	char name[NAME_BYTES] = "";
	ino_t object = crashed();
	struct store *s;

	memcpy(changed, big, BIG);
	memcpy(changed + BIG, "more", 4);
	changed[BIG / 2] ^= 1;
	change("a", BIG / 2);
	grow("a", "more", 4);
	run_to(5); /* a file that may be open does not get another name */
	CHECK(scratch_has(&dir, "a"));
	CHECK_EQ(inode("a.notepack.gz"), object);
	quiet();
	s = start(NEVER_NS);
	seal_all(s);
	loud();
	CHECK_EQ(manifest_each(s->manifest, find_recovered, name), 1);
	CHECK_EQ(store_close(s), 0);
	check_sealed(object, true, big, BIG);
	CHECK(object_equals(&dir, name, changed, BIG + 4));
	CHECK_EQ(quarantined(), 0);
	end();
}

static void what_is_behind_its_range_is_a_part_of_its_own(void)
{
	ino_t object = crashed();

	grow("a", "more", 4);
	run_to(0);
	check_sealed(object, true, big, BIG);
	CHECK(seals_to("a.p000000002.notepack.gz", "more"));
	end();
}

/* The raw file has not all of its bytes: then it is the only copy, and is read at once. */
static void one_that_is_longer_than_the_raw_file_is_recorded(void)
{
	ino_t object = crashed();
	CHECK_EQ(truncate_to("a", BIG - 1), 0);
	run_to(0);
	check_sealed(object, true, big, BIG);
	CHECK_EQ(quarantined(), 0);
	CHECK_TRACE(was("name a.recovered-*.notepack.gz"));
	end();
}

/* Put off, it would be recorded behind the second: that would be there without it. */
static void one_with_a_part_behind_it_is_read_at_once(void)
{
	struct scratch other;
	struct store *s;
	ino_t object;

	scratch_init(&other);
	s = open_store(&other, 1, NEVER_NS);
	put(s, "a", big, BIG);
	seal_all(s);
	append(s, "a", big + BIG, BIG);
	seal_all(s);
	CHECK_EQ(store_close(s), 0);
	object = crashed();
	CLEANUP_FREE char *part = NULL;
	size_t len = 0;

	grow("a", big + BIG, BIG);
	CHECK_EQ(io_read_file(other.fd, "a.p000000002.notepack.gz", 3 * BIG, &part, &len), 0);
	scratch_put(&dir, "a.p000000002.notepack.gz", "");
	grow("a.p000000002.notepack.gz", part, len);
	run_to(0);
	check_sealed(object, true, big, BIG);
	CHECK(object_equals(&dir, "a.p000000002.notepack.gz", big + BIG, BIG));
	CHECK_EQ(quarantined(), 0);
	CHECK_TRACE(!was("name .notepackfs/tmp/orphan.*.1.gz"));
	scratch_release(&other);
	end();
}

static void it_outlives_another_crash(void)
{
	static void (*const how[])(void) = {move_and_die, read_and_die};

	for (size_t i = 0; i < ARRAY_LEN(how); i++) {
		ino_t object = crashed();

		killed_in(how[i]);
		CHECK_EQ(orphans(), 1);
		CHECK(!scratch_has(&dir, "a.notepack.gz"));
		run_to(0);
		check_sealed(object, true, big, BIG);
		CHECK_EQ(quarantined(), 0);
		end();
	}
}

/* Where a renaming is a link and an unlink, it may have both names. */
static void nor_do_two_names_of_it_confuse(void)
{
	ino_t object = crashed();

	killed_in(move_and_die);
	for (unsigned id = 0; id < 5000; id++) {
		char name[64];

		snprintf(name, sizeof(name), ".notepackfs/tmp/orphan.%u.1.gz", id);
		(void)syscall(SYS_linkat, dir.fd, name, dir.fd, "a.notepack.gz", 0);
	}
	CHECK_EQ(inode("a.notepack.gz"), object);
	run_to(0);
	check_sealed(object, true, big, BIG);
	CHECK_EQ(quarantined(), 0);
	end();
}

static void without_its_raw_file_it_is_kept_aside(void)
{
	ino_t object = crashed();

	killed_in(move_and_die);
	CHECK_EQ(unlinkat(dir.fd, "a", 0), 0);
	run_to(0);
	CHECK_EQ(orphans(), 0);
	CHECK_EQ(inode(QUARANTINED), object);
	CHECK(object_equals(&dir, QUARANTINED, big, BIG));
	end();
}

/* Read again at once, it is the better copy of what a power cut took from the raw file. */
static void a_raw_file_that_has_become_shorter_does_not_replace_it(void)
{
	ino_t object = crashed();

	killed_in(move_and_die);
	CHECK_EQ(truncate_to("a", 0), 0);
	run_to(0);
	CHECK_TRACE(right_behind("name a.notepack.gz", "sync ."));
	CHECK_TRACE(between("name a.notepack.gz", "sync .", MANIFEST));
	check_sealed(object, true, big, BIG);
	CHECK_EQ(quarantined(), 0);
	end();
}

static void it_goes_with_its_file(void)
{
	struct store *s;

	(void)crashed();
	alarm(60);
	hold();
	s = start(NEVER_NS);
	wait_for_reader();
	CHECK_EQ(remove_name(s, "a"), 0);
	let_go();
	CHECK_EQ(store_close(s), 0);
	alarm(0);
	CHECK_EQ(orphans() + quarantined(), 0);
	CHECK(!scratch_has(&dir, "a") && !scratch_has(&dir, "a.notepack.gz"));
	end();
}

static void a_stop_that_cannot_finish_leaves_it(void)
{
	ino_t object = crashed();

	CHECK_EQ(syscall(SYS_linkat, dir.fd, "a", dir.fd, ".notepackfs/link", 0), 0);
	run_to(5);
	CHECK_EQ(orphans(), 1);
	CHECK_EQ(unlinkat(dir.fd, ".notepackfs/link", 0), 0);
	run_to(0);
	check_sealed(object, true, big, BIG);
	end();

	object = crashed();
	change("a.notepack.gz", BIG / 2);
	fail_next("name " QUARANTINED, INT_MAX);
	run_to(5);
	CHECK_EQ(orphans(), 1);
	fail_next(NULL, 0);
	run_to(0);
	CHECK_EQ(inode(QUARANTINED), object);
	check_sealed(object, false, big, BIG);
	end();
}

int main(void)
{
	uint64_t x = 88172645463325252;

	for (size_t i = 0; i < sizeof(big); i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		big[i] = (char)x;
	}
	loud();
	RUN(the_start_does_not_wait_until_it_was_read);
	RUN(the_raw_file_has_its_name_durably_before);
	RUN(one_that_is_damaged_is_kept_aside);
	RUN(one_with_other_bytes_is_kept_beside_them);
	RUN(what_is_behind_its_range_is_a_part_of_its_own);
	RUN(one_that_is_longer_than_the_raw_file_is_recorded);
	RUN(one_with_a_part_behind_it_is_read_at_once);
	RUN(it_outlives_another_crash);
	RUN(nor_do_two_names_of_it_confuse);
	RUN(without_its_raw_file_it_is_kept_aside);
	RUN(a_raw_file_that_has_become_shorter_does_not_replace_it);
	RUN(it_goes_with_its_file);
	RUN(a_stop_that_cannot_finish_leaves_it);
	return unit_done();
}
