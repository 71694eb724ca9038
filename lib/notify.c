/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/notify.h"

void notify_name(struct store *s, struct dir *d, const char *name)
{
	if (s->hooks.changed)
		s->hooks.changed(s->hooks.ctx, &d->n, name);
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
