/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The base: every record by (id, part), each in the list of its directory. A path is stored
 * once a directory, so a renamed directory costs as much as there are directories, not records;
 * a record is one allocation, its name inline, since a store may have millions. For the same
 * reason records are in a hash table of chains of our own: uthash has 56 bytes in each item,
 * and cannot be told how many there will be, so that loading a million spent most of its time on
 * table after table.
 *
 * What publishes a commit must not fail, for it is durable already. So whatever it needs is
 * allocated before, and the one thing left that allocates, the growing of a hash table, may
 * fail: the table works on, with longer chains. For directories, which are in a uthash, that is
 * switched on by hand (insert_sure); for this the table must exist, hence the root.
 */
#include "lib/manifest_impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define insert_sure(hh, head, keyptr, keylen, item)                                            \
	do {                                                                                   \
		HASH_ADD_KEYPTR(hh, head, keyptr, keylen, item);                               \
		if (!(item)->hh.tbl) {                                                         \
			(head)->hh.tbl->noexpand = 1;                                          \
			HASH_ADD_KEYPTR(hh, head, keyptr, keylen, item);                       \
			(head)->hh.tbl->noexpand = 0;                                          \
		}                                                                              \
	} while (0)

#define FIRST_BITS 4

/* The chain of a key. Ids are dense, or some steps apart: a multiple of the golden ratio spreads both. */
static struct node **chain_of(const struct memory *mem, uint64_t id, uint32_t part)
{
	uint64_t key = id + ((uint64_t)part << 40 | part);

	return &mem->chains[key * 0x9E3779B97F4A7C15U >> (64 - mem->bits)];
}

static void link_chain(struct memory *mem, struct node *n)
{
	struct node **chain = chain_of(mem, n->id, n->part);

	n->chained = *chain;
	*chain = n;
}

static void unlink_chain(struct memory *mem, struct node *n)
{
	struct node **at = chain_of(mem, n->id, n->part);

	while (*at != n)
		at = &(*at)->chained;
	*at = n->chained;
}

/* Have 2^bits chains; or as many as now, if there is no memory. */
static void resize(struct memory *mem, unsigned bits)
{
	struct node **old = mem->chains, **chains = calloc((size_t)1 << bits, sizeof(*chains));
	size_t count = (size_t)1 << mem->bits;

	if (!chains)
		return;
	mem->chains = chains;
	mem->bits = bits;
	for (size_t i = 0; i < count; i++) {
		while (old[i]) {
			struct node *n = old[i];

			old[i] = n->chained;
			link_chain(mem, n);
		}
	}
	free(old);
}

void manifest_mem_expect(struct memory *mem, uint64_t count)
{
	unsigned bits = mem->bits;

	while (bits < MANIFEST_CHAIN_BITS_MAX && (uint64_t)1 << bits < count)
		bits++;
	if (bits > mem->bits)
		resize(mem, bits);
}

int manifest_mem_init(struct memory *mem)
{
	struct dir *root = manifest_mem_new_dir("");

	memset(mem, 0, sizeof(*mem));
	mem->bits = FIRST_BITS;
	mem->chains = calloc((size_t)1 << FIRST_BITS, sizeof(*mem->chains));
	if (!mem->chains || !root)
		goto out_free;
	HASH_ADD_KEYPTR(hh, mem->dirs, root->path, 0, root);
	if (mem->dirs)
		return 0;

out_free:
	free(mem->chains);
	mem->chains = NULL;
	manifest_mem_free_dir(root);
	return -ENOMEM;
}

void manifest_mem_release(struct memory *mem)
{
	struct dir *d = mem->dirs;

	HASH_CLEAR(hh, mem->dirs);
	while (d) {
		struct dir *next = d->hh.next;

		while (d->first) {
			struct node *n = d->first;

			d->first = n->next;
			manifest_node_free(mem, n);
		}
		manifest_mem_free_dir(d);
		d = next;
	}
	manifest_block_release(&mem->blocks);
	free(mem->chains);
}

struct node *manifest_mem_first(const struct memory *mem)
{
	const struct dir *d = mem->dirs;

	while (d && !d->first)
		d = d->hh.next;
	return d ? d->first : NULL;
}

struct node *manifest_mem_next(const struct node *n)
{
	const struct dir *d = n->dir;

	if (n->next)
		return n->next;
	do
		d = d->hh.next;
	while (d && !d->first);
	return d ? d->first : NULL;
}

struct node *manifest_mem_find(const struct memory *mem, uint64_t id, uint32_t part)
{
	struct node *n = *chain_of(mem, id, part);

	while (n && (n->id != id || n->part != part))
		n = n->chained;
	return n;
}

struct dir *manifest_mem_dir(const struct memory *mem, const char *path)
{
	struct dir *d;

	HASH_FIND(hh, mem->dirs, path, strlen(path), d);
	return d;
}

struct dir *manifest_mem_new_dir(const char *path)
{
	struct dir *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->path = strdup(path);
	if (d->path)
		return d;
	free(d);
	return NULL;
}

void manifest_mem_free_dir(struct dir *dir)
{
	if (!dir)
		return;
	free(dir->path);
	free(dir->next_path);
	free(dir);
}

