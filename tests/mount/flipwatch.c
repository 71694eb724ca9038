/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flipwatch DIR COUNT BYTES SECONDS: list DIR by getdents64(2) with a buffer of BYTES, again
 * and again, until COUNT objects are seen; every file there must be of one segment.
 *
 * Violations, each printed: a name under both of its forms in one listing; one seen before, now
 * under neither; an object back under its plain name; an object that cannot be opened at once,
 * or whose size is another than stat says, or whose size or content is another at the end.
 * Prints "flips N": how many names were seen plain, and in a later listing as objects.
 * Exits 0 if all was seen and there was no violation.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/mount/getdents.h"

#define SUFFIX ".notepack.gz"
#define NAME 64
#define FILES 4096

struct watched {
	char name[NAME]; /* plain */
	bool plain, object;
	unsigned plain_turn, object_turn; /* the listing in which it was seen last; from 1 */
	uint64_t bytes, hash;		  /* of the object, at first sight */
};

static struct watched files[FILES];
static unsigned file_count, objects, flips, violations;
static int watched_fd;

static void violation(const char *name, const char *what)
{
	if (violations++ < 20)
		printf("# %s: %s\n", name, what);
}

static struct watched *find(const char *name, size_t len)
{
	/* Names come in the order of the last listing, mostly: begin where the last one was. */
	static unsigned at;

	for (unsigned i = 0; i < file_count; i++) {
		unsigned k = (at + i) % file_count;

		if (strncmp(files[k].name, name, len) == 0 && !files[k].name[len]) {
			at = k + 1;
			return &files[k];
		}
	}
	if (file_count == FILES || len >= NAME) {
		fprintf(stderr, "flipwatch: too many names, or too long ones\n");
		exit(2);
	}
	memcpy(files[file_count].name, name, len);
	return &files[file_count++];
}

/* FNV-1a of all bytes. False: it cannot be read. */
static bool fingerprint(const char *name, uint64_t *bytes, uint64_t *hash)
{
	static unsigned char buf[65536];
	int fd = openat(watched_fd, name, O_RDONLY);
	ssize_t n;

	*bytes = 0;
	*hash = UINT64_C(14695981039346656037);
	if (fd < 0)
		return false;
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			*hash = (*hash ^ buf[i]) * UINT64_C(1099511628211);
		*bytes += (uint64_t)n;
	}
	close(fd);
	return n == 0;
}

static void object_name(const struct watched *w, char *out)
{
	snprintf(out, NAME + sizeof(SUFFIX), "%s" SUFFIX, w->name);
}

static void first_sight(struct watched *w, const char *name)
{
	struct stat st;

	if (fstatat(watched_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		violation(name, "is listed, and cannot be looked up");
	else if (!fingerprint(name, &w->bytes, &w->hash))
		violation(name, "is listed, and cannot be read");
	else if (w->bytes != (uint64_t)st.st_size)
		violation(name, "has another length than stat said at first");
	if (st.st_mode & 0222)
		violation(name, "can be written");
	w->object = true;
	objects++;
	flips += w->plain;
}

static void saw(void *ctx, const char *name)
{
	unsigned turn = *(const unsigned *)ctx;
	size_t len = strlen(name), suffix = sizeof(SUFFIX) - 1;
	bool object = len > suffix && strcmp(name + len - suffix, SUFFIX) == 0;
	struct watched *w = find(name, object ? len - suffix : len);

	if (object) {
		w->object_turn = turn;
		if (!w->object)
			first_sight(w, name);
	} else {
		char other[NAME + sizeof(SUFFIX)];

		w->plain = true;
		w->plain_turn = turn;
		if (w->object)
			violation(name, "is listed as plain again");
		/* If it is not there yet, its absence must not be remembered. */
		object_name(w, other);
		(void)!faccessat(watched_fd, other, F_OK, 0);
	}
	if (w->plain_turn == turn && w->object_turn == turn)
		violation(name, "is listed under both names");
}

static void list(size_t size, unsigned turn)
{
	unsigned known = file_count;

	lseek(watched_fd, 0, SEEK_SET);
	if (getdents_each(watched_fd, size, saw, &turn) != 0) {
		perror("flipwatch: getdents64");
		exit(2);
	}
	for (unsigned i = 0; i < known; i++) {
		if (files[i].plain_turn != turn && files[i].object_turn != turn)
			violation(files[i].name, "is listed under neither name");
	}
}

static void recheck(void)
{
	for (unsigned i = 0; i < file_count; i++) {
		char name[NAME + sizeof(SUFFIX)];
		uint64_t bytes, hash;

		object_name(&files[i], name);
		if (!fingerprint(name, &bytes, &hash))
			violation(name, "cannot be read in the end");
		else if (bytes != files[i].bytes || hash != files[i].hash)
			violation(name, "has changed since it was first seen");
	}
}

int main(int argc, char **argv)
{
	unsigned count = argc == 5 ? (unsigned)atoi(argv[2]) : 0, turn = 0;
	size_t size = argc == 5 ? (size_t)atol(argv[3]) : 0;
	time_t deadline;

	if (!count || !size) {
		fprintf(stderr, "flipwatch: wrong usage; see its source\n");
		return 2;
	}
	watched_fd = open(argv[1], O_RDONLY | O_DIRECTORY);
	if (watched_fd < 0) {
		perror(argv[1]);
		return 2;
	}
	for (deadline = time(NULL) + atol(argv[4]); objects < count && time(NULL) < deadline;)
		list(size, ++turn);
	recheck();
	printf("# %u listings, %u objects\nflips %u\n", turn, objects, flips);
	return objects != count || violations > 0;
}
