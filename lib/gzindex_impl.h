/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gzindex_impl: the index in memory, shared by the file that makes one and the file that reads
 * one.
 */
#ifndef NOTEPACKFS_LIB_GZINDEX_IMPL_H
#define NOTEPACKFS_LIB_GZINDEX_IMPL_H

#include "lib/gzindex.h"

#define GZINDEX_HEADER_BYTES 48
#define GZINDEX_ENTRY_BYTES 40

/* head and table are as they lie in the file; entries are decoded when they are used. */
struct gzindex {
	int fd; /* for the windows; -1: there are none */
	uint64_t pieces;
	size_t head_bytes; /* of header and table */
	uint8_t *head;
};

/* An entry, decoded. */
struct gzindex_entry {
	struct gzstream_point point;
	uint64_t window_pos;
	uint32_t packed_bytes; /* the window's length in the file */
	uint32_t window_crc32;
	uint32_t crc32;
};

/* A new index with an empty table, or NULL. */
struct gzindex *gzindex_new(const struct gzfile_facts *facts);
void gzindex_put(struct gzindex *ix, uint64_t piece, const struct gzindex_entry *e);

/* Write the header. */
void gzindex_seal(struct gzindex *ix, const struct gzfile_facts *facts, uint64_t file_bytes);

#endif
