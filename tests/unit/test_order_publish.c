/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a publication does between its steps, and what the manifest says behind each commit: of the
 * names of objects, of the listing, and of the bytes that a reader gets meanwhile.
 */
#include "tests/unit/order_kit.h"

#include <sched.h>

static struct store *looked_at;

/* ---- what the manifest says, as the disk has it ---- */

struct name {
	uint64_t id;
	char path[NAME_BYTES + 1];
};

struct names {
	struct name list[10];
	int count;
};

static int collect(void *ctx, const struct sealed *rec, const char *d, const char *plain)
{
	struct names *names = ctx;
	struct name *n = &names->list[names->count++];

	n->id = rec->id;
	snprintf(n->path, sizeof(n->path), "%s/%s", d, plain);
	return names->count == 10;
}

static void read_names(struct names *names)
{
	struct manifest_options options = {.read_only = true};
	struct manifest_error error = {.text = ""};
	struct manifest *m;

	names->count = 0;
	CHECK_EQ(manifest_open(dir.fd, &options, &m, &error), 0);
	manifest_each(m, collect, names);
	manifest_close(m);
}

static int recorded(void)
{
	struct names names;

	read_names(&names);
	return names.count;
}

/* ---- the object ---- */

static bool was_listed;

static void look_for_the_object(void)
{
	was_listed = ino_of(looked_at, "a.notepack.gz") != 0;
}

static void an_object_is_not_listed_before_it_is_recorded(void)
{
	begin();
	looked_at = start(NEVER_NS);
	put(looked_at, "a", "text", 4);
	forget();
	was_listed = true;
	then(MANIFEST, look_for_the_object);
	seal_all(looked_at);
	CHECK(!then_do);
	CHECK(!was_listed);
	CHECK(ino_of(looked_at, "a.notepack.gz") != 0);
	CHECK_EQ(store_close(looked_at), 0);
	end();
}

static void import_one(struct store *s, const char *text)
{
	uint8_t gz[1000];

	put(s, "a.notepack.gz", gz, foreign_gzip(gz, sizeof(gz), text));
}

static void look_for_the_plain_name(void)
{
	was_listed = ino_of(looked_at, "a") != 0;
}

static void an_import_is_not_listed_before_it_is_recorded(void)
{
	begin();
	looked_at = start(NEVER_NS);
	import_one(looked_at, "text");
	forget();
	was_listed = true;
	then(MANIFEST, look_for_the_plain_name);
	seal_all(looked_at);
	CHECK(!then_do);
	CHECK(!was_listed);
	CHECK(ino_of(looked_at, "a") != 0);
	CHECK_EQ(store_close(looked_at), 0);
	end();
}

static void is_not_published(size_t len, int write)
{
	CLEANUP_FREE char *data = malloc(len + 1);
	struct store *s;

	begin();
	memset(data, 'x', len);
	data[len] = '\0';
	s = start(NEVER_NS);
	put(s, "a", data, len);
	quiet();
	atomic_store(&fail_pwrite, write);
	seal_all(s);
	loud();
	CHECK_EQ(atomic_load(&fail_pwrite), 0);
	CHECK_EQ(store_close(s), 0);
	CHECK(object_equals(&dir, "a.notepack.gz", data, len));
	end();
}

/* What is small is written at once; else its chunks, its end, and its header. */
static void an_object_that_could_not_be_written_is_not_published(void)
{
	is_not_published(4, 1);
	for (int write = 1; write <= 4; write++)
		is_not_published(300000, write);
}

static void what_has_the_name_of_an_object_already_is_not_overwritten(void)
{
	struct store *s;

	begin();
	s = start(NEVER_NS);
	put(s, "a", "text", 4);
	scratch_put(&dir, "a.notepack.gz", "another's");
	quiet();
	CHECK_EQ(store_close(s), 5);
	loud();
	CHECK(has_text("a.notepack.gz", "another's"));
	CHECK(has_text("a", "text"));
	end();
}

static void a_raw_file_that_has_another_name_is_not_sealed(void)
{
	struct store *s;

	begin();
	s = start(NEVER_NS);
	put(s, "a", "text", 4);
	CHECK_EQ(linkat(dir.fd, "a", dir.fd, "b", 0), 0);
	quiet();
	CHECK_EQ(store_close(s), 5);
	loud();
	CHECK(!scratch_has(&dir, "a.notepack.gz"));
	CHECK(has_text("a", "text"));
	CHECK_EQ(unlinkat(dir.fd, "b", 0), 0);
	CHECK_EQ(store_close(start(NEVER_NS)), 0);
	CHECK(seals_to("a.notepack.gz", "text"));
	end();
}

