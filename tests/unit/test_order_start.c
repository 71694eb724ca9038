/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is durable before what. The crash tests see what an order is good for, where they come by; this
 * sees the order itself: in the start, failed renames, imports, the stop and repair.
 */
#include "tests/unit/order_kit.h"

/* ---- the start after a crash ---- */

static void a_renaming_is_completed_and_durable_before_it_is_recorded(void)
{
	static const char *const names[] = {"a", NULL};

	begin();
	sealed_store(names);
	CHECK_EQ(mkdirat(dir.fd, "d", 0755), 0);
	crash("a", "d/b", false);
	CHECK_EQ(store_close(start(0)), 0);
	CHECK_TRACE(right_behind("name d/b.notepack.gz", "sync d"));
	CHECK_TRACE(before("name d/b.notepack.gz", MANIFEST));
	end();

	begin();
	sealed_store(names);
	CHECK_EQ(mkdirat(dir.fd, "d", 0755), 0);
	CHECK_EQ(renameat(dir.fd, "a.notepack.gz", dir.fd, "d/a.notepack.gz"), 0);
	crash(NULL, NULL, false);
	CHECK_EQ(store_close(start(0)), 0); /* a's record finds it */
	crash("d", "e", true);
	CHECK_EQ(store_close(start(0)), 0);
	CHECK_TRACE(right_behind("name e", "sync ."));
	CHECK_TRACE(before("name e", MANIFEST));
	CHECK(seals_to("e/a.notepack.gz", "a"));
	end();
}

/* The end of a rename may be committed long after it, when its old name was used again. */
static void a_file_that_has_the_old_name_by_now_is_not_renamed(void)
{
	static const char *const names[] = {"a", NULL};
	int status;
	pid_t pid;

	begin();
	sealed_store(names);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct store *s = start(NEVER_NS);
		struct handle *h;

		rename_to(s, "a", "b");
		h = create(s, "a", NULL);
		store_write(h, "another", 7, 0, false);
		store_fsync(h);
		_exit(0); /* as by SIGKILL */
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	crash("a", "b", false);
	CHECK_EQ(store_close(start(0)), 0);
	CHECK(seals_to("a.notepack.gz", "another"));
	CHECK(seals_to("b.notepack.gz", "a"));
	end();
}

static void temporaries_of_an_earlier_run_go_at_once(void)
{
	struct store *s;

	begin();
	CHECK_EQ(store_close(start(0)), 0);
	scratch_put(&dir, ".notepackfs/tmp/9.1.1.gz", "left");
	s = start(0);
	CHECK(!scratch_has(&dir, ".notepackfs/tmp/9.1.1.gz"));
	CHECK_EQ(store_close(s), 0);
	end();
}

static void another_file_of_that_name_gets_one_of_its_own_that_is_durable(void)
{
	static const char *const names[] = {"a", NULL};

	begin();
	sealed_store(names);
	scratch_put(&dir, "a", "other");
	crash(NULL, NULL, false);
	log_open("test_order_start", false, LOG_CRIT);
	CHECK_EQ(store_close(start(0)), 0);
	log_open("test_order_start", false, LOG_ERR);
	CHECK_TRACE(right_behind("name a.recovered-*", "sync ."));
	CHECK(seals_to("a.notepack.gz", "a"));
	end();
}

/* A raw file that has every byte takes the place of an object that is damaged. */
static void damage(const char *name)
{
	int fd = openat(dir.fd, name, O_WRONLY | O_CLOEXEC);

	CHECK(fd >= 0 && fchmod(fd, 0644) == 0);
	CHECK_EQ(syscall(SYS_pwrite64, fd, "\x55", 1, 60), 1);
	close(fd);
}

