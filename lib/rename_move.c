/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The names in the store, and the intents around them.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/catalog.h"
#include "lib/dirfd.h"
#include "lib/import.h"
#include "lib/io.h"
#include "lib/log.h"
#include "lib/raw.h"
#include "lib/rename_impl.h"
#include "lib/tree.h"

static int begin_intent(struct manifest_txn *txn, void *ctx)
{
	struct rename *r = ctx;
	uint64_t id = r->src->kind == NODE_FILE ? to_file(r->src)->id : 0;

	return manifest_intent(txn, id, r->from_path.data, r->to_path.data, &r->intent);
}

/* ---- a file ---- */

static bool same_stem_names(const struct rename *r)
{
	size_t n = name_stem_len(r->from, store_suffix(r->s));

	return n == name_stem_len(r->to, store_suffix(r->s)) && memcmp(r->from, r->to, n) == 0;
}

/* Replaces a raw file, atomically, if dst is one. */
static int move_raw(struct rename *r, struct file *f, int from_fd, int to_fd)
{
	struct raw_place from, to;

	raw_place_init(&from, r->from_dir, r->from, f->id, r->from_import);
	raw_place_init(&to, r->to_dir, r->to, f->id, r->to_import);
	if (r->from_import)
		from_fd = r->s->fd;
	if (r->to_import)
		to_fd = r->s->fd;
	if (r->from_import && r->to_import)
		return 0; /* it lies under its id */
	return r->dst ? io_rename(from_fd, from.name, to_fd, to.name, 0)
		      : io_rename_noreplace(from_fd, from.name, to_fd, to.name);
}

/* Rename every name of the file; those done are undone if one fails. */
static int move_names(struct rename *r, struct file *f, int from_fd, int to_fd)
{
	const char *suffix = store_suffix(r->s);
	char from[NAME_BYTES + 1], to[NAME_BYTES + 1];
	bool same_stem = r->from_dir == r->to_dir && same_stem_names(r);
	uint32_t done = 0;
	int err = 0;

	for (; !same_stem && done < f->part_count && !err; done += !err) {
		err = name_sealed(r->from, f->parts[done].number, suffix, from);
		if (!err)
			err = name_sealed(r->to, f->parts[done].number, suffix, to);
		if (!err)
			err = io_rename_noreplace(from_fd, from, to_fd, to);
	}
	if (!err && f->raw_present)
		err = move_raw(r, f, from_fd, to_fd);
	while (err && !same_stem && done-- > 0) {
		name_sealed(r->from, f->parts[done].number, suffix, from);
		name_sealed(r->to, f->parts[done].number, suffix, to);
		if (io_rename_noreplace(to_fd, to, from_fd, from) != 0)
			r->stuck = true;
	}
	return err;
}

/* Tell the manifest of the new path at once, and that the intent is complete. */
struct moved {
	struct rename *r;
	struct file *f;
	const char *dir;
};

static int put_moved(struct manifest_txn *txn, void *ctx)
{
	struct moved *m = ctx;

	for (uint32_t i = 0; i < m->f->part_count; i++) {
		struct sealed rec;
		int err;

		if (!manifest_txn_get(txn, m->f->id, m->f->parts[i].number, &rec))
			continue;
		err = manifest_put(txn, &rec, m->dir, m->r->to);
		if (err)
			return err;
	}
	return manifest_done_file(txn, m->f->id); /* this, and earlier ones that have no end */
}

static int finish_intent(struct rename *r, struct file *f)
{
	CLEANUP_BUF struct buf dir = {0};
	struct moved moved = {.r = r, .f = f};

	buf_str(&dir, "");
	lock_take(&r->s->lock);
	catalog_path_locked(r->s, &r->to_dir->n, 0, &dir);
	lock_drop(&r->s->lock);
	if (dir.failed)
		return -ENOMEM;
	moved.dir = dir.data;
	return manifest_commit(r->s->manifest, put_moved, &moved);
}

/*
 * From an object's name recovery cannot tell the spelling of the plain name, and takes that of
 * the record that it belongs to; and an import does not say which part of what it is.
 */
static bool needs_record(const struct rename *r, const struct file *f)
{
	const char *suffix = store_suffix(r->s);
	bool from_is_stem = name_stem_len(r->from, suffix) == strlen(r->from);
	bool to_is_stem = name_stem_len(r->to, suffix) == strlen(r->to);

	return f->part_count &&
	       (from_is_stem != to_is_stem || f->parts[0].codec == RECORD_CODEC_IMPORT);
}

/*
 * A sealed file is replaced by one that has a raw file only: that can get its name beside the
 * objects before these go. After a crash in between both are there, and recovery gives the new
 * one a name of its own: so the name has the old content or the new at any time. After a power
 * cut, too: the new content is durable, bytes and entry, before the manifest forgets the old.
 */
static bool is_replacement(const struct rename *r, const struct file *f)
{
	const struct file *dst = (const struct file *)r->dst;

	return dst && dst->n.kind == NODE_FILE && has_sealed_bytes(r->dst) &&
	       !dst->raw_present && f->raw_present && !f->part_count && !r->to_import;
}

/* The new content, beside the objects. Its name is ours, so no one else opens it by that. */
static int sync_replacement(struct rename *r, struct file *f, int to_fd, const char *name)
{
	int fd = io_open(to_fd, name, O_RDONLY | O_NOFOLLOW, 0);
	int err = fd < 0 ? fd : raw_sync(r->s, f, fd);

	if (fd >= 0)
		close(fd);
	return err ? err : dirfd_sync(r->s, r->to_dir);
}

