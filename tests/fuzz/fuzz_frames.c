/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frame scanner. The first byte says how many bytes behind it are lengths of pieces, and the
 * rest, with up to 64 KiB of zeroes behind it, is what is scanned.
 *
 * However it is split, the result is the same; and it is that of a decoder which has all of it before
 * it.
 */
#include "lib/frames.h"
#include "tests/fuzz/fuzz.h"

#define ONE_BY_ONE 600
#define HEAD_BYTES 129 /* of a payload, before created_at */

struct result {
	bool notepack;
	uint64_t records, complete, first, last;
};

static struct result result_of(const struct frames *f)
{
	struct result r = {.notepack = frames_is_notepack(f)};

	if (!f->invalid) {
		r.records = f->records;
		r.complete = f->complete_bytes;
	}
	if (r.notepack) {
		r.first = f->first_created_at;
		r.last = f->last_created_at;
	}
	return r;
}

static bool same(const struct result *a, const struct result *b)
{
	return a->notepack == b->notepack && a->records == b->records &&
	       a->complete == b->complete && a->first == b->first && a->last == b->last;
}

/* A varint of at most end - *p bytes. 1 · 0: more bytes are needed · -1: it is none. */
static int varint(const uint8_t **p, const uint8_t *end, uint64_t *out)
{
	*out = 0;
	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint8_t byte;

		if (*p == end)
			return 0;
		byte = *(*p)++;
		if (shift == 63 && byte > 1)
			return -1;
		*out |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return 1;
	}
	return -1;
}

/* The frame at p. 1: it is complete · 0: it may become one · -1: it is none. */
static int reference_frame(const uint8_t *p, size_t len, size_t *used, uint64_t *at)
{
	const uint8_t *created = p + 4 + HEAD_BYTES;
	uint32_t payload;
	int r;

	if (len < 4)
		return 0;
	payload = get_le32(p);
	if (payload < HEAD_BYTES + 4 || payload > FRAME_BYTES_MAX || (len > 4 && p[4] != 1))
		return -1;
	*used = 4 + (size_t)payload;
	/* A torn head is not judged before it is whole, or as long as the longest. */
	if (len < 4 + MIN(payload, (uint32_t)FRAME_HEAD_BYTES))
		return 0;
	r = varint(&created, p + MIN(len, *used), at);
	if (r <= 0 || (size_t)(created - p) + 3 > *used)
		return -1;
	return len >= *used;
}

static struct result reference(const uint8_t *p, size_t len)
{
	struct result r = {0};

	for (;;) {
		size_t used = 0;
		uint64_t at = 0;
		int frame = reference_frame(p + r.complete, len - r.complete, &used, &at);

		if (frame < 0)
			return (struct result){0};
		if (frame == 0)
			break;
		r.first = r.records ? MIN(r.first, at) : at;
		r.last = r.records ? MAX(r.last, at) : at;
		r.records++;
		r.complete += used;
	}
	r.notepack = r.records > 0;
	return r;
}

static void feed(struct frames *f, const uint8_t *data, size_t len)
{
	CLEANUP_FREE uint8_t *copy = fuzz_copy(data, len);

	frames_feed(f, copy, len);
	MUST(f->complete_bytes <= f->pos);
	MUST(f->head_len <= sizeof(f->head));
}

/* Pieces of these lengths in turn, 0: all that is left. */
static struct result scan(const uint8_t *data, size_t len, const uint8_t *pieces, size_t count)
{
	struct frames f;
	size_t done = 0;

	frames_init(&f);
	for (size_t i = 0; done < len; i++) {
		size_t piece = count ? pieces[i % count] : 0;
		size_t n = piece ? MIN(piece, len - done) : len - done;

		feed(&f, data + done, n);
		done += n;
	}
	MUST(f.pos <= len);
	return result_of(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t ones[] = {1};
	struct input in = {data, size};
	size_t zeroes = (size_t)input_byte(&in) * 256, count = input_below(&in, 16), len;
	const uint8_t *pieces = in.p;
	CLEANUP_FREE uint8_t *text = NULL;
	struct result whole, split, single, wanted;

	count = MIN(count, in.len);
	len = in.len - count + zeroes;
	text = calloc(1, len + 1);
	if (!text)
		abort();
	memcpy(text, in.p + count, in.len - count);
	whole = scan(text, len, NULL, 0);
	split = scan(text, len, pieces, count);
	single = scan(text, MIN(len, ONE_BY_ONE), ones, 1);
	MUST(same(&whole, &split));
	wanted = reference(text, len);
	MUST(same(&whole, &wanted));
	wanted = reference(text, MIN(len, ONE_BY_ONE));
	MUST(same(&single, &wanted));
	return 0;
}
