/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The order of the stop is L7's: producers first, then the queue, then the threads, then the last
 * commit, then the lock.
 */
#include <fcntl.h>
#include <stdio.h>

#include "lib/barrier.h"
#include "lib/catalog.h"
#include "lib/cut.h"
#include "lib/early.h"
#include "lib/import.h"
#include "lib/io.h"
#include "lib/layout.h"
#include "lib/lazy.h"
#include "lib/leftover.h"
#include "lib/log.h"
#include "lib/prover.h"
#include "lib/raw.h"
#include "lib/recovery.h"
#include "lib/replace.h"
#include "lib/sealer.h"
#include "lib/store_impl.h"

static int mark_clean(struct manifest_txn *txn, void *ctx)
{
	int err = manifest_done_all(txn);

	manifest_set_clean(txn, true);
	return err;
}

/* The progress file: for those who wait, rewritten in place, always of one length. */
static void write_drain(struct store *s)
{
	struct store_progress p;
	char text[256];
	int fd, n;

	store_progress(s, &p);
	s->drain_files = MAX(s->drain_files, p.files_left);
	s->drain_bytes = MAX(s->drain_bytes, p.bytes_left);
	n = snprintf(
	    text, sizeof(text),
	    "{\"pid\":%ld,\"files_total\":%llu,\"files_left\":%llu,\"bytes_total\":%llu,"
	    "\"bytes_left\":%llu}",
	    (long)getpid(), (unsigned long long)s->drain_files,
	    (unsigned long long)p.files_left, (unsigned long long)s->drain_bytes,
	    (unsigned long long)p.bytes_left);
	memset(text + n, ' ', sizeof(text) - (size_t)n);
	text[sizeof(text) - 1] = '\n';
	fd = io_open(s->fd, LAYOUT_DRAIN, O_WRONLY | O_CREAT, 0600);
	if (fd >= 0) {
		io_pwrite(fd, text, sizeof(text), 0);
		close(fd);
	}
}

/* The next file whose raw bytes should have gone, and that was not tried yet; held. */
static struct file *next_kept(struct store *s)
{
	struct file *f;

	lock_take(&s->lock);
	DL_FOREACH2(s->active, f, active_next)
	{
		/* What is held still has a part that cannot be recorded: it is not finished. */
		if (f->kept && !f->kept_tried && f->raw_present && f->n.busy == IDLE)
			break;
	}
	if (f) {
		f->kept_tried = true;
		node_ref_locked(&f->n);
		node_take_wait_locked(s, &f->n, BUSY_HELD);
	}
	lock_drop(&s->lock);
	return f;
}

static void drop_kept(struct store *s)
{
	struct file *f;

	while ((f = next_kept(s))) {
		CLEANUP_FD int rest = -1;

		rest = file_drop_raw(s, f);
		node_give(s, &f->n);
		node_unref(s, &f->n, 1);
	}
}

/*
 * What stands in the way of a clean stop, though all is sealed: then the next start looks at the
 * store.
 */
static bool is_in_order(struct store *s)
{
	int err = recovery_sweep(s);

	if (err)
		log_warning(
		    "temporaries are left in the store: %s; the next mount removes them",
		    strerror(-err));
	if (!leftover_remove_all(s))
		err = -EBUSY;
	lock_take(&s->lock);
	err = err ? err : s->unsettled || s->attrs_list ? -EBUSY : 0;
	lock_drop(&s->lock);
	return err == 0;
}

/* Files whose bytes are not all sealed, though they should be; *lost: those without a raw file. */
static uint64_t count_unfinished(struct store *s, uint64_t *lost)
{
	uint64_t count = 0;
	struct file *f;

	*lost = 0;
	lock_take(&s->lock);
	DL_FOREACH2(s->active, f, active_next)
	{
		bool gone = file_unsealed(f);

		if (!f->kept && !f->segments && catalog_excluded_locked(s, f->n.dir, f->n.name))
			continue;
		count++;
		/* There are no other threads any more that change the list. */
		lock_drop(&s->lock);
		gone = gone && raw_is_gone(s, f);
		*lost += gone;
		log_warning("%s: not all of it is sealed%s", f->n.name,
			    gone ? ", and its raw file was removed from the store, or "
				   "replaced, not by notepackfs: if it cannot be put back, its "
				   "bytes are lost"
				 : "; its bytes are safe in the store, and the next mount "
				   "takes it up");
		lock_take(&s->lock);
	}
	lock_drop(&s->lock);
	return count;
}

