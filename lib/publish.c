/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A segment that fails drops out of its batch and is retried, the others go on. A failure
 * behind the rename leaves the object where it is (L13): the file stays busy, so that its names
 * stand still, and the retry goes on from there (segment.renamed). Recovery would adopt the
 * object.
 *
 * While a segment is here its file is busy (BUSY_HELD), so its names stand still; and the
 * tree is, so that the paths in the manifest do, too.
 */
#include "lib/publish.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/barrier.h"
#include "lib/catalog.h"
#include "lib/cut.h"
#include "lib/dirfd.h"
#include "lib/events.h"
#include "lib/fsyncs.h"
#include "lib/io.h"
#include "lib/lazy.h"
#include "lib/leftover.h"
#include "lib/log.h"
#include "lib/notify.h"
#include "lib/object.h"
#include "lib/piecewise.h"
#include "lib/raw.h"
#include "lib/rotate.h"
#include "lib/sealer.h"
#include "lib/temporary.h"

/* The segments still in the batch; those that drop out are taken from it. */
struct batch {
	struct store *store;
	struct segment **segs;
	size_t count;
	/* Of raw files that were given up: closed when everyone has been told. */
	int rests[PUBLISH_BATCH];
	size_t rest_count;
};

/* ---- entering and leaving ---- */

static void unparked(struct waiter *w)
{
	struct segment *seg = (struct segment *)((char *)w - offsetof(struct segment, waiter));

	sealer_ready(seg->store->sealer, seg);
}

enum entry { ENTERED, PARKED, GONE, NO_MEMORY };

/* Note where the file is: a directory above may have moved since the last try. */
static int note_path_locked(struct store *s, struct segment *seg) REQUIRES(s->lock)
{
	struct buf path = {0};

	buf_str(&path, "");
	catalog_path_locked(s, &seg->file->n.dir->n, 0, &path);
	if (path.failed) {
		buf_release(&path);
		return -ENOMEM;
	}
	free(seg->dir_path);
	seg->dir_path = path.data;
	return 0;
}

/* Make the file busy for the segment and note the names it will be published under. */
static enum entry take_locked(struct store *s, struct segment *seg) REQUIRES(s->lock)
{
	struct file *f = seg->file;

	if (seg->taken)
		return note_path_locked(s, seg) == 0 ? ENTERED : NO_MEMORY;
	if (seg->cancelled || !f->n.linked)
		return GONE;
	if (f->n.busy != IDLE) {
		seg->waiter.wake = unparked;
		seg->waiter.next = f->n.waiters;
		f->n.waiters = &seg->waiter;
		return PARKED;
	}
	/* A name always fits: cut.c does not cut what has none. */
	if (name_sealed(f->n.name, seg->part, store_suffix(s), seg->object) != 0 ||
	    note_path_locked(s, seg) != 0)
		return NO_MEMORY;
	snprintf(seg->plain, sizeof(seg->plain), "%s", f->n.name);
	f->n.busy = BUSY_HELD;
	node_ref_locked(&f->n);
	seg->dir = f->n.dir;
	node_ref_locked(&seg->dir->n);
	seg->state = SEGMENT_PUBLISHING;
	seg->taken = true;
	seg->moved = f->attrs_dirty;
	return ENTERED;
}

/* Take all that can be taken; the others leave the batch. */
static void enter(struct batch *b)
{
	struct store *s = b->store;
	size_t kept = 0;

	for (size_t i = 0; i < b->count; i++) {
		struct segment *seg = b->segs[i];
		bool had = seg->taken;
		enum entry entry;

		lock_take(&s->lock);
		entry = take_locked(s, seg);
		lock_drop(&s->lock);
		if (entry == ENTERED) {
			if (!had)
				dirfd_hold_times(s, seg->dir);
			b->segs[kept++] = seg;
		} else if (entry == GONE) {
			sealer_discard(s->sealer, seg);
		} else if (entry == NO_MEMORY) {
			segment_failed(s, seg, -ENOMEM, "naming the object");
			if (!seg->renamed) /* the retry makes another */
				temporary_drop(s, seg);
			sealer_retry(s->sealer, seg);
		}
	}
	b->count = kept;
}

