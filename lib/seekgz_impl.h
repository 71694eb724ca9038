/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seekgz_impl: from an object to the plain bytes of a chunk, for reading and for verifying. For
 * seekgz*.c alone.
 *
 * Damage travels as -EBADMSG in here, so that it cannot be taken for a device's -EIO; what a reader
 * of the file sees is -EIO.
 */
#ifndef NOTEPACKFS_LIB_SEEKGZ_IMPL_H
#define NOTEPACKFS_LIB_SEEKGZ_IMPL_H

#include "lib/codec.h"
#include "lib/seekgz.h"

struct seekgz_scratch {
	struct inflater *inflater;
	uint8_t *gz; /* a compressed chunk: codec_bound(SEEKGZ_CHUNK_BYTES), and room */
};

/* Decompresses chunks of one object, one after the other. */
struct decoder {
	int fd;
	struct seekgz_header header;
	struct seekgz_scratch *scratch; /* these two are NULL until they are needed */
	uint8_t *plain;			/* SEEKGZ_CHUNK_BYTES, and SEEKGZ_CHUNK_ROOM */
};

/* One chunk, decompressed or to be. */
struct chunk {
	uint64_t number;
	uint64_t gz_pos; /* in the object */
	size_t gz_bytes; /* before: as known, or at most */
	size_t raw_bytes;
	uint32_t crc32; /* of what was decompressed */
};

/* Fill in *damage; returns -EBADMSG, or err. */
int seekgz_damaged(struct seekgz_damage *damage, uint64_t raw_offset, uint64_t gz_offset,
		   const char *reason);
int seekgz_unreadable(struct seekgz_damage *damage, uint64_t raw_offset, uint64_t gz_offset,
		      int err);

/* The descriptor stays the caller's. Errors as seekgz_header_read; on an error there is nothing
 * to release. */
int seekgz_decoder_init(struct decoder *d, int fd, const char **reason);
/* Have scratch and plain. 0 or -ENOMEM. */
int seekgz_decoder_prepare(struct decoder *d);
void seekgz_decoder_release(struct decoder *d);

uint64_t seekgz_group_first(const struct decoder *d, uint32_t group);
uint64_t seekgz_group_gz_pos(const struct decoder *d, uint32_t group);

/* Decompress c (number, gz_pos, and in gz_bytes how many there are: known, or at most) into
 * d->plain. */
int seekgz_decode_chunk(struct decoder *d, struct chunk *c, bool known,
			struct seekgz_damage *damage);

/*
 * Decompress every chunk of a group, in order, and check the group's CRC and that its chunks
 * fill it. each is called after each chunk, with the chunk still in d->plain and the scratch, and
 * before the CRC of a group of several chunks is known; what it returns, if not 0, ends the
 * walk.
 */
int seekgz_walk_group(struct decoder *d, uint32_t group,
		      int (*each)(void *ctx, const struct chunk *c), void *ctx,
		      struct seekgz_damage *damage);

#endif
