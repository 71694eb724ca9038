/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * witness: what a writer was promised, noted outside of the mount, and whether it was kept.
 *
 * Every byte of a test file is a function of the file's key and the offset, so a file needs no
 * copy to be compared with. The record is a text file, one event a line, each written before
 * the writer goes on:
 *
 *	create KEY NAME		about to be created under this name; "created KEY": done
 *	size KEY END		write() has accepted all bytes below END
 *	sync KEY END		… and fsync, or a wait for the manifest, has acknowledged them
 *	move KEY NAME		about to be renamed to this; "moved KEY": done
 *
 * A file between "move" and "moved" may have either name, but must have one of them.
 */
#ifndef NOTEPACKFS_TESTS_WITNESS_H
#define NOTEPACKFS_TESTS_WITNESS_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WITNESS_LINE 64
#define WITNESS_NAME 128

static inline uint64_t witness_mix(uint64_t z)
{
	z += 0x9e3779b97f4a7c15;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* Lines of 64 bytes, each different; a run of them compresses to about a third. */
static inline void witness_fill(char *out, size_t len, uint64_t key, uint64_t offset)
{
	char line[128]; /* the text is exactly WITNESS_LINE bytes */

	for (size_t i = 0; i < len;) {
		uint64_t number = (offset + i) / WITNESS_LINE;
		size_t skip = (offset + i) % WITNESS_LINE;
		size_t n = WITNESS_LINE - skip < len - i ? WITNESS_LINE - skip : len - i;

		snprintf(line, sizeof(line),
			 "%08llx line %012llu %016llx of the witness file\n",
			 (unsigned long long)key, (unsigned long long)number,
			 (unsigned long long)witness_mix(key << 32 ^ number));
		memcpy(out + i, line + skip, n);
		i += n;
	}
}

/* ---- noting ---- */

static int witness_fd = -1;

static inline void witness_open(const char *path)
{
	witness_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (witness_fd < 0) {
		perror(path);
		exit(2);
	}
}

#define witness_note(...)                                                                      \
	do {                                                                                   \
		if (dprintf(witness_fd, __VA_ARGS__) < 0) {                                    \
			perror("the record");                                                  \
			exit(2);                                                               \
		}                                                                              \
	} while (0)

/* ---- checking ---- */

struct witness_file {
	uint64_t key, size, sync;
	bool created, moving;
	char name[WITNESS_NAME], next[WITNESS_NAME];
};

struct witness_files {
	struct witness_file *list;
	size_t count;
};

static inline struct witness_file *witness_find(struct witness_files *w, uint64_t key)
{
	for (size_t i = w->count; i-- > 0;) {
		if (w->list[i].key == key)
			return &w->list[i];
	}
	w->list = realloc(w->list, (w->count + 1) * sizeof(*w->list));
	if (!w->list)
		abort();
	memset(&w->list[w->count], 0, sizeof(*w->list));
	w->list[w->count].key = key;
	return &w->list[w->count++];
}

static inline void witness_apply(struct witness_files *w, const char *what, uint64_t key,
				 const char *arg)
{
	struct witness_file *f = witness_find(w, key);

	if (strcmp(what, "create") == 0) {
		snprintf(f->name, sizeof(f->name), "%s", arg);
	} else if (strcmp(what, "created") == 0) {
		f->created = true;
	} else if (strcmp(what, "size") == 0) {
		f->size = strtoull(arg, NULL, 10);
	} else if (strcmp(what, "sync") == 0) {
		f->sync = strtoull(arg, NULL, 10);
	} else if (strcmp(what, "move") == 0) {
		f->moving = true;
		snprintf(f->next, sizeof(f->next), "%s", arg);
	} else if (strcmp(what, "moved") == 0) {
		f->moving = false;
		memcpy(f->name, f->next, sizeof(f->name));
	} else {
		fprintf(stderr, "the record has a line that starts with %s\n", what);
		exit(2);
	}
}

static inline void witness_load(struct witness_files *w, const char *path)
{
	FILE *in = fopen(path, "r");
	char line[256], what[16], arg[WITNESS_NAME];
	unsigned long long key;

	if (!in) {
		perror(path);
		exit(2);
	}
	while (fgets(line, sizeof(line), in)) {
		arg[0] = '\0';
		if (sscanf(line, "%15s %llu %127s", what, &key, arg) < 2) {
			fprintf(stderr, "the record is damaged: %s", line);
			exit(2);
		}
		witness_apply(w, what, key, arg);
	}
	fclose(in);
}

/* Complain in one line; false. */
static inline bool witness_bad(const struct witness_file *f, const char *why, uint64_t a,
			       uint64_t b)
{
	printf("# %s (key %llu, accepted %llu, acknowledged %llu): %s (%llu, %llu)\n", f->name,
	       (unsigned long long)f->key, (unsigned long long)f->size,
	       (unsigned long long)f->sync, why, (unsigned long long)a, (unsigned long long)b);
	return false;
}

/* Every byte that is there must be right, up to `exact` of them, and at least `least` there. */
static inline bool witness_compare(const struct witness_file *f, int fd, uint64_t least,
				   uint64_t exact, bool quiet)
{
	static char there[65536], right[65536];
	uint64_t pos = 0;

	for (;;) {
		ssize_t n = pread(fd, there, sizeof(there), (off_t)pos);
		size_t len;

		if (n < 0)
			return quiet ? false : witness_bad(f, strerror(errno), pos, 0);
		if (n == 0)
			break;
		len = pos >= exact ? 0 : (uint64_t)n < exact - pos ? (size_t)n : exact - pos;
		witness_fill(right, len, f->key, pos);
		for (size_t i = 0; i < len; i++) {
			if (there[i] != right[i])
				return quiet ? false
					     : witness_bad(f, "wrong byte at", pos + i, 0);
		}
		pos += (uint64_t)n;
	}
	if (pos >= least)
		return true;
	return quiet ? false : witness_bad(f, "too short: bytes, at least", pos, least);
}

static inline int witness_open_name(const char *dir, const char *name)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* What was acknowledged as durable, under whichever name: a power cut may undo a rename. */
static inline bool witness_check_durable(const char *dir, const struct witness_file *f)
{
	const char *names[2] = {f->name, f->next};
	bool found = false;

	for (int i = 0; i < 1 + f->moving; i++) {
		int fd = witness_open_name(dir, names[i]);
		bool good = fd >= 0 && witness_compare(f, fd, f->sync, f->sync, f->moving);

		found |= fd >= 0;
		if (fd >= 0)
			close(fd);
		if (good)
			return true;
	}
	return !f->sync || witness_bad(f, found ? "has other content" : "is not there", 0, 0);
}

/* Whatever write() accepted. */
static inline bool witness_check_accepted(const char *dir, const struct witness_file *f)
{
	int fd = witness_open_name(dir, f->name);
	int other = f->moving ? witness_open_name(dir, f->next) : -1;
	bool good;

	if (fd >= 0 && other >= 0)
		good = witness_bad(f, "has its old and its new name", 0, 0);
	else if (fd < 0 && other < 0)
		good = !f->created || witness_bad(f, "is not there", 0, 0);
	else
		good = witness_compare(f, fd >= 0 ? fd : other, f->size, UINT64_MAX, false);
	if (fd >= 0)
		close(fd);
	if (other >= 0)
		close(other);
	return good;
}

/* Exit status for a program's "verify" command. */
static inline int witness_verify(const char *dir, const char *record, bool all)
{
	struct witness_files w = {0};
	unsigned long long bytes = 0, bad = 0;

	witness_load(&w, record);
	for (size_t i = 0; i < w.count; i++) {
		bytes += all ? w.list[i].size : w.list[i].sync;
		bad += !(all ? witness_check_accepted : witness_check_durable)(dir, &w.list[i]);
	}
	printf("# %zu files, %llu bytes promised, %llu promises broken\n", w.count, bytes, bad);
	free(w.list);
	return bad || !bytes ? 1 : 0;
}

#endif
