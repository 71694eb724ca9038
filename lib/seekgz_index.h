/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seekgz_index: where the chunks of an object lie whose groups hold several (stride > 0).
 *
 * The object's header knows its groups only. So that one chunk of a group can be read, and damage
 * of one does not take the others with it, an index is kept beside the object, not in it: for
 * each chunk, in order, its compressed length (u32) and the CRC-32 of its plain bytes (u32),
 * little-endian, and nothing else. It vouches for nothing by itself. A group's entries are used if
 * the lengths add up to the header's and the CRC-32s combine to the header's; so the file may be
 * written in place, by several at a time, have holes, and be cut short or damaged: what is not
 * right is made anew, from the group itself.
 */
#ifndef NOTEPACKFS_LIB_SEEKGZ_INDEX_H
#define NOTEPACKFS_LIB_SEEKGZ_INDEX_H

#include "lib/seekgz.h"

#define SEEKGZ_INDEX_ENTRY ((size_t)8) /* bytes */

struct seekgz_entry {
	uint32_t gz_bytes;
	uint32_t crc32;
};

/* Is there an index to be kept of a segment of this length? */
bool seekgz_index_wanted(uint64_t raw_bytes);

/*
 * For who makes an object: memory for its whole index, *size bytes, or NULL: there is none to be
 * kept, or no memory, or it would be more than SEEKGZ_INDEX_MAX; a reader makes it then, group by
 * group. Put an entry into it (index may be NULL).
 */
#define SEEKGZ_INDEX_MAX ((size_t)2 << 20) /* of a segment of 64 GiB */
uint8_t *seekgz_index_new(const struct seekgz_layout *layout, size_t *size);
void seekgz_index_put(uint8_t *index, uint64_t chunk, uint32_t gz_bytes, uint32_t crc32);

/* How many chunks a group has. */
uint32_t seekgz_index_count(const struct seekgz_layout *layout, uint32_t group);

/* Read a group's entries into out, of 2^stride. False: they are not there, or not right. */
bool seekgz_index_read(int fd, const struct seekgz_header *header, uint32_t group,
		       struct seekgz_entry *out);

/* Write a group's entries. 0 or -errno, which is no harm. */
int seekgz_index_write(int fd, const struct seekgz_header *header, uint32_t group,
		       const struct seekgz_entry *entries);

#endif
