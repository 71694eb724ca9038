/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/name.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GZ ".gz"
#define INVALID ".invalid"
#define PART_DIGITS 9
#define PART_BYTES (2 + PART_DIGITS) /* ".p000000002" */

size_t name_stem_len(const char *plain, const char *suffix)
{
	size_t len = strlen(plain), n = strlen(suffix);

	if (len > n && memcmp(plain + len - n, suffix, n) == 0)
		return len - n;
	return len;
}

int name_sealed(const char *plain, uint32_t part, const char *suffix, char *out)
{
	int stem = (int)name_stem_len(plain, suffix);
	int n;

	if (part == 1)
		n = snprintf(out, NAME_BYTES + 1, "%.*s%s" GZ, stem, plain, suffix);
	else
		n = snprintf(out, NAME_BYTES + 1, "%.*s.p%09u%s" GZ, stem, plain,
			     (unsigned)part, suffix);
	return n > NAME_BYTES ? -ENAMETOOLONG : 0;
}

/* Bytes of name before suffix + ".gz"; 0 if it does not end so. */
static size_t before_sealed_suffix(const char *name, const char *suffix)
{
	size_t len = strlen(name), n = strlen(suffix);

	if (len <= n + strlen(GZ) || strcmp(name + len - strlen(GZ), GZ) != 0)
		return 0;
	len -= strlen(GZ) + n;
	return memcmp(name + len, suffix, n) == 0 ? len : 0;
}

bool name_has_sealed_suffix(const char *name, const char *suffix)
{
	return before_sealed_suffix(name, suffix) > 0;
}

/* The number in a trailing ".p" and nine digits; 0 if the len bytes do not end so. */
static uint32_t trailing_part(const char *s, size_t len)
{
	uint32_t part = 0;

	if (len <= PART_BYTES || s[len - PART_BYTES] != '.' || s[len - PART_BYTES + 1] != 'p')
		return 0;
	for (size_t i = len - PART_DIGITS; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return 0;
		part = part * 10 + (uint32_t)(s[i] - '0');
	}
	return part;
}

static bool ends_like_a_part(const char *s, size_t len)
{
	if (len <= PART_BYTES || s[len - PART_BYTES] != '.' || s[len - PART_BYTES + 1] != 'p')
		return false;
	for (size_t i = len - PART_DIGITS; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
	}
	return true;
}

bool name_parse_sealed(const char *name, const char *suffix, size_t *stem_len, uint32_t *part)
{
	size_t len = before_sealed_suffix(name, suffix);

	if (!len)
		return false;
	*part = trailing_part(name, len);
	*stem_len = *part >= 2 ? len - PART_BYTES : len;
	*part = *part >= 2 ? *part : 1;
	/* What is left is a plain name's: no file of such a one can be made (name_check_plain). */
	return !ends_like_a_part(name, *stem_len);
}

int name_check_plain(const char *plain, const char *suffix)
{
	size_t stem = name_stem_len(plain, suffix);

	if (strlen(plain) > NAME_PLAIN_BYTES)
		return -ENAMETOOLONG;
	return ends_like_a_part(plain, stem) ? -EINVAL : 0;
}

bool name_stem_needs_suffix(const char *stem, size_t len, const char *suffix)
{
	size_t n = strlen(suffix);

	return len > n && memcmp(stem + len - n, suffix, n) == 0;
}

size_t name_plain_bytes(const char *name, const char *suffix)
{
	size_t stem;
	uint32_t part;

	if (!name_parse_sealed(name, suffix, &stem, &part))
		return strlen(name);
	return stem + (name_stem_needs_suffix(name, stem, suffix) ? strlen(suffix) : 0);
}

bool name_is_import(const char *name, const char *suffix)
{
	size_t stem;
	uint32_t part;

	return name_parse_sealed(name, suffix, &stem, &part) && part == 1 &&
	       name_plain_bytes(name, suffix) <= NAME_PLAIN_BYTES;
}

bool name_is_refused(const char *name, const char *suffix)
{
	char import[NAME_BYTES + 1];
	size_t len = strlen(name), n = strlen(INVALID), digits;

	if (len <= n || len > NAME_BYTES || strcmp(name + len - n, INVALID) != 0)
		return false;
	len -= n;
	digits = len;
	while (digits > 0 && name[digits - 1] >= '0' && name[digits - 1] <= '9')
		digits--;
	if (digits < len && digits > 0 && name[digits - 1] == '.')
		len = digits - 1;
	memcpy(import, name, len);
	import[len] = '\0';
	return name_has_sealed_suffix(import, suffix);
}

