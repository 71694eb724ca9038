/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What follows from the header of an object alone, for one that its raw file vouches for: the rest is read
 * when the mount is usable (lib/orphan.h).
 */
#include "lib/recovery_impl.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "lib/barrier.h"
#include "lib/io.h"
#include "lib/layout.h"
#include "lib/log.h"
#include "lib/orphan.h"
#include "lib/quarantine.h"
#include "lib/raw.h"

/* What its header says: part, offset and length. 1, 0: it is not one of ours, or -errno. */
static int read_header(int fd, struct sealed *rec)
{
	struct seekgz_header header;
	const char *reason;
	struct stat st;
	int err = io_fstat(fd, &st);

	if (!err)
		err = seekgz_header_read(fd, (uint64_t)st.st_size, &header, &reason);
	if (err)
		return err == -ENOMEM ? err : 0;
	rec->part = header.part;
	rec->offset = header.offset;
	rec->raw_bytes = header.layout.raw_bytes;
	seekgz_header_release(&header);
	return 1;
}

/* Is it what comes next of the file that this raw file is of, and has that all of its bytes? */
static bool is_next_of(struct store *s, const struct found_raw *raw, const struct sealed *rec)
{
	struct sealed before;

	if (!raw->id || raw->base > rec->offset || raw->bytes < rec->offset + rec->raw_bytes ||
	    manifest_knows(s->manifest, raw->id, rec->part))
		return false;
	if (rec->part == 1)
		return rec->offset == 0;
	return manifest_get(s->manifest, raw->id, rec->part - 1, &before) &&
	       before.offset + before.raw_bytes == rec->offset;
}

static int note(struct differences *diff, const struct sealed *rec)
{
	/* It may have been found by both names, where a renaming is a link and an unlink. */
	for (size_t i = 0; i < diff->orphan_count; i++) {
		if (diff->orphans[i].id == rec->id && diff->orphans[i].part == rec->part)
			return 0;
	}
	if (diff->orphan_count == diff->orphan_size) {
		size_t size = diff->orphan_size ? diff->orphan_size * 2 : 16;
		struct sealed *list = realloc(diff->orphans, size * sizeof(*list));

		if (!list)
			return -ENOMEM;
		diff->orphans = list;
		diff->orphan_size = size;
	}
	diff->orphans[diff->orphan_count++] = *rec;
	return 0;
}

/* The raw file beside an object, in either spelling. */
static const struct found_raw *raw_beside(struct store *s, const struct differences *diff,
					  const char *dir, const char *stem)
{
	size_t len = strlen(stem);

	for (size_t i = 0; i < diff->raw_count; i++) {
		const struct found_raw *raw = &diff->raws[i];

		if (strcmp(raw->at.dir, dir) == 0 && strncmp(raw->at.name, stem, len) == 0 &&
		    name_stem_len(raw->at.name, store_suffix(s)) == len)
			return raw;
	}
	return NULL;
}

/* The part behind it, if it is there, would be recorded before it: then both are looked at now. */
static bool has_successor(int dfd, const char *suffix, const struct found_raw *raw,
			  uint32_t part)
{
	char name[NAME_BYTES + 1];
	struct stat st;

	return name_sealed(raw->at.name, part + 1, suffix, name) == 0 &&
	       io_stat(dfd, name, &st) != -ENOENT;
}

int recovery_put_off(struct store *s, struct differences *diff, const struct place *at,
		     const char *stem, uint32_t part, int fd)
{
	const struct found_raw *raw = raw_beside(s, diff, at->dir, stem);
	char to[ORPHAN_PATH_BYTES];
	struct sealed rec = {0};
	struct raw_mark mark;
	int err;

	/* One with a mark is a user's own file, of a directory that was excluded. */
	if (!raw || s->adopted || raw_read_mark(fd, &mark) != -ENODATA)
		return 0;
	err = read_header(fd, &rec);
	if (err <= 0)
		return err;
	if (rec.part != part || !is_next_of(s, raw, &rec))
		return 0;
	CLEANUP_FD int dfd = recovery_open_dir(s, at->dir);

	if (dfd < 0 || has_successor(dfd, store_suffix(s), raw, part))
		return MIN(dfd, 0);
	rec.id = raw->id;
	orphan_path(rec.id, rec.part, to);
	/* The raw file's name says whose it is, then; a power cut must not leave the one without the other. */
	err = io_syncdir(dfd, ".");
	if (err || io_rename_resume(dfd, at->name, s->fd, to) != 0)
		return 0; /* so it is looked at where it is */
	err = note(diff, &rec);
	return err ? err : 1;
}

