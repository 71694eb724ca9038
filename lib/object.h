/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * object: a sealed object of either form: ours (lib/seekgz.h), or a gzip file that someone else
 * wrote and that was imported (lib/gzfile.h).
 */
#ifndef NOTEPACKFS_LIB_OBJECT_H
#define NOTEPACKFS_LIB_OBJECT_H

#include "lib/chunks.h"
#include "lib/record.h"
#include "lib/seekgz.h"

/*
 * Read every byte of a gzip file of either form, and check everything. On 0 these fields of
 * *rec are filled in: part and offset (of ours by its header, else 1 and 0), sizes, checksums,
 * what the frame scanner found, and codec ("import" where it is not ours; who compressed one of
 * ours is not in it: "zlib"). progress (may be NULL) is told how many plain bytes there are so
 * far; what it returns, if not 0, ends the call. The file's access time stays as it is, where
 * io_reopen_unseen can see to it.
 *
 * 0 · -EBADMSG, -EFBIG: no good, *damage says where and why · -ENOMEM · an I/O error.
 */
int object_verify(int fd, struct sealed *rec, int (*progress)(void *ctx, uint64_t raw_bytes),
		  void *ctx, struct seekgz_damage *damage);

/* Does it begin like one of ours (and must then be good as one of ours)? 0 or 1, or -errno. */
int object_is_ours(int fd);

struct object_reader;

/*
 * A reader for the object of this record: any number of threads may use it. Takes fd over in
 * every case. chunks: the cache through which one of ours is read, and read ahead; it must stay
 * open as long as the reader; NULL: none, and one chunk is kept by the reader. index_dirfd: where indexes are kept, -1: nowhere; it must stay open as
 * long as the reader. read_only: no index is put there.
 *
 * 0 · -EBADMSG: it is not what the record says, *reason (a constant) why · -ENOMEM · an I/O
 * error.
 */
int object_open(int fd, const struct sealed *rec, struct chunks *chunks, int index_dirfd,
		bool read_only, struct object_reader **out, const char **reason);
/* One more who closes it. */
struct object_reader *object_ref(struct object_reader *r);
void object_close(struct object_reader *r);

/* As seekgz_read; offset is within the part. */
ssize_t object_read(struct object_reader *r, void *buf, size_t len, uint64_t offset,
		    struct seekgz_damage *damage);

/*
 * Indexes are kept of imports, and of our own whose groups hold several chunks (more than about
 * 0.5 GiB): under the SHA-256 of the object.
 */
bool object_has_index(uint8_t codec, uint64_t raw_bytes);

/* Of our own, sealed just now: `size` bytes as lib/seekgz_index.h says. Without it (NULL), or if
 * that fails, readers make it. */
void object_save_index(int index_dirfd, const struct sealed *rec, const uint8_t *index,
		       size_t size);

/* It is not needed any more. */
void object_forget_index(int index_dirfd, const struct sealed *rec);

#endif
