/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is durable before what. The crash tests see what an order is good for, where they come by; this
 * sees the order itself.
 */
#include "tests/unit/order_kit.h"

#include "lib/prover.h"

/* ---- a new store ---- */

static void the_directories_of_a_new_store_are_durable(void)
{
	struct manifest_options options = {.create = true};
	struct manifest_error error = {.text = ""};
	struct manifest *m;

	begin();
	CHECK_EQ(layout_create(dir.fd), 0);
	CHECK_TRACE(before("sync .notepackfs", "sync ."));
	end();
	begin();
	CHECK_EQ(manifest_open(dir.fd, &options, &m, &error), 0);
	manifest_close(m);
	CHECK_TRACE(before("sync .", "sync .notepackfs"));
	end();
}

/* ---- publishing ---- */

static void
an_object_is_durable_before_it_is_recorded_and_recorded_before_the_raw_file_goes(void)
{
	struct store *s;

	begin();
	s = start(NEVER_NS);
	put(s, "a", "text", 4);
	forget();
	seal_all(s);
	CHECK_TRACE(before("sync .notepackfs/tmp/*.gz", "name a.notepack.gz"));
	CHECK_TRACE(between("name a.notepack.gz", "sync .", MANIFEST));
	CHECK_TRACE(between("sync .notepackfs/manifest.new.*", MANIFEST, "unlink a"));
	CHECK_TRACE(between(MANIFEST, "sync .notepackfs", "unlink a"));
	CHECK_EQ(store_close(s), 0);
	end();
}

static void after_a_failed_fsync_the_object_is_written_anew(void)
{
	struct store *s;
	int again = 0;
	int first;

	begin();
	s = start(NEVER_NS);
	put(s, "a", "text", 4);
	fail_next("sync .notepackfs/tmp/*.gz", 1);
	log_open("test_order", false, LOG_CRIT);
	seal_all(s);
	log_open("test_order", false, LOG_ERR);
	first = find("sync .notepackfs/tmp/*.gz", 0);
	for (int i = first + 1; first >= 0 && i < trace_count; i++)
		again += strcmp(trace[i], trace[first]) == 0;
	CHECK_EQ(again, 0);
	CHECK_TRACE(find("sync .notepackfs/tmp/*.gz", first + 1) > first);
	CHECK_EQ(store_close(s), 0);
	CHECK(seals_to("a.notepack.gz", "text"));
	end();
}

static void a_failed_fsync_of_the_directory_is_made_good_before_the_record(void)
{
	struct store *s;

	begin();
	s = start(NEVER_NS);
	put(s, "a", "text", 4);
	forget();
	fail_next("sync .", 1);
	log_open("test_order", false, LOG_CRIT);
	seal_all(s);
	log_open("test_order", false, LOG_ERR);
	CHECK_TRACE(find("sync .", find("sync .", 0) + 1) < find(MANIFEST, 0));
	CHECK_TRACE(find("sync .", find("sync .", 0) + 1) > 0);
	CHECK_EQ(store_close(s), 0);
	CHECK(seals_to("a.notepack.gz", "text"));
	end();
}

static void is_written_anew(size_t len)
{
	CLEANUP_FREE char *data = calloc(1, len + 1);
	struct store *s;

	begin();
	sample_random((uint8_t *)data, len, 5);
	s = start(NEVER_NS);
	put(s, "a", data, len);
	log_open("test_order", false, LOG_CRIT);
	atomic_store(&corrupt, true);
	seal_all(s);
	log_open("test_order", false, LOG_ERR);
	CHECK(!atomic_load(&corrupt));
	CHECK_EQ(store_close(s), 0);
	CHECK(object_equals(&dir, "a.notepack.gz", data, len));
	end();
}

static void an_object_that_the_disk_has_changed_is_written_anew(void)
{
	is_written_anew(60000); /* at once */
	is_written_anew(300000);
}

static int truncate_a(void)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/a", dir.path);
	return truncate(path, 1);
}

static void is_not_sealed_when_cut_short(size_t len)
{
	CLEANUP_FREE char *data = calloc(1, len);
	struct store *s;

	begin();
	s = start(NEVER_NS);
	put(s, "a", data, len);
	CHECK_EQ(truncate_a(), 0);
	log_open("test_order", false, LOG_CRIT);
	CHECK_EQ(store_close(s), 5);
	log_open("test_order", false, LOG_ERR);
	CHECK(!scratch_has(&dir, "a.notepack.gz"));
	end();
}

