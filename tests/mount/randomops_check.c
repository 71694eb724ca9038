/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Listings: every file in exactly one representation. The objects of a file, decompressed and
 * joined, are the beginning of its bytes; the plain name is listed if there are more.
 */
#include "tests/mount/randomops.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define SUFFIX ".notepack"
#define SEALED SUFFIX ".gz"

struct listed {
	bool plain;
	unsigned objects, highest; /* how many, and the highest part */
};

/* The length of the stem of a plain name. */
static size_t stem_of(const char *name)
{
	size_t len = strlen(name), suffix = sizeof(SUFFIX) - 1;

	return len > suffix && strcmp(name + len - suffix, SUFFIX) == 0 ? len - suffix : len;
}

static int find_stem(const struct run *r, int dir, const char *stem, size_t len)
{
	for (int i = 0; i < NAMES; i++) {
		int path = dir * NAMES + i;
		const char *name = name_of(path);

		if (r->at[path] && stem_of(name) == len && strncmp(name, stem, len) == 0)
			return i;
	}
	return -1;
}

/* Take an object's name apart. Returns the length of its stem, or 0. */
static size_t parse_sealed(const char *name, unsigned *part)
{
	size_t len = strlen(name), suffix = sizeof(SEALED) - 1;

	if (len <= suffix || strcmp(name + len - suffix, SEALED) != 0)
		return 0;
	len -= suffix;
	*part = 1;
	if (len > 11 && name[len - 11] == '.' && name[len - 10] == 'p') {
		*part = (unsigned)strtoul(name + len - 9, NULL, 10);
		len -= 11;
	}
	return len;
}

static bool add_name(struct run *r, int dir, const char *name, struct listed *listed)
{
	unsigned part;
	size_t stem = parse_sealed(name, &part);
	int i;

	if (dir == 0) {
		for (i = 1; i < DIRS; i++) {
			if (strcmp(name, dir_names[i]) == 0)
				return r->dir[i] ||
				       failed(r, "directory %s is listed, and is gone", name);
		}
	}
	if (stem) {
		i = find_stem(r, dir, name, stem);
		if (i >= 0) {
			listed[i].objects++;
			if (listed[i].highest < part)
				listed[i].highest = part;
			return true;
		}
	}
	for (i = 0; i < NAMES; i++) {
		if (r->at[dir * NAMES + i] && strcmp(name, name_of(dir * NAMES + i)) == 0) {
			if (listed[i].plain)
				return failed(r, "%s is listed twice", name);
			return listed[i].plain = true;
		}
	}
	return failed(r, "%s/%s is listed, and belongs to no file", dir_names[dir], name);
}

/* Decompress an object behind what is there. Returns the bytes, or -1. */
static ssize_t read_object(struct run *r, int path, unsigned part, uint8_t *out, size_t space)
{
	char name[PATH_BYTES], full[PATH_BYTES];
	const char *plain = path_text(path);
	int len = (int)stem_of(plain), fd, n;
	struct stat st;
	gzFile gz;

	snprintf(name, sizeof(name), "%.*s", len, plain);
	if (part > 1)
		snprintf(name + len, sizeof(name) - (size_t)len, ".p%09u", part);
	snprintf(full, sizeof(full), "%.200s/%.200s" SEALED, r->mnt, name);
	fd = open(full, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0 || (st.st_mode & 0222)) {
		failed(r, "part %u of %s: %s", part, plain,
		       fd < 0 ? strerror(errno) : "it can be written");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	gz = gzdopen(fd, "rb");
	n = gzread(gz, out, (unsigned)space);
	if (gzdirect(gz) || gzclose_r(gz) != Z_OK || n < 0) {
		failed(r, "part %u of %s (%lld bytes) is no whole gzip file", part, plain,
		       (long long)st.st_size);
		return -1;
	}
	return n;
}

static bool check_objects(struct run *r, struct file *f, const struct listed *l)
{
	static uint8_t buffer[SIZE_LIMIT + 1];
	const char *name = path_text(f->path);
	size_t sealed = 0;

	if (l->objects != l->highest)
		return failed(r, "%s: %u objects are listed, the last is part %u", name,
			      l->objects, l->highest);
	for (unsigned part = 1; part <= l->highest; part++) {
		ssize_t n =
		    read_object(r, f->path, part, buffer + sealed, sizeof(buffer) - sealed);

		if (n < 0)
			return false;
		if (n == 0)
			return failed(r, "%s: part %u is empty", name, part);
		sealed += (size_t)n;
	}
	if (sealed > f->size || (sealed && memcmp(buffer, f->data, sealed) != 0))
		return failed(r, "%s: its %u objects are not the first %zu of its %zu bytes",
			      name, l->objects, sealed, f->size);
	if (l->plain != (sealed < f->size || f->size == 0))
		return failed(
		    r, "%s: %zu of %zu bytes are in objects, and its plain name is%s listed",
		    name, sealed, f->size, l->plain ? "" : " not");
	if (sealed < f->sealed_sure || sealed > f->cut_maybe)
		return failed(r, "%s: %zu bytes are in objects, expected %zu to %zu", name,
			      sealed, f->sealed_sure, f->cut_maybe);
	f->sealed_sure = sealed;
	if (f->cut_sure < sealed)
		f->cut_sure = sealed;
	return true;
}

bool check_dir(struct run *r, int dir)
{
	struct listed listed[NAMES] = {0};
	char full[PATH_BYTES];
	struct dirent *e;
	bool good = true;
	DIR *d;

	full_dir(r, dir, full);
	d = opendir(full);
	if (!d || !r->dir[dir]) {
		int err = errno;

		if (d)
			closedir(d);
		return expect(r, r->dir[dir] ? MUST_WORK : MUST_FAIL, d ? 0 : err, ENOENT,
			      "list", dir_names[dir]);
	}
	while (good && (e = readdir(d))) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			good = add_name(r, dir, e->d_name, listed);
	}
	closedir(d);
	for (int i = 0; i < NAMES && good; i++) {
		if (r->at[dir * NAMES + i])
			good = check_objects(r, r->at[dir * NAMES + i], &listed[i]);
	}
	return good;
}

OP(op_list)
{
	r->performed++;
	return check_dir(r, (int)arg[0]);
}

bool check_all(struct run *r)
{
	bool good = true;

	for (int dir = 0; dir < DIRS && good; dir++)
		good = !r->dir[dir] || check_dir(r, dir);
	for (int path = 0; path < PATHS && good; path++)
		good = !r->at[path] || check_content(r, r->at[path]);
	return good;
}
