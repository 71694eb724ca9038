/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/mount/crowd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "tests/mount/getdents.h"

#define LINE 320

static atomic_uint wrongs;

bool wrong(const char *name, const char *what)
{
	int err = errno;

	if (wrongs++ < 20)
		printf("# %s: %s (%s)\n", name, what, strerror(err));
	return false;
}

bool any_wrong(void)
{
	return wrongs > 0;
}

/* ---- files ---- */

uint8_t byte_of(uint32_t number, size_t offset)
{
	return (uint8_t)(((uint32_t)offset * 2654435761U + number * 40503U) >> 13);
}

size_t size_of(uint32_t number)
{
	return 1 + number * 7919U % 40000;
}

static void bytes_of(uint32_t number, size_t offset, uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = byte_of(number, offset + i);
}

bool has_bytes(int dirfd, const char *name, uint32_t number, size_t size)
{
	uint8_t got[8192], want[sizeof(got)];
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	size_t at = 0;
	ssize_t n;

	if (fd < 0)
		return wrong(name, "cannot be opened");
	if (fstat(fd, &st) != 0 || (size_t)st.st_size != size)
		wrong(name, "has another size");
	while ((n = read(fd, got, sizeof(got))) > 0) {
		bytes_of(number, at, want, (size_t)n);
		if (memcmp(got, want, (size_t)n) != 0)
			break;
		at += (size_t)n;
	}
	close(fd);
	return (n == 0 && at == size) || wrong(name, "has other bytes");
}

int object_begins(int dirfd, const char *name, uint32_t number, size_t size)
{
	char object[NAME + sizeof(SEALED)];
	uint8_t got[8192], want[sizeof(got)];
	size_t at = 0;
	gzFile gz;
	int fd, n;

	snprintf(object, sizeof(object), "%s" SEALED, name);
	fd = openat(dirfd, object, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : wrong(object, "cannot be opened");
	gz = gzdopen(fd, "rb");
	while ((n = gzread(gz, got, sizeof(got))) > 0) {
		bytes_of(number, at, want, (size_t)n);
		if (at + (size_t)n > size || memcmp(got, want, (size_t)n) != 0)
			break;
		at += (size_t)n;
	}
	if (gzdirect(gz) || gzclose_r(gz) != Z_OK || n != 0 || at == 0)
		wrong(object, "is not a whole object of its file");
	return 1;
}

static bool write_bytes(int fd, uint32_t number, size_t from, size_t to)
{
	uint8_t buf[9000];

	while (from < to) {
		size_t len = 1 + (from + number) % sizeof(buf);

		len = len < to - from ? len : to - from;
		bytes_of(number, from, buf, len);
		if (write(fd, buf, len) != (ssize_t)len)
			return false;
		from += len;
	}
	return true;
}

bool make_file(int dirfd, const char *name, uint32_t number)
{
	size_t size = size_of(number), half = size / 2;
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	bool good = fd >= 0 && write_bytes(fd, number, 0, half);

	if (number % 3 == 0)
		good = good && fsync(fd) == 0;
	if (number % 4 == 0) {
		good = good && close(fd) == 0;
		fd = openat(dirfd, name, O_WRONLY | O_APPEND | O_CLOEXEC);
	}
	good = good && fd >= 0 && write_bytes(fd, number, half, size);
	if (number % 7 == 0)
		good = good && fsync(fd) == 0;
	if (!good)
		wrong(name, "cannot be written");
	return fd >= 0 && close(fd) == 0 && good;
}

/* ---- listings ---- */

bool each_entry(int dirfd, size_t bytes, void (*entry)(void *ctx, const char *name), void *ctx)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? fd : getdents_each(fd, bytes, entry, ctx);

	if (fd >= 0)
		close(fd);
	return r == 0 || wrong("the directory", "cannot be listed");
}

bool plain_of(const char *name, char *out)
{
	size_t len = strlen(name), suffix = sizeof(SEALED) - 1;
	bool object = len > suffix && strcmp(name + len - suffix, SEALED) == 0;

	snprintf(out, NAME, "%.*s", (int)(object ? len - suffix : len), name);
	return object;
}

/* ---- one file, several appenders ---- */

static size_t line_of(unsigned process, unsigned number, char *out)
{
	size_t len = (size_t)snprintf(out, LINE, "process %u line %u ", process, number);
	size_t end = len + (process * 37 + number * 101) % 250;

	for (; len < end; len++)
		out[len] = (char)('a' + (len + number) % 26);
	out[len++] = '\n';
	return len;
}

static bool append_lines(const char *path, unsigned process, unsigned count)
{
	char line[LINE];
	int fd = -1;

	for (unsigned i = 0; i < count; i++) {
		size_t len = line_of(process, i, line);

		if (fd < 0)
			fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (fd < 0 || write(fd, line, len) != (ssize_t)len)
			return wrong(path, "cannot be appended to");
		if (i % 5 == process % 5 && fsync(fd) != 0)
			return wrong(path, "cannot be synced");
		if (i % 16 == process % 16) {
			close(fd);
			fd = -1;
		}
	}
	return fd < 0 || close(fd) == 0;
}

