/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SHA-256 of the object begins with the header, and that has the SHA-256 of the raw bytes: so it
 * cannot be begun before all chunks are there, and takes a pass over the object.
 */
#include "lib/seekgz_write.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <zlib.h>

#include "lib/codec.h"
#include "lib/digest.h"
#include "lib/io.h"
#include "lib/seekgz_index.h"

#define HASH_BYTES ((size_t)128 << 10) /* stays in the processor's own cache */
#define GROUPS_FIRST 1024
#define WRITEBACK_BYTES ((uint64_t)8 << 20)

int seekgz_writer_init(struct seekgz_writer *w, int fd, uint64_t raw_bytes)
{
	struct seekgz_layout layout;

	seekgz_layout(raw_bytes ? raw_bytes : SEEKGZ_RESERVE_BYTES, &layout);
	if (layout.chunks * SEEKGZ_INDEX_ENTRY <=
	    SEEKGZ_INDEX_MAX) /* keep what an index needs */
		layout = (struct seekgz_layout){.header_bytes = layout.header_bytes,
						.groups = (uint32_t)layout.chunks};
	*w = (struct seekgz_writer){
	    .fd = fd,
	    .begin = layout.header_bytes,
	    .gz_bytes = layout.header_bytes,
	    .stride_log2 = layout.stride_log2,
	    .group_size = raw_bytes ? layout.groups : GROUPS_FIRST,
	};
	w->group = calloc(w->group_size, sizeof(*w->group));
	w->raw_hash = digest_new();
	return w->group && w->raw_hash ? 0 : -ENOMEM;
}

void seekgz_writer_release(struct seekgz_writer *w)
{
	free(w->group);
	digest_free(w->raw_hash);
	digest_free(w->hash);
	w->group = NULL;
	w->raw_hash = w->hash = NULL;
}

static int grow(struct seekgz_writer *w)
{
	size_t size = w->group_size * 2;
	struct seekgz_group *group;

	if (w->chunks >> w->stride_log2 < w->group_size)
		return 0;
	group = realloc(w->group, size * sizeof(*group));
	if (!group)
		return -ENOMEM;
	memset(group + w->group_size, 0, w->group_size * sizeof(*group));
	w->group = group;
	w->group_size = size;
	return 0;
}

static void add_to_group(struct seekgz_group *g, uint32_t gz_bytes, uint32_t crc32,
			 size_t raw_len)
{
	g->crc32 =
	    g->gz_bytes ? (uint32_t)crc32_combine(g->crc32, crc32, (z_off_t)raw_len) : crc32;
	g->gz_bytes += gz_bytes;
}

static void begin_writeback(struct seekgz_writer *w)
{
	if (w->gz_bytes - w->begun < WRITEBACK_BYTES)
		return;
	io_start_writeback(w->fd, w->begun, w->gz_bytes - w->begun);
	w->begun = w->gz_bytes;
}

int seekgz_writer_add(struct seekgz_writer *w, const uint8_t *raw, size_t raw_len,
		      const uint8_t *gz, size_t gz_len)
{
	uint32_t crc32 = codec_crc32(0, raw, raw_len);
	int err = grow(w);

	if (!err)
		err = io_pwrite(w->fd, gz, gz_len, w->gz_bytes);
	if (err)
		return err;
	add_to_group(&w->group[w->chunks >> w->stride_log2], (uint32_t)gz_len, crc32, raw_len);
	w->chunks++;
	w->raw_bytes += raw_len;
	w->gz_bytes += gz_len;
	begin_writeback(w);
	if (w->plain)
		return 0;
	w->body_crc32 = codec_crc32(w->body_crc32, gz, gz_len);
	w->crc32 = (uint32_t)crc32_combine(w->crc32, crc32, (z_off_t)raw_len);
	return digest_add(w->raw_hash, raw, raw_len);
}

int seekgz_writer_fork(const struct seekgz_writer *w, struct seekgz_writer *out)
{
	*out = *w;
	out->hash = NULL;
	out->group_size = w->chunks + 1;
	out->group = calloc(out->group_size, sizeof(*out->group));
	out->raw_hash = EVP_MD_CTX_new();
	if (!out->group || !out->raw_hash ||
	    EVP_MD_CTX_copy_ex(out->raw_hash, w->raw_hash) != 1)
		return -ENOMEM;
	memcpy(out->group, w->group, w->chunks * sizeof(*w->group));
	return 0;
}

