/* SPDX-License-Identifier: BSD-2-Clause */
/* A raw file that is not open is looked at under its name: one system call, not five. */
#include "lib/raw.h"

#include <errno.h>

#include "lib/catalog.h"
#include "lib/dirfd.h"
#include "lib/io.h"

/* What lies under its name now, which is not opened. -EAGAIN: that cannot be said; wanted: its identity. */
static int look(struct store *s, struct file *f, struct stat *st, uint64_t *now,
		uint64_t *wanted)
{
	struct raw_place place;
	struct dir *d = NULL;
	int dfd, err;

	lock_take(&s->lock);
	*wanted = f->raw_identity;
	/* BUSY_NAME: its name is just changing. */
	if (f->n.linked && f->raw_present && f->n.busy != BUSY_NAME) {
		d = f->n.dir;
		node_ref_locked(&d->n);
		raw_place_init(&place, d, f->n.name, f->id, f->import);
	}
	lock_drop(&s->lock);
	if (!d)
		return -EAGAIN;
	dfd = raw_place_get(s, &place);
	err = dfd < 0 ? dfd : io_stat_identity(dfd, place.name, st, now);
	if (dfd >= 0)
		raw_place_put(s, &place);
	lock_take(&s->lock);
	node_unref_locked(s, &d->n, 1);
	lock_drop(&s->lock);
	return err;
}

bool raw_is_gone(struct store *s, struct file *f)
{
	uint64_t wanted, now;
	struct stat st;
	int err = look(s, f, &st, &now, &wanted);

	return err == -ENOENT || (!err && now != wanted);
}

static bool is_open(struct store *s, const struct file *f)
{
	bool open;

	lock_take(&s->lock);
	open = f->raw != NULL;
	lock_drop(&s->lock);
	return open;
}

int raw_stat(struct store *s, struct file *f, struct stat *out)
{
	uint64_t wanted, now;
	struct raw *raw;
	int err;

	if (!is_open(s, f) && look(s, f, out, &now, &wanted) == 0 && now == wanted &&
	    S_ISREG(out->st_mode))
		return 0;
	err = raw_get(s, f, &raw);
	if (err)
		return err;
	err = io_fstat(raw->fd, out);
	raw_put(s, f, raw);
	return err;
}
