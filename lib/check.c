/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tree is walked directory by directory, and the records of each directory are held against
 * its entries; at the end the directories that records name and the walk did not meet are
 * missing with all they held. So memory is bounded by the largest directories, not by the
 * archive, the manifest itself aside.
 */
#include "lib/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/check_impl.h"
#include "lib/io.h"
#include "lib/layout.h"

#define LOAD_TRIES 5
#define LOAD_PAUSE_NS 100000000

/* A record of the directory at hand. */
struct item {
	struct sealed sealed;
	char object[NAME_BYTES + 1];
	uint64_t end; /* on the first of its file: how far the file is sealed */
	UT_hash_handle hh;
	UT_hash_handle hh_plain; /* the first of its file only */
	char plain[];
};

struct items {
	struct item *by_object, *by_plain;
	const char *suffix;
};

struct names {
	char **name;
	size_t count, size;
};

int check_load(int storefd, struct manifest **out, struct manifest_error *error)
{
	const struct manifest_options options = {.read_only = true};
	struct timespec pause = {.tv_nsec = LOAD_PAUSE_NS};
	pid_t pid;
	int err = 0;

	for (int i = 0; i < LOAD_TRIES; i++) {
		memset(error, 0, sizeof(*error));
		err = manifest_open(storefd, &options, out, error);
		/* A commit may have folded a chunk file away between two reads. */
		if ((err != -EBADMSG && err != -ENOENT) ||
		    layout_holder(storefd, &pid) == HOLDER_NONE)
			break;
		nanosleep(&pause, NULL);
	}
	return err;
}

char *check_join(const char *dir, const char *name)
{
	char *out;

	if (!*dir)
		return strdup(name);
	return asprintf(&out, "%s/%s", dir, name) < 0 ? NULL : out;
}

int check_report(struct check *c, const char *dir, const char *name,
		 const struct check_verdict *v)
{
	CLEANUP_FREE char *path = check_join(dir, name);
	struct check_problem problem = {
	    .path = path,
	    .reason = v->reason,
	    .has_offset = v->has_offset,
	    .raw_offset = v->raw_offset,
	    .gz_offset = v->gz_offset,
	};

	if (!path)
		return -ENOMEM;
	c->counts->problems++;
	c->options->problem(c->options->ctx, &problem);
	return 0;
}

void check_count_good(struct check *c, const struct sealed *s)
{
	c->counts->objects++;
	c->counts->raw_bytes += s->raw_bytes;
	c->counts->gz_bytes += s->gz_bytes;
}

void check_progress(struct check *c, uint64_t done)
{
	c->done += done;
	if (c->options->progress)
		c->options->progress(c->options->ctx, c->done, c->total);
}

/* Report what is wrong; if the store is live and time may put it right, later. */
static int complain(struct check *c, const char *dir, const char *name, const struct sealed *s,
		    const struct check_verdict *v)
{
	if (c->options->live && v->outcome == CHECK_DISAGREES)
		return check_suspect(c, dir, name, s, v);
	return check_report(c, dir, name, v);
}

static int check_item(struct check *c, int dirfd, const char *dir, const struct item *item)
{
	struct check_verdict v;
	int err = check_object(c, dirfd, item->object, &item->sealed, &v);

	if (!c->options->deep)
		check_progress(c, 1);
	if (err)
		return err;
	if (v.outcome != CHECK_GOOD)
		return complain(c, dir, item->object, &item->sealed, &v);
	check_count_good(c, &item->sealed);
	return 0;
}

static void items_release(struct items *items)
{
	struct item *item, *next;

	HASH_CLEAR(hh_plain, items->by_plain);
	HASH_ITER (hh, items->by_object, item, next) {
		HASH_DEL(items->by_object, item);
		free(item);
	}
}

static int add_item(void *ctx, const struct sealed *s, const char *dir, const char *plain)
{
	struct items *items = ctx;
	size_t len = strlen(plain);
	struct item *item = calloc(1, sizeof(*item) + len + 1), *first;

	if (!item)
		return -ENOMEM;
	item->sealed = *s;
	memcpy(item->plain, plain, len + 1);
	if (name_sealed(plain, s->part, items->suffix, item->object) != 0) {
		free(item);
		return -ENAMETOOLONG;
	}
	HASH_ADD_STR(items->by_object, object, item);
	if (!item->hh.tbl) {
		free(item);
		return -ENOMEM;
	}
	HASH_FIND(hh_plain, items->by_plain, plain, len, first);
	if (!first) {
		first = item;
		HASH_ADD_KEYPTR(hh_plain, items->by_plain, item->plain, len, item);
		if (!item->hh_plain.tbl)
			return -ENOMEM;
	}
	first->end = MAX(first->end, s->offset + s->raw_bytes);
	return 0;
}

