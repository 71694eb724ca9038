/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iotimer COMMAND ARGUMENT…: I/O of an exact shape, and how long it took, as "NAME VALUE" lines.
 *
 *	write SRC DST SIZE FLAGS	all of SRC to a new DST, in writes of SIZE bytes from memory;
 *					FLAGS: append (O_APPEND) or plain. seconds, from open to
 *					close
 *	fsync SRC DST COUNT		append 4 KiB and fsync, COUNT times: p50, p99, max of both
 *	pace SRC DST RATE LISTED	SRC to DST at RATE MB/s in writes of 1 MiB, close, and wait
 *					until LISTED is there: seconds, from the close
 *	read FILE SIZE			all of FILE, in reads of SIZE bytes: seconds, bytes
 *	random FILE COUNT STRIDE SEED	4 KiB somewhere in each of COUNT pieces of STRIDE bytes, no
 *					piece twice: p50, p99, max
 *	files SRC DIR COUNT BYTES	create COUNT files, each of other BYTES bytes of SRC: seconds
 *	stat DIR			stat all that is in DIR, the second time: seconds, entries
 *	list DIR			list DIR, the second time: seconds, entries
 *	calls DIR SECONDS PREFIX	for so long, by turns: statx of DIR/sealed.notepack.gz, of
 *					DIR/written, of a name that is not there, and (every 10th
 *					time) mkdir, none from the kernel's caches: sealed_p50 …
 *
 * p50, p99 and max are in microseconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/iotimer.h"

int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void die(const char *what)
{
	fprintf(stderr, "iotimer: %s: %s\n", what, strerror(errno));
	exit(1);
}

int open_or_die(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0644);

	if (fd < 0)
		die(path);
	return fd;
}

uint64_t number(const char *text, uint64_t least)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);

	if (*end != '\0' || value < least) {
		fprintf(stderr, "iotimer: %s: not a number, or less than %llu\n", text,
			(unsigned long long)least);
		exit(2);
	}
	return value;
}

void print_seconds(int64_t ns)
{
	printf("seconds %.9f\n", (double)ns / 1e9);
}

void write_all(int fd, const char *data, size_t size)
{
	ssize_t n = write(fd, data, size);

	if (n >= 0 && (size_t)n != size)
		errno = EIO;
	if (n < 0 || (size_t)n != size)
		die("write");
}

const char *load(const char *path, size_t *size)
{
	int fd = open_or_die(path, O_RDONLY);
	struct stat st;
	void *map;

	if (fstat(fd, &st) != 0)
		die(path);
	if (*size == 0)
		*size = (size_t)st.st_size;
	if (*size == 0 || *size > (size_t)st.st_size) {
		errno = ENODATA;
		die(path);
	}
	map = mmap(NULL, *size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (map == MAP_FAILED)
		die(path);
	close(fd);
	return map;
}

void latencies_add(struct latencies *l, int64_t ns)
{
	if (l->count == l->room) {
		l->room = l->room ? 2 * l->room : 1024;
		l->ns = realloc(l->ns, l->room * sizeof(l->ns[0]));
		if (!l->ns)
			die("latencies");
	}
	l->ns[l->count++] = ns;
}

static int by_size(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

void latencies_print(struct latencies *l, const char *name)
{
	static const struct {
		const char *name;
		size_t of_100;
	} points[] = {{"p50", 50}, {"p99", 99}, {"max", 100}};

	if (l->count == 0)
		return;
	qsort(l->ns, l->count, sizeof(l->ns[0]), by_size);
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		size_t at = l->count * points[i].of_100 / 100;

		if (at == l->count)
			at--;
		printf("%s%s%s %.3f\n", name, *name ? "_" : "", points[i].name,
		       (double)l->ns[at] / 1e3);
	}
	free(l->ns);
}

static const struct {
	const char *name;
	int arguments;
	void (*run)(char **argv);
} commands[] = {
    {"write", 4, cmd_write}, {"fsync", 3, cmd_fsync},	{"pace", 4, cmd_pace},
    {"read", 2, cmd_read},   {"random", 4, cmd_random}, {"files", 4, cmd_files},
    {"stat", 1, cmd_stat},   {"list", 1, cmd_list},	{"calls", 3, cmd_calls},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[1], commands[i].name) == 0 &&
		    argc - 2 == commands[i].arguments) {
			commands[i].run(argv + 2);
			return 0;
		}
	}
	fprintf(stderr, "iotimer: wrong usage; see its source\n");
	return 2;
}