/* Give the file back. */
static void give(struct store *s, struct segment *seg)
{
	struct file *f = seg->file;
	struct waiter *w;

	dirfd_release_times(s, seg->dir);
	lock_take(&s->lock);
	node_unref_locked(s, &seg->dir->n, 1);
	seg->dir = NULL;
	seg->taken = false;
	w = node_give_locked(s, &f->n);
	lock_drop(&s->lock);
	waiters_wake(w);
}

static void fail(struct store *s, struct segment *seg, int err, const char *step)
{
	segment_failed(s, seg, err, step);
	if (!seg->renamed) {
		give(s, seg);
		piecewise_failed(s, seg, err);
	} else { /* it keeps the name until it is recorded, and that may take long */
		node_stuck(s, &seg->file->n, err);
	}
	lock_take(&s->lock);
	seg->state = SEGMENT_RETRY;
	lock_drop(&s->lock);
	sealer_retry(s->sealer, seg);
}

/* A failure from before the rename: the temporary may be damaged, so the retry makes a new one.
 */
static void fail_temporary(struct store *s, struct segment *seg, int err, const char *step)
{
	temporary_drop(s, seg);
	fail(s, seg, err, step);
}

/* Do one step for all; those for which it fails leave the batch. */
static void each(struct batch *b, int (*step)(struct store *s, struct segment *seg),
		 const char *name)
{
	size_t kept = 0;

	for (size_t i = 0; i < b->count; i++) {
		struct segment *seg = b->segs[i];
		int err = step(b->store, seg);

		if (!err)
			b->segs[kept++] = seg;
		else if (seg->renamed)
			fail(b->store, seg, err, name);
		else
			fail_temporary(b->store, seg, err, name);
	}
	b->count = kept;
}

/* ---- the steps ---- */

/* The object's owner, mode and times are those of the raw file, without the right to write. */
static int give_attributes(struct store *s, struct segment *seg)
{
	struct timespec times[2];
	struct stat st, is;
	int err;

	if (seg->renamed)
		return 0;
	lock_take(&s->lock);
	gate_enter_locked(s, seg->file);
	lock_drop(&s->lock);
	err = raw_stat(s, seg->file, &st);
	lock_take(&s->lock);
	gate_leave_locked(s, seg->file);
	lock_drop(&s->lock);
	if (!err)
		err = io_fstat(seg->tmp_fd, &is);
	if (err)
		return err;
	if (geteuid() == 0 && (is.st_uid != st.st_uid || is.st_gid != st.st_gid) &&
	    fchown(seg->tmp_fd, st.st_uid, st.st_gid) != 0)
		return -errno;
	if ((is.st_mode & 07777) != (st.st_mode & 0555) &&
	    fchmod(seg->tmp_fd, st.st_mode & 0555) != 0)
		return -errno;
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	seg->record.mode = st.st_mode & 07777;
	seg->record.uid = st.st_uid;
	seg->record.gid = st.st_gid;
	seg->record.mtime_ns = ns_of_timespec(&st.st_mtim);
	return io_set_times(seg->tmp_fd, times);
}

static int start_writeback(struct store *s, struct segment *seg)
{
	/* So that the disk has work while the first is waited for. */
	if (seg->tmp_fd >= 0 && !seg->renamed)
		io_start_writeback(seg->tmp_fd, 0, 0);
	return 0;
}

/* Each object once: its name stands for all of it then. What has one is closed, and was. */
static void make_durable(struct batch *b)
{
	int fds[PUBLISH_BATCH], results[PUBLISH_BATCH];
	size_t kept = 0;

	for (size_t i = 0; i < b->count; i++)
		fds[i] = b->segs[i]->tmp_fd;
	fsyncs(fds, results, b->count);
	for (size_t i = 0; i < b->count; i++) {
		struct segment *seg = b->segs[i];
		int err = seg->renamed ? 0 : results[i];

		if (!err)
			b->segs[kept++] = seg;
		else
			fail_temporary(b->store, seg, err, "fsync of the object");
	}
	b->count = kept;
}

