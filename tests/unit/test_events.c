/* SPDX-License-Identifier: BSD-2-Clause */
/* events: whole lines in order, one write for many, and what is left of them when there is no room. */
#include "lib/events.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/io.h"
#include "lib/layout.h"
#include "lib/log.h"
#include "lib/name.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#define LINES 5
#define NO_LIMIT 1000000

static struct scratch dir;
static int storefd;
static unsigned writes;
static size_t room = NO_LIMIT; /* that the log's disk has left */
static bool no_truncate;

/* The disk takes what it has room for, and then no more. */
ssize_t write(int fd, const void *buf, size_t len)
{
	if (fd <= 2)
		return syscall(SYS_write, fd, buf, len);
	writes++;
	if (room == 0) {
		errno = ENOSPC;
		return -1;
	}
	len = MIN(len, room);
	room -= room == NO_LIMIT ? 0 : len;
	return syscall(SYS_write, fd, buf, len);
}

int ftruncate(int fd, off_t len)
{
	struct stat st;

	if (no_truncate) {
		errno = EIO;
		return -1;
	}
	if (fstat(fd, &st) == 0 && room != NO_LIMIT)
		room += (size_t)(st.st_size - len);
	return (int)syscall(SYS_ftruncate, fd, len);
}

static struct events *begin(uint64_t max_bytes)
{
	scratch_init(&dir);
	storefd = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_EQ(mkdirat(storefd, NAME_PRIVATE, 0700), 0);
	room = NO_LIMIT;
	return events_open(storefd, max_bytes, 0);
}

static void end(struct events *e)
{
	events_close(e);
	close(storefd);
	scratch_release(&dir);
}

/* Lines with the numbers from first on; returns how long they are. */
static size_t append(struct events *e, unsigned first, unsigned count)
{
	CLEANUP_BUF struct buf lines = {0};

	for (unsigned i = 0; i < count; i++)
		events_format(&lines, "seal", first + i, "a/b", ",\"part\":1");
	events_append(e, &lines);
	return lines.len;
}

static bool read_all(struct events *e, char *text)
{
	size_t size = events_size(e), done = 0;
	ssize_t n = 1;

	while (done < size && n > 0) {
		n = events_read(e, text + done, size - done, done);
		done += n > 0 ? (size_t)n : 0;
	}
	return done == size;
}

/* The log has lines with these numbers, and nothing else. */
static bool has(struct events *e, const unsigned *seqs, unsigned count)
{
	CLEANUP_FREE char *text = calloc(1, events_size(e) + 1);
	const char *line = text;
	bool right = read_all(e, text);
	char want[64];

	for (unsigned i = 0; i < count && right; i++) {
		const char *end = strchr(line, '\n');
		const char *rest = strstr(line, ",\"event\"");

		snprintf(want, sizeof(want),
			 ",\"event\":\"seal\",\"seq\":%u,\"path\":\"a/b\",\"part\":1}\n",
			 seqs[i]);
		right = end && rest && rest < end && strncmp(line, "{\"time\":\"", 9) == 0 &&
			strncmp(rest, want, strlen(want)) == 0;
		line = right ? end + 1 : line;
	}
	return right && !*line;
}

static void many_lines_are_one_write(void)
{
	struct events *e = begin(1 << 20);

	writes = 0;
	append(e, 1, 3);
	CHECK_EQ(writes, 1);
	append(e, 4, 0);
	CHECK_EQ(writes, 1);
	events_add(e, "seal", 4, "a/b", ",\"part\":1");
	CHECK_EQ(writes, 2);
	CHECK(has(e, (unsigned[]){1, 2, 3, 4}, 4));
	end(e);
}

static void a_full_disk_takes_the_lines_that_it_has_room_for(void)
{
	struct events *e = begin(1 << 20);
	size_t line = append(e, 1, 1);

	room = 2 * line + line / 2;
	append(e, 2, LINES);
	CHECK(has(e, (unsigned[]){1, 2, 3}, 3));
	CHECK_EQ(events_size(e), 3 * line);
	room = NO_LIMIT;
	append(e, 9, 1);
	CHECK(has(e, (unsigned[]){1, 2, 3, 9}, 4));
	end(e);
}

/* Then a part of a line stays, and is read like the rest. */
static void what_cannot_be_taken_back_counts(void)
{
	struct events *e = begin(1 << 20);
	struct stat st;

	append(e, 1, 1);
	room = 10;
	no_truncate = true;
	append(e, 2, 1);
	no_truncate = false;
	room = NO_LIMIT;
	append(e, 3, 1);
	CHECK_EQ(fstatat(storefd, LAYOUT_LOG, &st, 0), 0);
	CHECK_EQ(events_size(e), st.st_size);
	end(e);
}

static void lines_that_do_not_fit_go_together_into_a_new_log(void)
{
	struct events *e = begin(1 << 20);
	size_t line = append(e, 1, 1);
	struct stat st;

	events_close(e);
	e = events_open(storefd, 2 * (3 * line), 0);
	append(e, 2, 3);
	CHECK_EQ(fstatat(storefd, LAYOUT_LOG_OLD, &st, 0), 0);
	CHECK_EQ(st.st_size, line);
	CHECK(has(e, (unsigned[]){1, 2, 3, 4}, 4));
	end(e);
}

int main(void)
{
	log_open("test_events", false, LOG_CRIT);
	RUN(many_lines_are_one_write);
	RUN(a_full_disk_takes_the_lines_that_it_has_room_for);
	RUN(what_cannot_be_taken_back_counts);
	RUN(lines_that_do_not_fit_go_together_into_a_new_log);
	return unit_done();
}
