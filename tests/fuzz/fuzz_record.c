/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One line of a manifest. The first byte chooses the store's suffix, the rest is the line.
 *
 * What is decoded can be encoded, and that is decoded to the same; each of its members stands in the
 * line; its paths are paths in the store. A line that record_fields.c takes apart by itself means the same with a blank in it, which
 * makes json-c take it apart.
 */
#include <errno.h>

#include "lib/name.h"
#include "lib/record.h"
#include "tests/fuzz/fuzz.h"

static void encode(struct buf *b, const struct record *r, const char *suffix)
{
	char object[NAME_BYTES + 1];

	switch (r->op) {
	case RECORD_SEALED:
		MUST(name_sealed(r->name, r->sealed.part, suffix, object) == 0);
		record_encode_sealed(b, &r->sealed, r->dir, object, r->name);
		break;
	case RECORD_RM:
		record_encode_rm(b, r->sealed.seq, &r->sealed, r->dir, r->name);
		break;
	case RECORD_MVDIR:
		record_encode_mvdir(b, r->sealed.seq, r->from, r->to);
		break;
	case RECORD_INTENT:
		record_encode_intent(b, r->sealed.seq, r->sealed.id, r->from, r->to);
		break;
	case RECORD_DONE:
		record_encode_done(b, r->sealed.seq, r->intent);
		break;
	}
	MUST(!b->failed && b->len > 0 && b->data[b->len - 1] == '\n');
	MUST(!memchr(b->data, '\n', b->len - 1));
}

static void check_paths(const struct record *r, const char *suffix)
{
	char path[RECORD_PATH_BYTES + 2 + NAME_BYTES + 1];
	uint32_t part;
	size_t stem;

	if (r->op == RECORD_MVDIR || r->op == RECORD_INTENT) {
		MUST(record_move_ok(r->from, r->to));
	} else if (r->op == RECORD_SEALED) {
		MUST(!record_check_sealed(&r->sealed, r->dir, r->name, suffix));
		MUST(name_sealed(r->name, r->sealed.part, suffix, path) == 0);
		MUST(name_parse_sealed(path, suffix, &stem, &part));
		MUST(part == r->sealed.part && stem == name_stem_len(r->name, suffix));
	}
	if (r->op == RECORD_SEALED || r->op == RECORD_RM) {
		int n =
		    snprintf(path, sizeof(path), "%s%s%s", r->dir, *r->dir ? "/" : "", r->name);

		MUST(n > 0 && (size_t)n < sizeof(path));
		MUST(record_path_ok(path));
		MUST(!strchr(r->name, '/'));
	}
}

/* Is each member of text, a line that was encoded, in the line that was decoded? Where they cannot be
 * spelled otherwise. */
static void check_members(const char *line, size_t len, const struct buf *text)
{
	const char *p = text->data + 1, *last = text->data + text->len - 2;

	if (memchr(line, '\\', len) || memchr(line, ' ', len) || memchr(line, '\t', len) ||
	    memchr(line, '\n', len) || memchr(line, '\r', len) ||
	    memmem(line, len, "_b64", 4) || memmem(line, len, ":-", 2) ||
	    memchr(text->data, '\\', text->len) || memmem(text->data, text->len, "_b64", 4))
		return;
	while (p < last) {
		const char *end = strchr(p + 1, '"') + 2; /* the value */

		end = *end == '"' ? strchr(end + 1, '"') + 1 : end + strcspn(end, ",}");
		MUST(memmem(line, len, p, (size_t)(end - p)));
		p = end + 1;
	}
}

/* Decode, and have what it means in b, as text. The result of record_decode. */
static int decode(const char *line, size_t len, const char *suffix, struct record *r,
		  struct buf *b)
{
	CLEANUP_FREE uint8_t *copy = fuzz_copy(line, len);
	const char *reason = NULL;
	int err = record_decode((char *)copy, len, suffix, r, &reason);

	MUST(err == 0 || (err == -EBADMSG && reason && *reason));
	if (err)
		return err;
	check_paths(r, suffix);
	encode(b, r, suffix);
	check_members(line, len, b);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const suffixes[] = {".notepack", ".x", ".p", ".longword"};
	struct input in = {data, size};
	const char *suffix = suffixes[input_below(&in, ARRAY_LEN(suffixes))];
	CLEANUP_BUF struct buf once = {0}, twice = {0}, blank = {0}, spaced = {0};
	CLEANUP_RECORD struct record r = {0}; /* its memory is used again, as a loader does */
	int err = decode((const char *)in.p, in.len, suffix, &r, &once);

	if (!err) {
		MUST(decode(once.data, once.len - 1, suffix, &r, &twice) == 0);
		MUST(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
	}
	if (in.len == 0 || in.p[0] != '{')
		return 0;
	buf_str(&blank, "{ ");
	buf_add(&blank, in.p + 1, in.len - 1);
	MUST(decode(blank.data, blank.len, suffix, &r, &spaced) == err);
	MUST(once.len == spaced.len);
	MUST(once.len == 0 || memcmp(once.data, spaced.data, once.len) == 0);
	return 0;
}