void seekgz_writer_keep(struct seekgz_writer *w, uint64_t chunks)
{
	w->plain = true;
	while (w->chunks > chunks) {
		struct seekgz_group *g = &w->group[--w->chunks];

		w->gz_bytes -= g->gz_bytes;
		*g = (struct seekgz_group){0};
	}
	w->raw_bytes = w->chunks << SEEKGZ_CHUNK_LOG2;
	w->begun = MIN(w->begun, w->gz_bytes);
}

/* The groups of the layout, of which the writer may have the chunks. NULL: no memory. */
static struct seekgz_group *make_groups(const struct seekgz_writer *w,
					const struct seekgz_layout *layout)
{
	struct seekgz_group *group = calloc(layout->groups, sizeof(*group));

	if (!group)
		return NULL;
	if (w->stride_log2 == layout->stride_log2)
		return memcpy(group, w->group, layout->groups * sizeof(*group));
	for (uint64_t i = 0; i < w->chunks; i++)
		add_to_group(&group[i >> layout->stride_log2], w->group[i].gz_bytes,
			     w->group[i].crc32, seekgz_chunk_bytes(layout, i));
	return group;
}

int seekgz_writer_end(struct seekgz_writer *w, uint32_t part, uint64_t offset,
		      uint8_t *raw_sha256)
{
	struct seekgz_header header = {.part = part, .offset = offset};
	uint8_t trailer[SEEKGZ_TRAILER_BYTES];
	CLEANUP_FREE struct seekgz_group *group = NULL;
	CLEANUP_FREE uint8_t *p = NULL;
	int err;

	seekgz_layout(w->raw_bytes, &header.layout);
	header.group = group = make_groups(w, &header.layout);
	p = malloc(header.layout.header_bytes);
	w->hash = digest_new();
	if (!group || !p || !w->hash || digest_end(w->raw_hash, header.raw_sha256) != 0)
		return -ENOMEM;
	seekgz_header_encode(&header, p);
	seekgz_trailer_encode(w->crc32, w->raw_bytes, trailer);
	err = io_pwrite(w->fd, trailer, sizeof(trailer), w->gz_bytes);
	if (!err)
		err = io_pwrite(w->fd, p, header.layout.header_bytes, 0);
	if (err)
		return err;
	w->body_crc32 = codec_crc32(w->body_crc32, trailer, sizeof(trailer));
	w->gz_bytes += sizeof(trailer);
	io_start_writeback(w->fd, 0, 0);
	w->hashed = header.layout.header_bytes;
	memcpy(raw_sha256, header.raw_sha256, SHA256_BYTES);
	return digest_add(w->hash, p, header.layout.header_bytes);
}

int seekgz_writer_hash(struct seekgz_writer *w, uint64_t bytes, uint8_t *sha256)
{
	uint64_t end = w->hashed + MIN(bytes, w->gz_bytes - w->hashed);
	size_t size = (size_t)MIN(HASH_BYTES, end - w->hashed);
	CLEANUP_FREE uint8_t *buf = malloc(size);

	if (!buf)
		return -ENOMEM;
	while (w->hashed < end) {
		ssize_t n = io_pread(w->fd, buf, (size_t)MIN(size, end - w->hashed), w->hashed);

		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		if (digest_add(w->hash, buf, (size_t)n) != 0)
			return -ENOMEM;
		w->hashed_crc32 = codec_crc32(w->hashed_crc32, buf, (size_t)n);
		w->hashed += (uint64_t)n;
	}
	if (w->hashed < w->gz_bytes)
		return 1;
	if (w->hashed_crc32 != w->body_crc32)
		return -EIO;
	return digest_end(w->hash, sha256);
}

uint8_t *seekgz_writer_index(const struct seekgz_writer *w, size_t *size)
{
	struct seekgz_layout layout;
	uint8_t *index;

	seekgz_layout(w->raw_bytes, &layout);
	index = w->stride_log2 ? NULL : seekgz_index_new(&layout, size);
	for (uint64_t i = 0; index && i < w->chunks; i++)
		seekgz_index_put(index, i, w->group[i].gz_bytes, w->group[i].crc32);
	return index;
}
