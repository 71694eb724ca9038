/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What fails behind a change that has been made, and what has been done although it was answered with an
 * error.
 */
#include "tests/unit/order_kit.h"

#include "lib/cut.h"
#include "lib/raw.h"

static const char *stat_fails_at; /* the last component */
static int stat_fails;		  /* so many times */

static int stat_at(int fd, const char *name, const char *said, struct stat *st, int flags)
{
	if (stat_fails && strcmp(said, stat_fails_at) == 0) {
		stat_fails--;
		return refuse();
	}
	return (int)syscall(SYS_newfstatat, fd, name, st, flags);
}

int fstat(int fd, struct stat *st)
{
	char link[64], path[PATH_MAX / 2];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n < 0 ? 0 : n] = '\0';
	return stat_at(fd, "", strrchr(path, '/') ? strrchr(path, '/') + 1 : path, st,
		       AT_EMPTY_PATH);
}

int fstatat(int fd, const char *name, struct stat *st, int flags)
{
	return stat_at(fd, name, name, st, flags);
}

static void fail_stat(const char *name, int times)
{
	stat_fails_at = name;
	stat_fails = times;
}

static void a_file_that_cannot_be_looked_at_is_not_taken_for_something_else(void)
{
	int fd;

	begin();
	CHECK_EQ(mknodat(dir.fd, "file", S_IFREG | 0600, 0), 0);
	CHECK_EQ(mknodat(dir.fd, "fifo", S_IFIFO | 0600, 0), 0);
	fail_stat("file", 1);
	CHECK_EQ(io_open(dir.fd, "file", O_RDONLY, 0), -EIO);
	CHECK_EQ(io_open(dir.fd, "fifo", O_RDONLY, 0), -EINVAL);
	fd = io_open(dir.fd, "file", O_RDONLY, 0);
	CHECK(fd >= 0);
	close(fd);
	end();
}

/* "a" is sealed; its next write needs a raw file. */
static struct handle *open_sealed(struct store *s, struct node **n)
{
	struct caller c = me();
	struct handle *h = NULL;

	put(s, "a", "text", 4);
	seal_all(s);
	CHECK_EQ(store_lookup(s, store_root(s), "a", n), 0);
	CHECK_EQ(store_open_node(s, &c, *n, O_WRONLY, &h), 0);
	return h;
}

static void close_all(struct store *s, struct handle *h, struct node *n)
{
	store_release(h);
	node_unref(s, n, 1);
	CHECK_EQ(store_close(s), 0);
	CHECK_EQ(count_entries(&dir, "."), 2); /* two parts, and nothing else */
	CHECK_EQ(count_entries(&dir, ".notepackfs/tmp"), 0);
}

static void a_write_that_cannot_have_its_raw_file_leaves_none(void)
{
	struct store *s;
	struct handle *h;
	struct node *n;

	begin();
	s = start(NEVER_NS);
	h = open_sealed(s, &n);
	fail_stat("a", 1);
	CHECK_EQ(store_write(h, "more", 4, 4, false), -EIO);
	CHECK_EQ(stat_fails, 0);
	CHECK_EQ(store_write(h, "more", 4, 4, false), 4);
	close_all(s, h, n);
	end();
}

static void a_raw_file_whose_rename_was_made_but_not_answered_is_taken(void)
{
	struct store *s;
	struct handle *h;
	struct node *n;

	begin();
	s = start(NEVER_NS);
	h = open_sealed(s, &n);
	lose_answer = true;
	fail_next("name a", 1);
	CHECK_EQ(store_write(h, "more", 4, 4, false), 4);
	CHECK_EQ(fail_times, 0);
	close_all(s, h, n);
	end();
}

static void an_object_that_is_in_the_way_and_was_not_seen_is_removed_at_last(void)
{
	struct store *s;

	begin();
	s = start(NEVER_NS);
	put(s, "a", "text", 4);
	seal_all(s);
	log_open("test_answers", false, LOG_CRIT);
	fail_next("unlink a.notepack.gz", 1);
	fail_stat("a.notepack.gz", 2);
	remove_name(s, "a");
	CHECK_EQ(fail_times + stat_fails, 0);
	CHECK(seals_to("a.notepack.gz", "text"));
	put(s, "a", "other", 5);
	seal_all(s);
	log_open("test_answers", false, LOG_ERR);
	CHECK(seals_to("a.notepack.gz", "other"));
	CHECK_EQ(store_close(s), 0);
	CHECK(seals_to("a.notepack.gz", "other"));
	end();
}

