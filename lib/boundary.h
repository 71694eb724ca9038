/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boundary: where a file may be cut without tearing a record: behind the last complete notepack frame
 * of a .notepack, behind the last newline of what looks like text, else anywhere.
 */
#ifndef NOTEPACKFS_LIB_BOUNDARY_H
#define NOTEPACKFS_LIB_BOUNDARY_H

#include <stdint.h>

/* Make a record boundary of the bytes [from, to) of an open raw file: how far a cut may go;
 * from itself if there is no complete record yet. name: the plain name. Returns an offset or
 * -errno. */
int64_t boundary_find(int fd, const char *name, uint64_t from, uint64_t to);

#endif
