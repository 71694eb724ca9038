/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Setting attributes: of a file with a raw file there, and at its objects; of a sealed one at its
 * objects, and some seconds later in the manifest.
 */
#include <fcntl.h>

#include "lib/catalog.h"
#include "lib/cut.h"
#include "lib/dirfd.h"
#include "lib/file.h"
#include "lib/io.h"
#include "lib/lazy.h"
#include "lib/notify.h"
#include "lib/raw.h"

static void times_wanted(const struct stat *want, unsigned set, struct timespec times[2])
{
	times[0] = (struct timespec){.tv_nsec = UTIME_OMIT};
	times[1] = times[0];
	if (set & STORE_SET_ATIME_NOW)
		times[0].tv_nsec = UTIME_NOW;
	else if (set & STORE_SET_ATIME)
		times[0] = want->st_atim;
	if (set & STORE_SET_MTIME_NOW)
		times[1].tv_nsec = UTIME_NOW;
	else if (set & STORE_SET_MTIME)
		times[1] = want->st_mtim;
}

#define SET_TIMES                                                                              \
	(STORE_SET_ATIME | STORE_SET_MTIME | STORE_SET_ATIME_NOW | STORE_SET_MTIME_NOW)
#define SET_OWNER (STORE_SET_UID | STORE_SET_GID)

static uid_t uid_wanted(const struct stat *want, unsigned set)
{
	return set & STORE_SET_UID ? want->st_uid : (uid_t)-1;
}

static gid_t gid_wanted(const struct stat *want, unsigned set)
{
	return set & STORE_SET_GID ? want->st_gid : (gid_t)-1;
}

/* As on a local file system: set-group-ID means something else on a file that its group cannot
 * execute. */
static uint32_t without_set_id(uint32_t mode)
{
	mode &= ~(uint32_t)S_ISUID;
	return mode & S_IXGRP ? mode & ~(uint32_t)S_ISGID : mode;
}

static int drop_set_id(int fd)
{
	struct stat st;
	uint32_t mode;

	if (fstat(fd, &st) != 0)
		return -1;
	mode = without_set_id(st.st_mode & 07777);
	return mode == (st.st_mode & 07777) ? 0 : fchmod(fd, mode);
}

/* On an open file or directory. The owner first: it clears set-ID bits. */
static int set_by_fd(int fd, const struct stat *want, unsigned set)
{
	struct timespec times[2];

	if ((set & SET_OWNER) && fchown(fd, uid_wanted(want, set), gid_wanted(want, set)) != 0)
		return -errno;
	if ((set & STORE_SET_MODE) && fchmod(fd, want->st_mode & 07777) != 0)
		return -errno;
	if ((set & STORE_SET_NO_SET_ID) && drop_set_id(fd) != 0)
		return -errno;
	times_wanted(want, set, times);
	return set & SET_TIMES ? io_set_times(fd, times) : 0;
}

static int set_dir(struct store *s, struct dir *d, const struct stat *want, unsigned set)
{
	int dfd = dirfd_get(s, d);
	int fd, err;

	if (dfd < 0)
		return dfd;
	fd = io_open(dfd, ".", O_RDONLY | O_DIRECTORY, 0);
	err = fd < 0 ? fd : set_by_fd(fd, want, set);
	lock_take(&s->lock);
	if (!err && d->held && (set & STORE_SET_MTIME))
		d->held_mtime = want->st_mtim;
	else if (!err && (set & STORE_SET_MTIME_NOW))
		dirfd_touch_locked(d);
	lock_drop(&s->lock);
	if (fd >= 0)
		close(fd);
	dirfd_put(s, d);
	return err;
}

static int set_link(struct store *s, struct node *n, const struct stat *want, unsigned set)
{
	char name[NAME_BYTES + 1];
	struct timespec times[2];
	struct dir *d;
	int dfd, err = 0;

	if (set & STORE_SET_MODE)
		return -EOPNOTSUPP;
	dfd = dirfd_get_named(s, n, name, &d);
	if (dfd < 0)
		return dfd;
	if (set & SET_OWNER)
		err =
		    io_chown(dfd, name, S_IFLNK, uid_wanted(want, set), gid_wanted(want, set));
	times_wanted(want, set, times);
	if (!err && (set & SET_TIMES))
		err = io_set_times_at(dfd, name, S_IFLNK, times);
	dirfd_put_named(s, d);
	return err;
}

