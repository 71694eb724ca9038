/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scanner keeps the head of the frame it is in and skips the rest by counting. It does not
 * decode content and tags: what consumers ask of a segment is all in the head.
 */
#include "lib/frames.h"

#include <string.h>

#include "lib/bytes.h"

#define LENGTH_BYTES 4
#define CREATED_AT_POS 129 /* behind version 1, id 32, pubkey 32, sig 64 */
#define REST_MIN 3	   /* kind, content_len, num_tags: a byte each */
#define PAYLOAD_MIN (CREATED_AT_POS + 1 + REST_MIN)
#define VARINT_MAX 10

int frames_varint(const uint8_t *p, size_t len, uint64_t *value)
{
	uint64_t v = 0;

	for (size_t i = 0; i < VARINT_MAX; i++) {
		if (i == len)
			return 0;
		if (i == VARINT_MAX - 1 && p[i] > 1)
			return -1;
		v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
		if (!(p[i] & 0x80)) {
			*value = v;
			return (int)i + 1;
		}
	}
	return -1;
}

void frames_init(struct frames *f)
{
	memset(f, 0, sizeof(*f));
}

/* How much of the frame is kept in head[], the length with it. */
static uint32_t head_bytes(const struct frames *f)
{
	if (f->head_len < LENGTH_BYTES)
		return LENGTH_BYTES;
	return LENGTH_BYTES + MIN(f->frame_bytes, (uint32_t)FRAME_HEAD_BYTES);
}

/* From a whole head; false if it is no varint or leaves no room for what must follow. */
static bool read_created_at(const struct frames *f, uint64_t *created_at)
{
	const uint8_t *p = f->head + LENGTH_BYTES + CREATED_AT_POS;
	uint32_t len = f->head_len - LENGTH_BYTES - CREATED_AT_POS;
	int used = frames_varint(p, len, created_at);

	return used > 0 && CREATED_AT_POS + (uint32_t)used + REST_MIN <= f->frame_bytes;
}

static void end_frame(struct frames *f)
{
	uint64_t at = 0;

	read_created_at(f, &at);
	if (f->records == 0 || at < f->first_created_at)
		f->first_created_at = at;
	if (f->records == 0 || at > f->last_created_at)
		f->last_created_at = at;
	f->records++;
	f->complete_bytes = f->frame_pos = f->pos;
	f->head_len = 0;
}

/* Take bytes into head[]; returns how many. Once the length, and once the whole head is there,
 * they are checked. */
static size_t feed_head(struct frames *f, const uint8_t *data, size_t len)
{
	size_t n = MIN(len, head_bytes(f) - f->head_len);
	uint64_t created_at;

	memcpy(f->head + f->head_len, data, n);
	f->head_len += (uint32_t)n;
	if (f->head_len == LENGTH_BYTES) {
		f->frame_bytes = get_le32(f->head);
		f->invalid = f->frame_bytes < PAYLOAD_MIN || f->frame_bytes > FRAME_BYTES_MAX;
	} else if (f->head_len > LENGTH_BYTES && f->head_len == head_bytes(f)) {
		f->invalid = !read_created_at(f, &created_at);
	}
	if (f->head_len > LENGTH_BYTES && f->head[LENGTH_BYTES] != 1)
		f->invalid = true; /* the version */
	return n;
}

void frames_feed(struct frames *f, const uint8_t *data, size_t len)
{
	while (len > 0 && !f->invalid) {
		size_t n;

		if (f->head_len < head_bytes(f))
			n = feed_head(f, data, len);
		else
			n = MIN(len, f->frame_pos + LENGTH_BYTES + f->frame_bytes - f->pos);
		f->pos += n;
		data += n;
		len -= n;
		if (!f->invalid && f->head_len > LENGTH_BYTES &&
		    f->pos == f->frame_pos + LENGTH_BYTES + f->frame_bytes)
			end_frame(f);
	}
}

bool frames_is_notepack(const struct frames *f)
{
	return !f->invalid && f->records > 0;
}
