/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is opened by name may be renamed or removed at that moment: it is the raw file if it has its
 * identity (io_identity()), and else looked for again.
 */
#include "lib/raw.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/xattr.h>

#include "lib/catalog.h"
#include "lib/dirfd.h"
#include "lib/io.h"
#include "lib/layout.h"
#include "lib/log.h"
#include "lib/space.h"

#define MARK "user.notepackfs"

int raw_read_mark(int fd, struct raw_mark *mark)
{
	char text[64];
	unsigned long long id, base;
	ssize_t n = fgetxattr(fd, MARK, text, sizeof(text) - 1);

	if (n < 0)
		/* ERANGE: longer than any of ours. */
		return errno == ENOTSUP || errno == ERANGE ? -ENODATA : -errno;
	text[n] = '\0';
	if (sscanf(text, "%llu %llu", &id, &base) != 2 || id == 0 || id > RAW_ID_MAX)
		return -ENODATA;
	*mark = (struct raw_mark){.id = id, .base = base};
	return 0;
}

int raw_write_mark(struct store *s, int fd, const struct raw_mark *mark)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%llu %llu", (unsigned long long)mark->id,
			 (unsigned long long)mark->base);
	struct stat st;

	if (!s->have_xattrs)
		return 0;
	if (fstat(fd, &st) != 0)
		return -errno;
	if (st.st_nlink > 1) /* it may be anyone's */
		return -EMLINK;
	return fsetxattr(fd, MARK, text, (size_t)n, 0) == 0 ? 0 : -errno;
}

/* The first byte of from … to that is not zero, or that cannot be read; or `to`. */
static uint64_t skip_zeroes(int fd, uint64_t from, uint64_t to)
{
	uint8_t buf[4096];

	while (from < to) {
		ssize_t n = io_pread(fd, buf, (size_t)MIN(sizeof(buf), to - from), from);

		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++, from++) {
			if (buf[i])
				return from;
		}
	}
	return from;
}

uint64_t raw_begin(int fd, const struct stat *st, uint64_t base)
{
	uint64_t bytes = (uint64_t)st->st_size, block = (uint64_t)st->st_blksize, at = 0;
	uint64_t end = MIN(base, bytes);
	uint64_t begin;
	int err = base ? io_next_data(fd, 0, &at) : 0;

	if (err == -ENXIO)
		return bytes && bytes <= base ? RAW_HOLLOW : end;
	if (err)
		return 0;
	if (at >= end)
		return end;
	begin = skip_zeroes(fd, at, MIN(end, (at / block + 1) * block));
	/* No hole is in front of it, and it is not the block of base, or has other bytes, too. */
	if (!at && (base / block || begin < end))
		return 0;
	return begin;
}

#define PATH MARK ".path"
#define REASON MARK ".error"

int raw_write_path(int fd, const char *path)
{
	if (path)
		return fsetxattr(fd, PATH, path, strlen(path), 0) == 0 ? 0 : -errno;
	fremovexattr(fd, PATH);
	fremovexattr(fd, MARK);
	fremovexattr(fd, REASON);
	return 0;
}

static int read_text(int fd, const char *name, char **out)
{
	ssize_t size = fgetxattr(fd, name, NULL, 0);
	char *text = size < 0 ? NULL : malloc((size_t)size + 1);

	if (size < 0)
		/* ERANGE: longer than any of ours. */
		return errno == ENOTSUP || errno == ERANGE ? -ENODATA : -errno;
	if (!text)
		return -ENOMEM;
	size = fgetxattr(fd, name, text, (size_t)size);
	if (size < 0) {
		free(text);
		return -errno;
	}
	text[size] = '\0';
	*out = text;
	return 0;
}

int raw_read_path(int fd, char **path)
{
	return read_text(fd, PATH, path);
}

void raw_write_reason(int fd, const char *reason)
{
	(void)fsetxattr(fd, REASON, reason, strlen(reason), 0);
}

int raw_read_reason(int fd, char **reason)
{
	return read_text(fd, REASON, reason);
}

void raw_place_init(struct raw_place *p, struct dir *dir, const char *name, uint64_t id,
		    bool import)
{
	p->dir = import ? NULL : dir;
	if (import)
		snprintf(p->name, sizeof(p->name), LAYOUT_IMPORT "/%llu",
			 (unsigned long long)id);
	else
		snprintf(p->name, sizeof(p->name), "%s", name);
}

int raw_place_get(struct store *s, const struct raw_place *p)
{
	return p->dir ? dirfd_get(s, p->dir) : s->fd;
}

void raw_place_put(struct store *s, const struct raw_place *p)
{
	if (p->dir)
		dirfd_put(s, p->dir);
}

