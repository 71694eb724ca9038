/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/repair_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/io.h"
#include "lib/object.h"

#define GZ ".gz"

int repair_grow(void **list, size_t count, size_t *size, size_t element)
{
	size_t bigger = *size ? *size * 2 : 64;
	void *p;

	if (count < *size)
		return 0;
	p = realloc(*list, bigger * element);
	if (!p)
		return -ENOMEM;
	*list = p;
	*size = bigger;
	return 0;
}

/* ---- directories ---- */

static int add_dir(struct repair *r, const char *dir, const char *name)
{
	int err = repair_grow((void **)&r->dirs, r->dir_count, &r->dir_size, sizeof(*r->dirs));

	if (!err && asprintf(&r->dirs[r->dir_count], "%s%s%s", dir, *dir ? "/" : "", name) < 0)
		err = -ENOMEM;
	r->dir_count += !err;
	return err;
}

typedef int visit(struct repair *r, void *ctx, int dirfd, const char *dir, const char *name,
		  const struct stat *st);

static int visit_entry(struct repair *r, visit *regular, void *ctx, int dirfd, const char *dir,
		       const char *name)
{
	struct stat st;
	int err;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
	    (!*dir && strcmp(name, NAME_PRIVATE) == 0))
		return 0;
	err = io_stat(dirfd, name, &st);
	if (err)
		return err == -ENOENT ? 0 : err;
	if (S_ISDIR(st.st_mode))
		return add_dir(r, dir, name);
	return S_ISREG(st.st_mode) ? regular(r, ctx, dirfd, dir, name, &st) : 0;
}

static int visit_dir(struct repair *r, const char *dir, visit *regular, void *ctx)
{
	int fd = io_open(r->storefd, *dir ? dir : ".", O_RDONLY | O_DIRECTORY, 0), err = 0;
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!stream) {
		err = fd < 0 ? fd : -ENOMEM;
		if (fd >= 0)
			close(fd);
	}
	while (!err && (errno = 0, e = readdir(stream)))
		err = visit_entry(r, regular, ctx, fd, dir, e->d_name);
	if (!err && errno)
		err = -errno;
	if (stream)
		closedir(stream);
	if (err && err != -ENOMEM)
		snprintf(r->error->text, sizeof(r->error->text), "%s: %s",
			 *dir ? dir : "the store", strerror(-err));
	return err;
}

static void free_dirs(struct repair *r)
{
	while (r->dir_count > 0)
		free(r->dirs[--r->dir_count]);
}

/* The list of directories grows while it is walked. */
static int visit_all(struct repair *r, visit *regular, void *ctx)
{
	int err;

	free_dirs(r);
	err = add_dir(r, "", "");
	for (size_t i = 0; i < r->dir_count && !err; i++)
		err = visit_dir(r, r->dirs[i], regular, ctx);
	return err;
}

/* ---- the suffix ---- */

/* What stands before .gz, from its last dot on; false if that could not be a suffix. */
static bool suffix_of(const char *name, char *out)
{
	size_t len = strlen(name);
	const char *dot;

	if (len <= sizeof(GZ) - 1 || strcmp(name + len - (sizeof(GZ) - 1), GZ) != 0)
		return false;
	len -= sizeof(GZ) - 1;
	dot = memrchr(name, '.', len);
	if (!dot || len - (size_t)(dot - name) > NAME_SUFFIX_BYTES)
		return false;
	snprintf(out, NAME_SUFFIX_BYTES + 1, "%.*s", (int)(len - (size_t)(dot - name)), dot);
	return name_check_suffix(out) == 0;
}

static int vote(struct repair *r, void *ctx, int dirfd, const char *dir, const char *name,
		const struct stat *st)
{
	struct repair_votes *v = ctx;
	char suffix[NAME_SUFFIX_BYTES + 1];
	CLEANUP_FD int fd = -1;

	if (!suffix_of(name, suffix))
		return 0;
	fd = io_open(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0 || object_is_ours(fd) != 1)
		v->foreign = true;
	else if (!*v->own)
		snprintf(v->own, sizeof(v->own), "%s", suffix);
	else if (strcmp(v->own, suffix) != 0)
		v->differ = true;
	return 0;
}

/* No right header says it: those of our own objects do, if they agree. */
static int guess_suffix(struct repair *r, const char **out)
{
	struct repair_votes *v = &r->votes;
	int err = visit_all(r, vote, v);

	if (err)
		return err;
	if (*v->own && !v->differ)
		*out = v->own;
	else if (r->salvage.suffix)
		*out = r->salvage.suffix;
	else if (!*v->own && !v->foreign)
		*out = NAME_DEFAULT_SUFFIX;
	if (*out)
		return 0;
	snprintf(
	    r->error->text, sizeof(r->error->text),
	    "the suffix of sealed names is lost with the manifest, and the objects' names do "
	    "not tell it; say it with --suffix (%s, if it was never chosen)",
	    NAME_DEFAULT_SUFFIX);
	return -EINVAL;
}

