/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Salvage: the lenient twin of manifest_load.c. Nothing here refuses; what cannot be believed is
 * left out, or marked. The lines are applied by the same code (manifest_replay.c), one by one,
 * so that a line that contradicts the others falls out alone.
 *
 * A damaged header is searched as text: a digest of 64 digits is there or is not, whatever is
 * wrong around it.
 */
#include "lib/manifest_rebuild.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/io.h"
#include "lib/manifest_load.h"

#define FILE_BYTES_MAX ((size_t)1 << 30)
/* No number of ours gets there; one that does was damaged, and would end the counting. */
#define NUMBER_MAX ((uint64_t)1 << 62)

struct reading {
	struct manifest_salvage *out;
	struct load load;
	struct manifest_error error; /* what a line that was left out had against it */
	struct header limits;
	manifest_note *note;
	void *ctx;
	size_t head_len;      /* of the first line in out->text */
	bool doubtful;	      /* the piece at hand */
	bool leftover;	      /* … is no part of the manifest, most likely */
	uint32_t last_listed; /* the highest chunk file that the header names */
	bool tail_is_verified;
	uint64_t met_seq, met_id;
};

/* ---- the header as text ---- */

static size_t first_line(const struct manifest_salvage *s)
{
	const char *end = s->text ? memchr(s->text, '\n', s->text_len) : NULL;

	return end ? (size_t)(end - s->text) : s->text_len;
}

/* What follows key in the first line; NULL if it is not there. */
static const char *find_text(const struct manifest_salvage *s, const char *from,
			     const char *key)
{
	const char *end = s->text + first_line(s), *p;

	p = from && from < end ? memmem(from, (size_t)(end - from), key, strlen(key)) : NULL;
	return p ? p + strlen(key) : NULL;
}

static uint64_t find_number(const struct manifest_salvage *s, const char *key)
{
	const char *p = find_text(s, s->text, key);
	unsigned long long v = p ? strtoull(p, NULL, 10) : 0;

	return v < NUMBER_MAX ? v : 0;
}

static char *find_suffix(const struct manifest_salvage *s)
{
	const char *p = find_text(s, s->text, "\"suffix\":\"");
	size_t len = p ? strcspn(p, "\"\n") : 0;
	char *suffix = len && len <= NAME_SUFFIX_BYTES ? strndup(p, len) : NULL;

	if (suffix && name_check_suffix(suffix) == 0)
		return suffix;
	free(suffix);
	return NULL;
}

static void guess_header(struct manifest_salvage *s)
{
	if (!s->text)
		return;
	s->suffix = find_suffix(s);
	s->generation = find_number(s, "\"generation\":");
	s->next_seq = find_number(s, "\"next_seq\":");
	s->next_id = find_number(s, "\"next_id\":");
}

/* A newer format's, or one of ours whose format number is all that was damaged? */
static bool is_newer(const struct manifest_salvage *s, size_t len)
{
	CLEANUP_FREE char *copy = strndup(s->text, len);
	const char *digit = find_text(s, s->text, "{\"notepackfs\":"), *reason;
	struct header_read read;

	if (!copy || !digit)
		return true;
	copy[digit - s->text] = '1';
	if (manifest_header_decode(copy, len, &read, &reason) != 0)
		return true;
	manifest_header_release(&read);
	return false;
}

int manifest_salvage_header(int storefd, struct manifest_salvage *out)
{
	struct header_read read;
	const char *reason;
	size_t len;
	int err;

	memset(out, 0, sizeof(*out));
	err = io_read_file(storefd, MANIFEST_FILE, FILE_BYTES_MAX, &out->text, &out->text_len);
	if (err)
		return err == -ENOMEM ? err : 0;
	len = first_line(out);
	err = len < out->text_len ? manifest_header_decode(out->text, len, &read, &reason)
				  : -EBADMSG;
	if (err == -ENOMEM || (err == -EPROTO && is_newer(out, len)))
		return err;
	if (err) {
		guess_header(out);
		return 0;
	}
	out->header_is_right = true;
	out->suffix = read.suffix;
	out->exclude = read.exclude;
	out->generation = read.h.generation;
	out->next_seq = read.h.next_seq;
	out->next_id = read.h.next_id;
	read.suffix = read.exclude = NULL;
	manifest_header_release(&read);
	return 0;
}

/* ---- pieces ---- */

__attribute__((format(printf, 2, 3))) static void say(struct reading *r, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->note(r->ctx, text);
}

/* Does the header vouch for these bytes? */
static bool is_verified(const struct reading *r, const char *data, size_t len)
{
	char text[2 * SHA256_BYTES + 1];
	uint8_t sha256[SHA256_BYTES];

	if (!r->out->text || EVP_Digest(data, len, sha256, NULL, EVP_sha256(), NULL) != 1)
		return false;
	hex_encode(sha256, SHA256_BYTES, text);
	return memmem(r->out->text, r->head_len, text, sizeof(text) - 1) != NULL;
}

