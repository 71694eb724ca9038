/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attributes. Of a file with a raw file they are the raw file's; of a sealed one they are its
 * record's (mode, mtime) and its newest object's (owner, the other times), which has them, too.
 */
#include <fcntl.h>

#include "lib/catalog.h"
#include "lib/cut.h"
#include "lib/dirfd.h"
#include "lib/file.h"
#include "lib/io.h"
#include "lib/lazy.h"
#include "lib/notify.h"
#include "lib/plain.h"
#include "lib/raw.h"

#define INO_OTHER ((uint64_t)1 << 62)  /* directories and links: the store's inode number */
#define INO_OBJECT ((uint64_t)1 << 63) /* objects: file id and part */
#define PART_BITS 30

uint64_t node_ino(struct store *s, struct node *n)
{
	struct object *o;

	switch (n->kind) {
	case NODE_DIR:
		return INO_OTHER | to_dir(n)->ino;
	case NODE_LINK:
		return INO_OTHER | ((struct link *)n)->ino;
	case NODE_OBJECT:
		o = (struct object *)n;
		return INO_OBJECT | o->file->id << PART_BITS | o->number;
	default:
		return to_file(n)->id;
	}
}

bool node_is_fleeting(struct store *s, struct node *n)
{
	bool fleeting;

	lock_take(&s->lock);
	fleeting = n->kind == NODE_FILE && to_file(n)->import;
	lock_drop(&s->lock);
	return fleeting;
}

enum node_kind node_kind(const struct node *n)
{
	return n->kind;
}

static void set_blocks(struct stat *st, uint64_t bytes)
{
	st->st_blocks = (blkcnt_t)((bytes + 4095) / 4096 * 8);
}

static int stat_dir(struct store *s, struct dir *d, struct stat *out)
{
	int fd = dirfd_get(s, d);
	int err = fd < 0 ? fd : io_fstat(fd, out);

	if (fd >= 0)
		dirfd_put(s, d);
	if (err)
		return err;
	lock_take(&s->lock);
	if (d->held)
		out->st_mtim = d->held_mtime;
	if (d == s->root && out->st_nlink > 2)
		out->st_nlink--; /* the private directory is not one of it */
	lock_drop(&s->lock);
	return 0;
}

/* fstatat under the node's name, once it stands still. */
static int stat_by_name(struct store *s, struct node *n, struct stat *out)
{
	char name[NAME_BYTES + 1];
	struct dir *d;
	int dfd = dirfd_get_named(s, n, name, &d);
	int err;

	if (dfd < 0)
		return dfd;
	err = io_stat(dfd, name, out);
	dirfd_put_named(s, d);
	return err;
}

/* Of a link that was removed while someone has it open (O_PATH) no more is known. */
static int stat_link(struct store *s, struct node *n, struct stat *out)
{
	int err = stat_by_name(s, n, out);
	bool removed;

	lock_take(&s->lock);
	removed = !n->linked;
	lock_drop(&s->lock);
	if (err != -ENOENT || !removed)
		return err;
	*out = (struct stat){.st_mode = S_IFLNK | 0777};
	return 0;
}

/* Through the raw file. Enter with the gate. */
static int stat_raw(struct store *s, struct file *f, struct stat *out)
{
	struct raw *raw;
	int err = raw_get(s, f, &raw);

	if (err)
		return err;
	err = io_fstat(raw->fd, out);
	raw_put(s, f, raw);
	return err;
}

/* From the newest object; one that is missing must not make the name vanish. */
static void stat_sealed(struct store *s, struct file *f, struct stat *out)
{
	uint32_t number = 0;
	int fd;

	memset(out, 0, sizeof(*out));
	lock_take(&s->lock);
	if (f->part_count)
		number = f->parts[f->part_count - 1].number;
	lock_drop(&s->lock);
	fd = number ? plain_open_part(s, f, number) : -1;
	if (fd < 0 || io_fstat(fd, out) != 0)
		memset(out, 0, sizeof(*out));
	if (fd >= 0)
		close(fd);
	lock_take(&s->lock);
	out->st_mode = S_IFREG | (f->attrs.mode & 07777);
	out->st_uid = f->attrs.uid;
	out->st_gid = f->attrs.gid;
	out->st_mtim = timespec_of_ns(f->attrs.mtime_ns);
	if (!out->st_ctim.tv_sec)
		out->st_atim = out->st_ctim = out->st_mtim;
	out->st_blocks = 0;
	lock_drop(&s->lock);
}

static int stat_file(struct store *s, struct file *f, struct stat *out)
{
	bool present;
	uint64_t blocks = 0;
	int err = 0;

	lock_take(&s->lock);
	gate_enter_locked(s, f);
	present = f->raw_present;
	lock_drop(&s->lock);
	if (present) {
		err = stat_raw(s, f, out);
		if (err == -EACCES || err == -EPERM)
			err = stat_by_name(s, &f->n, out);
	}
	lock_take(&s->lock);
	gate_leave_locked(s, f);
	lock_drop(&s->lock);
	if (err)
		return err;
	if (!present)
		stat_sealed(s, f, out);
	lock_take(&s->lock);
	for (uint32_t i = 0; i < f->part_count; i++)
		blocks += (f->parts[i].gz_bytes + 4095) / 4096 * 8;
	out->st_size = (off_t)(f->size - f->base);
	out->st_blocks += (blkcnt_t)blocks;
	out->st_nlink = f->n.linked;
	lock_drop(&s->lock);
	return 0;
}

static int stat_object(struct store *s, struct object *o, struct stat *out)
{
	struct file *f = o->file;
	int fd = plain_open_part(s, f, o->number);
	int err = fd < 0 ? fd : io_fstat(fd, out);
	int i;

	if (fd >= 0)
		close(fd);
	lock_take(&s->lock);
	i = part_by_number(f, o->number);
	if ((err == -ENOENT || err == -EIO) && i >= 0 && f->n.linked) {
		/* Missing from the store, or something else lies there: check says so; ls must
		 * still show the name. */
		memset(out, 0, sizeof(*out));
		out->st_mode = S_IFREG | (f->attrs.mode & 0444);
		out->st_uid = f->attrs.uid;
		out->st_gid = f->attrs.gid;
		out->st_atim = out->st_mtim = out->st_ctim = timespec_of_ns(f->attrs.mtime_ns);
		err = 0;
	}
	out->st_mode &= ~(mode_t)0222; /* one that was adopted may have it in the store */
	if (!err && i >= 0) {
		out->st_size = (off_t)f->parts[i].gz_bytes;
		set_blocks(out, f->parts[i].gz_bytes);
	}
	out->st_nlink = f->n.linked;
	lock_drop(&s->lock);
	return err;
}

int store_getattr(struct store *s, struct node *n, struct stat *out)
{
	int err;

	switch (n->kind) {
	case NODE_DIR:
		err = stat_dir(s, to_dir(n), out);
		break;
	case NODE_LINK:
		err = stat_link(s, n, out);
		break;
	case NODE_OBJECT:
		err = stat_object(s, (struct object *)n, out);
		break;
	default:
		err = stat_file(s, to_file(n), out);
	}
	if (!err)
		out->st_ino = node_ino(s, n);
	return err;
}

/* ---- setting ---- */

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
	return set & SET_TIMES ? io_set_times(fd, "", times) : 0;
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
		err = io_set_times(dfd, name, times);
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
		err = stat_raw(s, f, &st);
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

int store_statfs(struct store *s, struct statvfs *out)
{
	if (fstatvfs(s->fd, out) != 0)
		return -errno;
	out->f_namemax = NAME_PLAIN_BYTES;
	return 0;
}
