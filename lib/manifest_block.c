/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocks: what is loaded comes in by the million, from several threads, and stays. malloc grows the
 * memory of a thread that is not the first page by page, each with a system call that stops the
 * others; and it has 8 bytes in front of each item, and rounds up. Here an item is carved off a block,
 * and a block is freed with the last of its items. What comes later is from malloc: among items that
 * come and go, a block would be held by one that stays.
 */
#include "lib/manifest_impl.h"

#define BLOCK_BYTES ((64 << 10) - 64)
#define ALIGN sizeof(uint64_t)

struct block {
	struct block *next, *prev;
	uint32_t used, live; /* bytes from the start of the block; items */
};

_Static_assert(sizeof(struct block) % ALIGN == 0, "items are aligned");
_Static_assert(BLOCK_BYTES / ALIGN <= UINT16_MAX, "a place is a number of 16 bits");

static void put_first(struct blocks *list, struct block *b)
{
	b->prev = NULL;
	b->next = list->first;
	if (b->next)
		b->next->prev = b;
	list->first = b;
}

void *manifest_block_alloc(struct blocks *list, size_t size, uint16_t *at)
{
	struct block *b = list->first;
	char *item;

	size = (size + ALIGN - 1) / ALIGN * ALIGN;
	if (size > BLOCK_BYTES - sizeof(*b))
		return NULL;
	if (!b || b->used + size > BLOCK_BYTES) {
		b = malloc(BLOCK_BYTES);
		if (!b)
			return NULL;
		b->used = sizeof(*b);
		b->live = 0;
		put_first(list, b);
	}
	item = (char *)b + b->used;
	*at = (uint16_t)(b->used / ALIGN);
	b->used += (uint32_t)size;
	b->live++;
	return item;
}

void manifest_block_free(struct blocks *list, void *item, uint16_t at)
{
	struct block *b = (struct block *)((char *)item - (size_t)at * ALIGN);

	if (--b->live)
		return;
	if (b->prev)
		b->prev->next = b->next;
	else
		list->first = b->next;
	if (b->next)
		b->next->prev = b->prev;
	free(b);
}

void manifest_block_join(struct blocks *to, struct blocks *from)
{
	while (from->first) {
		struct block *b = from->first;

		from->first = b->next;
		put_first(to, b);
	}
}

void manifest_block_release(struct blocks *list)
{
	while (list->first) {
		struct block *b = list->first;

		list->first = b->next;
		free(b);
	}
}
