/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A name that is being made is put into memory first, busy, so that no one else can take it
 * while the store is asked; it is taken out again if the store refuses.
 */
#include "lib/tree.h"

#include <fcntl.h>

#include "lib/catalog.h"
#include "lib/cut.h"
#include "lib/dirfd.h"
#include "lib/file.h"
#include "lib/import.h"
#include "lib/io.h"
#include "lib/load.h"
#include "lib/log.h"
#include "lib/pass.h"
#include "lib/raw.h"
#include "lib/space.h"

int enter_dir(struct store *s, struct node *dir, struct dir **out)
{
	*out = to_dir(dir);
	if (dir->kind != NODE_DIR)
		return -ENOTDIR;
	return dir_load(s, *out);
}

bool store_may_cache_absence(const struct store *s, const char *name)
{
	return !name_has_sealed_suffix(name, store_suffix(s));
}

/* statfs tells the limit. What may be longer: excluded names, and those of objects whose plain name
 * is not. */
static bool is_too_long(struct store *s, const char *name)
{
	return name_plain_bytes(name, store_suffix(s)) > NAME_PLAIN_BYTES &&
	       !globs_match(&s->exclude, name) && !name_is_refused(name, store_suffix(s));
}

/* ---- looking ---- */

/* An import that is being written is no one's but its writer's. */
static bool is_hidden_locked(const struct node *n)
{
	const struct file *f = (const struct file *)n;

	return n->kind == NODE_FILE && f->import && f->writers > f->flushed;
}

int store_lookup(struct store *s, struct node *dir, const char *name, struct node **out)
{
	struct found found;
	struct dir *d;
	int err = enter_dir(s, dir, &d);

	if (err)
		return err;
	if (strlen(name) > NAME_BYTES)
		return -ENAMETOOLONG;
	lock_take(&s->lock);
	catalog_find_locked(s, d, name, &found);
	if (found.node && is_hidden_locked(found.node))
		found.node = NULL;
	*out = found.node;
	if (found.node && found.part) {
		struct object *o = catalog_object_locked(s, to_file(found.node), found.part);

		*out = o ? &o->n : NULL;
		err = o ? 0 : -ENOMEM;
	} else if (found.node) {
		node_ref_locked(found.node);
	} else {
		err = is_too_long(s, name) ? -ENAMETOOLONG : -ENOENT;
	}
	lock_drop(&s->lock);
	return err;
}

int store_readdir(struct store *s, struct node *dir, uint64_t cookie, struct store_dirent *out,
		  int max)
{
	struct dir *d;
	int count = 0;
	int err = enter_dir(s, dir, &d);

	if (err)
		return err;
	pass_learn_all(s, d);
	lock_take(&s->lock);
	for (size_t i = catalog_slot_behind(d, cookie); i < d->slot_count && count < max; i++) {
		struct store_dirent *e = &out[count];
		struct slot *slot = &d->slots[i];
		struct object *o;

		if (!catalog_slot_name_locked(s, slot, e->name))
			continue;
		e->cookie = slot->cookie;
		e->node = slot->node;
		if (slot->part) {
			o = catalog_object_locked(s, to_file(slot->node), slot->part);
			if (!o) {
				d->changes++; /* one without it must not be kept */
				continue;
			}
			e->node = &o->n;
		} else {
			node_ref_locked(slot->node);
		}
		count++;
	}
	lock_drop(&s->lock);
	return count;
}

int store_readlink(struct store *s, struct node *link, char *out, size_t size)
{
	char name[NAME_BYTES + 1];
	struct dir *d;
	ssize_t n;
	int dfd;

	if (link->kind != NODE_LINK)
		return -EINVAL;
	dfd = dirfd_get_named(s, link, name, &d);
	if (dfd < 0)
		return dfd;
	n = io_readlink(dfd, name, out, size);
	dirfd_put_named(s, d);
	return n < 0 ? (int)n : 0;
}

/* ---- making ---- */

void refuse_new_name(struct store *s, struct dir *d, const char *name)
{
	CLEANUP_BUF struct buf path = {0};

	if (!name_has_sealed_suffix(name, store_suffix(s)))
		return;
	lock_take(&s->lock);
	catalog_path_locked(s, &d->n, 0, &path);
	lock_drop(&s->lock);
	log_notice(
	    "%s%s%s: refused: names that end in %s.gz are for sealed files, and for gzip "
	    "files that are imported as a whole; choose another name",
	    path.len ? path.data : "", path.len ? "/" : "", name, store_suffix(s));
}

