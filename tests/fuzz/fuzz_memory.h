/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_memory: the file in memory that the targets for gzip files read from, and what zlib alone
 * makes of the same bytes.
 */
#ifndef NOTEPACKFS_TESTS_FUZZ_MEMORY_H
#define NOTEPACKFS_TESTS_FUZZ_MEMORY_H

#include <fcntl.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <zlib.h>

#include "tests/fuzz/fuzz.h"

/* The same file each time, with these bytes. The descriptor is a duplicate, the caller's. */
static inline int memory_file(const uint8_t *data, size_t len)
{
	static int fd = -1;
	int copy;

	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, len, 0) != (ssize_t)len)
		abort();
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		abort();
	return copy;
}

/* What a gzip file holds: of the plain bytes the first `kept` themselves, of all the rest. */
struct plain {
	uint8_t *data;
	size_t kept, size;
	uint64_t bytes, limit;
	uint64_t members;
	uint32_t crc32;
	uint8_t sha256[SHA256_BYTES];
	EVP_MD_CTX *hash;
};

#define PLAIN_KEPT ((size_t)4 << 20)

static inline void plain_init(struct plain *p, uint64_t limit)
{
	*p = (struct plain){.limit = limit, .hash = EVP_MD_CTX_new()};
	MUST(p->hash && EVP_DigestInit_ex(p->hash, EVP_sha256(), NULL) == 1);
}

static inline void plain_release(struct plain *p)
{
	EVP_MD_CTX_free(p->hash);
	free(p->data);
}

/* A sink: -ECANCELED when there is more than the limit. */
static inline int plain_add(void *ctx, const uint8_t *data, size_t len)
{
	struct plain *p = ctx;
	size_t keep = MIN(len, PLAIN_KEPT - p->kept);

	if (p->kept + keep > p->size) {
		p->size = MAX(2 * p->size, p->kept + keep);
		p->data = realloc(p->data, p->size);
		if (!p->data)
			abort();
	}
	if (keep > 0)
		memcpy(p->data + p->kept, data, keep);
	p->kept += keep;
	p->bytes += len;
	p->crc32 = (uint32_t)crc32_z(p->crc32, data, len);
	MUST(EVP_DigestUpdate(p->hash, data, len) == 1);
	return p->bytes > p->limit ? -ECANCELED : 0;
}

static inline void plain_end(struct plain *p)
{
	MUST(EVP_DigestFinal_ex(p->hash, p->sha256, NULL) == 1);
}

static inline bool plain_same(const struct plain *a, const struct plain *b)
{
	return a->bytes == b->bytes && memcmp(a->sha256, b->sha256, SHA256_BYTES) == 0;
}

/* Decompress all members, as gzip(1) does, with zeroes behind the last. Is it a good gzip file? A
 * file with more than p->limit plain bytes is none. */
static inline bool plain_of_gzip(const uint8_t *gz, size_t len, struct plain *p)
{
	static uint8_t out[1 << 16];
	z_stream z = {.next_in = (Bytef *)gz, .avail_in = (uInt)len};
	bool good = true;
	int r = Z_OK;

	MUST(inflateInit2(&z, 31) == Z_OK);
	while (good && (z.avail_in > 0 || p->members == 0)) {
		if (p->members > 0 && r == Z_STREAM_END) {
			if (*z.next_in == 0)
				break;
			MUST(inflateReset(&z) == Z_OK);
		}
		do {
			z.next_out = out;
			z.avail_out = sizeof(out);
			r = inflate(&z, Z_NO_FLUSH);
			if (plain_add(p, out, sizeof(out) - z.avail_out) != 0)
				r = Z_DATA_ERROR;
		} while (r == Z_OK);
		good = r == Z_STREAM_END;
		p->members += good;
	}
	for (; good && z.avail_in > 0; z.next_in++, z.avail_in--)
		good = *z.next_in == 0;
	inflateEnd(&z);
	plain_end(p);
	return good;
}

#endif
