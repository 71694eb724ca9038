/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/recovery_impl.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "lib/barrier.h"
#include "lib/catalog.h"
#include "lib/events.h"
#include "lib/io.h"
#include "lib/layout.h"
#include "lib/load.h"
#include "lib/log.h"
#include "lib/orphan.h"
#include "lib/raw.h"
#include "lib/replace.h"

/* ---- helpers ---- */

int recovery_open_dir(struct store *s, const char *dir)
{
	return io_open(s->fd, *dir ? dir : ".", O_PATH | O_DIRECTORY, 0);
}

char *recovery_path(const char *dir, const char *name)
{
	struct buf b = {0};

	buf_str(&b, dir);
	if (*dir)
		buf_str(&b, "/");
	buf_str(&b, name);
	if (b.failed)
		buf_release(&b);
	return b.data;
}

void recovery_event(struct store *s, const char *what, const char *path)
{
	char more[64];

	snprintf(more, sizeof(more), ",\"what\":\"%s\"", what);
	events_add(s->events, "recover", manifest_last_seq(s->manifest), path, more);
}

void recovery_event_at(struct store *s, const char *what, const char *dir, const char *name)
{
	CLEANUP_BUF struct buf path = {0};

	buf_printf(&path, PLACE_FORMAT, PLACE_PATH(dir, name));
	if (!path.failed)
		recovery_event(s, what, path.data);
}

/* ---- temporaries ---- */

static int sweep(struct store *s, const char *dir, bool (*stale)(const char *name))
{
	int fd = io_open(s->fd, dir, O_RDONLY | O_DIRECTORY, 0);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int err = 0, r;

	if (!stream) {
		if (fd >= 0)
			close(fd);
		return fd == -ENOENT ? 0 : fd < 0 ? fd : -ENOMEM;
	}
	while ((errno = 0, e = readdir(stream))) {
		if (e->d_type == DT_DIR || !stale(e->d_name))
			continue;
		r = io_unlink(fd, e->d_name, 0);
		if (r)
			err = r;
		else
			log_info("%s/%s: a temporary that was left was removed", dir,
				 e->d_name);
	}
	if (errno)
		err = -errno;
	closedir(stream);
	return err;
}

/* Orphans stay until they were compared. */
static bool is_temporary(const char *name)
{
	uint64_t id;
	uint32_t part;

	return strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
	       !orphan_parse(name, &id, &part);
}

int recovery_sweep(struct store *s)
{
	int errs[] = {
	    sweep(s, LAYOUT_TMP, is_temporary),
	    sweep(s, NAME_PRIVATE, replace_is_temporary),
	    sweep(s, LAYOUT_CHUNKS, replace_is_temporary),
	    sweep(s, LAYOUT_INDEX, replace_is_temporary),
	};
	int err = 0;

	for (size_t i = 0; i < sizeof(errs) / sizeof(*errs) && !err; i++)
		err = errs[i];
	return err;
}

/* ---- intents ---- */

struct resumed {
	const struct manifest_intent *intent;
	const char *to_dir, *to_plain;
	struct sealed *parts;
	size_t part_count, part_size;
};

/* The directory that a path's last component is in, through no link; *name is that component.
 */
static int open_parent(struct store *s, const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	CLEANUP_FREE char *dir = slash ? strndup(path, (size_t)(slash - path)) : strdup("");

	*name = slash ? slash + 1 : path;
	return dir ? recovery_open_dir(s, dir) : -ENOMEM;
}

static int collect_part(void *ctx, const struct sealed *rec, const char *dir, const char *plain)
{
	struct resumed *r = ctx;

	if (rec->id != r->intent->id)
		return 0;
	if (r->part_count == r->part_size) {
		size_t size = r->part_size ? r->part_size * 2 : 8;
		struct sealed *parts = realloc(r->parts, size * sizeof(*parts));

		if (!parts)
			return -ENOMEM;
		r->parts = parts;
		r->part_size = size;
	}
	r->parts[r->part_count++] = *rec;
	return 0;
}

