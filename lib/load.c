/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/load.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "lib/catalog.h"
#include "lib/cut.h"
#include "lib/dirfd.h"
#include "lib/ids.h"
#include "lib/io.h"
#include "lib/load_records.h"
#include "lib/log.h"
#include "lib/raw.h"

struct raw_facts {
	struct stat st;
	uint64_t identity;
	struct raw_mark mark;
	uint64_t begin; /* of its own bytes: raw_begin() */
	bool marked;
	char *reason; /* why it was refused as an import; owned */
};

static int read_facts(struct store *s, struct dir *d, const char *name, struct raw_facts *facts)
{
	int dfd = dirfd_get(s, d);
	int err;

	if (dfd < 0)
		return dfd;
	CLEANUP_FD int fd = io_open(dfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);

	if (fd == -EACCES) { /* not ours to read: shown by what stat says, without a mark */
		err = io_stat(dfd, name, &facts->st);
	} else if (fd < 0) {
		err = fd;
	} else {
		err = io_fstat(fd, &facts->st);
		if (!err)
			err = raw_read_mark(fd, &facts->mark);
		facts->marked = !err;
		if (err == -ENODATA)
			err = 0;
		facts->begin = raw_begin(fd, &facts->st, facts->mark.base);
		if (name_is_refused(name, store_suffix(s)))
			(void)raw_read_reason(fd, &facts->reason);
	}
	if (!err)
		err = fd < 0 ? io_identity(dfd, name, &facts->identity)
			     : io_fidentity(fd, &facts->identity);
	dirfd_put(s, d);
	if (!err && !S_ISREG(facts->st.st_mode))
		err = -EINVAL;
	return err;
}

/* A raw file without a mark was put here by someone else, or by a store without attributes. A copy
 * keeps its base: its bytes are the same. */
static int give_mark(struct store *s, struct dir *d, const char *name, struct raw_facts *facts)
{
	int dfd, fd, err = 0;

	if (!s->options.read_only)
		err = manifest_new_id(s->manifest, &facts->mark.id);
	else
		facts->mark.id = (uint64_t)1 << 40 | facts->st.st_ino;
	if (err || s->options.read_only || !s->have_xattrs)
		return err;
	dfd = dirfd_get(s, d);
	fd = dfd < 0 ? dfd : io_open(dfd, name, O_RDONLY | O_NOFOLLOW, 0);
	if (fd >= 0) {
		err = raw_write_mark(s, fd, &facts->mark);
		close(fd);
	}
	if (dfd >= 0)
		dirfd_put(s, d);
	if (err)
		log_warning("%s: its file id could not be kept: %s", name, strerror(-err));
	return 0;
}

/* Give the file its raw bytes. Where it has no part, and what was before its base is lost, it begins with
 * what is left. */
static void attach_locked(struct store *s, struct file *f, const char *name,
			  const struct raw_facts *facts) REQUIRES(s->lock)
{
	uint64_t bytes = (uint64_t)facts->st.st_size;

	if (facts->mark.base > f->sealed_end) {
		log_error(
		    "%s: its bytes from 0 to %llu were sealed, and no object of this name "
		    "has them; it begins with what is left; restore the rest from a backup, "
		    "under another name",
		    name, (unsigned long long)facts->mark.base);
		f->base = f->sealed_end = facts->mark.base;
	}
	f->raw_present = true;
	f->raw_recovered = f->raw_old = true;
	f->raw_durable = true; /* what is not is not ours to promise */
	f->raw_identity = facts->identity;
	f->raw_base = MIN(facts->mark.base, f->sealed_end);
	f->size = MAX(f->sealed_end, bytes);
	f->written_end = MAX(f->sealed_end, bytes);
	f->cut_end = f->sealed_end;
}

/* Under an excluded name recovery never looks; what it could not look at it left alone; and a clean
 * stop leaves no such raw file, but someone may have put one there because the objects are gone. */
static bool is_unproven_locked(struct store *s, const struct file *f) REQUIRES(s->lock)
{
	return f->part_count && f->raw_base < f->sealed_end &&
	       (!s->recovered_all || s->unsettled ||
		catalog_excluded_locked(s, f->n.dir, f->n.name));
}