bool name_is_unsealable(const char *name, const char *suffix)
{
	return name_is_refused(name, suffix) || name_check_plain(name, suffix) == -EINVAL;
}

int name_refused(const char *import, unsigned n, char *out)
{
	int len;

	if (n < 2)
		len = snprintf(out, NAME_BYTES + 1, "%s" INVALID, import);
	else
		len = snprintf(out, NAME_BYTES + 1, "%s.%u" INVALID, import, n);
	return len > NAME_BYTES ? -ENAMETOOLONG : 0;
}

int name_check_suffix(const char *suffix)
{
	size_t len = strlen(suffix);

	if (len < 2 || len > NAME_SUFFIX_BYTES || suffix[0] != '.' ||
	    !name_is_utf8(suffix, len))
		return -EINVAL;
	for (size_t i = 1; i < len; i++) {
		unsigned char c = (unsigned char)suffix[i];

		if (c <= ' ' || c == 0x7f || strchr("/*?[]\\:,", c))
			return -EINVAL;
	}
	return strcmp(suffix, GZ) == 0 ? -EINVAL : 0;
}

/* The character at s, in *out. Returns its bytes; 0: there is none. */
static size_t decode_utf8(const char *s, size_t len, uint32_t *out)
{
	const unsigned char *p = (const unsigned char *)s;
	uint32_t min, v;
	size_t bytes;

	if (len > 0 && *p < 0x80) {
		bytes = 1, min = 0, v = *p;
	} else if (len > 1 && (*p & 0xe0) == 0xc0) {
		bytes = 2, min = 0x80, v = *p & 0x1f;
	} else if (len > 2 && (*p & 0xf0) == 0xe0) {
		bytes = 3, min = 0x800, v = *p & 0x0f;
	} else if (len > 3 && (*p & 0xf8) == 0xf0) {
		bytes = 4, min = 0x10000, v = *p & 0x07;
	} else {
		return 0;
	}
	for (size_t i = 1; i < bytes; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (p[i] & 0x3f);
	}
	if (v < min || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
		return 0;
	*out = v;
	return bytes;
}

bool name_is_utf8(const char *s, size_t len)
{
	uint32_t v;

	while (len > 0) {
		size_t n = decode_utf8(s, len, &v);

		if (n == 0)
			return false;
		s += n;
		len -= n;
	}
	return true;
}

/* Characters that a terminal obeys, or that make text look like other text: the controls (C0, DEL,
 * C1), line and paragraph separators, and what changes the direction of writing. */
static bool is_control(uint32_t v)
{
	return v < 0x20 || (v >= 0x7f && v < 0xa0) || v == 0x200e || v == 0x200f ||
	       (v >= 0x2028 && v <= 0x202e) || (v >= 0x2066 && v <= 0x2069);
}

size_t name_printable(const char *s)
{
	uint32_t v = 0;
	size_t n = decode_utf8(s, strnlen(s, 4), &v);

	return n > 0 && !is_control(v) ? n : 0;
}

void name_make_printable(char *s)
{
	while (*s) {
		size_t n = name_printable(s);

		if (n == 0)
			*s = '?';
		s += n ? n : 1;
	}
}

int globs_init(struct globs *g, const char *text)
{
	memset(g, 0, sizeof(*g));
	while (text && *text) {
		size_t len = strcspn(text, ":");

		if (len) {
			char **p = realloc(g->pattern, (g->count + 1) * sizeof(*p));

			if (!p)
				goto out_release;
			g->pattern = p;
			p[g->count] = strndup(text, len);
			if (!p[g->count])
				goto out_release;
			g->count++;
		}
		text += len + (text[len] == ':');
	}
	return 0;

out_release:
	globs_release(g);
	return -ENOMEM;
}

void globs_release(struct globs *g)
{
	for (size_t i = 0; i < g->count; i++)
		free(g->pattern[i]);
	free(g->pattern);
	memset(g, 0, sizeof(*g));
}

bool globs_match(const struct globs *g, const char *name)
{
	for (size_t i = 0; i < g->count; i++) {
		if (fnmatch(g->pattern[i], name, 0) == 0)
			return true;
	}
	return false;
}

bool globs_match_path(const struct globs *g, const char *path)
{
	while (*path) {
		char component[NAME_BYTES + 1];
		size_t len = strcspn(path, "/");

		if (len && len <= NAME_BYTES) {
			memcpy(component, path, len);
			component[len] = '\0';
			if (globs_match(g, component))
				return true;
		}
		path += len + (path[len] == '/');
	}
	return false;
}
