/* SPDX-License-Identifier: BSD-2-Clause */
/* iotimer: the commands that are about names. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/bench/iotimer.h"

#define MKDIR_EVERY 10
#define PAUSE_US 2000

void cmd_files(char **argv)
{
	uint64_t count = number(argv[2], 1), size = number(argv[3], 1);
	size_t bytes = count * size;
	const char *data = load(argv[0], &bytes);
	int dir = open_or_die(argv[1], O_RDONLY | O_DIRECTORY);
	int64_t start = now_ns();

	for (uint64_t i = 0; i < count; i++) {
		char name[32];
		int fd;

		snprintf(name, sizeof(name), "f%07llu", (unsigned long long)i);
		fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (fd < 0)
			die(name);
		write_all(fd, data + i * size, size);
		if (close(fd) != 0)
			die(name);
	}
	print_seconds(now_ns() - start);
	close(dir);
}

struct names {
	char **list;
	size_t count, room;
};

/* The names in a directory, without . and ..; with keep NULL they are only counted. */
static size_t read_names(const char *path, struct names *keep)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	size_t count = 0;

	if (!dir)
		die(path);
	while ((errno = 0, entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		count++;
		if (!keep)
			continue;
		if (keep->count == keep->room) {
			keep->room = keep->room ? 2 * keep->room : 1024;
			keep->list = realloc(keep->list, keep->room * sizeof(keep->list[0]));
			if (!keep->list)
				die(path);
		}
		keep->list[keep->count] = strdup(entry->d_name);
		if (!keep->list[keep->count++])
			die(path);
	}
	if (errno)
		die(path);
	closedir(dir);
	return count;
}

void cmd_stat(char **argv)
{
	int dir = open_or_die(argv[0], O_RDONLY | O_DIRECTORY);
	struct names names = {0};
	int64_t start = 0;

	read_names(argv[0], &names);
	for (int pass = 0; pass < 2; pass++) {
		start = now_ns();
		for (size_t i = 0; i < names.count; i++) {
			struct stat st;

			if (fstatat(dir, names.list[i], &st, 0) != 0)
				die(names.list[i]);
		}
	}
	print_seconds(now_ns() - start);
	printf("entries %zu\n", names.count);
	for (size_t i = 0; i < names.count; i++)
		free(names.list[i]);
	free(names.list);
	close(dir);
}

void cmd_list(char **argv)
{
	size_t first = read_names(argv[0], NULL), second;
	int64_t start = now_ns();

	second = read_names(argv[0], NULL);
	print_seconds(now_ns() - start);
	if (first != second) {
		errno = EIO;
		die(argv[0]);
	}
	printf("entries %zu\n", second);
}

static void timed_statx(int dir, const char *name, bool is_there, struct latencies *took)
{
	int64_t start = now_ns();
	struct statx stx;
	int err = statx(dir, name, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &stx) ? errno : 0;

	latencies_add(took, now_ns() - start);
	if (err != (is_there ? 0 : ENOENT)) {
		errno = err ? err : EEXIST;
		die(name);
	}
}

void cmd_calls(char **argv)
{
	int dir = open_or_die(argv[0], O_RDONLY | O_DIRECTORY);
	int64_t end = now_ns() + (int64_t)(strtod(argv[1], NULL) * 1e9);
	struct latencies sealed = {0}, written = {0}, absent = {0}, made = {0};

	for (unsigned long i = 0; i <= MKDIR_EVERY || now_ns() < end; i++) {
		char name[256];

		timed_statx(dir, "sealed.notepack.gz", true, &sealed);
		timed_statx(dir, "written", true, &written);
		snprintf(name, sizeof(name), "absent-%s-%lu", argv[2], i);
		timed_statx(dir, name, false, &absent);
		if (i % MKDIR_EVERY == 0) {
			int64_t start = now_ns();

			snprintf(name, sizeof(name), "dir-%s-%lu", argv[2], i);
			if (mkdirat(dir, name, 0755) != 0)
				die(name);
			latencies_add(&made, now_ns() - start);
		}
		usleep(PAUSE_US);
	}
	close(dir);
	latencies_print(&sealed, "sealed");
	latencies_print(&written, "written");
	latencies_print(&absent, "absent");
	latencies_print(&made, "mkdir");
}
