/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that stay open: when they are cut, and what becomes of their raw bytes. */
#include "tests/unit/order_kit.h"

#define PIECE ((size_t)1638400) /* more than what is worth a hole; whole blocks */
#define WAIT_MS 20000

static struct store *start_rotating(uint64_t bytes)
{
	struct store *s = start(NEVER_NS);

	lock_take(&s->lock);
	s->options.rotate_bytes = bytes;
	lock_drop(&s->lock);
	return s;
}

static struct node *look_up(struct store *s, const char *name)
{
	struct node *n = NULL;

	CHECK_EQ(store_lookup(s, store_root(s), name, &n), 0);
	return n;
}

static void close_all(struct store *s, struct handle *h, struct node *n)
{
	store_release(h);
	node_unref(s, n, 1);
	CHECK_EQ(store_close(s), 0);
	end();
}

static void write_lines(struct handle *h, size_t len, uint64_t offset)
{
	CLEANUP_FREE char *text = malloc(len);

	for (size_t i = 0; i < len; i++)
		text[i] = i % 100 == 99 ? '\n' : (char)('a' + (offset + i) * 7 % 26);
	text[len - 1] = '\n';
	CHECK_EQ(store_write(h, text, len, offset, false), (long long)len);
}

/* Until this holds of the file, under the lock. */
static bool wait_until(struct store *s, struct node *n,
		       bool (*holds)(const struct file *f, uint64_t what), uint64_t what)
{
	for (int i = 0; i < WAIT_MS; i++) {
		bool now;

		lock_take(&s->lock);
		now = n->busy == IDLE && holds(to_file(n), what);
		lock_drop(&s->lock);
		if (now)
			return true;
		usleep(1000);
	}
	return false;
}

static bool is_sealed_to(const struct file *f, uint64_t end)
{
	return f->sealed_end >= end && !f->segments;
}

static bool has_hole_to(const struct file *f, uint64_t end)
{
	return f->raw_base >= end;
}

static bool is_kept(const struct file *f, uint64_t none)
{
	return f->kept;
}

static bool was_tried_at(const struct file *f, uint64_t end)
{
	return f->rotate_from == end && !f->deadline_ns;
}

static uint64_t disk_bytes(const char *name)
{
	struct stat st;

	return fstatat(dir.fd, name, &st, 0) == 0 ? (uint64_t)st.st_blocks * 512 : UINT64_MAX;
}

static void an_open_file_gives_back_the_space_of_what_is_sealed(void)
{
	struct store *s;
	struct handle *h;
	struct node *n;

	begin();
	s = start_rotating(PIECE);
	h = create(s, "a", &n);
	write_lines(h, PIECE, 0);
	CHECK(wait_until(s, n, has_hole_to, PIECE));
	CHECK_TRACE(before("mark a", "sync a"));
	CHECK_TRACE(before("sync a", "punch a"));
	CHECK_EQ(disk_bytes("a"), 0);
	close_all(s, h, n);
}

/* As a crash leaves it, between the mark and the hole. */
static void a_hole_begins_at_the_start_of_the_file(void)
{
	struct store *s;
	struct handle *h;
	struct node *n;

	begin();
	s = start_rotating(PIECE);
	h = create(s, "a", &n);
	log_open("test_rotate", false, LOG_CRIT);
	fail_next("punch a", 1);
	write_lines(h, PIECE, 0);
	CHECK(wait_until(s, n, is_sealed_to, PIECE));
	CHECK(!fail_times && disk_bytes("a") >= PIECE);
	loud();
	write_lines(h, PIECE, PIECE);
	CHECK(wait_until(s, n, has_hole_to, 2 * PIECE));
	CHECK_EQ(disk_bytes("a"), 0);
	close_all(s, h, n);
}

static void a_hole_does_not_change_the_time_of_the_last_change(void)
{
	struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000, .tv_nsec = 3}};
	struct store *s;
	struct stat st;

	begin();
	s = with_raw_file_kept();
	CHECK_EQ(utimensat(dir.fd, "a", times, 0), 0);
	CHECK_EQ(punch(s, "a"), 0);
	CHECK_TRACE(was("punch a"));
	CHECK_EQ(fstatat(dir.fd, "a", &st, 0), 0);
	CHECK(st.st_mtim.tv_sec == 2000 && st.st_mtim.tv_nsec == 3);
	CHECK_EQ(store_close(s), 0);
	end();
}

