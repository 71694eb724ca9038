/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reader half: from the table of fields (record_fields.c) to a checked record. Everything
 * is refused that the writer would not have written, but members that it does not know are
 * ignored, so that a later version can add some.
 */
#include "lib/record.h"

#include <errno.h>
#include <string.h>

#include "lib/name.h"
#include "lib/record_impl.h"

#define NS_PER_S 1000000000U
/* Two paths of RECORD_PATH_BYTES, each byte escaped as six, and the rest. */
#define LINE_BYTES_MAX (1 << 20)

struct decoder {
	struct record_fields in;
	const char *suffix;
	const char *reason; /* the first thing that was wrong */
	char *room;	    /* for the next string */
	bool no_memory;
};

static bool wrong(struct decoder *d, const char *reason)
{
	if (!d->reason)
		d->reason = reason;
	return false;
}

static bool get_number(struct decoder *d, unsigned k, uint64_t min, uint64_t max, uint64_t *out)
{
	const struct field *f = &d->in.fields[k];

	if (f->kind != NUMBER || f->number < min || f->number > max)
		return wrong(d, record_fields_reason(k));
	*out = f->number;
	return true;
}

static bool get_number32(struct decoder *d, unsigned k, uint32_t min, uint32_t max,
			 uint32_t *out)
{
	uint64_t v = 0;

	if (!get_number(d, k, min, max, &v))
		return false;
	*out = (uint32_t)v;
	return true;
}

/* The value of a lower-case hex digit, and 16 more; 0 for other bytes. */
static const uint8_t hex_digits[256] = {['0'] = 16, 17, 18,	    19, 20, 21, 22, 23,
					24,	    25, ['a'] = 26, 27, 28, 29, 30, 31};

static bool get_hex(struct decoder *d, unsigned k, uint8_t *out, size_t len)
{
	const struct field *f = &d->in.fields[k];
	const uint8_t *s = (const uint8_t *)f->s;
	uint8_t all = 16;

	if (f->kind != STRING || f->len != 2 * len)
		return wrong(d, record_fields_reason(k));
	for (size_t i = 0; i < len; i++) {
		uint8_t high = hex_digits[s[2 * i]], low = hex_digits[s[2 * i + 1]];

		all &= high & low;
		out[i] = (uint8_t)(high << 4 | (low & 15));
	}
	return all ? true : wrong(d, record_fields_reason(k));
}

/* Digits without a needless zero in front; returns how many, 0 if there are none or too many.
 */
static size_t time_seconds(const char *s, size_t len, uint64_t *out)
{
	size_t n = 0;

	for (*out = 0; n < len && s[n] >= '0' && s[n] <= '9'; n++) {
		if (n == 10)
			return 0;
		*out = *out * 10 + (uint64_t)(s[n] - '0');
	}
	return n > 1 && s[0] == '0' ? 0 : n;
}

