/* SPDX-License-Identifier: BSD-2-Clause */
/* L9: a retry that fails the same way again and again does not fill the log. */
#include "lib/log.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "lib/bytes.h"
#include "lib/io.h"
#include "lib/lock.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

static struct scratch scratch;
static int saved_stderr;

/* What is logged between capture and captured, by the latter: a string to free. */
static void capture(void)
{
	int fd = openat(scratch.fd, "log", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	saved_stderr = dup(STDERR_FILENO);
	if (fd < 0 || saved_stderr < 0 || dup2(fd, STDERR_FILENO) < 0)
		abort();
	close(fd);
}

static char *captured(void)
{
	char *text = NULL;
	size_t len;

	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	if (io_read_file(scratch.fd, "log", 1 << 20, &text, &len) != 0)
		abort();
	return text;
}

static int count(const char *text, const char *what)
{
	int n = 0;

	while ((text = strstr(text, what))) {
		n++;
		text++;
	}
	return n;
}

static void a_line_names_program_and_level(void)
{
	capture();
	log_error("one %d", 1);
	log_warning("two");
	CLEANUP_FREE char *text = captured();

	CHECK_STR(text, "test_log: error: one 1\ntest_log: warning: two\n");
}

static void lines_below_the_level_are_left_out(void)
{
	capture();
	log_info("not this");
	log_debug("nor this");
	CLEANUP_FREE char *text = captured();

	CHECK_STR(text, "");
}

static void the_same_line_is_printed_once_a_second_L9(void)
{
	int64_t started_ns = clock_ns();
	int64_t printed;

	capture();
	for (int i = 0; i < 1000; i++) {
		log_error("a: the disk is full");
		log_error("b: the disk is full"); /* in turn with another one */
	}
	log_error("at last something else");
	CLEANUP_FREE char *text = captured();

	/* Once for each second that it took: one, but on the slowest machine. */
	printed = 1 + (clock_ns() - started_ns) / 1000000000;
	CHECK(count(text, "a: the disk is full") >= 1);
	CHECK(count(text, "a: the disk is full") <= printed);
	CHECK(count(text, "b: the disk is full") <= printed);
	CHECK(printed > 1 || count(text, "1998 repeated lines left out\n") == 1);
	CHECK_EQ(count(text, "at last something else\n"), 1);
}

static void a_file_name_cannot_forge_a_line(void)
{
	capture();
	log_error("%s: x", "a\nnotepackfs: error: forged\x1b[2J");
	CLEANUP_FREE char *text = captured();

	CHECK_EQ(count(text, "\n"), 1);
	CHECK_EQ(count(text, "\x1b"), 0);
}

static void errno_survives_and_long_lines_are_cut(void)
{
	char name[3000];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	capture();
	errno = EXDEV;
	log_error("%s", name);
	CHECK_EQ(errno, EXDEV);
	CLEANUP_FREE char *text = captured();

	CHECK(strlen(text) > 500 && strlen(text) < 1100);
	CHECK_EQ(count(text, "\n"), 1);
}

/* A store without its objects filled the journal with a line for each of a million files. */
static void of_a_kind_few_are_printed_and_that_there_are_more(void)
{
	atomic_uint kind = 0, other = 0;
	unsigned printed = 0;

	capture();
	for (int i = 0; i < 3 * LOG_FEW; i++)
		printed += log_is_few(&kind, "is missing");
	CHECK(log_is_few(&other, "is too short"));
	CLEANUP_FREE char *text = captured();

	CHECK_EQ(printed, LOG_FEW);
	CHECK_EQ(count(text, "\n"), 1);
	CHECK_EQ(count(text, "is missing"), 1);
	CHECK_EQ(count(text, "notepackctl check"), 1);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static enum { FREE, TAKEN, GIVEN } stderr_is;

static void turn_to(int what)
{
	pthread_mutex_lock(&mutex);
	stderr_is = what;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
}

static void wait_until(int what)
{
	pthread_mutex_lock(&mutex);
	while ((int)stderr_is != what)
		pthread_cond_wait(&changed, &mutex);
	pthread_mutex_unlock(&mutex);
}

static void *keep_stderr(void *arg)
{
	flockfile(stderr);
	turn_to(TAKEN);
	wait_until(GIVEN);
	funlockfile(stderr);
	return arg;
}

/* Named bug: libfuse says with perror(3) why a thread cannot go on, and then cancels all of them, which
 * may be saying it: one that is cancelled there keeps stderr's lock, and the daemon's last line hung. */
static void a_line_needs_no_lock_of_stderr(void)
{
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, keep_stderr, NULL), 0);
	wait_until(TAKEN);
	alarm(20);
	capture();
	log_error("the last line");
	CLEANUP_FREE char *text = captured();

	alarm(0);
	CHECK_STR(text, "test_log: error: the last line\n");
	turn_to(GIVEN);
	pthread_join(thread, NULL);
}

int main(void)
{
	log_open("test_log", false, LOG_WARNING);
	scratch_init(&scratch);
	RUN(a_line_names_program_and_level);
	RUN(lines_below_the_level_are_left_out);
	RUN(the_same_line_is_printed_once_a_second_L9);
	RUN(a_file_name_cannot_forge_a_line);
	RUN(errno_survives_and_long_lines_are_cut);
	RUN(of_a_kind_few_are_printed_and_that_there_are_more);
	RUN(a_line_needs_no_lock_of_stderr);
	scratch_release(&scratch);
	return unit_done();
}
