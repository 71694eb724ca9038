/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Giving a raw file up: all of it when all is sealed, or the disk space of what is.
 *
 * A writer that outlives the daemon that opened the raw file for it goes on writing into it,
 * unseen. So a raw file from before our start is given up only after a read lease on it was
 * granted: the kernel refuses one (EAGAIN) while anyone has the file open for writing.
 */
#include "lib/raw.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "lib/dirfd.h"
#include "lib/io.h"
#include "lib/log.h"
#include "lib/state.h"

#define RAW_LARGE_BYTES (1 << 20)

/* Would this lease be granted? *refused: errno, or 0. */
static bool lease_is_granted(int dfd, const char *name, int lease, int *refused)
{
	CLEANUP_FD int fd = io_open(dfd, name, O_RDONLY | O_NOFOLLOW, 0);

	*refused = 0;
	if (fd < 0)
		return false;
	/* Who opens it for writing just now waits until it is unlocked, and we get a signal: one that is
	 * ignored by default, where SIGIO ends the process. */
	if (fcntl(fd, F_SETSIG, SIGURG) != 0)
		return false;
	if (fcntl(fd, F_SETLEASE, lease) != 0) {
		*refused = errno;
		return false;
	}
	fcntl(fd, F_SETLEASE, F_UNLCK);
	return true;
}

bool raw_has_foreign_writer(int dfd, const char *name)
{
	int refused;

	if (lease_is_granted(dfd, name, F_RDLCK, &refused))
		return false;
	if (refused == EACCES)
		log_warning("%s: whether a program still writes into it cannot be seen "
			    "without CAP_LEASE, which notepackfs does not have; it is "
			    "kept until it can",
			    name);
	return !refused || refused == EAGAIN || refused == EACCES;
}

bool raw_has_foreign_user(int dfd, const char *name)
{
	int refused;

	return !lease_is_granted(dfd, name, F_WRLCK, &refused) && refused == EAGAIN;
}

/* Of a large one the bytes stay until *rest is closed: the kernel takes long to give them back. */
static int unlink_raw(int dfd, const char *name, const struct stat *st, int *rest)
{
	int fd = -1, err;

	if (st->st_size >= RAW_LARGE_BYTES)
		fd = io_open(dfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	err = io_unlink(dfd, name, 0);
	*rest = fd >= 0 ? fd : -1;
	return err;
}

/* The facts that decide, from the raw file itself; then unlink it. */
static int drop_by_name(struct store *s, struct file *f, int dfd, struct stat *st, int *rest)
{
	uint64_t identity;
	int err = io_stat_identity(dfd, f->n.name, st, &identity);

	if (err)
		return err;
	if (!S_ISREG(st->st_mode) || identity != f->raw_identity)
		return -EIO;
	if (f->raw_recovered && raw_has_foreign_writer(dfd, f->n.name))
		return 1;
	if (f->raw_recovered) /* who wrote it may have done so until now */
		err = io_stat(dfd, f->n.name, st);
	if (err)
		return err;
	if ((uint64_t)st->st_size > f->sealed_end)
		return 2;
	/* A power cut may have taken its length: then nothing is in it but the hole. Else it is not
	 * ours to judge. */
	if ((uint64_t)st->st_size < f->sealed_end && (uint64_t)st->st_size > f->raw_base)
		return -EIO;
	return unlink_raw(dfd, f->n.name, st, rest);
}

void raw_keep_attrs_locked(struct file *f, const struct stat *st)
{
	f->attrs = (struct attrs){
	    .mode = st->st_mode & 07777,
	    .uid = st->st_uid,
	    .gid = st->st_gid,
	    .mtime_ns = ns_of_timespec(&st->st_mtim),
	};
}

int raw_drop(struct store *s, struct file *f, int *rest)
{
	struct stat st;
	int dfd, err = 0;
	bool may;

	*rest = -1;
	lock_take(&s->lock);
	gate_shut_locked(s, f);
	may = f->n.linked && f->raw_present && !f->writers && f->size == f->sealed_end &&
	      f->part_count > 0 && !f->raw_unproven && !(f->raw_recovered && f->raw) &&
	      !file_is_passed(f);
	lock_drop(&s->lock);

	if (may) {
		dirfd_hold_times(s, f->n.dir);
		dfd = dirfd_get(s, f->n.dir);
		err = dfd < 0 ? dfd : drop_by_name(s, f, dfd, &st, rest);
		if (dfd >= 0)
			dirfd_put(s, f->n.dir);
		dirfd_release_times(s, f->n.dir);
	}

	lock_take(&s->lock);
	if (may && err == 0) {
		f->raw_present = false;
		raw_keep_attrs_locked(f, &st);
		f->raw = NULL;	      /* readers keep theirs; see raw_put */
	} else if (may && err == 2) { /* it has grown under a writer that we do not know */
		f->size = f->written_end = (uint64_t)st.st_size;
		f->dirty = true;
		err = 0;
	}
	gate_open_locked(s, f);
	lock_drop(&s->lock);
	return err;
}

/* The mark says, durably, that what lies before `to` is in parts. In the gate, which is not shut for it: a
 * writer does not wait for this fsync. */
static int mark_base(struct store *s, struct file *f, int fd, uint64_t to)
{
	struct raw_mark mark = {.id = f->id, .base = to};
	struct stat st;
	int err = io_fstat(fd, &st);

	if (!err && st.st_nlink > 1) /* it is someone else's, too */
		err = -EMLINK;
	if (!err)
		err = raw_write_mark(s, fd, &mark);
	if (!err)
		err = raw_sync(s, f, fd);
	return err;
}

void raw_make_hole(int fd, uint64_t end)
{
	(void)io_fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, end);
}

