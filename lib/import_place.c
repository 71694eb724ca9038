/* SPDX-License-Identifier: BSD-2-Clause */
#include <fcntl.h>
#include <stdio.h>

#include "lib/catalog.h"
#include "lib/cut.h"
#include "lib/import_impl.h"
#include "lib/io.h"
#include "lib/log.h"
#include "lib/raw.h"

/* ---- the note ---- */

int import_note_path(struct store *s, int fd, struct dir *d, const char *name)
{
	CLEANUP_BUF struct buf path = {0};

	lock_take(&s->lock);
	catalog_path_locked(s, &d->n, 0, &path);
	lock_drop(&s->lock);
	if (path.len)
		buf_str(&path, "/");
	buf_str(&path, name);
	return path.failed ? -ENOMEM : raw_write_path(fd, path.data);
}

/* It is busy with a rename, whose end raw_get would wait for. */
static int note_by_place(struct store *s, struct file *f, struct dir *d, const char *name)
{
	struct raw_place place;
	CLEANUP_FD int fd = -1;
	int dfd;

	raw_place_init(&place, f->n.dir, f->n.name, f->id, f->import);
	dfd = raw_place_get(s, &place);
	if (dfd < 0)
		return dfd;
	fd = io_open(dfd, place.name, O_RDONLY | O_NOFOLLOW, 0);
	raw_place_put(s, &place);
	return fd < 0 ? fd : import_note_path(s, fd, d, name);
}

int import_note_new_path(struct store *s, struct file *f, struct dir *d, const char *name)
{
	struct raw *raw;
	int err;

	lock_take(&s->lock);
	gate_enter_locked(s, f);
	raw = f->raw;
	if (raw)
		raw->refs++;
	lock_drop(&s->lock);
	err = raw ? import_note_path(s, raw->fd, d, name) : note_by_place(s, f, d, name);
	raw_put(s, f, raw);
	lock_take(&s->lock);
	gate_leave_locked(s, f);
	lock_drop(&s->lock);
	return err;
}

/* The node is busy with its name. */
static int move_in(struct store *s, struct file *f)
{
	struct raw_place from, to;
	int dfd, err = import_note_new_path(s, f, f->n.dir, f->n.name);

	if (err)
		return err;
	raw_place_init(&from, f->n.dir, f->n.name, f->id, false);
	raw_place_init(&to, f->n.dir, f->n.name, f->id, true);
	dfd = raw_place_get(s, &from);
	if (dfd < 0)
		return dfd;
	err = io_rename_noreplace(dfd, from.name, s->fd, to.name);
	raw_place_put(s, &from);
	return err;
}

int import_take_in(struct store *s, struct file *f)
{
	CLEANUP_FREE char *name = NULL;
	struct waiter *w;
	int err = -ENOENT;

	lock_take(&s->lock);
	node_take_wait_locked(s, &f->n, BUSY_NAME);
	name = f->n.linked ? strdup(f->n.name) : NULL;
	lock_drop(&s->lock);
	if (name)
		err = move_in(s, f);
	lock_take(&s->lock);
	if (!err) {
		struct dir *d = f->n.dir;

		f->import = true;
		catalog_unlink_locked(s, &f->n);
		err = catalog_link_locked(s, d, &f->n, name);
		if (!err)
			file_dirty_locked(s, f);
	}
	w = node_give_locked(s, &f->n);
	lock_drop(&s->lock);
	waiters_wake(w);
	return err;
}

static bool is_beneath_locked(struct store *s, const struct file *f, const struct dir *d)
    REQUIRES(s->lock)
{
	const struct node *n = &f->n;

	if (!f->import || f->settled)
		return false;
	while (n != &d->n && n != &s->root->n)
		n = &n->dir->n;
	return n == &d->n;
}

static void say_not_noted(const char *name, int err)
{
	log_warning("%s: after a crash it would go to quarantine: its new path could not be "
		    "noted: %s",
		    name, strerror(-err));
}

/* All that belong beneath d, referenced. 0 or -ENOMEM. */
static int all_beneath(struct store *s, const struct dir *d, struct file ***out, size_t *count)
{
	struct file **list, *f;
	size_t size;

	lock_take(&s->lock);
	DL_COUNT2(s->imports, f, size, imports_next);
	list = calloc(size + 1, sizeof(struct file *));
	*count = 0;
	for (f = s->imports; list && f; f = f->imports_next) {
		if (!is_beneath_locked(s, f, d))
			continue;
		node_ref_locked(&f->n);
		list[(*count)++] = f;
	}
	lock_drop(&s->lock);
	*out = list;
	return list ? 0 : -ENOMEM;
}

/*
 * Not while someone gives it a name, which they note, and may wait for the directory: wait, or leave
 * it out (false). Who holds it for another end (a trial, which may wait for the tree) leaves its name
 * alone.
 */
static bool note_again(struct store *s, struct file *f, bool wait)
{
	char name[NAME_BYTES + 1] = "";
	struct dir *d = NULL;
	bool take, named;
	int err = 0;

	lock_take(&s->lock);
	while (wait && f->n.busy == BUSY_NAME)
		cond_wait(&s->changed, &s->lock);
	named = f->n.busy != BUSY_NAME;
	take = f->n.busy == IDLE;
	if (f->import && f->n.linked && f->n.busy != BUSY_NAME) {
		d = f->n.dir;
		node_ref_locked(&d->n);
		snprintf(name, sizeof(name), "%s", f->n.name);
	}
	if (d && take)
		node_take_wait_locked(s, &f->n, BUSY_NAME);
	lock_drop(&s->lock);
	if (!d)
		return named;
	err = import_note_new_path(s, f, d, name);
	if (take)
		node_give(s, &f->n);
	node_unref(s, &d->n, 1);
	if (err && err != -ENOENT) /* removed meanwhile */
		say_not_noted(name, err);
	return true;
}

bool import_paths_moved(struct store *s, struct dir *d, bool wait)
{
	struct file **list;
	bool all = true;
	size_t count;
	int err = all_beneath(s, d, &list, &count);

	if (err)
		say_not_noted(d->n.name, err);
	for (size_t i = 0; i < count; i++) {
		all = note_again(s, list[i], wait) && all;
		node_unref(s, &list[i]->n, 1);
	}
	free(list);
	return all;
}
