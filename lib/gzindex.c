/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index as a file, and looking things up in it. Nothing in a table is trusted to be within
 * bounds, though its CRC-32 was right.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/gzindex_impl.h"
#include "lib/io.h"

#define VERSION 1
#define HEAD_CRC 44

static const uint8_t magic[8] = "NPGZIDX";

struct gzindex *gzindex_new(const struct gzfile_facts *facts)
{
	struct gzindex *ix = calloc(1, sizeof(*ix));

	if (!ix)
		return NULL;
	ix->fd = -1;
	ix->pieces = gzindex_pieces(facts->raw_bytes);
	ix->head_bytes = GZINDEX_HEADER_BYTES + (size_t)ix->pieces * GZINDEX_ENTRY_BYTES;
	ix->head = calloc(1, ix->head_bytes);
	if (ix->head)
		return ix;
	free(ix);
	return NULL;
}

void gzindex_free(struct gzindex *ix)
{
	if (!ix)
		return;
	if (ix->fd >= 0)
		close(ix->fd);
	free(ix->head);
	free(ix);
}

static uint8_t *entry(const struct gzindex *ix, uint64_t piece)
{
	return ix->head + GZINDEX_HEADER_BYTES + (size_t)piece * GZINDEX_ENTRY_BYTES;
}

void gzindex_put(struct gzindex *ix, uint64_t piece, const struct gzindex_entry *e)
{
	uint8_t *p = entry(ix, piece);

	put_le64(p, e->point.raw_offset);
	put_le64(p + 8, e->point.gz_offset);
	put_le64(p + 16, e->window_pos);
	put_le32(p + 24, e->packed_bytes);
	put_le32(p + 28, e->window_crc32);
	put_le32(p + 32, e->crc32);
	put_le16(p + 36, (uint16_t)e->point.window_bytes);
	p[38] = e->point.bits;
	p[39] = 0;
}

static void get_entry(const struct gzindex *ix, uint64_t piece, struct gzindex_entry *e)
{
	const uint8_t *p = entry(ix, piece);

	*e = (struct gzindex_entry){
	    .point =
		{
		    .raw_offset = get_le64(p),
		    .gz_offset = get_le64(p + 8),
		    .window_bytes = get_le16(p + 36),
		    .bits = p[38],
		},
	    .window_pos = get_le64(p + 16),
	    .packed_bytes = get_le32(p + 24),
	    .window_crc32 = get_le32(p + 28),
	    .crc32 = get_le32(p + 32),
	};
}

uint32_t gzindex_crc32(const struct gzindex *ix, uint64_t piece)
{
	return get_le32(entry(ix, piece) + 32);
}

/* The CRC-32 of header and table, its own four bytes taken as zeroes. */
static uint32_t head_crc(const struct gzindex *ix)
{
	static const uint8_t zeroes[4];
	uLong crc = crc32_z(0, ix->head, HEAD_CRC);

	crc = crc32_z(crc, zeroes, sizeof(zeroes));
	return (uint32_t)crc32_z(crc, ix->head + GZINDEX_HEADER_BYTES,
				 ix->head_bytes - GZINDEX_HEADER_BYTES);
}

/* All of the header but its CRC. */
static void put_header(uint8_t *p, const struct gzfile_facts *facts, uint64_t file_bytes)
{
	memcpy(p, magic, sizeof(magic));
	put_le32(p + 8, VERSION);
	put_le32(p + 12, GZINDEX_PIECE_LOG2);
	put_le64(p + 16, facts->raw_bytes);
	put_le64(p + 24, facts->gz_bytes);
	put_le64(p + 32, file_bytes);
	put_le32(p + 40, facts->crc32);
}

void gzindex_seal(struct gzindex *ix, const struct gzfile_facts *facts, uint64_t file_bytes)
{
	put_header(ix->head, facts, file_bytes);
	put_le32(ix->head + HEAD_CRC, head_crc(ix));
}

struct gzindex *gzindex_single(const struct gzfile_facts *facts)
{
	struct gzindex *ix = gzindex_new(facts);

	if (ix && ix->pieces > 0)
		gzindex_put(ix, 0, &(struct gzindex_entry){.crc32 = facts->crc32});
	return ix;
}

/* Every byte of the header has one right value: it is compared with what would be written. */
static int load_head(struct gzindex *ix, const struct gzfile_facts *facts)
{
	uint8_t want[HEAD_CRC];
	struct stat st;
	ssize_t n;
	int err = io_fstat(ix->fd, &st);

	if (err)
		return err;
	n = io_pread(ix->fd, ix->head, ix->head_bytes, 0);
	if (n < 0)
		return (int)n;
	put_header(want, facts, (uint64_t)st.st_size);
	if ((size_t)n < ix->head_bytes || memcmp(ix->head, want, sizeof(want)) != 0 ||
	    get_le32(ix->head + HEAD_CRC) != head_crc(ix))
		return -EBADMSG;
	return 0;
}

int gzindex_load(int dirfd, const char *name, const struct gzfile_facts *facts,
		 struct gzindex **out)
{
	struct gzindex *ix = gzindex_new(facts);
	int err;

	if (!ix)
		return -ENOMEM;
	ix->fd = io_open(dirfd, name, O_RDONLY, 0);
	err = ix->fd < 0 ? ix->fd : load_head(ix, facts);
	if (err) {
		gzindex_free(ix);
		return err;
	}
	*out = ix;
	return 0;
}

int gzindex_point(const struct gzindex *ix, uint64_t piece, struct gzstream_point *point)
{
	struct gzindex_entry e;

	get_entry(ix, piece, &e);
	if (e.point.raw_offset > piece << GZINDEX_PIECE_LOG2 || e.point.bits > 7 ||
	    e.point.window_bytes > GZSTREAM_WINDOW_BYTES || e.point.gz_offset > INT64_MAX ||
	    (e.point.bits > 0 && e.point.gz_offset == 0))
		return -EBADMSG;
	*point = e.point;
	return 0;
}

int gzindex_window(const struct gzindex *ix, uint64_t piece, uint8_t *out)
{
	struct gzindex_entry e;
	uLongf len = GZSTREAM_WINDOW_BYTES;
	CLEANUP_FREE uint8_t *packed = NULL;
	ssize_t n;
	int result;

	get_entry(ix, piece, &e);
	if (e.point.window_bytes == 0)
		return 0;
	if (e.packed_bytes > compressBound(GZSTREAM_WINDOW_BYTES))
		return -EBADMSG;
	packed = malloc((size_t)e.packed_bytes + 1);
	if (!packed)
		return -ENOMEM;
	n = io_pread(ix->fd, packed, e.packed_bytes, e.window_pos);
	if (n < 0)
		return (int)n;
	if ((size_t)n < e.packed_bytes || crc32_z(0, packed, (size_t)n) != e.window_crc32)
		return -EBADMSG;
	result = uncompress(out, &len, packed, e.packed_bytes);
	if (result == Z_MEM_ERROR)
		return -ENOMEM;
	return result == Z_OK && len == e.point.window_bytes ? 0 : -EBADMSG;
}
