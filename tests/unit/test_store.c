/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine without FUSE: opened, written to by threads, closed, again and again.
 */
#include "tests/unit/store_kit.h"

#include <sys/wait.h>

#define WRITERS 3
#define CYCLES 200

struct writer {
	pthread_t thread;
	struct store *store;
	int cycle, number;
	uint8_t data[3000];
	size_t len;
};

static void writer_name(const struct writer *w, char *out, size_t size)
{
	snprintf(out, size, "file-%d-%d", w->cycle, w->number);
}

static void *write_one(void *arg)
{
	struct writer *w = arg;
	char name[64];

	w->len = 1 + (size_t)(w->cycle * 31 + w->number * 977) % sizeof(w->data);
	sample_text(w->data, w->len, (uint64_t)w->cycle * 10 + (uint64_t)w->number);
	writer_name(w, name, sizeof(name));
	put(w->store, name, w->data, w->len);
	return NULL;
}

/* L1: joined; L3: what is published is what was accepted; L5, L7: the stop drains and hangs
 * nowhere. */
static void opens_and_closes_200_times_under_load_L1_L3_L5_L7(void)
{
	static struct writer writers[WRITERS];
	struct scratch dir;
	int threads = threads_now();

	scratch_init(&dir);
	for (int cycle = 0; cycle < CYCLES; cycle++) {
		struct store *s =
		    open_store(&dir, 1 + (unsigned)cycle % 8, cycle % 2 ? 0 : NEVER_NS);

		for (int i = 0; i < WRITERS; i++) {
			writers[i].store = s;
			writers[i].cycle = cycle;
			writers[i].number = i;
			if (pthread_create(&writers[i].thread, NULL, write_one, &writers[i]) !=
			    0)
				abort();
		}
		for (int i = 0; i < WRITERS; i++)
			pthread_join(writers[i].thread, NULL);
		CHECK_EQ(store_close(s), 0);
		for (int i = 0; i < WRITERS; i++) {
			char name[80];

			writer_name(&writers[i], name, 64);
			strcat(name, ".notepack.gz");
			CHECK(object_equals(&dir, name, writers[i].data, writers[i].len));
		}
	}
	CHECK_EQ(threads_settle(threads), threads);
	CHECK_EQ(count_entries(&dir, "."), WRITERS * CYCLES);
	CHECK_EQ(count_entries(&dir, ".notepackfs/tmp"), 0);
	scratch_release(&dir);
}

static void seal_one(struct scratch *dir, unsigned threads, const void *data, size_t len)
{
	struct store *s = open_store(dir, threads, NEVER_NS);

	put(s, "big", data, len);
	put(s, "small", data, 1);
	CHECK_EQ(store_close(s), 0);
}

static bool same_file(struct scratch *a, struct scratch *b, const char *name)
{
	CLEANUP_FREE char *x = NULL, *y = NULL;
	size_t nx = 0, ny = 1;

	if (io_read_file(a->fd, name, 1 << 26, &x, &nx) != 0 ||
	    io_read_file(b->fd, name, 1 << 26, &y, &ny) != 0)
		return false;
	return nx == ny && memcmp(x, y, nx) == 0;
}

static void objects_are_the_same_for_1_and_8_threads(void)
{
	size_t len = (size_t)5 << 20;
	CLEANUP_FREE uint8_t *data = malloc(len);
	struct scratch one, eight;

	sample_text(data, len, 1);
	sample_random(data + len / 2, len / 4, 2);
	scratch_init(&one);
	scratch_init(&eight);
	seal_one(&one, 1, data, len);
	seal_one(&eight, 8, data, len);
	CHECK(object_equals(&one, "big.notepack.gz", data, len));
	CHECK(same_file(&one, &eight, "big.notepack.gz"));
	CHECK(same_file(&one, &eight, "small.notepack.gz"));
	scratch_release(&one);
	scratch_release(&eight);
}

/* Of the store's threads the pool's are created first; the publisher and the timer then
 * succeed. */
static void seals_without_any_compressing_thread_L8(void)
{
	size_t len = (size_t)2 << 20;
	CLEANUP_FREE uint8_t *data = malloc(len);
	struct scratch dir;
	struct store *s;
	int threads = threads_now();

	sample_text(data, len, 3);
	scratch_init(&dir);
	threads_fail_next(4);
	s = open_store(&dir, 4, 0);
	threads_fail_never();
	put(s, "a", data, len);
	seal_all(s); /* while it runs, not only at the stop */
	put(s, "b", data, 100);
	CHECK_EQ(store_close(s), 0);
	CHECK(object_equals(&dir, "a.notepack.gz", data, len));
	CHECK(object_equals(&dir, "b.notepack.gz", data, 100));
	CHECK_EQ(threads_settle(threads), threads);
	scratch_release(&dir);
}