/* Whoever renamed it now would leave an object behind of which nobody knows the name. */
static void a_file_is_not_renamed_before_its_object_is_recorded(void)
{
	struct caller c = me();
	struct store *s;
	struct wait w;
	int err = STORE_BUSY;

	begin();
	s = start(NEVER_NS);
	put(s, "a", "text", 4);
	quiet();
	fail_next("sync .notepackfs/manifest.new.*", 1000);
	seal_begin(s, &w);
	while (failures_left() == 1000 && !seal_has_ended(&w))
		sched_yield();
	while (err && failures_left() > 998) {
		err = store_rename(s, &c, store_root(s), "a", store_root(s), "b", 0);
		if (err == STORE_BUSY)
			node_unref(s, c.busy, 1);
	}
	CHECK(err == STORE_BUSY ||
	      err == -EIO); /* as long as it is tried, or failed just now */
	fail_next("", 0);
	seal_end(&w);
	loud();
	CHECK(seals_to("a.notepack.gz", "text"));
	CHECK_EQ(store_close(s), 0);
	end();
}

/* Nor is it listed without a record. */
static void an_import_is_not_recorded_before_it_has_its_name(void)
{
	static const char *const faults[] = {NULL, "sync .", "sync .notepackfs/manifest.new.*"};

	for (int i = 0; i < 3; i++) {
		struct store *s;

		begin();
		s = start(NEVER_NS);
		import_one(s, "text");
		quiet();
		if (i == 0)
			scratch_put(&dir, "a.notepack.gz", "another's");
		else
			fail_next(faults[i], i == 1 ? 1000 : 1);
		CHECK_EQ(store_close(s), 5);
		fail_next("", 0);
		loud();
		CHECK_EQ(recorded(), 0);
		CHECK(i > 0 || has_text("a.notepack.gz", "another's"));
		end();
	}
}

/* It takes some time: 30 MB. */
static void the_stop_waits_for_imports(void)
{
	enum { TEXT = 30000000, GZIP = 100000 };
	CLEANUP_FREE char *text = malloc(TEXT + 1);
	CLEANUP_FREE uint8_t *gz = malloc(GZIP);
	struct store *s;

	memset(text, 'x', TEXT);
	text[TEXT] = '\0';
	begin();
	s = start(NEVER_NS);
	put(s, "a.notepack.gz", gz, foreign_gzip(gz, GZIP, text));
	CHECK_EQ(store_close(s), 0);
	CHECK_EQ(recorded(), 1);
	end();
}

/* ---- a reader ---- */

static void (*before_read)(void); /* the next one of the raw file a, once */

ssize_t pread(int fd, void *buf, size_t len, off_t offset)
{
	char link[64], path[PATH_MAX] = "", want[PATH_MAX];
	void (*fn)(void) = before_read;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	snprintf(want, sizeof(want), "%s/a", dir.path);
	if (fn && readlink(link, path, sizeof(path) - 1) > 0 && strcmp(path, want) == 0) {
		before_read = NULL;
		fn();
	}
	return syscall(SYS_pread64, fd, buf, len, offset);
}

static void punch_it(void)
{
	CHECK_EQ(punch(looked_at, "a"), 0);
}

static void a_reader_does_not_take_a_hole_for_bytes(void)
{
	struct caller c = me();
	struct handle *h;
	char got[4] = "";
	struct node *n;

	begin();
	looked_at = with_raw_file_kept();
	CHECK_EQ(store_lookup(looked_at, store_root(looked_at), "a", &n), 0);
	CHECK_EQ(store_open_node(looked_at, &c, n, O_RDONLY, &h), 0);
	before_read = punch_it;
	CHECK_EQ(store_read(h, got, 4, 0), 4);
	CHECK(!before_read);
	CHECK_TRACE(was("punch a"));
	CHECK(memcmp(got, "text", 4) == 0);
	store_release(h);
	node_unref(looked_at, n, 1);
	CHECK_EQ(store_close(looked_at), 0);
	end();
}

static void no_hole_is_made_in_a_file_that_has_another_name(void)
{
	begin();
	looked_at = with_raw_file_kept();
	CHECK_EQ(linkat(dir.fd, "a", dir.fd, "b", 0), 0);
	CHECK_EQ(punch(looked_at, "a"), -EMLINK);
	CHECK_TRACE(!was("punch a"));
	CHECK_EQ(unlinkat(dir.fd, "b", 0), 0);
	CHECK_EQ(store_close(looked_at), 0);
	end();
}

/* ---- names ---- */

static int commits;

/* No name is recorded for two files, and no file under two names. */
static void look_at_the_manifest(void)
{
	struct names names;

	read_names(&names);
	for (int i = 0; i < names.count; i++) {
		for (int k = 0; k < i; k++) {
			const struct name *a = &names.list[i], *b = &names.list[k];

			CHECK_EQ(a->id == b->id, strcmp(a->path, b->path) == 0);
		}
	}
	commits++;
	then(MANIFEST, look_at_the_manifest);
}

