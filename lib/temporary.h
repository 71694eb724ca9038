/* SPDX-License-Identifier: BSD-2-Clause */
/* temporary: the file of LAYOUT_TMP that becomes an object, and what its record says of it. */
#ifndef NOTEPACKFS_LIB_TEMPORARY_H
#define NOTEPACKFS_LIB_TEMPORARY_H

#include "lib/sealer.h"

/* A new one, open for reading and writing: seg->tmp and seg->tmp_fd. 0 or -errno. */
int temporary_open(struct store *s, struct segment *seg);

/* The same of another path in LAYOUT_TMP, with this mode: a descriptor, or -errno. */
int temporary_open_path(struct store *s, const char *path, mode_t mode);

/* Close and remove what seg has of one; it may have none. */
void temporary_drop(struct store *s, struct segment *seg);

/* seg->record but for its lengths, digests and attributes; crc is of the plain bytes. */
void temporary_record(struct segment *seg, const struct lane *lane, uint32_t crc,
		      const struct frames *frames);

#endif