static int load_items(struct check *c, const char *dir, struct items *items)
{
	*items = (struct items){.suffix = manifest_suffix(c->manifest)};
	return manifest_each_in_dir(c->manifest, dir, add_item, items);
}

static void names_release(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->name[i]);
	free(names->name);
}

static int names_add(struct names *names, const char *name)
{
	if (names->count == names->size) {
		size_t size = names->size ? names->size * 2 : 64;
		char **p = realloc(names->name, size * sizeof(*p));

		if (!p)
			return -ENOMEM;
		names->name = p;
		names->size = size;
	}
	names->name[names->count] = strdup(name);
	return names->name[names->count] ? (names->count++, 0) : -ENOMEM;
}

static int list_names(int dirfd, struct names *names)
{
	int fd = io_open(dirfd, ".", O_RDONLY | O_DIRECTORY, 0), err = 0;
	struct dirent *e;
	DIR *d;

	*names = (struct names){0};
	if (fd < 0)
		return fd;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	for (errno = 0; !err && (e = readdir(d)); errno = 0) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			err = names_add(names, e->d_name);
	}
	if (!err)
		err = -errno;
	closedir(d);
	return err;
}

static void count_raw(struct check *c, const struct items *items, const char *name,
		      uint64_t size)
{
	const struct item *first;
	uint64_t end;

	HASH_FIND(hh_plain, items->by_plain, name, strlen(name), first);
	end = first ? first->end : 0;
	if (size > end) {
		c->counts->unsealed_files++;
		c->counts->unsealed_bytes += size - end;
	}
}

static int check_unrecorded(struct check *c, const char *dir, const char *name)
{
	struct check_verdict v;

	check_verdict(
	    &v, CHECK_DISAGREES,
	    c->counts->was_clean || c->options->live
		? "is an object without a record in the manifest; if it was put there by "
		  "hand, move it away"
		: "is an object without a record in the manifest; the next mount verifies "
		  "and records it");
	return complain(c, dir, name, NULL, &v);
}

static int check_dir(struct check *c, int dirfd, const char *path);