static void a_raw_file_that_someone_cut_short_is_not_sealed(void)
{
	is_not_sealed_when_cut_short(4); /* at once */
	is_not_sealed_when_cut_short(300000);
}

/* ---- the raw file goes ---- */

static void grow(void)
{
	int fd = openat(dir.fd, "a", O_WRONLY | O_APPEND | O_CLOEXEC);

	CHECK_EQ(write(fd, "more", 4), 4);
	close(fd);
}

static void shorten(void)
{
	int fd = openat(dir.fd, "a", O_WRONLY | O_CLOEXEC);

	CHECK_EQ(ftruncate(fd, 1), 0);
	close(fd);
}

static void swap(void)
{
	CHECK_EQ(renameat(dir.fd, "a", dir.fd, "a.was"), 0);
	scratch_put(&dir, "a", "text");
}

/* What someone else does to it when it has been recorded: no byte of it goes. */
static void a_raw_file_that_someone_changes_behind_the_record_stays(void)
{
	void (*const changes[])(void) = {grow, shorten, swap};
	const char *const want[] = {"textmore", "t", "text"};

	for (int i = 0; i < 3; i++) {
		struct store *s;

		begin();
		s = start(NEVER_NS);
		put(s, "a", "text", 4);
		forget();
		log_open("test_order", false, LOG_CRIT);
		then("name a.notepack.gz", changes[i]);
		seal_all(s);
		CHECK(!then_do);
		CHECK(i == 0 || has_text("a", want[i]));
		store_close(s);
		log_open("test_order", false, LOG_ERR);
		CHECK(i > 0 || seals_to("a.p000000002.notepack.gz", "more"));
		end();
	}
}

static void a_raw_file_that_could_not_go_goes_at_the_stop(void)
{
	struct store *s;

	begin();
	s = start(NEVER_NS);
	put(s, "a", "text", 4);
	log_open("test_order", false, LOG_CRIT);
	fail_next("unlink a", 1);
	seal_all(s);
	CHECK(scratch_has(&dir, "a"));
	CHECK_EQ(store_close(s), 0);
	log_open("test_order", false, LOG_ERR);
	CHECK(!scratch_has(&dir, "a"));
	end();

	/* In the stop itself no timer is left that would try again. */
	begin();
	s = start(NEVER_NS);
	put(s, "a", "text", 4);
	log_open("test_order", false, LOG_CRIT);
	fail_next("unlink a", 1);
	CHECK_EQ(store_close(s), 0);
	log_open("test_order", false, LOG_ERR);
	CHECK(!scratch_has(&dir, "a"));
	end();
}

static void a_hole_is_marked_durably_before_it_is_made(void)
{
	struct store *s;

	begin();
	s = with_raw_file_kept();
	CHECK_EQ(punch(s, "a"), 0);
	CHECK_TRACE(before("mark a", "sync a"));
	CHECK_TRACE(before("sync a", "punch a"));
	CHECK_EQ(store_close(s), 0);
	end();
}

static void no_hole_is_made_where_someone_else_writes(void)
{
	struct store *s;
	int status, fd;
	pid_t pid;

	begin();
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		with_raw_file_kept();
		_exit(0); /* as by SIGKILL */
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	fd = openat(dir.fd, "a", O_WRONLY | O_APPEND | O_CLOEXEC);
	CHECK(fd >= 0);
	s = start(NEVER_NS);
	prover_finish(s);
	forget();
	CHECK_EQ(punch(s, "a"), 1);
	CHECK_TRACE(!was("punch a"));
	close(fd);
	CHECK_EQ(punch(s, "a"), 0);
	CHECK_TRACE(was("punch a"));
	CHECK_EQ(store_close(s), 0);
	end();
}

