/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/store_impl.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/vfs.h>

#include "lib/catalog.h"
#include "lib/chunks.h"
#include "lib/codec.h"
#include "lib/cut.h"
#include "lib/damage.h"
#include "lib/dirfd.h"
#include "lib/events.h"
#include "lib/ids.h"
#include "lib/import.h"
#include "lib/io.h"
#include "lib/layout.h"
#include "lib/lazy.h"
#include "lib/leftover.h"
#include "lib/log.h"
#include "lib/probe.h"
#include "lib/prover.h"
#include "lib/recovery.h"
#include "lib/scrub.h"
#include "lib/sealer.h"

#define LOG_BYTES ((uint64_t)64 << 20)
#define CHUNK_SLOTS 64	/* of 256 KiB: 16 MiB for all that is read */
#define READ_THREADS 4U /* that read ahead, at most */

struct node *store_root(struct store *s)
{
	return &s->root->n;
}

bool store_is_read_only(const struct store *s)
{
	return s->options.read_only;
}

bool store_is_stacked(const struct store *s)
{
	struct statfs st;

	return fstatfs(s->fd, &st) == 0 && st.f_type == OVERLAYFS_SUPER_MAGIC;
}

const char *store_suffix(const struct store *s)
{
	return manifest_suffix(s->manifest);
}

void node_ref(struct store *s, struct node *n)
{
	lock_take(&s->lock);
	node_ref_locked(n);
	lock_drop(&s->lock);
}

void node_unref(struct store *s, struct node *n, uint64_t count)
{
	lock_take(&s->lock);
	node_unref_locked(s, n, count);
	lock_drop(&s->lock);
}

/* ---- the start ---- */

