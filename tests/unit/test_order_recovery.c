/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a start after a crash may take away, and what it does not go on without. What it removes, moves
 * or gives a record to is known by its content, never by its name. And the same of a repair.
 */
#include "tests/unit/order_kit.h"

/* What the manifest, as the disk has it, has of a plain name; id and mode of the last record. */
struct count {
	const char *plain;
	uint64_t id;
	uint32_t mode;
	int records;
};

static int count_record(void *ctx, const struct sealed *rec, const char *d, const char *plain)
{
	struct count *c = ctx;

	if (strcmp(plain, c->plain) == 0) {
		c->records++;
		c->id = rec->id;
		c->mode = rec->mode;
	}
	return 0;
}

static struct count count_records(const char *plain)
{
	struct manifest_options options = {.read_only = true};
	struct manifest_error error = {.text = ""};
	struct count count = {.plain = plain};
	struct manifest *m;

	CHECK_EQ(manifest_open(dir.fd, &options, &m, &error), 0);
	manifest_each(m, count_record, &count);
	manifest_close(m);
	return count;
}

static int records_of(const char *plain, uint64_t *id)
{
	struct count count = count_records(plain);

	if (id)
		*id = count.id;
	return count.records;
}

static bool is_marked_clean(void)
{
	struct manifest_options options = {.read_only = true};
	struct manifest_error error = {.text = ""};
	struct manifest *m;
	bool clean;

	CHECK_EQ(manifest_open(dir.fd, &options, &m, &error), 0);
	clean = manifest_was_clean(m);
	manifest_close(m);
	return clean;
}

static int try_start(void)
{
	struct store_options options = {
	    .path = dir.path, .level = 1, .threads = 1, .cut_age_ns = NEVER_NS};
	struct store_error error = {.text = ""};
	struct store *s = NULL;
	int err;

	log_open("test_order_recovery", false, LOG_EMERG);
	err = store_open(&options, NULL, &s, &error);
	if (!err)
		store_close(s);
	log_open("test_order_recovery", false, LOG_ERR);
	return err;
}

static void start_and_stop(void)
{
	log_open("test_order_recovery", false, LOG_EMERG);
	CHECK_EQ(store_close(start(0)), 0);
	log_open("test_order_recovery", false, LOG_ERR);
}

static void copy(const char *from, const char *to)
{
	CLEANUP_FREE char *data = NULL;
	size_t len = 0;
	int fd = openat(dir.fd, to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);

	CHECK_EQ(io_read_file(dir.fd, from, 100000, &data, &len), 0);
	CHECK_EQ(io_write(fd, data, len), 0);
	close(fd);
}

static int64_t size_of(const char *name)
{
	struct stat st = {.st_size = -1};

	(void)fstatat(dir.fd, name, &st, 0);
	return st.st_size;
}

/* ---- what it does not go on without ---- */

static void a_start_that_cannot_complete_a_renaming_fails(void)
{
	static const char *const names[] = {"a", NULL};
	static const char *const faults[] = {"name d/b.notepack.gz", "sync d"};

	for (int i = 0; i < 2; i++) {
		begin();
		sealed_store(names);
		CHECK_EQ(mkdirat(dir.fd, "d", 0755), 0);
		crash("a", "d/b", false);
		fail_next(faults[i], 1);
		CHECK(try_start() != 0);
		CHECK_EQ(fail_times, 0);
		start_and_stop();
		CHECK(seals_to("d/b.notepack.gz", "a"));
		end();
	}
}

static void a_start_that_cannot_note_that_the_store_is_in_use_fails(void)
{
	static const char *const names[] = {"a", NULL};

	begin();
	sealed_store(names);
	fail_next("sync .notepackfs/manifest.new.*", 1);
	CHECK(try_start() != 0);
	CHECK_EQ(fail_times, 0);
	start_and_stop();
	end();
}

static void a_store_is_marked_clean_from_its_stop_to_its_start(void)
{
	static const char *const names[] = {"a", NULL};
	struct store *s;

	begin();
	sealed_store(names);
	CHECK(is_marked_clean());
	s = start(NEVER_NS);
	CHECK(!is_marked_clean());
	CHECK_EQ(store_close(s), 0);
	CHECK(is_marked_clean());
	end();
}

/* Nothing can have moved there. */
static void a_renaming_into_a_directory_that_is_gone_is_forgotten(void)
{
	static const char *const names[] = {"a", NULL};

	begin();
	sealed_store(names);
	crash("a", "gone/b", false);
	start_and_stop();
	CHECK(seals_to("a.notepack.gz", "a"));
	CHECK_EQ(records_of("a", NULL), 1);
	end();
}

