/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Folding: the tail becomes a chunk file, together with the last chunk while both fit into one.
 * The text is copied as it is; why a chunk is never rewritten alone is said in manifest_file.c.
 * When more lines are dead than alive, everything that lives is written anew, in the order of
 * seq, with today's paths: then no "mvdir" is needed, and none is kept.
 *
 * A removal is kept in a rewrite while it is so young that it is in the tail: its object may
 * not be unlinked yet, and recovery must know that it is not to be taken back in.
 *
 * A chunk's number is taken once: it counts up, and starts above every file that exists.
 */
#include "lib/manifest_impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/io.h"
#include "lib/log.h"
#include "lib/replace.h"

static int hash_iov(const struct iovec *iov, int count, EVP_MD_CTX *ctx, uint8_t *sha256)
{
	int ok = EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);

	for (int i = 0; i < count && ok == 1; i++)
		ok = EVP_DigestUpdate(ctx, iov[i].iov_base, iov[i].iov_len);
	return ok == 1 && EVP_DigestFinal_ex(ctx, sha256, NULL) == 1 ? 0 : -ENOMEM;
}

/* Write one chunk file and append it to the list. */
static int add_chunk(struct disk *d, struct fold *f, const struct iovec *iov, int count,
		     uint32_t lines)
{
	struct chunk c = {.number = d->next_chunk, .lines = lines};
	char path[64];
	int err;

	if (c.number > MANIFEST_CHUNK_NUMBER_MAX)
		return -EOVERFLOW;
	for (int i = 0; i < count; i++)
		c.bytes += iov[i].iov_len;
	err = hash_iov(iov, count, d->sha_result, c.sha256);
	if (!err)
		err = manifest_chunks_add(&f->chunks, &c);
	if (err)
		return err;
	d->next_chunk++;
	manifest_file_chunk_path(path, c.number);
	return replace_file(d->storefd, path, iov, count, NULL);
}

static int keep_chunks(const struct disk *d, struct fold *f, size_t count)
{
	int err = 0;

	for (size_t i = 0; i < count && !err; i++)
		err = manifest_chunks_add(&f->chunks, &d->chunks.items[i]);
	f->kept = count;
	f->dropped = count < d->chunks.count;
	return err;
}

/* The bytes of the next lines, at most MANIFEST_CHUNK_LINES, of a text of whole lines. */
static size_t next_lines(const char *text, size_t len, uint32_t *lines)
{
	const char *p = text, *end = text + len;

	for (*lines = 0; p < end && *lines < MANIFEST_CHUNK_LINES; ++*lines)
		p = (const char *)memchr(p, '\n', (size_t)(end - p)) + 1;
	return (size_t)(p - text);
}

static int fold_tail(struct disk *d, struct fold *f, uint32_t lines)
{
	CLEANUP_BUF struct buf old = {0};
	const struct chunk *last =
	    d->chunks.count ? &d->chunks.items[d->chunks.count - 1] : NULL;
	struct iovec iov[2] = {{0}};
	const char *reason;
	size_t done = 0;
	int err;

	/* A last chunk that cannot be read is left alone: the next load will say what it is. */
	if (last && last->lines + lines <= MANIFEST_CHUNK_LINES &&
	    manifest_file_read_chunk(d->storefd, last, &old, &reason) == 0) {
		iov[0] = (struct iovec){.iov_base = old.data, .iov_len = old.len};
		iov[1] = (struct iovec){.iov_base = d->tail.data, .iov_len = d->tail.len};
		err = keep_chunks(d, f, d->chunks.count - 1);
		return err ? err : add_chunk(d, f, iov, 2, last->lines + lines);
	}
	err = keep_chunks(d, f, d->chunks.count);
	while (!err && done < d->tail.len) {
		iov[0].iov_base = d->tail.data + done;
		iov[0].iov_len = next_lines(d->tail.data + done, d->tail.len - done, &lines);
		done += iov[0].iov_len;
		err = add_chunk(d, f, iov, 1, lines);
	}
	return err;
}

/* One line of a rewrite. */
struct item {
	uint64_t seq;
	const struct node *node; /* or */
	const struct intent *intent;
	bool removed;
};

struct items {
	struct item *list;
	size_t count;
};