/* What came after the records so far is not all known. */
static void lose_piece(struct reading *r)
{
	struct manifest *m = r->out->m;

	r->out->lost_pieces++;
	manifest_intents_truncate(&m->intents, 0);
	for (struct node *n = manifest_mem_first(&m->mem); n; n = manifest_mem_next(n))
		n->stale = !n->removed;
}

/* A doubtful line does not take the place of another, unless it is the newer of two of one object. */
static bool counts(const struct reading *r, const struct record *rec)
{
	const struct node *n;
	struct sealed old;

	if (rec->sealed.seq >= NUMBER_MAX || rec->sealed.id >= NUMBER_MAX)
		return false;
	if (!r->doubtful || rec->op == RECORD_MVDIR)
		return true;
	if (rec->op != RECORD_SEALED)
		return false;
	n = manifest_mem_find(&r->out->m->mem, rec->sealed.id, rec->sealed.part);
	if (!n)
		return true;
	if (!n->doubtful || n->removed || r->leftover)
		return false;
	manifest_node_facts(n, &old);
	return memcmp(old.sha256, rec->sealed.sha256, SHA256_BYTES) == 0;
}

/* 1: it was left out. */
static int take_record(struct reading *r, const struct record *rec)
{
	struct node *n;
	int err;

	if (!counts(r, rec))
		return 1;
	r->load.last_seq = 0; /* the order is the files', whatever a damaged line says */
	err = manifest_load_replay(&r->load, rec);
	if (err == -EBADMSG)
		return 1;
	if (err)
		return err;
	n = manifest_mem_find(&r->out->m->mem, rec->sealed.id, rec->sealed.part);
	if (rec->op == RECORD_SEALED && n)
		n->doubtful = r->doubtful;
	return 0;
}

static int take_line(struct reading *r, const char *line, size_t len)
{
	const char *suffix = r->out->m->suffix, *reason;
	struct record rec = {0};
	int err = record_decode(line, len, suffix, &rec, &reason);

	if (err)
		return err == -EBADMSG ? 1 : err;
	if (rec.sealed.seq < NUMBER_MAX && rec.sealed.id < NUMBER_MAX) {
		r->met_seq = MAX(r->met_seq, rec.sealed.seq);
		r->met_id = MAX(r->met_id, rec.sealed.id);
	}
	err = take_record(r, &rec);
	record_release(&rec);
	return err == 1 ? 0 : err;
}

static int take_lines(struct reading *r, const char *text, size_t len, uint64_t *lost)
{
	const char *end = text + len;
	int err = 0;

	for (*lost = 0; text < end && err >= 0;) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((newline ? newline : end) - text);

		err = take_line(r, text, n);
		*lost += err == 1;
		text += n + 1;
	}
	return MIN(err, 0);
}

static int take_piece(struct reading *r, const char *file, const char *text, size_t len)
{
	uint64_t lost;
	int err;

	r->doubtful = !is_verified(r, text, len);
	r->leftover = r->leftover && r->doubtful;
	if (r->doubtful && !r->leftover)
		lose_piece(r);
	err = take_lines(r, text, len, &lost);
	r->out->lost_lines += lost;
	if (err || r->leftover)
		return err;
	if (lost)
		say(r, "%s: %llu of its lines say nothing any more", file,
		    (unsigned long long)lost);
	else if (r->doubtful)
		say(r,
		    "%s: its SHA-256 is not the manifest's; its lines are good for hints only",
		    file);
	return 0;
}

/* ---- chunk files ---- */

/* Is it in the header's list? */
static bool is_listed(const struct reading *r, uint32_t number)
{
	char key[32];

	snprintf(key, sizeof(key), "\"file\":\"%08u.jsonl\"", number);
	return r->out->text && find_text(r->out, r->out->text, key) != NULL;
}

static int take_chunk(struct reading *r, uint32_t number)
{
	CLEANUP_FREE char *text = NULL;
	char path[64];
	size_t len;
	int err;

	/* What a fold, or a repair, left that was cut short: numbers count up. */
	r->leftover =
	    !is_listed(r, number) &&
	    (r->out->header_is_right || (number > r->last_listed && r->tail_is_verified));
	if (r->leftover && r->out->header_is_right)
		return 0;
	manifest_file_chunk_path(path, number);
	err = io_read_file(r->load.m->disk.storefd, path, FILE_BYTES_MAX, &text, &len);
	if (!err)
		return take_piece(r, path, text, len);
	lose_piece(r);
	say(r, "%s: %s", path, err == -ENOENT ? "is missing" : strerror(-err));
	return err == -ENOMEM ? err : 0;
}

