/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seekgz_write: a sealed object (lib/seekgz.h), written into a file: its chunks in order, and then its end
 * and its header.
 *
 *	seekgz_writer_init → seekgz_writer_add for each chunk → seekgz_writer_end → seekgz_writer_hash
 *
 * The raw length need not be known before the end. Memory: 8 bytes for each chunk; for each group, if the
 * length is known to be above 64 GiB. One thread at a time.
 */
#ifndef NOTEPACKFS_LIB_SEEKGZ_WRITE_H
#define NOTEPACKFS_LIB_SEEKGZ_WRITE_H

#include <openssl/types.h>

#include "lib/seekgz.h"

struct seekgz_writer {
	int fd;			    /* the caller's; read and written at offsets */
	uint32_t begin;		    /* where chunk 0 is in it */
	uint64_t raw_bytes, chunks; /* so far */
	uint64_t gz_bytes; /* … the room for the header with it, and in the end the end */
	uint32_t crc32;	   /* of the raw bytes */
	struct seekgz_group *group; /* for each 2^stride_log2 chunks */
	/* Its own. */
	uint8_t stride_log2;
	bool plain;
	size_t group_size;
	uint32_t body_crc32, hashed_crc32;
	uint64_t hashed, begun; /* bytes of the file; begun: whose writeback was */
	EVP_MD_CTX *raw_hash, *hash;
};

/* raw_bytes: of all that will be added; 0: that is not known yet, but SEEKGZ_RESERVE_BYTES and more. 0 or
 * -ENOMEM; release it in both cases. */
int seekgz_writer_init(struct seekgz_writer *w, int fd, uint64_t raw_bytes);
void seekgz_writer_release(struct seekgz_writer *w);

/* The next chunk: SEEKGZ_CHUNK_BYTES, but the last may be shorter. The disk is given what is written as it comes,
 * and the rest with the end: little is left when the file is made durable. */
int seekgz_writer_add(struct seekgz_writer *w, const uint8_t *raw, size_t raw_len,
		      const uint8_t *gz, size_t gz_len);

/*
 * Of one whose length was not known: another one of the same file that goes on from here, and leaves the
 * first as it is; so an end can be made, and bytes added to the first all the same. (Then both write
 * the file behind what they have in common: only the one used last is right.) 0 or -ENOMEM; release it
 * in both cases.
 */
int seekgz_writer_fork(const struct seekgz_writer *w, struct seekgz_writer *out);

/*
 * Of one whose length was not known: the raw bytes are not, or no more, what was added. Its chunks from
 * `chunks` on are forgotten, more may be added, and it has no end: it only keeps chunks, their lengths
 * and their CRCs.
 */
void seekgz_writer_keep(struct seekgz_writer *w, uint64_t chunks);

/* Nothing more will be added: write the end and the header. raw_sha256: SHA256_BYTES. */
int seekgz_writer_end(struct seekgz_writer *w, uint32_t part, uint64_t offset,
		      uint8_t *raw_sha256);

/*
 * Behind the end: the SHA-256 of the object, from the file, of which at most `bytes` are read now. What is
 * read must be what was written (a CRC-32 tells). 0: sha256 is filled in · 1: call again · -EIO: it is not
 * what was written · another -errno.
 */
int seekgz_writer_hash(struct seekgz_writer *w, uint64_t bytes, uint8_t *sha256);

/* Behind the end: the index of its chunks (lib/seekgz_index.h), *size bytes, the caller's to free. NULL: it
 * has none, or there is no memory; a reader makes it then. */
uint8_t *seekgz_writer_index(const struct seekgz_writer *w, size_t *size);

#endif
