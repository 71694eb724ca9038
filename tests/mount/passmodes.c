/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * passmodes: one file opened in every way, in every order.
 *
 *	passmodes DIR [all]
 *
 * For one in SHARE of the sequences of WAYS kinds of opening it, or all of them, in a new file of DIR: opened one
 * after the other, and closed in the same order or the reverse one. Those of the share have every two kinds at
 * every two places. Behind each step every handle that is open writes and reads, maps,
 * and asks for the size; all has to be as in a model in memory. Nothing may fail, but to execute a file that is
 * open for writing (ETXTBSY). DIR may be of any file system. Prints what is wrong, and exits 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAYS 3
#define SHARE 3
#define LIMIT 4096
#define MAP_BYTES 4096
#define SCRIPT "#!/bin/true\n" /* what the file begins with, so that it can be executed */

static const struct kind {
	const char *name;
	int flags;
	bool writes, appends, maps, maps_to_write, executes;
} kinds[] = {
    {.name = "append", .flags = O_WRONLY | O_APPEND, .writes = true, .appends = true},
    {.name = "append-dsync",
     .flags = O_WRONLY | O_APPEND | O_DSYNC,
     .writes = true,
     .appends = true},
    {.name = "append-rdwr", .flags = O_RDWR | O_APPEND, .writes = true, .appends = true},
    {.name = "rdwr", .flags = O_RDWR, .writes = true},
    {.name = "rdwr-dsync", .flags = O_RDWR | O_DSYNC, .writes = true},
    {.name = "wronly", .flags = O_WRONLY, .writes = true},
    {.name = "mapped-rdwr",
     .flags = O_RDWR,
     .writes = true,
     .maps = true,
     .maps_to_write = true},
    {.name = "read", .flags = O_RDONLY},
    {.name = "mapped-read", .flags = O_RDONLY, .maps = true},
    {.name = "truncate", .flags = O_WRONLY | O_TRUNC, .writes = true},
    {.name = "append-truncate",
     .flags = O_WRONLY | O_APPEND | O_TRUNC,
     .writes = true,
     .appends = true},
    {.name = "path", .flags = O_PATH},
    {.name = "exec", .flags = O_PATH, .executes = true},
};

#define KINDS ((int)(sizeof(kinds) / sizeof(kinds[0])))

struct handle {
	const struct kind *kind;
	int fd;
	char *map; /* NULL: none */
};

static char path[4096], model[LIMIT];
static size_t model_size;
static struct handle handles[WAYS];
static int opened; /* of them, those from closed_to … are open */
static const char *sequence;
static int failures, steps;

static void fail(const struct handle *h, const char *what)
{
	if (failures++ < 20)
		printf("# passmodes: %s: %s: %s (%s)\n", sequence, h ? h->kind->name : "all",
		       what, strerror(errno));
}

static bool is_open(const struct handle *h)
{
	return h->kind && h->fd >= 0;
}

static bool has_writer(void)
{
	for (int i = 0; i < opened; i++) {
		if (is_open(&handles[i]) && handles[i].kind->writes)
			return true;
	}
	return false;
}

static void run_it(const struct handle *h)
{
	bool busy = has_writer();
	bool is_script = model_size && memcmp(model, SCRIPT, sizeof(SCRIPT) - 1) == 0;
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		execl(path, path, (char *)NULL);
		_exit(errno == ETXTBSY ? 77 : errno == ENOEXEC && !is_script ? 0 : 99);
	}
	errno = 0;
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    (WEXITSTATUS(status) != 0 && !(busy && WEXITSTATUS(status) == 77)))
		fail(h, "is not executed");
}

/* Each writer writes something else each time. */
static void write_some(const struct handle *h)
{
	char text[32];
	size_t len = (size_t)snprintf(text, sizeof(text), "#%d\n", ++steps);
	size_t at = h->kind->appends ? model_size : sizeof(SCRIPT) - 1;
	ssize_t n =
	    h->kind->appends ? write(h->fd, text, len) : pwrite(h->fd, text, len, (off_t)at);

	if (n != (ssize_t)len) {
		fail(h, "cannot write");
		return;
	}
	memcpy(model + at, text, len);
	if (model_size < at)
		memset(model + model_size, 0, at - model_size);
	model_size = model_size > at + len ? model_size : at + len;
	if (h->map && h->kind->maps_to_write && model_size > sizeof(SCRIPT)) {
		h->map[sizeof(SCRIPT)] = model[sizeof(SCRIPT)] = (char)('a' + steps % 26);
	}
}

static void read_all(const struct handle *h)
{
	char buf[LIMIT];
	ssize_t n = pread(h->fd, buf, sizeof(buf), 0);

	if (n != (ssize_t)model_size || memcmp(buf, model, model_size) != 0)
		fail(h, n < 0 ? "cannot read" : "reads other bytes");
	if (h->map && memcmp(h->map, model, model_size) != 0)
		fail(h, "has other bytes mapped");
}

