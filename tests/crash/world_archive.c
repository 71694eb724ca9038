/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The closed store, with readdir and zlib only.
 */
#include "tests/crash/world_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "lib/bytes.h"

#define SUFFIX ".notepack.gz"
#define IMPORT_MAX 262144
#define PRUNED_MAX 4 /* first parts that may have been removed */
#define PLAIN_MAX ((size_t)4 << 20)

static bool ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n >= m && strcmp(name + n - m, end) == 0;
}

/* The whole file in a new buffer; NULL: it is not there. */
static char *load(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *data;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) != 0 || !(data = malloc((size_t)st.st_size + 1)) ||
	    read(fd, data, (size_t)st.st_size) != st.st_size) {
		perror(path);
		exit(2);
	}
	close(fd);
	*len = (size_t)st.st_size;
	return data;
}

/* Exactly one gzip member, into out; its plain length, or -1. */
static ssize_t unpack(const char *gz, size_t len, char *out, size_t size)
{
	z_stream z = {.next_in = (Bytef *)gz, .avail_in = (uInt)len};
	int r;

	z.next_out = (Bytef *)out;
	z.avail_out = (uInt)size;
	if (inflateInit2(&z, 31) != Z_OK)
		return -1;
	r = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	return r == Z_STREAM_END && z.avail_in == 0 ? (ssize_t)(size - z.avail_out) : -1;
}

size_t world_pack(uint64_t key, size_t len, char *out, size_t size)
{
	static char plain[IMPORT_MAX];
	z_stream z = {.next_in = (Bytef *)plain, .avail_in = (uInt)len};

	world_fill(plain, len, key, 0);
	z.next_out = (Bytef *)out;
	z.avail_out = (uInt)size;
	if (deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) != Z_OK ||
	    deflate(&z, Z_FINISH) != Z_STREAM_END)
		abort();
	deflateEnd(&z);
	return size - z.avail_out;
}

static char *plain_buffer(void)
{
	static char *buf;

	if (!buf)
		buf = malloc(PLAIN_MAX);
	if (!buf) {
		perror("malloc");
		exit(2);
	}
	return buf;
}

static void check_object(struct world *w, const char *path)
{
	size_t len = 0;
	char *gz = load(path, &len);

	if (!gz || unpack(gz, len, plain_buffer(), PLAIN_MAX) < 0)
		world_violation(w, "%s: not a whole gzip file (%zu bytes)",
				path + strlen(w->dir) + 1, len);
	free(gz);
}

typedef void visit(struct world *w, const char *path, const struct stat *st);

static void walk(struct world *w, const char *dir, bool private, visit *see)
{
	char path[PATH_MAX];
	struct dirent *e;
	struct stat st;
	DIR *d = opendir(dir);

	if (!d)
		return;
	while ((e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    (strcmp(e->d_name, ".notepackfs") == 0 && !private))
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) >= PATH_MAX ||
		    lstat(path, &st) != 0)
			continue;
		if (S_ISDIR(st.st_mode))
			walk(w, path, private, see);
		else
			see(w, path, &st);
	}
	closedir(d);
}

static void see_object(struct world *w, const char *path, const struct stat *st)
{
	if (ends_in(path, SUFFIX))
		check_object(w, path);
}

void world_check_objects(struct world *w)
{
	walk(w, w->dir, false, see_object);
}

/* Bytes that a write has left though it failed are no one's. */
static bool is_refused(const struct world *w, const char *name)
{
	for (unsigned i = 0; i < w->count; i++) {
		if (strcmp(w->list[i].name, name) == 0 &&
		    w->list[i].tried > w->list[i].accepted)
			return true;
	}
	return false;
}

/* Nothing but objects, and what is never sealed. */
static void see_finished(struct world *w, const char *path, const struct stat *st)
{
	if (ends_in(path, SUFFIX))
		check_object(w, path);
	else if (st->st_size > 0 && !ends_in(path, ".tmp") && !ends_in(path, ".invalid") &&
		 !is_refused(w, path + strlen(w->dir) + 1))
		world_violation(w, "%s: is left in the store, %lld bytes",
				path + strlen(w->dir) + 1, (long long)st->st_size);
	if (strstr(path, ".recovered-") && !w->may_recover)
		world_violation(w, "%s: had to be given another name", path);
}

