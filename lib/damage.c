/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/damage.h"

#include <stdio.h>

#include "lib/catalog.h"
#include "lib/events.h"
#include "lib/log.h"

static struct damage *find_locked(struct store *s, uint64_t id, uint32_t part) REQUIRES(s->lock)
{
	struct damage *d;

	LL_FOREACH (s->damages, d) {
		if (d->id == id && (!part || d->part == part))
			break;
	}
	return d;
}

const struct damage *damage_find_locked(struct store *s, uint64_t id, uint32_t part)
{
	return find_locked(s, id, part);
}

static void free_one(struct damage *d)
{
	if (d)
		free(d->path);
	free(d);
}

/* Put d into the list, in place of an older one of the same part. What is not in it then is
 * freed. True if it is news. */
static bool note(struct store *s, struct damage *d)
{
	struct damage *old, *rest = d;
	bool known;

	lock_take(&s->lock);
	old = find_locked(s, d->id, d->part);
	known = old && old->offset == d->offset && strcmp(old->reason, d->reason) == 0;
	if (old && !known) {
		LL_DELETE(s->damages, old);
		s->damage_count--;
	}
	if (!known && s->damage_count < DAMAGES_MAX) {
		LL_PREPEND(s->damages, d);
		s->damage_count++;
		rest = old;
	}
	lock_drop(&s->lock);
	free_one(rest);
	return !known;
}

static struct damage *describe(const struct sealed *rec, const char *path,
			       const struct seekgz_damage *at, const char *reason)
{
	struct damage *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->path = strdup(path);
	if (!d->path) {
		free(d);
		return NULL;
	}
	d->id = rec->id;
	d->part = rec->part;
	d->offset = rec->offset + (at ? at->raw_offset : 0);
	d->gz_offset = at ? at->gz_offset : 0;
	snprintf(d->reason, sizeof(d->reason), "%s", at && at->reason ? at->reason : reason);
	return d;
}

void damage_met(struct store *s, const struct sealed *rec, const char *path,
		const struct seekgz_damage *at, const char *reason)
{
	CLEANUP_BUF struct buf more = {0};
	struct damage *d = path ? describe(rec, path, at, reason) : NULL;

	if (!d) {
		log_error("%s: damaged: %s", path ? path : "a removed file", reason);
		return;
	}
	log_error("%s: damaged at plain offset %llu, object offset %llu: %s; notepackctl check "
		  "--deep looks at all of it",
		  path, (unsigned long long)d->offset, (unsigned long long)d->gz_offset,
		  d->reason);
	buf_printf(&more, ",\"offset\":%llu,\"gz_offset\":%llu,\"error\":",
		   (unsigned long long)d->offset, (unsigned long long)d->gz_offset);
	buf_json_string(&more, d->reason, strlen(d->reason));
	if (note(s, d) && !more.failed)
		events_add(s->events, "damage", manifest_last_seq(s->manifest), path,
			   more.data);
}

void damage_healed(struct store *s, uint64_t id, uint32_t part)
{
	struct damage *d;

	lock_take(&s->lock);
	d = find_locked(s, id, part);
	if (d) {
		LL_DELETE(s->damages, d);
		s->damage_count--;
	}
	lock_drop(&s->lock);
	free_one(d);
}

static void add_one(struct buf *out, const struct damage *d, bool first)
{
	buf_str(out, first ? "{" : ",{");
	buf_json_path(out, "path", d->path, strlen(d->path));
	buf_printf(out, ",\"offset\":%llu,\"gz_offset\":%llu,\"error\":",
		   (unsigned long long)d->offset, (unsigned long long)d->gz_offset);
	buf_json_string(out, d->reason, strlen(d->reason));
	buf_str(out, "}");
}

uint64_t damage_list_locked(struct store *s, struct buf *list)
{
	const struct damage *d;
	struct sealed rec;
	uint64_t count = 0;

	LL_FOREACH (s->damages, d) {
		/* Not if it was removed since. */
		if (manifest_get(s->manifest, d->id, d->part, &rec))
			add_one(list, d, count++ == 0);
	}
	return count;
}

void damage_release(struct store *s)
{
	struct damage *d, *next;

	LL_FOREACH_SAFE (s->damages, d, next)
		free_one(d);
	s->damages = NULL;
}