/* Whatever needs doing for a raw file that was just found. */
static void arm_found_locked(struct store *s, struct file *f) REQUIRES(s->lock)
{
	if (s->options.read_only)
		return;
	if (f->size > f->sealed_end) {
		file_dirty_locked(s, f); /* an excluded one may be renamed */
	} else if (f->part_count) {
		timer_arm_locked(s, f, clock_ns() + s->options.grace_ns, TIMER_SOON);
	}
}

/* Sealed bytes of that name (f; NULL: there are none): the raw file belongs to them if its mark says
 * so, and if it goes on where they end. Where they are not all there its base is where it begins. */
static bool belongs(const struct file *f, struct raw_facts *facts)
{
	uint64_t end = f ? f->sealed_end : 0;

	if (facts->mark.base > end)
		facts->mark.base = MIN(facts->begin, (uint64_t)facts->st.st_size);
	return !f || (facts->marked && facts->mark.id == f->id && facts->mark.base <= end);
}

static int load_raw_file(struct store *s, struct dir *d, const char *name)
{
	struct raw_facts facts = {0};
	struct file *f;
	bool copied, other;
	int err = read_facts(s, d, name, &facts);
	CLEANUP_FREE char *reason = facts.reason;

	if (err)
		return err == -EINVAL || err == -ELOOP || err == -ENOENT ? 0 : err;
	if (name_check_plain(name, store_suffix(s)) == -EINVAL)
		load_records_odd(s, name, ODD_PART);
	lock_take(&s->lock);
	f = catalog_find_stem_locked(s, d, name);
	other = !belongs(f, &facts);
	copied = !f && facts.marked && !ids_claim_locked(s, facts.mark.id);
	if (other && !s->options.read_only && !catalog_excluded_locked(s, d, name))
		s->unsettled = true; /* the next start gives it another name */
	lock_drop(&s->lock);
	if (copied) {
		log_warning(
		    "%s: has the mark of another file, as a copy has; it gets a new file id",
		    name);
		facts.marked = false;
	}
	if (other) {
		load_records_odd(s, name, ODD_RAW);
		return 0;
	}
	if (!facts.marked)
		err = give_mark(s, d, name, &facts);
	if (err)
		return err;
	if (!f)
		f = catalog_new_file(facts.mark.id);
	if (!f)
		return -ENOMEM;
	f->reason = reason;
	reason = NULL;
	lock_take(&s->lock);
	attach_locked(s, f, name, &facts);
	f->raw_unproven = f->n.linked && is_unproven_locked(s, f);
	if (!f->n.linked) {
		err = catalog_link_locked(s, d, &f->n, name);
		if (!err)
			arm_found_locked(s, f);
		node_unref_locked(s, &f->n, 1);
	} else {
		/* The raw file's spelling is the newer one; the stem is the same. */
		err = catalog_respell_locked(s, &f->n, name);
		if (!err)
			err = catalog_list_locked(s, f);
		arm_found_locked(s, f);
	}
	lock_drop(&s->lock);
	return err;
}

static int add_other(struct store *s, struct dir *d, const struct dirent *e, bool is_dir)
{
	struct node *n = is_dir ? (struct node *)catalog_new_dir(e->d_ino)
				: (struct node *)catalog_new_link(e->d_ino);
	int err;

	if (!n)
		return -ENOMEM;
	if (is_dir)
		to_dir(n)->durable = true;
	lock_take(&s->lock);
	err = catalog_link_locked(s, d, n, e->d_name);
	node_unref_locked(s, n, 1);
	lock_drop(&s->lock);
	return err;
}

/* An object that is there: is it recorded, with this size? */
static int check_object(struct store *s, struct dir *d, const char *name, uint64_t gz_bytes,
			bool *recorded)
{
	struct found found;
	int i;

	lock_take(&s->lock);
	catalog_find_locked(s, d, name, &found);
	*recorded = found.node && found.part;
	if (*recorded) {
		i = part_by_number(to_file(found.node), found.part);
		/* Marked as seen: the size is compared below, missing ones are those left. */
		if (to_file(found.node)->parts[i].gz_bytes == gz_bytes)
			to_file(found.node)->parts[i].seen = true;
	}
	lock_drop(&s->lock);
	return 0;
}