static int finish_dir(struct manifest_txn *txn, void *ctx)
{
	const struct manifest_intent *i = ((struct resumed *)ctx)->intent;
	int err = manifest_move_dir(txn, i->from, i->to);

	return err ? err : manifest_done(txn, i->seq);
}

static int forget_intent(struct manifest_txn *txn, void *ctx)
{
	return manifest_done(txn, ((struct resumed *)ctx)->intent->seq);
}

static int finish_file(struct manifest_txn *txn, void *ctx)
{
	struct resumed *r = ctx;

	for (size_t i = 0; i < r->part_count; i++) {
		int err = manifest_put(txn, &r->parts[i], r->to_dir, r->to_plain);

		if (err)
			return err;
	}
	return manifest_done(txn, r->intent->seq);
}

/* A directory: forward if its new name is free or taken by it already, else it never moved. */
static int resume_dir(struct store *s, struct resumed *r)
{
	const char *from, *to;
	CLEANUP_FD int from_fd = open_parent(s, r->intent->from, &from);
	CLEANUP_FD int to_fd = open_parent(s, r->intent->to, &to);
	struct stat st;
	bool has_from = from_fd >= 0 && io_stat(from_fd, from, &st) == 0;
	bool has_to = to_fd >= 0 && io_stat(to_fd, to, &st) == 0;
	int err = 0;

	if (has_from && !has_to && to_fd >= 0)
		err = io_rename(from_fd, from, to_fd, to, 0);
	if (!err && has_from && !has_to && to_fd >= 0)
		err = io_syncdir(to_fd, ".");
	if (err)
		return err;
	return manifest_commit(
	    s->manifest, has_from && (has_to || to_fd < 0) ? forget_intent : finish_dir, r);
}

/* What an open of a directory returned: there is none (any more), through no link. */
static bool is_absent(int fd)
{
	return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP;
}

/* One name of a file: done already, or now. Its old directory may have been removed since. */
static int resume_name(struct store *s, const char *from_dir, const char *from,
		       const char *to_dir, const char *to)
{
	CLEANUP_FD int from_fd = recovery_open_dir(s, from_dir);
	CLEANUP_FD int to_fd = recovery_open_dir(s, to_dir);
	int err;

	if (from_fd < 0 || to_fd < 0)
		return is_absent(from_fd) ? 0 : from_fd < 0 ? from_fd : to_fd;
	err = io_rename_resume(from_fd, from, to_fd, to);
	if (!err)
		err = io_syncdir(to_fd, ".");
	return err == -ENOENT || err == -EEXIST ? 0 : err;
}

/* Does the raw file of this name say that it is another file's? The end of a rename may be committed
 * long after it: the old name may have been used again. */
static bool is_anothers(struct store *s, const char *dir, const char *name, uint64_t id)
{
	CLEANUP_FD int dfd = recovery_open_dir(s, dir);
	CLEANUP_FD int fd = dfd < 0 ? dfd : io_open(dfd, name, O_RDONLY | O_NOFOLLOW, 0);
	struct raw_mark mark;

	return fd >= 0 && raw_read_mark(fd, &mark) == 0 && mark.id != id;
}

/* The same of an object. */
static bool is_anothers_object(struct store *s, const char *dir, const char *name,
			       const struct sealed *rec)
{
	CLEANUP_FD int dfd = recovery_open_dir(s, dir);
	struct stat st;

	return dfd >= 0 && io_stat(dfd, name, &st) == 0 &&
	       recovery_is_another(dfd, name, (uint64_t)st.st_size, rec);
}

