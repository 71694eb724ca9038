/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loading: every line of the chunks and of the tail is replayed, in the order in which it was
 * written. The order matters: a record carries the path that it had then, and a later "mvdir"
 * moves it. So a chunk cannot be rewritten alone with today's paths (the later line, perhaps in
 * another chunk, would move them a second time), nor lose its "mvdir" lines while an earlier
 * chunk has records for them. Chunks are either copied as they are, or all rewritten at once.
 */
#include "lib/manifest_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "lib/io.h"
#include "lib/log.h"
#include "lib/replace.h"

#define MANIFEST_BYTES_MAX (1U << 30)

struct load {
	struct manifest *m;
	struct manifest_error *error;
	const struct header *header;
	char file[64];
	uint64_t line; /* of file, from 1 */
	uint64_t last_seq;
};

static int damaged(const struct load *l, const char *reason)
{
	snprintf(l->error->text, sizeof(l->error->text), "%s:%llu: %s; " MANIFEST_REPAIR,
		 l->file, (unsigned long long)l->line, reason);
	return -EBADMSG;
}

/* An error that says nothing about the content. */
static int failed(const struct load *l, int err)
{
	snprintf(l->error->text, sizeof(l->error->text), "%s: %s", l->file, strerror(-err));
	return err;
}

void manifest_file_chunk_path(char out[64], uint32_t number)
{
	snprintf(out, 64, MANIFEST_CHUNKS "/%08u.jsonl", number);
}

static int replay_sealed(struct load *l, const struct record *r)
{
	struct memory *mem = &l->m->mem;
	const struct node *old = manifest_mem_find(mem, r->sealed.id, r->sealed.part);
	struct node *n;

	if (old && old->removed)
		return damaged(l, "a segment that was removed comes back");
	n = manifest_mem_new_node(&r->sealed, r->name);
	if (!n)
		return failed(l, -ENOMEM);
	n->dir = manifest_mem_dir(mem, r->dir);
	if (!n->dir)
		n->dir = manifest_mem_new_dir(r->dir);
	if (!n->dir) {
		free(n);
		return failed(l, -ENOMEM);
	}
	mem->live += !old;
	manifest_mem_insert(mem, n);
	return 0;
}

/* A removal whose record was forgotten in a rewrite: the object's name makes a plain name. */
static int replay_lone_rm(struct load *l, const struct record *r)
{
	char plain[NAME_BYTES + 1], object[NAME_BYTES + 1];
	const char *suffix = l->m->suffix;
	struct record copy = *r;
	size_t stem;
	uint32_t part;
	int err;

	if (!name_parse_sealed(r->name, suffix, &stem, &part))
		return damaged(l, "the path is not an object's");
	snprintf(plain, sizeof(plain), "%.*s%s", (int)stem, r->name, suffix);
	if (name_sealed(plain, part, suffix, object) != 0 || strcmp(object, r->name) != 0)
		return damaged(l, "the path is not an object's");
	copy.name = plain;
	err = replay_sealed(l, &copy);
	if (err)
		return err;
	l->m->mem.live--;
	manifest_mem_find(&l->m->mem, r->sealed.id, r->sealed.part)->removed = true;
	return 0;
}

static int replay_rm(struct load *l, const struct record *r)
{
	struct node *n = manifest_mem_find(&l->m->mem, r->sealed.id, r->sealed.part);

	if (!n)
		return replay_lone_rm(l, r);
	if (n->removed)
		return damaged(l, "a segment is removed twice");
	n->removed = true;
	n->seq = r->sealed.seq;
	l->m->mem.live--;
	return 0;
}

static int replay_mvdir(struct load *l, const struct record *r)
{
	struct memory *mem = &l->m->mem;

	for (struct dir *d = mem->dirs; d; d = d->hh.next) {
		bool no_memory;

		d->next_path = manifest_mem_moved(d->path, r->from, r->to, &no_memory);
		if (no_memory)
			return failed(l, -ENOMEM);
		if (d->next_path && strlen(d->next_path) > RECORD_PATH_BYTES)
			return damaged(l, "the renamed path is too long");
	}
	manifest_mem_move(mem);
	return 0;
}

static int replay_intent(struct load *l, const struct record *r)
{
	int err =
	    manifest_intents_add(&l->m->intents, r->sealed.seq, r->sealed.id, r->from, r->to);

	return err ? failed(l, err) : 0;
}

static int replay_done(struct load *l, const struct record *r)
{
	if (!manifest_intents_has(&l->m->intents, r->intent))
		return damaged(l, "what is done was never begun");
	manifest_intents_drop(&l->m->intents, r->intent);
	return 0;
}

