/* SPDX-License-Identifier: BSD-2-Clause */
/* iotimer: the commands that read and write. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/iotimer.h"

#define MIB (1U << 20)
#define PAGE 4096
#define LISTED_NS (900 * INT64_C(1000000000))
#define LOOK_NS 500000

void cmd_write(char **argv)
{
	size_t bytes = 0, size = number(argv[2], 1);
	const char *data = load(argv[0], &bytes);
	int flags = O_WRONLY | O_CREAT | O_EXCL, fd;
	int64_t start;

	if (strcmp(argv[3], "append") == 0) {
		flags |= O_APPEND;
	} else if (strcmp(argv[3], "plain") != 0) {
		errno = EINVAL;
		die(argv[3]);
	}
	start = now_ns();
	fd = open_or_die(argv[1], flags);
	for (size_t done = 0; done < bytes; done += size)
		write_all(fd, data + done, bytes - done < size ? bytes - done : size);
	if (close(fd) != 0)
		die(argv[1]);
	print_seconds(now_ns() - start);
}

void cmd_fsync(char **argv)
{
	uint64_t count = number(argv[2], 1);
	size_t bytes = count * PAGE;
	const char *data = load(argv[0], &bytes);
	int fd = open_or_die(argv[1], O_WRONLY | O_CREAT | O_APPEND);
	struct latencies took = {0};

	for (uint64_t i = 0; i < count; i++) {
		int64_t start = now_ns();

		write_all(fd, data + i * PAGE, PAGE);
		if (fsync(fd) != 0)
			die(argv[1]);
		latencies_add(&took, now_ns() - start);
	}
	if (close(fd) != 0)
		die(argv[1]);
	latencies_print(&took, "");
}

static void sleep_until(int64_t ns)
{
	struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

void cmd_pace(char **argv)
{
	size_t bytes = 0;
	const char *data = load(argv[0], &bytes);
	uint64_t rate = number(argv[2], 1) * 1000000;
	int fd = open_or_die(argv[1], O_WRONLY | O_CREAT | O_EXCL);
	int64_t start = now_ns();
	struct stat st;

	for (size_t done = 0; done < bytes; done += MIB) {
		sleep_until(start + (int64_t)((double)done / (double)rate * 1e9));
		write_all(fd, data + done, bytes - done < MIB ? bytes - done : MIB);
	}
	start = now_ns();
	if (close(fd) != 0)
		die(argv[1]);
	while (stat(argv[3], &st) != 0) {
		if (errno != ENOENT)
			die(argv[3]);
		if (now_ns() - start > LISTED_NS) {
			errno = ETIMEDOUT;
			die(argv[3]);
		}
		sleep_until(now_ns() + LOOK_NS);
	}
	print_seconds(now_ns() - start);
}

void cmd_read(char **argv)
{
	size_t size = number(argv[1], 1), bytes = 0;
	char *buffer = aligned_alloc(PAGE, (size + PAGE - 1) / PAGE * PAGE);
	int64_t start = now_ns();
	int fd = open_or_die(argv[0], O_RDONLY);
	ssize_t n;

	if (!buffer)
		die("buffer");
	while ((n = read(fd, buffer, size)) > 0)
		bytes += (size_t)n;
	if (n < 0)
		die(argv[0]);
	print_seconds(now_ns() - start);
	printf("bytes %zu\n", bytes);
	close(fd);
	free(buffer);
}

static uint64_t random_state;

/* A random number below limit (xorshift64). */
static uint64_t below(uint64_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % limit;
}

/* The numbers 0 to count - 1 in random order. */
static uint64_t *shuffled(uint64_t count)
{
	uint64_t *order = malloc(count * sizeof(*order));

	if (!order)
		die("random");
	for (uint64_t i = 0; i < count; i++) {
		uint64_t j = below(i + 1);

		order[i] = order[j];
		order[j] = i;
	}
	return order;
}

void cmd_random(char **argv)
{
	uint64_t count = number(argv[1], 1), stride = number(argv[2], PAGE), pieces;
	int fd = open_or_die(argv[0], O_RDONLY);
	struct latencies took = {0};
	char buffer[PAGE];
	uint64_t *order;
	struct stat st;

	random_state = UINT64_C(88172645463325252) ^ number(argv[3], 0) << 32;
	if (fstat(fd, &st) != 0)
		die(argv[0]);
	pieces = (uint64_t)st.st_size / stride;
	if (pieces < count) {
		errno = ENODATA;
		die(argv[0]);
	}
	order = shuffled(pieces);
	/* Nothing is to be read ahead: only what was asked for is wanted. */
	posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	for (uint64_t i = 0; i < count; i++) {
		uint64_t offset = order[i] * stride + below(stride - PAGE + 1);
		int64_t start = now_ns();

		if (pread(fd, buffer, PAGE, (off_t)offset) != PAGE)
			die(argv[0]);
		latencies_add(&took, now_ns() - start);
	}
	free(order);
	close(fd);
	latencies_print(&took, "");
}
