/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading sealed objects: at random, and all of one to verify it.
 *
 * Both walk groups chunk by chunk. Damage travels as -EBADMSG in here, so that it cannot be
 * taken for a device's -EIO; seekgz_read turns it into the -EIO that a reader of the file must
 * see.
 *
 * A byte is only given out once a CRC-32 from the header vouches for it. Where a group is one
 * chunk (stride 0) that is the chunk's own. Else the group is walked once, and the CRC-32s of
 * its chunks, found on the way and vouched for by the group's, are kept for the reads that
 * follow.
 */
#include "lib/seekgz.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "lib/codec.h"
#include "lib/io.h"
#include "lib/lock.h"

#define NONE UINT64_MAX

/* Decompresses chunks of one object, one after the other. */
struct decoder {
	int fd;
	struct seekgz_header header;
	struct inflater *inflater;
	uint8_t *gz;	/* the compressed chunk: codec_bound(SEEKGZ_CHUNK_BYTES), and room */
	uint8_t *plain; /* SEEKGZ_CHUNK_BYTES, and room */
};

/* One chunk, decompressed or to be. */
struct chunk {
	uint64_t number;
	uint64_t gz_pos; /* in the object */
	size_t gz_bytes; /* before: as known, or at most */
	size_t raw_bytes;
	uint32_t crc32; /* of what was decompressed */
};

/* What an index keeps of a chunk. */
struct indexed {
	uint32_t gz_pos; /* in the group */
	uint32_t gz_bytes;
	uint32_t crc32;
};

/*
 * Invariants whenever the lock is free: plain_chunk is NONE, or decoder.plain holds that chunk
 * and its CRC was checked; index_group is NONE, or index holds that group and its CRC was
 * checked.
 */
struct seekgz_reader {
	struct lock lock; /* rank 40; protects everything but the descriptor and the header */
	struct decoder decoder;
	uint64_t plain_chunk;
	uint64_t index_group;
	struct indexed *index; /* of 2^stride chunks; NULL where the header is the index */
};

static int damaged(struct seekgz_damage *damage, uint64_t raw_offset, uint64_t gz_offset,
		   const char *reason)
{
	*damage = (struct seekgz_damage){
	    .raw_offset = raw_offset,
	    .gz_offset = gz_offset,
	    .reason = reason,
	};
	return -EBADMSG;
}

static int unreadable(struct seekgz_damage *damage, uint64_t raw_offset, uint64_t gz_offset,
		      int err)
{
	damaged(damage, raw_offset, gz_offset, "it cannot be read");
	damage->err = err;
	return err;
}

static void decoder_release(struct decoder *d)
{
	seekgz_header_release(&d->header);
	inflater_free(d->inflater);
	free(d->gz);
	free(d->plain);
}

/* The descriptor stays the caller's. Errors as seekgz_header_read; on an error there is nothing
 * to release. */
static int decoder_init(struct decoder *d, int fd, const char **reason)
{
	struct stat st;
	int err = io_fstat(fd, &st);

	*d = (struct decoder){.fd = fd};
	*reason = NULL;
	if (!err)
		err = seekgz_header_read(fd, (uint64_t)st.st_size, &d->header, reason);
	if (err)
		return err;
	d->inflater = inflater_new();
	d->gz = malloc(codec_bound(SEEKGZ_CHUNK_BYTES) + INFLATER_GZ_ROOM);
	d->plain = malloc(SEEKGZ_CHUNK_BYTES + INFLATER_RAW_ROOM);
	if (d->inflater && d->gz && d->plain)
		return 0;
	decoder_release(d);
	return -ENOMEM;
}

static uint64_t group_first_chunk(const struct decoder *d, uint32_t group)
{
	return (uint64_t)group << d->header.layout.stride_log2;
}

