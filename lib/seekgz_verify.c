/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All of an object, in one pass. The inflater is the strict one, which finds the end of a chunk by
 * itself (lib/codec.h).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "lib/digest.h"
#include "lib/io.h"
#include "lib/seekgz_impl.h"

/* A verification under way. */
struct verify {
	struct decoder decoder;
	EVP_MD_CTX *raw_hash, *gz_hash;
	int (*sink)(void *ctx, const uint8_t *data, size_t len);
	void *sink_ctx;
};

static int verify_chunk(void *ctx, const struct chunk *c)
{
	struct verify *v = ctx;
	int err = digest_add(v->gz_hash, v->decoder.scratch->gz, c->gz_bytes);

	if (!err)
		err = digest_add(v->raw_hash, v->decoder.plain, c->raw_bytes);
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
	return digest_add(v->gz_hash, p, header->layout.header_bytes);
}

static int verify_groups(struct verify *v, uint32_t *crc32, struct seekgz_damage *damage)
{
	const struct seekgz_header *header = &v->decoder.header;
	int err = 0;

	*crc32 = 0;
	for (uint32_t i = 0; i < header->layout.groups && !err; i++) {
		err = seekgz_walk_group(&v->decoder, i, verify_chunk, v, damage);
		*crc32 =
		    (uint32_t)crc32_combine(*crc32, header->group[i].crc32,
					    (z_off_t)seekgz_group_bytes(&header->layout, i));
	}
	return err;
}

static int verify_trailer(struct verify *v, uint32_t crc32, struct seekgz_damage *damage)
{
	const struct seekgz_layout *layout = &v->decoder.header.layout;
	uint64_t gz_pos = seekgz_group_gz_pos(&v->decoder, layout->groups);
	uint8_t want[SEEKGZ_TRAILER_BYTES], got[SEEKGZ_TRAILER_BYTES + 1];
	ssize_t n = io_pread(v->decoder.fd, got, sizeof(got), gz_pos);

	if (n < 0)
		return seekgz_unreadable(damage, layout->raw_bytes, gz_pos, (int)n);
	seekgz_trailer_encode(crc32, layout->raw_bytes, want);
	if (n != sizeof(want) || memcmp(got, want, sizeof(want)) != 0)
		return seekgz_damaged(damage, layout->raw_bytes, gz_pos,
				      "its final block, CRC-32 and length are wrong");
	return digest_add(v->gz_hash, want, sizeof(want));
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
		err = digest_end(v->raw_hash, raw_sha256);
	if (!err)
		err = digest_end(v->gz_hash, summary->sha256);
	if (err)
		return err;
	if (memcmp(raw_sha256, header->raw_sha256, SHA256_BYTES) != 0)
		return seekgz_damaged(damage, 0, 0, "the SHA-256 of its content is wrong");
	summary->gz_bytes =
	    seekgz_group_gz_pos(&v->decoder, header->layout.groups) + SEEKGZ_TRAILER_BYTES;
	return 0;
}

int seekgz_verify(int fd, struct seekgz_header *header, struct seekgz_summary *summary,
		  int (*sink)(void *ctx, const uint8_t *data, size_t len), void *ctx,
		  struct seekgz_damage *damage)
{
	struct verify v = {.sink = sink, .sink_ctx = ctx};
	struct seekgz_damage met = {0};
	int err = seekgz_decoder_init(&v.decoder, fd, &met.reason);

	if (err)
		goto out;
	v.raw_hash = digest_new();
	v.gz_hash = digest_new();
	err = seekgz_decoder_prepare(&v.decoder);
	err = !err && v.raw_hash && v.gz_hash ? verify_all(&v, summary, &met) : -ENOMEM;
	if (!err) {
		*header = v.decoder.header;
		v.decoder.header.group = NULL;
	}
	digest_free(v.raw_hash);
	digest_free(v.gz_hash);
	seekgz_decoder_release(&v.decoder);
out:
	if (damage)
		*damage = met;
	return err;
}