static int append(char **args)
{
	unsigned processes = (unsigned)atoi(args[1]);
	int status;

	for (unsigned p = 0; p < processes; p++) {
		pid_t pid = fork();

		if (pid == 0) {
			bool good = append_lines(args[0], p, (unsigned)atoi(args[2]));

			fflush(stdout);
			_exit(!good);
		}
		if (pid < 0)
			wrong("fork", "failed");
	}
	while (wait(&status) > 0) {
		if (status != 0)
			wrong(args[0], "an appender failed");
	}
	return any_wrong();
}

static int lines(char **args)
{
	unsigned processes = (unsigned)atoi(args[1]), count = (unsigned)atoi(args[2]), p, i;
	unsigned *next = calloc(processes, sizeof(*next));
	FILE *in = fopen(args[0], "r");
	char line[LINE * 2], want[LINE];

	if (!in || !next)
		return !wrong(args[0], "cannot be opened");
	while (fgets(line, sizeof(line), in)) {
		if (sscanf(line, "process %u line %u ", &p, &i) != 2 || p >= processes ||
		    i != next[p]++ || strlen(line) != line_of(p, i, want) ||
		    memcmp(line, want, strlen(line)) != 0) {
			printf("# not expected here: %.80s\n", line);
			wrong(args[0], "a line is torn, lost, doubled or out of order");
			break;
		}
	}
	for (p = 0; p < processes && !any_wrong(); p++) {
		if (next[p] != count)
			wrong(args[0], "lines are missing at the end");
	}
	fclose(in);
	free(next);
	return any_wrong();
}

/* ---- many entries ---- */

static void many_name(unsigned i, char *out)
{
	snprintf(out, NAME, "entry-%06u", i);
}

static int create(char **args)
{
	int dirfd = open(args[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unsigned count = (unsigned)atoi(args[1]), filled = (unsigned)atoi(args[2]);
	char name[NAME];

	for (unsigned i = 0; i < count && !any_wrong(); i++) {
		int fd;

		many_name(i, name);
		fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (fd < 0 || (i < filled && write(fd, name, 12) != 12) || close(fd) != 0)
			wrong(name, "cannot be made");
	}
	return any_wrong();
}

static int remove_first(char **args)
{
	int dirfd = open(args[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unsigned count = (unsigned)atoi(args[1]);
	char name[NAME];

	for (unsigned i = 0; i < count && !any_wrong(); i++) {
		many_name(i, name);
		if (unlinkat(dirfd, name, 0) != 0)
			wrong(name, "cannot be removed");
	}
	return any_wrong();
}

struct look {
	unsigned count, found;
	uint8_t *seen;
};

static void look_at(void *ctx, const char *name)
{
	struct look *l = ctx;
	char plain[NAME];
	unsigned i;

	plain_of(name, plain);
	if (sscanf(plain, "entry-%6u", &i) != 1 || i >= l->count)
		wrong(name, "is listed, and was not made");
	else if (l->seen[i]++)
		wrong(name, "is listed twice");
	else
		l->found++;
}

/* args[3], if it is there: the first that is left. */
static int look(char **args)
{
	int dirfd = open(args[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct look l = {.count = (unsigned)atoi(args[1])};
	unsigned filled = (unsigned)atoi(args[2]),
		 first = args[3] ? (unsigned)atoi(args[3]) : 0;
	char name[NAME];
	struct stat st;

	l.seen = calloc(l.count, 1);
	if (!l.seen || !each_entry(dirfd, 32768, look_at, &l))
		return 1;
	if (l.found != l.count - first)
		printf("# %u of %u are listed\n", l.found, l.count - first);
	for (unsigned i = 0; i < l.count; i++) {
		off_t size = i < filled ? 12 : 0;

		many_name(i, name);
		if (fstatat(dirfd, name, &st, 0) != 0) {
			if (i >= first || errno != ENOENT)
				wrong(name, "cannot be looked up");
		} else if (i < first || st.st_size != size) {
			wrong(name, i < first ? "was removed" : "has another size");
		}
	}
	free(l.seen);
	return any_wrong() || l.found != l.count - first;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(char **args);
		int args;
	} commands[] = {
	    {"moves", crowd_moves, 3}, {"write", crowd_write, 4}, {"append", append, 3},
	    {"lines", lines, 3},       {"churn", crowd_churn, 4}, {"left", crowd_left, 2},
	    {"create", create, 3},     {"look", look, 3},	  {"remove", remove_first, 2}};

	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[1], commands[i].name) == 0 && argc - 2 >= commands[i].args)
			return commands[i].run(argv + 2);
	}
	fprintf(stderr, "crowd: wrong usage; see its header\n");
	return 2;
}