static bool get_time(struct decoder *d, unsigned k, int64_t *out)
{
	const struct field *f = &d->in.fields[k];
	uint64_t v, fraction = 0;
	const char *s = f->s;
	size_t len = f->len, n;
	bool negative;

	if (f->kind != STRING || len == 0)
		return wrong(d, record_fields_reason(k));
	negative = s[0] == '-';
	s += negative;
	len -= negative;
	n = time_seconds(s, len, &v);
	if (n == 0 || len != n + 10 || s[n] != '.')
		return wrong(d, record_fields_reason(k));
	for (size_t i = n + 1; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return wrong(d, record_fields_reason(k));
		fraction = fraction * 10 + (uint64_t)(s[i] - '0');
	}
	v = v * NS_PER_S + fraction;
	if (v > (uint64_t)INT64_MAX + negative || (negative && v == 0))
		return wrong(d, record_fields_reason(k));
	*out = negative ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

/* Room for the strings of a line: those of its fields, each with an end, and for split(). */
static bool make_room(struct decoder *d, struct record *out)
{
	static const uint8_t paths[] = {F_PATH, F_PATH_B64, F_PLAIN, F_PLAIN_B64,
					F_FROM, F_FROM_B64, F_TO,    F_TO_B64};
	size_t need = 0;

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		need += 2 + (d->in.fields[paths[i]].kind == STRING ? d->in.fields[paths[i]].len
								   : 0);
	d->room = out->text;
	if (need <= out->text_size)
		return true;
	free(out->text);
	out->text_size = 0;
	d->room = out->text = malloc(need);
	d->no_memory = !d->room;
	if (d->room)
		out->text_size = need;
	return d->room != NULL;
}

/* Append what a base64 string says; its length, 0 if it is none. */
static size_t add_base64(struct decoder *d, const struct field *f)
{
	CLEANUP_BUF struct buf b = {0};

	if (!buf_base64_decode(&b, f->s, f->len))
		return 0;
	d->no_memory = b.failed;
	if (b.len && !b.failed)
		memcpy(d->room, b.data, b.len);
	return b.failed ? 0 : b.len;
}

/* A string from field k, or from k + 1 in base64: exactly one of the two. */
static char *get_path(struct decoder *d, unsigned k)
{
	const struct field *f = &d->in.fields[k], *b64 = &d->in.fields[k + 1];
	char *path = d->room;
	size_t len = f->len;

	if ((f->kind == STRING) == (b64->kind == STRING) ||
	    (f->kind != ABSENT && b64->kind != ABSENT))
		goto out_wrong;
	if (f->kind == STRING)
		memcpy(path, f->s, len);
	else
		len = add_base64(d, b64);
	if (d->no_memory)
		return NULL;
	if (!len || memchr(path, '\0', len))
		goto out_wrong;
	path[len] = '\0';
	d->room += len + 2;
	return path;

out_wrong:
	wrong(d, record_fields_reason(k));
	return NULL;
}

/* path in place, which has one byte more behind its end: out->dir is the string up to its last
 * slash; returns the last component. */
static const char *split(char *path, struct record *out)
{
	char *slash = strrchr(path, '/');

	out->dir = path;
	if (!slash) {
		memmove(path + 1, path, strlen(path) + 1);
		slash = path;
	}
	*slash = '\0';
	return slash + 1;
}

/* path into out->dir and *object. */
static bool get_object_path(struct decoder *d, struct record *out, const char **object)
{
	char *path = get_path(d, F_PATH);

	if (!path)
		return false;
	if (!record_path_ok(path))
		return wrong(d, "path is not a path in the store");
	*object = split(path, out);
	return true;
}

static bool get_notepack(struct decoder *d, struct sealed *s)
{
	s->is_notepack = d->in.fields[F_RECORDS].kind != ABSENT ||
			 d->in.fields[F_FIRST_CREATED_AT].kind != ABSENT ||
			 d->in.fields[F_LAST_CREATED_AT].kind != ABSENT;
	if (!s->is_notepack)
		return true;
	return get_number(d, F_RECORDS, 0, UINT64_MAX, &s->records) &&
	       get_number(d, F_FIRST_CREATED_AT, 0, UINT64_MAX, &s->first_created_at) &&
	       get_number(d, F_LAST_CREATED_AT, 0, UINT64_MAX, &s->last_created_at);
}

static bool get_codec(struct decoder *d, struct sealed *s)
{
	const struct field *f = &d->in.fields[F_CODEC];
	uint32_t level;

	if (!get_number32(d, F_LEVEL, 0, RECORD_LEVEL_MAX, &level))
		return false;
	s->level = (uint8_t)level;
	for (unsigned i = 0; f->kind == STRING && record_codec_name(i); i++) {
		if (strlen(record_codec_name(i)) == f->len &&
		    memcmp(record_codec_name(i), f->s, f->len) == 0) {
			s->codec = (uint8_t)i;
			return true;
		}
	}
	return wrong(d, record_fields_reason(F_CODEC));
}

static bool get_crc(struct decoder *d, struct sealed *s)
{
	uint8_t crc[4];

	if (!get_hex(d, F_CRC32, crc, sizeof(crc)))
		return false;
	s->crc32 =
	    (uint32_t)crc[0] << 24 | (uint32_t)crc[1] << 16 | (uint32_t)crc[2] << 8 | crc[3];
	return true;
}

static bool get_identity(struct decoder *d, struct sealed *s)
{
	return get_number(d, F_ID, 1, UINT64_MAX - 1, &s->id) &&
	       get_number32(d, F_PART, 1, NAME_PART_MAX, &s->part) &&
	       get_hex(d, F_SHA256, s->sha256, SHA256_BYTES);
}

/* Is object the name of this part of plain? */
static bool is_object(const char *object, const char *plain, uint32_t part, const char *suffix)
{
	size_t stem = name_stem_len(plain, suffix), len = strlen(suffix);
	char expected[NAME_BYTES + 1];

	/* The usual case, without printing. */
	if (part == 1)
		return strncmp(object, plain, stem) == 0 &&
		       strncmp(object + stem, suffix, len) == 0 &&
		       strcmp(object + stem + len, ".gz") == 0;
	return name_sealed(plain, part, suffix, expected) == 0 && strcmp(expected, object) == 0;
}

static bool decode_sealed(struct decoder *d, struct record *out)
{
	struct sealed *s = &out->sealed;
	const char *object, *reason;

	if (!get_identity(d, s) || !get_number(d, F_OFFSET, 0, INT64_MAX, &s->offset) ||
	    !get_number(d, F_RAW_SIZE, 0, INT64_MAX, &s->raw_bytes) ||
	    !get_number(d, F_GZ_SIZE, 0, INT64_MAX, &s->gz_bytes) ||
	    !get_hex(d, F_RAW_SHA256, s->raw_sha256, SHA256_BYTES) || !get_crc(d, s) ||
	    !get_notepack(d, s) || !get_time(d, F_MTIME, &s->mtime_ns) ||
	    !get_time(d, F_SEALED_AT, &s->sealed_at_ns) ||
	    !get_number32(d, F_MODE, 0, 07777, &s->mode) ||
	    !get_number32(d, F_UID, 0, UINT32_MAX, &s->uid) ||
	    !get_number32(d, F_GID, 0, UINT32_MAX, &s->gid) || !get_codec(d, s))
		return false;
	out->name = get_path(d, F_PLAIN);
	if (!out->name || !get_object_path(d, out, &object))
		return false;
	reason = record_check_sealed(s, out->dir, out->name, d->suffix);
	if (reason)
		return wrong(d, reason);
	if (!is_object(object, out->name, s->part, d->suffix))
		return wrong(d, "path and plain do not belong together");
	return true;
}

static bool decode_rm(struct decoder *d, struct record *out)
{
	size_t stem;
	uint32_t part;

	if (!get_identity(d, &out->sealed) || !get_object_path(d, out, &out->name))
		return false;
	if (!name_parse_sealed(out->name, d->suffix, &stem, &part) || part != out->sealed.part)
		return wrong(d, "path and part do not belong together");
	return true;
}

static bool decode_from_to(struct decoder *d, struct record *out)
{
	out->from = get_path(d, F_FROM);
	if (!out->from)
		return false;
	out->to = get_path(d, F_TO);
	if (!out->to)
		return false;
	return record_move_ok(out->from, out->to) || wrong(d, "from and to are no rename");
}

static bool decode_op(struct decoder *d, struct record *out)
{
	static const char *const names[] = {[RECORD_RM] = "rm",
					    [RECORD_MVDIR] = "mvdir",
					    [RECORD_INTENT] = "intent",
					    [RECORD_DONE] = "done"};
	const struct field *f = &d->in.fields[F_OP];
	unsigned op;

	if (f->kind == ABSENT) {
		out->op = RECORD_SEALED;
		return true;
	}
	for (op = RECORD_RM; f->kind == STRING && op < ARRAY_LEN(names); op++) {
		if (strlen(names[op]) == f->len && memcmp(names[op], f->s, f->len) == 0) {
			out->op = (enum record_op)op;
			return true;
		}
	}
	return wrong(d, "op is not known");
}

static bool decode_fields(struct decoder *d, struct record *out)
{
	if (!get_number(d, F_SEQ, 1, UINT64_MAX, &out->sealed.seq) || !decode_op(d, out))
		return false;
	switch (out->op) {
	case RECORD_SEALED:
		return decode_sealed(d, out);
	case RECORD_RM:
		return decode_rm(d, out);
	case RECORD_MVDIR:
		return decode_from_to(d, out);
	case RECORD_INTENT:
		return get_number(d, F_ID, 0, UINT64_MAX - 1, &out->sealed.id) &&
		       decode_from_to(d, out);
	case RECORD_DONE:
		return get_number(d, F_INTENT, 1, UINT64_MAX, &out->intent);
	}
	return false;
}

int record_decode(const char *line, size_t len, const char *suffix, struct record *out,
		  const char **reason)
{
	struct decoder d = {.suffix = suffix};
	int err = -EBADMSG;

	*out = (struct record){.text = out->text, .text_size = out->text_size};
	*reason = "this is no JSON object";
	if (len <= LINE_BYTES_MAX)
		err = record_fields_init(&d.in, line, len);
	if (err) {
		record_release(out);
		return err;
	}
	if (!make_room(&d, out) || !decode_fields(&d, out))
		err = d.no_memory ? -ENOMEM : -EBADMSG;
	record_fields_release(&d.in);
	if (err) {
		record_release(out);
		*reason = d.reason ? d.reason : "there is no memory";
	}
	return err;
}