static void a_raw_file_takes_the_place_of_damaged_objects(void)
{
	static const char *const names[] = {"a", NULL};

	begin();
	sealed_store(names);
	CHECK_EQ(fchmodat(dir.fd, "a.notepack.gz", 0644, 0), 0);
	damage("a.notepack.gz");
	scratch_put(&dir, "a", "a");
	crash(NULL, NULL, false);
	log_open("test_order_start", false, LOG_CRIT);
	CHECK_EQ(store_close(start(0)), 0);
	log_open("test_order_start", false, LOG_ERR);
	CHECK_TRACE(before(MANIFEST, "name .notepackfs/quarantine/*"));
	CHECK(seals_to("a.notepack.gz", "a"));
	end();
}

static void a_damaged_object_without_a_record_is_not_adopted(void)
{
	static const char *const names[] = {"a", NULL};
	struct store *s;

	begin();
	sealed_store(names);
	CHECK_EQ(renameat(dir.fd, "a.notepack.gz", dir.fd, "b.notepack.gz"), 0);
	CHECK_EQ(fchmodat(dir.fd, "b.notepack.gz", 0644, 0), 0);
	damage("b.notepack.gz");
	crash(NULL, NULL, false);
	log_open("test_order_start", false, LOG_CRIT);
	s = start(0);
	CHECK_EQ(ino_of(s, "b"), 0);
	CHECK(!scratch_has(&dir, "b.notepack.gz"));
	CHECK_EQ(store_close(s), 0);
	log_open("test_order_start", false, LOG_ERR);
	end();
}

/* ---- a rename that fails ---- */

/* Neither without its intent, nor half of it. */
static void a_rename_that_fails_leaves_the_names_as_they_were(void)
{
	static const char *const names[] = {"a", NULL};
	static const char *const faults[] = {"sync .notepackfs/manifest.new.*",
					     "name b.p000000002.*"};

	for (int i = 0; i < 2; i++) {
		struct store *s;

		begin();
		sealed_store(names);
		s = start(NEVER_NS);
		append(s, "a", "more", 4);
		seal_all(s);
		forget();
		log_open("test_order_start", false, LOG_CRIT);
		fail_next(faults[i], 1);
		CHECK(rename_to(s, "a", "b") != 0);
		log_open("test_order_start", false, LOG_ERR);
		CHECK_EQ(fail_times, 0);
		CHECK_TRACE(i == 1 || !was("name b.notepack.gz"));
		CHECK(seals_to("a.notepack.gz", "a"));
		CHECK(seals_to("a.p000000002.notepack.gz", "more"));
		CHECK_EQ(store_close(s), 0);
		end();
	}
}

static bool status_says(struct store *s, const char *text)
{
	CLEANUP_BUF struct buf out = {0};

	store_status(s, true, &out);
	return out.data && strstr(out.data, text);
}

/* A second fsync would succeed for what the first has lost. */
static void what_a_failed_fsync_may_have_lost_replaces_nothing(void)
{
	static const char *const names[] = {"old", NULL};
	struct handle *h;
	struct store *s;

	begin();
	sealed_store(names);
	s = start(NEVER_NS);
	h = create(s, "new", NULL);
	CHECK_EQ(store_write(h, "text", 4, 0, false), 4);
	log_open("test_order_start", false, LOG_CRIT);
	fail_next("sync new", 1);
	CHECK_EQ(store_fsync(h), -EIO);
	CHECK(rename_to(s, "new", "old") != 0);
	CHECK(status_says(s, "\"error\":\"fsync: Input/output error\""));
	log_open("test_order_start", false, LOG_ERR);
	CHECK(seals_to("old.notepack.gz", "old"));
	store_release(h);
	store_close(s);
	end();
}

/* ---- imports ---- */

static void import_one(struct store *s, const char *name, const char *text)
{
	uint8_t gz[1000];

	put(s, name, gz, foreign_gzip(gz, sizeof(gz), text));
	seal_all(s);
}

