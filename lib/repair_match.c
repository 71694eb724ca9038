/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An object is its record's if it has the SHA-256 that the record says, wherever it lies now. Of
 * several that are the same, each gets the record of its own path first.
 */
#include "lib/repair_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/digest.h"
#include "lib/io.h"

#define HASH_BUFFER ((size_t)1 << 20)

/* The old records, by SHA-256. */
struct index {
	struct manifest_old **list;
	size_t count;
};

/* ---- hashing ---- */

static int feed(struct repair *r, EVP_MD_CTX *md, int fd, uint8_t *buf)
{
	uint64_t offset = 0;
	ssize_t n;

	while ((n = io_pread(fd, buf, HASH_BUFFER, offset)) > 0) {
		int err = digest_add(md, buf, (size_t)n);

		if (err)
			return err;
		offset += (uint64_t)n;
		r->done += (uint64_t)n;
		if (r->options->progress)
			r->options->progress(r->options->ctx, r->done, r->total);
	}
	return (int)n;
}

int repair_open(struct repair *r, const char *dir, const char *name)
{
	CLEANUP_FD int dfd = io_open(r->storefd, *dir ? dir : ".", O_PATH | O_DIRECTORY, 0);

	return dfd < 0 ? dfd : io_open(dfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
}

/* One that cannot be read is judged later. */
static int hash_object(struct repair *r, struct repair_object *o, uint8_t *buf)
{
	CLEANUP_FD int fd = repair_open(r, o->dir, o->name);
	EVP_MD_CTX *md = digest_new();
	int err = fd;

	if (fd >= 0)
		err = md ? 0 : -ENOMEM;
	if (!err)
		err = feed(r, md, fd, buf);
	if (!err)
		err = digest_end(md, o->sha256);
	digest_free(md);
	if (err == -ENOMEM || err == -EMFILE || err == -ENFILE)
		return err;
	o->unreadable = err != 0;
	return 0;
}

static int hash_all(struct repair *r)
{
	CLEANUP_FREE uint8_t *buf = malloc(HASH_BUFFER);
	int err = buf ? 0 : -ENOMEM;

	for (size_t i = 0; i < r->count && !err; i++)
		err = hash_object(r, &r->objects[i], buf);
	return err;
}

/* ---- the records ---- */

static int by_sha256(const void *a, const void *b)
{
	const struct manifest_old *const *x = a, *const *y = b;

	return memcmp((*x)->sealed.sha256, (*y)->sealed.sha256, SHA256_BYTES);
}

static int index_init(struct repair *r, struct index *ix)
{
	ix->count = r->salvage.count;
	ix->list = calloc(ix->count + 1, sizeof(struct manifest_old *));
	if (!ix->list)
		return -ENOMEM;
	for (size_t i = 0; i < ix->count; i++)
		ix->list[i] = &r->salvage.records[i];
	qsort(ix->list, ix->count, sizeof(struct manifest_old *), by_sha256);
	return 0;
}

/* The first that is not below. */
static size_t lower_bound(const struct index *ix, const uint8_t *sha256)
{
	size_t low = 0, high = ix->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(ix->list[middle]->sealed.sha256, sha256, SHA256_BYTES) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_at(const struct repair *r, const struct manifest_old *old,
		  const struct repair_object *o)
{
	size_t stem = name_stem_len(old->plain, r->suffix);

	return old->sealed.part == o->part && stem == o->stem &&
	       memcmp(old->plain, o->name, stem) == 0 && strcmp(old->dir, o->dir) == 0;
}

static struct manifest_old *find_record(const struct repair *r, const struct index *ix,
					const struct repair_object *o, bool removed, bool here)
{
	for (size_t i = lower_bound(ix, o->sha256); i < ix->count; i++) {
		struct manifest_old *old = ix->list[i];

		if (memcmp(old->sealed.sha256, o->sha256, SHA256_BYTES) != 0)
			break;
		if (!old->taken && old->removed == removed && old->sealed.part == o->part &&
		    (!here || is_at(r, old, o)))
			return old;
	}
	return NULL;
}

static void match(struct repair *r, const struct index *ix, bool here)
{
	for (size_t i = 0; i < r->count; i++) {
		struct repair_object *o = &r->objects[i];
		struct manifest_old *old;

		if (o->old || o->unreadable || !o->part)
			continue;
		old = find_record(r, ix, o, false, here);
		if (!old)
			continue;
		old->taken = true;
		o->old = old;
		if (old->doubtful) /* its line may be wrong in all but the SHA-256 */
			continue;
		o->rec = old->sealed;
		o->fate = REPAIR_RECORD;
		r->counts->kept++;
	}
}

/* ---- objects without ---- */

int repair_by_file(const void *a, const void *b)
{
	const struct repair_object *x = a, *y = b;
	size_t stem = MIN(x->stem, y->stem);
	int c = strcmp(x->dir, y->dir);

	if (!c)
		c = memcmp(x->name, y->name, stem);
	if (!c)
		c = x->stem < y->stem ? -1 : x->stem > y->stem;
	if (!c)
		c = x->part < y->part ? -1 : x->part > y->part;
	return c;
}

/* Have the verified records that nothing has by its bytes found by their names. */
static void match_names(struct repair *r, struct manifest_old **named)
{
	for (size_t i = 0; i < r->salvage.count; i++) {
		struct manifest_old *old = &r->salvage.records[i];
		struct repair_object key = {.dir = old->dir,
					    .name = (char *)old->plain,
					    .stem = name_stem_len(old->plain, r->suffix),
					    .part = old->sealed.part};
		struct repair_object *o;

		if (old->taken || old->removed || old->doubtful || !r->count)
			continue;
		o = bsearch(&key, r->objects, r->count, sizeof(*r->objects), repair_by_file);
		if (o)
			named[o - r->objects] = old;
	}
}

static int decide(struct repair *r, const struct index *ix, struct repair_object *o,
		  struct manifest_old *named)
{
	if (o->fate != REPAIR_UNDECIDED)
		return 0;
	if (o->excluded && !named && !o->old) {
		o->fate = REPAIR_IGNORE;
		return 0;
	}
	if (!o->old && !o->unreadable && o->part && find_record(r, ix, o, true, true)) {
		o->fate = REPAIR_LEAVE;
		repair_say(r, REPAIR_NOTE, o->dir, o->name,
			   "its removal was begun; the next mount completes it");
		return 0;
	}
	return repair_judge(r, o, named);
}

int repair_match(struct repair *r)
{
	struct manifest_old **named = calloc(r->count + 1, sizeof(*named));
	struct index ix = {0};
	int err = named ? index_init(r, &ix) : -ENOMEM;

	if (!err)
		err = hash_all(r);
	if (!err) {
		match(r, &ix, true);
		match(r, &ix, false);
		if (r->count)
			qsort(r->objects, r->count, sizeof(*r->objects), repair_by_file);
		match_names(r, named);
	}
	for (size_t i = 0; i < r->count && !err; i++)
		err = decide(r, &ix, &r->objects[i], named[i]);
	free(named);
	free(ix.list);
	return err;
}
