/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The header line. Its last member is the SHA-256 of the line up to it, so that a flipped bit
 * in it is found before anything in it is believed; chunks and tail are found wrong by the
 * digests that it holds.
 */
#include "lib/manifest_impl.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define FORMAT 1
#define CHUNK_NAME_BYTES 14 /* 00000001.jsonl */
#define SEAL_START ",\"sha256\":\""
#define SEAL_END "\"}"
#define SEAL_BYTES (sizeof(SEAL_START) - 1 + 2 * SHA256_BYTES + sizeof(SEAL_END) - 1)

static void add_sha256(struct buf *b, const uint8_t *sha256)
{
	char text[2 * SHA256_BYTES + 1];

	hex_encode(sha256, SHA256_BYTES, text);
	buf_printf(b, "\"sha256\":\"%s\"", text);
}

static void add_files(struct buf *b, const struct header *h)
{
	buf_str(b, ",\"chunks\":[");
	for (size_t i = 0; i < h->chunks->count; i++) {
		const struct chunk *c = &h->chunks->items[i];

		buf_printf(b, "%s{\"file\":\"%08u.jsonl\",\"lines\":%u,\"bytes\":%llu,",
			   i ? "," : "", c->number, c->lines, (unsigned long long)c->bytes);
		add_sha256(b, c->sha256);
		buf_str(b, "}");
	}
	buf_printf(b, "],\"tail\":{\"lines\":%u,\"bytes\":%llu,", h->tail_lines,
		   (unsigned long long)h->tail_bytes);
	add_sha256(b, h->tail_sha256);
	buf_str(b, "}");
}

void manifest_header_encode(struct buf *b, const struct header *h, bool files)
{
	uint8_t sha256[SHA256_BYTES];
	size_t start = b->len;

	buf_printf(b, "{\"notepackfs\":%d,\"generation\":%llu,\"suffix\":", FORMAT,
		   (unsigned long long)h->generation);
	buf_json_string(b, h->suffix, strlen(h->suffix));
	buf_str(b, ",");
	buf_json_path(b, "exclude", h->exclude, strlen(h->exclude));
	buf_printf(b, ",\"clean\":%s,\"next_seq\":%llu,\"next_id\":%llu",
		   h->clean ? "true" : "false", (unsigned long long)h->next_seq,
		   (unsigned long long)h->next_id);
	if (files)
		add_files(b, h);
	if (b->failed)
		return;
	if (EVP_Digest(b->data + start, b->len - start, sha256, NULL, EVP_sha256(), NULL) !=
	    1) {
		b->failed = true;
		return;
	}
	buf_str(b, ",");
	add_sha256(b, sha256);
	buf_str(b, "}\n");
}

static bool seal_is_right(const char *line, size_t len)
{
	uint8_t expected[SHA256_BYTES], sha256[SHA256_BYTES];
	char text[2 * SHA256_BYTES + 1];
	const char *seal;

	if (len < SEAL_BYTES)
		return false;
	seal = line + len - SEAL_BYTES;
	if (memcmp(seal, SEAL_START, sizeof(SEAL_START) - 1) != 0 ||
	    memcmp(line + len - 2, SEAL_END, 2) != 0)
		return false;
	memcpy(text, seal + sizeof(SEAL_START) - 1, 2 * SHA256_BYTES);
	text[2 * SHA256_BYTES] = '\0';
	if (hex_decode(text, SHA256_BYTES, expected) != 0)
		return false;
	return EVP_Digest(line, len - SEAL_BYTES, sha256, NULL, EVP_sha256(), NULL) == 1 &&
	       memcmp(sha256, expected, SHA256_BYTES) == 0;
}

/* Is it the header of a format that this version does not know? */
static bool is_other_format(const char *line, size_t len)
{
	static const char start[] = "{\"notepackfs\":";
	size_t n = sizeof(start) - 1, digits = 0;

	if (len < n || memcmp(line, start, n) != 0)
		return false;
	while (n + digits < len && line[n + digits] >= '0' && line[n + digits] <= '9')
		digits++;
	return digits > 1 || (digits == 1 && line[n] > '0' + FORMAT);
}

static struct json_object *get(struct json_object *o, const char *key, enum json_type type)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, type))
		return NULL;
	return v;
}

static bool get_number(struct json_object *o, const char *key, uint64_t min, uint64_t max,
		       uint64_t *out)
{
	struct json_object *v = get(o, key, json_type_int);

	if (!v || json_object_get_int64(v) < 0)
		return false;
	*out = json_object_get_uint64(v);
	return *out >= min && *out <= max;
}

/* A string without NUL bytes; NULL if it is none. Borrowed. */
static const char *get_string(struct json_object *o, const char *key)
{
	struct json_object *v = get(o, key, json_type_string);
	const char *s = v ? json_object_get_string(v) : NULL;

	return s && strlen(s) == (size_t)json_object_get_string_len(v) ? s : NULL;
}

static bool get_sha256(struct json_object *o, uint8_t *out)
{
	const char *s = get_string(o, "sha256");

	return s && strlen(s) == 2 * SHA256_BYTES && hex_decode(s, SHA256_BYTES, out) == 0;
}