static void an_import_is_durable_before_it_is_recorded(void)
{
	struct store *s;

	begin();
	s = start(NEVER_NS);
	import_one(s, "a.notepack.gz", "text");
	CHECK_TRACE(before("sync .notepackfs/import/*", "name a.notepack.gz"));
	CHECK_TRACE(between("name a.notepack.gz", "sync .", MANIFEST));
	forget();
	log_open("test_order_start", false, LOG_CRIT);
	put(s, "bad.notepack.gz", "no gzip file at all", 19);
	seal_all(s);
	CHECK_TRACE(right_behind("name bad*", "sync ."));
	fail_next("sync .notepackfs/import/*", 1);
	import_one(s, "lost.notepack.gz", "text");
	CHECK(!scratch_has(&dir, "lost.notepack.gz"));
	CHECK_EQ(ino_of(s, "lost"), 0);
	store_close(s);
	log_open("test_order_start", false, LOG_ERR);
	end();
}

static void damage_import(void)
{
	char path[64] = "";
	struct dirent *e;
	DIR *d = fdopendir(openat(dir.fd, ".notepackfs/import", O_RDONLY | O_CLOEXEC));

	while (d && (e = readdir(d))) {
		if (e->d_name[0] != '.')
			snprintf(path, sizeof(path), ".notepackfs/import/%.20s", e->d_name);
	}
	closedir(d);
	damage(path);
}

static void an_import_that_changes_behind_its_verification_is_verified_again(void)
{
	struct store *s;

	begin();
	s = start(0);
	log_open("test_order_start", false, LOG_CRIT);
	then("sync .notepackfs/import/*", damage_import);
	import_one(s, "a.notepack.gz",
		   "a text that is long enough, so that the byte that is changed is in it, "
		   "and not behind its end");
	CHECK(!then_do);
	CHECK(!scratch_has(&dir, "a.notepack.gz"));
	store_close(s);
	log_open("test_order_start", false, LOG_ERR);
	end();
}

static void put_bad(struct store *s)
{
	put(s, "bad.notepack.gz", "no gzip file at all", 19);
	seal_all(s);
}

static void change_refused(void)
{
	int fd = openat(dir.fd, "bad.notepack.gz.2.invalid", O_WRONLY | O_TRUNC | O_CLOEXEC);

	CHECK(fd >= 0);
	close(fd);
}

static void an_import_gives_way_only_to_the_same_bytes_on_the_disk(void)
{
	struct store *s;

	begin();
	s = start(NEVER_NS);
	log_open("test_order_start", false, LOG_CRIT);
	put_bad(s);
	forget();
	put_bad(s);
	CHECK_TRACE(
	    between("sync bad.notepack.gz.invalid", "sync .", "unlink .notepackfs/import/*"));
	CHECK(!scratch_has(&dir, "bad.notepack.gz.2.invalid"));
	fail_next("sync bad.notepack.gz.invalid", 1);
	put_bad(s);
	CHECK(scratch_has(&dir, "bad.notepack.gz.2.invalid"));
	then("sync bad.notepack.gz.2.invalid", change_refused);
	put_bad(s);
	CHECK(!then_do);
	CHECK(scratch_has(&dir, "bad.notepack.gz.3.invalid"));
	put(s, "bad.notepack.gz", "no gzip file as well", 20);
	seal_all(s);
	CHECK(scratch_has(&dir, "bad.notepack.gz.4.invalid"));
	store_close(s);
	log_open("test_order_start", false, LOG_ERR);
	end();
}

/* Where an import lies whose record was committed, though it seemed to have failed. */
static void move_back(uint64_t id, const char *name, bool same)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), ".notepackfs/import/%llu", (unsigned long long)id);
	CHECK_EQ(renameat(dir.fd, name, dir.fd, path), 0);
	CHECK_EQ(fchmodat(dir.fd, path, 0644, 0), 0);
	fd = openat(dir.fd, path, O_RDWR | O_CLOEXEC);
	CHECK_EQ(raw_write_path(fd, name), 0);
	if (!same)
		CHECK_EQ(syscall(SYS_pwrite64, fd, "\x55", 1, 12), 1);
	close(fd);
	forget();
}