/* Always of one length: it is written over blanks. */
#define LAST_STOP_BYTES 256

void store_stop_prepare(struct store *s)
{
	char blanks[LAST_STOP_BYTES];
	int fd = io_open(s->fd, LAYOUT_NEXT_STOP, O_WRONLY | O_CREAT, 0600);

	memset(blanks, ' ', sizeof(blanks));
	if (fd >= 0 && io_pwrite(fd, blanks, sizeof(blanks), 0) != 0) {
		close(fd);
		io_unlink(s->fd, LAYOUT_NEXT_STOP, 0);
		fd = -1;
	}
	s->stop_fd = MAX(fd, -1);
}

static int replace_last_stop(struct store *s, const char *text)
{
	struct iovec iov = {.iov_base = (void *)text, .iov_len = LAST_STOP_BYTES};
	int err = -EBADF;

	if (s->stop_fd >= 0) {
		err = io_pwrite(s->stop_fd, text, LAST_STOP_BYTES, 0);
		if (!err)
			err = replace_commit(s->fd, LAYOUT_LAST_STOP, LAYOUT_NEXT_STOP,
					     s->stop_fd, NULL);
		close(s->stop_fd);
		s->stop_fd = -1;
	}
	return err ? replace_file(s->fd, LAYOUT_LAST_STOP, &iov, 1, NULL) : 0;
}

static int write_last_stop(struct store *s, int status, uint64_t unfinished, uint64_t lost)
{
	char text[LAST_STOP_BYTES];
	int64_t now_ns = clock_wall_ns();
	int n = snprintf(
	    text, sizeof(text),
	    "{\"pid\":%ld,\"exit\":%d,\"sealed\":%llu,\"unfinished\":%llu,\"lost\":%llu,"
	    "\"time\":\"%lld.%09lld\"}",
	    (long)getpid(), status, (unsigned long long)s->sealed_total,
	    (unsigned long long)unfinished, (unsigned long long)lost,
	    (long long)(now_ns / 1000000000), (long long)(now_ns % 1000000000));
	int err;

	memset(text + n, ' ', sizeof(text) - (size_t)n);
	text[sizeof(text) - 1] = '\n';
	err = replace_last_stop(s, text);
	/* Where files are not overwritten in place the blanks do not hold the room (btrfs). */
	if ((err == -ENOSPC || err == -EDQUOT) && manifest_use_reserve(s->manifest))
		err = replace_last_stop(s, text);
	if (err)
		log_error(LAYOUT_LAST_STOP ": not written: %s", strerror(-err));
	return err;
}

int store_stop(struct store *s)
{
	uint64_t unfinished, lost;
	int err, status;
	bool clean;

	layout_lock_note(s->lockfd, "draining");
	barrier_end_all(s, -EIO);
	write_drain(s);
	prover_finish(s);
	timer_stop(s);
	import_drain(s);
	early_stop(s, false);
	sealer_drain(s->sealer, write_drain);
	early_stop(s, true);
	drop_kept(s);
	unfinished = count_unfinished(s, &lost);
	err = lazy_flush(s);
	clean = is_in_order(s) && !unfinished;
	/* The next start compares nothing, so removals are durable, too: of raw files, say, which would
	 * come back without their bytes. */
	if (!err && clean)
		err = io_syncfs(s->lockfd);
	if (!err && clean)
		err = manifest_commit(s->manifest, mark_clean, NULL);
	sealer_close(s->sealer);
	status = err ? 1 : clean ? 0 : 5;
	if (err)
		log_error("the last commit failed: %s; the next mount recovers",
			  strerror(-err));
	if (write_last_stop(s, status, unfinished, lost) != 0 && !status)
		status = 1;
	io_unlink(s->fd, LAYOUT_DRAIN, 0);
	layout_lock_note(s->lockfd, NULL);
	return status;
}
