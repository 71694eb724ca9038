/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/segment.h"

#include <stdio.h>

#include "lib/catalog.h"
#include "lib/early.h"
#include "lib/events.h"
#include "lib/io.h"
#include "lib/log.h"
#include "lib/raw.h"
#include "lib/space.h"

struct segment *segment_new_locked(struct store *s, struct file *f, uint64_t raw_bytes)
{
	struct segment *seg = calloc(1, sizeof(*seg));

	if (!seg)
		return NULL;
	seg->store = s;
	seg->file = f;
	seg->offset = f->cut_end;
	seg->raw_bytes = raw_bytes;
	seg->part = f->next_part++;
	seg->cut_ns = clock_ns();
	seg->tmp_fd = -1;
	node_ref_locked(&f->n);
	f->cut_end += raw_bytes;
	DL_APPEND(f->segments, seg);
	s->pending_files++;
	s->pending_bytes += raw_bytes;
	return seg;
}

struct segment *segment_split_locked(struct store *s, struct segment *seg, uint64_t bytes)
{
	struct segment *rest = calloc(1, sizeof(*rest)), *behind;
	struct file *f = seg->file;

	if (!rest)
		return NULL;
	*rest = (struct segment){.store = s,
				 .file = f,
				 .offset = seg->offset + bytes,
				 .raw_bytes = seg->raw_bytes - bytes,
				 .part = seg->part,
				 .cut_ns = seg->cut_ns,
				 .tmp_fd = -1};
	node_ref_locked(&f->n);
	seg->raw_bytes = bytes;
	DL_APPEND_ELEM(f->segments, seg, rest);
	for (behind = rest; behind; behind = behind->next)
		behind->part++;
	f->next_part++;
	s->pending_files++;
	return rest;
}

struct segment *segment_free(struct store *s, struct segment *seg)
{
	struct segment *next;
	bool unlink;

	if (seg->tmp_fd >= 0)
		close(seg->tmp_fd);
	lock_take(&s->lock);
	unlink = seg->tmp[0] && !seg->renamed && (!seg->orphan || seg->cancelled);
	lock_drop(&s->lock);
	if (unlink)
		io_unlink(s->fd, seg->tmp, 0);
	lock_take(&s->lock);
	early_forget_locked(s, seg);
	DL_DELETE(seg->file->segments, seg);
	next = seg->file->segments;
	s->pending_files--;
	s->pending_bytes -= seg->raw_bytes;
	if (s->paused)
		cond_signal(&s->timer_wake);
	node_unref_locked(s, &seg->file->n, 1);
	lock_drop(&s->lock);
	free(seg->dir_path);
	free(seg->index);
	free(seg);
	return next;
}

void segment_failed(struct store *s, struct segment *seg, int err, const char *step)
{
	CLEANUP_BUF struct buf path = {0}, more = {0};
	char error[sizeof(seg->error)];
	bool gone;

	snprintf(error, sizeof(error), "%s: %s", step,
		 err == -ENOSPC && space_inodes(s) == 0 ? "No inodes left on device"
							: strerror(-err));
	lock_take(&s->lock);
	/* -ESTALE: its file is being removed just now (lib/raw.h). */
	gone = seg->cancelled || !seg->file->n.linked || err == -ESTALE;
	if (!gone)
		catalog_path_locked(s, &seg->file->n, 0, &path);
	memcpy(seg->error, error, sizeof(error));
	lock_drop(&s->lock);
	if (gone || !path.data)
		return;
	log_error("%s: not sealed yet: %s; %s", path.data, error,
		  raw_is_gone(s, seg->file)
		      ? "its raw file was removed from the store, or replaced, not by "
			"notepackfs: if it was moved, put it back, else its bytes are lost"
		      : "the bytes are safe in the store, and sealing is tried again");
	if (seg->attempts > 0)
		return; /* one event for the failure, not one for each retry */
	buf_str(&more, ",\"error\":");
	buf_json_string(&more, error, strlen(error));
	events_add(s->events, "fail", manifest_last_seq(s->manifest), path.data,
		   more.data ? more.data : "");
}