static uint64_t group_gz_pos(const struct decoder *d, uint32_t group)
{
	uint64_t pos = d->header.layout.header_bytes;

	for (uint32_t i = 0; i < group; i++)
		pos += d->header.group[i].gz_bytes;
	return pos;
}

/* Decompress c (number, gz_pos, and in gz_bytes how many there are: known, or at most) into
 * d->plain. */
static int decode_chunk(struct decoder *d, struct chunk *c, bool known,
			struct seekgz_damage *damage)
{
	uint64_t raw_offset = c->number << SEEKGZ_CHUNK_LOG2;
	size_t want;
	ssize_t n;
	int err;

	c->raw_bytes = seekgz_chunk_bytes(&d->header.layout, c->number);
	want = MIN(c->gz_bytes, codec_bound(c->raw_bytes));
	n = io_pread(d->fd, d->gz, want, c->gz_pos);
	if (n < 0)
		return unreadable(damage, raw_offset, c->gz_pos, (int)n);
	if ((size_t)n < want)
		return damaged(damage, raw_offset, c->gz_pos, "the object is cut short");
	if (known && want == c->gz_bytes)
		err = inflater_whole(d->inflater, d->gz, want, d->plain, c->raw_bytes);
	else
		err = inflater_chunk(d->inflater, d->gz, want, d->plain, c->raw_bytes,
				     &c->gz_bytes);
	if (err)
		return damaged(damage, raw_offset, c->gz_pos, "a chunk does not decompress");
	c->crc32 = codec_crc32(0, d->plain, c->raw_bytes);
	return 0;
}

/*
 * Decompress every chunk of a group, in order, and check the group's CRC and that its chunks
 * fill it. each is called after each chunk, with the chunk still in d->plain and d->gz, and
 * before the CRC of a group of several chunks is known; what it returns, if not 0, ends the
 * walk.
 */
static int walk_group(struct decoder *d, uint32_t group,
		      int (*each)(void *ctx, const struct chunk *c), void *ctx,
		      struct seekgz_damage *damage)
{
	const struct seekgz_layout *layout = &d->header.layout;
	const struct seekgz_group *g = &d->header.group[group];
	uint64_t first = group_first_chunk(d, group);
	uint64_t end = MIN(first + ((uint64_t)1 << layout->stride_log2), layout->chunks);
	uint64_t gz_start = group_gz_pos(d, group);
	uint64_t gz_end = gz_start + g->gz_bytes;
	struct chunk c = {.number = first, .gz_pos = gz_start};
	uLong crc = 0;
	int err;

	for (; c.number < end; c.number++, c.gz_pos += c.gz_bytes) {
		c.gz_bytes = (size_t)(gz_end - c.gz_pos);
		err = decode_chunk(d, &c, false, damage);
		if (err)
			return err;
		crc = crc32_combine(crc, c.crc32, (z_off_t)c.raw_bytes);
		if (c.number + 1 == end && crc != g->crc32)
			return damaged(damage, first << SEEKGZ_CHUNK_LOG2, gz_start,
				       "a CRC is wrong");
		if (c.number + 1 == end && c.gz_pos + c.gz_bytes != gz_end)
			return damaged(
			    damage, first << SEEKGZ_CHUNK_LOG2, gz_start,
			    "something is left over behind the last chunk of a group");
		err = each(ctx, &c);
		if (err)
			return err;
	}
	return 0;
}

int seekgz_open(int fd, struct seekgz_reader **out, const char **reason)
{
	struct seekgz_reader *r = calloc(1, sizeof(*r));
	uint8_t stride;
	int err = -ENOMEM;

	*reason = NULL;
	if (!r)
		goto out_close_fd;
	err = decoder_init(&r->decoder, fd, reason);
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
	r->plain_chunk = NONE;
	r->index_group = NONE;
	*out = r;
	return 0;
out_release:
	decoder_release(&r->decoder);
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
	decoder_release(&r->decoder);
	lock_release(&r->lock);
	free(r->index);
	free(r);
}