/* One whose bytes write() has refused waits for others. */
static bool has_refused_import(const struct world *w)
{
	for (unsigned i = 0; i < w->count; i++) {
		if (w->list[i].import && w->list[i].tried > w->list[i].accepted)
			return true;
	}
	return false;
}

static void see_private(struct world *w, const char *path, const struct stat *st)
{
	const char *name = path + strlen(w->dir) + strlen("/.notepackfs/");

	if (strncmp(name, "tmp/", 4) == 0 || strstr(name, ".new."))
		world_violation(w, "%s: a temporary is left", path);
	if (strncmp(name, "quarantine/", 11) == 0 && st->st_size > 0 && !w->may_put_aside &&
	    !(w->repairs && strncmp(name + 11, "manifest.", 9) == 0))
		world_violation(w, "%s: had to be put aside", path);
	if (strncmp(name, "import/", 7) == 0 && st->st_size > 0 && !has_refused_import(w))
		world_violation(w, "%s: an import is left", path);
}

/* All parts of a plain name, or its raw file where there are none. -1: it is not there; -2: damaged. */
static ssize_t content(struct world *w, const char *name, bool pruned, char *out)
{
	int stem = (int)strlen(name) - (ends_in(name, ".notepack") ? 9 : 0);
	char path[PATH_MAX];
	size_t total = 0, len = 0;
	char *data;

	for (unsigned part = 1;; part++) {
		if (part == 1)
			snprintf(path, sizeof(path), "%s/%.*s" SUFFIX, w->dir, stem, name);
		else
			snprintf(path, sizeof(path), "%s/%.*s.p%09u" SUFFIX, w->dir, stem, name,
				 part);
		data = load(path, &len);
		if (!data && total == 0 && pruned && part < PRUNED_MAX)
			continue;
		if (!data && part > 1)
			return (ssize_t)total;
		if (!data)
			break;
		ssize_t n = unpack(data, len, out + total, PLAIN_MAX - total);

		free(data);
		if (n < 0)
			return -2;
		total += (size_t)n;
	}
	snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	data = load(path, &len);
	if (!data)
		return -1;
	memcpy(out, data, MIN(len, PLAIN_MAX));
	free(data);
	return (ssize_t)len;
}

static bool is_in_archive(struct world *w, const struct promise *p, const char *name,
			  enum world_end how)
{
	char *buf = plain_buffer();
	uint64_t least = how == WORLD_CUT ? p->durable : p->accepted;
	ssize_t n = content(w, name, p->next_base > 0, buf);
	uint64_t bases[WORLD_BASES];
	bool found = false;

	for (unsigned i = world_bases(p, how, bases); i-- > 0 && n >= 0 && !found;) {
		uint64_t base = bases[i], must = least > base ? least - base : 0;

		found = (uint64_t)n >= must && (uint64_t)n + base <= p->tried &&
			world_has_content(p, buf, how == WORLD_CUT ? (size_t)must : (size_t)n,
					  base);
	}
	return found;
}

bool world_is_refused_import(struct world *w, const struct promise *p)
{
	char path[PATH_MAX];
	size_t len = 0;
	ssize_t n;
	char *gz;

	if (!w->may_refuse || !p->import)
		return false;
	snprintf(path, sizeof(path), "%s/%s" SUFFIX ".invalid", w->dir, p->name);
	gz = load(path, &len);
	n = gz ? unpack(gz, len, plain_buffer(), PLAIN_MAX) : -1;
	free(gz);
	return n == (ssize_t)p->accepted && world_has_content(p, plain_buffer(), (size_t)n, 0);
}

void world_check_archive(struct world *w, enum world_end how)
{
	char private[PATH_MAX];

	walk(w, w->dir, false, see_finished);
	snprintf(private, sizeof(private), "%s/.notepackfs", w->dir);
	walk(w, private, true, see_private);
	for (unsigned i = 0; i < w->count; i++) {
		const struct promise *p = &w->list[i];
		uint64_t least = how == WORLD_CUT ? p->durable : p->accepted;
		const char *names[WORLD_NAMES];
		unsigned count;
		bool found;

		if (p->removing || !least)
			continue;
		found = world_is_refused_import(w, p);
		count = world_names(p, how, names);
		for (unsigned n = 0; n < count && !found; n++)
			found = is_in_archive(w, p, names[n], how);
		if (!found)
			world_violation(w, "%s: the archive does not have its %llu bytes",
					p->name, (unsigned long long)least);
	}
}
