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
#include "lib/import.h"
#include "lib/io.h"
#include "lib/layout.h"
#include "lib/lazy.h"
#include "lib/log.h"
#include "lib/replace.h"
#include "lib/sealer.h"
#include "lib/store_impl.h"

static int mark_clean(struct manifest_txn *txn, void *ctx)
{
	manifest_set_clean(txn, true);
	return 0;
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

/* Files whose bytes are not all sealed, though they should be. */
static uint64_t count_unfinished(struct store *s)
{
	uint64_t count = 0;
	struct file *f;

	lock_take(&s->lock);
	DL_FOREACH2(s->active, f, active_next)
	{
		if (!f->kept && !f->segments && catalog_excluded_locked(s, f->n.dir, f->n.name))
			continue;
		count++;
		log_warning(
		    "%s: not all of it is sealed; its bytes are safe in the store, and the "
		    "next mount takes it up",
		    f->n.name);
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
	int err;

	if (s->stop_fd < 0)
		return replace_file(s->fd, LAYOUT_LAST_STOP, &iov, 1, NULL);
	err = io_pwrite(s->stop_fd, text, LAST_STOP_BYTES, 0);
	if (!err)
		err =
		    replace_commit(s->fd, LAYOUT_LAST_STOP, LAYOUT_NEXT_STOP, s->stop_fd, NULL);
	close(s->stop_fd);
	s->stop_fd = -1;
	return err;
}

static void write_last_stop(struct store *s, int status, uint64_t unfinished)
{
	char text[LAST_STOP_BYTES];
	int64_t now_ns = clock_wall_ns();
	int n = snprintf(text, sizeof(text),
			 "{\"pid\":%ld,\"exit\":%d,\"sealed\":%llu,\"unfinished\":%llu,"
			 "\"time\":\"%lld.%09lld\"}",
			 (long)getpid(), status, (unsigned long long)s->sealed_total,
			 (unsigned long long)unfinished, (long long)(now_ns / 1000000000),
			 (long long)(now_ns % 1000000000));
	int err;

	memset(text + n, ' ', sizeof(text) - (size_t)n);
	text[sizeof(text) - 1] = '\n';
	err = replace_last_stop(s, text);
	if (err)
		log_warning(LAYOUT_LAST_STOP ": not written: %s", strerror(-err));
}

int store_stop(struct store *s)
{
	uint64_t unfinished;
	int err, status;

	layout_lock_note(s->lockfd, "draining");
	barrier_end_all(s, -EIO);
	write_drain(s);
	timers_stop(s);
	import_drain(s);
	sealer_drain(s->sealer, write_drain);
	unfinished = count_unfinished(s);
	err = lazy_flush(s);
	if (!err && !unfinished)
		err = manifest_commit(s->manifest, mark_clean, NULL);
	sealer_close(s->sealer);
	status = err ? 1 : unfinished ? 5 : 0;
	if (err)
		log_error("the last commit failed: %s; the next mount recovers",
			  strerror(-err));
	write_last_stop(s, status, unfinished);
	io_unlink(s->fd, LAYOUT_DRAIN, 0);
	layout_lock_note(s->lockfd, NULL);
	return status;
}
