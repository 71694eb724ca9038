/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/lazy.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/catalog.h"
#include "lib/dirfd.h"
#include "lib/io.h"
#include "lib/log.h"
#include "lib/notify.h"

#define BATCH 256

void lazy_mark_locked(struct store *s, struct file *f)
{
	if (f->attrs_dirty || s->options.read_only)
		return;
	f->attrs_dirty = true;
	node_ref_locked(&f->n);
	DL_APPEND2(s->attrs_list, f, attrs_prev, attrs_next);
	if (!s->attrs_deadline_ns) {
		s->attrs_deadline_ns = clock_ns() + LAZY_NS;
		cond_signal(&s->timer_wake);
	}
}

void lazy_unmark_locked(struct store *s, struct file *f)
{
	if (!f->attrs_dirty)
		return;
	f->attrs_dirty = false;
	DL_DELETE2(s->attrs_list, f, attrs_prev, attrs_next);
	node_unref_locked(s, &f->n, 1);
}

/* What is committed for one file: taken under the lock, put under the manifest's. */
struct change {
	struct file *file; /* busy and referenced for us */
	struct attrs attrs;
	bool has_attrs; /* else only its path has changed */
	bool settled;	/* and its names are where the records will say */
	uint32_t *parts;
	uint32_t part_count;
	char *dir;
	char plain[NAME_BYTES + 1];
};

struct changes {
	struct change list[BATCH];
	size_t count;
};

static int put_change(struct manifest_txn *txn, const struct change *c)
{
	for (uint32_t i = 0; i < c->part_count; i++) {
		struct sealed rec;
		int err;

		if (!manifest_txn_get(txn, c->file->id, c->parts[i], &rec))
			continue;
		if (c->has_attrs) {
			rec.mode = c->attrs.mode;
			rec.uid = c->attrs.uid;
			rec.gid = c->attrs.gid;
			rec.mtime_ns = c->attrs.mtime_ns;
		}
		err = manifest_put(txn, &rec, c->dir, c->plain);
		if (err)
			return err;
	}
	return c->settled ? manifest_done_file(txn, c->file->id) : 0;
}

static int put_changes(struct manifest_txn *txn, void *ctx)
{
	struct changes *changes = ctx;
	int err = 0;

	for (size_t i = 0; i < changes->count && !err; i++)
		err = put_change(txn, &changes->list[i]);
	return err;
}

/* Note what there is to commit for f, and take it. */
static int take_change_locked(struct store *s, struct file *f, struct change *c)
    REQUIRES(s->lock)
{
	struct buf path = {0};

	memset(c, 0, sizeof(*c));
	buf_str(&path, "");
	catalog_path_locked(s, &f->n.dir->n, 0, &path);
	c->parts = calloc(f->part_count ? f->part_count : 1, sizeof(*c->parts));
	if (path.failed || !c->parts) {
		buf_release(&path);
		free(c->parts);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < f->part_count; i++)
		c->parts[i] = f->parts[i].number;
	c->part_count = f->part_count;
	c->dir = path.data;
	c->attrs = f->attrs;
	c->has_attrs = !f->raw_present;
	c->settled = !s->unsettled;
	c->file = f;
	snprintf(c->plain, sizeof(c->plain), "%s", f->n.name);
	f->n.busy = BUSY_HELD;
	node_ref_locked(&f->n);
	return 0;
}

/* Collect up to a batch of files that are idle; an error if it is what ended it before the first.
 * Files that are gone are dropped from the list. */
static int collect_locked(struct store *s, struct changes *changes) REQUIRES(s->lock)
{
	struct file *f, *next;
	int err = 0;

	changes->count = 0;
	for (f = s->attrs_list; f && changes->count < BATCH; f = next) {
		next = f->attrs_next;
		if (!f->n.linked || !f->part_count) {
			lazy_unmark_locked(s, f);
			continue;
		}
		if (f->n.busy != IDLE)
			continue;
		err = take_change_locked(s, f, &changes->list[changes->count]);
		if (err)
			break;
		changes->count++;
		lazy_unmark_locked(s, f);
	}
	return changes->count ? 0 : err;
}

