/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A listing is an array of entries, sorted by cookies that only rise; what goes leaves a gap, and
 * half an array of gaps is closed.
 */
#include <stdio.h>

#include "lib/catalog.h"

size_t catalog_slot_behind(const struct dir *d, uint64_t cookie)
{
	size_t low = 0, high = d->slot_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (d->slots[mid].cookie <= cookie)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct slot *find_slot(struct dir *d, uint64_t cookie)
{
	size_t i = catalog_slot_behind(d, cookie);

	return cookie && i > 0 && d->slots[i - 1].cookie == cookie ? &d->slots[i - 1] : NULL;
}

int catalog_slot_add(struct dir *d, struct node *n, uint32_t part, uint64_t *cookie)
{
	if (d->slot_count == d->slot_size) {
		size_t size = d->slot_size ? d->slot_size * 2 : 8;
		struct slot *slots = realloc(d->slots, size * sizeof(*slots));

		if (!slots)
			return -ENOMEM;
		d->slots = slots;
		d->slot_size = size;
	}
	*cookie = d->next_cookie++;
	d->changes++;
	d->slots[d->slot_count++] = (struct slot){.cookie = *cookie, .node = n, .part = part};
	return 0;
}

/* Take an entry out. Once half of them are gone, close the gaps: cookies stay sorted. */
void catalog_slot_remove(struct dir *d, uint64_t *cookie)
{
	struct slot *slot = find_slot(d, *cookie);
	size_t kept = 0;

	*cookie = 0;
	if (!slot)
		return;
	d->changes++;
	slot->node = NULL;
	if (++d->slot_gone * 2 <= d->slot_count)
		return;
	for (size_t i = 0; i < d->slot_count; i++) {
		if (d->slots[i].node)
			d->slots[kept++] = d->slots[i];
	}
	d->slot_count = kept;
	d->slot_gone = 0;
}

/* The entry at this cookie shows another node from now on; 0: there is none. */
static void hand_over_slot(struct dir *d, uint64_t cookie, struct node *n)
{
	struct slot *slot = find_slot(d, cookie);

	d->changes++;
	if (slot)
		slot->node = n;
}

void catalog_hand_over_locked(struct dir *d, struct file *f, struct file *heir)
{
	for (uint32_t i = 0; i < heir->part_count; i++)
		hand_over_slot(d, heir->parts[i].cookie, &heir->n);
	hand_over_slot(d, f->n.cookie, &heir->n);
	heir->n.cookie = f->n.cookie;
	f->n.cookie = 0;
	for (uint32_t i = 0; i < f->part_count; i++) {
		if (part_by_number(heir, f->parts[i].number) < 0)
			catalog_slot_remove(d, &f->parts[i].cookie);
		f->parts[i].cookie = 0;
	}
}

static struct part *newest_part(struct file *f)
{
	return f->part_count ? &f->parts[f->part_count - 1] : NULL;
}

int catalog_list_locked(struct store *s, struct file *f)
{
	struct dir *d = f->n.dir;
	struct part *newest = newest_part(f);
	bool plain = file_is_active(f);

	if (!f->n.linked)
		return 0;
	if (!plain && f->n.cookie && newest && !newest->cookie) {
		struct slot *slot = find_slot(d, f->n.cookie);

		d->changes++;
		slot->part = newest->number;
		newest->cookie = f->n.cookie;
		f->n.cookie = 0;
	}
	for (uint32_t i = 0; i < f->part_count; i++) {
		struct part *p = &f->parts[i];

		if (!p->cookie && catalog_slot_add(d, &f->n, p->number, &p->cookie) != 0)
			return -ENOMEM;
	}
	if (plain && !f->n.cookie)
		return catalog_slot_add(d, &f->n, 0, &f->n.cookie);
	if (!plain && f->n.cookie)
		catalog_slot_remove(d, &f->n.cookie);
	return 0;
}

/* Who could have mapped it in this mount (raw_mapped) is no survivor, and nothing can grow by a mapping. */
void catalog_living_locked(struct store *s, struct file *f, bool seen)
{
	bool living = seen && (f->living || !f->raw_mapped) && !f->import;

	if (living == f->living)
		return;
	f->living = living;
	/* Without memory for the entry the old one stays; the next change tries again. */
	(void)catalog_list_locked(s, f);
}

/* An import has its entry from the first, and shows it while it is nothing but an empty file. */
static bool is_shown(const struct slot *slot)
{
	const struct file *f = (const struct file *)slot->node;

	return slot->part || slot->node->kind != NODE_FILE || !f->import ||
	       (!f->size && f->writers <= f->flushed);
}

bool catalog_slot_name_locked(struct store *s, const struct slot *slot, char *out)
{
	if (!slot->node || !is_shown(slot))
		return false;
	if (slot->part)
		return name_sealed(slot->node->name, slot->part, store_suffix(s), out) == 0;
	snprintf(out, NAME_BYTES + 1, "%s", slot->node->name);
	return true;
}
