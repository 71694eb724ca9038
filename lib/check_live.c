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

#include "lib/buf.h"
#include "lib/bytes.h"
#include "lib/io.h"

#define ROUNDS 6
#define FIRST_PAUSE_NS 100000000 /* doubled each round: 6.3 s in all */

static void suspect_free(struct check_suspect *s)
{
	free(s->dir);
	free(s->name);
	free(s->path);
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
	s->path = sealed ? NULL : check_join(dir, name);
	if (!s->dir || !s->name || (!sealed && !s->path)) {
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
	struct check_suspect *by_key, *by_path;
	const char *suffix;
	struct buf path;
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

/* Is it that of an object without a record, which has got one by now? */
static int match_object(struct round *r, const struct sealed *sealed, const char *dir,
			const char *plain)
{
	char object[NAME_BYTES + 1];
	struct check_suspect *s;

	if (!r->by_path || name_sealed(plain, sealed->part, r->suffix, object) != 0)
		return 0;
	buf_reset(&r->path);
	buf_str(&r->path, dir);
	buf_str(&r->path, *dir ? "/" : "");
	buf_str(&r->path, object);
	if (r->path.failed)
		return -ENOMEM;
	HASH_FIND(hh, r->by_path, r->path.data, r->path.len, s);
	if (!s)
		return 0;
	s->sealed = *sealed;
	s->found = true;
	return 0;
}

/* A record of the new manifest: is it one that we ask for? That of a renamed file may be asked for by both. */
static int find_record(void *ctx, const struct sealed *sealed, const char *dir,
		       const char *plain)
{
	struct round *r = ctx;
	struct check_suspect probe = {.key = {sealed->id, sealed->part}}, *s;
	char object[NAME_BYTES + 1];
	int err;

	err = match_object(r, sealed, dir, plain);
	HASH_FIND(hh, r->by_key, &probe.key, sizeof(probe.key), s);
	if (err || !s)
		return err;
	err = name_sealed(plain, sealed->part, r->suffix, object);
	if (!err)
		err = replace_string(&s->dir, dir);
	if (!err)
		err = replace_string(&s->name, object);
	s->sealed = *sealed;
	s->found = true;
	return err;
}

/* Returns 0 with s->verdict, CHECK_GOOD if there is nothing left to ask. */
static int look_again(struct check *c, struct check_suspect *s, const char *path)
{
	if (s->key.id && !s->found) { /* removed meanwhile */
		s->verdict.outcome = CHECK_GOOD;
		return 0;
	}
	if (!s->key.id) {
		struct stat st;
		int r = io_stat(c->storefd, path, &st);

		if (r == -ENOENT || r == -ENOTDIR)
			s->verdict.outcome = CHECK_GOOD;
		if (r < 0 || !s->found)
			return r == -ENOMEM ? r : 0;
	}
	return check_object(c, c->storefd, path, &s->sealed, &s->verdict);
}

static int look_again_and_count(struct check *c, struct check_suspect *s)
{
	CLEANUP_FREE char *path = check_join(s->dir, s->name);
	int err = path ? look_again(c, s, path) : -ENOMEM;

	/* One that was published since was not among the records then. */
	if (!err && s->verdict.outcome == CHECK_GOOD && s->found && s->key.id)
		check_count_good(c, &s->sealed);
	return err;
}

static int find_records(struct check *c)
{
	struct round r = {.suffix = manifest_suffix(c->manifest)};
	int err = 0;

	for (struct check_suspect *s = c->suspects; s && !err; s = s->next) {
		s->found = false;
		if (s->key.id)
			HASH_ADD(hh, r.by_key, key, sizeof(s->key), s);
		else
			HASH_ADD_KEYPTR(hh, r.by_path, s->path, strlen(s->path), s);
		err = s->hh.tbl ? 0 : -ENOMEM;
	}
	if (!err)
		err = manifest_each(c->manifest, find_record, &r);
	HASH_CLEAR(hh, r.by_key);
	HASH_CLEAR(hh, r.by_path);
	buf_release(&r.path);
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
