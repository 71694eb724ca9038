/* SPDX-License-Identifier: BSD-2-Clause */
/* The imports that an earlier run has left: taken up again at a start, or put into their places. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "lib/barrier.h"
#include "lib/catalog.h"
#include "lib/cut.h"
#include "lib/events.h"
#include "lib/ids.h"
#include "lib/import_impl.h"
#include "lib/io.h"
#include "lib/layout.h"
#include "lib/load.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/raw.h"
#include "lib/record.h"

struct found_import {
	const char *file; /* its name there: the file id */
	char new_file[24];
	char *path; /* where it belongs: … */
	char *dir;
	const char *name;
	struct stat st;
	uint64_t identity;
};

static void put_away(struct store *s, int dirfd, const struct found_import *found,
		     const char *reason)
{
	char name[64];
	int err = -EEXIST;

	for (unsigned i = 1; err == -EEXIST; i++) {
		snprintf(name, sizeof(name), LAYOUT_QUARANTINE "/import.%u.gz", i);
		err = io_rename_resume(dirfd, found->file, s->fd, name);
	}
	log_error("%s: an unfinished import %s, and was %s%s in the store",
		  found->path ? found->path : found->file, reason,
		  err ? "left in " LAYOUT_IMPORT ": " : "moved to ",
		  err ? strerror(-err) : name);
}

/*
 * Is it, under its final name, an object already, or a refused one (lib/name.h)? The old name is
 * all that is left to do.
 */
static bool is_in_place(struct store *s, int dirfd, const struct found_import *found)
{
	CLEANUP_FD int dfd =
	    io_open(s->fd, *found->dir ? found->dir : ".", O_PATH | O_DIRECTORY, 0);
	char name[NAME_BYTES + 1];
	struct stat st;

	if (dfd < 0)
		return false;
	if (io_same_file(dirfd, found->file, dfd, found->name))
		return true;
	for (unsigned n = 1;
	     name_refused(found->name, n, name) == 0 && io_stat(dfd, name, &st) == 0; n++) {
		if (io_same_file(dirfd, found->file, dfd, name))
			return true;
	}
	return false;
}

/* The record of the object that the import would be. */
struct recorded {
	const char *name, *suffix;
	uint64_t gz_bytes;
	uint8_t sha256[SHA256_BYTES];
};

static int find_record(void *ctx, const struct sealed *rec, const char *dir, const char *plain)
{
	struct recorded *r = ctx;
	char name[NAME_BYTES + 1];

	if (rec->gz_bytes != r->gz_bytes ||
	    name_sealed(plain, rec->part, r->suffix, name) != 0 || strcmp(name, r->name) != 0)
		return 0;
	memcpy(r->sha256, rec->sha256, SHA256_BYTES);
	return 1;
}

/* Does the manifest name these very bytes as the object of this name? 0 or 1, or -errno. */
static int is_recorded(struct store *s, int fd, const struct found_import *found)
{
	struct recorded recorded = {.name = found->name,
				    .suffix = store_suffix(s),
				    .gz_bytes = (uint64_t)found->st.st_size};
	struct seekgz_damage damage;
	struct sealed rec;
	int err;

	if (!manifest_each_in_dir(s->manifest, found->dir, find_record, &recorded))
		return 0;
	err = object_verify(fd, &rec, NULL, NULL, &damage);
	if (err)
		return err == -ENOMEM ? err : 0;
	return memcmp(rec.sha256, recorded.sha256, SHA256_BYTES) == 0;
}

/* Its object is where it should be again. Where that fails it stays, for the next start. */
static void put_back(struct store *s, int dirfd, int fd, const struct found_import *found,
		     int to_fd)
{
	int err = fchmod(fd, found->st.st_mode & 0555) == 0 ? 0 : -errno;

	if (!err)
		err = io_rename_noreplace(dirfd, found->file, to_fd, found->name);
	if (!err)
		err = io_syncdir(to_fd, ".");
	if (err) {
		log_error("%s: its object lies in " LAYOUT_IMPORT
			  "; putting it back into its place failed: %s",
			  found->path, strerror(-err));
		return;
	}
	raw_write_path(fd, NULL);
	log_notice("%s: its object lay in " LAYOUT_IMPORT ", and is in its place again",
		   found->path);
	events_add(s->events, "recover", manifest_last_seq(s->manifest), found->path,
		   ",\"what\":\"put back into its place\"");
}

/*
 * A commit that failed may have reached the disk (lib/manifest.h); the import went back all the
 * same, and if that was the end of the mount, a record waits for its object. 1: for this one.
 */
static int restore(struct store *s, int dirfd, int fd, const struct found_import *found)
{
	CLEANUP_FD int to_fd =
	    io_open(s->fd, *found->dir ? found->dir : ".", O_PATH | O_DIRECTORY, 0);
	struct stat st;
	int r;

	if (to_fd < 0 || io_stat(to_fd, found->name, &st) != -ENOENT)
		return 0;
	r = is_recorded(s, fd, found);
	if (r == 1)
		put_back(s, dirfd, fd, found, to_fd);
	return r;
}

/* The file id that it is named after; 0: it is named otherwise. */
static uint64_t id_of(const struct found_import *found)
{
	unsigned long long id;
	char *end;

	if (*found->file < '1' || *found->file > '9')
		return 0;
	errno = 0;
	id = strtoull(found->file, &end, 10);
	return errno || *end || id > RAW_ID_MAX ? 0 : id;
}