static int replay(struct load *l, const struct record *r)
{
	if (r->sealed.seq <= l->last_seq)
		return damaged(l, "seq does not rise");
	if (r->sealed.seq >= l->header->next_seq)
		return damaged(l, "seq is above the header's");
	if (r->sealed.id >= l->header->next_id)
		return damaged(l, "the file id is above the header's");
	l->last_seq = r->sealed.seq;
	switch (r->op) {
	case RECORD_SEALED:
		return replay_sealed(l, r);
	case RECORD_RM:
		return replay_rm(l, r);
	case RECORD_MVDIR:
		return replay_mvdir(l, r);
	case RECORD_INTENT:
		return replay_intent(l, r);
	case RECORD_DONE:
		return replay_done(l, r);
	}
	return damaged(l, "the line is of no known kind");
}

static int replay_line(struct load *l, const char *line, size_t len, bool apply)
{
	struct record r;
	const char *reason;
	int err = record_decode(line, len, l->m->suffix, &r, &reason);

	if (err == -EBADMSG)
		return damaged(l, reason);
	if (err)
		return failed(l, err);
	if (apply)
		err = replay(l, &r);
	record_release(&r);
	return err;
}

/* All lines of text, which must be as many as the header says. !apply: only look. */
static int replay_text(struct load *l, const char *text, size_t len, uint32_t lines, bool apply)
{
	const char *end = text + len;
	uint32_t count = 0;

	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		int err;

		if (!newline)
			return damaged(l, "the line has no end");
		err = replay_line(l, text, (size_t)(newline - text), apply);
		if (err)
			return err;
		text = newline + 1;
		count++;
		l->line++;
	}
	if (count != lines)
		return damaged(l, "the number of lines is not the header's");
	return 0;
}

/* The digest is wrong: say which line it is, where a line shows it. */
static int diagnose(struct load *l, const char *text, size_t len, uint32_t lines)
{
	uint64_t first = l->line;
	int err = replay_text(l, text, len, lines, false);

	if (err)
		return err;
	l->line = first;
	return damaged(l, "the SHA-256 of the lines from here on is not the header's");
}