static int fail(struct store_error *e, int exit_status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(struct store_error *e, int exit_status, const char *fmt, ...)
{
	va_list ap;

	e->exit_status = exit_status;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return -1;
}

/* Our own copies of the strings, and the compiled globs. */
static int copy_options(struct store *s, const struct store_options *o)
{
	const struct codec *codec = codec_find(o->codec ? o->codec : "auto");

	s->options = *o;
	s->options.codec = codec ? codec->name : ""; /* which the sealer refuses */
	s->path = strdup(o->path);
	s->options.exclude = strdup(o->exclude ? o->exclude : NAME_DEFAULT_EXCLUDE);
	s->options.allow_delete_globs =
	    o->allow_delete_globs ? strdup(o->allow_delete_globs) : NULL;
	s->options.suffix = o->suffix ? strdup(o->suffix) : NULL;
	s->options.threads = MAX(o->threads, 1u);
	if (!s->path || !s->options.exclude || (o->suffix && !s->options.suffix) ||
	    (o->allow_delete_globs && !s->options.allow_delete_globs) ||
	    globs_init(&s->exclude, s->options.exclude) != 0 ||
	    globs_init(&s->deletable, s->options.allow_delete_globs) != 0)
		return -ENOMEM;
	return 0;
}

static int open_directory(struct store *s, struct store_error *e)
{
	s->fd = open(s->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->fd >= 0)
		return 0;
	if (errno == ENOTDIR)
		return fail(e, 1,
			    "%s: is not a directory; name the directory that holds the store",
			    s->path);
	if (errno == ENOENT)
		return fail(e, 1, "%s: no such directory; create it first: mkdir %s", s->path,
			    s->path);
	return fail(e, 1, "%s: cannot be opened: %s", s->path, strerror(errno));
}

static int no_store_yet(struct store *s, struct store_error *e)
{
	return fail(
	    e, 1, "%s: has no store in it yet, and ro creates none; mount it without ro first",
	    s->path);
}

/* Make sure that it is a store, or may become one. Sets *fresh. */
static int check_kind(struct store *s, bool *fresh, struct store_error *e)
{
	int kind = layout_probe(s->fd);

	*fresh = kind == LAYOUT_EMPTY || kind == LAYOUT_BEGUN;
	if (kind < 0)
		return fail(e, 1, "%s: cannot be read: %s", s->path, strerror(-kind));
	if (kind == LAYOUT_NOT_STORE)
		return fail(e, 1,
			    "%s: is not empty and not a store; notepackctl init --adopt makes "
			    "it one, or "
			    "choose an empty directory",
			    s->path);
	if (kind == LAYOUT_EMPTY && s->options.read_only)
		return no_store_yet(s, e);
	return 0;
}

static int lock_store(struct store *s, struct store_error *e)
{
	bool write = !s->options.read_only;
	int err = write ? layout_create(s->fd) : 0;
	char why[LAYOUT_WHY_BYTES];
	pid_t pid;

	if (err)
		return fail(e, 1,
			    "%s: the private directory could not be made: %s; is the store "
			    "writable? (ro mounts it for reading)",
			    s->path, strerror(-err));
	err = layout_secure(s->fd, !write, why);
	if (err)
		return fail(e, 1, "%s/" NAME_PRIVATE ": %s", s->path, why);
	s->lockfd =
	    layout_lock(s->fd, write, s->adopted ? "tool" : "mounted", s->options.lockwait_ns);
	if (s->lockfd >= 0)
		return 0;
	if (s->lockfd == -EROFS)
		return fail(e, 1, "%s: %s; ro mounts it for reading", s->path, strerror(EROFS));
	if (s->lockfd != -EBUSY)
		return fail(e, 1, "%s: cannot be locked: %s", s->path, strerror(-s->lockfd));
	layout_holder(s->fd, &pid);
	if (layout_holder_is_stuck(pid))
		return fail(e, 3,
			    "%s: process %ld was killed, and its mount keeps the kernel from "
			    "ending it; notepackctl umount (or umount -f) of that mount does",
			    s->path, (long)pid);
	return fail(e, 3, "%s: is in use by process %ld; unmount it there first", s->path,
		    (long)pid);
}

static int load_manifest(struct store *s, bool fresh, struct store_error *e)
{
	struct manifest_options options = {
	    .suffix = s->options.suffix,
	    .exclude = s->options.exclude,
	    .read_only = s->options.read_only,
	    .create = fresh,
	};
	struct manifest_error error = {.text = ""};
	int err = manifest_open(s->fd, &options, &s->manifest, &error);

	if (!err)
		return 0;
	if (err == -ENOENT && s->options.read_only)
		return no_store_yet(s, e);
	if (err == -EEXIST)
		return fail(e, 2, "%s: %s", s->path,
			    error.text[0] ? error.text
					  : "was made with another suffix; leave out suffix=");
	return fail(e, err == -EBADMSG || err == -EPROTO ? 4 : 1, "%s: %s", s->path,
		    error.text[0] ? error.text : strerror(-err));
}

static int mark_unclean(struct manifest_txn *txn, void *ctx)
{
	manifest_set_clean(txn, false);
	return 0;
}

static int make_root(struct store *s)
{
	struct stat st;
	int err = io_fstat(s->fd, &st);

	if (err)
		return err;
	s->root = catalog_new_dir(st.st_ino);
	if (!s->root)
		return -ENOMEM;
	s->root->fd = s->fd;
	s->root->n.linked = true;
	s->root->durable = true;
	s->root->n.name = strdup("");
	s->tree.linked = true;
	return s->root->n.name ? 0 : -ENOMEM;
}

/* Bring the store and the manifest into agreement, unless the last stop left them so. */
static int recover(struct store *s, struct store_error *e)
{
	bool clean = manifest_was_clean(s->manifest) &&
		     strcmp(manifest_was_exclude(s->manifest), s->options.exclude) == 0;
	int err;

	if (s->options.read_only)
		return 0;
	err = recovery_sweep(s);
	if (err)
		log_warning(
		    "temporaries of an earlier run could not be removed: %s; the next start "
		    "tries again",
		    strerror(-err));
	err = manifest_commit(s->manifest, mark_unclean, NULL);
	if (!err && !clean)
		err = recovery_run(s);
	s->recovered_all = !clean;
	if (err)
		return fail(e, 1, "%s: the start failed: %s; nothing was lost", s->path,
			    strerror(-err));
	return 0;
}

static int start_sealing(struct store *s)
{
	int err = 0;

	s->sealer = sealer_open(s, s->options.threads, &err);
	if (s->sealer)
		err = recovery_arm(s); /* before a timer cuts anything */
	if (!err)
		err = timer_start(s);
	if (!err)
		err = import_load(s);
	return err;
}

static int start_threads(struct store *s, struct store_error *e)
{
	int err = s->options.read_only ? 0 : start_sealing(s);

	if (!err) {
		s->chunks = chunks_open(CHUNK_SLOTS, MIN(s->options.threads, READ_THREADS));
		err = s->chunks ? 0 : -ENOMEM;
	}
	if (!err)
		err = scrub_start(s);
	if (err)
		return fail(e, 1, "%s: the store's threads could not be started: %s", s->path,
			    strerror(-err));
	prover_start(s);
	return 0;
}

static int open_steps(struct store *s, struct store_error *e)
{
	bool fresh;

	if (open_directory(s, e) || check_kind(s, &fresh, e) || lock_store(s, e))
		return -1;
	s->indexfd = io_open(s->fd, LAYOUT_INDEX, O_RDONLY | O_DIRECTORY, 0);
	if (!s->options.read_only)
		probe_store(s);
	if (!s->options.read_only)
		s->tmpfd = io_open(s->fd, LAYOUT_TMP, O_RDONLY | O_DIRECTORY, 0);
	if (!s->options.read_only && s->tmpfd < 0)
		return fail(e, 1, "%s/%s cannot be opened: %s", s->path, LAYOUT_TMP,
			    strerror(-s->tmpfd));
	if (load_manifest(s, fresh, e))
		return -1;
	s->events = events_open(s->fd, LOG_BYTES, s->options.read_only);
	if (!s->events || make_root(s) != 0)
		return fail(e, 1, "%s: no memory", s->path);
	if (recover(s, e))
		return -1;
	manifest_forget_recovery(s->manifest);
	ids_begin(s);
	return 0;
}

static void free_node_all_locked(struct store *s, struct node *n) REQUIRES(s->lock)
{
	struct node *p, *next;

	waiters_wake(n->waiters); /* there is no one left to do it later */
	if (n->kind == NODE_FILE) {
		struct file *f = to_file(n);

		for (uint32_t i = 0; i < f->part_count; i++) {
			if (f->parts[i].object)
				free(f->parts[i].object);
		}
		free(f->parts);
		free(f->reason);
	} else if (n->kind == NODE_DIR) {
		struct dir *d = to_dir(n);

		HASH_ITER (hh, d->files, p, next) {
			HASH_DEL(d->files, p);
			free_node_all_locked(s, p);
		}
		HASH_ITER (hh, d->others, p, next) {
			HASH_DEL(d->others, p);
			free_node_all_locked(s, p);
		}
		if (d->fd >= 0 && d != s->root)
			close(d->fd);
		free(d->slots);
	}
	free(n->name);
	free(n);
}

/* Settled when the mount was gone, so the kernel never said that it forgets them. */
static void free_settled_locked(struct store *s) REQUIRES(s->lock)
{
	struct file *f, *next;

	DL_FOREACH_SAFE2(s->imports, f, next, imports_next)
	{
		if (!f->settled)
			continue;
		free(f->parts);
		free(f->reason);
		free(f->n.name);
		free(f);
	}
}

static void free_store(struct store *s)
{
	chunks_close(s->chunks);
	recovery_forget(s);
	damage_release(s);
	ids_release(s);
	if (s->indexfd >= 0)
		close(s->indexfd);
	if (s->tmpfd >= 0)
		close(s->tmpfd);
	manifest_close(s->manifest);
	events_close(s->events);
	if (s->root) {
		lock_take(&s->lock);
		leftover_free_all_locked(s);
		free_settled_locked(s);
		free_node_all_locked(s, &s->root->n);
		lock_drop(&s->lock);
	}
	if (s->fd >= 0)
		close(s->fd);
	if (s->lockfd >= 0)
		close(s->lockfd); /* the lock goes with it; who waited for it may unmount the
				     disk */
	globs_release(&s->exclude);
	globs_release(&s->deletable);
	free((char *)s->options.exclude);
	free((char *)s->options.suffix);
	free((char *)s->options.allow_delete_globs);
	free(s->path);
	cond_release(&s->timer_wake);
	cond_release(&s->changed);
	lock_release(&s->lock);
	free(s);
}

static struct store *new_store(const struct store_options *options)
{
	struct store *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	lock_init(&s->lock);
	cond_init(&s->changed);
	cond_init(&s->timer_wake);
	s->fd = s->lockfd = s->indexfd = s->tmpfd = s->stop_fd = -1;
	if (copy_options(s, options) == 0)
		return s;
	free_store(s);
	return NULL;
}

int store_open(const struct store_options *options, const struct store_hooks *hooks,
	       struct store **out, struct store_error *error)
{
	struct store *s = new_store(options);

	if (!s)
		return fail(error, 1, "%s: no memory", options->path);
	if (hooks)
		s->hooks = *hooks;
	if (open_steps(s, error) == 0 && start_threads(s, error) == 0) {
		if (!s->options.read_only)
			store_stop_prepare(s);
		*out = s;
		return 0;
	}
	scrub_stop(s);
	timer_stop(s);
	import_drain(s);
	if (s->sealer)
		sealer_drain(s->sealer, NULL);
	sealer_close(s->sealer);
	if (s->lockfd >= 0 && !s->options.read_only)
		layout_lock_note(s->lockfd, NULL);
	free_store(s);
	return -1;
}

int store_adopt(const struct store_options *options, store_adopted *adopted, void *ctx,
		struct store_error *error)
{
	struct store *s = new_store(options);
	int r;

	if (!s)
		return fail(error, 1, "%s: no memory", options->path);
	s->adopted = adopted;
	s->adopted_ctx = ctx;
	r = open_steps(s, error);
	if (s->lockfd >= 0)
		layout_lock_note(s->lockfd, NULL);
	free_store(s);
	return r;
}

/* ---- what the whole store does ---- */

int store_sync_dir(struct store *s, struct node *dir)
{
	if (dir->kind != NODE_DIR)
		return -ENOTDIR;
	return s->options.read_only ? 0 : dirfd_sync(s, to_dir(dir));
}

int store_sync(struct store *s)
{
	if (s->options.read_only)
		return 0;
	lock_take(&s->lock);
	cut_hurry_closed_locked(s);
	lock_drop(&s->lock);
	return lazy_flush(s);
}

int store_close(struct store *s)
{
	int status = 0;

	store_release_all(s);
	scrub_stop(s);
	if (!s->options.read_only)
		status = store_stop(s);
	free_store(s);
	return status;
}
