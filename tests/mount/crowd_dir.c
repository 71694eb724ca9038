/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads in one directory.
 */
#include "tests/mount/crowd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 65536
#define THREADS 64
#define STABLE 200
#define LIVE 8

struct worker {
	pthread_t thread;
	unsigned number;
	unsigned count;
	uint64_t random;
	struct {
		bool there;
		unsigned serial; /* of its name */
		uint32_t number; /* of its content */
	} live[LIVE];
	unsigned next_serial;
};

static int dir;
static atomic_bool ending;
static struct worker workers[THREADS];

static unsigned draw(struct worker *w, unsigned limit)
{
	w->random = w->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(w->random >> 33) % limit;
}

static void start(struct worker *w, unsigned number, void *(*run)(void *), unsigned count)
{
	*w = (struct worker){.number = number, .count = count, .random = number + 1};
	if (pthread_create(&w->thread, NULL, run, w) != 0)
		abort();
}

static int open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0) {
		perror(path);
		exit(2);
	}
	return fd;
}

/* ---- writers and readers ---- */

static atomic_uint complete; /* how many of the files below are complete */
static _Atomic uint32_t completed[FILES];
static atomic_uint reads, object_reads;

static void write_name(uint32_t number, char *out)
{
	snprintf(out, NAME, "file-%u", number);
}

static void *write_files(void *arg)
{
	struct worker *w = arg;

	for (unsigned i = 0; i < w->count; i++) {
		uint32_t number = w->number * w->count + i;
		char name[NAME];

		write_name(number, name);
		if (make_file(dir, name, number))
			completed[complete++] = number + 1; /* 0: not stored yet */
	}
	return NULL;
}

/* By the plain name there is always all of it; and its object is whole once it is there. */
static void *read_files(void *arg)
{
	struct worker *w = arg;

	while (!ending) {
		unsigned have = complete;
		uint32_t number = have ? completed[draw(w, have)] : 0;
		char name[NAME];

		if (!number--)
			continue;
		write_name(number, name);
		if (has_bytes(dir, name, number, size_of(number)))
			reads++;
		if (object_begins(dir, name, number, size_of(number)) > 0)
			object_reads++;
	}
	return NULL;
}

int crowd_write(char **args)
{
	unsigned writers = (unsigned)atoi(args[1]), files = (unsigned)atoi(args[2]);
	unsigned readers = (unsigned)atoi(args[3]), all = writers + readers;

	if (all > THREADS || writers * files > FILES)
		return 2;
	dir = open_dir(args[0]);
	for (unsigned i = 0; i < all; i++)
		start(&workers[i], i, i < writers ? write_files : read_files, files);
	for (unsigned i = 0; i < all; i++) {
		if (i == writers)
			ending = true;
		pthread_join(workers[i].thread, NULL);
	}
	for (unsigned i = 0; i < writers * files; i++) {
		char name[NAME];

		write_name(i, name);
		has_bytes(dir, name, i, size_of(i));
	}
	printf("# %u files; read while they were sealed: %u by plain name, %u objects\n",
	       (unsigned)complete, (unsigned)reads, (unsigned)object_reads);
	if (readers && (!reads || !object_reads))
		wrong("the readers", "read nothing");
	return any_wrong();
}

/* ---- creating, renaming, removing ---- */

/* Every other name is in a directory beneath. */
static void live_name(const struct worker *w, unsigned serial, char *out)
{
	snprintf(out, NAME, "%schurn-%u-%u", serial % 2 ? "sub/" : "", w->number, serial);
}

static void churn_once(struct worker *w)
{
	unsigned i = draw(w, LIVE), other = draw(w, LIVE);
	char name[NAME], to[NAME];

	live_name(w, w->live[i].serial, name);
	if (!w->live[i].there) {
		w->live[i].serial = w->next_serial++;
		w->live[i].number = w->number * 100000 + w->live[i].serial;
		live_name(w, w->live[i].serial, name);
		w->live[i].there = make_file(dir, name, w->live[i].number);
		return;
	}
	switch (draw(w, 4)) {
	case 0:
		if (unlinkat(dir, name, 0) != 0)
			wrong(name, "cannot be removed");
		w->live[i].there = false;
		break;
	case 1: /* over another */
		if (i == other || !w->live[other].there)
			break;
		live_name(w, w->live[other].serial, to);
		if (renameat(dir, name, dir, to) != 0)
			wrong(name, "cannot replace another");
		w->live[other].number = w->live[i].number;
		w->live[i].there = false;
		break;
	case 2:
		live_name(w, w->next_serial, to);
		if (renameat(dir, name, dir, to) != 0)
			wrong(name, "cannot be renamed");
		w->live[i].serial = w->next_serial++;
		if (faccessat(dir, name, F_OK, 0) == 0)
			wrong(name, "is there still after its renaming");
		break;
	default:
		has_bytes(dir, name, w->live[i].number, size_of(w->live[i].number));
	}
}

static void *churn(void *arg)
{
	struct worker *w = arg;

	for (unsigned i = 0; i < w->count && !any_wrong(); i++)
		churn_once(w);
	return NULL;
}

/* One part: neither fsynced nor reopened (make_file). */
static uint32_t stable_number(unsigned i)
{
	return 84 * i + 1;
}

static void count_stable(void *ctx, const char *name)
{
	unsigned *seen = ctx, i;
	char plain[NAME];

	plain_of(name, plain);
	if (sscanf(plain, "stable-%3u", &i) == 1 && i < STABLE)
		seen[i]++;
}

