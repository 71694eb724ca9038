/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A line becomes a table of fields first, and is checked from there. Lines as record.c writes
 * them (flat, no blanks, no escapes) are taken apart by scan(), since a mount reads every line
 * of the archive and json-c alone would take several times as long; whatever scan() does not
 * know goes to json-c, which decides. Both fill the same table, so the checks are shared.
 */
#include "lib/record_impl.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "lib/name.h"

#define JSON_DEPTH_MAX 8

#define FIELD_NAME(id, name)                                                                   \
	{name, sizeof(name) - 1, name " is missing, or is not what it must be"},
static const struct {
	const char *name;
	size_t len;
	const char *reason;
} field_table[F_COUNT] = {FIELDS(FIELD_NAME)};

const char *record_fields_reason(unsigned k)
{
	return field_table[k].reason;
}

/* The field of this name at or, going round, after `hint`; F_COUNT if there is none. */
static unsigned find_field(const char *name, size_t len, unsigned hint)
{
	for (unsigned i = 0; i < F_COUNT; i++) {
		unsigned k = (hint + i) % F_COUNT;

		if (field_table[k].len == len && memcmp(field_table[k].name, name, len) == 0)
			return k;
	}
	return F_COUNT;
}

#define EACH_BYTE(c) ((uint64_t)(c) * (UINT64_MAX / 255))
#define HIGH_BITS EACH_BYTE(0x80)

/* Is one of these eight bytes a quote, a backslash or a control? May say so when none is, but
 * says so when one is. */
static bool has_special(uint64_t x)
{
	uint64_t quote = x ^ EACH_BYTE('"'), backslash = x ^ EACH_BYTE('\\');

	return (((quote - EACH_BYTE(1)) & ~quote) | ((backslash - EACH_BYTE(1)) & ~backslash) |
		((x - EACH_BYTE(0x20)) & ~x)) &
	       HIGH_BITS;
}

/* A string without escapes, from its quote on. Returns the byte behind it, NULL for another. */
static const char *scan_string(const char *p, const char *end, struct field *f, uint64_t *bits)
{
	const char *start = ++p;
	uint64_t x;

	for (; end - p >= 8; p += 8) {
		memcpy(&x, p, 8);
		if (has_special(x))
			break;
		*bits |= x;
	}
	while (p < end && *p != '"') {
		if (*p == '\\' || (unsigned char)*p < 0x20)
			return NULL;
		*bits |= (unsigned char)*p++;
	}
	if (p == end)
		return NULL;
	*f = (struct field){.kind = STRING, .s = start, .len = (uint32_t)(p - start)};
	return p + 1;
}

/* A number that is 0 or more, without fraction and exponent. */
static const char *scan_number(const char *p, const char *end, struct field *f)
{
	const char *start = p;
	uint64_t v = 0;

	for (; p < end && *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return NULL;
	}
	if (p == start || (*start == '0' && p - start > 1))
		return NULL;
	*f = (struct field){.kind = NUMBER, .number = v};
	return p;
}

/* Take apart a line of the plainest form; false if it is of another, whatever that may be. */
static bool scan(struct record_fields *f, const char *p, size_t len)
{
	const char *line = p, *end = p + len;
	uint64_t bits = 0;
	unsigned hint = 0;

	if (p == end || *p != '{')
		return false;
	do {
		struct field key, value;
		unsigned k;

		if (++p == end || *p != '"')
			return false;
		p = scan_string(p, end, &key, &bits);
		if (!p || end - p < 2 || *p++ != ':')
			return false;
		p = *p == '"' ? scan_string(p, end, &value, &bits)
			      : scan_number(p, end, &value);
		if (!p || p == end)
			return false;
		k = find_field(key.s, key.len, hint);
		if (k == F_COUNT)
			continue;
		if (f->fields[k].kind != ABSENT)
			return false;
		f->fields[k] = value;
		hint = k + 1;
	} while (*p == ',');
	return *p == '}' && p + 1 == end && (!(bits & HIGH_BITS) || name_is_utf8(line, len));
}

/* json-c gives UINT64_MAX for every number above it: then only the exact digits are believed.
 */
static bool exact_max(const char *line, size_t len, unsigned k)
{
	char text[64];
	int n =
	    snprintf(text, sizeof(text), "\"%s\":18446744073709551615", field_table[k].name);
	const char *at = memmem(line, len, text, (size_t)n);

	return at && at + n < line + len && (at[n] < '0' || at[n] > '9');
}

static struct field field_of(struct json_object *o, const char *line, size_t len, unsigned k)
{
	struct field f = {.kind = OTHER};

	if (json_object_is_type(o, json_type_string)) {
		f.kind = STRING;
		f.s = json_object_get_string(o);
		f.len = (uint32_t)json_object_get_string_len(o);
	} else if (json_object_is_type(o, json_type_int) && json_object_get_int64(o) >= 0) {
		f.number = json_object_get_uint64(o);
		if (f.number < UINT64_MAX || exact_max(line, len, k))
			f.kind = NUMBER;
	}
	return f;
}

/* Any JSON object of one line. */
static int parse(struct record_fields *f, const char *line, size_t len)
{
	struct json_tokener *tok = json_tokener_new_ex(JSON_DEPTH_MAX);
	struct json_object *o;
	bool ok;

	/* json-c 0.16 does not look whether it got this, and crashes. */
	if (!tok || !tok->pb) {
		if (tok)
			json_tokener_free(tok);
		return -ENOMEM;
	}
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(tok, line, (int)len);
	ok = json_tokener_get_error(tok) == json_tokener_success &&
	     json_tokener_get_parse_end(tok) == len && json_object_is_type(o, json_type_object);
	json_tokener_free(tok);
	if (!ok) {
		json_object_put(o);
		return -EBADMSG;
	}
	json_object_object_foreach(o, key, value)
	{
		unsigned k = find_field(key, strlen(key), 0);

		if (k < F_COUNT)
			f->fields[k] = field_of(value, line, len, k);
	}
	f->parsed = o;
	return 0;
}

int record_fields_init(struct record_fields *f, const char *line, size_t len)
{
	memset(f, 0, sizeof(*f));
	if (scan(f, line, len))
		return 0;
	memset(f, 0, sizeof(*f));
	return parse(f, line, len);
}

void record_fields_release(struct record_fields *f)
{
	json_object_put(f->parsed);
}
