/* SPDX-License-Identifier: BSD-2-Clause */
#include <openssl/evp.h>
#include <zlib.h>

#include "tests/fuzz/state.h"
#include "tests/unit/seekgz_build.h"

#define CACHE 8192

static void build_foreign(struct state_object *o, const uint8_t *raw)
{
	z_stream z = {.next_in = (Bytef *)raw, .avail_in = o->len};

	o->gz = malloc(8192);
	MUST(o->gz && deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	z.next_out = o->gz;
	z.avail_out = 8192;
	MUST(deflate(&z, Z_FINISH) == Z_STREAM_END);
	o->gz_len = z.total_out;
	deflateEnd(&z);
}

static void build(struct state_object *o)
{
	uint8_t raw[STREAM_BYTES];
	struct seekgz_recipe recipe = {
	    .codec = "zlib", .level = 6, .part = o->part, .offset = o->offset};

	for (unsigned i = 0; i < o->len; i++)
		raw[i] = stream_byte(o->stream, (uint64_t)o->offset + i);
	if (o->foreign) {
		build_foreign(o, raw);
	} else {
		CLEANUP_FD int fd = seekgz_build_temporary(raw, o->len, &recipe);

		MUST(fd >= 0);
		o->gz = state_read(fd, &o->gz_len);
	}
	o->gz_crc32 = (uint32_t)crc32_z(0, o->gz, o->gz_len);
	o->rec = (struct sealed){
	    .part = o->part,
	    .offset = o->offset,
	    .raw_bytes = o->len,
	    .gz_bytes = o->gz_len,
	    .crc32 = (uint32_t)crc32_z(0, raw, o->len),
	    .mode = 0644,
	    .level = 6,
	    .codec = o->foreign ? RECORD_CODEC_IMPORT : 0,
	};
	EVP_Digest(o->gz, o->gz_len, o->rec.sha256, NULL, EVP_sha256(), NULL);
	EVP_Digest(raw, o->len, o->rec.raw_sha256, NULL, EVP_sha256(), NULL);
}

/* Made once, for all inputs. */
const struct state_object *state_object(unsigned stream, uint32_t part, uint16_t offset,
					uint16_t len, bool foreign)
{
	static struct state_object cache[CACHE];
	struct state_object wanted = {
	    .stream = stream, .part = part, .offset = offset, .len = len, .foreign = foreign};
	size_t i = (stream * 7919 + part * 104729 + offset * 31 + len + foreign) % CACHE;

	for (; cache[i].gz; i = (i + 1) % CACHE) {
		const struct state_object *o = &cache[i];

		if (o->stream == stream && o->part == part && o->offset == offset &&
		    o->len == len && o->foreign == foreign)
			return o;
	}
	build(&wanted);
	cache[i] = wanted;
	return &cache[i];
}