static void without_publisher_or_timer_the_start_fails_cleanly_L8(void)
{
	struct scratch dir;
	int threads = threads_now();

	scratch_init(&dir);
	for (int left = 0; left < 3; left++) {
		struct store_options options = {.path = dir.path, .level = 1, .threads = 1};
		struct store_error error = {.text = ""};
		struct store *s = NULL;
		int err;

		threads_fail_from(left);
		err = store_open(&options, NULL, &s, &error);
		threads_fail_never();
		if (left < 2) {
			CHECK_EQ(err, -1);
			CHECK_EQ(error.exit_status, 1);
		}
		if (!err)
			CHECK_EQ(store_close(s), 0);
		CHECK_EQ(threads_settle(threads), threads);
	}
	CHECK_EQ(store_close(open_store(&dir, 1, 0)), 0); /* and the lock is free again */
	scratch_release(&dir);
}

static void empty_writes_and_empty_seals_do_nothing_L10(void)
{
	struct scratch dir;
	struct store *s;
	struct handle *h;

	scratch_init(&dir);
	s = open_store(&dir, 2, 0);
	seal_all(s); /* of nothing */
	h = create(s, "empty", NULL);
	CHECK_EQ(store_write(h, "", 0, 0, false), 0);
	CHECK_EQ(store_fsync(h), 0);
	store_release(h);
	seal_all(s);
	put(s, "full", "x", 1);
	seal_all(s);
	append(s, "full", "", 0); /* to a sealed file */
	seal_all(s);
	CHECK_EQ(store_close(s), 0);
	CHECK(scratch_has(&dir, "empty"));
	CHECK(!scratch_has(&dir, "empty.notepack.gz"));
	CHECK(object_equals(&dir, "full.notepack.gz", "x", 1));
	CHECK(!scratch_has(&dir, "full.p000000002.notepack.gz"));
	CHECK_EQ(count_entries(&dir, "."), 2);
	scratch_release(&dir);
}

/* L2: a path that is written again at once is another file: nothing is lost to the old one's
 * seal. L19: its number was never used, also after a restart. */
static void a_path_used_again_is_a_new_file_L2_L19(void)
{
	struct scratch dir;
	struct store *s = NULL;
	uint64_t last = 0;

	scratch_init(&dir);
	for (int i = 0; i < 60; i++) {
		char text[32];
		uint64_t ino;

		s = i % 10 == 0 ? open_store(&dir, 2, 0) : s;
		snprintf(text, sizeof(text), "generation %d", i);
		put(s, "path", text, strlen(text));
		if (i % 3 == 0)
			seal_all(s);
		ino = ino_of(s, "path");
		CHECK(ino > last);
		last = ino;
		if (i % 10 == 9) {
			CHECK_EQ(store_close(s), 0);
			CHECK(object_equals(&dir, "path.notepack.gz", text, strlen(text)));
			CHECK_EQ(count_entries(&dir, "."), 1); /* part 1 */
			s = open_store(&dir, 2, 0);
			CHECK_EQ(ino_of(s, "path"), ino);
			CHECK_EQ(remove_name(s, "path"), 0);
			CHECK_EQ(store_close(s), 0);
		} else {
			CHECK_EQ(remove_name(s, "path"), 0);
		}
	}
	CHECK_EQ(count_entries(&dir, "."), 0);
	scratch_release(&dir);
}

/* A file's last part is removed and one is appended: its number is not used again. */
static void part_numbers_are_never_used_again_L19(void)
{
	struct scratch dir;
	struct store *s;

	scratch_init(&dir);
	s = open_store(&dir, 2, 0);
	put(s, "f", "one", 3);
	seal_all(s);
	append(s, "f", "two", 3);
	seal_all(s);
	CHECK(scratch_has(&dir, "f.p000000002.notepack.gz"));
	append(s, "f", "three", 5);
	seal_all(s);
	CHECK(object_equals(&dir, "f.p000000003.notepack.gz", "three", 5));
	/* Bug: without its last part a file gave that number out again. */
	CHECK_EQ(remove_name(s, "f.p000000003.notepack.gz"), -EPERM);
	CHECK_EQ(remove_name(s, "f.notepack.gz"), 0);
	CHECK_EQ(store_close(s), 0);
	s = open_store(&dir, 2, 0);
	append(s, "f", "four", 4);
	CHECK_EQ(store_close(s), 0);
	CHECK(object_equals(&dir, "f.p000000004.notepack.gz", "four", 4));
	scratch_release(&dir);
}

