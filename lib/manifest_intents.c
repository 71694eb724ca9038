/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The intents that are not done yet: few, in the order of their seq.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/manifest_impl.h"

int manifest_intents_reserve(struct intents *list, size_t extra)
{
	size_t size = list->count + extra;
	struct intent *items;

	if (size <= list->size)
		return 0;
	size = MAX(size, 2 * list->size);
	items = realloc(list->items, size * sizeof(*items));
	if (!items)
		return -ENOMEM;
	list->items = items;
	list->size = size;
	return 0;
}

int manifest_intents_add(struct intents *list, uint64_t seq, uint64_t id, const char *from,
			 const char *to)
{
	struct intent i = {.seq = seq, .id = id};

	if (manifest_intents_reserve(list, 1) != 0)
		return -ENOMEM;
	i.from = strdup(from);
	i.to = strdup(to);
	if (!i.from || !i.to) {
		free(i.from);
		free(i.to);
		return -ENOMEM;
	}
	list->items[list->count++] = i;
	return 0;
}

bool manifest_intents_has(const struct intents *list, uint64_t seq)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i].seq == seq)
			return true;
	}
	return false;
}

void manifest_intents_drop(struct intents *list, uint64_t seq)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i].seq != seq)
			continue;
		free(list->items[i].from);
		free(list->items[i].to);
		memmove(&list->items[i], &list->items[i + 1],
			(list->count - i - 1) * sizeof(list->items[0]));
		list->count--;
		return;
	}
}

void manifest_intents_truncate(struct intents *list, size_t count)
{
	while (list->count > count) {
		struct intent *i = &list->items[--list->count];

		free(i->from);
		free(i->to);
	}
	if (count == 0) {
		free(list->items);
		memset(list, 0, sizeof(*list));
	}
}

/* ---- their ends ---- */

static int end(struct manifest_txn *txn, const struct intent *i)
{
	return manifest_overlay_is_done(txn->overlay, i->seq) ? 0 : manifest_done(txn, i->seq);
}

int manifest_done_file(struct manifest_txn *txn, uint64_t id)
{
	const struct intents *list = &txn->m->intents;
	int err = 0;

	for (size_t i = 0; i < list->count && !err; i++) {
		if (list->items[i].id == id)
			err = end(txn, &list->items[i]);
	}
	return err;
}

int manifest_done_all(struct manifest_txn *txn)
{
	const struct intents *list = &txn->m->intents;
	int err = 0;

	for (size_t i = 0; i < list->count && !err; i++)
		err = end(txn, &list->items[i]);
	return err;
}

int manifest_done_undone(struct manifest_txn *txn, void *ctx)
{
	const struct intents *list = &txn->m->intents;
	int err = 0;

	(void)ctx;
	for (size_t i = 0; i < list->count && !err; i++) {
		if (list->items[i].undone)
			err = end(txn, &list->items[i]);
	}
	return err;
}

void manifest_intents_undo(struct intents *list, uint64_t seq)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i].seq == seq)
			list->items[i].undone = true;
	}
}
