/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A trial holds its import busy from beginning to end, and takes the tree and then the gate for
 * the last steps. That is the wrong way round for tree and busy, and cannot deadlock: whoever
 * holds the tree parks on a busy node, or leaves it out, and never waits for it.
 *
 * What is settled gets a new node, because the kernel has pages of the old one: of the gzip
 * file, where a plain name would show the plain bytes.
 */
#include <stdio.h>

#include "lib/barrier.h"
#include "lib/catalog.h"
#include "lib/cut.h"
#include "lib/dirfd.h"
#include "lib/events.h"
#include "lib/import_impl.h"
#include "lib/io.h"
#include "lib/lazy.h"
#include "lib/log.h"
#include "lib/notify.h"
#include "lib/object.h"
#include "lib/raw.h"
#include "lib/sealer.h"

#define RETRY_NS 5000000000

/* One import at work. */
struct trial {
	struct task task;
	struct store *store;
	struct file *file; /* busy */
	struct raw *raw;
	struct stat st;
	uint64_t identity; /* of the raw file */
	struct sealed rec;
	char reason[160];
	struct import_twin twin;
	/* For the last steps, while the tree is held. */
	char *dir; /* path */
	char name[NAME_BYTES + 1], to[NAME_BYTES + 1];
	struct file *heir; /* what takes its place */
};

/* ---- the verdict ---- */

static int refuse(struct trial *t, const char *reason, const struct seekgz_damage *damage)
{
	if (damage)
		snprintf(t->reason, sizeof(t->reason), "at offset %llu: %s",
			 (unsigned long long)damage->gz_offset, reason);
	else
		snprintf(t->reason, sizeof(t->reason), "%s", reason);
	return -EBADMSG;
}

/* A failed fsync, whoever asked for it, sticks to the file: a second one may succeed for what
 * the first has lost (L14). */
static int refuse_lost_locked(struct store *s, struct trial *t) REQUIRES(s->lock)
{
	if (!t->file->error)
		return 0;
	snprintf(t->reason, sizeof(t->reason),
		 "it may not be on the disk, fsync failed (%s): import it again",
		 strerror(-t->file->error));
	return -EBADMSG;
}

static int is_lost(struct trial *t)
{
	struct store *s = t->store;
	int err;

	lock_take(&s->lock);
	err = refuse_lost_locked(s, t);
	lock_drop(&s->lock);
	return err;
}

static int make_durable(struct trial *t)
{
	struct store *s = t->store;
	int err = io_fsync(t->raw->fd);

	if (!err)
		return 0;
	lock_take(&s->lock);
	t->file->error = err;
	err = refuse_lost_locked(s, t);
	lock_drop(&s->lock);
	return err;
}

static int verify(struct trial *t)
{
	struct seekgz_damage damage;
	int err = object_verify(t->raw->fd, &t->rec, NULL, NULL, &damage);

	if (err == -EBADMSG || err == -EFBIG)
		return refuse(t, damage.reason ? damage.reason : "damaged", &damage);
	if (err)
		return err;
	if (t->rec.part != 1 || t->rec.offset != 0)
		return refuse(
		    t, "it is a later part of a file, and only whole files are imported", NULL);
	return 0;
}

/* 0: good and durable, t->rec is filled in · -EBADMSG: no good, t->reason says why · another
 * error: cannot be told. */
static int judge(struct trial *t)
{
	int err = is_lost(t);

	if (!err)
		err = verify(t);
	return err ? err : make_durable(t);
}

static void note_attributes(struct trial *t)
{
	t->rec.id = t->file->id;
	t->rec.mode = t->st.st_mode & 07777;
	t->rec.uid = t->st.st_uid;
	t->rec.gid = t->st.st_gid;
	t->rec.mtime_ns = ns_of_timespec(&t->st.st_mtim);
	t->rec.sealed_at_ns = clock_wall_ns();
}

/* ---- the last steps; the tree is held, the gate is shut ---- */

