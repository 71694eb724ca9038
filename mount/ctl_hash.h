/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ctl_hash: uthash as the commands use it. Memory that cannot be had ends the process.
 */
#ifndef NOTEPACKFS_MOUNT_CTL_HASH_H
#define NOTEPACKFS_MOUNT_CTL_HASH_H

#include "mount/ctl.h"

#define uthash_fatal(msg) ctl_no_memory()
/* The default falls through cases in a way that compilers warn about. */
#define HASH_FUNCTION(key, len, value) HASH_OAT(key, len, value)
#include <uthash.h>

#endif