/* What nobody renames or removes is in every listing, once, whatever happens around it. */
static void *list(void *arg)
{
	unsigned *listings = &((struct worker *)arg)->count;

	while (!ending) {
		unsigned seen[STABLE] = {0};

		if (!each_entry(dir, *listings % 2 ? 128 : 4096, count_stable, seen))
			break;
		for (unsigned i = 0; i < STABLE; i++) {
			char name[NAME];

			snprintf(name, sizeof(name), "stable-%u", i);
			errno = 0;
			if (seen[i] != 1)
				wrong(name,
				      seen[i] ? "is listed more than once" : "is not listed");
		}
		++*listings;
	}
	return NULL;
}

static void write_list(const char *path, unsigned threads)
{
	FILE *out = fopen(path, "w");

	if (!out) {
		perror(path);
		exit(2);
	}
	for (unsigned t = 0; t < threads; t++) {
		struct worker *w = &workers[t];

		for (unsigned i = 0; i < LIVE; i++) {
			char name[NAME];

			live_name(w, w->live[i].serial, name);
			if (w->live[i].there)
				fprintf(out, "%s %u\n", name, w->live[i].number);
		}
	}
	for (unsigned i = 0; i < STABLE; i++)
		fprintf(out, "stable-%u %u\n", i, stable_number(i));
	fclose(out);
}

int crowd_churn(char **args)
{
	unsigned threads = (unsigned)atoi(args[1]), rounds = (unsigned)atoi(args[2]);

	if (threads >= THREADS)
		return 2;
	dir = open_dir(args[0]);
	if (mkdirat(dir, "sub", 0755) != 0)
		wrong("sub", "cannot be made");
	for (unsigned i = 0; i < STABLE; i++) {
		char name[NAME];

		snprintf(name, sizeof(name), "stable-%u", i);
		make_file(dir, name, stable_number(i));
	}
	for (unsigned t = 0; t < threads; t++)
		start(&workers[t], t, churn, rounds);
	start(&workers[threads], threads, list, 0);
	for (unsigned t = 0; t <= threads; t++) {
		if (t == threads)
			ending = true;
		pthread_join(workers[t].thread, NULL);
	}
	printf("# %u listings\n", workers[threads].count);
	write_list(args[3], threads);
	return any_wrong();
}

/* ---- what is left ---- */

static struct left {
	char name[NAME];
	bool plain, object;
} * left;
static size_t left_count;
static const char *prefix;

static void match(void *ctx, const char *name)
{
	char path[2 * NAME], plain[NAME], *dot;
	bool object = plain_of(name, plain);

	(void)ctx;
	dot = strstr(plain, ".p0");
	if (dot)
		*dot = '\0';
	if (strcmp(plain, "sub") == 0)
		return;
	snprintf(path, sizeof(path), "%s%s", prefix, plain);
	for (size_t i = 0; i < left_count; i++) {
		if (strcmp(left[i].name, path) != 0)
			continue;
		*(object ? &left[i].object : &left[i].plain) = true;
		return;
	}
	errno = 0;
	wrong(name, "is listed, and should be gone");
}

int crowd_left(char **args)
{
	FILE *in = fopen(args[1], "r");
	uint32_t number;
	char name[NAME];
	int sub;

	dir = open_dir(args[0]);
	left = calloc(FILES, sizeof(*left));
	if (!in || !left)
		return 2;
	while (left_count < FILES && fscanf(in, "%63s %u", name, &number) == 2) {
		memcpy(left[left_count++].name, name, sizeof(name));
		has_bytes(dir, name, number, size_of(number));
		if (object_begins(dir, name, number, size_of(number)) != 1)
			wrong(name, "has no object");
	}
	fclose(in);
	prefix = "";
	each_entry(dir, 4096, match, NULL);
	prefix = "sub/";
	sub = openat(dir, "sub", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	each_entry(sub, 4096, match, NULL);
	errno = 0;
	for (size_t i = 0; i < left_count; i++) {
		if (left[i].plain == left[i].object)
			wrong(left[i].name, left[i].plain ? "is listed under both names"
							  : "is listed under neither name");
	}
	printf("# %zu files are left\n", left_count);
	return any_wrong();
}

/* ---- a file and its directory, both renamed ---- */

static const char *moved_dir, *moved_file;

static void *move_file(void *arg)
{
	struct worker *w = arg;
	char other[2 * NAME];

	snprintf(other, sizeof(other), "%s.moved", moved_file);
	for (unsigned i = 0; i < w->count && !any_wrong(); i++) {
		if (renameat(dir, moved_file, dir, other) != 0 ||
		    renameat(dir, other, dir, moved_file) != 0)
			wrong(moved_file, "cannot be renamed in a directory that is renamed");
	}
	ending = true;
	return NULL;
}

static void *move_dir(void *arg)
{
	unsigned *moves = &((struct worker *)arg)->count;
	char other[512];

	snprintf(other, sizeof(other), "%s.moved", moved_dir);
	for (; !ending; ++*moves) {
		if (rename(moved_dir, other) != 0 || rename(other, moved_dir) != 0)
			wrong(moved_dir, "cannot be renamed");
	}
	return NULL;
}

int crowd_moves(char **args)
{
	moved_dir = args[0];
	moved_file = args[1];
	dir = open_dir(moved_dir); /* it stays the same directory, whatever its name */
	start(&workers[0], 0, move_file, (unsigned)atoi(args[2]));
	start(&workers[1], 1, move_dir, 0);
	pthread_join(workers[0].thread, NULL);
	pthread_join(workers[1].thread, NULL);
	printf("# the directory was renamed %u times\n", 2 * workers[1].count);
	return any_wrong();
}