static int give_final_name(struct store *s, struct segment *seg)
{
	int dfd, err;

	if (seg->renamed)
		return 0;
	dfd = dirfd_get(s, seg->dir);
	if (dfd < 0)
		return dfd;
	err = io_rename_noreplace(s->tmpfd, segment_tmp_name(seg), dfd, seg->object);
	if (err == -EEXIST && leftover_clear(s, seg->dir, dfd, seg->object))
		err = io_rename_noreplace(s->tmpfd, segment_tmp_name(seg), dfd, seg->object);
	if (err && io_is_named(seg->tmp_fd, dfd, seg->object)) {
		io_unlink(s->fd, seg->tmp, 0);
		err = 0;
	}
	dirfd_put(s, seg->dir);
	if (err == -EEXIST)
		log_error(
		    "%s%s%s: something that notepackfs did not write lies under this name in "
		    "the store; move it away",
		    seg->dir_path, *seg->dir_path ? "/" : "", seg->object);
	if (err)
		return err;
	seg->renamed = true;
	seg->tmp[0] = '\0';
	close(seg->tmp_fd);
	seg->tmp_fd = -1;
	return 0;
}

/* Each directory once; its segments share the result. */
static void sync_dirs(struct batch *b)
{
	int results[PUBLISH_BATCH];
	size_t kept = 0;

	for (size_t i = 0; i < b->count; i++) {
		size_t same = 0;

		while (same < i && b->segs[same]->dir != b->segs[i]->dir)
			same++;
		results[i] = same < i ? results[same] : dirfd_sync(b->store, b->segs[i]->dir);
	}
	for (size_t i = 0; i < b->count; i++) {
		struct segment *seg = b->segs[i];

		if (results[i] == 0)
			b->segs[kept++] = seg;
		else
			fail(b->store, seg, results[i], "fsync of the directory");
	}
	b->count = kept;
}

/* Its parts follow it to the name that the new one is given. */
static int put_older_parts(struct manifest_txn *txn, const struct segment *seg)
{
	int err = 0;

	for (uint32_t number = 1; number < seg->part && !err; number++) {
		struct sealed rec;

		if (manifest_txn_get(txn, seg->record.id, number, &rec))
			err = manifest_put(txn, &rec, seg->dir_path, seg->plain);
	}
	return err;
}

static int put_records(struct manifest_txn *txn, void *ctx)
{
	struct batch *b = ctx;
	int64_t now_ns = clock_wall_ns();

	for (size_t i = 0; i < b->count; i++) {
		struct segment *seg = b->segs[i];
		int err;

		seg->record.sealed_at_ns = now_ns;
		err = seg->moved ? put_older_parts(txn, seg) : 0;
		if (!err)
			err = manifest_put(txn, &seg->record, seg->dir_path, seg->plain);
		if (err)
			return err;
	}
	return 0;
}

static void commit(struct batch *b);

/* A record is refused: only its own segment may suffer. */
static void commit_alone(struct batch *b)
{
	size_t kept = 0;

	for (size_t i = 0; i < b->count; i++) {
		struct segment *seg = b->segs[i];
		struct batch one = {.store = b->store, .segs = &seg, .count = 1};

		commit(&one);
		if (one.count)
			b->segs[kept++] = seg;
	}
	b->count = kept;
}

static void commit(struct batch *b)
{
	/* No name is recorded for two files: those that have left one go first. */
	int err = b->count ? lazy_flush_held(b->store) : 0;

	if (!err && b->count)
		err = manifest_commit(b->store->manifest, put_records, b);
	if (!err)
		return;
	if (err == -EINVAL && b->count > 1) {
		commit_alone(b);
		return;
	}
	for (size_t i = 0; i < b->count; i++)
		fail(b->store, b->segs[i], err, "committing the manifest");
	b->count = 0;
}

