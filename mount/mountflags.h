/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mountflags: a mount has the flags that keep its users from each other and from the machine, or it
 * is not served.
 */
#ifndef NOTEPACKFS_MOUNT_MOUNTFLAGS_H
#define NOTEPACKFS_MOUNT_MOUNTFLAGS_H

#include <sys/types.h>

/*
 * Are nosuid, nodev and default_permissions on for the mount of this device, by
 * /proc/self/mountinfo? 0, or -1 and a line in the log. Where there is no such file or line, the log
 * says so, and it is 0.
 */
int mountflags_check(const char *mountpoint, dev_t device);

#endif
