/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * segment: a run of cut bytes on its way into an object. One job.
 *
 * A file's segments are sealed one after the other, so parts appear in order; segments of
 * different files are sealed side by side.
 */
#ifndef NOTEPACKFS_LIB_SEGMENT_H
#define NOTEPACKFS_LIB_SEGMENT_H

#include "lib/core.h"
#include "lib/layout.h"
#include "lib/pool.h"

enum segment_state {
	SEGMENT_QUEUED,	    /* waits for the segment before it, or for its turn */
	SEGMENT_SEALING,    /* being compressed */
	SEGMENT_READY,	    /* compressed and verified, in a temporary */
	SEGMENT_PUBLISHING, /* rename … flip */
	SEGMENT_RETRY,	    /* a step failed; it will be tried again */
};

struct segment {
	/* Constant. */
	struct store *store;
	struct file *file; /* referenced */
	uint64_t offset;
	int64_t cut_ns;

	/* store.lock; constant while it is in work: only one that waits is split. */
	uint64_t raw_bytes;
	uint32_t part;

	/* store.lock */
	struct segment *prev, *next; /* in file->segments */
	enum segment_state state;
	bool cancelled;
	struct early *early; /* until it is begun */
	char error[160];

	/* The sealer's (lib/sealer.c). */
	struct segment *queue_next;
	int64_t retry_ns;
	unsigned attempts;
	bool small;    /* since it was begun: of one chunk */
	bool last_try; /* of a drain */
	struct waiter waiter;

	/* Of the thread that has the segment in work. */
	struct sealed record;
	uint8_t *index; /* of the object, to be kept once it is recorded; NULL: there is none */
	size_t index_bytes;
	char tmp[64]; /* path of the temporary, "" when there is none */
	int tmp_fd;
	bool orphan;	 /* tmp is one, and was not looked at yet: lib/orphan.h */
	bool renamed;	 /* the object has its final name */
	bool taken;	 /* the file is busy for us */
	bool moved;	 /* while taken: the manifest may have its parts under an older name */
	struct dir *dir; /* while taken: referenced, its times are held */
	char plain[NAME_BYTES + 1], object[NAME_BYTES + 1]; /* while taken */
	char *dir_path;
};

/* The temporary's name in store.tmpfd. */
static inline const char *segment_tmp_name(const struct segment *seg)
{
	return seg->tmp + strlen(LAYOUT_TMP "/");
}

/* Cut [offset, offset + raw_bytes) of f as its next segment, and track it. NULL: no memory. */
struct segment *segment_new_locked(struct store *s, struct file *f, uint64_t raw_bytes)
    REQUIRES(s->lock);
/* Leave it the first `bytes` (not all) of it, and make the rest the segment behind it. It must be the
 * first of its file, and not in work. NULL: no memory, and nothing has changed. */
struct segment *segment_split_locked(struct store *s, struct segment *seg, uint64_t bytes)
    REQUIRES(s->lock);
/*
 * Take it out of its file and free it; removes a temporary that is left, but an orphan only if it was
 * cancelled. Returns the segment
 * behind it, which is first now, and the caller's to submit or to free. NULL: there was none;
 * one that is cut from now on is submitted by who cuts it.
 */
struct segment *segment_free(struct store *s, struct segment *seg) EXCLUDES(s->lock);

/* The latest failure, for the status: one line in the log, and a retry with backoff by the
 * sealer. */
void segment_failed(struct store *s, struct segment *seg, int err, const char *step)
    EXCLUDES(s->lock);

#endif
