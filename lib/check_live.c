/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The second look of a live check.
 *
 * A daemon renames an object first and commits the record afterwards, for a batch at once; the
 * rename of a sealed file may be committed as late as 5 s after it. So what disagrees with the
 * manifest is looked at again in a newer one, for a little longer than that.
 */
#include "lib/check_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/bytes.h"
#include "lib/io.h"

#define ROUNDS 6
#define FIRST_PAUSE_NS 100000000 /* doubled each round: 6.3 s in all */

static void suspect_free(struct check_suspect *s)
{
	free(s->dir);
	free(s->name);
	free(s);
}

int check_suspect(struct check *c, const char *dir, const char *name,
		  const struct sealed *sealed, const struct check_verdict *v)
{
	struct check_suspect *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->dir = strdup(dir);
	s->name = strdup(name);
	if (!s->dir || !s->name) {
		suspect_free(s);
		return -ENOMEM;
	}
	if (sealed) {
		s->sealed = *sealed;
		s->key.id = sealed->id;
		s->key.part = sealed->part;
	}
	s->verdict = *v;
	s->next = c->suspects;
	c->suspects = s;
	return 0;
}

void check_suspects_free(struct check *c)
{
	while (c->suspects) {
		struct check_suspect *s = c->suspects;

		c->suspects = s->next;
		suspect_free(s);
	}
}

struct round {
	struct check_suspect *by_key;
	const char *suffix;
};

static int replace_string(char **s, const char *with)
{
	char *copy = strdup(with);

	if (!copy)
		return -ENOMEM;
	free(*s);
	*s = copy;
	return 0;
}

/* A record of the new manifest: is it one that we ask for? */
static int find_record(void *ctx, const struct sealed *sealed, const char *dir,
		       const char *plain)
{
	struct round *r = ctx;
	struct check_suspect probe = {.key = {sealed->id, sealed->part}}, *s;
	char object[NAME_BYTES + 1];
	int err;

	HASH_FIND(hh, r->by_key, &probe.key, sizeof(probe.key), s);
	if (!s)
		return 0;
	err = name_sealed(plain, sealed->part, r->suffix, object);
	if (!err)
		err = replace_string(&s->dir, dir);
	if (!err)
		err = replace_string(&s->name, object);
	s->sealed = *sealed;
	s->found = true;
	return err;
}

/* An object without a record: has it got one by now? */
struct wanted {
	const char *name, *suffix;
	struct sealed sealed;
	bool found;
};

static int match_object(void *ctx, const struct sealed *sealed, const char *dir,
			const char *plain)
{
	struct wanted *w = ctx;
	char object[NAME_BYTES + 1];

	if (name_sealed(plain, sealed->part, w->suffix, object) != 0 ||
	    strcmp(object, w->name) != 0)
		return 0;
	w->sealed = *sealed;
	w->found = true;
	return 1;
}

/* Returns 0 with s->verdict, CHECK_GOOD if there is nothing left to ask. */
static int look_again(struct check *c, struct check_suspect *s, const char *path)
{
	if (s->key.id && !s->found) { /* removed meanwhile */
		s->verdict.outcome = CHECK_GOOD;
		return 0;
	}
	if (!s->key.id) {
		struct wanted w = {.name = s->name, .suffix = manifest_suffix(c->manifest)};
		struct stat st;
		int r = io_stat(c->storefd, path, &st);

		if (r == 0)
			r = manifest_each_in_dir(c->manifest, s->dir, match_object, &w);
		if (r == -ENOENT || r == -ENOTDIR)
			s->verdict.outcome = CHECK_GOOD;
		if (r < 0 || !w.found)
			return r == -ENOMEM ? r : 0;
		s->sealed = w.sealed; /* published since: it was not among the records then */
	}
	return check_object(c, c->storefd, path, &s->sealed, &s->verdict);
}

static int look_again_and_count(struct check *c, struct check_suspect *s)
{
	CLEANUP_FREE char *path = check_join(s->dir, s->name);
	int err = path ? look_again(c, s, path) : -ENOMEM;

	if (!err && s->verdict.outcome == CHECK_GOOD && s->found)
		check_count_good(c, &s->sealed);
	return err;
}

static int find_records(struct check *c)
{
	struct round r = {.suffix = manifest_suffix(c->manifest)};
	int err = 0;

	for (struct check_suspect *s = c->suspects; s && !err; s = s->next) {
		s->found = false;
		if (!s->key.id)
			continue;
		HASH_ADD(hh, r.by_key, key, sizeof(s->key), s);
		err = s->hh.tbl ? 0 : -ENOMEM;
	}
	if (!err)
		err = manifest_each(c->manifest, find_record, &r);
	HASH_CLEAR(hh, r.by_key);
	return err;
}

/* Look at every suspect in the manifest as it is now; drop the good ones. */
static int one_round(struct check *c)
{
	struct check_suspect **link = &c->suspects;
	int err = find_records(c);

	while (*link && !err) {
		struct check_suspect *s = *link;

		err = look_again_and_count(c, s);
		if (!err && s->verdict.outcome == CHECK_GOOD) {
			*link = s->next;
			suspect_free(s);
		} else {
			link = &s->next;
		}
	}
	return err;
}

static int reload(struct check *c)
{
	struct manifest *fresh;
	int err = check_load(c->storefd, &fresh, c->error);

	if (err)
		return err;
	manifest_close(c->manifest);
	c->manifest = fresh;
	return 0;
}

int check_suspects(struct check *c)
{
	int64_t pause_ns = FIRST_PAUSE_NS;
	int err = 0;

	for (int i = 0; i < ROUNDS && c->suspects && !err; i++, pause_ns *= 2) {
		struct timespec pause = {.tv_sec = pause_ns / 1000000000,
					 .tv_nsec = pause_ns % 1000000000};

		nanosleep(&pause, NULL);
		err = reload(c);
		if (!err)
			err = one_round(c);
	}
	for (struct check_suspect *s = c->suspects; s && !err; s = s->next)
		err = check_report(c, s->dir, s->name, &s->verdict);
	return err;
}