/* It was unlinked, though the answer said no: what has the name now is another. */
static void an_object_that_took_the_name_of_such_a_one_stays(void)
{
	struct store *s;

	begin();
	s = start(NEVER_NS);
	put(s, "a", "text", 4);
	seal_all(s);
	log_open("test_answers", false, LOG_CRIT);
	lose_answer = true;
	fail_next("unlink a.notepack.gz", 1);
	fail_stat("a.notepack.gz", 2);
	remove_name(s, "a");
	CHECK_EQ(fail_times + stat_fails, 0);
	put(s, "a", "other", 5);
	seal_all(s);
	log_open("test_answers", false, LOG_ERR);
	(void)store_close(s);
	CHECK(seals_to("a.notepack.gz", "other"));
	end();
}

/* Whatever kept it from being written: here, that the file is never idle. */
static void a_name_that_is_not_in_the_manifest_is_no_clean_stop(void)
{
	struct store *s;
	struct node *n;

	begin();
	s = start(NEVER_NS);
	put(s, "a", "text", 4);
	seal_all(s);
	CHECK_EQ(rename_to(s, "a", "b"), 0);
	CHECK_EQ(store_lookup(s, store_root(s), "b", &n), 0);
	lock_take(&s->lock);
	n->busy = BUSY_HELD;
	lock_drop(&s->lock);
	node_unref(s, n, 1);
	CHECK_EQ(store_close(s), 5);

	log_open("test_answers", false, LOG_CRIT);
	s = start(NEVER_NS);
	log_open("test_answers", false, LOG_ERR);
	CHECK_EQ(store_lookup(s, store_root(s), "b", &n), 0);
	node_unref(s, n, 1);
	CHECK_EQ(store_close(s), 0);
	end();
}

/* The object of "a" has its name, and the manifest cannot be written: who knows for how long. */
static struct file *unrecorded(struct store *s)
{
	struct handle *h;
	struct node *n;
	int stuck = 0;

	h = create(s, "a", &n);
	CHECK_EQ(store_write(h, "text", 4, 0, false), 4);
	fail_next(MANIFEST, INT_MAX);
	store_release(h);
	while (!stuck) {
		lock_take(&s->lock);
		stuck = n->stuck;
		lock_drop(&s->lock);
		sched_yield();
	}
	return to_file(n);
}

static void what_cannot_be_recorded_is_not_waited_for(void)
{
	struct store *s;
	struct file *f;

	begin();
	alarm(60);
	log_open("test_answers", false, LOG_CRIT);
	s = start(0);
	f = unrecorded(s);
	node_unref(s, &f->n, 1);
	CHECK_EQ(rename_to(s, "a", "b"), -EIO);
	CHECK_EQ(remove_name(s, "a"), -EIO);
	fail_next(NULL, 0);
	seal_all(s);
	CHECK_EQ(rename_to(s, "a", "b"), 0);
	CHECK_EQ(store_close(s), 0);
	CHECK(seals_to("b.notepack.gz", "text"));
	alarm(0);
	log_open("test_answers", false, LOG_ERR);
	end();
}

/* Named bug: an earlier part's raw bytes were kept for a writer elsewhere, and the stop, which tries again
 * to give them up, waited for the later part for ever. */
static void nor_does_the_stop_wait_for_it(void)
{
	struct store *s;
	struct file *f;

	begin();
	alarm(60);
	log_open("test_answers", false, LOG_CRIT);
	s = start(0);
	f = unrecorded(s);
	lock_take(&s->lock);
	f->kept = true;
	lock_drop(&s->lock);
	node_unref(s, &f->n, 1);
	CHECK(store_close(s) != 0);
	fail_next(NULL, 0);
	s = start(NEVER_NS);
	CHECK_EQ(store_close(s), 0);
	CHECK(seals_to("a.notepack.gz", "text"));
	alarm(0);
	log_open("test_answers", false, LOG_ERR);
	end();
}

/* Named bug: who waited for its removal to end then looked at a raw file without records, and no stop was
 * clean any more. */