static void link_node(struct dir *d, struct node *n)
{
	n->dir = d;
	n->prev = NULL;
	n->next = d->first;
	if (d->first)
		d->first->prev = n;
	d->first = n;
	d->count++;
}

static void unlink_node(struct memory *mem, struct node *n)
{
	struct dir *d = n->dir;

	if (n->prev)
		n->prev->next = n->next;
	else
		d->first = n->next;
	if (n->next)
		n->next->prev = n->prev;
	if (--d->count || !*d->path)
		return;
	HASH_DELETE(hh, mem->dirs, d);
	manifest_mem_free_dir(d);
}

static void drop(struct memory *mem, struct node *n)
{
	unlink_chain(mem, n);
	unlink_node(mem, n);
	manifest_node_free(mem, n);
	mem->count--;
}

/* The directory to use for `own`, which is used or freed. */
static struct dir *settle(struct memory *mem, struct dir *own)
{
	struct dir *d;

	if (own->next_path) {
		free(own->path);
		own->path = own->next_path;
		own->next_path = NULL;
	}
	d = manifest_mem_dir(mem, own->path);
	if (!d) {
		insert_sure(hh, mem->dirs, own->path, strlen(own->path), own);
		return own;
	}
	if (d != own)
		manifest_mem_free_dir(own);
	return d;
}

void manifest_mem_add(struct memory *mem, struct node *n, struct dir *d)
{
	link_node(d, n);
	manifest_mem_expect(mem, ++mem->count);
	link_chain(mem, n);
}

void manifest_mem_insert(struct memory *mem, struct node *n, struct node *old)
{
	struct dir *d = settle(mem, n->dir);

	manifest_mem_add(mem, n, d);
	if (old)
		drop(mem, old);
}

char *manifest_mem_moved(const char *path, const char *from, const char *to, bool *failed)
{
	size_t from_len = strlen(from), to_len = strlen(to), rest;
	char *moved;

	*failed = false;
	if (strncmp(path, from, from_len) != 0 || (path[from_len] && path[from_len] != '/'))
		return NULL;
	rest = strlen(path + from_len) + 1;
	moved = malloc(to_len + rest);
	if (!moved) {
		*failed = true;
		return NULL;
	}
	memcpy(moved, to, to_len);
	memcpy(moved + to_len, path + from_len, rest);
	return moved;
}

/* Give the fewer records of the two to the other directory; returns the one to keep. */
static struct dir *merge(struct dir *a, struct dir *b)
{
	struct dir *large = a->count > b->count ? a : b, *small = large == a ? b : a;

	while (small->first) {
		struct node *n = small->first;

		small->first = n->next;
		link_node(large, n);
	}
	manifest_mem_free_dir(small);
	return large;
}

static void arrive(struct memory *mem, struct dir *d)
{
	struct dir *there = manifest_mem_dir(mem, d->next_path);
	char *path = d->next_path;

	d->next_path = NULL;
	if (there) {
		HASH_DELETE(hh, mem->dirs, there);
		d = merge(d, there);
	}
	free(d->path);
	d->path = path;
	insert_sure(hh, mem->dirs, d->path, strlen(d->path), d);
}

/* All leave before the first arrives: of two that change names, none meets the other. */
void manifest_mem_move(struct memory *mem)
{
	struct dir *d, *tmp, *moved = NULL;

	HASH_ITER (hh, mem->dirs, d, tmp) {
		if (!d->next_path)
			continue;
		HASH_DELETE(hh, mem->dirs, d);
		d->next_moved = moved;
		moved = d;
	}
	while (moved) {
		d = moved;
		moved = d->next_moved;
		arrive(mem, d);
	}
}

void manifest_mem_forget(struct memory *mem, uint64_t seq)
{
	for (struct node *n = manifest_mem_first(mem), *next; n; n = next) {
		next = manifest_mem_next(n);
		if (n->removed && n->seq < seq)
			drop(mem, n);
	}
}

static void must(bool invariant)
{
	if (!invariant)
		abort();
}

void manifest_mem_check(struct memory *mem, uint64_t next_seq)
{
	uint64_t live = 0, nodes = 0, chained = 0;

	for (const struct node *n = manifest_mem_first(mem); n; n = manifest_mem_next(n)) {
		must(manifest_mem_find(mem, n->id, n->part) == n);
		must(n->id > 0 && n->seq > 0 && n->seq < next_seq);
		must(manifest_mem_dir(mem, n->dir->path) == n->dir);
		nodes++;
		live += !n->removed;
	}
	for (const struct dir *d = mem->dirs; d; d = d->hh.next) {
		uint64_t count = 0;

		must(!d->next_path && (d->count || !*d->path));
		for (const struct node *n = d->first; n; n = n->next) {
			must(n->dir == d && (!n->next || n->next->prev == n));
			count++;
		}
		must(count == d->count);
	}
	for (size_t i = 0; i < (size_t)1 << mem->bits; i++) {
		for (const struct node *n = mem->chains[i]; n; n = n->chained)
			chained++;
	}
	must(live == mem->live && nodes == mem->count && chained == nodes);
}