static void what_an_object_says_of_its_mode_is_recorded(void)
{
	static const char *const names[] = {"a", NULL};

	begin();
	sealed_store(names);
	CHECK_EQ(count_records("a").mode & 0777, 0644);
	CHECK_EQ(fchmodat(dir.fd, "a.notepack.gz", 0400, 0), 0);
	crash(NULL, NULL, false);
	start_and_stop();
	CHECK_EQ(count_records("a").mode & 0777, 0600);
	end();
}

/* ---- what it takes away ---- */

static void an_object_stays_that_has_the_name_of_one_that_was_removed(void)
{
	static const char *const names[] = {"a", "b", NULL};
	struct store *s;

	begin();
	sealed_store(names);
	s = start(NEVER_NS);
	CHECK_EQ(remove_name(s, "a"), 0);
	CHECK_EQ(store_close(s), 0);
	copy("b.notepack.gz", "a.notepack.gz");
	crash(NULL, NULL, false);
	start_and_stop();
	CHECK(seals_to("a.notepack.gz", "b"));
	CHECK_EQ(records_of("a", NULL), 1);
	end();
}

static void a_record_finds_its_own_object_among_those_of_its_size(void)
{
	static const char *const names[] = {"a", "b", NULL};

	for (int i = 0; i < 2; i++) {
		char object[] = "a.notepack.gz", other[] = "b.notepack.gz";
		uint64_t id, now = 0;

		begin();
		sealed_store(names);
		object[0] = names[i][0];
		other[0] = names[!i][0];
		CHECK_EQ(records_of(names[i], &id), 1);
		CHECK_EQ(size_of(object), size_of(other));
		CHECK_EQ(renameat(dir.fd, object, dir.fd, "c.notepack.gz"), 0);
		CHECK_EQ(unlinkat(dir.fd, other, 0), 0);
		crash(NULL, NULL, false);
		start_and_stop();
		CHECK_EQ(records_of("c", &now), 1);
		CHECK_EQ(now, id);
		end();
	}
}

/* "a.recovered-9" is not where "a" was moved to. */
static void a_raw_file_stays_that_seems_to_have_another_name_already(void)
{
	static const char *const names[] = {"a", NULL};

	begin();
	sealed_store(names);
	scratch_put(&dir, "a", "other");
	scratch_put(&dir, "a.recovered-9", "third");
	crash(NULL, NULL, false);
	start_and_stop();
	CHECK_EQ(count_entries(&dir, "."), 3);
	CHECK(seals_to("a.notepack.gz", "a"));
	CHECK(seals_to("a.recovered-9.notepack.gz", "third"));
	end();
}

static int records_then;

static void look(void)
{
	records_then = records_of("a", NULL);
}

/* Else a crash in between leaves a record whose object is lost, and is reported as such for good. */
static void objects_are_put_out_of_the_way_behind_the_record_of_it(void)
{
	static const char *const names[] = {"a", NULL};

	begin();
	sealed_store(names);
	CHECK_EQ(unlinkat(dir.fd, "a.notepack.gz", 0), 0);
	scratch_put(&dir, "a.notepack.gz", "damaged");
	scratch_put(&dir, "a", "a");
	crash(NULL, NULL, false);
	records_then = -1;
	then("name .notepackfs/quarantine/*", look);
	start_and_stop();
	CHECK_EQ(records_then, 0);
	CHECK(seals_to("a.notepack.gz", "a"));
	end();
}

static void an_import_stays_whose_name_something_else_has(void)
{
	static const char *const names[] = {"a", NULL};
	int fd;

	begin();
	sealed_store(names);
	scratch_put(&dir, ".notepackfs/import/5", "another's");
	fd = openat(dir.fd, ".notepackfs/import/5", O_RDWR | O_CLOEXEC);
	CHECK_EQ(raw_write_path(fd, "a.notepack.gz"), 0);
	close(fd);
	start_and_stop();
	CHECK(has_text(".notepackfs/quarantine/import.1.gz", "another's"));
	CHECK(seals_to("a.notepack.gz", "a"));
	end();
}