int check_new_name_locked(struct store *s, struct dir *d, const char *name, enum node_kind kind)
{
	if (strlen(name) > NAME_BYTES)
		return -ENAMETOOLONG;
	if (d == s->root && strcmp(name, NAME_PRIVATE) == 0)
		return -EPERM;
	if (globs_match(&s->exclude, name) || name_is_refused(name, store_suffix(s)))
		return 0;
	if (is_too_long(s, name))
		return -ENAMETOOLONG;
	if (catalog_is_import_locked(s, d, name)) {
		if (kind != NODE_FILE)
			return -EPERM;
		if (!name_is_import(name, store_suffix(s)))
			return -EINVAL;
		return s->have_xattrs ? 0 : -EOPNOTSUPP;
	}
	return kind == NODE_FILE ? name_check_plain(name, store_suffix(s)) : 0;
}

/* Put n under its new name, busy, unless the name (or its stem) is taken. */
static int begin_locked(struct store *s, struct caller *c, struct dir *d, struct node *n,
			const char *name) REQUIRES(s->lock)
{
	struct found found;
	int err;

	if (d != s->root && !d->n.linked)
		return -ENOENT;
	catalog_find_locked(s, d, name, &found);
	if (!found.node && n->kind == NODE_FILE) {
		struct file *f =
		    catalog_find_rival_locked(s, d, name, catalog_is_import_locked(s, d, name));

		found.node = f ? &f->n : NULL;
	}
	if (found.node && found.node->busy == IDLE)
		return -EEXIST;
	if (found.node)
		return node_take_locked(s, found.node, BUSY_NAME, c);
	err = check_new_name_locked(s, d, name, n->kind);
	if (err)
		return err;
	if (n->kind == NODE_FILE)
		to_file(n)->import = catalog_is_import_locked(s, d, name);
	n->busy = BUSY_NAME;
	node_ref_locked(n);
	err = catalog_link_locked(s, d, n, name);
	if (err) {
		n->busy = IDLE;
		node_unref_locked(s, n, 1);
	}
	return err;
}

/* The store has answered: keep the name, or take it back. */
static void end(struct store *s, struct dir *d, struct node *n, int err)
{
	struct waiter *w;

	lock_take(&s->lock);
	if (err)
		catalog_unlink_locked(s, n);
	else
		dirfd_touch_locked(d);
	w = node_give_locked(s, n);
	lock_drop(&s->lock);
	waiters_wake(w);
}

/* Owner of something new: the caller, and the directory's group if it hands that on. */
static int own(int parent, int dfd, const char *name, mode_t kind, const struct caller *c,
	       mode_t *mode)
{
	struct stat st;
	gid_t gid = c->gid;
	int err = io_fstat(parent, &st);

	if (err)
		return err;
	if (st.st_mode & S_ISGID) {
		gid = st.st_gid;
		if (kind == S_IFDIR)
			*mode |= S_ISGID;
	}
	if (geteuid() != 0 || (c->uid == 0 && gid == 0))
		return 0;
	return io_chown(dfd, name, kind, c->uid, gid);
}

/* The raw file of a new file, owned and marked. Returns a descriptor. */
static int create_raw(struct store *s, struct caller *c, struct dir *d, const struct file *f,
		      mode_t mode, uint64_t *identity)
{
	struct raw_mark mark = {.id = f->id};
	struct raw_place place;
	int parent = dirfd_get(s, d);
	int dfd, fd, err;

	if (parent < 0)
		return parent;
	raw_place_init(&place, d, f->n.name, f->id, f->import);
	dfd = f->import ? s->fd : parent;
	fd = io_open(dfd, place.name, O_RDWR | O_CREAT | O_EXCL, mode & 0777);
	err = fd < 0 ? fd : own(parent, dfd, place.name, S_IFREG, c, &mode);
	if (!err && (mode & 07000) && fchmod(fd, mode & 07777) != 0)
		err = -errno;
	if (!err)
		err = raw_write_mark(s, fd, &mark);
	if (!err && f->import)
		err = import_note_path(s, fd, d, f->n.name);
	if (!err)
		err = io_fidentity(fd, identity);
	if (err && fd >= 0) {
		io_unlink(dfd, place.name, 0);
		close(fd);
	}
	dirfd_put(s, d);
	if (!err && f->import)
		dirfd_changed(s, d);
	return err ? err : fd;
}

