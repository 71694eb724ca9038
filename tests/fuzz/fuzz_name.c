/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names and globs. The input: the number of a part (4 bytes), then four strings, each ended by a
 * NUL: a suffix, a name, a path, globs.
 *
 * Sealed names are taken apart to what they were made of; what counts as a name is told alike by
 * all who ask; globs match what fnmatch(3) says of the components. Names in base64 come back.
 */
#include <errno.h>
#include <fnmatch.h>

#include "lib/buf.h"
#include "lib/name.h"
#include "tests/fuzz/fuzz.h"

#define STARS_MAX 4 /* fnmatch(3) may take exponential time, in what the user has written */

static char *next_string(struct input *in, size_t max)
{
	size_t n = strnlen((const char *)in->p, MIN(in->len, max));
	char *s = input_string(in, n);

	(void)input_byte(in);
	return s;
}

static bool same_name(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

/* A plain name that is good, and its sealed names. */
static void check_plain(const char *plain, uint32_t part, const char *suffix)
{
	char sealed[NAME_BYTES + 1], again[NAME_BYTES + 1], stem_text[NAME_BYTES + 1];
	size_t stem = 0, stem_len = name_stem_len(plain, suffix);
	uint32_t parsed = 0;

	MUST(stem_len > 0 && stem_len <= strlen(plain));
	MUST(strlen(plain) <= NAME_PLAIN_BYTES);
	if (name_sealed(plain, part, suffix, sealed) != 0) {
		MUST(part > 1 && stem_len == NAME_PLAIN_BYTES);
		return;
	}
	MUST(strlen(sealed) <= NAME_BYTES);
	MUST(name_has_sealed_suffix(sealed, suffix));
	MUST(name_parse_sealed(sealed, suffix, &stem, &parsed));
	MUST(parsed == part && stem == stem_len && memcmp(sealed, plain, stem) == 0);
	snprintf(stem_text, sizeof(stem_text), "%.*s", (int)stem, sealed);
	if (!name_stem_needs_suffix(stem_text, stem, suffix)) {
		MUST(name_sealed(stem_text, part, suffix, again) == 0);
		MUST(same_name(sealed, again));
	}
	MUST(name_is_import(sealed, suffix) || part > 1 ||
	     name_stem_needs_suffix(stem_text, stem, suffix));
}

/* What a sealed name is taken apart to makes it again. */
static void check_stem(const char *name, size_t stem, uint32_t part, const char *suffix)
{
	bool needs = name_stem_needs_suffix(name, stem, suffix);
	char plain[2 * NAME_BYTES], sealed[NAME_BYTES + 1];

	snprintf(plain, sizeof(plain), "%.*s%s", (int)stem, name, needs ? suffix : "");
	MUST(name_check_plain(plain, suffix) != -EINVAL);
	MUST(name_sealed(plain, part, suffix, sealed) == 0 && same_name(sealed, name));
}

static void check_refused(const char *import, const char *suffix)
{
	char refused[NAME_BYTES + 1];

	for (unsigned n = 1; n < 12; n++) {
		int err = name_refused(import, n, refused);

		MUST(err == 0 || err == -ENAMETOOLONG);
		MUST(err || name_is_refused(refused, suffix) ||
		     !name_has_sealed_suffix(import, suffix));
		MUST(err || !name_has_sealed_suffix(refused, suffix));
	}
}

static void check_name(const char *name, uint32_t part, const char *suffix)
{
	uint32_t parsed = 0;
	size_t stem = 0;

	if (*name && name_check_plain(name, suffix) == 0)
		check_plain(name, part, suffix);
	if (name_parse_sealed(name, suffix, &stem, &parsed)) {
		MUST(name_has_sealed_suffix(name, suffix));
		MUST(stem > 0 && stem < strlen(name));
		MUST(parsed >= 1 && parsed <= NAME_PART_MAX);
		check_stem(name, stem, parsed, suffix);
	}
	if (name_is_import(name, suffix))
		MUST(parsed == 1 && stem <= NAME_PLAIN_BYTES);
	if (name_is_refused(name, suffix))
		MUST(strlen(name) <= NAME_BYTES && !name_has_sealed_suffix(name, suffix));
	check_refused(name, suffix);
}

/* ---- globs ---- */

static bool reference_match(const char *list, const char *name)
{
	char *copy = strdup(list), *save = NULL;
	bool found = false;

	if (!copy)
		abort();
	for (char *g = strtok_r(copy, ":", &save); g; g = strtok_r(NULL, ":", &save))
		found = found || fnmatch(g, name, 0) == 0;
	free(copy);
	return found;
}

static bool reference_match_path(const char *list, const char *path)
{
	char *copy = strdup(path), *save = NULL;
	bool found = false;

	if (!copy)
		abort();
	for (char *c = strtok_r(copy, "/", &save); c; c = strtok_r(NULL, "/", &save))
		found = found || (strlen(c) <= NAME_BYTES && reference_match(list, c));
	free(copy);
	return found;
}

static size_t stars(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += *s == '*';
	return n;
}

static void check_globs(const char *list, const char *name, const char *path)
{
	struct globs g;

	MUST(globs_init(&g, list) == 0);
	for (size_t i = 0; i < g.count; i++)
		MUST(*g.pattern[i] && !strchr(g.pattern[i], ':'));
	if (stars(list) <= STARS_MAX) {
		MUST(globs_match(&g, name) == reference_match(list, name));
		MUST(globs_match_path(&g, path) == reference_match_path(list, path));
	}
	globs_release(&g);
}

/* ---- as text ---- */

static void check_text(const char *name)
{
	CLEANUP_BUF struct buf json = {0}, back = {0};
	static const char plain[] = "\"k\":\"", coded[] = "\"k_b64\":\"";
	size_t len = strlen(name);

	buf_json_path(&json, "k", name, len);
	MUST(!json.failed);
	if (name_is_utf8(name, len)) {
		MUST(strncmp(json.data, plain, strlen(plain)) == 0);
		return;
	}
	MUST(strncmp(json.data, coded, strlen(coded)) == 0);
	MUST(buf_base64_decode(&back, json.data + strlen(coded), json.len - strlen(coded) - 1));
	MUST(back.len == len && memcmp(back.data, name, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint32_t part = input_u32(&in) % NAME_PART_MAX + 1;
	CLEANUP_FREE char *suffix = next_string(&in, 16);
	CLEANUP_FREE char *name = next_string(&in, NAME_BYTES);
	CLEANUP_FREE char *path = next_string(&in, 1024);
	CLEANUP_FREE char *globs = next_string(&in, 256);
	CLEANUP_BUF struct buf decoded = {0};

	if (name_check_suffix(suffix) == 0)
		check_name(name, part, suffix);
	else
		check_name(name, part, NAME_DEFAULT_SUFFIX);
	check_globs(globs, name, path);
	check_text(name);
	(void)buf_base64_decode(&decoded, path, strlen(path));
	return 0;
}
