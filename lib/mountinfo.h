/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mountinfo: a line of /proc/PID/mountinfo (proc(5)).
 */
#ifndef NOTEPACKFS_LIB_MOUNTINFO_H
#define NOTEPACKFS_LIB_MOUNTINFO_H

#include <stdbool.h>

#define MOUNTINFO_TYPE "fuse.notepackfs" /* of our mounts */

/* One mount; the strings point into the line that was parsed. */
struct mountinfo {
	const char *device; /* "MAJOR:MINOR" */
	const char *root;   /* what of the filesystem is mounted there */
	const char *mountpoint;
	const char *type;
	const char *source;	   /* of one of our mounts: the store, absolute */
	const char *options;	   /* of the mount, separated by commas … */
	const char *super_options; /* … and of the filesystem */
	bool read_only;
};

/* Take a line apart, in place, and undo the kernel's escapes (\040 for a blank). False: it is
 * no such line. */
bool mountinfo_parse(char *line, struct mountinfo *out);

/* Is this option in the list? */
bool mountinfo_has(const char *list, const char *option);

#endif
