/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What only reads: look-ups, walks, and the generated manifest.
 *
 * For the latter, what is live is listed once, by seq; then the lines are made in batches, so
 * that the lock is never held for long, and never while they are written. A record that was
 * changed since has a new seq, which would be out of order where it was: it is left out there,
 * and one more round takes what has come behind the last seq.
 */
#include "lib/manifest_impl.h"

#include <errno.h>
#include <string.h>

#define BATCH_BYTES (64 << 10)

const char *manifest_suffix(const struct manifest *m)
{
	return m->suffix;
}

uint64_t manifest_generation(struct manifest *m)
{
	uint64_t v;

	lock_take(&m->lock);
	v = m->generation;
	lock_drop(&m->lock);
	return v;
}

uint64_t manifest_last_seq(struct manifest *m)
{
	uint64_t v;

	lock_take(&m->lock);
	v = m->next_seq - 1;
	lock_drop(&m->lock);
	return v;
}

uint64_t manifest_count(struct manifest *m)
{
	uint64_t v;

	lock_take(&m->lock);
	v = m->mem.live;
	lock_drop(&m->lock);
	return v;
}

bool manifest_was_clean(const struct manifest *m)
{
	return m->was_clean;
}

const char *manifest_was_exclude(const struct manifest *m)
{
	return m->was_exclude;
}

bool manifest_get(struct manifest *m, uint64_t id, uint32_t part, struct sealed *out)
{
	const struct node *n;
	bool live;

	lock_take(&m->lock);
	n = manifest_mem_find(&m->mem, id, part);
	live = n && !n->removed;
	if (live)
		manifest_node_facts(n, out);
	lock_drop(&m->lock);
	return live;
}

bool manifest_find(struct manifest *m, uint64_t id, uint32_t part, struct sealed *out,
		   struct buf *dir, struct buf *plain)
{
	const struct node *n;
	bool live;

	lock_take(&m->lock);
	n = manifest_mem_find(&m->mem, id, part);
	live = n && !n->removed;
	if (live) {
		manifest_node_facts(n, out);
		buf_str(dir, n->dir->path);
		buf_str(plain, manifest_node_plain(n));
	}
	lock_drop(&m->lock);
	return live;
}

uint64_t manifest_next_id(struct manifest *m)
{
	uint64_t id;

	lock_take(&m->lock);
	id = m->id_next;
	lock_drop(&m->lock);
	return id;
}

bool manifest_knows(struct manifest *m, uint64_t id, uint32_t part)
{
	bool known;

	lock_take(&m->lock);
	known = manifest_mem_find(&m->mem, id, part) != NULL;
	lock_drop(&m->lock);
	return known;
}

static int visit_node(const struct node *n, manifest_visit *visit, void *ctx)
{
	struct sealed s;

	if (n->removed)
		return 0;
	manifest_node_facts(n, &s);
	return visit(ctx, &s, n->dir->path, manifest_node_plain(n));
}

int manifest_each_in_dir(struct manifest *m, const char *dir, manifest_visit *visit, void *ctx)
{
	const struct dir *d;
	int r = 0;

	lock_take(&m->lock);
	d = manifest_mem_dir(&m->mem, dir);
	for (const struct node *n = d ? d->first : NULL; n && !r; n = n->next)
		r = visit_node(n, visit, ctx);
	lock_drop(&m->lock);
	return r;
}

bool manifest_has_beneath(struct manifest *m, const char *dir)
{
	size_t len = strlen(dir);
	bool found = false;

	lock_take(&m->lock);
	for (const struct dir *d = m->mem.dirs; d && !found; d = d->hh.next)
		found = d->count && strncmp(d->path, dir, len) == 0 &&
			(!len || d->path[len] == '\0' || d->path[len] == '/');
	lock_drop(&m->lock);
	return found;
}

int manifest_each(struct manifest *m, manifest_visit *visit, void *ctx)
{
	int r = 0;

	lock_take(&m->lock);
	for (const struct node *n = manifest_mem_first(&m->mem); n && !r;
	     n = manifest_mem_next(n))
		r = visit_node(n, visit, ctx);
	lock_drop(&m->lock);
	return r;
}