static void put_import(uint64_t id, const char *text)
{
	uint8_t gz[1000];
	char path[64];
	int fd;

	snprintf(path, sizeof(path), ".notepackfs/import/%llu", (unsigned long long)id);
	fd = openat(dir.fd, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	CHECK(fd >= 0);
	CHECK_EQ(io_write(fd, gz, foreign_gzip(gz, sizeof(gz), text)), 0);
	CHECK_EQ(raw_write_path(fd, "a.notepack.gz"), 0);
	close(fd);
}

/* It is a good one, and as long, and the object of that record is gone. */
static void an_import_is_not_put_into_the_place_of_another(void)
{
	uint8_t gz[1000];
	struct store *s;
	uint64_t id;
	size_t len;

	begin();
	s = start(NEVER_NS);
	len = foreign_gzip(gz, sizeof(gz), "text");
	put(s, "a.notepack.gz", gz, len);
	CHECK_EQ(store_close(s), 0);
	CHECK_EQ(records_of("a", &id), 1);
	CHECK_EQ(unlinkat(dir.fd, "a.notepack.gz", 0), 0);
	CHECK_EQ(foreign_gzip(gz, sizeof(gz), "next"), len);
	put_import(id, "next");
	start_and_stop();
	CHECK(!scratch_has(&dir, "a.notepack.gz"));
	CHECK(seals_to(".notepackfs/quarantine/import.1.gz", "next"));
	end();
}

/* ---- repair ---- */

static void the_old_manifest_is_kept_durably_before_the_new_one_takes_its_place(void)
{
	static const char *const names[] = {"a", NULL};

	for (int linked = 1; linked >= 0; linked--) {
		begin();
		sealed_store(names);
		scratch_put(&dir, ".notepackfs/manifest", "damaged");
		forget();
		fail_next("link *", linked ? 0 : 100);
		CHECK_EQ(repair(), 0);
		CHECK_TRACE(right_behind("sync .notepackfs/quarantine/manifest.1/chunks",
					 "sync .notepackfs/quarantine/manifest.1"));
		CHECK_TRACE(between("sync .notepackfs/quarantine/manifest.1/chunks",
				    "sync .notepackfs/quarantine", MANIFEST));
		CHECK_TRACE(before("sync .notepackfs/quarantine", MANIFEST));
		CHECK(has_text(".notepackfs/quarantine/manifest.1/manifest", "damaged"));
		end();
	}
}

static void a_manifest_that_could_not_be_kept_is_not_replaced(void)
{
	static const char *const names[] = {"a", NULL};
	static const char *const faults[] = {"sync .notepackfs/quarantine/manifest.1/chunks",
					     "sync .notepackfs/quarantine/manifest.1",
					     "sync .notepackfs/quarantine"};

	for (int i = 0; i < 3; i++) {
		begin();
		sealed_store(names);
		scratch_put(&dir, ".notepackfs/manifest", "damaged");
		forget();
		fail_next(faults[i], 1);
		CHECK_EQ(repair(), -EIO);
		CHECK_TRACE(!was(MANIFEST));
		CHECK(has_text(".notepackfs/manifest", "damaged"));
		end();
	}
}

/* The manifest is lost, and an object with it: what the raw file has of it is the only copy. */
static void a_raw_file_with_bytes_that_no_record_is_about_is_kept(void)
{
	static const char *const names[] = {"a", NULL};
	struct store *s;

	begin();
	sealed_store(names);
	s = start(NEVER_NS);
	append(s, "a", "more", 4);
	CHECK_EQ(store_close(s), 0);
	CHECK_EQ(unlinkat(dir.fd, ".notepackfs/manifest", 0), 0);
	CHECK_EQ(unlinkat(dir.fd, "a.notepack.gz", 0), 0);
	scratch_put(&dir, "a", "amore");
	CHECK_EQ(repair(), 0);
	forget();
	log_open("test_order_start", false, LOG_CRIT);
	CHECK_EQ(store_close(start(0)), 0);
	log_open("test_order_start", false, LOG_ERR);
	CHECK_TRACE(was("name a.recovered-*.notepack.gz"));
	end();
}

int main(void)
{
	log_open("test_order_recovery", false, LOG_ERR);
	RUN(a_start_that_cannot_complete_a_renaming_fails);
	RUN(a_start_that_cannot_note_that_the_store_is_in_use_fails);
	RUN(a_store_is_marked_clean_from_its_stop_to_its_start);
	RUN(a_renaming_into_a_directory_that_is_gone_is_forgotten);
	RUN(what_an_object_says_of_its_mode_is_recorded);
	RUN(an_object_stays_that_has_the_name_of_one_that_was_removed);
	RUN(a_record_finds_its_own_object_among_those_of_its_size);
	RUN(a_raw_file_stays_that_seems_to_have_another_name_already);
	RUN(objects_are_put_out_of_the_way_behind_the_record_of_it);
	RUN(an_import_stays_whose_name_something_else_has);
	RUN(an_import_is_not_put_into_the_place_of_another);
	RUN(the_old_manifest_is_kept_durably_before_the_new_one_takes_its_place);
	RUN(a_manifest_that_could_not_be_kept_is_not_replaced);
	RUN(a_raw_file_with_bytes_that_no_record_is_about_is_kept);
	return unit_done();
}