const struct seekgz_header *seekgz_header(const struct seekgz_reader *r)
{
	return &r->decoder.header;
}

static int index_chunk(void *ctx, const struct chunk *c)
{
	struct seekgz_reader *r = ctx;
	const struct decoder *d = &r->decoder;
	uint32_t group = (uint32_t)(c->number >> d->header.layout.stride_log2);

	r->index[c->number - group_first_chunk(d, group)] = (struct indexed){
	    .gz_pos = (uint32_t)(c->gz_pos - group_gz_pos(d, group)),
	    .gz_bytes = (uint32_t)c->gz_bytes,
	    .crc32 = c->crc32,
	};
	return 0;
}

/* Where a chunk lies and what its CRC is, by an index that was itself checked. */
static int find_chunk_locked(struct seekgz_reader *r, uint64_t chunk, struct indexed *found,
			     uint64_t *gz_pos, struct seekgz_damage *damage) REQUIRES(&r->lock)
{
	struct decoder *d = &r->decoder;
	uint32_t group = (uint32_t)(chunk >> d->header.layout.stride_log2);
	const struct seekgz_group *g = &d->header.group[group];
	int err;

	*gz_pos = group_gz_pos(d, group);
	if (!r->index) {
		*found = (struct indexed){.gz_bytes = g->gz_bytes, .crc32 = g->crc32};
		return 0;
	}
	if (r->index_group != group) {
		r->plain_chunk = NONE;
		r->index_group = NONE;
		err = walk_group(d, group, index_chunk, r, damage);
		if (err)
			return err;
		r->index_group = group;
	}
	*found = r->index[chunk - group_first_chunk(d, group)];
	*gz_pos += found->gz_pos;
	return 0;
}

/* Have the chunk in decoder.plain, checked. */
static int load_chunk_locked(struct seekgz_reader *r, uint64_t chunk,
			     struct seekgz_damage *damage) REQUIRES(&r->lock)
{
	struct chunk c = {.number = chunk};
	struct indexed found;
	int err;

