/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/recovery_impl.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "lib/io.h"
#include "lib/log.h"
#include "lib/raw.h"

#define NOTED 256 /* records in one commit */

struct expected {
	char name[NAME_BYTES + 1]; /* of the object */
	char plain[NAME_BYTES + 1];
	struct sealed rec;
	bool seen;
	struct expected *same; /* of another file whose records say the same name */
	UT_hash_handle hh;
};

/* A record that is to be written again. */
struct noted {
	struct sealed rec;
	struct place at; /* name: the plain name */
};

struct walk {
	struct store *s;
	struct differences *diff;
	struct noted noted[NOTED];
	size_t noted_count;
	const char *dir;
	struct expected *expected;
	char **todo; /* directories still to be walked */
	size_t todo_count, todo_size;
	const char *looked_for; /* the latest directory of a record, and whether it exists */
	bool is_there;
};

/* Room for one more element in an array of count elements. */
static int make_room(void **list, size_t count, size_t *size, size_t element)
{
	if (count < *size)
		return 0;
	size_t bigger = *size ? *size * 2 : 16;
	void *p = realloc(*list, bigger * element);

	if (!p)
		return -ENOMEM;
	*list = p;
	*size = bigger;
	return 0;
}

static void place_release(struct place *p)
{
	free(p->dir);
	free(p->name);
}

static int place_init(struct place *p, const char *dir, const char *name)
{
	p->dir = strdup(dir);
	p->name = strdup(name);
	if (p->dir && p->name)
		return 0;
	place_release(p);
	return -ENOMEM;
}

void recovery_release(struct differences *d)
{
	for (size_t i = 0; i < d->stray_count; i++)
		place_release(&d->strays[i].at);
	for (size_t i = 0; i < d->missing_count; i++)
		place_release(&d->missing[i].at);
	for (size_t i = 0; i < d->raw_count; i++)
		place_release(&d->raws[i].at);
	free(d->strays);
	free(d->missing);
	free(d->raws);
	free(d->orphans);
	memset(d, 0, sizeof(*d));
}

static int expect(void *ctx, const struct sealed *rec, const char *dir, const char *plain)
{
	struct walk *w = ctx;
	struct expected *e = calloc(1, sizeof(*e)), *first;

	if (!e)
		return -ENOMEM;
	e->rec = *rec;
	snprintf(e->plain, sizeof(e->plain), "%s", plain);
	if (name_sealed(plain, rec->part, store_suffix(w->s), e->name) != 0) {
		free(e);
		return 0;
	}
	HASH_FIND_STR(w->expected, e->name, first);
	if (first) {
		e->same = first->same;
		first->same = e;
		return 0;
	}
	HASH_ADD_STR(w->expected, name, e);
	if (!e->hh.tbl) {
		free(e);
		return -ENOMEM;
	}
	return 0;
}

int recovery_add_stray(struct differences *d, const char *dir, const char *name, uint64_t bytes)
{
	int err =
	    make_room((void **)&d->strays, d->stray_count, &d->stray_size, sizeof(*d->strays));

	if (!err)
		err = place_init(&d->strays[d->stray_count].at, dir, name);
	if (!err)
		d->strays[d->stray_count].bytes = bytes;
	d->stray_count += !err;
	return err;
}

static int add_missing(struct walk *w, const struct expected *e)
{
	struct differences *d = w->diff;
	int err = make_room((void **)&d->missing, d->missing_count, &d->missing_size,
			    sizeof(*d->missing));

	if (err)
		return err;
	d->missing[d->missing_count] = (struct missing){.rec = e->rec};
	err = place_init(&d->missing[d->missing_count].at, w->dir, e->plain);
	d->missing_count += !err;
	return err;
}

