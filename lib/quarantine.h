/* SPDX-License-Identifier: BSD-2-Clause */
/* quarantine: out of the way with what cannot be trusted, and nothing is deleted. */
#ifndef NOTEPACKFS_LIB_QUARANTINE_H
#define NOTEPACKFS_LIB_QUARANTINE_H

#define QUARANTINE_PATH_BYTES 64

/* Move dirfd/name (an object) to the first number that is free in the store's quarantine; to: its
 * new path, from the store's root. Numbered, so that the name always fits. 0 or -errno. */
int quarantine_move(int storefd, int dirfd, const char *name, char to[QUARANTINE_PATH_BYTES]);

#endif
