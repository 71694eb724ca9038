/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/notify.h"

#include <stdio.h>

#include "lib/catalog.h"

void notify_name(struct store *s, struct dir *d, const char *name)
{
	if (s->hooks.changed)
		s->hooks.changed(s->hooks.ctx, &d->n, name);
}

void notify_listed(struct store *s, struct file *f)
{
	char name[NAME_BYTES + 1];
	struct dir *d = NULL;

	lock_take(&s->lock);
	if (f->n.linked && s->hooks.changed) {
		d = f->n.dir;
		node_ref_locked(&d->n);
		snprintf(name, sizeof(name), "%s", f->n.name);
	}
	lock_drop(&s->lock);
	if (!d)
		return;
	notify_name(s, d, name);
	node_unref(s, &d->n, 1);
}

static void notify_object(struct store *s, struct dir *d, const char *plain, uint32_t part)
{
	char name[NAME_BYTES + 1];

	if (name_sealed(plain, part, store_suffix(s), name) == 0)
		notify_name(s, d, name);
}

void notify_objects(struct store *s, struct dir *d, const char *plain, const uint32_t *parts,
		    uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		notify_object(s, d, plain, parts[i]);
}

void notify_file(struct store *s, struct dir *d, const char *plain, const struct file *f)
{
	for (uint32_t i = 0; i < f->part_count; i++)
		notify_object(s, d, plain, f->parts[i].number);
}

/* The object of the i-th part, referenced, if someone knows it. */
static struct node *known_object(struct store *s, struct file *f, uint32_t i)
{
	struct node *n = NULL;

	lock_take(&s->lock);
	if (i < f->part_count && f->parts[i].object) {
		n = &f->parts[i].object->n;
		node_ref_locked(n);
	}
	lock_drop(&s->lock);
	return n;
}

void notify_attributes(struct store *s, struct file *f)
{
	if (!s->hooks.attributes)
		return;
	s->hooks.attributes(s->hooks.ctx, &f->n);
	for (uint32_t i = 0; i < f->part_count; i++) {
		struct node *n = known_object(s, f, i);

		if (!n)
			continue;
		s->hooks.attributes(s->hooks.ctx, n);
		node_unref(s, n, 1);
	}
}