/* L11: appends, cuts, reads and seals of one file from several threads, none lost, in order. */
struct appender {
	pthread_t thread;
	struct store *store;
	struct lock *order;
	uint64_t *size;
};

#define LINE_BYTES 16
#define LINES 400

static void *append_lines(void *arg)
{
	struct appender *a = arg;
	struct caller c = me();
	struct handle *h;
	struct node *n;

	CHECK_EQ(store_lookup(a->store, store_root(a->store), "log", &n), 0);
	for (int i = 0; i < LINES / 4; i++) {
		char line[LINE_BYTES + 8];
		int err;

		while ((err = store_open_node(a->store, &c, n, O_WRONLY | O_APPEND, &h)) ==
		       STORE_BUSY)
			store_wait_idle(a->store, c.busy);
		CHECK_EQ(err, 0);
		lock_take(a->order); /* the kernel's part: O_APPEND */
		snprintf(line, sizeof(line), "line %010u\n",
			 (unsigned)(*a->size / LINE_BYTES) % LINES);
		CHECK_EQ(store_write(h, line, LINE_BYTES, *a->size, false), LINE_BYTES);
		*a->size += LINE_BYTES;
		lock_drop(a->order);
		if (i % 5 == 0)
			CHECK_EQ(store_fsync(h), 0);
		store_release(h);
	}
	node_unref(a->store, n, 1);
	return NULL;
}

static void one_file_written_cut_and_sealed_at_once_keeps_its_order_L11(void)
{
	struct appender appenders[4];
	struct lock order;
	struct scratch dir;
	uint64_t size = 0;
	struct handle *h;
	struct caller c = me();
	struct node *n;
	struct store *s;
	char got[LINES * LINE_BYTES + 1];

	scratch_init(&dir);
	lock_init(&order);
	s = open_store(&dir, 4, 0);
	store_release(create(s, "log", NULL));
	for (int i = 0; i < 4; i++) {
		appenders[i] = (struct appender){.store = s, .order = &order, .size = &size};
		if (pthread_create(&appenders[i].thread, NULL, append_lines, &appenders[i]) !=
		    0)
			abort();
	}
	for (int i = 0; i < 20; i++)
		seal_all(s);
	for (int i = 0; i < 4; i++)
		pthread_join(appenders[i].thread, NULL);
	CHECK_EQ(store_close(s), 0);
	s = open_store(&dir, 1, 0);
	CHECK_EQ(store_lookup(s, store_root(s), "log", &n), 0);
	CHECK_EQ(store_open_node(s, &c, n, O_RDONLY, &h), 0);
	CHECK_EQ(store_read(h, got, sizeof(got), 0), LINES * LINE_BYTES);
	for (int i = 0; i < LINES; i++) {
		char line[LINE_BYTES + 8];

		snprintf(line, sizeof(line), "line %010d\n", i);
		if (memcmp(got + i * LINE_BYTES, line, LINE_BYTES) != 0) {
			CHECK_EQ(i, -1);
			break;
		}
	}
	store_release(h);
	node_unref(s, n, 1);
	CHECK_EQ(store_close(s), 0);
	lock_release(&order);
	scratch_release(&dir);
}

/* L16: a segment whose seal fails holds back no state of others, and is not taken for sealed
 * because a later one is. Something foreign lies under its object's name. */
static void a_failed_seal_is_kept_whatever_others_do_L16(void)
{
	struct scratch dir;
	struct store *s;

	scratch_init(&dir);
	log_open("test_store", false, LOG_CRIT);
	s = open_store(&dir, 2, 0);
	scratch_put(&dir, "early.notepack.gz", "foreign");
	put(s, "early", "first", 5);
	put(s, "late", "second", 6);
	CHECK_EQ(store_close(s), 5);
	log_open("test_store", false, LOG_ERR);
	CHECK(object_equals(&dir, "late.notepack.gz", "second", 6));
	CHECK(scratch_has(&dir, "early")); /* its raw bytes */
	CHECK_EQ(unlinkat(dir.fd, "early.notepack.gz", 0), 0);
	CHECK_EQ(store_close(open_store(&dir, 2, 0)), 0);
	CHECK(object_equals(&dir, "early.notepack.gz", "first", 5));
	CHECK(!scratch_has(&dir, "early"));
	scratch_release(&dir);
}

