/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading sealed objects at random.
 *
 * A byte is only given out once a CRC-32 from the header vouches for it. Where a group is one
 * chunk (stride 0) that is the chunk's own. Else an index has the CRC-32s of the group's chunks,
 * vouched for by the group's; where there is none the group is walked once, and they are found on
 * the way.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "lib/io.h"
#include "lib/lock.h"
#include "lib/seekgz_impl.h"
#include "lib/seekgz_index.h"

#define NONE UINT64_MAX

/*
 * Invariants whenever the locks are free: plain_chunk is NONE, or decoder.plain holds that chunk
 * and its CRC was checked; index_group is NONE, or index holds that group and its CRC was
 * checked. The descriptor and the header are constant.
 */
struct seekgz_reader {
	struct lock lock; /* rank 40; seekgz_read's: the rest of the decoder and plain_chunk */
	struct lock index_lock; /* rank 41; protects index_group and index */
	struct decoder decoder;
	uint64_t plain_chunk;
	uint64_t index_group;
	struct seekgz_entry *index; /* of 2^stride chunks; NULL where the header is the index */
	/* Constant. */
	int index_fd; /* where indexes are kept; -1: nowhere */
	bool save;    /* and put */
};

int seekgz_open(int fd, struct seekgz_reader **out, const char **reason)
{
	struct seekgz_reader *r = calloc(1, sizeof(*r));
	uint8_t stride;
	int err = -ENOMEM;

	*reason = NULL;
	if (!r)
		goto out_close_fd;
	err = seekgz_decoder_init(&r->decoder, fd, reason);
	if (err)
		goto out_free;
	stride = r->decoder.header.layout.stride_log2;
	if (stride > 0) {
		r->index = calloc((size_t)1 << stride, sizeof(*r->index));
		err = r->index ? 0 : -ENOMEM;
	}
	if (err)
		goto out_release;
	lock_init(&r->lock);
	lock_init(&r->index_lock);
	r->plain_chunk = NONE;
	r->index_group = NONE;
	r->index_fd = -1;
	*out = r;
	return 0;
out_release:
	seekgz_decoder_release(&r->decoder);
out_free:
	free(r);
out_close_fd:
	close(fd);
	return err;
}

void seekgz_close(struct seekgz_reader *r)
{
	if (!r)
		return;
	close(r->decoder.fd);
	if (r->index_fd >= 0)
		close(r->index_fd);
	seekgz_decoder_release(&r->decoder);
	lock_release(&r->lock);
	lock_release(&r->index_lock);
	free(r->index);
	free(r);
}

const struct seekgz_header *seekgz_header(const struct seekgz_reader *r)
{
	return &r->decoder.header;
}

void seekgz_use_index(struct seekgz_reader *r, int dirfd, const char *name, bool save)
{
	if (!r->index)
		return;
	r->index_fd =
	    io_open(dirfd, name, (save ? O_RDWR | O_CREAT : O_RDONLY) | O_NOFOLLOW, 0600);
	r->save = save;
}

static int index_chunk(void *ctx, const struct chunk *c)
{
	struct seekgz_reader *r = ctx;
	const struct decoder *d = &r->decoder;
	uint32_t group = (uint32_t)(c->number >> d->header.layout.stride_log2);

	r->index[c->number - seekgz_group_first(d, group)] = (struct seekgz_entry){
	    .gz_bytes = (uint32_t)c->gz_bytes,
	    .crc32 = c->crc32,
	};
	return 0;
}

/* Have the index of a group: from where it is kept, or d decompresses all of the group. */
static int index_group_locked(struct seekgz_reader *r, struct decoder *d, uint32_t group,
			      struct seekgz_damage *damage) REQUIRES(&r->index_lock)
{
	int err;

	if (r->index_group == group)
		return 0;
	r->index_group = NONE;
	if (r->index_fd < 0 || !seekgz_index_read(r->index_fd, &d->header, group, r->index)) {
		err = seekgz_walk_group(d, group, index_chunk, r, damage);
		if (err)
			return err;
		if (r->index_fd >= 0 && r->save)
			(void)seekgz_index_write(r->index_fd, &d->header, group, r->index);
	}
	r->index_group = group;
	return 0;
}

