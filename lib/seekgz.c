/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The header and the end of a sealed object, written and read.
 *
 * Every bit of the header has one right value: what the CRC-32 of the field does not cover is a
 * constant, follows from the raw length, or is zero, and is compared. So a header that was read
 * can be encoded again to the very bytes that were read; seekgz_verify relies on it.
 */
#include "lib/seekgz.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "lib/codec.h"
#include "lib/io.h"

#define MEMBER_BYTES 12 /* the member's header, XLEN with it */
#define SUBFIELD_BYTES 4
#define FIELD_POS (MEMBER_BYTES + SUBFIELD_BYTES)
#define FIELD_BYTES 60 /* before the groups */
#define FIELD_CRC 56
#define GROUP_BYTES 8
#define GROUPS_MAX ((SEEKGZ_XLEN_MAX - SUBFIELD_BYTES - FIELD_BYTES) / GROUP_BYTES)
#define HEADER_MAX (MEMBER_BYTES + SEEKGZ_XLEN_MAX)
#define VERSION 1

static const uint8_t member_head[] = {0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255};

void seekgz_layout(uint64_t raw_bytes, struct seekgz_layout *layout)
{
	uint64_t groups, chunks = (raw_bytes + SEEKGZ_CHUNK_BYTES - 1) >> SEEKGZ_CHUNK_LOG2;
	uint8_t log2 = 0;

	while ((groups = (chunks + ((uint64_t)1 << log2) - 1) >> log2) > GROUPS_MAX)
		log2++;
	*layout = (struct seekgz_layout){
	    .raw_bytes = raw_bytes,
	    .chunks = chunks,
	    .groups = (uint32_t)groups,
	    .stride_log2 = log2,
	    .header_bytes = raw_bytes >= SEEKGZ_RESERVE_BYTES
				? HEADER_MAX
				: FIELD_POS + FIELD_BYTES + GROUP_BYTES * (uint32_t)groups,
	};
}

/* The CRC-32 of the used bytes of the field, its own four taken as zeroes. */
static uint32_t field_crc(const uint8_t *field, uint32_t groups)
{
	static const uint8_t zeroes[4];
	uLong crc = crc32_z(0, field, FIELD_CRC);

	crc = crc32_z(crc, zeroes, sizeof(zeroes));
	return (uint32_t)crc32_z(crc, field + FIELD_BYTES, (size_t)groups * GROUP_BYTES);
}

void seekgz_header_encode(const struct seekgz_header *header, uint8_t *out)
{
	const struct seekgz_layout *layout = &header->layout;
	uint8_t *field = out + FIELD_POS;

	memset(out, 0, layout->header_bytes);
	memcpy(out, member_head, sizeof(member_head));
	put_le16(out + 10, (uint16_t)(layout->header_bytes - MEMBER_BYTES));
	out[12] = 'N';
	out[13] = 'P';
	put_le16(out + 14, (uint16_t)(layout->header_bytes - FIELD_POS));
	field[0] = VERSION;
	field[1] = SEEKGZ_CHUNK_LOG2;
	field[2] = layout->stride_log2;
	put_le32(field + 4, header->part);
	put_le64(field + 8, header->offset);
	put_le64(field + 16, layout->raw_bytes);
	memcpy(field + 24, header->raw_sha256, SHA256_BYTES);
	for (uint32_t i = 0; i < layout->groups; i++) {
		uint8_t *p = field + FIELD_BYTES + (size_t)i * GROUP_BYTES;

		put_le32(p, header->group[i].gz_bytes);
		put_le32(p + 4, header->group[i].crc32);
	}
	put_le32(field + FIELD_CRC, field_crc(field, layout->groups));
}

void seekgz_trailer_encode(uint32_t crc32, uint64_t raw_bytes, uint8_t *out)
{
	out[0] = 3;
	out[1] = 0;
	put_le32(out + 2, crc32);
	put_le32(out + 6, (uint32_t)raw_bytes);
}

static bool all_zero(const uint8_t *p, size_t len)
{
	while (len > 0 && *p == 0) {
		p++;
		len--;
	}
	return len == 0;
}

/*
 * Read all but the groups from the first len bytes of an object, and check that the header has
 * the length it says and must have. Returns NULL, or what is wrong.
 */