static int by_seq(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static void add_item(struct items *items, struct item item)
{
	items->list[items->count++] = item;
}

static void collect_node(struct items *items, const struct disk *d, const struct overlay *o,
			 const struct node *n)
{
	const struct slot *s = manifest_overlay_find(o, n->id, n->part);

	if (s && s->state.node)
		return;
	if (s && s->state.removed_seq)
		add_item(items, (struct item){s->state.removed_seq, n, NULL, true});
	else if (!n->removed || n->seq >= d->tail_seq)
		add_item(items, (struct item){n->seq, n, NULL, n->removed});
}

static void collect_intents(struct items *items, const struct overlay *o,
			    const struct intents *intents)
{
	for (size_t i = 0; i < intents->count; i++) {
		const struct intent *intent = &intents->items[i];

		if (!manifest_overlay_is_done(o, intent->seq))
			add_item(items, (struct item){intent->seq, NULL, intent, false});
	}
}

/* Everything that lives when the overlay is in force, by seq. */
static int collect(struct items *items, const struct disk *d, const struct save *s)
{
	const struct overlay *o = s->overlay;
	size_t most =
	    (size_t)s->mem->count + HASH_COUNT(o->slots) + s->intents->count + o->intents.count;

	items->list = malloc(most * sizeof(*items->list));
	if (!items->list)
		return -ENOMEM;
	for (const struct node *n = manifest_mem_first(s->mem); n; n = manifest_mem_next(n))
		collect_node(items, d, o, n);
	for (const struct slot *t = o->slots; t; t = t->hh.next) {
		uint64_t removed_seq = t->state.removed_seq;
		const struct node *n = t->state.node;

		if (n)
			add_item(items, (struct item){removed_seq ? removed_seq : n->seq, n,
						      NULL, removed_seq != 0});
	}
	collect_intents(items, o, s->intents);
	collect_intents(items, o, &o->intents);
	qsort(items->list, items->count, sizeof(*items->list), by_seq);
	return 0;
}

static void encode_item(struct buf *b, const struct item *item, const char *suffix)
{
	const struct intent *i = item->intent;
	const struct dir *dir;

	if (i) {
		record_encode_intent(b, i->seq, i->id, i->from, i->to);
		return;
	}
	dir = item->node->dir;
	if (item->removed)
		manifest_node_encode_rm(b, item->node, item->seq,
					dir->next_path ? dir->next_path : dir->path, suffix);
	else
		manifest_node_encode(b, item->node, dir->next_path ? dir->next_path : dir->path,
				     suffix);
}

static int rewrite(struct disk *d, const struct save *s, struct fold *f)
{
	CLEANUP_BUF struct buf text = {0};
	struct items items = {0};
	uint32_t lines = 0;
	int err = collect(&items, d, s);

	f->rewritten = true;
	f->dropped = true;
	for (size_t i = 0; i < items.count && !err; i++) {
		struct iovec iov;

		encode_item(&text, &items.list[i], s->suffix);
		if (++lines < MANIFEST_CHUNK_LINES && i + 1 < items.count)
			continue;
		iov = (struct iovec){.iov_base = text.data, .iov_len = text.len};
		err = text.failed ? -ENOMEM : add_chunk(d, f, &iov, 1, lines);
		buf_reset(&text);
		lines = 0;
	}
	free(items.list);
	return err;
}

static bool mostly_dead(const struct disk *d, const struct save *s, uint32_t lines)
{
	const struct overlay *o = s->overlay;
	uint64_t total = d->chunk_lines + lines;
	uint64_t alive = s->mem->live + (uint64_t)o->at.live_delta + s->intents->count +
			 o->intents.count - o->at.done_count;

	return total > MANIFEST_CHUNK_LINES && total - alive > total / 2;
}

void manifest_fold_undo(struct disk *d, struct fold *f)
{
	for (size_t i = f->kept; i < f->chunks.count; i++) {
		char path[64];

		manifest_file_chunk_path(path, f->chunks.items[i].number);
		io_unlink(d->storefd, path, 0);
	}
	free(f->chunks.items);
	memset(f, 0, sizeof(*f));
}

int manifest_fold(struct disk *d, const struct save *s, uint32_t lines, struct fold *f)
{
	bool all = s->rewrite || mostly_dead(d, s, lines);
	int err = all ? rewrite(d, s, f) : fold_tail(d, f, lines);

	if (err) {
		if (!s->rewrite)
			log_warning("the manifest's tail cannot be folded into a chunk, it "
				    "grows on: %s",
				    strerror(-err));
		manifest_fold_undo(d, f);
		return err;
	}
	f->done = true;
	return 0;
}