struct entry_context {
	struct store *s;
	struct dir *d;
	int fd;
};

static int load_regular(struct entry_context *c, const char *name)
{
	struct stat st;
	bool object, recorded = false;
	int err;

	if (!name_has_sealed_suffix(name, store_suffix(c->s)))
		return load_raw_file(c->s, c->d, name);
	err = io_stat(c->fd, name, &st);
	if (!err)
		err = check_object(c->s, c->d, name, (uint64_t)st.st_size, &recorded);
	if (err || recorded)
		return err;
	/* A sealed file may have been renamed to an excluded name; what no record names there
	 * is an ordinary file. */
	lock_take(&c->s->lock);
	object = catalog_is_import_locked(c->s, c->d, name);
	lock_drop(&c->s->lock);
	if (!object)
		return load_raw_file(c->s, c->d, name);
	load_records_odd(c->s, name, ODD_UNRECORDED);
	return 0;
}

static int load_entry(struct entry_context *c, struct dirent *e)
{
	struct stat st;
	int type = e->d_type;

	if (type == DT_UNKNOWN && io_stat(c->fd, e->d_name, &st) == 0)
		type = IFTODT(st.st_mode);
	switch (type) {
	case DT_DIR:
		return add_other(c->s, c->d, e, true);
	case DT_LNK:
		return add_other(c->s, c->d, e, false);
	case DT_REG:
		return load_regular(c, e->d_name);
	default:
		load_records_odd(c->s, e->d_name, ODD_KIND);
		return 0;
	}
}

static bool hidden(struct store *s, struct dir *d, const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
	       (d == s->root && strcmp(name, NAME_PRIVATE) == 0);
}

static int load_entries(struct store *s, struct dir *d)
{
	struct entry_context c = {.s = s, .d = d};
	int dfd = dirfd_get(s, d);
	struct dirent *e;
	DIR *stream;
	int err = 0;

	if (dfd < 0)
		return dfd;
	c.fd = io_open(dfd, ".", O_RDONLY | O_DIRECTORY, 0);
	dirfd_put(s, d);
	if (c.fd < 0)
		return c.fd;
	stream = fdopendir(c.fd);
	if (!stream) {
		close(c.fd);
		return -ENOMEM;
	}
	while (!err && (errno = 0, e = readdir(stream))) {
		if (!hidden(s, d, e->d_name))
			err = load_entry(&c, e);
	}
	if (!err && errno)
		err = -errno;
	closedir(stream);
	return err;
}

/* A load that failed half-way leaves nothing behind. */
static void unload_locked(struct store *s, struct dir *d) REQUIRES(s->lock)
{
	struct node *n, *next;

	HASH_ITER (hh, d->files, n, next) {
		ids_drop_locked(s, to_file(n)->id);
		timer_disarm_locked(s, to_file(n));
		node_ref_locked(n);
		catalog_unlink_locked(s, n);
		active_update_locked(s, to_file(n));
		node_unref_locked(s, n, 1);
	}
	HASH_ITER (hh, d->others, n, next)
		catalog_unlink_locked(s, n);
}

int dir_load(struct store *s, struct dir *d)
{
	int err;

	lock_take(&s->lock);
	while (!d->loaded && (d->loading || s->tree.busy == BUSY_NAME))
		cond_wait(&s->changed, &s->lock);
	if (d->loaded) {
		lock_drop(&s->lock);
		return 0;
	}
	d->loading = true;
	s->loading++;
	lock_drop(&s->lock);

	err = load_records(s, d);
	if (!err)
		err = load_entries(s, d);
	if (!err)
		load_records_missing(s, d);

	lock_take(&s->lock);
	if (err)
		unload_locked(s, d);
	d->loaded = !err;
	d->loading = false;
	s->loading--;
	cond_broadcast(&s->changed);
	lock_drop(&s->lock);
	if (err)
		log_error("a directory of the store could not be read: %s", strerror(-err));
	return err;
}