static void give_changes(struct store *s, struct changes *changes, int err)
{
	for (size_t i = 0; i < changes->count; i++) {
		struct change *c = &changes->list[i];
		struct waiter *w;

		lock_take(&s->lock);
		if (err)
			lazy_mark_locked(s, c->file);
		w = node_give_locked(s, &c->file->n);
		lock_drop(&s->lock);
		waiters_wake(w);
		free(c->dir);
		free(c->parts);
	}
}

static bool renaming_locked(struct store *s) REQUIRES(s->lock)
{
	struct file *f;

	for (f = s->attrs_list; f; f = f->attrs_next) {
		if (f->n.busy == BUSY_NAME)
			return true;
	}
	return false;
}

/* With the tree. wait: for renames under way. */
static int flush(struct store *s, bool wait)
{
	CLEANUP_FREE struct changes *changes = malloc(sizeof(*changes));
	int err = changes ? 0 : -ENOMEM;

	lock_take(&s->lock);
	s->attrs_deadline_ns = 0;
	while (!err && s->attrs_list) {
		err = collect_locked(s, changes);
		if (err)
			break;
		if (!changes->count) {
			if (!wait || !renaming_locked(s))
				break;
			cond_wait(&s->changed, &s->lock);
			continue;
		}
		lock_drop(&s->lock);
		err = manifest_commit(s->manifest, put_changes, changes);
		give_changes(s, changes, err);
		lock_take(&s->lock);
	}
	if (s->attrs_list && !s->attrs_deadline_ns)
		s->attrs_deadline_ns = clock_ns() + LAZY_NS;
	lock_drop(&s->lock);
	if (err)
		log_error("the manifest could not be written (%s); names and attributes that "
			  "changed are kept in memory and written later",
			  strerror(-err));
	return err;
}

int lazy_flush(struct store *s)
{
	int err;

	lock_take(&s->lock);
	node_take_wait_locked(s, &s->tree, BUSY_HELD);
	lock_drop(&s->lock);
	err = flush(s, false);
	node_give(s, &s->tree);
	return err;
}

int lazy_flush_held(struct store *s)
{
	return flush(s, true);
}

int lazy_apply_attrs(struct store *s, struct file *f, struct timespec atime)
{
	struct timespec times[2] = {atime, timespec_of_ns(f->attrs.mtime_ns)};
	int dfd = dirfd_get(s, f->n.dir);
	int err = dfd < 0 ? dfd : 0;

	for (uint32_t i = 0; dfd >= 0 && i < f->part_count && !err; i++) {
		char name[NAME_BYTES + 1];
		struct stat st;

		err = name_sealed(f->n.name, f->parts[i].number, store_suffix(s), name);
		if (!err)
			err = io_stat(dfd, name, &st);
		if (!err && (st.st_uid != f->attrs.uid || st.st_gid != f->attrs.gid))
			err = io_chown(dfd, name, S_IFREG, f->attrs.uid, f->attrs.gid);
		if (!err && (st.st_mode & 07777) != (f->attrs.mode & 0555))
			err = io_chmod(dfd, name, S_IFREG, f->attrs.mode & 0555);
		if (!err)
			err = io_set_times_at(dfd, name, S_IFREG, times);
	}
	if (dfd >= 0)
		dirfd_put(s, f->n.dir);
	notify_attributes(s, f);
	return err;
}

/* Does the manifest have other attributes? Earlier parts keep their times, and nothing else. */
static bool differs(struct store *s, const struct file *f, uint32_t part, bool newest,
		    const struct attrs *a)
{
	struct sealed rec;

	if (!manifest_get(s->manifest, f->id, part, &rec))
		return false;
	return rec.mode != a->mode || rec.uid != a->uid || rec.gid != a->gid ||
	       (newest && rec.mtime_ns != a->mtime_ns);
}

void lazy_check_attrs(struct store *s, struct file *f)
{
	bool apply = false;

	lock_take(&s->lock);
	if (!f->raw_present && f->n.linked) {
		for (uint32_t i = 0; i < f->part_count && !apply; i++)
			apply = differs(s, f, f->parts[i].number, i + 1 == f->part_count,
					&f->attrs);
	}
	lock_drop(&s->lock);
	if (!apply)
		return;
	if (lazy_apply_attrs(s, f, (struct timespec){.tv_nsec = UTIME_OMIT}) != 0)
		log_warning(
		    "%s: owner, mode or times of its objects could not be set in the store",
		    f->n.name);
	lock_take(&s->lock);
	lazy_mark_locked(s, f);
	lock_drop(&s->lock);
}
