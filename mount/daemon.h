/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * daemon: what a process does to become a well-behaved daemon, step by step.
 */
#ifndef NOTEPACKFS_MOUNT_DAEMON_H
#define NOTEPACKFS_MOUNT_DAEMON_H

#include <stdbool.h>

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
 * As root: give up every capability but those that this program needs, and those that exec
 * would give. Before any thread is started: capabilities belong to threads. Returns 0 or
 * -errno.
 */
int daemon_drop_capabilities(void);

#endif