/* Someone puts it there, who believes the objects gone. */
static void a_raw_file_that_was_not_compared_stays(void)
{
	static const char *const names[] = {"a", NULL};
	struct raw_mark mark = {0};
	struct store *s;
	struct node *n;
	int fd, rest;

	begin();
	sealed_store(names);
	s = start(NEVER_NS);
	manifest_each(s->manifest, visit_id, &mark.id);
	scratch_put(&dir, "a", "X");
	fd = openat(dir.fd, "a", O_RDWR | O_CLOEXEC);
	CHECK_EQ(raw_write_mark(s, fd, &mark), 0);
	close(fd);
	CHECK_EQ(store_close(s), 0);
	log_open("test_order", false, LOG_CRIT);
	s = start(NEVER_NS);
	CHECK_EQ(store_lookup(s, store_root(s), "a", &n), 0);
	raw_drop(s, to_file(n), &rest);
	CHECK_EQ(rest, -1);
	CHECK(has_text("a", "X"));
	node_unref(s, n, 1);
	CHECK_EQ(store_close(s), 5);
	CHECK(has_text("a", "X"));
	CHECK_EQ(store_close(start(0)), 0); /* compares it */
	log_open("test_order", false, LOG_ERR);
	CHECK_TRACE(was("name a.recovered-*.notepack.gz"));
	end();
}

/* ---- fsync ---- */

static void fsync_makes_the_name_durable_too(void)
{
	struct caller c = me();
	struct handle *h;
	struct store *s;
	struct node *n, *d;

	begin();
	s = start(NEVER_NS);
	h = create(s, "a", NULL);
	CHECK_EQ(store_write(h, "text", 4, 0, false), 4);
	forget();
	CHECK_EQ(store_fsync(h), 0);
	CHECK_TRACE(before("sync a", "sync ."));
	CHECK_EQ(rename_to(s, "a", "b"), 0);
	forget();
	CHECK_EQ(store_fsync(h), 0);
	CHECK_TRACE(was("sync ."));
	CHECK_EQ(rename_to(s, "b", "c"), 0);
	log_open("test_order", false, LOG_CRIT);
	fail_next("sync .", 1);
	CHECK(store_fsync(h) != 0);
	log_open("test_order", false, LOG_ERR);
	forget();
	CHECK_EQ(store_fsync(h), 0);
	CHECK_TRACE(was("sync ."));
	store_release(h);

	CHECK_EQ(store_mkdir(s, &c, store_root(s), "d", 0755, &d), 0);
	CHECK_EQ(store_create(s, &c, d, "e", 0644, O_WRONLY, &n, &h), 0);
	CHECK_EQ(store_write(h, "text", 4, 0, false), 4);
	forget();
	CHECK_EQ(store_fsync(h), 0);
	CHECK_TRACE(before("sync d/e", "sync d"));
	CHECK_TRACE(before("sync d", "sync ."));
	forget();
	CHECK_EQ(store_sync_dir(s, d), 0);
	CHECK_TRACE(was("sync d"));
	store_release(h);
	node_unref(s, n, 1);
	node_unref(s, d, 1);

	h = create(s, "import.notepack.gz", NULL);
	CHECK_EQ(store_write(h, "text", 4, 0, false), 4);
	forget();
	CHECK_EQ(store_fsync(h), 0);
	CHECK_TRACE(between("sync .notepackfs/import/*", "sync .notepackfs/import", MANIFEST));
	store_release(h);
	CHECK_EQ(remove_name(s, "import.notepack.gz"), 0);
	CHECK_EQ(store_close(s), 0);
	end();
}

/* ---- rename and removal ---- */

static void a_new_content_is_durable_before_the_old_one_goes(void)
{
	static const char *const names[] = {"old", NULL};
	struct store *s;

	begin();
	sealed_store(names);
	s = start(NEVER_NS);
	put(s, "new", "text", 4);
	forget();
	CHECK_EQ(rename_to(s, "new", "old"), 0);
	CHECK_TRACE(between("name old", "sync old", MANIFEST));
	CHECK_TRACE(between("name old", "sync .", MANIFEST));
	CHECK_TRACE(between(MANIFEST, "sync .notepackfs", "unlink old.notepack.gz"));
	seal_all(s);
	put(s, "newer", "text", 4);
	forget();
	log_open("test_order", false, LOG_CRIT);
	fail_next("sync .", 1);
	CHECK(rename_to(s, "newer", "old") != 0);
	log_open("test_order", false, LOG_ERR);
	CHECK_TRACE(!was(MANIFEST));
	CHECK(scratch_has(&dir, "old.notepack.gz"));
	CHECK_EQ(store_close(s), 0);
	end();
}

