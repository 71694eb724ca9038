/* SPDX-License-Identifier: BSD-2-Clause */
/* record_sample: a record and its line, for the tests of both directions. */
#ifndef NOTEPACKFS_TESTS_RECORD_SAMPLE_H
#define NOTEPACKFS_TESTS_RECORD_SAMPLE_H

#include <errno.h>
#include <limits.h>

#include "lib/name.h"
#include "lib/record.h"
#include "tests/unit/unit.h"

#define SUFFIX ".notepack"

static inline struct sealed sample(void)
{
	struct sealed s = {
	    .seq = 7,
	    .id = 12,
	    .part = 1,
	    .offset = 4096,
	    .raw_bytes = 1234567890123,
	    .gz_bytes = 345678,
	    .records = 99,
	    .first_created_at = 1700000000,
	    .last_created_at = 1700000001,
	    .mtime_ns = 1700000000123456789,
	    .sealed_at_ns = 1700000002000000001,
	    .crc32 = 0x00c0ffee,
	    .mode = 0640,
	    .uid = 1000,
	    .gid = 100,
	    .codec = 1,
	    .level = 6,
	    .is_notepack = true,
	};

	for (int i = 0; i < SHA256_BYTES; i++) {
		s.sha256[i] = (uint8_t)(i * 7 + 1);
		s.raw_sha256[i] = (uint8_t)(255 - i);
	}
	return s;
}

static inline void encode(struct buf *b, const struct sealed *s, const char *dir,
			  const char *plain)
{
	char object[NAME_BYTES + 1];

	CHECK_EQ(name_sealed(plain, s->part, SUFFIX, object), 0);
	buf_reset(b);
	record_encode_sealed(b, s, dir, object, plain);
	CHECK(!b->failed);
}

static inline bool same_facts(const struct sealed *a, const struct sealed *b)
{
	return a->seq == b->seq && a->id == b->id && a->part == b->part &&
	       a->offset == b->offset && a->raw_bytes == b->raw_bytes &&
	       a->gz_bytes == b->gz_bytes && a->is_notepack == b->is_notepack &&
	       a->records == b->records && a->first_created_at == b->first_created_at &&
	       a->last_created_at == b->last_created_at && a->mtime_ns == b->mtime_ns &&
	       a->sealed_at_ns == b->sealed_at_ns && a->crc32 == b->crc32 &&
	       a->mode == b->mode && a->uid == b->uid && a->gid == b->gid &&
	       a->codec == b->codec && a->level == b->level &&
	       memcmp(a->sha256, b->sha256, SHA256_BYTES) == 0 &&
	       memcmp(a->raw_sha256, b->raw_sha256, SHA256_BYTES) == 0;
}

#endif
