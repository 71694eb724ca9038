/* SPDX-License-Identifier: BSD-2-Clause */
/* segment_queue: segments in the order in which they came. Of each it uses queue_next. */
#ifndef NOTEPACKFS_LIB_SEGMENT_QUEUE_H
#define NOTEPACKFS_LIB_SEGMENT_QUEUE_H

#include "lib/segment.h"

struct segment_queue {
	struct segment *first, **last;
};

static inline void segment_queue_init(struct segment_queue *q)
{
	q->first = NULL;
	q->last = &q->first;
}

static inline void segment_queue_add(struct segment_queue *q, struct segment *seg)
{
	seg->queue_next = NULL;
	*q->last = seg;
	q->last = &seg->queue_next;
}

/* NULL: it is empty. */
static inline struct segment *segment_queue_take(struct segment_queue *q)
{
	struct segment *seg = q->first;

	if (seg) {
		q->first = seg->queue_next;
		if (!q->first)
			q->last = &q->first;
	}
	return seg;
}

#endif
