/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The raw files come directory by directory. So when the first of one is asked for, the stems of all that
 * are left of it are put into a table, and one walk through the directory's records finds what belongs to
 * each: a walk for each would take minutes where a thousand files were open in a directory of a million.
 * Only the keys are kept, since judging one raw file may remove records; none is added meanwhile.
 */
#include "lib/recovery_impl.h"

struct record_key {
	uint64_t id;
	uint32_t part;
};

struct stem {
	struct record_key *keys;
	size_t count, size;
	UT_hash_handle hh;
	char name[];
};

static void forget(struct raw_records *r)
{
	struct stem *stem, *next;

	HASH_ITER (hh, r->stems, stem, next) {
		HASH_DEL(r->stems, stem);
		free(stem->keys);
		free(stem);
	}
	free(r->dir);
	r->dir = NULL;
}

void recovery_records_release(struct raw_records *r)
{
	forget(r);
}

static struct stem *find_stem(const struct raw_records *r, const char *plain,
			      const char *suffix)
{
	struct stem *stem;

	HASH_FIND(hh, r->stems, plain, name_stem_len(plain, suffix), stem);
	return stem;
}

static int add_stem(struct raw_records *r, const char *plain, const char *suffix)
{
	size_t len = name_stem_len(plain, suffix);
	struct stem *stem = find_stem(r, plain, suffix);

	if (stem)
		return 0;
	stem = calloc(1, sizeof(*stem) + len + 1);
	if (!stem)
		return -ENOMEM;
	memcpy(stem->name, plain, len);
	HASH_ADD_KEYPTR(hh, r->stems, stem->name, len, stem);
	if (stem->hh.tbl)
		return 0;
	free(stem);
	return -ENOMEM;
}

struct collecting {
	const struct raw_records *records;
	const char *suffix;
};

static int add_key(void *ctx, const struct sealed *rec, const char *dir, const char *plain)
{
	const struct collecting *c = ctx;
	struct stem *stem = find_stem(c->records, plain, c->suffix);

	if (!stem)
		return 0;
	if (stem->count == stem->size) {
		size_t size = stem->size ? stem->size * 2 : 4;
		struct record_key *keys = realloc(stem->keys, size * sizeof(*keys));

		if (!keys)
			return -ENOMEM;
		stem->keys = keys;
		stem->size = size;
	}
	stem->keys[stem->count++] = (struct record_key){.id = rec->id, .part = rec->part};
	return 0;
}

/* Those of the directory of raw file i. */
static int collect(struct store *s, struct raw_records *r, const struct differences *diff,
		   size_t i)
{
	const char *dir = diff->raws[i].at.dir;
	struct collecting c = {.records = r, .suffix = store_suffix(s)};
	int err = 0;

	forget(r);
	r->dir = strdup(dir);
	if (!r->dir)
		return -ENOMEM;
	for (; i < diff->raw_count && !err && strcmp(diff->raws[i].at.dir, dir) == 0; i++)
		err = add_stem(r, diff->raws[i].at.name, c.suffix);
	if (!err)
		err = manifest_each_in_dir(s->manifest, dir, add_key, &c);
	if (err)
		forget(r);
	return err;
}

int recovery_records(struct store *s, struct raw_records *r, const struct differences *diff,
		     size_t i, int (*fn)(void *ctx, const struct sealed *rec), void *ctx)
{
	const struct found_raw *raw = &diff->raws[i];
	const struct stem *stem = NULL;
	int err = 0;

	if (r->dir && strcmp(r->dir, raw->at.dir) == 0)
		stem = find_stem(r, raw->at.name, store_suffix(s));
	if (!stem) {
		err = collect(s, r, diff, i);
		if (err)
			return err;
		stem = find_stem(r, raw->at.name, store_suffix(s));
	}
	for (size_t k = 0; k < stem->count && !err; k++) {
		struct sealed rec;

		if (manifest_get(s->manifest, stem->keys[k].id, stem->keys[k].part, &rec))
			err = fn(ctx, &rec);
	}
	return err;
}
