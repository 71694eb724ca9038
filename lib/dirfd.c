/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/dirfd.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/catalog.h"
#include "lib/io.h"
#include "lib/log.h"

static void use_locked(struct store *s, struct dir *d) REQUIRES(s->lock)
{
	if (d->fd_users++ == 0 && d != s->root) {
		DL_DELETE2(s->fd_list, d, fd_prev, fd_next);
		s->fd_count--;
	}
}

/* Put a fresh descriptor into the directory, as used once. Returns one to close, or -1. */
static int install_locked(struct store *s, struct dir *d, int fd) REQUIRES(s->lock)
{
	if (d->fd >= 0) { /* someone was faster */
		use_locked(s, d);
		return fd;
	}
	d->fd = fd;
	d->fd_users = 1;
	return -1;
}

/* Open d under this name in its parent. -ESTALE: the name means something else (by now). */
static int open_in_parent(struct store *s, struct dir *d, struct dir *parent, const char *name)
{
	struct stat st;
	int pfd = dirfd_get(s, parent);
	int fd;

	if (pfd < 0)
		return pfd;
	fd = io_open(pfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	dirfd_put(s, parent);
	if (fd == -ENOENT || fd == -ENOTDIR)
		return -ESTALE;
	if (fd < 0)
		return fd;
	if (io_fstat(fd, &st) != 0 || st.st_ino != d->ino) {
		close(fd);
		return -ESTALE;
	}
	return fd;
}

/* One try; -EAGAIN: the name was changing, try again. */
static int try_open(struct store *s, struct dir *d)
{
	char name[NAME_BYTES + 1];
	struct dir *parent;
	int fd, close_fd = -1;

	lock_take(&s->lock);
	if (d->fd >= 0) {
		use_locked(s, d);
		fd = d->fd;
		lock_drop(&s->lock);
		return fd;
	}
	while (d->n.linked && d->n.busy == BUSY_NAME)
		cond_wait(&s->changed, &s->lock);
	parent = d->n.dir;
	if (!d->n.linked) {
		lock_drop(&s->lock);
		return -ENOENT;
	}
	memcpy(name, d->n.name, strlen(d->n.name) + 1);
	node_ref_locked(&parent->n);
	lock_drop(&s->lock);

	fd = open_in_parent(s, d, parent, name);

	lock_take(&s->lock);
	if (fd >= 0) {
		close_fd = install_locked(s, d, fd);
		fd = d->fd;
	} else if (fd == -ESTALE) {
		bool moved = !d->n.linked || d->n.busy != IDLE || d->n.dir != parent ||
			     strcmp(d->n.name, name) != 0;

		fd = moved ? -EAGAIN : -EIO;
	}
	node_unref_locked(s, &parent->n, 1);
	lock_drop(&s->lock);
	if (close_fd >= 0)
		close(close_fd);
	if (fd == -EIO)
		log_error(
		    "%s: the directory is not where it was in the store; was the store changed "
		    "from outside? unmount and run notepackctl check",
		    name);
	return fd;
}

int dirfd_get(struct store *s, struct dir *d)
{
	int fd;

	do
		fd = try_open(s, d);
	while (fd == -EAGAIN);
	return fd;
}

void dirfd_put(struct store *s, struct dir *d)
{
	int close_fd = -1;

	lock_take(&s->lock);
	if (--d->fd_users == 0 && d != s->root) {
		DL_APPEND2(s->fd_list, d, fd_prev, fd_next);
		if (++s->fd_count > DIRFD_KEPT) {
			struct dir *oldest = s->fd_list;

			DL_DELETE2(s->fd_list, oldest, fd_prev, fd_next);
			s->fd_count--;
			close_fd = oldest->fd;
			oldest->fd = -1;
		}
	}
	lock_drop(&s->lock);
	if (close_fd >= 0)
		close(close_fd);
}

int dirfd_get_named(struct store *s, struct node *n, char name[NAME_BYTES + 1], struct dir **d)
{
	int dfd;

	lock_take(&s->lock);
	while (n->linked && (n->busy == BUSY_NAME || (n->busy != IDLE && n->kind != NODE_FILE)))
		cond_wait(&s->changed, &s->lock);
	if (!n->linked) {
		lock_drop(&s->lock);
		return -ENOENT;
	}
	*d = n->dir;
	node_ref_locked(&n->dir->n);
	snprintf(name, NAME_BYTES + 1, "%s", n->name);
	lock_drop(&s->lock);
	dfd = dirfd_get(s, *d);
	if (dfd < 0)
		node_unref(s, &(*d)->n, 1);
	return dfd;
}

void dirfd_put_named(struct store *s, struct dir *d)
{
	dirfd_put(s, d);
	node_unref(s, &d->n, 1);
}

int dirfd_sync(struct store *s, struct dir *d)
{
	struct dir *parent = NULL;
	int fd = dirfd_get(s, d);
	int err;

	if (fd < 0)
		return fd;
	err = io_syncdir(fd, ".");
	dirfd_put(s, d);
	if (err || d == s->root)
		return err;

	lock_take(&s->lock);
	if (!d->durable && d->n.linked) {
		parent = d->n.dir;
		node_ref_locked(&parent->n);
	}
	lock_drop(&s->lock);
	if (!parent)
		return 0;
	err = dirfd_sync(s, parent);
	lock_take(&s->lock);
	/* If it was renamed meanwhile, the rename has cleared it after us or syncs by itself.
	 */
	if (!err && d->n.linked && d->n.dir == parent)
		d->durable = true;
	node_unref_locked(s, &parent->n, 1);
	lock_drop(&s->lock);
	return err;
}

void dirfd_changed(struct store *s, struct dir *d)
{
	static const struct timespec now[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
	int fd = dirfd_get(s, d);
	int dir = fd < 0 ? -1 : io_open(fd, ".", O_RDONLY | O_DIRECTORY, 0);

	if (dir >= 0) {
		io_set_times(dir, now);
		close(dir);
	}
	if (fd >= 0)
		dirfd_put(s, d);
}

void dirfd_touch_locked(struct dir *d)
{
	d->touched++;
	if (d->held)
		clock_gettime(CLOCK_REALTIME, &d->held_mtime);
}

/* Another holder keeps it: what is held stands, and it will be given back at the end. */
static bool hold_again(struct store *s, struct dir *d)
{
	bool held;

	lock_take(&s->lock);
	held = d->held > 0;
	if (held) {
		d->held++;
		node_ref_locked(&d->n);
	}
	lock_drop(&s->lock);
	return held;
}

static bool release_early(struct store *s, struct dir *d)
{
	bool early;

	lock_take(&s->lock);
	early = d->held > 1;
	if (early) {
		d->held--;
		node_unref_locked(s, &d->n, 1);
	}
	lock_drop(&s->lock);
	return early;
}

void dirfd_hold_times(struct store *s, struct dir *d)
{
	struct stat st = {0};
	unsigned touched;
	int fd;

	if (hold_again(s, d))
		return;
	fd = dirfd_get(s, d);
	lock_take(&s->lock);
	do { /* until no user's change came between looking and holding */
		touched = d->touched;
		lock_drop(&s->lock);
		if (fd >= 0)
			io_fstat(fd, &st);
		lock_take(&s->lock);
	} while (touched != d->touched);
	if (d->held++ == 0)
		d->held_mtime = st.st_mtim;
	node_ref_locked(&d->n);
	lock_drop(&s->lock);
	if (fd >= 0)
		dirfd_put(s, d);
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

void dirfd_release_times(struct store *s, struct dir *d)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
	int fd, dir;

	if (release_early(s, d))
		return;
	fd = dirfd_get(s, d);
	dir = fd < 0 ? -1 : io_open(fd, ".", O_RDONLY | O_DIRECTORY, 0);
	/* Give the time back before the hold ends, so that no one sees another; again if a
	 * user's change came meanwhile. */
	lock_take(&s->lock);
	do {
		times[1] = d->held_mtime;
		lock_drop(&s->lock);
		if (dir >= 0)
			io_set_times(dir, times);
		lock_take(&s->lock);
	} while (!same_time(&times[1], &d->held_mtime));
	d->held--;
	lock_drop(&s->lock);
	if (dir >= 0)
		close(dir);
	if (fd >= 0)
		dirfd_put(s, d);
	node_unref(s, &d->n, 1);
}
