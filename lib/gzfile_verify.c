/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/gzfile.h"

#include <errno.h>

#include "lib/digest.h"
#include "lib/gzstream.h"

#define RUN_BYTES ((size_t)256 << 10)

struct verify {
	struct gzstream stream;
	EVP_MD_CTX *raw_hash, *gz_hash;
	uint8_t *run;
};

static void verify_release(struct verify *v)
{
	gzstream_release(&v->stream);
	digest_free(v->raw_hash);
	digest_free(v->gz_hash);
	free(v->run);
}

static int verify_init(struct verify *v, int fd)
{
	int err = gzstream_init(&v->stream, fd);

	if (err)
		return err;
	v->raw_hash = digest_new();
	v->gz_hash = digest_new();
	v->run = malloc(RUN_BYTES);
	v->stream.gz_hash = v->gz_hash;
	if (v->raw_hash && v->gz_hash && v->run)
		return 0;
	verify_release(v);
	return -ENOMEM;
}

/* Read to the end. */
static int verify_runs(struct verify *v,
		       int (*sink)(void *ctx, const uint8_t *data, size_t len), void *ctx)
{
	size_t n;
	int err;

	do {
		ssize_t got = gzstream_read(&v->stream, v->run, RUN_BYTES);

		if (got < 0)
			return (int)got;
		n = (size_t)got;
		err = digest_add(v->raw_hash, v->run, n);
		if (!err && sink && n > 0)
			err = sink(ctx, v->run, n);
	} while (!err && n == RUN_BYTES);
	return err;
}

static int summarize(struct verify *v, struct gzfile_summary *summary)
{
	int err;

	summary->gz_bytes = gzstream_gz_offset(&v->stream);
	summary->raw_bytes = v->stream.raw_offset;
	summary->members = v->stream.members;
	summary->crc32 = v->stream.crc32;
	err = digest_end(v->gz_hash, summary->sha256);
	return err ? err : digest_end(v->raw_hash, summary->raw_sha256);
}

int gzfile_verify(int fd, struct gzfile_summary *summary,
		  int (*sink)(void *ctx, const uint8_t *data, size_t len), void *ctx,
		  struct seekgz_damage *damage)
{
	struct verify v = {0};
	int err = verify_init(&v, fd);

	if (damage)
		*damage = (struct seekgz_damage){0};
	if (err)
		return err;
	err = verify_runs(&v, sink, ctx);
	if (!err)
		err = summarize(&v, summary);
	if (damage)
		*damage = v.stream.damage;
	verify_release(&v);
	return err;
}