static int digest(const char *text, size_t len, uint8_t *sha256)
{
	return EVP_Digest(text, len, sha256, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

int manifest_file_read_chunk(int storefd, const struct chunk *c, char **out,
			     const char **reason)
{
	uint8_t sha256[SHA256_BYTES];
	char path[64];
	size_t len;
	int err;

	manifest_file_chunk_path(path, c->number);
	*reason = "the file is missing";
	*out = NULL;
	err = io_read_file(storefd, path, c->bytes, out, &len);
	if (err == -ENOENT)
		return -EBADMSG;
	*reason = "the file's length is not the header's";
	if (err == -EFBIG || (!err && len < c->bytes))
		return -EBADMSG;
	if (!err)
		err = digest(*out, len, sha256);
	if (err)
		return err;
	*reason = NULL;
	return memcmp(sha256, c->sha256, SHA256_BYTES) == 0 ? 0 : -EBADMSG;
}

static int load_chunk(struct load *l, const struct chunk *c)
{
	CLEANUP_FREE char *text = NULL;
	const char *reason;
	int err = manifest_file_read_chunk(l->m->disk.storefd, c, &text, &reason);

	manifest_file_chunk_path(l->file, c->number);
	l->line = 1;
	if (err == -EBADMSG)
		return reason ? damaged(l, reason) : diagnose(l, text, c->bytes, c->lines);
	if (err)
		return failed(l, err);
	l->m->disk.chunk_lines += c->lines;
	return replay_text(l, text, c->bytes, c->lines, true);
}

static int load_tail(struct load *l, const char *text, size_t len)
{
	struct disk *d = &l->m->disk;
	const struct header *h = l->header;
	uint8_t sha256[SHA256_BYTES];
	uint64_t before = l->last_seq;
	int err;

	snprintf(l->file, sizeof(l->file), MANIFEST_FILE);
	l->line = 2;
	if (len != h->tail_bytes)
		return damaged(l, "the length of the lines from here on is not the header's");
	err = digest(text, len, sha256);
	if (err)
		return failed(l, err);
	if (memcmp(sha256, h->tail_sha256, SHA256_BYTES) != 0)
		return diagnose(l, text, len, h->tail_lines);
	err = replay_text(l, text, len, h->tail_lines, true);
	if (err)
		return err;
	buf_add(&d->tail, text, len);
	if (d->tail.failed || EVP_DigestUpdate(d->sha, text, len) != 1)
		return failed(l, -ENOMEM);
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
	struct chunks *chunks = &l->m->disk.chunks;
	int err;

	l->line = 1;
	if (!newline)
		return damaged(l, "the header has no end");
	err = manifest_header_decode(text, (size_t)(newline - text), &read, &reason);
	if (err == -EBADMSG)
		return damaged(l, reason);
	if (err == -EPROTO)
		snprintf(l->error->text, sizeof(l->error->text), "%s:1: %s", l->file, reason);
	if (err)
		return err == -EPROTO ? err : failed(l, err);
	l->header = &read.h;
	err = take_header(l, &read, suffix);
	for (size_t i = 0; i < chunks->count && !err; i++)
		err = load_chunk(l, &chunks->items[i]);
	if (!err)
		err = load_tail(l, newline + 1, len - (size_t)(newline + 1 - text));
	manifest_header_release(&read);
	return err;
}

int manifest_file_load(struct manifest *m, const char *suffix, struct manifest_error *error)
{
	struct load l = {.m = m, .error = error, .file = MANIFEST_FILE};
	CLEANUP_FREE char *text = NULL;
	size_t len;
	int err = io_read_file(m->disk.storefd, MANIFEST_FILE, MANIFEST_BYTES_MAX, &text, &len);

	return err ? failed(&l, err) : load_all(&l, text, len, suffix);
}

/* Call fn for each name in a directory until it returns other than 0. */
static int each_name(int storefd, const char *path,
		     int (*fn)(void *ctx, int dirfd, const char *), void *ctx)
{
	int fd = io_open(storefd, path, O_RDONLY | O_DIRECTORY, 0), err = 0;
	struct dirent *e;
	DIR *dir;

	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while (!err && (errno = 0, e = readdir(dir))) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			err = fn(ctx, dirfd(dir), e->d_name);
	}
	if (!err && errno)
		err = -errno;
	closedir(dir);
	return err;
}

static int found_any(void *ctx, int fd, const char *name)
{
	return !replace_is_temporary(name);
}

static int found_sealed(void *ctx, int fd, const char *name)
{
	return name_has_sealed_suffix(name, ctx);
}

int manifest_file_refuse_leftovers(int storefd, const char *suffix,
				   struct manifest_error *error)
{
	const char *what = MANIFEST_CHUNKS " has files";
	int r = each_name(storefd, MANIFEST_CHUNKS, found_any, NULL);

	if (r == 0 || r == -ENOENT) {
		what = "the store has sealed objects";
		r = each_name(storefd, ".", found_sealed, (void *)suffix);
	}
	if (r > 0) {
		snprintf(error->text, sizeof(error->text),
			 MANIFEST_FILE ": it is missing, but %s; " MANIFEST_REPAIR, what);
		return -EBADMSG;
	}
	if (r < 0)
		snprintf(error->text, sizeof(error->text), "%s: %s", NAME_PRIVATE,
			 strerror(-r));
	return r;
}

static int make_dir(int parentfd, const char *name)
{
	if (mkdirat(parentfd, name, 0700) == 0)
		return io_syncdir(parentfd, ".");
	return errno == EEXIST ? 0 : -errno;
}

int manifest_file_make_dirs(int storefd)
{
	CLEANUP_FD int fd = -1;
	int err = make_dir(storefd, NAME_PRIVATE);

	if (err)
		return err;
	fd = io_open(storefd, NAME_PRIVATE, O_RDONLY | O_DIRECTORY, 0);
	return fd < 0 ? fd : make_dir(fd, "chunks");
}

static int remove_name(int dirfd, const char *name)
{
	int err = io_unlink(dirfd, name, 0);

	if (err && err != -ENOENT)
		log_warning(NAME_PRIVATE ": %s cannot be removed: %s", name, strerror(-err));
	return 0;
}

/* Which number does a chunk file have? 0 if the name is no chunk's. */
static uint32_t chunk_number(const char *name)
{
	if (strspn(name, "0123456789") != 8 || strcmp(name + 8, ".jsonl") != 0)
		return 0;
	return (uint32_t)strtoul(name, NULL, 10);
}

static int sweep_name(void *ctx, int dirfd, const char *name)
{
	struct disk *d = ctx;
	uint32_t number = chunk_number(name);

	if (replace_is_temporary(name))
		return remove_name(dirfd, name);
	for (size_t i = 0; i < d->chunks.count; i++) {
		if (d->chunks.items[i].number == number)
			return 0;
	}
	return number ? remove_name(dirfd, name) : 0;
}

void manifest_file_sweep(struct disk *d)
{
	d->sweep = each_name(d->storefd, MANIFEST_CHUNKS, sweep_name, d) != 0;
}

static int sweep_temporary(void *ctx, int dirfd, const char *name)
{
	if (strncmp(name, "manifest.", 9) != 0 || !replace_is_temporary(name))
		return 0;
	return remove_name(dirfd, name);
}

void manifest_file_sweep_temporaries(int storefd)
{
	each_name(storefd, NAME_PRIVATE, sweep_temporary, NULL);
}

static int highest_number(void *ctx, int dirfd, const char *name)
{
	uint32_t *next = ctx, number = chunk_number(name);

	*next = MAX(*next, number + 1);
	return 0;
}

uint32_t manifest_file_next_chunk(const struct disk *d)
{
	uint32_t next = 1;

	for (size_t i = 0; i < d->chunks.count; i++)
		next = MAX(next, d->chunks.items[i].number + 1);
	each_name(d->storefd, MANIFEST_CHUNKS, highest_number, &next);
	return next;
}