static int add_raw(struct walk *w, int dfd, const char *name)
{
	struct differences *d = w->diff;
	CLEANUP_FD int fd = io_open(dfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	struct found_raw *raw;
	struct raw_mark mark;
	struct stat st;
	int err = fd < 0 ? fd : io_fstat(fd, &st);

	if (err == -EINVAL || err == -ELOOP || err == -ENOENT)
		return 0; /* swapped just now */
	if (!err)
		err =
		    make_room((void **)&d->raws, d->raw_count, &d->raw_size, sizeof(*d->raws));
	if (err)
		return err;
	raw = &d->raws[d->raw_count];
	*raw = (struct found_raw){.bytes = (uint64_t)st.st_size};
	/* One that cannot be read just now is not one that is not there: what the file holds would
	 * be taken for something else. */
	err = raw_read_mark(fd, &mark);
	if (err && err != -ENODATA)
		return err;
	if (!err) {
		raw->id = mark.id;
		raw->base = mark.base;
	}
	err = place_init(&raw->at, w->dir, name);
	d->raw_count += !err;
	return err;
}

bool recovery_is_another(int dfd, const char *name, uint64_t gz_bytes, const struct sealed *rec)
{
	CLEANUP_FD int fd = io_open(dfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	struct seekgz_header header;
	const char *reason;
	bool another;

	if (fd < 0 || seekgz_header_read(fd, gz_bytes, &header, &reason) != 0)
		return false;
	another = header.part != rec->part || header.offset != rec->offset ||
		  memcmp(header.raw_sha256, rec->raw_sha256, SHA256_BYTES) != 0;
	seekgz_header_release(&header);
	return another;
}

/* Under an excluded name only a record makes it an object. */
static bool is_excluded(const struct walk *w, const char *name)
{
	return globs_match(&w->s->exclude, name) || globs_match_path(&w->s->exclude, w->dir) ||
	       name_is_unsealable(name, store_suffix(w->s));
}

static int put_noted(struct manifest_txn *txn, void *ctx)
{
	struct walk *w = ctx;
	int err = 0;

	for (size_t i = 0; i < w->noted_count && !err; i++)
		err = manifest_put(txn, &w->noted[i].rec, w->noted[i].at.dir,
				   w->noted[i].at.name);
	return err;
}

static void forget_noted(struct walk *w)
{
	while (w->noted_count > 0)
		place_release(&w->noted[--w->noted_count].at);
}

static int commit_noted(struct walk *w)
{
	int err = w->noted_count ? manifest_commit(w->s->manifest, put_noted, w) : 0;

	forget_noted(w);
	return err;
}

/*
 * An object has a new mode and owner before the manifest has (lib/lazy.h): where a crash came
 * between, what the object says holds. The right to write is not in it. Its times say nothing:
 * cp -r makes new ones.
 */
static int note_attributes(struct walk *w, const struct expected *e, const struct stat *st)
{
	struct noted *n = &w->noted[w->noted_count];
	int err;

	n->rec = e->rec;
	if (geteuid() == 0) {
		n->rec.uid = st->st_uid;
		n->rec.gid = st->st_gid;
	}
	if ((e->rec.mode & 0555) != (st->st_mode & 0555))
		n->rec.mode =
		    (e->rec.mode & 0222 & (st->st_mode & 0444) >> 1) | (st->st_mode & 07555);
	if (n->rec.uid == e->rec.uid && n->rec.gid == e->rec.gid && n->rec.mode == e->rec.mode)
		return 0;
	err = place_init(&n->at, w->dir, e->plain);
	if (err)
		return err;
	w->noted_count++;
	return w->noted_count == NOTED ? commit_noted(w) : 0;
}

static int walk_object(struct walk *w, int dfd, const char *name)
{
	struct expected *e;
	struct stat st;
	int err = io_stat(dfd, name, &st);

	if (err)
		return err;
	HASH_FIND_STR(w->expected, name, e);
	while (e && recovery_is_another(dfd, name, (uint64_t)st.st_size, &e->rec))
		e = e->same;
	if (!e)
		return recovery_add_stray(w->diff, w->dir, name, (uint64_t)st.st_size);
	e->seen = true;
	err = note_attributes(w, e, &st);
	if (err)
		return err;
	if ((uint64_t)st.st_size != e->rec.gz_bytes &&
	    log_is_few(&w->s->odd_lines[ODD_LENGTH], "has … bytes, the manifest says …"))
		log_error(PLACE_FORMAT
			  ": has %llu bytes, the manifest says %llu; run notepackctl check "
			  "--deep",
			  PLACE_PATH(w->dir, name), (unsigned long long)st.st_size,
			  (unsigned long long)e->rec.gz_bytes);
	return 0;
}

static int add_dir(struct walk *w, const char *name)
{
	char *path = recovery_path(w->dir, name);
	int err =
	    path ? make_room((void **)&w->todo, w->todo_count, &w->todo_size, sizeof(*w->todo))
		 : -ENOMEM;

	if (err)
		free(path);
	else
		w->todo[w->todo_count++] = path;
	return err;
}

static int walk_entry(struct walk *w, int dfd, const struct dirent *e)
{
	const char *name = e->d_name;
	int type = e->d_type;
	struct stat st;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
	    (!*w->dir && strcmp(name, NAME_PRIVATE) == 0))
		return 0;
	if (type == DT_UNKNOWN && io_stat(dfd, name, &st) == 0)
		type = IFTODT(st.st_mode);
	if (type == DT_DIR)
		return add_dir(w, name);
	if (type != DT_REG)
		return 0;
	if (name_has_sealed_suffix(name, store_suffix(w->s)))
		return walk_object(w, dfd, name);
	return is_excluded(w, name) ? 0 : add_raw(w, dfd, name);
}

static int walk_entries(struct walk *w)
{
	CLEANUP_FD int dfd = recovery_open_dir(w->s, w->dir);
	struct dirent *e;
	DIR *stream;
	int fd, err = 0;

	if (dfd < 0)
		return dfd;
	fd = io_open(dfd, ".", O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	stream = fdopendir(fd);
	if (!stream) {
		close(fd);
		return -ENOMEM;
	}
	while (!err && (errno = 0, e = readdir(stream)))
		err = walk_entry(w, fd, e);
	if (!err && errno)
		err = -errno;
	closedir(stream);
	return err;
}

/* Those of one name. */
static int end_expecting(struct walk *w, struct expected *e)
{
	int err = 0;

	while (e) {
		struct expected *same = e->same;

		if (!err && !e->seen)
			err = add_missing(w, e);
		free(e);
		e = same;
	}
	return err;
}

static int walk_dir(struct walk *w)
{
	struct expected *e, *next;
	int err = manifest_each_in_dir(w->s->manifest, w->dir, expect, w);

	if (!err)
		err = walk_entries(w);
	HASH_ITER (hh, w->expected, e, next) {
		int failed;

		HASH_DEL(w->expected, e);
		failed = end_expecting(w, e);
		err = err ? err : failed;
	}
	return err;
}

/* A record of a directory that is not there. */

static int add_orphan(void *ctx, const struct sealed *rec, const char *dir, const char *plain)
{
	struct walk *w = ctx;
	struct expected e = {.rec = *rec};
	int fd;

	if (dir != w->looked_for) { /* the manifest has each path once */
		/* A system call under the manifest's lock: no other thread runs yet. */
		fd = recovery_open_dir(w->s, dir);
		w->is_there = fd >= 0;
		if (fd >= 0)
			close(fd);
		w->looked_for = dir;
	}
	if (w->is_there)
		return 0;
	snprintf(e.plain, sizeof(e.plain), "%s", plain);
	w->dir = dir;
	return add_missing(w, &e);
}

static int walk_all(struct walk *w)
{
	int err = walk_dir(w);

	while (!err && w->todo_count > 0) {
		char *dir = w->todo[--w->todo_count];

		w->dir = dir;
		err = walk_dir(w);
		free(dir);
	}
	while (w->todo_count > 0)
		free(w->todo[--w->todo_count]);
	free(w->todo);
	return err ? err : commit_noted(w);
}

int recovery_walk(struct store *s, struct differences *out)
{
	struct walk *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	w->s = s;
	w->diff = out;
	w->dir = "";
	err = walk_all(w);
	if (!err)
		err = manifest_each(s->manifest, add_orphan, w);
	forget_noted(w);
	free(w);
	return err;
}