static void notify(struct store *s, const struct trial *t)
{
	notify_name(s, t->heir->n.dir, t->name);
	notify_name(s, t->heir->n.dir, t->heir->n.name);
	notify_file(s, t->heir->n.dir, t->heir->n.name, t->heir);
}

/* The heir takes the import's place in its directory. */
static int succeed_locked(struct store *s, struct trial *t) REQUIRES(s->lock)
{
	struct file *f = t->file;
	struct dir *d = f->n.dir;
	int err;

	timer_disarm_locked(s, f);
	f->settled = true;
	catalog_unlink_locked(s, &f->n);
	active_update_locked(s, f);
	err = catalog_link_locked(s, d, &t->heir->n, t->to);
	if (err)
		log_error("%s: no memory for its name; it is seen again after the next mount",
			  t->to);
	return err;
}

/* The plain name: as gunzip(1) would call it, where it is known to be a notepack. */
static void name_plain(struct trial *t)
{
	const char *suffix = store_suffix(t->store);
	uint32_t part;
	size_t stem;
	bool with;

	name_parse_sealed(t->name, suffix, &stem, &part);
	with = name_stem_needs_suffix(t->name, stem, suffix) ||
	       (t->rec.is_notepack && stem + strlen(suffix) <= NAME_PLAIN_BYTES);
	snprintf(t->to, sizeof(t->to), "%.*s%s", (int)stem, t->name, with ? suffix : "");
}

static int put_record(struct manifest_txn *txn, void *ctx)
{
	struct trial *t = ctx;

	return manifest_put(txn, &t->rec, t->dir, t->to);
}

/* Give it its name in the store, or take that back. */
static int move(struct trial *t, bool back)
{
	struct store *s = t->store;
	struct dir *d = t->file->n.dir;
	struct raw_place place;
	int dfd = dirfd_get(s, d);
	int err;

	if (dfd < 0)
		return dfd;
	raw_place_init(&place, d, t->name, t->file->id, true);
	dirfd_hold_times(s, d);
	err = back ? io_rename_noreplace(dfd, t->name, s->fd, place.name)
		   : io_rename_noreplace(s->fd, place.name, dfd, t->name);
	dirfd_release_times(s, d);
	dirfd_put(s, d);
	return err;
}

static void tell(struct trial *t, const char *event, const char *name)
{
	CLEANUP_BUF struct buf path = {0}, more = {0};

	buf_printf(&path, "%s%s%s", t->dir, *t->dir ? "/" : "", name);
	if (*t->reason) {
		buf_str(&more, ",\"error\":");
		buf_json_string(&more, t->reason, strlen(t->reason));
	} else {
		char sha[2 * SHA256_BYTES + 1];

		hex_encode(t->rec.sha256, SHA256_BYTES, sha);
		buf_printf(&more,
			   ",\"id\":%llu,\"part\":1,\"raw_size\":%llu,\"gz_size\":%llu,"
			   "\"sha256\":\"%s\"",
			   (unsigned long long)t->rec.id, (unsigned long long)t->rec.raw_bytes,
			   (unsigned long long)t->rec.gz_bytes, sha);
	}
	if (path.failed || more.failed)
		return;
	if (*t->reason)
		log_error("%s: the import was refused: %s", path.data, t->reason);
	events_add(t->store->events, event, manifest_last_seq(t->store->manifest), path.data,
		   more.data);
}

static int flip(struct trial *t)
{
	struct store *s = t->store;
	struct file *heir = t->heir;
	int err;

	lock_take(&s->lock);
	err = catalog_add_part_locked(s, heir, &t->rec);
	if (!err) {
		heir->size = heir->sealed_end = heir->cut_end = t->rec.raw_bytes;
		heir->attrs = (struct attrs){.mode = t->rec.mode,
					     .uid = t->rec.uid,
					     .gid = t->rec.gid,
					     .mtime_ns = t->rec.mtime_ns};
		err = succeed_locked(s, t);
		s->sealed_total++;
	}
	lock_drop(&s->lock);
	return err;
}