static int check_subdir(struct check *c, int dirfd, const char *dir, const char *name)
{
	CLEANUP_FD int fd = io_open(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	CLEANUP_FREE char *path = check_join(dir, name);

	if (!path)
		return -ENOMEM;
	if (fd == -ENOENT && c->options->live)
		return 0;
	if (fd < 0) {
		snprintf(c->error->text, sizeof(c->error->text), "%s: %s", path, strerror(-fd));
		return fd;
	}
	return check_dir(c, fd, path);
}

/* An entry of a directory that is no record's object. */
static int check_entry(struct check *c, int dirfd, const char *dir, const char *name,
		       const struct items *items)
{
	struct stat st;

	if (!*dir && (strcmp(name, NAME_PRIVATE) == 0 || strcmp(name, "lost+found") == 0))
		return 0;
	if (globs_match(&c->exclude, name) || name_is_refused(name, items->suffix)) {
		c->counts->excluded_files++;
		return 0;
	}
	if (io_stat(dirfd, name, &st) != 0) /* it has just gone */
		return 0;
	if (S_ISDIR(st.st_mode))
		return check_subdir(c, dirfd, dir, name);
	if (!S_ISREG(st.st_mode))
		return 0;
	if (name_has_sealed_suffix(name, items->suffix))
		return check_unrecorded(c, dir, name);
	count_raw(c, items, name, (uint64_t)st.st_size);
	return 0;
}

static void mark_visited(struct check *c, const char *path)
{
	struct check_dir *d;

	HASH_FIND_STR(c->dirs, path, d);
	if (d)
		d->visited = true;
}

static int check_entries(struct check *c, int dirfd, const char *path,
			 const struct names *names, struct items *items)
{
	struct item *item, *next;
	int err = 0;

	HASH_ITER (hh, items->by_object, item, next) {
		err = err ? err : check_item(c, dirfd, path, item);
	}
	for (size_t i = 0; i < names->count && !err; i++) {
		HASH_FIND_STR(items->by_object, names->name[i], item);
		if (!item)
			err = check_entry(c, dirfd, path, names->name[i], items);
	}
	return err;
}

static int check_dir(struct check *c, int dirfd, const char *path)
{
	struct names names;
	struct items items;
	int err;

	mark_visited(c, path);
	err = load_items(c, path, &items);
	if (!err) {
		err = list_names(dirfd, &names);
		if (err && err != -ENOMEM)
			snprintf(c->error->text, sizeof(c->error->text), "%s: %s",
				 *path ? path : ".", strerror(-err));
		if (!err)
			err = check_entries(c, dirfd, path, &names, &items);
		names_release(&names);
	}
	items_release(&items);
	return err;
}

/* The records of directories that the walk did not meet: excluded by now, or gone. */
static int check_unvisited(struct check *c)
{
	struct check_dir *d, *next;
	struct item *item, *next_item;
	struct items items;
	int err = 0;

	HASH_ITER (hh, c->dirs, d, next) {
		CLEANUP_FD int fd = -1;

		if (d->visited || err)
			continue;
		fd = io_open(c->storefd, d->path, O_RDONLY | O_DIRECTORY, 0);
		err = load_items(c, d->path, &items);
		HASH_ITER (hh, items.by_object, item, next_item) {
			err = err ? err : check_item(c, fd, d->path, item);
		}
		items_release(&items);
	}
	return err;
}

static int check_temporaries(struct check *c)
{
	CLEANUP_FD int fd = io_open(c->storefd, LAYOUT_TMP, O_RDONLY | O_DIRECTORY, 0);
	struct check_verdict v;
	struct names names;
	int err;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	err = list_names(fd, &names);
	check_verdict(&v, CHECK_DISAGREES,
		      "is left by a crash; the next mount removes it, or takes it up");
	for (size_t i = 0; i < names.count && !err; i++) {
		c->counts->temporaries++;
		if (!c->options->live)
			err = check_report(c, LAYOUT_TMP, names.name[i], &v);
	}
	names_release(&names);
	return err;
}

static int add_dir(void *ctx, const struct sealed *s, const char *dir, const char *plain)
{
	struct check *c = ctx;
	struct check_dir *d;

	c->counts->records++;
	c->total += c->options->deep ? s->raw_bytes : 1;
	HASH_FIND_STR(c->dirs, dir, d);
	if (d)
		return 0;
	d = calloc(1, sizeof(*d));
	if (d)
		d->path = strdup(dir);
	if (d && d->path)
		HASH_ADD_KEYPTR(hh, c->dirs, d->path, strlen(d->path), d);
	if (d && d->hh.tbl)
		return 0;
	if (d)
		free(d->path);
	free(d);
	return -ENOMEM;
}

static void dirs_free(struct check *c)
{
	struct check_dir *d, *next;

	HASH_ITER (hh, c->dirs, d, next) {
		HASH_DEL(c->dirs, d);
		free(d->path);
		free(d);
	}
}

static int check_loaded(struct check *c)
{
	int err = globs_init(&c->exclude, manifest_was_exclude(c->manifest));

	c->counts->was_clean = manifest_was_clean(c->manifest);
	if (!err)
		err = manifest_each(c->manifest, add_dir, c);
	if (!err)
		err = check_dir(c, c->storefd, "");
	if (!err)
		err = check_unvisited(c);
	if (!err)
		err = check_temporaries(c);
	if (!err)
		err = check_suspects(c);
	return err;
}

int check_store(int storefd, const struct check_options *options, struct check_counts *counts,
		struct manifest_error *error)
{
	struct check c = {
	    .storefd = storefd, .options = options, .counts = counts, .error = error};
	int err;

	memset(counts, 0, sizeof(*counts));
	err = check_load(storefd, &c.manifest, error);
	if (err)
		return err;
	err = check_loaded(&c);
	manifest_close(c.manifest);
	globs_release(&c.exclude);
	check_suspects_free(&c);
	dirs_free(&c);
	return err;
}