static const char *decode_field(const uint8_t *p, size_t len, struct seekgz_header *h)
{
	const uint8_t *field = p + FIELD_POS;
	uint64_t raw_bytes;

	if (len < FIELD_POS + FIELD_BYTES)
		return "it is too short for a sealed object";
	if (memcmp(p, member_head, sizeof(member_head)) != 0 || p[12] != 'N' || p[13] != 'P')
		return "it does not start like a sealed object";
	if (field[0] != VERSION || field[1] != SEEKGZ_CHUNK_LOG2 || field[3] != 0)
		return "its header is of an unknown version";
	raw_bytes = get_le64(field + 16);
	if (raw_bytes == 0 || raw_bytes > SEEKGZ_RAW_MAX)
		return "its header has an impossible length";
	seekgz_layout(raw_bytes, &h->layout);
	if (field[2] != h->layout.stride_log2 ||
	    get_le16(p + 10) != h->layout.header_bytes - MEMBER_BYTES ||
	    get_le16(p + 14) != h->layout.header_bytes - FIELD_POS)
		return "its header has the wrong layout for its length";
	if (len < h->layout.header_bytes)
		return "its header is cut short";
	h->part = get_le32(field + 4);
	h->offset = get_le64(field + 8);
	if (h->part == 0 || h->offset > (uint64_t)INT64_MAX - raw_bytes)
		return "its header has an impossible part or offset";
	memcpy(h->raw_sha256, field + 24, SHA256_BYTES);
	return NULL;
}

/* Check the rest of the header; what it covers was checked to be there. */
static const char *check_field(const uint8_t *p, const struct seekgz_layout *layout)
{
	const uint8_t *field = p + FIELD_POS;
	const uint8_t *end = field + FIELD_BYTES + (size_t)layout->groups * GROUP_BYTES;

	if (get_le32(field + FIELD_CRC) != field_crc(field, layout->groups))
		return "the CRC of its header is wrong";
	if (!all_zero(end, (size_t)(p + layout->header_bytes - end)))
		return "its header has something in its reserved bytes";
	return NULL;
}

/* What the chunks of a group can take at most. */
static uint64_t group_bound(const struct seekgz_layout *layout, uint32_t group)
{
	uint64_t raw_bytes = seekgz_group_bytes(layout, group);

	return (raw_bytes >> SEEKGZ_CHUNK_LOG2) * codec_bound(SEEKGZ_CHUNK_BYTES) +
	       codec_bound(raw_bytes & (SEEKGZ_CHUNK_BYTES - 1));
}

/* Read the groups into h->group and check that they fill the object. */
static const char *decode_groups(const uint8_t *p, uint64_t gz_bytes, struct seekgz_header *h)
{
	uint64_t sum = h->layout.header_bytes + SEEKGZ_TRAILER_BYTES;

	for (uint32_t i = 0; i < h->layout.groups; i++) {
		const uint8_t *entry = p + FIELD_POS + FIELD_BYTES + (size_t)i * GROUP_BYTES;

		h->group[i].gz_bytes = get_le32(entry);
		h->group[i].crc32 = get_le32(entry + 4);
		if (h->group[i].gz_bytes > group_bound(&h->layout, i))
			return "its header has an impossible group";
		sum += h->group[i].gz_bytes;
	}
	if (sum != gz_bytes)
		return "its size is not what its header says";
	return NULL;
}

int seekgz_header_read(int fd, uint64_t gz_bytes, struct seekgz_header *header,
		       const char **reason)
{
	CLEANUP_FREE uint8_t *p = malloc(HEADER_MAX);
	struct seekgz_header h = {0};
	ssize_t len;

	*reason = NULL;
	if (!p)
		return -ENOMEM;
	len = io_pread(fd, p, (size_t)MIN(gz_bytes, HEADER_MAX), 0);
	if (len < 0)
		return (int)len;
	*reason = decode_field(p, (size_t)len, &h);
	if (!*reason)
		*reason = check_field(p, &h.layout);
	if (*reason)
		return -EBADMSG;
	h.group = calloc(h.layout.groups, sizeof(*h.group));
	if (!h.group)
		return -ENOMEM;
	*reason = decode_groups(p, gz_bytes, &h);
	if (*reason) {
		seekgz_header_release(&h);
		return -EBADMSG;
	}
	*header = h;
	return 0;
}

void seekgz_header_release(struct seekgz_header *header)
{
	free(header->group);
	header->group = NULL;
}
