/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/leftover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/catalog.h"
#include "lib/dirfd.h"
#include "lib/io.h"

struct leftover {
	struct dir *dir; /* referenced */
	uint64_t ino;	 /* of the object: nothing else of its name is ours to remove */
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
	if (dfd >= 0 && io_stat(dfd, object, &st) == 0) {
		add(s, d, st.st_ino, object);
	} else {
		lock_take(&s->lock);
		s->unsettled = true;
		lock_drop(&s->lock);
	}
	return err;
}

static void forget(struct store *s, struct dir *d, uint64_t ino)
{
	lock_take(&s->lock);
	for (struct leftover **at = &s->leftovers; *at; at = &(*at)->next) {
		struct leftover *l = *at;

		if (l->dir != d || l->ino != ino)
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
	struct leftover *l;
	struct stat st;

	if (io_stat(dfd, object, &st) != 0)
		return false;
	lock_take(&s->lock);
	for (l = s->leftovers; l; l = l->next) {
		if (l->dir == d && l->ino == st.st_ino && strcmp(l->name, object) == 0)
			break;
	}
	lock_drop(&s->lock);
	if (!l || io_unlink(dfd, object, 0) != 0)
		return false;
	forget(s, d, st.st_ino);
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
