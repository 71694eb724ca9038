/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loading. Reading, hashing and decoding a chunk needs nothing but the chunk, and takes most of
 * the time, so some threads do it ahead of the one that replays the lines in order. What they
 * hand over are nodes as the memory keeps them, so that each record is allocated once. A thread
 * that cannot be created is not missed (L8): a chunk that nobody has taken is prepared on the
 * spot.
 */
#include "lib/manifest_load.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/io.h"

#define MANIFEST_BYTES_MAX (1U << 30)
#define WORKERS_MAX 4
#define CHUNKS_AHEAD 3 /* that are taken and not replayed yet: up to 4 MB each */

/* A line: of a sealed record its node, with no directory yet, or else the record. */
struct item {
	struct node *node;
	struct record *other;
	size_t dir; /* the node's: where its path begins in the piece's dirs */
};

/* A piece of the manifest, on its way from bytes to records. */
struct piece {
	const struct chunk *chunk; /* NULL: the tail */
	struct item *items;
	uint32_t count;
	struct blocks nodes;
	struct buf dirs; /* paths, one behind the other, each with its end */
	int err;	 /* with -EBADMSG: */
	uint64_t line;
	const char *reason;
	bool ready;
};

struct loader {
	int storefd;
	const char *suffix;
	struct piece *pieces;
	size_t count;
	/* Rank 30; taken by no one who has another. Protects the rest, and each piece's ready.
	 */
	struct lock lock;
	struct cond cond; /* a piece is ready, or was replayed, or stop */
	size_t next;	  /* the first piece that nobody has taken */
	size_t replayed;
	bool stop;
};

int manifest_load_damaged(const struct load *l, const char *reason)
{
	snprintf(l->error->text, sizeof(l->error->text), "%s:%llu: %s; " MANIFEST_REPAIR,
		 l->file, (unsigned long long)l->line, reason);
	return -EBADMSG;
}

int manifest_load_failed(const struct load *l, int err)
{
	snprintf(l->error->text, sizeof(l->error->text), "%s: %s", l->file, strerror(-err));
	return err;
}

static int piece_wrong(struct piece *p, const char *reason)
{
	p->reason = reason;
	return -EBADMSG;
}

static void piece_release(struct piece *p)
{
	for (uint32_t i = 0; i < p->count; i++) {
		if (p->items[i].other)
			record_release(p->items[i].other);
		free(p->items[i].other);
	}
	free(p->items);
	manifest_block_release(&p->nodes);
	buf_release(&p->dirs);
	p->items = NULL;
	p->count = 0;
}

/* Records of one directory follow each other, mostly: they share the path. */
static bool add_dir(struct piece *p, const char *dir, size_t *at)
{
	size_t len = strlen(dir) + 1;

	if (!p->dirs.len || strcmp(p->dirs.data + *at, dir) != 0) {
		*at = p->dirs.len;
		buf_add(&p->dirs, dir, len);
	}
	return !p->dirs.failed;
}

/* The next item; r is used up, but for its memory, if it is a sealed record. *dir is where the path of
 * the last one's directory is. */
static int add_item(struct piece *p, struct record *r, size_t *dir)
{
	struct item *item = &p->items[p->count];

	if (r->op == RECORD_SEALED) {
		item->node = manifest_node_new_in(&p->nodes, &r->sealed, r->name);
		if (!item->node || !add_dir(p, r->dir, dir))
			return -ENOMEM;
		item->dir = *dir;
	} else {
		item->other = malloc(sizeof(*item->other));
		if (!item->other)
			return -ENOMEM;
		*item->other = *r;
		memset(r, 0, sizeof(*r));
	}
	p->count++;
	return 0;
}

/* All lines of text, which must be as many as the header says; p->line is the first one's. */
static int decode_lines(struct piece *p, const char *text, size_t len, uint32_t lines,
			const char *suffix)
{
	CLEANUP_RECORD struct record r = {0};
	const char *end = text + len;
	size_t dir = 0;

	if (lines > len) /* each has its end, at least */
		return piece_wrong(p, "there are fewer lines than the header says");
	p->items = calloc((size_t)lines + 1, sizeof(*p->items));
	if (!p->items)
		return -ENOMEM;
	for (; text < end; p->line++) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		int err;

		if (!newline)
			return piece_wrong(p, "the line has no end");
		if (p->count == lines)
			return piece_wrong(p, "there are more lines than the header says");
		err = record_decode(text, (size_t)(newline - text), suffix, &r, &p->reason);
		if (!err)
			err = add_item(p, &r, &dir);
		if (err)
			return err;
		text = newline + 1;
	}
	if (p->count != lines)
		return piece_wrong(p, "there are fewer lines than the header says");
	return 0;
}