/* Those that the header lists, there or not. */
static int add_listed(struct reading *r, struct chunks *list)
{
	const struct manifest_salvage *s = r->out;
	const char *p = s->text;
	int err = 0;

	while (!err && p && (p = find_text(s, p, "\"file\":\""))) {
		struct chunk c = {.number = (uint32_t)strtoul(p, NULL, 10)};

		if (c.number == 0 || c.number > MANIFEST_CHUNK_NUMBER_MAX)
			continue;
		err = manifest_chunks_add(list, &c);
		r->last_listed = MAX(r->last_listed, c.number);
	}
	return err;
}

static int by_number(const void *a, const void *b)
{
	const struct chunk *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static int take_chunks(struct reading *r)
{
	struct chunks list = {0};
	int err = manifest_file_chunks(r->load.m->disk.storefd, &list);

	if (!err && r->out->text)
		err = add_listed(r, &list);
	if (!err && list.count)
		qsort(list.items, list.count, sizeof(*list.items), by_number);
	for (size_t i = 0; i < list.count && !err; i++) {
		if (i == 0 || list.items[i].number != list.items[i - 1].number)
			err = take_chunk(r, list.items[i].number);
	}
	free(list.items);
	return err;
}

/* What is behind the first line; NULL: there is no such line. */
static const char *tail_text(const struct reading *r, size_t *len)
{
	const struct manifest_salvage *s = r->out;

	if (!s->text || r->head_len == s->text_len)
		return NULL;
	*len = s->text_len - r->head_len - 1;
	return s->text + r->head_len + 1;
}

static int take_tail(struct reading *r)
{
	const struct manifest_salvage *s = r->out;
	size_t len;
	const char *tail = tail_text(r, &len);

	if (!tail) {
		lose_piece(r);
		say(r, MANIFEST_FILE ": %s",
		    !s->text	  ? "is missing, or cannot be read"
		    : s->text_len ? "has no line behind the first"
				  : "is empty");
		return 0;
	}
	if (!s->header_is_right)
		say(r, MANIFEST_FILE ": its first line is damaged");
	r->leftover = false;
	return take_piece(r, MANIFEST_FILE, tail, len);
}

/* ---- the whole ---- */

static int list_records(struct manifest_salvage *s)
{
	const struct memory *mem = &s->m->mem;

	s->records = calloc(mem->count + 1, sizeof(*s->records));
	if (!s->records)
		return -ENOMEM;
	for (const struct node *n = manifest_mem_first(mem); n; n = manifest_mem_next(n)) {
		struct manifest_old *old = &s->records[s->count];

		manifest_node_facts(n, &old->sealed);
		old->dir = n->dir->path;
		old->plain = manifest_node_plain(n);
		old->removed = n->removed;
		old->doubtful = n->doubtful && !n->removed;
		old->stale = n->stale && !n->removed;
		s->count++;
	}
	return 0;
}

int manifest_salvage_lines(int storefd, const char *suffix, manifest_note *note, void *ctx,
			   struct manifest_salvage *s)
{
	struct reading r = {.out = s, .note = note, .ctx = ctx, .head_len = first_line(s)};
	const char *tail;
	size_t len;
	int err;

	s->m = manifest_new_memory(storefd);
	if (!s->m)
		return -ENOMEM;
	s->m->suffix = strdup(suffix);
	r.limits.next_seq = r.limits.next_id = UINT64_MAX;
	r.load = (struct load){.m = s->m, .error = &r.error, .header = &r.limits};
	tail = tail_text(&r, &len);
	r.tail_is_verified = tail && is_verified(&r, tail, len);
	err = s->m->suffix ? take_chunks(&r) : -ENOMEM;
	if (!err)
		err = take_tail(&r);
	if (!err)
		err = list_records(s);
	if (!err)
		err = manifest_copy_intents(s->m);
	s->next_seq = MAX(s->next_seq, r.met_seq + 1);
	s->next_id = MAX(s->next_id, MAX(r.met_id + 1, MANIFEST_FIRST_ID));
	return err;
}

bool manifest_salvage_was_removed(const struct manifest_salvage *s, uint64_t id, uint32_t part)
{
	const struct node *n = manifest_mem_find(&s->m->mem, id, part);

	return n && n->removed;
}

size_t manifest_salvage_intents(const struct manifest_salvage *s,
				const struct manifest_intent **out)
{
	return manifest_intents(s->m, out);
}

void manifest_salvage_release(struct manifest_salvage *s)
{
	manifest_close(s->m);
	free(s->records);
	free(s->suffix);
	free(s->exclude);
	free(s->text);
	memset(s, 0, sizeof(*s));
}