/* The id may be a raw file's, too (lib/ids.h): then it takes another. */
static int claim_id(struct store *s, int dirfd, struct found_import *found)
{
	uint64_t id = id_of(found);
	bool claimed;
	int err;

	lock_take(&s->lock);
	claimed = ids_claim_locked(s, id);
	lock_drop(&s->lock);
	if (claimed)
		return 0;
	err = manifest_new_id(s->manifest, &id);
	if (err)
		return err;
	snprintf(found->new_file, sizeof(found->new_file), "%llu", (unsigned long long)id);
	err = io_rename_noreplace(dirfd, found->file, dirfd, found->new_file);
	if (err)
		return err;
	log_notice("%s: the file id of its import is another file's; it gets one of its own",
		   found->path);
	found->file = found->new_file;
	return 0;
}

static int attach_locked(struct store *s, struct dir *d, const struct found_import *found,
			 const char *name) REQUIRES(s->lock)
{
	struct file *f = catalog_new_file(id_of(found));
	int err;

	if (!f)
		return -ENOMEM;
	f->import = true;
	f->raw_present = true;
	f->raw_recovered = true;
	f->raw_durable = true; /* what is not is not ours to promise */
	f->raw_identity = found->identity;
	f->size = f->written_end = (uint64_t)found->st.st_size;
	err = catalog_link_locked(s, d, &f->n, name);
	if (!err && f->size > 0)
		file_dirty_locked(s, f);
	node_unref_locked(s, &f->n, 1);
	return err;
}

/* NULL, or why it cannot be taken up again; *err: a failure of ours. */
static const char *take_up(struct store *s, int dirfd, struct found_import *found, int *err)
{
	const char *name = found->name;
	struct node *n = NULL;
	struct found there;
	struct sealed rec;
	bool taken = false;

	if (!id_of(found))
		return "is not named after a file id";
	if (manifest_get(s->manifest, id_of(found), 1, &rec))
		return "has the file id of another file";
	*err = claim_id(s, dirfd, found);
	if (*err)
		return NULL;
	*err = store_resolve(s, NULL, found->dir, &n);
	if (*err == -ENOENT || *err == -EINVAL || (n && n->kind != NODE_DIR)) {
		*err = 0;
		if (n)
			node_unref(s, n, 1);
		return "belongs to a directory that is not there any more";
	}
	if (!*err)
		*err = dir_load(s, to_dir(n));
	if (!*err) {
		lock_take(&s->lock);
		catalog_find_locked(s, to_dir(n), name, &there);
		taken = there.node || !name_is_import(name, store_suffix(s)) ||
			catalog_find_rival_locked(s, to_dir(n), name, true);
		if (!taken)
			*err = attach_locked(s, to_dir(n), found, name);
		lock_drop(&s->lock);
	}
	if (n)
		node_unref(s, n, 1);
	return taken ? "has a name that another file has taken" : NULL;
}

/* NULL, or why it is no import any more; *err: a failure of ours. */
static const char *place(struct store *s, int dirfd, int fd, struct found_import *found,
			 int *err)
{
	const char *slash = strrchr(found->path, '/');

	found->name = slash ? slash + 1 : found->path;
	found->dir = slash ? strndup(found->path, (size_t)(slash - found->path)) : strdup("");
	if (!found->dir) {
		*err = -ENOMEM;
		return NULL;
	}
	if (is_in_place(s, dirfd, found)) {
		*err = io_unlink(dirfd, found->file, 0);
		return NULL;
	}
	*err = restore(s, dirfd, fd, found);
	if (*err) {
		*err = MIN(*err, 0);
		return NULL;
	}
	return take_up(s, dirfd, found, err);
}

/* It was accepted: it must not be forgotten because it cannot be looked at just now. */
static int leave(struct store *s, const char *file, int err)
{
	log_error(LAYOUT_IMPORT
		  "/%s: cannot be examined: %s; it is left alone, and the next mount "
		  "looks again",
		  file, strerror(-err));
	lock_take(&s->lock);
	s->unsettled = true;
	lock_drop(&s->lock);
	return err == -ENOMEM ? err : 0;
}

static int load_one(struct store *s, int dirfd, const char *file)
{
	struct found_import found = {.file = file};
	CLEANUP_FD int fd = io_open(dirfd, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	const char *refusal = "has no note of where it belongs";
	int err = fd < 0 ? fd : io_fstat(fd, &found.st);

	if (!err)
		err = io_fidentity(fd, &found.identity);
	if (err == -EINVAL || err == -ELOOP || err == -ENOENT)
		return 0; /* no import: someone else has put it there */
	if (err)
		return leave(s, file, err);
	err = raw_read_path(fd, &found.path);
	if (!err && !record_path_ok(found.path))
		err = -ENODATA;
	if (!err)
		refusal = place(s, dirfd, fd, &found, &err);
	else if (err == -ENODATA)
		err = 0;
	if (!err && refusal)
		put_away(s, dirfd, &found, refusal);
	free(found.dir);
	free(found.path);
	return err;
}

int import_load(struct store *s)
{
	int fd = io_open(s->fd, LAYOUT_IMPORT, O_RDONLY | O_DIRECTORY, 0);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	CLEANUP_BUF struct buf names = {0};
	struct dirent *e;
	int err;

	if (!stream) {
		if (fd >= 0)
			close(fd);
		return fd == -ENOENT ? 0 : fd < 0 ? fd : -ENOMEM;
	}
	/* All before the first is looked at: claim_id gives new ones. */
	while ((errno = 0, e = readdir(stream))) {
		if (e->d_name[0] != '.')
			buf_add(&names, e->d_name, strlen(e->d_name) + 1);
	}
	err = errno ? -errno : names.failed ? -ENOMEM : 0;
	for (size_t at = 0; at < names.len && !err; at += strlen(names.data + at) + 1)
		err = load_one(s, fd, names.data + at);
	closedir(stream);
	return err;
}
