/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/seekgz_index.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#include "lib/codec.h"
#include "lib/io.h"

bool seekgz_index_wanted(uint64_t raw_bytes)
{
	struct seekgz_layout layout;

	if (raw_bytes == 0 || raw_bytes > SEEKGZ_RAW_MAX)
		return false;
	seekgz_layout(raw_bytes, &layout);
	return layout.stride_log2 > 0;
}

uint8_t *seekgz_index_new(const struct seekgz_layout *layout, size_t *size)
{
	*size = layout->chunks * SEEKGZ_INDEX_ENTRY;
	if (layout->stride_log2 == 0 || *size > SEEKGZ_INDEX_MAX)
		return NULL;
	return calloc(1, *size);
}

void seekgz_index_put(uint8_t *index, uint64_t chunk, uint32_t gz_bytes, uint32_t crc32)
{
	if (!index)
		return;
	put_le32(index + chunk * SEEKGZ_INDEX_ENTRY, gz_bytes);
	put_le32(index + chunk * SEEKGZ_INDEX_ENTRY + 4, crc32);
}

static uint64_t first_chunk(const struct seekgz_layout *layout, uint32_t group)
{
	return (uint64_t)group << layout->stride_log2;
}

uint32_t seekgz_index_count(const struct seekgz_layout *layout, uint32_t group)
{
	return (uint32_t)MIN((uint64_t)1 << layout->stride_log2,
			     layout->chunks - first_chunk(layout, group));
}

/* Do the entries say of the group what the header does? */
static bool is_right(const struct seekgz_header *header, uint32_t group,
		     const struct seekgz_entry *entries)
{
	const struct seekgz_layout *layout = &header->layout;
	uint64_t first = first_chunk(layout, group), gz_bytes = 0;
	uLong crc = 0;

	for (uint32_t i = 0; i < seekgz_index_count(layout, group); i++) {
		size_t len = seekgz_chunk_bytes(layout, first + i);

		if (entries[i].gz_bytes > codec_bound(len))
			return false;
		gz_bytes += entries[i].gz_bytes;
		crc = crc32_combine(crc, entries[i].crc32, (z_off_t)len);
	}
	return gz_bytes == header->group[group].gz_bytes && crc == header->group[group].crc32;
}

bool seekgz_index_read(int fd, const struct seekgz_header *header, uint32_t group,
		       struct seekgz_entry *out)
{
	uint32_t count = seekgz_index_count(&header->layout, group);
	size_t size = count * SEEKGZ_INDEX_ENTRY;
	CLEANUP_FREE uint8_t *bytes = malloc(size);

	if (!bytes ||
	    io_pread(fd, bytes, size,
		     first_chunk(&header->layout, group) * SEEKGZ_INDEX_ENTRY) != (ssize_t)size)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		out[i].gz_bytes = get_le32(bytes + i * SEEKGZ_INDEX_ENTRY);
		out[i].crc32 = get_le32(bytes + i * SEEKGZ_INDEX_ENTRY + 4);
	}
	return is_right(header, group, out);
}

int seekgz_index_write(int fd, const struct seekgz_header *header, uint32_t group,
		       const struct seekgz_entry *entries)
{
	uint32_t count = seekgz_index_count(&header->layout, group);
	size_t size = count * SEEKGZ_INDEX_ENTRY;
	CLEANUP_FREE uint8_t *bytes = malloc(size);

	if (!bytes)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		seekgz_index_put(bytes, i, entries[i].gz_bytes, entries[i].crc32);
	return io_pwrite(fd, bytes, size,
			 first_chunk(&header->layout, group) * SEEKGZ_INDEX_ENTRY);
}
