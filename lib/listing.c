/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When a listing may be kept: lib/store.h. A directory counts the changes of what is listed
 * (dir.changes); nobody has to be told of one for the next listing to be right.
 */
#include "lib/core.h"
#include "lib/pass.h"

/* An import is listed while it is empty and no one writes it: that changes without a count. */
static bool has_import_locked(struct store *s, const struct dir *d) REQUIRES(s->lock)
{
	const struct file *f;

	DL_FOREACH2(s->imports, f, imports_next)
	{
		if (f->n.linked && f->n.dir == d)
			return true;
	}
	return false;
}

enum store_listing store_listing_begin(struct store *s, struct node *dir, uint64_t *state)
{
	struct dir *d = to_dir(dir);
	enum store_listing listing = STORE_LISTING_DIRECT;

	if (dir->kind != NODE_DIR)
		return listing;
	pass_learn_all(s, d);
	lock_take(&s->lock);
	*state = d->changes;
	if ((!d->listings || d->listed_at == d->changes) && !has_import_locked(s, d)) {
		d->listings++;
		d->listed_at = d->changes;
		listing = d->kept == d->changes ? STORE_LISTING_KEPT : STORE_LISTING_FRESH;
	}
	lock_drop(&s->lock);
	return listing;
}

void store_listing_started(struct store *s, struct node *dir, uint64_t state)
{
	lock_take(&s->lock);
	to_dir(dir)->kept = state;
	lock_drop(&s->lock);
}

void store_listing_end(struct store *s, struct node *dir)
{
	lock_take(&s->lock);
	to_dir(dir)->listings--;
	lock_drop(&s->lock);
}