/* Open name; a daemon without privileges may have to lift the file's own permissions for it. */
static int open_raw(struct store *s, int dfd, const char *name, int flags)
{
	int fd = io_open(dfd, name, flags, 0);
	struct stat st;
	int err;

	if (fd != -EACCES || s->options.read_only || io_stat(dfd, name, &st) != 0 ||
	    !S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return fd;
	err = io_chmod(dfd, name, S_IFREG, (st.st_mode & 07777) | 0600);
	if (err)
		return err;
	fd = io_open(dfd, name, flags, 0);
	if (fd >= 0 && fchmod(fd, st.st_mode & 07777) != 0)
		log_warning("%s: its mode could not be set back: %s", name, strerror(errno));
	return fd;
}

/* One try by name; -EAGAIN: it was being renamed. */
static int open_by_name(struct store *s, struct file *f, int flags, int *out)
{
	struct raw_place place, now;
	struct dir *d;
	uint64_t identity = 0;
	int dfd, fd, err;
	bool moved, held, recovered, foreign, used;

	lock_take(&s->lock);
	while (f->n.linked && f->n.busy == BUSY_NAME)
		cond_wait(&s->changed, &s->lock);
	if (!f->n.linked || !f->raw_present) {
		/* What is settled has its name on another node: the kernel looks again. */
		err = f->settled ? -ESTALE : -ENOENT;

		lock_drop(&s->lock);
		return err;
	}
	d = f->n.dir;
	node_ref_locked(&d->n);
	raw_place_init(&place, d, f->n.name, f->id, f->import);
	recovered = f->raw_recovered;
	lock_drop(&s->lock);

	dfd = raw_place_get(s, &place);
	/* Before we are a writer ourselves: afterwards there is no telling. */
	foreign = recovered &&
		  (dfd < 0 || s->options.read_only || raw_has_foreign_writer(dfd, place.name));
	used = recovered && !foreign && raw_has_foreign_user(dfd, place.name);
	fd = dfd < 0 ? dfd : open_raw(s, dfd, place.name, flags);
	if (dfd >= 0)
		raw_place_put(s, &place);
	if (fd == -EINVAL || fd == -ELOOP) {
		log_error("%s: is no regular file in the store any more; was the store changed "
			  "from outside? unmount and run notepackctl check",
			  place.name);
		fd = -EIO;
	}
	err = fd < 0 ? 0 : io_fidentity(fd, &identity);
	if (fd >= 0 && !err && identity != f->raw_identity)
		err = -ENOENT;
	if (err) {
		close(fd);
		fd = err;
	}

	lock_take(&s->lock);
	moved = !f->n.linked || f->n.busy == BUSY_NAME;
	if (!moved) {
		raw_place_init(&now, f->n.dir, f->n.name, f->id, f->import);
		moved = now.dir != place.dir || strcmp(now.name, place.name) != 0;
	}
	held = f->n.busy == BUSY_HELD;
	if (fd >= 0 && !moved && !foreign)
		f->raw_recovered = f->raw_old = false;
	/* Another thread may have found meanwhile that there was no one, and be him whom we have seen. */
	if (fd >= 0 && !moved && recovered && !s->options.read_only)
		catalog_living_locked(s, f, foreign && f->raw_recovered);
	f->raw_shown |= used; /* a mapping, from before a crash */
	node_unref_locked(s, &d->n, 1);
	lock_drop(&s->lock);
	if (fd == -ENOENT) /* held: it is being removed, or replaced, just now */
		return moved ? -EAGAIN : held ? -ESTALE : -EIO;
	*out = fd;
	return fd < 0 ? fd : 0;
}

int raw_get(struct store *s, struct file *f, struct raw **out)
{
	int flags = s->options.read_only ? O_RDONLY : O_RDWR;
	struct raw *fresh = NULL;
	int fd = -1, err = 0;

	for (;;) {
		lock_take(&s->lock);
		if (f->raw) {
			f->raw->refs++;
			*out = f->raw;
			lock_drop(&s->lock);
			break;
		}
		if (fresh && fd >= 0) {
			*fresh = (struct raw){.fd = fd, .refs = 1};
			f->raw = *out = fresh;
			lock_drop(&s->lock);
			return 0;
		}
		lock_drop(&s->lock);
		if (!fresh)
			fresh = malloc(sizeof(*fresh));
		err = fresh ? open_by_name(s, f, flags, &fd) : -ENOMEM;
		if (err && err != -EAGAIN)
			break;
	}
	if (fd >= 0)
		close(fd);
	free(fresh);
	return err;
}

int raw_open_unseen(struct store *s, struct file *f, struct raw **raw, int *fd)
{
	bool alone;
	int err;

	lock_take(&s->lock);
	alone = !f->raw && !f->raw_recovered;
	lock_drop(&s->lock);
	if (alone) {
		do
			err = open_by_name(s, f, O_RDONLY | O_NOATIME, fd);
		while (err == -EAGAIN);
		if (err != -EPERM && err != -EACCES) /* it is not our own */
			return err;
	}
	err = raw_get(s, f, raw);
	if (err)
		return err;
	*fd = io_reopen_unseen((*raw)->fd);
	return MIN(*fd, 0);
}

void raw_put(struct store *s, struct file *f, struct raw *raw)
{
	bool last;

	if (!raw)
		return;
	lock_take(&s->lock);
	last = --raw->refs == 0;
	if (last && f->raw == raw)
		f->raw = NULL;
	lock_drop(&s->lock);
	if (last) {
		close(raw->fd);
		free(raw);
	}
}

int raw_sync(struct store *s, struct file *f, int fd)
{
	int err;

	lock_take(&s->lock);
	err = f->error;
	lock_drop(&s->lock);
	if (err)
		return err;
	err = io_fsync(fd);
	if (!err)
		return 0;
	log_error(
	    "%s: fsync failed: %s; bytes written since the last fsync may be lost on a power "
	    "cut, write the file again",
	    f->n.linked ? f->n.name : "a removed file", strerror(-err));
	lock_take(&s->lock);
	f->error = -EIO;
	lock_drop(&s->lock);
	return err;
}

/* Write a raw file that is one hole up to base, with its owner, times and mark, under a private
 * name. */
static int make_private(struct store *s, struct file *f, const char *name, int *out)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, timespec_of_ns(f->attrs.mtime_ns)};
	struct raw_mark mark = {.id = f->id, .base = f->sealed_end};
	int fd = io_open(s->fd, name, O_RDWR | O_CREAT | O_EXCL, 0600);
	int err = 0;

	if (fd < 0)
		return fd;
	if (ftruncate(fd, (off_t)f->sealed_end) != 0)
		err = -errno;
	if (!err)
		err = raw_write_mark(s, fd, &mark);
	if (!err && geteuid() == 0 && fchown(fd, f->attrs.uid, f->attrs.gid) != 0)
		err = -errno;
	if (!err && fchmod(fd, f->attrs.mode & 07777) != 0)
		err = -errno;
	if (!err)
		err = io_set_times(fd, times);
	if (err) {
		close(fd);
		io_unlink(s->fd, name, 0);
		return err;
	}
	*out = fd;
	return 0;
}

