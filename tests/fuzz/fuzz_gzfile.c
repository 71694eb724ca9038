/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Gzip files of others. A byte says how the facts are forged with which the file is read, then come
 * the places of reads, and the file.
 *
 * A file is good exactly if zlib, fed member by member, says so, and then holds what zlib says. What
 * is read at an offset is right; with forged facts it may be refused, and never goes past the
 * length that they say.
 */
#include <errno.h>

#include "lib/gzfile.h"
#include "tests/fuzz/fuzz_memory.h"

#define READS 5
#define READ_MAX ((size_t)300 << 10)
#define LIMIT ((uint64_t)8 << 20)

struct place {
	uint64_t offset;
	size_t len;
};

static void read_at(struct gzfile_reader *r, const struct gzfile_facts *facts,
		    const struct place *at, const struct plain *known)
{
	uint8_t *buf = malloc(at->len ? at->len : 1);
	struct seekgz_damage damage = {0};
	bool honest = facts->raw_bytes == known->bytes && facts->crc32 == known->crc32;
	ssize_t n;

	if (!buf)
		abort();
	n = gzfile_read(r, buf, at->len, at->offset, &damage);
	MUST(n >= 0 || (n == -EIO && damage.reason && !honest));
	if (n > 0) {
		MUST((size_t)n <= at->len && at->offset + (size_t)n <= facts->raw_bytes);
		MUST(at->offset + (size_t)n <= known->bytes);
		if (at->offset + (size_t)n <= known->kept)
			MUST(memcmp(buf, known->data + at->offset, (size_t)n) == 0);
	}
	if (honest && at->offset < facts->raw_bytes)
		MUST((size_t)n == MIN(at->len, facts->raw_bytes - at->offset));
	free(buf);
}

/* known: what is in the file, as far as it goes. */
static void read_some(int fd, const struct gzfile_facts *facts, const struct place *places,
		      const struct plain *known)
{
	struct gzfile_reader *r = NULL;
	const char *reason = NULL;
	int err = gzfile_open(fd, facts, -1, NULL, &r, &reason);

	MUST(err == 0 || (err == -EBADMSG && reason));
	if (err)
		return;
	for (unsigned i = 0; i < READS; i++)
		read_at(r, facts, &places[i], known);
	gzfile_close(r);
}

static void forge(struct gzfile_facts *facts, uint8_t how)
{
	switch (how % 6) {
	case 1:
		facts->raw_bytes++;
		break;
	case 2:
		facts->raw_bytes -= facts->raw_bytes > 0;
		break;
	case 3:
		facts->raw_bytes += (uint64_t)how << 16;
		break;
	case 4:
		facts->crc32 ^= how;
		break;
	case 5:
		facts->raw_bytes /= 2;
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint8_t how = input_byte(&in);
	struct place places[READS];
	struct gzfile_summary summary = {0};
	struct seekgz_damage damage = {0};
	struct plain got, wanted;
	struct gzfile_facts facts;
	bool good;
	int fd, err;

	for (unsigned i = 0; i < READS; i++) {
		unsigned shift = input_below(&in, 17);

		places[i].offset = (uint64_t)input_byte(&in) << shift;
		places[i].len = (size_t)input_u16(&in) * 8;
		places[i].len = MIN(places[i].len, READ_MAX);
	}
	plain_init(&got, LIMIT);
	plain_init(&wanted, LIMIT);
	good = plain_of_gzip(in.p, in.len, &wanted);
	fd = memory_file(in.p, in.len);
	err = gzfile_verify(fd, &summary, plain_add, &got, &damage);
	plain_end(&got);
	MUST(err == 0 || err == -ECANCELED || (err == -EBADMSG && damage.reason));
	MUST(good == (err == 0));
	facts = (struct gzfile_facts){.gz_bytes = in.len, .raw_bytes = got.bytes};
	facts.crc32 = got.crc32;
	if (!err) {
		MUST(plain_same(&got, &wanted) && summary.members == wanted.members);
		MUST(summary.raw_bytes == wanted.bytes && summary.crc32 == wanted.crc32);
		MUST(summary.gz_bytes == in.len);
		forge(&facts, how);
		read_some(fd, &facts, places, &wanted);
	} else {
		close(fd);
	}
	plain_release(&got);
	plain_release(&wanted);
	return 0;
}