/* Make the raw file of f, which is busy. On 0 *raw is open, with one reference. */
static int fill_new_file(struct store *s, struct caller *c, struct dir *d, struct file *f,
			 mode_t mode, struct raw **out)
{
	struct raw *raw = malloc(sizeof(*raw));
	uint64_t identity = 0;
	int fd = raw ? space_take_inode(s) : -ENOMEM;

	if (!fd)
		fd = create_raw(s, c, d, f, mode, &identity);
	if (fd < 0) {
		free(raw);
		return fd;
	}
	*raw = (struct raw){.fd = fd, .refs = 1};
	lock_take(&s->lock);
	f->raw = *out = raw;
	f->raw_present = true;
	f->raw_identity = identity;
	lock_drop(&s->lock);
	return 0;
}

/* Without a handle there is no file: its name is free again. */
static int open_new_file(struct store *s, struct dir *d, struct file *f, int flags,
			 struct raw *raw, struct handle **handle)
{
	int err = handle_new(s, &f->n, flags, raw, handle);
	struct raw_place place;
	int dfd;

	if (!err)
		return 0;
	raw_place_init(&place, d, f->n.name, f->id, f->import);
	dfd = raw_place_get(s, &place);
	if (dfd >= 0) {
		io_unlink(dfd, place.name, 0);
		raw_place_put(s, &place);
	}
	return err;
}

int store_create(struct store *s, struct caller *c, struct node *dir, const char *name,
		 mode_t mode, int flags, struct node **out, struct handle **handle)
{
	struct file *f = NULL;
	struct raw *raw = NULL;
	struct dir *d;
	uint64_t id;
	int err = s->options.read_only ? -EROFS : enter_dir(s, dir, &d);

	if (!err)
		err = manifest_new_id(s->manifest, &id);
	if (err)
		return err;
	f = catalog_new_file(id);
	if (!f)
		return -ENOMEM;
	lock_take(&s->lock);
	err = begin_locked(s, c, d, &f->n, name);
	lock_drop(&s->lock);
	if (err == -EPERM)
		refuse_new_name(s, d, name);
	if (!err) {
		err = fill_new_file(s, c, d, f, mode, &raw);
		if (!err)
			err = open_new_file(s, d, f, flags, raw, handle);
		end(s, d, &f->n, err);
	}
	if (err)
		node_unref(s, &f->n, 1);
	else
		*out = &f->n;
	return err;
}

/* Make a directory or a link in the store; *ino is its inode there. */
static int make_other(struct store *s, struct caller *c, struct dir *d, const char *name,
		      const char *target, mode_t mode, uint64_t *ino)
{
	struct stat st = {0};
	mode_t given = mode;
	int dfd, err = space_take_inode(s);

	if (err)
		return err;
	dfd = dirfd_get(s, d);
	if (dfd < 0)
		return dfd;
	err = target ? io_symlink(target, dfd, name) : io_mkdir(dfd, name, mode & 0777);
	if (!err) {
		err = own(dfd, dfd, name, target ? S_IFLNK : S_IFDIR, c, &mode);
		if (!err && !target && ((given | mode) & 07000))
			err = io_chmod(dfd, name, S_IFDIR, mode & 07777);
		if (!err)
			err = io_stat(dfd, name, &st);
		if (err)
			io_unlink(dfd, name, target ? 0 : AT_REMOVEDIR);
	}
	if (!err)
		*ino = st.st_ino;
	dirfd_put(s, d);
	return err;
}

static int make(struct store *s, struct caller *c, struct node *dir, struct node *n,
		const char *name, const char *target, mode_t mode, struct node **out)
{
	struct dir *d;
	uint64_t ino;
	int err = s->options.read_only ? -EROFS : enter_dir(s, dir, &d);

	if (!n)
		return -ENOMEM;
	if (!err) {
		lock_take(&s->lock);
		err = begin_locked(s, c, d, n, name);
		lock_drop(&s->lock);
		if (err == -EPERM)
			refuse_new_name(s, d, name);
	}
	if (!err) {
		err = make_other(s, c, d, name, target, mode, &ino);
		if (!err && n->kind == NODE_DIR) {
			to_dir(n)->ino = ino;
			to_dir(n)->loaded = true; /* it is empty */
		} else if (!err) {
			((struct link *)n)->ino = ino;
		}
		end(s, d, n, err);
	}
	if (err)
		node_unref(s, n, 1);
	else
		*out = n;
	return err;
}

int store_mkdir(struct store *s, struct caller *c, struct node *dir, const char *name,
		mode_t mode, struct node **out)
{
	return make(s, c, dir, (struct node *)catalog_new_dir(0), name, NULL, mode, out);
}

int store_symlink(struct store *s, struct caller *c, struct node *dir, const char *name,
		  const char *target, struct node **out)
{
	return make(s, c, dir, (struct node *)catalog_new_link(0), name, target, 0777, out);
}