/*
 * With the gate shut. Readers look at raw_base again behind their pread (lib/plain.c), so it moves
 * before the bytes go. From the start of the file: a crash may have come between a mark and its hole.
 * That is no change that a user made: the time of the last one stays.
 */
static int make_hole(struct store *s, struct file *f, int fd, uint64_t to)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
	struct stat st;
	int err = io_fstat(fd, &st);

	if (err)
		return err;
	lock_take(&s->lock);
	f->raw_base = to;
	lock_drop(&s->lock);
	err = io_fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, to);
	times[1] = st.st_mtim;
	return err ? err : io_set_times(fd, times);
}

static bool may_punch_locked(struct store *s, const struct file *f, uint64_t to)
    REQUIRES(s->lock)
{
	return f->n.linked && f->raw_present && f->raw_base < to && s->have_xattrs &&
	       !f->raw_unproven && !file_is_passed(f) && !f->raw_shown &&
	       !atomic_load(&s->no_holes);
}

static int punch(struct store *s, struct file *f, int fd, uint64_t to)
{
	int err = 0;
	bool may;

	lock_take(&s->lock);
	gate_shut_locked(s, f);
	may = may_punch_locked(s, f, to); /* it may be passed by now */
	lock_drop(&s->lock);
	if (may)
		err = make_hole(s, f, fd, to);
	lock_take(&s->lock);
	gate_open_locked(s, f);
	lock_drop(&s->lock);
	if (err == -EOPNOTSUPP && !atomic_exchange(&s->no_holes, true))
		log_notice("the store's file system makes no holes in files: the disk space of "
			   "what is sealed of a file comes back when it is closed");
	return err == -EOPNOTSUPP ? 0 : err;
}

int raw_punch(struct store *s, struct file *f)
{
	struct raw *raw = NULL;
	uint64_t to;
	bool may;
	int err = 0;

	lock_take(&s->lock);
	gate_enter_locked(s, f);
	to = f->sealed_end;
	may = may_punch_locked(s, f, to);
	lock_drop(&s->lock);
	if (may)
		err = raw_get(s, f, &raw); /* which looks whose writers there are */
	lock_take(&s->lock);
	if (raw && f->raw_recovered)
		err = 1;
	lock_drop(&s->lock);
	if (raw && !err)
		err = mark_base(s, f, raw->fd, to);
	lock_take(&s->lock);
	gate_leave_locked(s, f);
	lock_drop(&s->lock);
	if (raw && !err)
		err = punch(s, f, raw->fd, to);
	raw_put(s, f, raw);
	return err;
}