static bool get_chunk(struct json_object *o, struct chunk *c)
{
	const char *file = get_string(o, "file");
	uint64_t lines;

	if (!file || strlen(file) != CHUNK_NAME_BYTES || strspn(file, "0123456789") != 8 ||
	    strcmp(file + 8, ".jsonl") != 0)
		return false;
	c->number = (uint32_t)strtoul(file, NULL, 10);
	if (!get_number(o, "lines", 1, MANIFEST_CHUNK_LINES, &lines) ||
	    !get_number(o, "bytes", 1, SIZE_MAX / 2, &c->bytes) || !get_sha256(o, c->sha256))
		return false;
	c->lines = (uint32_t)lines;
	return c->number > 0;
}

int manifest_chunks_add(struct chunks *list, const struct chunk *c)
{
	if (list->count == list->size) {
		size_t size = list->size ? 2 * list->size : 16;
		struct chunk *items = realloc(list->items, size * sizeof(*items));

		if (!items)
			return -ENOMEM;
		list->items = items;
		list->size = size;
	}
	list->items[list->count++] = *c;
	return 0;
}

static int get_chunks(struct json_object *o, struct header_read *out)
{
	struct json_object *list = get(o, "chunks", json_type_array);

	if (!list)
		return -EBADMSG;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct chunk c = {0};
		int err;

		if (!get_chunk(json_object_array_get_idx(list, i), &c))
			return -EBADMSG;
		err = manifest_chunks_add(&out->chunks, &c);
		if (err)
			return err;
	}
	out->h.chunks = &out->chunks;
	return 0;
}

static bool get_tail(struct json_object *o, struct header *h)
{
	struct json_object *tail = get(o, "tail", json_type_object);
	uint64_t lines;

	if (!tail || !get_number(tail, "lines", 0, UINT32_MAX, &lines) ||
	    !get_number(tail, "bytes", 0, SIZE_MAX / 2, &h->tail_bytes) ||
	    !get_sha256(tail, h->tail_sha256))
		return false;
	h->tail_lines = (uint32_t)lines;
	return true;
}

/* exclude, or exclude_b64, as a new string. */
static int get_exclude(struct json_object *o, char **out)
{
	const char *s = get_string(o, "exclude"), *b64 = get_string(o, "exclude_b64");
	struct buf b = {0};

	if (!s == !b64)
		return -EBADMSG;
	buf_str(&b, s ? s : "");
	if (b64 && !buf_base64_decode(&b, b64, strlen(b64))) {
		buf_release(&b);
		return -EBADMSG;
	}
	*out = b.data;
	return b.failed ? -ENOMEM : 0;
}

static int get_header(struct json_object *o, struct header_read *out, const char **reason)
{
	struct header *h = &out->h;
	const char *suffix = get_string(o, "suffix");
	struct json_object *clean = get(o, "clean", json_type_boolean);
	int err;

	*reason = "a member of the header is missing, or is not what it must be";
	if (!suffix || name_check_suffix(suffix) != 0 || !clean ||
	    !get_number(o, "generation", 1, UINT64_MAX - 1, &h->generation) ||
	    !get_number(o, "next_seq", 1, UINT64_MAX, &h->next_seq) ||
	    !get_number(o, "next_id", 1, UINT64_MAX, &h->next_id) || !get_tail(o, h))
		return -EBADMSG;
	h->clean = json_object_get_boolean(clean);
	err = get_chunks(o, out);
	if (!err)
		err = get_exclude(o, &out->exclude);
	if (err)
		return err;
	out->suffix = strdup(suffix);
	h->suffix = out->suffix;
	h->exclude = out->exclude;
	return out->suffix ? 0 : -ENOMEM;
}

static struct json_object *parse(const char *line, size_t len)
{
	struct json_tokener *tok = json_tokener_new();
	struct json_object *o;

	/* json-c 0.16 does not look whether it got this, and crashes. */
	if (!tok || !tok->pb) {
		if (tok)
			json_tokener_free(tok);
		return NULL;
	}
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(tok, line, (int)len);
	json_tokener_free(tok);
	return o;
}

int manifest_header_decode(const char *line, size_t len, struct header_read *out,
			   const char **reason)
{
	struct json_object *o;
	int err;

	memset(out, 0, sizeof(*out));
	*reason = "the header is of a newer format";
	if (is_other_format(line, len))
		return -EPROTO;
	*reason = "the header's checksum is wrong";
	if (len > INT_MAX || !seal_is_right(line, len))
		return -EBADMSG;
	*reason = "the header is no JSON object";
	o = parse(line, len);
	err = json_object_is_type(o, json_type_object) ? get_header(o, out, reason) : -EBADMSG;
	json_object_put(o);
	if (err)
		manifest_header_release(out);
	return err;
}

void manifest_header_release(struct header_read *r)
{
	free(r->chunks.items);
	free(r->suffix);
	free(r->exclude);
	memset(r, 0, sizeof(*r));
}