	if (r->plain_chunk == chunk)
		return 0;
	err = find_chunk_locked(r, chunk, &found, &c.gz_pos, damage);
	if (err)
		return err;
	r->plain_chunk = NONE;
	c.gz_bytes = found.gz_bytes;
	err = decode_chunk(&r->decoder, &c, true, damage);
	if (err)
		return err;
	if (c.gz_bytes != found.gz_bytes || c.crc32 != found.crc32)
		return damaged(damage, chunk << SEEKGZ_CHUNK_LOG2, c.gz_pos, "a CRC is wrong");
	r->plain_chunk = chunk;
	return 0;
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

/* A verification under way. */
struct verify {
	struct decoder decoder;
	EVP_MD_CTX *raw_hash, *gz_hash;
	int (*sink)(void *ctx, const uint8_t *data, size_t len);
	void *sink_ctx;
};

static EVP_MD_CTX *new_sha256(void)
{
	EVP_MD_CTX *hash = EVP_MD_CTX_new();

	if (hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(hash);
		hash = NULL;
	}
	return hash;
}

static int add_sha256(EVP_MD_CTX *hash, const void *data, size_t len)
{
	return EVP_DigestUpdate(hash, data, len) == 1 ? 0 : -ENOMEM;
}

static int end_sha256(EVP_MD_CTX *hash, uint8_t *out)
{
	return EVP_DigestFinal_ex(hash, out, NULL) == 1 ? 0 : -ENOMEM;
}

static int verify_chunk(void *ctx, const struct chunk *c)
{
	struct verify *v = ctx;
	int err = add_sha256(v->gz_hash, v->decoder.gz, c->gz_bytes);

	if (!err)
		err = add_sha256(v->raw_hash, v->decoder.plain, c->raw_bytes);
	if (!err && v->sink)
		err = v->sink(v->sink_ctx, v->decoder.plain, c->raw_bytes);
	return err;
}

/* Hash the header as it would be written: it was checked to be the same as what was read. */
static int verify_header(struct verify *v)
{
	const struct seekgz_header *header = &v->decoder.header;
	CLEANUP_FREE uint8_t *p = malloc(header->layout.header_bytes);

	if (!p)
		return -ENOMEM;
	seekgz_header_encode(header, p);
	return add_sha256(v->gz_hash, p, header->layout.header_bytes);
}

static int verify_groups(struct verify *v, uint32_t *crc32, struct seekgz_damage *damage)
{
	const struct seekgz_header *header = &v->decoder.header;
	int err = 0;

	*crc32 = 0;
	for (uint32_t i = 0; i < header->layout.groups && !err; i++) {
		err = walk_group(&v->decoder, i, verify_chunk, v, damage);
		*crc32 =
		    (uint32_t)crc32_combine(*crc32, header->group[i].crc32,
					    (z_off_t)seekgz_group_bytes(&header->layout, i));
	}
	return err;
}

static int verify_trailer(struct verify *v, uint32_t crc32, struct seekgz_damage *damage)
{
	const struct seekgz_layout *layout = &v->decoder.header.layout;
	uint64_t gz_pos = group_gz_pos(&v->decoder, layout->groups);
	uint8_t want[SEEKGZ_TRAILER_BYTES], got[SEEKGZ_TRAILER_BYTES + 1];
	ssize_t n = io_pread(v->decoder.fd, got, sizeof(got), gz_pos);

	if (n < 0)
		return unreadable(damage, layout->raw_bytes, gz_pos, (int)n);
	seekgz_trailer_encode(crc32, layout->raw_bytes, want);
	if (n != sizeof(want) || memcmp(got, want, sizeof(want)) != 0)
		return damaged(damage, layout->raw_bytes, gz_pos,
			       "its final block, CRC-32 and length are wrong");
	return add_sha256(v->gz_hash, want, sizeof(want));
}

static int verify_all(struct verify *v, struct seekgz_summary *summary,
		      struct seekgz_damage *damage)
{
	const struct seekgz_header *header = &v->decoder.header;
	uint8_t raw_sha256[SHA256_BYTES];
	int err = verify_header(v);

	if (!err)
		err = verify_groups(v, &summary->crc32, damage);
	if (!err)
		err = verify_trailer(v, summary->crc32, damage);
	if (!err)
		err = end_sha256(v->raw_hash, raw_sha256);
	if (!err)
		err = end_sha256(v->gz_hash, summary->sha256);
	if (err)
		return err;
	if (memcmp(raw_sha256, header->raw_sha256, SHA256_BYTES) != 0)
		return damaged(damage, 0, 0, "the SHA-256 of its content is wrong");
	summary->gz_bytes =
	    group_gz_pos(&v->decoder, header->layout.groups) + SEEKGZ_TRAILER_BYTES;
	return 0;
}

int seekgz_verify(int fd, struct seekgz_header *header, struct seekgz_summary *summary,
		  int (*sink)(void *ctx, const uint8_t *data, size_t len), void *ctx,
		  struct seekgz_damage *damage)
{
	struct verify v = {.sink = sink, .sink_ctx = ctx};
	struct seekgz_damage met = {0};
	int err = decoder_init(&v.decoder, fd, &met.reason);

	if (err)
		goto out;
	v.raw_hash = new_sha256();
	v.gz_hash = new_sha256();
	err = v.raw_hash && v.gz_hash ? verify_all(&v, summary, &met) : -ENOMEM;
	if (!err) {
		*header = v.decoder.header;
		v.decoder.header.group = NULL;
	}
	EVP_MD_CTX_free(v.raw_hash);
	EVP_MD_CTX_free(v.gz_hash);
	decoder_release(&v.decoder);
out:
	if (damage)
		*damage = met;
	return err;
}
