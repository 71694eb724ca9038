/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#include "lib/io.h"
#include "lib/seekgz_impl.h"

_Static_assert(SEEKGZ_CHUNK_ROOM >= INFLATER_RAW_ROOM,
	       "decompressing needs room behind a chunk");

int seekgz_damaged(struct seekgz_damage *damage, uint64_t raw_offset, uint64_t gz_offset,
		   const char *reason)
{
	*damage = (struct seekgz_damage){
	    .raw_offset = raw_offset,
	    .gz_offset = gz_offset,
	    .reason = reason,
	};
	return -EBADMSG;
}

int seekgz_unreadable(struct seekgz_damage *damage, uint64_t raw_offset, uint64_t gz_offset,
		      int err)
{
	seekgz_damaged(damage, raw_offset, gz_offset, "it cannot be read");
	damage->err = err;
	return err;
}

struct seekgz_scratch *seekgz_scratch_new(void)
{
	struct seekgz_scratch *scratch = calloc(1, sizeof(*scratch));

	if (!scratch)
		return NULL;
	scratch->inflater = inflater_new();
	scratch->gz = malloc(codec_bound(SEEKGZ_CHUNK_BYTES) + INFLATER_GZ_ROOM);
	if (scratch->inflater && scratch->gz)
		return scratch;
	seekgz_scratch_free(scratch);
	return NULL;
}

void seekgz_scratch_free(struct seekgz_scratch *scratch)
{
	if (!scratch)
		return;
	inflater_free(scratch->inflater);
	free(scratch->gz);
	free(scratch);
}

int seekgz_decoder_init(struct decoder *d, int fd, const char **reason)
{
	struct stat st;
	int err = io_fstat(fd, &st);

	*d = (struct decoder){.fd = fd};
	*reason = NULL;
	if (!err)
		err = seekgz_header_read(fd, (uint64_t)st.st_size, &d->header, reason);
	return err;
}

int seekgz_decoder_prepare(struct decoder *d)
{
	if (!d->scratch)
		d->scratch = seekgz_scratch_new();
	if (!d->plain)
		d->plain = malloc(SEEKGZ_CHUNK_BYTES + SEEKGZ_CHUNK_ROOM);
	return d->scratch && d->plain ? 0 : -ENOMEM;
}

void seekgz_decoder_release(struct decoder *d)
{
	seekgz_header_release(&d->header);
	seekgz_scratch_free(d->scratch);
	free(d->plain);
}

uint64_t seekgz_group_first(const struct decoder *d, uint32_t group)
{
	return (uint64_t)group << d->header.layout.stride_log2;
}

uint64_t seekgz_group_gz_pos(const struct decoder *d, uint32_t group)
{
	uint64_t pos = d->header.layout.header_bytes;

	for (uint32_t i = 0; i < group; i++)
		pos += d->header.group[i].gz_bytes;
	return pos;
}

int seekgz_decode_chunk(struct decoder *d, struct chunk *c, bool known,
			struct seekgz_damage *damage)
{
	uint64_t raw_offset = c->number << SEEKGZ_CHUNK_LOG2;
	size_t want;
	ssize_t n;
	int err;

	c->raw_bytes = seekgz_chunk_bytes(&d->header.layout, c->number);
	want = MIN(c->gz_bytes, codec_bound(c->raw_bytes));
	n = io_pread(d->fd, d->scratch->gz, want, c->gz_pos);
	if (n < 0)
		return seekgz_unreadable(damage, raw_offset, c->gz_pos, (int)n);
	if ((size_t)n < want)
		return seekgz_damaged(damage, raw_offset, c->gz_pos, "the object is cut short");
	if (known && want == c->gz_bytes)
		err = inflater_whole(d->scratch->inflater, d->scratch->gz, want, d->plain,
				     c->raw_bytes);
	else
		err = inflater_chunk(d->scratch->inflater, d->scratch->gz, want, d->plain,
				     c->raw_bytes, &c->gz_bytes);
	if (err)
		return seekgz_damaged(damage, raw_offset, c->gz_pos,
				      "a chunk does not decompress");
	c->crc32 = codec_crc32(0, d->plain, c->raw_bytes);
	return 0;
}

int seekgz_walk_group(struct decoder *d, uint32_t group,
		      int (*each)(void *ctx, const struct chunk *c), void *ctx,
		      struct seekgz_damage *damage)
{
	const struct seekgz_layout *layout = &d->header.layout;
	const struct seekgz_group *g = &d->header.group[group];
	uint64_t first = seekgz_group_first(d, group);
	uint64_t end = MIN(first + ((uint64_t)1 << layout->stride_log2), layout->chunks);
	uint64_t gz_start = seekgz_group_gz_pos(d, group);
	uint64_t gz_end = gz_start + g->gz_bytes;
	struct chunk c = {.number = first, .gz_pos = gz_start};
	uLong crc = 0;
	int err;

	for (; c.number < end; c.number++, c.gz_pos += c.gz_bytes) {
		c.gz_bytes = (size_t)(gz_end - c.gz_pos);
		err = seekgz_decode_chunk(d, &c, false, damage);
		if (err)
			return err;
		crc = crc32_combine(crc, c.crc32, (z_off_t)c.raw_bytes);
		if (c.number + 1 == end && crc != g->crc32)
			return seekgz_damaged(damage, first << SEEKGZ_CHUNK_LOG2, gz_start,
					      "a CRC is wrong");
		if (c.number + 1 == end && c.gz_pos + c.gz_bytes != gz_end)
			return seekgz_damaged(
			    damage, first << SEEKGZ_CHUNK_LOG2, gz_start,
			    "something is left over behind the last chunk of a group");
		err = each(ctx, &c);
		if (err)
			return err;
	}
	return 0;
}