/* A sealed file: in memory, at its objects, and later in the manifest. Node busy. */
static int set_sealed(struct store *s, struct file *f, const struct stat *want, unsigned set)
{
	struct timespec times[2];
	struct attrs old;
	int err;

	times_wanted(want, set, times);
	lock_take(&s->lock);
	old = f->attrs;
	if (set & (SET_OWNER | STORE_SET_NO_SET_ID))
		f->attrs.mode = without_set_id(f->attrs.mode);
	if (set & STORE_SET_UID)
		f->attrs.uid = want->st_uid;
	if (set & STORE_SET_GID)
		f->attrs.gid = want->st_gid;
	if (set & STORE_SET_MODE)
		f->attrs.mode = want->st_mode & 07777;
	if (set & STORE_SET_MTIME)
		f->attrs.mtime_ns = ns_of_timespec(&want->st_mtim);
	if (set & STORE_SET_MTIME_NOW)
		f->attrs.mtime_ns = clock_wall_ns();
	lock_drop(&s->lock);
	err = lazy_apply_attrs(s, f, times[0]);
	lock_take(&s->lock);
	if (err)
		f->attrs = old;
	else
		lazy_mark_locked(s, f);
	lock_drop(&s->lock);
	return err;
}

/*
 * The objects of a file that has a raw file, too: who may not read it any more may not read what
 * of it is sealed, however long its writer goes on.
 */
static int set_objects(struct store *s, struct caller *c, struct file *f)
{
	struct stat st;
	bool parts, present;
	int err = 0;

	lock_take(&s->lock);
	parts = f->n.linked && f->part_count > 0;
	if (parts)
		err = node_take_locked(s, &f->n, BUSY_HELD, c);
	if (err || !parts) {
		lock_drop(&s->lock);
		return err;
	}
	gate_enter_locked(s, f);
	present = f->raw_present;
	lock_drop(&s->lock);
	if (present)
		err = raw_stat(s, f, &st);
	lock_take(&s->lock);
	gate_leave_locked(s, f);
	if (present && !err)
		raw_keep_attrs_locked(f, &st);
	lock_drop(&s->lock);
	if (!err)
		err = lazy_apply_attrs(s, f, (struct timespec){.tv_nsec = UTIME_OMIT});
	notify_attributes(s, f);
	node_give(s, &f->n);
	return err;
}

/* Through the raw file while there is one. */
static int set_file(struct store *s, struct caller *c, struct file *f, const struct stat *want,
		    unsigned set)
{
	struct raw *raw = NULL;
	bool present;
	int err = 0;

	lock_take(&s->lock);
	gate_enter_locked(s, f);
	present = f->raw_present;
	lock_drop(&s->lock);
	if (present) {
		err = raw_get(s, f, &raw);
		if (!err)
			err = set_by_fd(raw->fd, want, set);
		raw_put(s, f, raw);
	}
	lock_take(&s->lock);
	gate_leave_locked(s, f);
	/* "Any change before it ends re-arms it": tools set times and modes after the last
	 * close. */
	if (present && !err && f->deadline_ns && f->timer == TIMER_SOON && f->dirty &&
	    !f->writers)
		timer_grace_locked(s, f);
	if (!present)
		err = f->n.linked  ? node_take_locked(s, &f->n, BUSY_HELD, c)
		      : f->settled ? -ESTALE
				   : -ENOENT;
	lock_drop(&s->lock);
	if (present && !err && (set & (SET_OWNER | STORE_SET_MODE | SET_TIMES)))
		err = set_objects(s, c, f);
	if (present || err)
		return err;
	err = set_sealed(s, f, want, set);
	if (!err) /* it may have been asked for by the object's */
		notify_attributes(s, f);
	node_give(s, &f->n);
	return err;
}

/* An object never shows the right to write; so who sets its mode does not mean to take that from
 * the file, unless they take the right to read. */
static int set_by_object(struct store *s, struct caller *c, struct object *o,
			 const struct stat *want, unsigned set)
{
	struct stat file, wanted = *want;
	int err = store_getattr(s, &o->file->n, &file);

	if (err)
		return err;
	wanted.st_mode |= file.st_mode & 0222 & (want->st_mode & 0444) >> 1;
	return set_file(s, c, o->file, &wanted, set);
}

int store_setattr(struct store *s, struct caller *c, struct node *n, const struct stat *want,
		  unsigned *set, struct stat *out)
{
	int err = 0;

	if (s->options.read_only)
		return -EROFS;
	if (n->kind == NODE_OBJECT && (*set & STORE_SET_SIZE)) {
		refuse_change(s, n, "changing a sealed object");
		return -EPERM;
	}
	if (n->kind == NODE_OBJECT) {
		err = set_by_object(s, c, (struct object *)n, want, *set);
		return err ? err : store_getattr(s, n, out);
	}
	if ((*set & STORE_SET_SIZE) && c->uid != 0)
		*set |= STORE_SET_NO_SET_ID;
	if (*set & STORE_SET_SIZE)
		err = n->kind == NODE_FILE
			  ? file_truncate(s, to_file(n), (uint64_t)want->st_size)
			  : -EINVAL;
	if (!err) /* once: what is appended while the rest is parked stays */
		*set &= ~(unsigned)STORE_SET_SIZE;
	if (!err && *set && n->kind == NODE_DIR)
		err = set_dir(s, to_dir(n), want, *set);
	else if (!err && *set && n->kind == NODE_LINK)
		err = set_link(s, n, want, *set);
	else if (!err && *set)
		err = set_file(s, c, to_file(n), want, *set);
	return err ? err : store_getattr(s, n, out);
}