void manifest_check(struct manifest *m)
{
	lock_take(&m->lock);
	manifest_mem_check(&m->mem, m->next_seq);
	for (size_t i = 0; i < m->intents.count; i++) {
		if (m->intents.items[i].seq >= m->next_seq)
			abort();
	}
	lock_drop(&m->lock);
}

struct key {
	uint64_t seq, id;
	uint32_t part;
};

struct dump {
	struct manifest *m;
	int (*write)(void *ctx, const char *data, size_t len);
	void *ctx;
	struct buf text;
	struct key *keys;
	size_t count, size;
	uint64_t above; /* all up to this seq were listed */
	bool missed;	/* a listed record has changed */
};

static int by_seq(const void *a, const void *b)
{
	const struct key *x = a, *y = b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static int flush(struct dump *p)
{
	int r = p->text.failed ? -ENOMEM : 0;

	if (!r && p->text.len)
		r = p->write(p->ctx, p->text.data, p->text.len);
	buf_reset(&p->text);
	return r;
}

static void add_header_locked(struct dump *p) REQUIRES(&p->m->lock)
{
	const struct manifest *m = p->m;
	struct header h = {
	    .generation = m->generation,
	    .next_seq = m->next_seq,
	    .next_id = MAX(m->id_mark, m->id_next),
	    .clean = m->clean,
	    .suffix = m->suffix,
	    .exclude = m->exclude,
	};

	manifest_header_encode(&p->text, &h, false);
}

/* List what is live above p->above; false if there is no room for all of it. */
static bool list_locked(struct dump *p) REQUIRES(&p->m->lock)
{
	if (p->size < p->m->mem.live)
		return false;
	p->count = 0;
	for (const struct node *n = manifest_mem_first(&p->m->mem); n;
	     n = manifest_mem_next(n)) {
		if (!n->removed && n->seq > p->above)
			p->keys[p->count++] =
			    (struct key){.seq = n->seq, .id = n->id, .part = n->part};
	}
	p->above = p->m->next_seq - 1;
	return true;
}

static int list(struct dump *p)
{
	bool listed;

	do {
		size_t size;
		struct key *keys;

		lock_take(&p->m->lock);
		size = (size_t)p->m->mem.live;
		listed = list_locked(p);
		lock_drop(&p->m->lock);
		if (listed)
			break;
		size += size / 8 + 64;
		keys = realloc(p->keys, size * sizeof(*keys));
		if (!keys)
			return -ENOMEM;
		p->keys = keys;
		p->size = size;
	} while (!listed);
	if (p->count)
		qsort(p->keys, p->count, sizeof(*p->keys), by_seq);
	return 0;
}

/* Lines from key i on, until the batch is full; returns the first key that is left. */
static size_t batch_locked(struct dump *p, size_t i) REQUIRES(&p->m->lock)
{
	for (; i < p->count && p->text.len < BATCH_BYTES && !p->text.failed; i++) {
		const struct key *k = &p->keys[i];
		const struct node *n = manifest_mem_find(&p->m->mem, k->id, k->part);

		if (n && n->seq == k->seq)
			manifest_node_encode(&p->text, n, n->dir->path, p->m->suffix);
		else if (n && !n->removed)
			p->missed = true;
	}
	return i;
}

static int write_round(struct dump *p)
{
	int r = list(p);

	p->missed = false;
	for (size_t i = 0; i < p->count && !r;) {
		lock_take(&p->m->lock);
		i = batch_locked(p, i);
		lock_drop(&p->m->lock);
		r = flush(p);
	}
	return r;
}

int manifest_dump(struct manifest *m, int (*write)(void *ctx, const char *data, size_t len),
		  void *ctx)
{
	struct dump p = {.m = m, .write = write, .ctx = ctx};
	int r;

	lock_take(&p.m->lock);
	add_header_locked(&p);
	lock_drop(&p.m->lock);
	do
		r = write_round(&p);
	while (!r && p.missed);
	if (!r)
		r = flush(&p);
	buf_release(&p.text);
	free(p.keys);
	return r;
}