static void look(const struct handle *h)
{
	struct stat st, named;

	if (fstat(h->fd, &st) != 0 || (size_t)st.st_size != model_size)
		fail(h, "has another size");
	if (stat(path, &named) != 0 || (size_t)named.st_size != model_size)
		fail(h, "stat says another size");
}

static void use(const struct handle *h)
{
	errno = 0;
	if (h->kind->writes)
		write_some(h);
	for (int i = 0; i < opened; i++) {
		const struct handle *other = &handles[i];

		errno = 0;
		if (!is_open(other))
			continue;
		if (!(other->kind->flags & O_PATH) &&
		    (other->kind->flags & O_ACCMODE) != O_WRONLY)
			read_all(other);
		look(other);
	}
	if (h->kind->executes)
		run_it(h);
}

static void use_all(void)
{
	for (int i = 0; i < opened; i++) {
		if (is_open(&handles[i]))
			use(&handles[i]);
	}
}

static void open_one(const struct kind *kind)
{
	struct handle *h = &handles[opened++];

	errno = 0;
	*h = (struct handle){.kind = kind, .fd = open(path, kind->flags | O_CLOEXEC)};
	if (h->fd < 0) {
		fail(h, "cannot be opened");
		return;
	}
	if (kind->flags & O_TRUNC)
		model_size = 0;
	if (!kind->maps || model_size == 0)
		return;
	h->map = mmap(NULL, MAP_BYTES, kind->maps_to_write ? PROT_READ | PROT_WRITE : PROT_READ,
		      MAP_SHARED, h->fd, 0);
	if (h->map == MAP_FAILED) {
		h->map = NULL;
		fail(h, "cannot be mapped");
	}
}

static void close_one(struct handle *h)
{
	errno = 0;
	if (h->map && munmap(h->map, MAP_BYTES) != 0)
		fail(h, "cannot be unmapped");
	if (h->fd >= 0 && close(h->fd) != 0)
		fail(h, "cannot be closed");
	h->map = NULL;
	h->fd = -1;
}

static void unmap_others_before_truncation(const struct kind *kind)
{
	for (int i = 0; i < opened && (kind->flags & O_TRUNC); i++) {
		if (handles[i].map)
			munmap(handles[i].map, MAP_BYTES);
		handles[i].map = NULL;
	}
}

static void begin_file(void)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);

	model_size = strlen(SCRIPT);
	memcpy(model, SCRIPT, model_size);
	if (fd < 0 || write(fd, SCRIPT, model_size) != (ssize_t)model_size || close(fd) != 0)
		fail(NULL, "cannot be made");
	opened = 0;
}

static void check_at_the_end(void)
{
	const struct kind kind = {.name = "afterwards"};
	struct handle h = {.kind = &kind, .fd = open(path, O_RDONLY | O_CLOEXEC)};

	read_all(&h);
	look(&h);
	close(h.fd);
}

/* The kinds of a sequence; their sum. */
static int kinds_of(int number, const struct kind *kind[WAYS])
{
	int rest = number / 2, sum = 0;

	for (int i = 0; i < WAYS; i++, rest /= KINDS) {
		kind[i] = &kinds[rest % KINDS];
		sum += rest % KINDS;
	}
	return sum;
}

static void try_sequence(const char *dir, const struct kind *kind[WAYS], int number)
{
	char name[200];

	snprintf(name, sizeof(name), "%s.%s.%s.%s", kind[0]->name, kind[1]->name, kind[2]->name,
		 number % 2 ? "back" : "on");
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	sequence = name;
	begin_file();
	for (int i = 0; i < WAYS; i++) {
		unmap_others_before_truncation(kind[i]);
		open_one(kind[i]);
		use_all();
	}
	for (int i = 0; i < WAYS; i++) {
		close_one(&handles[number % 2 ? WAYS - 1 - i : i]);
		use_all();
	}
	check_at_the_end();
	unlink(path);
}

int main(int argc, char *argv[])
{
	bool all = argc == 3 && strcmp(argv[2], "all") == 0;
	const struct kind *kind[WAYS];
	int count = 2, tried = 0;

	if (argc < 2 || (argc > 2 && !all))
		return 2;
	for (int i = 0; i < WAYS; i++)
		count *= KINDS;
	for (int i = 0; i < count; i++) {
		if (kinds_of(i, kind) % SHARE != 0 && !all)
			continue;
		try_sequence(argv[1], kind, i);
		tried++;
	}
	printf("# passmodes: %d of %d sequences, %d writes, %d failures\n", tried, count, steps,
	       failures);
	return failures > 0;
}
