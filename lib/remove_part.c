/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The plain name starts later when the first part has gone. The kernel has pages and a size of
 * the old content, each at its old offset: so what is left gets a new node, and the old one is
 * as good as removed. No one may have it open, or they would lose what they read.
 */
#include <stdio.h>

#include "lib/catalog.h"
#include "lib/cut.h"
#include "lib/dirfd.h"
#include "lib/events.h"
#include "lib/io.h"
#include "lib/lazy.h"
#include "lib/leftover.h"
#include "lib/log.h"
#include "lib/notify.h"
#include "lib/object.h"
#include "lib/remove_impl.h"

struct departure {
	struct file *file, *heir;
	struct sealed rec;
	char object[NAME_BYTES + 1];
};

static int remove_record(struct manifest_txn *txn, void *ctx)
{
	struct departure *p = ctx;

	return manifest_remove(txn, p->rec.id, p->rec.part);
}

/* All that f is, without its first part, its users and its place in lists. */
static struct file *new_heir_locked(struct file *f)
{
	struct file *heir = catalog_new_file(f->id);

	if (!heir)
		return NULL;
	heir->parts = malloc((f->part_count - 1) * sizeof(*heir->parts));
	if (!heir->parts) {
		free(heir);
		return NULL;
	}
	heir->part_count = f->part_count - 1;
	memcpy(heir->parts, f->parts + 1, heir->part_count * sizeof(*heir->parts));
	for (uint32_t i = 0; i < heir->part_count; i++)
		heir->parts[i].object = NULL;
	heir->next_part = f->next_part;
	heir->base = heir->parts[0].offset;
	heir->base_removed = true;
	heir->size = f->size;
	heir->written_end = f->written_end;
	heir->cut_end = f->cut_end;
	heir->sealed_end = f->sealed_end;
	heir->raw_present = f->raw_present;
	heir->raw_recovered = f->raw_recovered;
	heir->raw_old = f->raw_old;
	heir->living = f->living;
	heir->raw_unproven = f->raw_unproven;
	heir->raw_doubted = f->raw_doubted;
	heir->raw_durable = f->raw_durable;
	heir->raw_identity = f->raw_identity;
	heir->raw_base = f->raw_base;
	heir->attrs = f->attrs;
	heir->error = f->error;
	heir->dirty_since_ns = f->dirty_since_ns;
	heir->last_cut_ns = f->last_cut_ns;
	return heir;
}

static int unlink_object(struct store *s, const struct departure *p)
{
	struct dir *d = p->file->n.dir;
	int dfd = dirfd_get(s, d);
	int err = leftover_unlink(s, d, dfd, p->object);

	if (dfd >= 0)
		dirfd_put(s, d);
	return err == -ENOENT ? 0 : err;
}

static void succeed_locked(struct store *s, struct departure *p) REQUIRES(s->lock)
{
	struct file *f = p->file, *heir = p->heir;
	bool dirty = f->dirty, attrs_dirty = f->attrs_dirty;

	dirfd_touch_locked(f->n.dir);
	timer_disarm_locked(s, f);
	lazy_unmark_locked(s, f);
	f->dirty = false;
	catalog_replace_locked(s, f, heir);
	active_update_locked(s, f);
	if (dirty)
		file_dirty_locked(s, heir);
	else
		file_closed_locked(s, heir);
	if (attrs_dirty)
		lazy_mark_locked(s, heir);
}

static void tell(struct store *s, struct departure *p)
{
	CLEANUP_BUF struct buf path = {0};
	char more[96];

	lock_take(&s->lock);
	catalog_path_locked(s, &p->heir->n, p->rec.part, &path);
	lock_drop(&s->lock);
	if (path.failed)
		return;
	snprintf(more, sizeof(more), ",\"id\":%llu,\"part\":%u", (unsigned long long)p->rec.id,
		 (unsigned)p->rec.part);
	log_notice("%s: removed; its file begins at offset %llu now", path.data,
		   (unsigned long long)p->heir->base);
	events_add(s->events, "remove", manifest_last_seq(s->manifest), path.data, more);
}

int remove_first_part(struct store *s, struct file *f)
{
	struct departure p = {.file = f};
	int err = 0;

	lock_take(&s->lock);
	gate_shut_locked(s, f);
	if (f->opens || f->segments || f->part_count < 2)
		err = -EBUSY;
	else if (!manifest_get(s->manifest, f->id, f->parts[0].number, &p.rec))
		err = -EIO;
	else if (!(p.heir = new_heir_locked(f)))
		err = -ENOMEM;
	lock_drop(&s->lock);
	if (!err)
		err = name_sealed(f->n.name, p.rec.part, store_suffix(s), p.object);
	if (!err)
		err = manifest_commit(s->manifest, remove_record, &p);
	if (!err) {
		/* What is left of it after an error, recovery removes: the manifest says so. */
		(void)unlink_object(s, &p);
		lock_take(&s->lock);
		succeed_locked(s, &p);
		lock_drop(&s->lock);
		notify_name(s, p.heir->n.dir, p.heir->n.name);
		notify_name(s, p.heir->n.dir, p.object);
		notify_file(s, p.heir->n.dir, p.heir->n.name, p.heir);
		object_forget_index(s->indexfd, &p.rec);
		tell(s, &p);
	}
	lock_take(&s->lock);
	gate_open_locked(s, f);
	if (p.heir)
		node_unref_locked(s, &p.heir->n, 1);
	lock_drop(&s->lock);
	return err;
}