static void what_was_removed_meanwhile_is_not_doubted(void)
{
	struct caller c = me();
	struct handle *h, *reader;
	struct store *s;
	struct node *n;

	begin();
	s = start(NEVER_NS);
	h = open_sealed(s, &n);
	CHECK_EQ(raw_make(s, to_file(n)), 0);
	CHECK_EQ(store_open_node(s, &c, n, O_RDONLY, &reader), 0);
	CHECK_EQ(remove_name(s, "a"), 0);
	store_release(h);
	lock_take(&s->lock);
	CHECK(to_file(n)->raw_present);
	to_file(n)->raw_unproven = true;
	lock_drop(&s->lock);
	file_drop_raw(s, to_file(n));
	store_release(reader);
	node_unref(s, n, 1);
	CHECK_EQ(store_close(s), 0);
	end();
}

/* Named bug: a power cut on btrfs brought a raw file back whose removal, but not whose bytes, had been waited
 * for; the store was clean, so nobody compared them. */
static void sealed_bytes_are_not_read_from_a_raw_file_that_is_back(void)
{
	struct caller c = me();
	struct raw_mark mark = {.base = 0};
	char text[8] = "";
	struct handle *h;
	struct store *s;
	struct node *n;
	int fd;

	begin();
	s = start(NEVER_NS);
	put(s, "a", "text", 4);
	seal_all(s);
	CHECK_EQ(store_lookup(s, store_root(s), "a", &n), 0);
	mark.id = to_file(n)->id;
	node_unref(s, n, 1);
	fd = openat(dir.fd, ".back", O_RDWR | O_CREAT, 0600);
	CHECK_EQ(raw_write_mark(s, fd, &mark), 0);
	close(fd);
	CHECK_EQ(store_close(s), 0);

	CHECK_EQ(renameat(dir.fd, ".back", dir.fd, "a"), 0);
	log_open("test_answers", false, LOG_CRIT);
	s = start(NEVER_NS);
	CHECK_EQ(store_lookup(s, store_root(s), "a", &n), 0);
	CHECK(to_file(n)->raw_present);
	CHECK_EQ(store_open_node(s, &c, n, O_RDONLY, &h), 0);
	CHECK_EQ(store_read(h, text, sizeof(text), 0), 4);
	CHECK_STR(text, "text");
	store_release(h);
	node_unref(s, n, 1);
	(void)store_close(s);
	log_open("test_answers", false, LOG_ERR);
	end();
}

static void a_stop_is_clean_when_all_is_durable(void)
{
	struct store *s;

	for (int fails = 0; fails < 2; fails++) {
		begin();
		s = start(NEVER_NS);
		put(s, "a", "text", 4);
		seal_all(s);
		forget();
		log_open("test_answers", false, LOG_CRIT);
		fail_next("syncfs *", fails);
		CHECK_EQ(store_close(s), fails);
		log_open("test_answers", false, LOG_ERR);
		CHECK_TRACE(was("syncfs *"));
		CHECK_EQ(find(MANIFEST, find("syncfs *", 0)) > 0, !fails);
		end();
	}
}

static void an_import_that_cannot_be_looked_at_is_not_passed_by(void)
{
	struct store *s;

	begin();
	s = start(NEVER_NS);
	put(s, "a", "text", 4);
	CHECK_EQ(store_close(s), 0);
	mkdirat(dir.fd, ".notepackfs/import", 0700);
	CHECK_EQ(mknodat(dir.fd, ".notepackfs/import/77", S_IFREG | 0600, 0), 0);
	fail_stat("77", 1);
	log_open("test_answers", false, LOG_CRIT);
	s = start(NEVER_NS);
	CHECK_EQ(stat_fails, 0);
	CHECK_EQ(store_close(s), 5); /* the next start looks again */
	log_open("test_answers", false, LOG_ERR);
	end();
}

int main(void)
{
	log_open("test_answers", false, LOG_ERR);
	RUN(a_file_that_cannot_be_looked_at_is_not_taken_for_something_else);
	RUN(a_write_that_cannot_have_its_raw_file_leaves_none);
	RUN(a_raw_file_whose_rename_was_made_but_not_answered_is_taken);
	RUN(an_object_that_is_in_the_way_and_was_not_seen_is_removed_at_last);
	RUN(an_object_that_took_the_name_of_such_a_one_stays);
	RUN(a_name_that_is_not_in_the_manifest_is_no_clean_stop);
	RUN(what_cannot_be_recorded_is_not_waited_for);
	RUN(nor_does_the_stop_wait_for_it);
	RUN(what_was_removed_meanwhile_is_not_doubted);
	RUN(sealed_bytes_are_not_read_from_a_raw_file_that_is_back);
	RUN(a_stop_is_clean_when_all_is_durable);
	RUN(an_import_that_cannot_be_looked_at_is_not_passed_by);
	return unit_done();
}