static void a_full_disk_does_not_keep_one_from_removing(void)
{
	static const char *const names[] = {"a", NULL};
	struct store *s;

	begin();
	sealed_store(names);
	s = start(NEVER_NS);
	log_open("test_order", false, LOG_CRIT);
	fail_errno = ENOSPC;
	fail_next("sync .notepackfs/manifest.new.*", 1);
	CHECK_EQ(remove_name(s, "a"), 0);
	fail_errno = EIO;
	log_open("test_order", false, LOG_ERR);
	CHECK_EQ(store_close(s), 0);
	end();
}

static void a_manifest_that_could_not_be_written_does_not_take_its_place(void)
{
	static const char *const names[] = {"a", NULL};
	struct store *s;

	begin();
	sealed_store(names);
	s = start(NEVER_NS);
	forget();
	log_open("test_order", false, LOG_CRIT);
	fail_next("write .notepackfs/manifest.new.*", 1);
	CHECK_EQ(remove_name(s, "a"), -EIO);
	log_open("test_order", false, LOG_ERR);
	CHECK_TRACE(!was(MANIFEST));
	CHECK(scratch_has(&dir, "a.notepack.gz"));
	CHECK_EQ(store_close(s), 0);
	end();
}

static void a_directory_is_renamed_behind_its_intent(void)
{
	struct caller c = me();
	struct handle *h;
	struct store *s;
	struct node *n, *d;

	begin();
	s = start(NEVER_NS);
	CHECK_EQ(store_mkdir(s, &c, store_root(s), "d", 0755, &d), 0);
	CHECK_EQ(store_create(s, &c, d, "a", 0644, O_WRONLY, &n, &h), 0);
	CHECK_EQ(store_write(h, "text", 4, 0, false), 4);
	store_release(h);
	seal_all(s);
	node_unref(s, n, 1);
	node_unref(s, d, 1);
	forget();
	CHECK_EQ(rename_to(s, "d", "e"), 0);
	CHECK_TRACE(before(MANIFEST, "name e"));
	CHECK_EQ(store_close(s), 0);
	end();
}

static void what_is_removed_is_forgotten_first(void)
{
	struct store *s;

	begin();
	s = start(NEVER_NS);
	put(s, "a", "text", 4);
	seal_all(s);
	append(s, "a", "more", 4);
	seal_all(s);
	forget();
	CHECK_EQ(remove_name(s, "a.notepack.gz"), 0);
	CHECK_TRACE(between(MANIFEST, "sync .notepackfs", "unlink a.notepack.gz"));
	CHECK_TRACE(before(MANIFEST, "unlink a.notepack.gz"));
	forget();
	CHECK_EQ(remove_name(s, "a"), 0);
	CHECK_TRACE(before(MANIFEST, "unlink a.p000000002.notepack.gz"));
	CHECK_EQ(store_close(s), 0);
	end();
}

int main(void)
{
	log_open("test_order", false, LOG_ERR);
	RUN(the_directories_of_a_new_store_are_durable);
	RUN(an_object_is_durable_before_it_is_recorded_and_recorded_before_the_raw_file_goes);
	RUN(after_a_failed_fsync_the_object_is_written_anew);
	RUN(a_failed_fsync_of_the_directory_is_made_good_before_the_record);
	RUN(an_object_that_the_disk_has_changed_is_written_anew);
	RUN(a_raw_file_that_someone_cut_short_is_not_sealed);
	RUN(a_raw_file_that_someone_changes_behind_the_record_stays);
	RUN(a_raw_file_that_could_not_go_goes_at_the_stop);
	RUN(a_hole_is_marked_durably_before_it_is_made);
	RUN(no_hole_is_made_where_someone_else_writes);
	RUN(a_raw_file_that_was_not_compared_stays);
	RUN(fsync_makes_the_name_durable_too);
	RUN(a_new_content_is_durable_before_the_old_one_goes);
	RUN(a_full_disk_does_not_keep_one_from_removing);
	RUN(a_manifest_that_could_not_be_written_does_not_take_its_place);
	RUN(a_directory_is_renamed_behind_its_intent);
	RUN(what_is_removed_is_forgotten_first);
	return unit_done();
}
