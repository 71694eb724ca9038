/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * early_impl: a job (lib/early.h), before and behind the cut. Private to early.c, early_work.c and early_seal.c.
 *
 * One task at a time is at a job, or a window's tasks are; `busy` says so. Whoever finds something to be done
 * under store.lock, and the job not busy, submits the task; who is done looks for more under the same lock. So
 * nothing is missed, and no thread waits.
 */
#ifndef NOTEPACKFS_LIB_EARLY_IMPL_H
#define NOTEPACKFS_LIB_EARLY_IMPL_H

#include "lib/early.h"
#include "lib/window.h"

struct early {
	struct window window; /* first: they are one */
	/* Constant. */
	struct file *file; /* referenced */
	uint64_t offset;   /* of chunk 0, in the file */
	char tmp[64];	   /* path of the temporary */

	/* store.lock */
	struct early *prev, *next; /* in store.earlies */
	struct task task;
	bool busy;
	bool dropped;	     /* it ends as soon as it is not busy */
	bool changed;	     /* a chunk was changed behind us */
	uint64_t ready;	     /* chunks that were there when it was looked for work */
	uint64_t begun;	     /* … and those that are being read */
	uint64_t keep;	     /* those from here on were truncated */
	uint64_t aim;	     /* an end is made for a file of this size; 0: no */
	uint64_t aim_min;    /* … and not for a smaller one */
	uint32_t part;	     /* … with this number */
	bool complete;	     /* … and it is there */
	bool unseen;	     /* someone came who could have changed the raw file … */
	uint64_t compared;   /* … since so many chunks of the end were compared with it */
	int64_t changed_ns;  /* when that happened last */
	struct segment *seg; /* once it is cut */
	bool sealing;

	/* Of whoever is at it. */
	bool open; /* the raw file and the temporary are */
	struct raw *raw;
	int tmp_fd;
	struct seekgz_writer writer, end;
	struct frames frames, end_frames;
	bool has_end;		   /* end was made for aim */
	struct stat compared_with; /* the raw file, before the first chunk was compared */
	uint8_t raw_sha256[SHA256_BYTES], sha256[SHA256_BYTES];
};

#define EARLY_BEHIND                                                                           \
	((uint64_t)1 << 20) /* from the end of a writer, who may go back a little */

static inline uint64_t early_full_chunks(uint64_t bytes)
{
	return bytes >> SEEKGZ_CHUNK_LOG2;
}

/* Compare the chunks of source, from first on, with the raw file; then end is called. 0 or -ENOMEM. */
int early_compare(struct early *e, const struct seekgz_writer *source, uint64_t first,
		  bool idle, bool (*stopped)(struct window *w),
		  void (*end)(struct window *w, int err, const char *step));

/* Have a task look at it, unless one is at it. idle: when there is nothing else to do. */
void early_poke_locked(struct early *e, bool idle);
/* It has no file and no segment any more, and goes. The file has another try when it has doubled. Not for one
 * that is being sealed. */
void early_drop_locked(struct early *e);

/* The task. */
void early_run(struct task *t);
/* Are there as many chunks as are worth it? Of one that is not busy, or by who is at it. */
bool early_has_chunks(const struct early *e);

/* Write the end of a segment of raw_bytes, all of whose full chunks are there, into e->end. 0 or -errno. */
int early_make_end(struct early *e, uint64_t raw_bytes, uint32_t part);

/* Its segment's turn has come. Takes the job over. */
void early_seal_run(struct early *e);

#endif
