/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * daemon: what a process does to become a well-behaved daemon, step by step.
 */
#ifndef NOTEPACKFS_MOUNT_DAEMON_H
#define NOTEPACKFS_MOUNT_DAEMON_H

#include <stddef.h>

/*
 * First of all: inherited descriptors above 2 are closed, 0 to 2 are open; umask 0; no core
 * dumps; as many descriptors as allowed; SIGPIPE and SIGXFSZ ignored.
 */
void daemon_prepare(void);

/*
 * Fork. The child returns, and does the work, its stderr still the caller's. The parent waits,
 * and ends: with 0 once the child has called daemon_ready, with the child's status if it ends
 * before.
 */
void daemon_fork(void);

/* In the child, once: leave the session, the directory and stdio of the caller, and let the
 * parent end. Messages go to syslog from here on. Does nothing without a daemon_fork. */
void daemon_ready(void);

/*
 * Give up, for ever, every capability but these (those of them that there are): in all sets, the
 * bounding and the ambient one, too. Of the calling thread. Returns 0 or -errno.
 */
int daemon_keep_capabilities(const int *kept, size_t count);

/*
 * Keep what the filesystem needs of root's privileges, nothing of other users', and let no exec
 * give any back. Before any thread is started: capabilities belong to threads. Returns 0 or
 * -errno.
 */
int daemon_drop_privileges(void);

#endif
