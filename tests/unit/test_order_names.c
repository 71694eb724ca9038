/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Renames and removals that fail on their way; directories, and whether they are durable.
 */
#include "tests/unit/order_kit.h"

/* The file e in the directory d, with four bytes; open. */
static struct handle *create_in_dir(struct store *s)
{
	struct caller c = me();
	struct node *n, *d;
	struct handle *h;

	CHECK_EQ(store_mkdir(s, &c, store_root(s), "d", 0755, &d), 0);
	CHECK_EQ(store_create(s, &c, d, "e", 0644, O_WRONLY, &n, &h), 0);
	CHECK_EQ(store_write(h, "text", 4, 0, false), 4);
	node_unref(s, n, 1);
	node_unref(s, d, 1);
	return h;
}

/* ---- files ---- */

static void get_in_the_way(void)
{
	scratch_put(&dir, "a.notepack.gz", "in the way");
}

static void names_that_cannot_be_moved_back_are_left_to_the_next_start(void)
{
	struct store *s;

	begin();
	s = with_two_parts();
	quiet();
	then("name b.notepack.gz", get_in_the_way);
	fail_next("name b.p000000002.*", 1);
	CHECK(rename_to(s, "a", "b") != 0);
	CHECK(!then_do && !fail_times);
	CHECK_EQ(store_close(s), 5);
	CHECK_EQ(unlinkat(dir.fd, "a.notepack.gz", 0), 0);
	CHECK_EQ(store_close(start(NEVER_NS)), 0);
	loud();
	CHECK(seals_to("b.notepack.gz", "a"));
	CHECK(seals_to("b.p000000002.notepack.gz", "more"));
	end();
}

static void fail_to_rename_a_file(void)
{
	struct store *s = with_two_parts();

	fail_next("name b.p000000002.*", 1);
	CHECK(rename_to(s, "a", "b") != 0);
}

static void fail_to_rename_a_directory(void)
{
	struct store *s = start(NEVER_NS);

	store_release(create_in_dir(s));
	seal_all(s);
	fail_next("name f", 1);
	CHECK(rename_to(s, "d", "f") != 0);
}

static void a_renaming_that_failed_is_not_completed_by_the_next_start(void)
{
	begin();
	killed_in(fail_to_rename_a_file);
	CHECK_EQ(store_close(start(NEVER_NS)), 0);
	CHECK(seals_to("a.notepack.gz", "a"));
	CHECK(seals_to("a.p000000002.notepack.gz", "more"));
	end();

	begin();
	killed_in(fail_to_rename_a_directory);
	CHECK_EQ(store_close(start(NEVER_NS)), 0);
	CHECK(seals_to("d/e.notepack.gz", "text"));
	end();
}

static void rename_and_use_the_name_again(void)
{
	struct store *s = with_two_parts();

	CHECK_EQ(rename_to(s, "a", "b"), 0);
	CHECK_EQ(rename_to(s, "b", "c"), 0);
	put(s, "a", "another", 7);
	seal_all(s);
}

static void a_renaming_that_is_complete_is_not_repeated_by_the_next_start(void)
{
	begin();
	killed_in(rename_and_use_the_name_again);
	CHECK_EQ(store_close(start(NEVER_NS)), 0);
	CHECK(seals_to("a.notepack.gz", "another"));
	CHECK(seals_to("c.notepack.gz", "a"));
	CHECK(seals_to("c.p000000002.notepack.gz", "more"));
	end();
}

static void rename_without_its_end_and_use_the_name_again(void)
{
	struct store *s = with_two_parts();

	then("name b.p000000002.*", fail_the_next_save);
	CHECK_EQ(rename_to(s, "a", "b"), 0);
	CHECK(!then_do && !fail_times);
	CHECK_EQ(rename_to(s, "b", "c"), 0);
	put(s, "a", "another", 7);
	seal_all(s);
}

static void a_renaming_whose_end_came_later_is_not_repeated_either(void)
{
	begin();
	killed_in(rename_without_its_end_and_use_the_name_again);
	CHECK_EQ(store_close(start(NEVER_NS)), 0);
	CHECK(seals_to("a.notepack.gz", "another"));
	CHECK(seals_to("c.notepack.gz", "a"));
	CHECK(seals_to("c.p000000002.notepack.gz", "more"));
	end();
}

/* It has no first part any more, so no object is in the way of the new one's. */
static void what_cannot_be_removed_is_not_replaced(void)
{
	struct store *s;

	begin();
	s = with_two_parts();
	CHECK_EQ(remove_name(s, "a.notepack.gz"), 0);
	put(s, "new", "text", 4);
	seal_all(s);
	quiet();
	fail_next(SAVE, 1);
	CHECK_EQ(rename_to(s, "new", "a"), -EIO);
	loud();
	CHECK(seals_to("new.notepack.gz", "text"));
	CHECK(seals_to("a.p000000002.notepack.gz", "more"));
	CHECK_EQ(store_close(s), 0);
	end();
}