static int record(struct trial *t)
{
	struct store *s = t->store;
	int err = dirfd_sync(s, t->file->n.dir);

	/* No name is recorded for two files: those that have left one go first. */
	if (!err)
		err = lazy_flush_held(s);
	return err ? err : manifest_commit(s->manifest, put_record, t);
}

static int adopt(struct trial *t)
{
	struct store *s = t->store;
	int err;

	name_plain(t);
	err = move(t, false);
	if (err)
		return err;
	err = fchmod(t->raw->fd, t->st.st_mode & 0555) == 0 ? record(t) : -errno;
	if (!err)
		err = flip(t);
	if (err && t->file->settled)
		return 0; /* recorded, and in its place; the next mount has memory for its name */
	if (err) { /* nothing is deleted, so it does no harm if the manifest has it after all */
		fchmod(t->raw->fd, t->st.st_mode & 07777);
		(void)move(t, true);
		return err;
	}
	raw_write_path(t->raw->fd, NULL);
	notify(s, t);
	tell(t, "import", t->name);
	return 0;
}

/* Into its directory, under a name that says what it is. */
static int put_aside(struct trial *t)
{
	struct store *s = t->store;
	struct dir *d = t->file->n.dir;
	struct raw_place place;
	int dfd = dirfd_get(s, d);
	int err = dfd < 0 ? dfd : -EEXIST;

	raw_place_init(&place, d, t->name, t->file->id, true);
	for (unsigned n = 1; err == -EEXIST; n++) {
		err = name_refused(t->name, n, t->to);
		if (!err)
			err = io_rename_noreplace(s->fd, place.name, dfd, t->to);
	}
	if (dfd >= 0)
		dirfd_put(s, d);
	return err;
}

/*
 * Is its new name on the disk? If not, that is no reason to stop: the rename is done, and nothing
 * is acknowledged by a refusal. After a power cut the file has the one name or the other, and under
 * the old one it is an import again, and refused again. Who fsyncs it has the directory synced, too.
 */
static bool is_named_durably(struct trial *t)
{
	int err = dirfd_sync(t->store, t->file->n.dir);

	if (err)
		log_warning(
		    "%s: its directory could not be synced: %s; after a power cut it may "
		    "be verified once more",
		    t->to, strerror(-err));
	return !err;
}

static int set_aside(struct trial *t)
{
	struct store *s = t->store;
	struct file *heir = t->heir;
	bool durable;
	int err = import_give_way(s, t->file, &t->twin);

	if (err == 1)
		tell(t, "refuse", t->twin.name);
	if (err)
		return MIN(err, 0);
	raw_write_reason(t->raw->fd, t->reason);
	heir->reason = strdup(t->reason);
	err = put_aside(t);
	if (err)
		return err;
	durable = is_named_durably(t);
	lock_take(&s->lock);
	heir->error = t->file->error;
	heir->raw_present = true;
	heir->raw_durable = durable;
	heir->raw_identity = t->identity;
	heir->size = heir->written_end = (uint64_t)t->st.st_size;
	err = succeed_locked(s, t);
	if (!err)
		file_dirty_locked(s, heir); /* it may be renamed, to be tried again */
	lock_drop(&s->lock);
	if (err)
		return err;
	notify(s, t);
	tell(t, "refuse", t->to);
	return 0;
}

/* ---- the task ---- */