/* The digest is wrong: say which line it is, where a line shows it. */
static int diagnose(struct piece *p, const char *text, size_t len, uint32_t lines,
		    const char *suffix)
{
	uint64_t first = p->line;
	int err = decode_lines(p, text, len, lines, suffix);

	if (err)
		return err;
	p->line = first;
	return piece_wrong(p, "the SHA-256 of the lines from here on is not the header's");
}

static void prepare_chunk(const struct loader *w, struct piece *p, struct buf *text)
{
	const struct chunk *c = p->chunk;

	p->line = 1;
	p->err = manifest_file_read_chunk(w->storefd, c, text, &p->reason);
	if (!p->err)
		p->err = decode_lines(p, text->data, c->bytes, c->lines, w->suffix);
	else if (p->err == -EBADMSG && !p->reason)
		p->err = diagnose(p, text->data, c->bytes, c->lines, w->suffix);
}

static void *work(void *arg)
{
	CLEANUP_BUF struct buf text = {0};
	struct loader *w = arg;

	lock_take(&w->lock);
	while (!w->stop && w->next < w->count) {
		struct piece *p = &w->pieces[w->next];

		if (w->next >= w->replayed + CHUNKS_AHEAD) {
			cond_wait(&w->cond, &w->lock);
			continue;
		}
		w->next++;
		lock_drop(&w->lock);
		prepare_chunk(w, p, &text);
		lock_take(&w->lock);
		p->ready = true;
		cond_broadcast(&w->cond);
	}
	lock_drop(&w->lock);
	return NULL;
}

static int replay_item(struct load *l, const struct piece *p, const struct item *item)
{
	if (!item->node)
		return manifest_load_replay(l, item->other);
	return manifest_load_replay_node(l, item->node, p->dirs.data + item->dir);
}

static int replay_piece(struct load *l, struct piece *p)
{
	uint64_t first = p->line - p->count;
	int err = p->err;

	manifest_block_join(&l->m->mem.blocks, &p->nodes);
	l->line = p->line;
	if (err == -EBADMSG)
		err = manifest_load_damaged(l, p->reason);
	else if (err)
		err = manifest_load_failed(l, err);
	for (uint32_t i = 0; i < p->count && !err; i++) {
		l->line = first + i;
		err = replay_item(l, p, &p->items[i]);
	}
	piece_release(p);
	return err;
}

/* Wait until piece i is prepared, or prepare it if nobody has taken it. */
static void await_piece(struct loader *w, size_t i)
{
	CLEANUP_BUF struct buf text = {0};
	struct piece *p = &w->pieces[i];
	bool ours;

	lock_take(&w->lock);
	ours = w->next == i;
	w->next += ours;
	while (!ours && !p->ready)
		cond_wait(&w->cond, &w->lock);
	lock_drop(&w->lock);
	if (ours)
		prepare_chunk(w, p, &text);
}

static int replay_chunks(struct load *l, struct loader *w)
{
	int err = 0;

	for (size_t i = 0; i < w->count && !err; i++) {
		struct piece *p = &w->pieces[i];

		await_piece(w, i);
		manifest_file_chunk_path(l->file, p->chunk->number);
		err = replay_piece(l, p);
		l->m->disk.chunk_lines += p->chunk->lines;
		lock_take(&w->lock);
		w->replayed = i + 1;
		cond_broadcast(&w->cond);
		lock_drop(&w->lock);
	}
	return err;
}

static size_t start_workers(struct loader *w, pthread_t *threads)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t started = 0, most = (size_t)MAX(MIN(cpus, WORKERS_MAX), 1);

	/* One chunk is read as fast without. */
	while (w->count > 1 && started < MIN(most, w->count)) {
		if (pthread_create(&threads[started], NULL, work, w) != 0)
			break;
		started++;
	}
	return started;
}

