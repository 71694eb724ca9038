/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/leftover.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/catalog.h"
#include "lib/dirfd.h"
#include "lib/io.h"
#include "lib/manifest.h"
#include "lib/object.h"

struct leftover {
	struct dir *dir; /* referenced */
	/* Of the object: nothing else of its name is ours to remove. 0: not known. */
	uint64_t ino;
	char name[NAME_BYTES + 1];
	struct leftover *next;
};

static void add(struct store *s, struct dir *d, uint64_t ino, const char *object)
{
	struct leftover *l = malloc(sizeof(*l));

	lock_take(&s->lock);
	if (l) {
		*l = (struct leftover){.dir = d, .ino = ino, .next = s->leftovers};
		snprintf(l->name, sizeof(l->name), "%s", object);
		node_ref_locked(&d->n);
		s->leftovers = l;
	} else {
		s->unsettled = true;
	}
	lock_drop(&s->lock);
}

int leftover_unlink(struct store *s, struct dir *d, int dfd, const char *object)
{
	struct stat st;
	int err = dfd < 0 ? dfd : io_unlink(dfd, object, 0);

	if (!err || err == -ENOENT)
		return err;
	if (dfd < 0 || io_stat(dfd, object, &st) != 0)
		st.st_ino = 0;
	add(s, d, st.st_ino, object);
	return err;
}

struct sought {
	const char *object, *suffix;
};

static int is_it(void *ctx, const struct sealed *rec, const char *dir, const char *plain)
{
	const struct sought *sought = ctx;
	char name[NAME_BYTES + 1];

	return name_sealed(plain, rec->part, sought->suffix, name) == 0 &&
	       strcmp(name, sought->object) == 0;
}

/* For what has the name of an object whose inode could not be asked for: it begins like one of ours,
 * and no record is about it. */
static bool has_no_record(struct store *s, struct dir *d, int dfd, const char *object)
{
	CLEANUP_FD int fd = io_open(dfd, object, O_RDONLY, 0);
	struct sought sought = {.object = object, .suffix = store_suffix(s)};
	CLEANUP_BUF struct buf path = {0};

	if (fd < 0 || object_is_ours(fd) != 1)
		return false;
	buf_str(&path, "");
	lock_take(&s->lock);
	catalog_path_locked(s, &d->n, 0, &path);
	lock_drop(&s->lock);
	return !path.failed &&
	       manifest_each_in_dir(s->manifest, path.data, is_it, &sought) == 0;
}

static void forget(struct store *s, struct dir *d, const char *object)
{
	lock_take(&s->lock);
	for (struct leftover **at = &s->leftovers; *at; at = &(*at)->next) {
		struct leftover *l = *at;

		if (l->dir != d || strcmp(l->name, object) != 0)
			continue;
		*at = l->next;
		node_unref_locked(s, &l->dir->n, 1);
		free(l);
		break;
	}
	lock_drop(&s->lock);
}

bool leftover_clear(struct store *s, struct dir *d, int dfd, const char *object)
{
	bool found = false, unknown = false;
	struct stat st;

	if (io_stat(dfd, object, &st) != 0)
		return false;
	lock_take(&s->lock);
	for (struct leftover *l = s->leftovers; l && !found; l = l->next) {
		found = l->dir == d && strcmp(l->name, object) == 0 &&
			(!l->ino || l->ino == st.st_ino);
		unknown = found && !l->ino;
	}
	lock_drop(&s->lock);
	if (!found || (unknown && !has_no_record(s, d, dfd, object)) ||
	    io_unlink(dfd, object, 0) != 0)
		return false;
	forget(s, d, object);
	return true;
}

bool leftover_remove_all(struct store *s)
{
	struct leftover *l;
	bool done = true;

	lock_take(&s->lock);
	while (done && (l = s->leftovers)) {
		struct dir *d = l->dir;
		int dfd;

		node_ref_locked(&d->n);
		lock_drop(&s->lock);
		dfd = dirfd_get(s, d);
		done = dfd >= 0 && leftover_clear(s, d, dfd, l->name);
		if (dfd >= 0)
			dirfd_put(s, d);
		lock_take(&s->lock);
		node_unref_locked(s, &d->n, 1);
	}
	lock_drop(&s->lock);
	return done;
}

void leftover_free_all_locked(struct store *s)
{
	while (s->leftovers) {
		struct leftover *l = s->leftovers;

		s->leftovers = l->next;
		node_unref_locked(s, &l->dir->n, 1);
		free(l);
	}
}