static int replace_sealed(struct rename *r, struct file *f, int from_fd, int to_fd)
{
	struct raw_place from, to;
	int err;

	raw_place_init(&to, r->to_dir, r->to, f->id, false);
	err = sync_replacement(r, f, to_fd, to.name);
	if (!err)
		err = remove_sealed(r->s, to_file(r->dst));
	if (!err)
		return 0;
	raw_place_init(&from, r->from_dir, r->from, f->id, r->from_import);
	(void)io_rename_noreplace(to_fd, to.name, r->from_import ? r->s->fd : from_fd,
				  from.name);
	return err;
}

/* Its names are in two places. The intent says where they are to be: the next start completes it. */
static void leave_to_recovery(struct rename *r, int err)
{
	lock_take(&r->s->lock);
	r->s->unsettled = true;
	lock_drop(&r->s->lock);
	log_error("%s: renaming it to %s failed half-way: %s; the next mount completes it",
		  r->from_path.data, r->to_path.data, strerror(-err));
}

/* In the store. */
static int move_file(struct rename *r)
{
	struct file *f = to_file(r->src);
	/* A link and an unlink are two steps as well: cut in between, both names are there. */
	bool many =
	    f->part_count + f->raw_present > 1 || !r->s->have_noreplace || needs_record(r, f);
	bool replaces = is_replacement(r, f);
	int from_fd, to_fd, err = 0;

	if (r->dst && r->dst->kind == NODE_FILE && !replaces &&
	    (has_sealed_bytes(r->dst) || !f->raw_present || r->to_import)) {
		err = remove_file(r->s, to_file(r->dst));
		if (err)
			return err;
	}
	/* Before it lies where only this says where it belongs. */
	if (r->to_import)
		err = import_note_new_path(r->s, f, r->to_dir, r->to);
	if (!err && many)
		err = manifest_commit(r->s->manifest, begin_intent, r);
	if (err)
		return err;
	from_fd = dirfd_get(r->s, r->from_dir);
	to_fd = from_fd < 0 ? from_fd : dirfd_get(r->s, r->to_dir);
	err = to_fd < 0 ? to_fd : move_names(r, f, from_fd, to_fd);
	if (!err && replaces)
		err = replace_sealed(r, f, from_fd, to_fd);
	if (to_fd >= 0)
		dirfd_put(r->s, r->to_dir);
	if (from_fd >= 0)
		dirfd_put(r->s, r->from_dir);
	if (!err && r->from_import)
		dirfd_changed(r->s, r->from_dir);
	if (!err && r->to_import)
		dirfd_changed(r->s, r->to_dir);
	if (r->stuck)
		leave_to_recovery(r, err);
	else if (err && many)
		manifest_undone(r->s->manifest, r->intent);
	else if (many && finish_intent(r, f) != 0)
		log_warning("%s: renamed; the manifest follows later", r->to_path.data);
	return err;
}

/* ---- a directory, a link, an exchange ---- */

static int put_moved_dir(struct manifest_txn *txn, void *ctx)
{
	struct rename *r = ctx;
	int err = manifest_move_dir(txn, r->from_path.data, r->to_path.data);

	return err ? err : manifest_done(txn, r->intent);
}

static int move_name(struct rename *r, bool back)
{
	struct dir *from_dir = back ? r->to_dir : r->from_dir;
	struct dir *to_dir = back ? r->from_dir : r->to_dir;
	int from_fd = dirfd_get(r->s, from_dir);
	int to_fd = from_fd < 0 ? from_fd : dirfd_get(r->s, to_dir);
	int err = to_fd;

	if (to_fd >= 0)
		err = io_rename(from_fd, back ? r->to : r->from, to_fd, back ? r->from : r->to,
				r->flags & RENAME_EXCHANGE);
	if (to_fd >= 0)
		dirfd_put(r->s, to_dir);
	if (from_fd >= 0)
		dirfd_put(r->s, from_dir);
	return err;
}

/* A directory is where it is recorded: else it goes back, unless it has replaced another. */
static int record_dir(struct rename *r)
{
	int err = manifest_commit(r->s->manifest, put_moved_dir, r);

	r->stuck = err && (r->dst || move_name(r, true) != 0);
	return err;
}

static int move_other(struct rename *r)
{
	struct manifest *m = r->s->manifest;
	bool recorded = r->src->kind == NODE_DIR && manifest_has_beneath(m, r->from_path.data);
	int err = 0;

	if (r->flags & RENAME_EXCHANGE) {
		if (recorded || manifest_has_beneath(m, r->to_path.data))
			return -EINVAL;
	} else if (r->dst && r->dst->kind == NODE_FILE && has_sealed_bytes(r->dst)) {
		err = remove_file(r->s, to_file(r->dst));
	}
	if (!err && recorded)
		err = manifest_commit(m, begin_intent, r);
	if (err)
		return err;
	err = move_name(r, false);
	if (!err && recorded)
		err = record_dir(r);
	if (r->stuck)
		leave_to_recovery(r, err);
	else if (err && recorded)
		manifest_undone(m, r->intent);
	return err;
}

int rename_move(struct rename *r)
{
	if (r->src->kind == NODE_FILE && !(r->flags & RENAME_EXCHANGE))
		return move_file(r);
	return move_other(r);
}