/* ---- those of an earlier start ---- */

static int set_aside(struct store *s, const char *path)
{
	char to[QUARANTINE_PATH_BYTES];
	int err = quarantine_move(s->fd, s->fd, path, to);

	if (!err) {
		log_error(
		    "%s: is an object that a crash left without a record, and its file is "
		    "not there any more; it was moved to %s in the store",
		    path, to);
		recovery_event(s, "quarantined", path);
	}
	return err == -ENOENT ? 0 : err;
}

static const struct found_raw *raw_of(const struct differences *diff, uint64_t id)
{
	for (size_t i = 0; i < diff->raw_count; i++) {
		if (diff->raws[i].id == id)
			return &diff->raws[i];
	}
	return NULL;
}

/* A power cut took bytes from the raw file: under its name again, the object is looked at before it. */
static int put_back(struct store *s, struct differences *diff, const struct found_raw *raw,
		    const char *path, uint32_t part, int fd)
{
	CLEANUP_FD int dfd = recovery_open_dir(s, raw->at.dir);
	char name[NAME_BYTES + 1];
	struct stat st;
	int err = dfd < 0 ? dfd : io_fstat(fd, &st);

	if (err)
		return err;
	if (name_sealed(raw->at.name, part, store_suffix(s), name) != 0)
		return set_aside(s, path);
	err = io_rename_resume(s->fd, path, dfd, name);
	if (err == -EEXIST)
		return set_aside(s, path);
	if (!err)
		err = io_syncdir(dfd, ".");
	return err ? err : recovery_add_stray(diff, raw->at.dir, name, (uint64_t)st.st_size);
}

static int take_up(struct store *s, struct differences *diff, uint64_t id, uint32_t part)
{
	const struct found_raw *raw = s->adopted ? NULL : raw_of(diff, id);
	char path[ORPHAN_PATH_BYTES];
	struct sealed rec = {0};
	int r;

	orphan_path(id, part, path);
	CLEANUP_FD int fd = raw ? io_open(s->fd, path, O_RDONLY | O_NOFOLLOW, 0) : -ENOENT;

	r = fd < 0 ? 0 : read_header(fd, &rec);
	if (r < 0)
		return r;
	if (!r || rec.part != part || manifest_knows(s->manifest, id, part))
		return set_aside(s, path);
	if (!is_next_of(s, raw, &rec))
		return put_back(s, diff, raw, path, part, fd);
	rec.id = id;
	return note(diff, &rec);
}

int recovery_orphans(struct store *s, struct differences *diff)
{
	int fd = io_open(s->fd, LAYOUT_TMP, O_RDONLY | O_DIRECTORY, 0);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	uint64_t id;
	uint32_t part;
	int err = 0;

	if (!stream) {
		if (fd >= 0)
			close(fd);
		return fd == -ENOENT ? 0 : fd < 0 ? fd : -ENOMEM;
	}
	while (!err && (errno = 0, e = readdir(stream))) {
		if (e->d_type != DT_DIR && orphan_parse(e->d_name, &id, &part))
			err = take_up(s, diff, id, part);
	}
	if (!err && errno)
		err = -errno;
	closedir(stream);
	return err;
}

/* ---- when the sealer is there ---- */

/* 0, -ESTALE: it is not what comes next of its file after all, or -errno. */
static int cut(struct store *s, const struct differences *diff, const struct sealed *rec)
{
	const struct found_raw *raw = raw_of(diff, rec->id);
	CLEANUP_FREE char *path = raw ? recovery_path(raw->at.dir, raw->at.name) : NULL;
	struct segment *seg = NULL;
	struct node *n;
	int err = !raw ? -ESTALE : !path ? -ENOMEM : store_resolve(s, NULL, path, &n);

	if (err)
		return err == -ENOENT ? -ESTALE : err;
	lock_take(&s->lock);
	err = n->kind == NODE_FILE ? orphan_cut_locked(s, to_file(n), rec, &seg) : -ESTALE;
	lock_drop(&s->lock);
	if (!err)
		sealer_submit(s->sealer, seg);
	node_unref(s, n, 1);
	return err;
}

int recovery_cut_orphans(struct store *s, const struct differences *diff)
{
	int err = 0;

	for (size_t i = 0; i < diff->orphan_count && !err; i++) {
		char path[ORPHAN_PATH_BYTES];

		err = cut(s, diff, &diff->orphans[i]);
		orphan_path(diff->orphans[i].id, diff->orphans[i].part, path);
		if (err == -ESTALE)
			err = set_aside(s, path);
	}
	return err;
}