int repair_find_suffix(struct repair *r)
{
	const char *wanted = r->options->suffix, *suffix = NULL;
	int err = 0;

	if (r->salvage.header_is_right)
		suffix = r->salvage.suffix;
	else if (wanted)
		suffix = wanted;
	else
		err = guess_suffix(r, &suffix);
	if (err)
		return err;
	if (wanted && strcmp(wanted, suffix) != 0) {
		snprintf(r->error->text, sizeof(r->error->text),
			 "the store's suffix is %s, not %s", suffix, wanted);
		return -EEXIST;
	}
	r->suffix = strdup(suffix);
	return r->suffix ? 0 : -ENOMEM;
}

/* ---- what lies in the store ---- */

static bool is_excluded(const struct repair *r, const char *dir, const char *name)
{
	return globs_match(&r->exclude, name) || globs_match_path(&r->exclude, dir);
}

static int add_object(struct repair *r, const char *dir, const char *name,
		      const struct stat *st)
{
	struct repair_object *o;
	int err = repair_grow((void **)&r->objects, r->count, &r->size, sizeof(*r->objects));

	if (err)
		return err;
	o = &r->objects[r->count];
	*o = (struct repair_object){.dir = dir, .st = *st, .name = strdup(name)};
	if (!o->name)
		return -ENOMEM;
	o->excluded = is_excluded(r, dir, name);
	if (!name_parse_sealed(name, r->suffix, &o->stem, &o->part)) {
		o->stem = strlen(name);
		o->part = 0;
	}
	r->count++;
	r->total += (uint64_t)st->st_size;
	return 0;
}

/* Its mark; id 0: it has none. One that cannot be read now may say whose objects those beside it are. */
static int read_mark(struct repair *r, int dirfd, const char *dir, const char *name,
		     struct raw_mark *mark)
{
	CLEANUP_FD int fd = io_open(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	int err = fd < 0 ? fd : raw_read_mark(fd, mark);

	if (!err && mark->id < REPAIR_NUMBER_MAX) {
		r->next_id = MAX(r->next_id, mark->id + 1);
		return 0;
	}
	mark->id = 0;
	if (!err || err == -ENODATA || err == -ENOENT || err == -ELOOP || err == -EINVAL)
		return 0;
	repair_say(r, REPAIR_DAMAGE, dir, name,
		   "cannot be read: %s; if that stays so, move it out of the store, and "
		   "repair again; nothing was changed",
		   strerror(-err));
	return err;
}

static int add_raw(struct repair *r, int dirfd, const char *dir, const char *name,
		   const struct stat *st)
{
	struct repair_raw raw = {.dir = dir, .bytes = (uint64_t)st->st_size};
	int err = read_mark(r, dirfd, dir, name, &raw.mark);

	if (err)
		return err;
	if (is_excluded(r, dir, name) || name_is_refused(name, r->suffix))
		return 0;
	err = repair_grow((void **)&r->raws, r->raw_count, &r->raw_size, sizeof(*r->raws));
	if (err)
		return err;
	raw.name = strdup(name);
	if (!raw.name)
		return -ENOMEM;
	r->raws[r->raw_count++] = raw;
	return 0;
}

static int collect(struct repair *r, void *ctx, int dirfd, const char *dir, const char *name,
		   const struct stat *st)
{
	if (name_has_sealed_suffix(name, r->suffix))
		return add_object(r, dir, name, st);
	return add_raw(r, dirfd, dir, name, st);
}

static int by_name(const void *a, const void *b)
{
	const struct repair_raw *x = a, *y = b;
	int c = strcmp(x->dir, y->dir);

	return c ? c : strcmp(x->name, y->name);
}

int repair_walk(struct repair *r)
{
	int err = visit_all(r, collect, NULL);

	if (!err && r->raw_count)
		qsort(r->raws, r->raw_count, sizeof(*r->raws), by_name);
	return err;
}

const struct repair_raw *repair_find_raw(const struct repair *r, const char *dir,
					 const char *name)
{
	struct repair_raw key = {.dir = dir, .name = (char *)name};

	if (!r->raw_count)
		return NULL;
	return bsearch(&key, r->raws, r->raw_count, sizeof(*r->raws), by_name);
}

void repair_release(struct repair *r)
{
	free_dirs(r);
	free(r->dirs);
	for (size_t i = 0; i < r->count; i++) {
		free(r->objects[i].name);
		free(r->objects[i].plain);
	}
	free(r->objects);
	for (size_t i = 0; i < r->raw_count; i++)
		free(r->raws[i].name);
	free(r->raws);
	free(r->suffix);
	globs_release(&r->exclude);
	manifest_salvage_release(&r->salvage);
}