static void a_file_that_gets_a_name_is_recorded_behind_the_one_that_has_left_it(void)
{
	struct store *s;

	begin();
	s = start(NEVER_NS);
	put(s, "a", "text", 4);
	seal_all(s);
	CHECK_EQ(rename_to(s, "a", "b"), 0);
	put(s, "a", "another", 7);
	commits = 0;
	then(MANIFEST, look_at_the_manifest);
	seal_all(s);
	CHECK(commits > 0);
	CHECK_EQ(store_close(s), 0);
	end();
}

static void the_parts_of_a_renamed_file_are_recorded_with_the_new_one(void)
{
	struct store *s;

	begin();
	s = start(NEVER_NS);
	put(s, "a", "text", 4);
	seal_all(s);
	CHECK_EQ(rename_to(s, "a", "b"), 0);
	append(s, "b", "more", 4);
	commits = 0;
	then(MANIFEST, look_at_the_manifest);
	seal_all(s);
	CHECK(commits > 0);
	CHECK_EQ(store_close(s), 0);
	end();
}

static void an_import_that_gets_a_name_is_recorded_behind_the_file_that_has_left_it(void)
{
	struct store *s;

	begin();
	s = start(NEVER_NS);
	put(s, "a", "text", 4);
	seal_all(s);
	CHECK_EQ(rename_to(s, "a", "b"), 0);
	import_one(s, "another");
	commits = 0;
	then(MANIFEST, look_at_the_manifest);
	seal_all(s);
	CHECK(commits > 0);
	CHECK_EQ(store_close(s), 0);
	end();
}

static void the_names_are_recorded_at_the_stop(void)
{
	struct names names;
	struct store *s;

	begin();
	s = start(NEVER_NS);
	put(s, "a", "text", 4);
	seal_all(s);
	CHECK_EQ(rename_to(s, "a", "b"), 0);
	CHECK_EQ(store_close(s), 0);
	read_names(&names);
	CHECK_EQ(names.count, 1);
	CHECK_STR(names.list[0].path, "/b");
	end();
}

/* The object's name is the same for "b" and "b.notepack": only the record has the difference. */
static void a_name_that_the_object_does_not_tell_is_recorded_at_once(void)
{
	struct store *s;
	int status;
	pid_t pid;

	begin();
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		s = start(NEVER_NS);
		put(s, "a", "text", 4);
		seal_all(s);
		_exit(rename_to(s, "a", "b.notepack") != 0); /* as by SIGKILL */
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	s = start(NEVER_NS);
	CHECK(ino_of(s, "b.notepack") != 0);
	CHECK_EQ(ino_of(s, "b"), 0);
	CHECK_EQ(store_close(s), 0);
	end();
}

static int getattr_of(struct store *s, const char *name, struct stat *st)
{
	struct node *n;
	int err;

	CHECK_EQ(store_lookup(s, store_root(s), name, &n), 0);
	err = store_getattr(s, n, st);
	node_unref(s, n, 1);
	return err;
}

static void another_file_under_its_name_does_not_lend_it_its_attributes(void)
{
	struct store *s;
	struct stat st;

	begin();
	s = start(NEVER_NS);
	put(s, "a", "text", 4);
	quiet();
	CHECK_EQ(renameat(dir.fd, "a", dir.fd, "a.was"), 0);
	scratch_put(&dir, "a", "text");
	CHECK_EQ(getattr_of(s, "a", &st), -EIO);
	CHECK_EQ(renameat(dir.fd, "a.was", dir.fd, "a"), 0);
	CHECK_EQ(getattr_of(s, "a", &st), 0);
	CHECK_EQ(st.st_size, 4);
	CHECK_EQ(store_close(s), 0);
	loud();
	CHECK(seals_to("a.notepack.gz", "text"));
	end();
}

int main(void)
{
	loud();
	RUN(an_object_is_not_listed_before_it_is_recorded);
	RUN(an_import_is_not_listed_before_it_is_recorded);
	RUN(an_object_that_could_not_be_written_is_not_published);
	RUN(what_has_the_name_of_an_object_already_is_not_overwritten);
	RUN(a_raw_file_that_has_another_name_is_not_sealed);
	RUN(a_file_is_not_renamed_before_its_object_is_recorded);
	RUN(an_import_is_not_recorded_before_it_has_its_name);
	RUN(the_stop_waits_for_imports);
	RUN(a_reader_does_not_take_a_hole_for_bytes);
	RUN(no_hole_is_made_in_a_file_that_has_another_name);
	RUN(a_file_that_gets_a_name_is_recorded_behind_the_one_that_has_left_it);
	RUN(the_parts_of_a_renamed_file_are_recorded_with_the_new_one);
	RUN(an_import_that_gets_a_name_is_recorded_behind_the_file_that_has_left_it);
	RUN(the_names_are_recorded_at_the_stop);
	RUN(a_name_that_the_object_does_not_tell_is_recorded_at_once);
	RUN(another_file_under_its_name_does_not_lend_it_its_attributes);
	return unit_done();
}