static void have_raw(struct store *s, struct file *f, uint64_t identity, struct raw *pinned)
{
	lock_take(&s->lock);
	f->raw_present = true;
	f->raw_durable = false;
	f->raw_recovered = f->raw_old = false;
	f->raw_unproven = f->raw_doubted = f->raw_shown = f->raw_mapped = false;
	f->raw_identity = identity;
	f->raw_base = f->sealed_end;
	f->written_end = f->sealed_end;
	f->raw_pinned = pinned != NULL;
	if (pinned)
		f->raw = pinned;
	lock_drop(&s->lock);
}

/* For a file that was removed and is open: it has no name, and ends with the file. */
static int make_nameless(struct store *s, struct file *f, const char *name, int fd)
{
	struct raw *raw = malloc(sizeof(*raw));
	uint64_t identity;
	int err = io_unlink(s->fd, name, 0);

	if (!raw)
		err = -ENOMEM;
	if (!err)
		err = io_fidentity(fd, &identity);
	if (!err) {
		*raw = (struct raw){.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0), .refs = 1};
		err = raw->fd < 0 ? -errno : 0;
	}
	if (err) {
		free(raw);
		return err;
	}
	have_raw(s, f, identity, raw);
	return 0;
}

static int make_in_place(struct store *s, struct file *f, bool linked)
{
	static atomic_ulong counter;
	char name[64];
	uint64_t identity;
	CLEANUP_FD int fd = -1;
	int dfd, err;

	snprintf(name, sizeof(name), LAYOUT_TMP "/raw.%llu.%lu", (unsigned long long)f->id,
		 atomic_fetch_add(&counter, 1));
	err = make_private(s, f, name, &fd);
	if (err)
		return err;
	if (!linked)
		return make_nameless(s, f, name, fd);
	dirfd_hold_times(s, f->n.dir);
	dfd = dirfd_get(s, f->n.dir);
	err = io_fidentity(fd, &identity); /* behind the rename nothing may fail */
	if (!err)
		err = dfd < 0 ? dfd : io_rename_noreplace(s->fd, name, dfd, f->n.name);
	if (err) { /* only its answer may have been lost */
		err = dfd >= 0 && io_is_named(fd, dfd, f->n.name) ? 0 : err;
		io_unlink(s->fd, name, 0);
	}
	if (dfd >= 0)
		dirfd_put(s, f->n.dir);
	dirfd_release_times(s, f->n.dir);
	if (err)
		return err;
	have_raw(s, f, identity, NULL);
	return 0;
}

int raw_make(struct store *s, struct file *f)
{
	int err = 0;

	if (!s->have_xattrs) {
		log_notice(
		    "%s: appending to a sealed file is refused: the store's file system has "
		    "no user attributes to say where the new bytes begin",
		    f->n.linked ? f->n.name : "a removed file");
		return -EOPNOTSUPP;
	}
	lock_take(&s->lock);
	/* The name must stay while we put the raw file under it. */
	node_take_wait_locked(s, &f->n, BUSY_HELD);
	gate_shut_locked(s, f);
	if (!f->raw_present) {
		bool linked = f->n.linked; /* it stays so: the node is held */

		lock_drop(&s->lock);
		err = space_take_inode(s);
		if (!err)
			err = make_in_place(s, f, linked);
		lock_take(&s->lock);
	}
	gate_open_locked(s, f);
	struct waiter *w = node_give_locked(s, &f->n);

	lock_drop(&s->lock);
	waiters_wake(w);
	return err;
}
