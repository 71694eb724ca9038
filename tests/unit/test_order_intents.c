/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the next start makes of the intents of renames: none moves a file that has been moved on since.
 */
#include "lib/lazy.h"
#include "tests/unit/order_kit.h"

/* Both parts of with_two_parts are under this plain name, and nothing else is. */
static void check_only_name(const char *name)
{
	struct store *s = start(NEVER_NS);
	char stem[100], object[200];
	struct node *n;

	CHECK_EQ(store_lookup(s, store_root(s), name, &n), 0);
	CHECK_STR(n->name, name);
	CHECK_EQ(to_file(n)->part_count, 2);
	node_unref(s, n, 1);
	CHECK_EQ(store_close(s), 0);
	snprintf(stem, sizeof(stem), "%.*s", (int)name_stem_len(name, ".notepack"), name);
	snprintf(object, sizeof(object), "%s.notepack.gz", stem);
	CHECK(seals_to(object, "a"));
	snprintf(object, sizeof(object), "%s.p000000002.notepack.gz", stem);
	CHECK(seals_to(object, "more"));
	CHECK_EQ(count_entries(&dir, "."), 2);
}

/* Its records have the new name only with the next one. */
static void rename_without_its_end(struct store *s, const char *from, const char *to)
{
	then("name .notepackfs/manifest", fail_the_next_save);
	CHECK_EQ(rename_to(s, from, to), 0);
	CHECK(!then_do && !fail_times);
}

static void rename_on(void)
{
	struct store *s = with_two_parts();

	rename_without_its_end(s, "a", "b");
	CHECK_EQ(rename_to(s, "b", "c"), 0);
}

static void respell_and_rename(void)
{
	struct store *s = with_two_parts();

	rename_without_its_end(s, "a", "a.notepack");
	CHECK_EQ(rename_to(s, "a.notepack", "c"), 0);
}

static void rename_back(void)
{
	struct store *s = with_two_parts();

	rename_without_its_end(s, "a", "b");
	CHECK_EQ(rename_to(s, "b", "a"), 0);
}

static void one_without_an_end_ends_with_the_next_of_the_file(void)
{
	begin();
	killed_in(rename_on);
	check_only_name("c");
	end();
	begin();
	killed_in(respell_and_rename);
	check_only_name("c");
	end();
	begin();
	killed_in(rename_back);
	check_only_name("a");
	end();
}

static size_t intents_left(void)
{
	struct manifest_options options = {.read_only = true};
	struct manifest_error error = {.text = ""};
	const struct manifest_intent *list;
	struct manifest *m;
	size_t count;

	CHECK_EQ(manifest_open(dir.fd, &options, &m, &error), 0);
	count = manifest_intents(m, &list);
	manifest_close(m);
	return count;
}

/* Where something was left to the next start, no intent ends with the records. */
static void use_the_names_again(void)
{
	struct store *s = with_two_parts();

	lock_take(&s->lock);
	s->unsettled = true;
	lock_drop(&s->lock);
	rename_without_its_end(s, "a", "b");
	rename_without_its_end(s, "b", "c");
	put(s, "a", "another", 7);
	seal_all(s);
}

/* Not even one that would not be found again by its content: it is damaged. */
static void one_without_an_end_moves_no_other_file(void)
{
	static const char object[] = "a.notepack.gz";
	struct stat st;
	int fd;

	begin();
	killed_in(use_the_names_again);
	CHECK_EQ(intents_left(), 2);
	CHECK_EQ(fchmodat(dir.fd, object, 0644, 0), 0);
	fd = openat(dir.fd, object, O_WRONLY | O_CLOEXEC);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(pwrite(fd, "damage", 6, st.st_size - 8), 6);
	close(fd);
	quiet();
	CHECK_EQ(store_close(start(NEVER_NS)), 0);
	loud();
	CHECK(scratch_has(&dir, object));
	CHECK(seals_to("c.notepack.gz", "a"));
	CHECK(seals_to("c.p000000002.notepack.gz", "more"));
	end();
}

/* The records follow at the latest with what is committed lazily. */
static void rename_and_flush(void)
{
	struct store *s = with_two_parts();

	rename_without_its_end(s, "a", "b");
	CHECK_EQ(lazy_flush(s), 0);
}

static void one_without_an_end_ends_with_the_records(void)
{
	begin();
	killed_in(rename_and_flush);
	CHECK_EQ(intents_left(), 0);
	check_only_name("b");
	end();
}

/* It is undone, and the save of that fails. */
static void fail_to_rename(void)
{
	struct store *s = with_two_parts();

	fail_next("name b.p000000002.*", 1);
	then("name a.notepack.gz", fail_the_next_save);
	CHECK(rename_to(s, "a", "b") != 0);
	CHECK(!then_do && !fail_times);
	put(s, "x", "another", 7);
	seal_all(s);
	CHECK_EQ(remove_name(s, "x"), 0);
}

static void one_that_was_undone_ends_with_any_commit(void)
{
	begin();
	killed_in(fail_to_rename);
	check_only_name("a");
	end();
}

int main(void)
{
	loud();
	RUN(one_without_an_end_ends_with_the_next_of_the_file);
	RUN(one_without_an_end_moves_no_other_file);
	RUN(one_without_an_end_ends_with_the_records);
	RUN(one_that_was_undone_ends_with_any_commit);
	return unit_done();
}