/* Enter the last steps, unless it has changed since it was read. 1: it has. */
static int enter(struct trial *t)
{
	struct store *s = t->store;
	struct file *f = t->file;
	struct buf path = {0};
	struct stat now;
	int err;

	buf_str(&path, "");
	lock_take(&s->lock);
	node_take_wait_locked(s, &s->tree, BUSY_HELD);
	gate_shut_locked(s, f);
	catalog_path_locked(s, &f->n.dir->n, 0, &path);
	snprintf(t->name, sizeof(t->name), "%s", f->n.name);
	err = f->writers ? 1 : 0;
	if (!*t->reason)
		(void)refuse_lost_locked(s, t); /* a reader may fsync, too */
	lock_drop(&s->lock);
	t->dir = path.data;
	if (!err && path.failed)
		err = -ENOMEM;
	if (!err)
		err = io_fstat(t->raw->fd, &now);
	if (!err &&
	    (now.st_size != t->st.st_size || now.st_ctim.tv_sec != t->st.st_ctim.tv_sec ||
	     now.st_ctim.tv_nsec != t->st.st_ctim.tv_nsec))
		err = 1;
	return err;
}

static void leave(struct trial *t)
{
	struct store *s = t->store;

	lock_take(&s->lock);
	gate_open_locked(s, t->file);
	lock_drop(&s->lock);
	node_give(s, &s->tree);
}

static int settle(struct trial *t)
{
	int err = judge(t);

	if (err && err != -EBADMSG)
		return err;
	note_attributes(t);
	t->heir = catalog_new_file(t->file->id);
	if (!t->heir)
		return -ENOMEM;
	if (err && !is_lost(t))
		import_find_twin(t->store, t->file, t->raw->fd, t->reason, &t->twin);
	err = enter(t);
	if (!err)
		err = *t->reason ? set_aside(t) : adopt(t);
	leave(t);
	node_unref(t->store, &t->heir->n, 1);
	if (t->twin.file)
		node_unref(t->store, &t->twin.file->n, 1);
	return err;
}

/* Try again, and say why. */
static void put_off_locked(struct store *s, struct trial *t, int err) REQUIRES(s->lock)
{
	struct file *f = t->file;

	if (!f->n.linked)
		return;
	if (err == 1) {
		timer_grace_locked(s, f);
		return;
	}
	f->hurry = false;
	free(f->reason);
	f->reason = strdup(strerror(-err));
	timer_retry_locked(s, f, RETRY_NS);
}

static void end(struct trial *t, int err)
{
	struct store *s = t->store;
	struct file *f = t->file;
	struct waiter *w;

	raw_put(s, f, t->raw);
	if (err < 0)
		log_error("%s: not imported yet: %s; it is tried again", f->n.name,
			  strerror(-err));
	lock_take(&s->lock);
	f->verifying = false;
	if (err)
		put_off_locked(s, t, err);
	node_ref_locked(&f->n);
	w = node_give_locked(s, &f->n);
	s->verifying--;
	active_update_locked(s, f);
	node_unref_locked(s, &f->n, 1);
	cond_broadcast(&s->changed);
	lock_drop(&s->lock);
	waiters_wake(w);
	free(t->dir);
	free(t);
	barrier_check(s);
}

static void run(struct task *task)
{
	struct trial *t = (struct trial *)task;
	int err;

	lock_take(&t->store->lock);
	gate_enter_locked(t->store, t->file);
	lock_drop(&t->store->lock);
	err = raw_get(t->store, t->file, &t->raw);
	lock_take(&t->store->lock);
	gate_leave_locked(t->store, t->file);
	lock_drop(&t->store->lock);
	if (!err)
		err = io_fstat(t->raw->fd, &t->st);
	if (!err)
		err = io_fidentity(t->raw->fd, &t->identity);
	if (!err)
		err = settle(t);
	end(t, err);
}

void import_start(struct store *s, struct file *f)
{
	struct trial *t = calloc(1, sizeof(*t));

	if (!t) {
		lock_take(&s->lock);
		f->verifying = false;
		s->verifying--;
		timer_retry_locked(s, f, RETRY_NS);
		lock_drop(&s->lock);
		node_give(s, &f->n);
		return;
	}
	t->task.run = run;
	t->store = s;
	t->file = f;
	pool_submit(sealer_pool(s->sealer), &t->task);
}
