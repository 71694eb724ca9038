/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attributes. Of a file with a raw file they are the raw file's; of a sealed one they are its
 * record's (mode, mtime) and its newest object's (owner, the other times), which has them, too.
 */
#include <fcntl.h>

#include "lib/catalog.h"
#include "lib/dirfd.h"
#include "lib/io.h"
#include "lib/pass.h"
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

bool node_may_grow(struct store *s, struct node *n)
{
	const struct file *f = n->kind == NODE_FILE ? to_file(n) : NULL;
	bool may;

	lock_take(&s->lock);
	may = f && f->raw_recovered && f->raw_present && !f->import && !s->options.read_only;
	lock_drop(&s->lock);
	return may;
}

bool node_has_old_writer(struct store *s, struct node *n)
{
	const struct file *f = n->kind == NODE_FILE ? to_file(n) : NULL;
	bool has;

	lock_take(&s->lock);
	has = f && f->raw_recovered && f->raw_old && !f->import;
	lock_drop(&s->lock);
	return has;
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

/* fstatat under the node's name, once it stands still. -EIO: something of another kind lies there,
 * which the kernel must not take for what it knows. */
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
	if (!err && (out->st_mode & S_IFMT) != (n->kind == NODE_LINK ? S_IFLNK : S_IFREG))
		err = -EIO;
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
		err = raw_stat(s, f, out);
		if (err == -EACCES || err == -EPERM)
			err = stat_by_name(s, &f->n, out);
	}
	lock_take(&s->lock);
	if (present && !err)
		pass_grown_locked(s, f, (uint64_t)out->st_size);
	gate_leave_locked(s, f);
	lock_drop(&s->lock);
	if (err)
		return err;
	if (!present)
		stat_sealed(s, f, out);
	lock_take(&s->lock);
	for (uint32_t i = 0; i < f->part_count; i++)
		blocks += (f->parts[i].gz_bytes + 4095) / 4096 * 8;
	out->st_size = (off_t)((f->withheld ? MIN(f->size, f->answered) : f->size) - f->base);
	out->st_blocks += (blkcnt_t)blocks;
	out->st_nlink = f->n.linked;
	lock_drop(&s->lock);
	return 0;
}

/* The object's file, as someone has it open who has done so before it was removed; -ENOENT: no one has. */
static int dup_of_handle(struct store *s, const struct node *n)
{
	const struct handle *h;
	int fd = -ENOENT;

	lock_take(&s->lock);
	DL_FOREACH (s->handles, h) {
		if (h->node == n && h->fd >= 0) {
			fd = fcntl(h->fd, F_DUPFD_CLOEXEC, 0);
			fd = fd < 0 ? -errno : fd;
			break;
		}
	}
	lock_drop(&s->lock);
	return fd;
}

static int stat_object(struct store *s, struct object *o, struct stat *out)
{
	struct file *f = o->file;
	int fd = plain_open_part(s, f, o->number);
	bool removed;
	int err, i;

	lock_take(&s->lock);
	removed = fd == -ENOENT && !f->n.linked;
	lock_drop(&s->lock);
	if (removed)
		fd = dup_of_handle(s, &o->n);
	err = fd < 0 ? fd : io_fstat(fd, out);

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

int store_statfs(struct store *s, struct statvfs *out)
{
	if (fstatvfs(s->fd, out) != 0)
		return -errno;
	out->f_namemax = NAME_PLAIN_BYTES;
	return 0;
}