static void a_first_part_stays_that_the_manifest_cannot_forget(void)
{
	struct store *s;

	begin();
	s = with_two_parts();
	quiet();
	fail_next(SAVE, 1);
	CHECK_EQ(remove_name(s, "a.notepack.gz"), -EIO);
	loud();
	CHECK(seals_to("a.notepack.gz", "a"));
	CHECK_EQ(store_close(s), 0);
	end();
}

static void an_object_that_could_not_go_goes_at_the_stop(void)
{
	struct store *s;

	begin();
	s = with_two_parts();
	quiet();
	fail_next("unlink a.p000000002.*", 1);
	(void)remove_name(s, "a");
	loud();
	CHECK(scratch_has(&dir, "a.p000000002.notepack.gz"));
	CHECK_EQ(store_close(s), 0);
	CHECK(!scratch_has(&dir, "a.p000000002.notepack.gz"));
	end();
}

static void remove_without_unlinking(void)
{
	struct store *s = with_two_parts();

	fail_next("unlink a*", 1000);
	(void)remove_name(s, "a");
}

static void what_was_removed_does_not_come_back(void)
{
	begin();
	killed_in(remove_without_unlinking);
	CHECK(scratch_has(&dir, "a.notepack.gz"));
	quiet();
	CHECK_EQ(store_close(start(NEVER_NS)), 0);
	loud();
	CHECK_EQ(count_entries(&dir, "."), 0);
	end();
}

static void a_raw_file_that_is_open_for_writing_stays(void)
{
	struct handle *h;
	struct store *s;

	begin();
	s = start(NEVER_NS);
	h = create(s, "a", NULL);
	CHECK_EQ(store_write(h, "line\n", 5, 0, false), 5);
	CHECK_EQ(store_fsync(h), 0);
	forget();
	seal_all(s);
	CHECK(seals_to("a.notepack.gz", "line\n"));
	CHECK_TRACE(!was("unlink a"));
	CHECK(scratch_has(&dir, "a"));
	store_release(h);
	CHECK_EQ(store_close(s), 0);
	CHECK(!scratch_has(&dir, "a"));
	end();
}

static void keep_the_raw_file(void)
{
	with_raw_file_kept();
}

static void a_raw_file_that_someone_else_writes_stays(void)
{
	struct store *s;
	int fd;

	begin();
	killed_in(keep_the_raw_file);
	fd = openat(dir.fd, "a", O_WRONLY | O_APPEND | O_CLOEXEC);
	CHECK(fd >= 0);
	quiet();
	s = start(0);
	seal_all(s);
	CHECK_EQ(store_close(s), 5);
	CHECK(has_text("a", "text"));
	close(fd);
	CHECK_EQ(store_close(start(0)), 0);
	loud();
	CHECK(!scratch_has(&dir, "a"));
	end();
}

static atomic_int fail_identity; /* of a raw file that is made */

int statx(int dirfd, const char *name, int flags, unsigned mask, struct statx *st)
{
	char link[64], path[PATH_MAX] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
	if (atomic_load(&fail_identity) && !*name &&
	    readlink(link, path, sizeof(path) - 1) > 0 &&
	    (matches("*/tmp/raw.*", path) || matches("*/notepackfs-unit-*/a", path)) &&
	    atomic_fetch_sub(&fail_identity, 1) == 1)
		return refuse();
	return (int)syscall(SYS_statx, dirfd, name, flags, mask, st);
}

static void a_raw_file_that_could_not_be_made_is_not_there(void)
{
	static const char *const names[] = {"a", NULL};
	struct caller c = me();
	struct handle *h;
	struct store *s;
	struct node *n;

	begin();
	sealed_store(names);
	s = start(NEVER_NS);
	CHECK_EQ(store_lookup(s, store_root(s), "a", &n), 0);
	CHECK_EQ(store_open_node(s, &c, n, O_WRONLY | O_APPEND, &h), 0);
	atomic_store(&fail_identity, 1);
	CHECK_EQ(store_write(h, "more", 4, 1, false), -EIO);
	CHECK_EQ(atomic_load(&fail_identity), 0);
	CHECK(!scratch_has(&dir, "a"));
	CHECK_EQ(count_entries(&dir, ".notepackfs/tmp"), 0);
	CHECK_EQ(store_write(h, "more", 4, 1, false), 4);
	store_release(h);
	node_unref(s, n, 1);
	CHECK_EQ(store_close(s), 0);
	CHECK(seals_to("a.p000000002.notepack.gz", "more"));
	end();
}

/* ---- directories ---- */

static int note_dir(void *ctx, const struct sealed *rec, const char *d, const char *plain)
{
	snprintf(ctx, NAME_BYTES + 1, "%s", d);
	return 1;
}

