/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pool: a fixed number of threads that run tasks, first come, first served; and as many of low priority for
 * tasks that are for when there is nothing else to do. These run where no other task waits and fewer tasks run
 * than the pool has threads of the first kind. So who submits a task does not wait for an idle one, and who
 * wants the processor, in this process or in another, gets it.
 *
 * Stop is a flag under the mutex, set before the broadcast and looked at at the top of every
 * turn, so no wake-up is lost (L5); the threads finish what is queued before they end, and are
 * joined (L1, L7). A thread that cannot be created is logged and done without; with none at
 * all, pool_submit runs the task itself (L8). The lock is of rank 25 and held for the queue
 * only.
 */
#ifndef NOTEPACKFS_LIB_POOL_H
#define NOTEPACKFS_LIB_POOL_H

#include <stdbool.h>

/* Embedded by its owner, who keeps it until run was called. run may submit it again. */
struct task {
	void (*run)(struct task *t);
	struct task *next;
};

struct pool;

/* idle: with threads for pool_submit_idle. NULL when there is no memory. */
struct pool *pool_open(unsigned threads, bool idle);
void pool_submit(struct pool *p, struct task *t);
/* Run it when there is time, or eight others have passed it: idle tasks are served among themselves, and they
 * do come to their end. Without threads for them, as any other. For a pool with threads. */
void pool_submit_idle(struct pool *p, struct task *t);
/* How many threads there are, but for those of idle tasks. */
unsigned pool_threads(const struct pool *p);
/* Run what is queued, join the threads, free. No one may submit any more but the tasks
 * themselves. */
void pool_close(struct pool *p);

#endif