/* L6: the file of a segment in work is removed and forgotten by everyone else, so that the last
 * reference is the worker's: it ends the file, and the stop waits for no one. */
static void the_last_reference_may_be_a_workers_L6(void)
{
	size_t len = (size_t)1 << 20;
	CLEANUP_FREE uint8_t *data = malloc(len);
	struct scratch dir;
	struct store *s;
	int threads = threads_now();

	sample_random(data, len, 4);
	scratch_init(&dir);
	s = open_store(&dir, 2, 0);
	for (int i = 0; i < 40; i++) {
		put(s, "doomed", data, len - (size_t)i);
		if (i % 2)
			CHECK_EQ(store_sync(s), 0);
		CHECK_EQ(remove_name(s, "doomed"), 0);
	}
	CHECK_EQ(store_close(s), 0);
	CHECK_EQ(threads_settle(threads), threads);
	CHECK_EQ(count_entries(&dir, "."), 0);
	CHECK_EQ(count_entries(&dir, ".notepackfs/tmp"), 0);
	scratch_release(&dir);
}

/* L18: one lock for everyone. */
static void a_second_start_is_refused_L18(void)
{
	struct store_options options = {.level = 1, .threads = 1};
	struct store_error error;
	struct store *s, *t;
	struct scratch dir;

	scratch_init(&dir);
	s = open_store(&dir, 1, 0);
	options.path = dir.path;
	CHECK_EQ(store_open(&options, NULL, &t, &error), -1);
	CHECK_EQ(error.exit_status, 3);
	CHECK_EQ(store_close(s), 0);
	scratch_release(&dir);
}

/* The marks of a raw file that was made for an append may outlive a power cut, and its length not:
 * then it is no file that has lost its beginning. */
static void a_raw_file_shorter_than_what_is_sealed_hides_nothing(void)
{
	struct scratch dir;
	uint8_t data[4000];
	char path[PATH_MAX];
	struct store *s;
	struct stat st;
	struct node *n;
	int status;
	pid_t pid;

	scratch_init(&dir);
	sample_text(data, sizeof(data), 1);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		s = open_store(&dir, 1, NEVER_NS);
		put(s, "a", data, sizeof(data));
		seal_all(s);
		append(s, "a", data, 300);
		_exit(0); /* as by SIGKILL */
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	snprintf(path, sizeof(path), "%s/a", dir.path);
	CHECK_EQ(truncate(path, 0), 0);
	s = open_store(&dir, 1, 0);
	CHECK_EQ(store_lookup(s, store_root(s), "a", &n), 0);
	/* Until the raw file is gone, or taken for the whole. */
	for (int i = 0; i < 5000 && scratch_has(&dir, "a"); i++) {
		CHECK_EQ(store_getattr(s, n, &st), 0);
		if (st.st_size != sizeof(data))
			break;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	CHECK_EQ(store_getattr(s, n, &st), 0);
	CHECK_EQ(st.st_size, sizeof(data));
	node_unref(s, n, 1);
	append(s, "a", data, 300);
	CHECK_EQ(store_close(s), 0);
	CHECK(object_equals(&dir, "a.notepack.gz", data, sizeof(data)));
	CHECK(object_equals(&dir, "a.p000000002.notepack.gz", data, 300));
	CHECK(!scratch_has(&dir, "a"));
	scratch_release(&dir);
}

int main(void)
{
	log_open("test_store", false, LOG_ERR);
	RUN(opens_and_closes_200_times_under_load_L1_L3_L5_L7);
	RUN(objects_are_the_same_for_1_and_8_threads);
	RUN(seals_without_any_compressing_thread_L8);
	RUN(without_publisher_or_timer_the_start_fails_cleanly_L8);
	RUN(empty_writes_and_empty_seals_do_nothing_L10);
	RUN(a_path_used_again_is_a_new_file_L2_L19);
	RUN(part_numbers_are_never_used_again_L19);
	RUN(one_file_written_cut_and_sealed_at_once_keeps_its_order_L11);
	RUN(a_failed_seal_is_kept_whatever_others_do_L16);
	RUN(the_last_reference_may_be_a_workers_L6);
	RUN(a_second_start_is_refused_L18);
	RUN(a_raw_file_shorter_than_what_is_sealed_hides_nothing);
	return unit_done();
}