/* Where a chunk lies and what its CRC is, by what was itself checked: the header where a group is
 * one chunk, else an index. */
static int find_chunk(struct seekgz_reader *r, struct decoder *d, struct chunk *c,
		      struct seekgz_damage *damage)
{
	uint32_t group = (uint32_t)(c->number >> d->header.layout.stride_log2);
	uint64_t first = seekgz_group_first(d, group);
	int err;

	c->gz_pos = seekgz_group_gz_pos(d, group);
	if (!r->index) {
		c->gz_bytes = d->header.group[group].gz_bytes;
		c->crc32 = d->header.group[group].crc32;
		return 0;
	}
	lock_take(&r->index_lock);
	err = index_group_locked(r, d, group, damage);
	if (!err) {
		for (uint64_t i = 0; i < c->number - first; i++)
			c->gz_pos += r->index[i].gz_bytes;
		c->gz_bytes = r->index[c->number - first].gz_bytes;
		c->crc32 = r->index[c->number - first].crc32;
	}
	lock_drop(&r->index_lock);
	return err;
}

/* Have a chunk in d->plain, checked. */
static int decode_checked(struct seekgz_reader *r, struct decoder *d, uint64_t chunk,
			  struct seekgz_damage *damage)
{
	struct chunk found = {.number = chunk}, c;
	int err = find_chunk(r, d, &found, damage);

	if (err)
		return err;
	c = found;
	err = seekgz_decode_chunk(d, &c, true, damage);
	if (!err && (c.gz_bytes != found.gz_bytes || c.crc32 != found.crc32))
		err = seekgz_damaged(damage, chunk << SEEKGZ_CHUNK_LOG2, c.gz_pos,
				     "a CRC is wrong");
	return err;
}

int seekgz_chunk(struct seekgz_reader *r, struct seekgz_scratch *scratch, uint64_t chunk,
		 uint8_t *out, struct seekgz_damage *damage)
{
	struct decoder d = {
	    .fd = r->decoder.fd, .header = r->decoder.header, .scratch = scratch, .plain = out};
	int err = decode_checked(r, &d, chunk, damage);

	return err == -EBADMSG ? -EIO : err;
}

/* Have the chunk in decoder.plain, checked. */
static int load_chunk_locked(struct seekgz_reader *r, uint64_t chunk,
			     struct seekgz_damage *damage) REQUIRES(&r->lock)
{
	int err;

	if (r->plain_chunk == chunk)
		return 0;
	r->plain_chunk = NONE;
	err = seekgz_decoder_prepare(&r->decoder);
	if (!err)
		err = decode_checked(r, &r->decoder, chunk, damage);
	if (!err)
		r->plain_chunk = chunk;
	return err;
}

ssize_t seekgz_read(struct seekgz_reader *r, void *buf, size_t len, uint64_t offset,
		    struct seekgz_damage *damage)
{
	const struct seekgz_layout *layout = &r->decoder.header.layout;
	struct seekgz_damage met = {0};
	size_t done = 0;
	int err = 0;

	if (offset >= layout->raw_bytes)
		return 0;
	len = (size_t)MIN(len, layout->raw_bytes - offset);
	lock_take(&r->lock);
	while (done < len) {
		uint64_t chunk = (offset + done) >> SEEKGZ_CHUNK_LOG2;
		size_t skip = (offset + done) & (SEEKGZ_CHUNK_BYTES - 1);
		size_t n;

		err = load_chunk_locked(r, chunk, &met);
		if (err)
			break;
		n = MIN(len - done, seekgz_chunk_bytes(layout, chunk) - skip);
		memcpy((uint8_t *)buf + done, r->decoder.plain + skip, n);
		done += n;
	}
	lock_drop(&r->lock);
	if (!err || done > 0)
		return (ssize_t)done;
	if (damage)
		*damage = met;
	return err == -EBADMSG ? -EIO : err;
}