static int resume_names(struct store *s, struct resumed *r)
{
	CLEANUP_FREE char *from = strdup(r->intent->from);
	char *slash = from ? strrchr(from, '/') : NULL;
	const char *from_plain = slash ? slash + 1 : from;
	const char *from_dir = slash ? from : "";
	int err = from ? manifest_each(s->manifest, collect_part, r) : -ENOMEM;

	if (slash)
		*slash = '\0';
	for (size_t i = 0; i < r->part_count && !err; i++) {
		char a[NAME_BYTES + 1], b[NAME_BYTES + 1];

		err = name_sealed(from_plain, r->parts[i].part, store_suffix(s), a);
		if (!err)
			err = name_sealed(r->to_plain, r->parts[i].part, store_suffix(s), b);
		if (!err && !is_anothers_object(s, from_dir, a, &r->parts[i]))
			err = resume_name(s, from_dir, a, r->to_dir, b);
	}
	if (!err && !is_anothers(s, from_dir, from_plain, r->intent->id))
		err = resume_name(s, from_dir, from_plain, r->to_dir, r->to_plain);
	return err;
}

/*
 * Where the new directory is not there, or cannot have such a name, nothing has moved; and if something
 * has moved all the same, its record finds it by its content.
 */
static int resume_file(struct store *s, struct resumed *r)
{
	CLEANUP_FD int to_fd = recovery_open_dir(s, r->to_dir);
	int err = is_absent(to_fd) ? -EINVAL : resume_names(s, r);

	if (!err)
		err = manifest_commit(s->manifest, finish_file, r);
	if (err == -EINVAL || err == -ENAMETOOLONG)
		err = manifest_commit(s->manifest, forget_intent, r);
	return err;
}

static int resume(struct store *s, const struct manifest_intent *intent)
{
	CLEANUP_FREE char *to = strdup(intent->to);
	char *slash = to ? strrchr(to, '/') : NULL;
	struct resumed r = {.intent = intent};
	int err;

	if (!to)
		return -ENOMEM;
	r.to_plain = slash ? slash + 1 : to;
	r.to_dir = slash ? to : "";
	if (slash)
		*slash = '\0';
	err = intent->id ? resume_file(s, &r) : resume_dir(s, &r);
	free(r.parts);
	log_notice("%s: its renaming to %s, which was interrupted, %s", intent->from,
		   intent->to, err ? strerror(-err) : "is complete");
	recovery_event(s, "finished its renaming", intent->to);
	return err;
}

/* ---- the whole ---- */

static int resume_all(struct store *s)
{
	const struct manifest_intent *list;
	size_t count = manifest_intents(s->manifest, &list);
	int err = 0;

	for (size_t i = 0; i < count && !err; i++)
		err = resume(s, &list[i]);
	return err;
}

int recovery_run(struct store *s)
{
	struct differences *diff = calloc(1, sizeof(*diff));
	int err = diff ? resume_all(s) : -ENOMEM;

	if (!err)
		err = recovery_walk(s, diff);
	if (!err)
		err = recovery_orphans(s, diff);
	if (!err)
		err = recovery_objects(s, diff);
	if (!err)
		err = recovery_raws(s, diff);
	if (!err)
		err = recovery_ids(s, diff);
	if (err && diff) {
		recovery_release(diff);
		free(diff);
	} else {
		s->recovered = diff;
	}
	return err;
}

int recovery_arm(struct store *s)
{
	struct differences *diff = s->recovered;
	int err = 0;

	/* Loading a directory arms every raw file in it (lib/load.c). */
	for (size_t i = 0; diff && i < diff->raw_count && !err; i++) {
		struct node *n;

		if (i > 0 && strcmp(diff->raws[i].at.dir, diff->raws[i - 1].at.dir) == 0)
			continue;
		err = store_resolve(s, NULL, diff->raws[i].at.dir, &n);
		if (err == -ENOENT)
			err = 0;
		else if (!err) {
			if (n->kind == NODE_DIR)
				err = dir_load(s, to_dir(n));
			node_unref(s, n, 1);
		}
	}
	if (diff && !err)
		err = recovery_prove_later(s, diff);
	if (diff && !err)
		err = recovery_cut_orphans(s, diff);
	recovery_forget(s);
	return err;
}

void recovery_forget(struct store *s)
{
	if (s->recovered) {
		recovery_release(s->recovered);
		free(s->recovered);
		s->recovered = NULL;
	}
}