/* From here on the world sees the object. */
static int flip(struct store *s, struct segment *seg)
{
	struct file *f = seg->file;
	int err;

	lock_take(&s->lock);
	err =
	    part_by_number(f, seg->part) < 0 ? catalog_add_part_locked(s, f, &seg->record) : 0;
	if (!err) {
		f->sealed_end = seg->offset + seg->raw_bytes;
		err = catalog_list_locked(s, f);
		if (err) {
			f->sealed_end = seg->offset;
			catalog_drop_part_locked(s, f, seg->part);
		}
	}
	if (!err)
		s->sealed_total++;
	lock_drop(&s->lock);
	/* The object's name is new: no one remembers it, since none is remembered as absent. */
	if (!err)
		notify_name(s, seg->dir, seg->plain);
	return err;
}

static void describe(const struct segment *seg, struct buf *events)
{
	const struct sealed *rec = &seg->record;
	CLEANUP_BUF struct buf path = {0}, more = {0};
	char sha[2 * SHA256_BYTES + 1];

	hex_encode(rec->sha256, SHA256_BYTES, sha);
	buf_printf(&path, "%s%s%s", seg->dir_path, *seg->dir_path ? "/" : "", seg->object);
	buf_printf(
	    &more,
	    ",\"id\":%llu,\"part\":%u,\"raw_size\":%llu,\"gz_size\":%llu,\"sha256\":\"%s\"",
	    (unsigned long long)rec->id, (unsigned)rec->part,
	    (unsigned long long)rec->raw_bytes, (unsigned long long)rec->gz_bytes, sha);
	if (path.failed || more.failed)
		return;
	log_debug("%s: sealed, %llu to %llu bytes", path.data,
		  (unsigned long long)rec->raw_bytes, (unsigned long long)rec->gz_bytes);
	events_format(events, "seal", rec->seq, path.data, more.data);
}

static void tell(struct batch *b)
{
	CLEANUP_BUF struct buf events = {0};

	for (size_t i = 0; i < b->count; i++)
		describe(b->segs[i], &events);
	events_append(b->store->events, &events);
}

/* The raw bytes go, the names are free again, the next segment of the file has its turn. */
static void finish(struct batch *b, struct segment *seg)
{
	struct store *s = b->store;
	struct file *f = seg->file;
	struct segment *next;
	int rest;

	object_save_index(s->indexfd, &seg->record, seg->index, seg->index_bytes);
	rest = file_drop_raw(s, f);
	if (rest >= 0)
		b->rests[b->rest_count++] = rest;
	rotate_published(s, f);
	dirfd_release_times(s, seg->dir);
	lock_take(&s->lock);
	node_unref_locked(s, &seg->dir->n, 1);
	lock_drop(&s->lock);
	next = segment_free(s, seg);

	lock_take(&s->lock);
	active_update_locked(s, f);
	struct waiter *w = node_give_locked(s, &f->n);

	lock_drop(&s->lock);
	waiters_wake(w);
	if (next)
		sealer_submit(s->sealer, next);
	sealer_done(s->sealer);
}

void publish_batch(struct store *s, struct segment **segs, size_t count)
{
	struct batch b = {.store = s, .segs = segs, .count = count};

	lock_take(&s->lock);
	node_take_wait_locked(s, &s->tree, BUSY_HELD);
	lock_drop(&s->lock);

	enter(&b);
	each(&b, give_attributes, "setting owner and times");
	each(&b, start_writeback, "starting the writeback");
	make_durable(&b);
	each(&b, give_final_name, "giving the object its name");
	sync_dirs(&b);
	commit(&b);
	each(&b, flip, "listing the object");
	tell(&b);
	for (size_t i = 0; i < b.count; i++)
		finish(&b, b.segs[i]);

	node_give(s, &s->tree);
	barrier_check(s);
	while (b.rest_count > 0)
		close(b.rests[--b.rest_count]);
}
