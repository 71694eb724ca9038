/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file id is one file's, and never used again: a record of it replaces the one that there is. But
 * a raw file has its id in an attribute, which goes with a copy that someone makes of it in the
 * store.
 */
#include "lib/recovery_impl.h"

#include <fcntl.h>

#include "lib/io.h"
#include "lib/log.h"
#include "lib/raw.h"

struct claim {
	uint64_t id;
	struct found_raw *raw;
	bool taken; /* by a file of other records, or by another raw file */
};

struct claims {
	struct claim *list;
	size_t count;
};

/* Of those that claim one id the file that has records is the first. */
static int by_id(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	int r;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	if (x->raw->recorded != y->raw->recorded)
		return x->raw->recorded ? -1 : 1;
	r = strcmp(x->raw->at.dir, y->raw->at.dir);
	return r ? r : strcmp(x->raw->at.name, y->raw->at.name);
}

static void take(struct claims *c, uint64_t id)
{
	size_t low = 0, high = c->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (c->list[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < c->count && c->list[low].id == id; low++)
		c->list[low].taken = true;
}

static int take_record(void *ctx, const struct sealed *rec, const char *dir, const char *plain)
{
	take(ctx, rec->id);
	return 0;
}

static int renew(struct store *s, struct found_raw *raw)
{
	CLEANUP_FD int dfd = recovery_open_dir(s, raw->at.dir);
	CLEANUP_FD int fd = dfd < 0 ? dfd : io_open(dfd, raw->at.name, O_RDWR | O_NOFOLLOW, 0);
	struct raw_mark mark = {.base = raw->base}; /* its bytes remain the same */
	int err = fd < 0 ? fd : manifest_new_id(s->manifest, &mark.id);

	if (!err)
		err = raw_write_mark(s, fd, &mark);
	if (err)
		return err;
	log_notice(PLACE_FORMAT ": its file id is another file's; it gets one of its own",
		   PLACE_PATH(raw->at.dir, raw->at.name));
	recovery_event_at(s, "got a file id of its own", raw->at.dir, raw->at.name);
	raw->id = mark.id;
	return 0;
}

int recovery_ids(struct store *s, struct differences *diff)
{
	const struct manifest_removal *removals;
	size_t removal_count = manifest_removals(s->manifest, &removals);
	struct claims c = {.list = calloc(diff->raw_count + 1, sizeof(*c.list))};
	int err = 0;

	if (!c.list)
		return -ENOMEM;
	for (size_t i = 0; i < diff->raw_count; i++) {
		if (diff->raws[i].id && !diff->raws[i].gone)
			c.list[c.count++] =
			    (struct claim){.id = diff->raws[i].id, .raw = &diff->raws[i]};
	}
	qsort(c.list, c.count, sizeof(*c.list), by_id);
	if (c.count > 0)
		err = manifest_each(s->manifest, take_record, &c);
	for (size_t i = 0; i < removal_count && c.count > 0; i++)
		take(&c, removals[i].id);
	for (size_t i = 0; i < c.count && !err; i++) {
		bool second = i > 0 && c.list[i].id == c.list[i - 1].id;

		if ((c.list[i].taken || second) && !c.list[i].raw->recorded)
			err = renew(s, c.list[i].raw);
		if (err)
			err = recovery_leave(s, c.list[i].raw, err);
	}
	free(c.list);
	return err;
}