static int load_chunks(struct load *l)
{
	const struct chunks *chunks = &l->m->disk.chunks;
	struct loader w = {.storefd = l->m->disk.storefd, .suffix = l->m->suffix};
	pthread_t threads[WORKERS_MAX];
	uint64_t lines = 0;
	size_t workers;
	int err;

	w.count = chunks->count;
	w.pieces = calloc(w.count + 1, sizeof(*w.pieces));
	if (!w.pieces)
		return manifest_load_failed(l, -ENOMEM);
	for (size_t i = 0; i < w.count; i++) {
		w.pieces[i].chunk = &chunks->items[i];
		lines += chunks->items[i].lines;
	}
	manifest_mem_expect(&l->m->mem, lines);
	lock_init(&w.lock);
	cond_init(&w.cond);
	workers = start_workers(&w, threads);
	err = replay_chunks(l, &w);
	lock_take(&w.lock);
	w.stop = true;
	cond_broadcast(&w.cond);
	lock_drop(&w.lock);
	while (workers > 0)
		pthread_join(threads[--workers], NULL);
	for (size_t i = 0; i < w.count; i++)
		piece_release(&w.pieces[i]);
	free(w.pieces);
	cond_release(&w.cond);
	lock_release(&w.lock);
	return err;
}

static int load_tail(struct load *l, const char *text, size_t len)
{
	struct disk *d = &l->m->disk;
	const struct header *h = l->header;
	struct piece p = {.line = 2};
	uint8_t sha256[SHA256_BYTES];
	uint64_t before = l->last_seq;
	int err;

	snprintf(l->file, sizeof(l->file), MANIFEST_FILE);
	l->line = 2;
	if (len != h->tail_bytes)
		return manifest_load_damaged(
		    l, "the length of the lines from here on is not the header's");
	if (EVP_Digest(text, len, sha256, NULL, EVP_sha256(), NULL) != 1)
		return manifest_load_failed(l, -ENOMEM);
	if (memcmp(sha256, h->tail_sha256, SHA256_BYTES) == 0)
		p.err = decode_lines(&p, text, len, h->tail_lines, l->m->suffix);
	else
		p.err = diagnose(&p, text, len, h->tail_lines, l->m->suffix);
	err = replay_piece(l, &p);
	if (err)
		return err;
	buf_add(&d->tail, text, len);
	if (d->tail.failed || EVP_DigestUpdate(d->sha, text, len) != 1)
		return manifest_load_failed(l, -ENOMEM);
	d->tail_lines = h->tail_lines;
	d->tail_seq = before + 1;
	return 0;
}

/* The header's values become the manifest's. */
static int take_header(struct load *l, struct header_read *r, const char *suffix)
{
	struct manifest *m = l->m;

	if (suffix && strcmp(suffix, r->suffix) != 0) {
		snprintf(l->error->text, sizeof(l->error->text),
			 "the store's suffix is %s, not %s", r->suffix, suffix);
		return -EEXIST;
	}
	m->suffix = r->suffix;
	m->was_exclude = r->exclude;
	m->disk.chunks = r->chunks;
	r->suffix = r->exclude = NULL;
	memset(&r->chunks, 0, sizeof(r->chunks));
	m->was_clean = m->clean = r->h.clean;
	m->generation = m->disk.generation = r->h.generation;
	m->next_seq = r->h.next_seq;
	m->id_next = m->id_mark = r->h.next_id;
	return 0;
}

static int load_all(struct load *l, const char *text, size_t len, const char *suffix)
{
	const char *newline = memchr(text, '\n', len), *reason;
	struct header_read read;
	int err;

	l->line = 1;
	if (!newline)
		return manifest_load_damaged(l, "the header has no end");
	err = manifest_header_decode(text, (size_t)(newline - text), &read, &reason);
	if (err == -EBADMSG)
		return manifest_load_damaged(l, reason);
	if (err == -EPROTO)
		snprintf(l->error->text, sizeof(l->error->text), "%s:1: %s", l->file, reason);
	if (err)
		return err == -EPROTO ? err : manifest_load_failed(l, err);
	l->header = &read.h;
	err = take_header(l, &read, suffix);
	if (!err)
		err = load_chunks(l);
	if (!err)
		err = load_tail(l, newline + 1, len - (size_t)(newline + 1 - text));
	manifest_header_release(&read);
	return err;
}

int manifest_load(struct manifest *m, const char *suffix, struct manifest_error *error)
{
	struct load l = {.m = m, .error = error, .file = MANIFEST_FILE, .line = 1};
	CLEANUP_FREE char *text = NULL;
	size_t len;
	int err = io_read_file(m->disk.storefd, MANIFEST_FILE, MANIFEST_BYTES_MAX, &text, &len);

	if (err == -EINVAL || err == -ELOOP)
		return manifest_load_damaged(&l, "it is no regular file");
	return err ? manifest_load_failed(&l, err) : load_all(&l, text, len, suffix);
}
