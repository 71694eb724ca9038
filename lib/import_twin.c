/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is compared is not locked meanwhile: who changes a refused file between the comparison and
 * the end of the new one changes bytes that were there twice, and wanted to.
 */
#include <stdio.h>

#include "lib/catalog.h"
#include "lib/cut.h"
#include "lib/dirfd.h"
#include "lib/import_impl.h"
#include "lib/io.h"
#include "lib/log.h"
#include "lib/raw.h"

#define COMPARE_BYTES ((size_t)256 << 10)

static bool are_same(int a, int b)
{
	CLEANUP_FREE uint8_t *x = malloc(COMPARE_BYTES);
	CLEANUP_FREE uint8_t *y = malloc(COMPARE_BYTES);
	uint64_t offset = 0;
	ssize_t n, m;

	if (!x || !y)
		return false;
	do {
		n = io_pread(a, x, COMPARE_BYTES, offset);
		m = io_pread(b, y, COMPARE_BYTES, offset);
		offset += (uint64_t)MAX(n, 0);
	} while (n > 0 && n == m && memcmp(x, y, (size_t)n) == 0);
	return n == 0 && m == 0;
}

/* Has it these bytes, for good, and was it refused for them (not for an fsync that failed, after
 * which no other is believed)? */
static bool is_twin(struct store *s, struct file *f, int fd, const char *reason,
		    struct stat *st)
{
	struct raw *raw = NULL;
	bool is;

	lock_take(&s->lock);
	gate_enter_locked(s, f);
	is = f->raw_present && !f->part_count && !f->writers && !f->error && f->reason &&
	     strcmp(f->reason, reason) == 0;
	lock_drop(&s->lock);
	is = is && raw_get(s, f, &raw) == 0;
	lock_take(&s->lock);
	gate_leave_locked(s, f);
	lock_drop(&s->lock);
	is = is && io_fstat(raw->fd, st) == 0 && are_same(fd, raw->fd) &&
	     raw_sync(s, f, raw->fd) == 0;
	raw_put(s, f, raw);
	return is;
}

/* The n-th refused one of this import, referenced. False: there are no more. */
static bool nth_refused(struct store *s, struct file *f, unsigned n, struct import_twin *t)
{
	struct found found = {0};

	lock_take(&s->lock);
	if (name_refused(f->n.name, n, t->name) == 0)
		catalog_find_locked(s, f->n.dir, t->name, &found);
	t->file = found.node && found.node->kind == NODE_FILE ? to_file(found.node) : NULL;
	if (t->file)
		node_ref_locked(found.node);
	lock_drop(&s->lock);
	return found.node;
}

void import_find_twin(struct store *s, struct file *f, int fd, const char *reason,
		      struct import_twin *t)
{
	for (unsigned n = 1; nth_refused(s, f, n, t); n++) {
		if (t->file && is_twin(s, t->file, fd, reason, &t->st) &&
		    dirfd_sync(s, f->n.dir) == 0)
			return;
		if (t->file)
			node_unref(s, &t->file->n, 1);
		t->file = NULL;
	}
}

/* Is it what it was when it was compared? */
static bool is_unchanged(struct store *s, struct dir *d, const struct import_twin *t)
{
	struct stat now;
	bool is;
	int dfd;

	lock_take(&s->lock);
	is = t->file->n.linked && t->file->n.dir == d && !t->file->writers && !t->file->error &&
	     strcmp(t->file->n.name, t->name) == 0;
	lock_drop(&s->lock);
	dfd = is ? dirfd_get(s, d) : -1;
	if (dfd < 0)
		return false;
	is = io_stat(dfd, t->name, &now) == 0 && now.st_ino == t->st.st_ino &&
	     now.st_size == t->st.st_size && now.st_ctim.tv_sec == t->st.st_ctim.tv_sec &&
	     now.st_ctim.tv_nsec == t->st.st_ctim.tv_nsec;
	dirfd_put(s, d);
	return is;
}

int import_give_way(struct store *s, struct file *f, const struct import_twin *t)
{
	struct raw_place place;
	int err;

	if (!t->file || !is_unchanged(s, f->n.dir, t))
		return 0;
	raw_place_init(&place, f->n.dir, f->n.name, f->id, true);
	err = io_unlink(s->fd, place.name, 0);
	if (err)
		return err;
	lock_take(&s->lock);
	timer_disarm_locked(s, f);
	f->settled = true;
	catalog_unlink_locked(s, &f->n);
	active_update_locked(s, f);
	lock_drop(&s->lock);
	log_notice("%s: what was refused is kept once: the same bytes were there already",
		   t->name);
	return 1;
}