/* A file of two pieces of which one is sealed, and then the process is killed. */
static void leave_half_sealed(void)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct store *s = start_rotating(PIECE);
		struct node *n;
		struct handle *h = create(s, "a", &n);

		write_lines(h, PIECE, 0);
		CHECK(wait_until(s, n, is_sealed_to, PIECE));
		write_lines(h, 100, PIECE);
		_exit(unit_failures != 0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

static void open_again(struct store *s, struct node **n, struct handle **h)
{
	struct caller c = me();

	*n = look_up(s, "a");
	CHECK_EQ(store_open_node(s, &c, *n, O_WRONLY | O_APPEND, h), 0);
}

static void a_file_from_before_a_crash_gives_back_its_space_to_a_new_writer(void)
{
	struct store *s;
	struct handle *h;
	struct node *n;

	begin();
	leave_half_sealed();
	s = start_rotating(PIECE);
	open_again(s, &n, &h);
	write_lines(h, PIECE, PIECE + 100);
	CHECK(wait_until(s, n, has_hole_to, 2 * PIECE));
	CHECK(disk_bytes("a") < PIECE);
	close_all(s, h, n);
}

static void but_not_while_the_old_one_still_writes(void)
{
	struct store *s;
	struct handle *h;
	struct node *n;
	int fd;

	begin();
	leave_half_sealed();
	fd = openat(dir.fd, "a", O_WRONLY | O_APPEND | O_CLOEXEC);
	CHECK(fd >= 0);
	s = start_rotating(PIECE);
	open_again(s, &n, &h);
	write_lines(h, PIECE, PIECE + 100);
	CHECK(wait_until(s, n, is_sealed_to, 2 * PIECE));
	CHECK(disk_bytes("a") >= PIECE);
	CHECK(wait_until(s, n, is_kept, 0));
	CHECK_EQ(punch(s, "a"), 1);
	close(fd);
	close_all(s, h, n);
}

/* ---- where, and when ---- */

static struct handle *rewriter;
static atomic_bool rewrite; /* behind the next read of the raw file a */

ssize_t pread(int fd, void *buf, size_t len, off_t offset)
{
	ssize_t n = syscall(SYS_pread64, fd, buf, len, offset);
	char link[64], path[PATH_MAX] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (dir.path[0] && readlink(link, path, sizeof(path) - 1) > 0 &&
	    strncmp(path, dir.path, strlen(dir.path)) == 0 &&
	    strcmp(path + strlen(dir.path), "/a") == 0 && atomic_exchange(&rewrite, false))
		CHECK_EQ(store_write(rewriter, "x", 1, 9, false), 1);
	return n;
}

static void what_is_rewritten_while_the_end_is_looked_for_tears_no_record(void)
{
	struct store *s;
	struct node *n;

	begin();
	s = start_rotating(10);
	rewriter = create(s, "a", &n);
	atomic_store(&rewrite, true);
	CHECK_EQ(store_write(rewriter, "one.\ntwo.\n", 10, 0, false), 10);
	CHECK(wait_until(s, n, is_sealed_to, 5));
	CHECK(seals_to("a.notepack.gz", "one.\n"));
	close_all(s, rewriter, n);
}

static void a_try_that_cuts_nothing_is_repeated_when_as_much_is_new(void)
{
	struct store *s;
	struct handle *h;
	struct node *n;

	begin();
	s = start_rotating(10);
	h = create(s, "a", &n);
	CHECK_EQ(store_write(h, "0123456789", 10, 0, false), 10);
	CHECK(wait_until(s, n, was_tried_at, 10));
	for (uint64_t at = 10; at < 19; at++) {
		CHECK_EQ(store_write(h, "\n", 1, at, false), 1);
		CHECK(wait_until(s, n, was_tried_at, 10));
	}
	CHECK_EQ(store_write(h, "\n", 1, 19, false), 1);
	CHECK(wait_until(s, n, is_sealed_to, 20));
	close_all(s, h, n);
}

int main(void)
{
	loud();
	RUN(an_open_file_gives_back_the_space_of_what_is_sealed);
	RUN(a_hole_begins_at_the_start_of_the_file);
	RUN(a_hole_does_not_change_the_time_of_the_last_change);
	RUN(a_file_from_before_a_crash_gives_back_its_space_to_a_new_writer);
	RUN(but_not_while_the_old_one_still_writes);
	RUN(what_is_rewritten_while_the_end_is_looked_for_tears_no_record);
	RUN(a_try_that_cuts_nothing_is_repeated_when_as_much_is_new);
	return unit_done();
}