static void an_import_is_put_into_its_place_by_its_content_only(void)
{
	for (int i = 0; i < 4; i++) {
		bool clean = i & 1, same = i & 2;
		struct manifest_options options = {.read_only = true};
		struct manifest_error error = {.text = ""};
		struct manifest *m;
		uint64_t id = 0;
		struct store *s;

		begin();
		s = start(NEVER_NS);
		import_one(s, "a.notepack.gz", "text");
		CHECK_EQ(store_close(s), 0);
		CHECK_EQ(manifest_open(dir.fd, &options, &m, &error), 0);
		manifest_each(m, visit_id, &id);
		manifest_close(m);
		if (!clean)
			crash(NULL, NULL, false);
		move_back(id, "a.notepack.gz", same);
		log_open("test_order_start", false, LOG_CRIT);
		s = start(NEVER_NS);
		if (same)
			CHECK_TRACE(right_behind("name a.notepack.gz", "sync ."));
		else
			CHECK_TRACE(!was("name a.notepack.gz"));
		store_close(s);
		log_open("test_order_start", false, LOG_ERR);
		CHECK_EQ(seals_to("a.notepack.gz", "text"), same);
		end();
	}
}

/* ---- the stop ---- */

static void what_the_stop_says_is_written_in_any_case(void)
{
	begin();
	CHECK_EQ(store_close(start(0)), 0);
	CHECK_TRACE(before("sync .notepackfs/next_stop", "name .notepackfs/last_stop"));
	CHECK(has_text(".notepackfs/last_stop", "{\"pid\":"));
	CHECK_EQ(unlinkat(dir.fd, ".notepackfs/last_stop", 0), 0);
	struct store *s = start(0);

	CHECK_EQ(unlinkat(dir.fd, ".notepackfs/next_stop", 0), 0);
	CHECK_EQ(store_close(s), 0);
	CHECK(has_text(".notepackfs/last_stop", "{\"pid\":"));
	end();
}

static void a_last_commit_that_failed_is_the_stops_error(void)
{
	struct store *s;

	begin();
	s = start(0);
	log_open("test_order_start", false, LOG_EMERG);
	fail_next("sync .notepackfs/manifest.new.*", 1);
	CHECK_EQ(store_close(s), 1);
	log_open("test_order_start", false, LOG_ERR);
	CHECK_EQ(fail_times, 0);
	end();
}

static void what_the_stop_could_not_say_is_its_error(void)
{
	struct store *s;

	begin();
	s = start(0);
	log_open("test_order_start", false, LOG_CRIT);
	fail_next("name .notepackfs/last_stop", 2);
	CHECK_EQ(store_close(s), 1);
	log_open("test_order_start", false, LOG_ERR);
	CHECK_EQ(fail_times, 0);
	end();
}

int main(void)
{
	log_open("test_order_start", false, LOG_ERR);
	RUN(a_renaming_is_completed_and_durable_before_it_is_recorded);
	RUN(a_file_that_has_the_old_name_by_now_is_not_renamed);
	RUN(temporaries_of_an_earlier_run_go_at_once);
	RUN(another_file_of_that_name_gets_one_of_its_own_that_is_durable);
	RUN(a_raw_file_takes_the_place_of_damaged_objects);
	RUN(a_damaged_object_without_a_record_is_not_adopted);
	RUN(a_rename_that_fails_leaves_the_names_as_they_were);
	RUN(what_a_failed_fsync_may_have_lost_replaces_nothing);
	RUN(an_import_is_durable_before_it_is_recorded);
	RUN(an_import_gives_way_only_to_the_same_bytes_on_the_disk);
	RUN(an_import_that_changes_behind_its_verification_is_verified_again);
	RUN(an_import_is_put_into_its_place_by_its_content_only);
	RUN(what_the_stop_says_is_written_in_any_case);
	RUN(a_last_commit_that_failed_is_the_stops_error);
	RUN(what_the_stop_could_not_say_is_its_error);
	return unit_done();
}