static void a_renamed_directory_is_recorded(void)
{
	char path[NAME_BYTES + 1] = "";
	struct store *s;

	begin();
	s = start(NEVER_NS);
	store_release(create_in_dir(s));
	seal_all(s);
	quiet();
	fail_next(SAVE, 1);
	forget();
	CHECK_EQ(rename_to(s, "d", "f"), -EIO);
	loud();
	CHECK_TRACE(!was("name f"));
	CHECK_EQ(rename_to(s, "d", "f"), 0);
	manifest_each(s->manifest, note_dir, path);
	CHECK_STR(path, "f");
	CHECK_EQ(store_close(s), 0);
	end();
}

static void a_renaming_of_a_directory_that_is_not_recorded_is_undone(void)
{
	struct store *s;

	begin();
	s = start(NEVER_NS);
	store_release(create_in_dir(s));
	seal_all(s);
	quiet();
	then("name f", fail_the_next_save);
	CHECK_EQ(rename_to(s, "d", "f"), -EIO);
	CHECK(!then_do && !fail_times);
	CHECK(seals_to("d/e.notepack.gz", "text"));
	CHECK_EQ(store_close(s), 0);
	CHECK_EQ(store_close(start(NEVER_NS)), 0);
	loud();
	CHECK(seals_to("d/e.notepack.gz", "text"));
	end();
}

static void get_in_the_way_of_the_directory(void)
{
	fail_the_next_save();
	CHECK_EQ(mkdirat(dir.fd, "d", 0755), 0);
	scratch_put(&dir, "d/x", "in the way");
}

/* Something has its old name; or it has replaced an empty one, which was there for the user. */
static void one_that_cannot_be_undone_is_completed_by_the_next_start(void)
{
	struct caller c = me();

	for (int i = 0; i < 2; i++) {
		char path[NAME_BYTES + 1] = "";
		struct store *s;
		struct node *n;

		begin();
		s = start(NEVER_NS);
		store_release(create_in_dir(s));
		if (i == 1) {
			CHECK_EQ(store_mkdir(s, &c, store_root(s), "f", 0755, &n), 0);
			node_unref(s, n, 1);
		}
		seal_all(s);
		quiet();
		then("name f", i == 0 ? get_in_the_way_of_the_directory : fail_the_next_save);
		CHECK_EQ(rename_to(s, "d", "f"), -EIO);
		CHECK_EQ(store_close(s), 5);
		s = start(NEVER_NS);
		manifest_each(s->manifest, note_dir, path);
		CHECK_STR(path, "f");
		CHECK_EQ(store_close(s), 0);
		loud();
		CHECK(seals_to("f/e.notepack.gz", "text"));
		end();
	}
}

static void a_directory_that_could_not_be_synced_is_synced_again(void)
{
	static const char *const dirs[] = {"sync d", "sync ."};
	struct handle *h;
	struct store *s;

	begin();
	s = start(NEVER_NS);
	h = create_in_dir(s);
	for (int i = 0; i < 2; i++) {
		quiet();
		fail_next(dirs[i], 1);
		CHECK_EQ(store_fsync(h), -EIO);
		loud();
	}
	forget();
	CHECK_EQ(store_fsync(h), 0);
	CHECK_TRACE(before("sync d", "sync ."));
	forget();
	CHECK_EQ(store_fsync(h), 0);
	CHECK_TRACE(!was("sync d") && !was("sync ."));
	CHECK_EQ(rename_to(s, "d", "f"), 0);
	forget();
	CHECK_EQ(store_fsync(h), 0);
	CHECK_TRACE(was("sync ."));
	store_release(h);
	CHECK_EQ(store_close(s), 0);
	end();
}

static void a_private_directory_that_may_be_lost_is_none(void)
{
	static const char *const dirs[] = {"sync .notepackfs", "sync ."};

	for (int i = 0; i < 2; i++) {
		begin();
		fail_next(dirs[i], 1);
		CHECK_EQ(layout_create(dir.fd), -EIO);
		end();
	}
}

int main(void)
{
	loud();
	RUN(names_that_cannot_be_moved_back_are_left_to_the_next_start);
	RUN(a_renaming_that_failed_is_not_completed_by_the_next_start);
	RUN(a_renaming_that_is_complete_is_not_repeated_by_the_next_start);
	RUN(a_renaming_whose_end_came_later_is_not_repeated_either);
	RUN(what_cannot_be_removed_is_not_replaced);
	RUN(a_first_part_stays_that_the_manifest_cannot_forget);
	RUN(an_object_that_could_not_go_goes_at_the_stop);
	RUN(what_was_removed_does_not_come_back);
	RUN(a_raw_file_that_is_open_for_writing_stays);
	RUN(a_raw_file_that_someone_else_writes_stays);
	RUN(a_raw_file_that_could_not_be_made_is_not_there);
	RUN(a_renamed_directory_is_recorded);
	RUN(a_renaming_of_a_directory_that_is_not_recorded_is_undone);
	RUN(one_that_cannot_be_undone_is_completed_by_the_next_start);
	RUN(a_directory_that_could_not_be_synced_is_synced_again);
	RUN(a_private_directory_that_may_be_lost_is_none);
	return unit_done();
}
