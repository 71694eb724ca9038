/* SPDX-License-Identifier: BSD-2-Clause */
#include <openssl/evp.h>
#include <stdint.h>

#include "lib/bytes.h"
#include "lib/frames.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

/* A real event: kind 1, content "hi", no tags. */
static const char real_event[] =
    "01f1e7bc2a9756453fcc0e80ecf62183fa95b9a1278a01281dbc310b6777320e807fe437db5884ee013f701a75"
    "f8d1a84ecb434e997f2a31411685551ffff1b84175507f84d78211a68f2f964221f5587aa957a66c1941d01125"
    "caa07b9aabdf5a98c3e63d1fe1e307cbf01b74b0a1b95ffe636eb6746c00167e0d48e5b11032d596c9a9c40601"
    "02686900";
#define REAL_EVENT_BYTES 139
#define REAL_EVENT_AT 1753900182

/* From created_at on: kind 0, content "hello", two tags. */
static const char vector_rest[] = "80bc94b406000568656c6c6f02030265"
				  "41AA2e7773733a2f2f72656c61792e6578616d706c652e636f6d"
				  "02027041BB";
#define VECTOR_BYTES 238
#define VECTOR_AT 1720000000

static uint8_t segment[1 << 20];

/* The frame of 238 payload bytes; returns its whole length. */
static size_t put_vector(uint8_t *out)
{
	uint8_t *p = out + 4;
	uint8_t byte;

	put_le32(out, VECTOR_BYTES);
	*p++ = 1;
	memset(p, 0x00, 32);
	memset(p + 32, 0x11, 32);
	memset(p + 64, 0x22, 64);
	p += 128;
	for (const char *s = vector_rest; *s; s += 2) {
		char pair[3] = {s[0], s[1], '\0'};

		if (hex_decode(pair, 1, &byte) == 0) {
			*p++ = byte;
		} else {
			memset(p, s[0] == 'A' ? 0xaa : 0xbb, 32);
			p += 32;
		}
	}
	return (size_t)(p - out);
}

static size_t put_real_event(uint8_t *out)
{
	put_le32(out, REAL_EVENT_BYTES);
	CHECK_EQ(hex_decode(real_event, REAL_EVENT_BYTES, out + 4), 0);
	return 4 + REAL_EVENT_BYTES;
}

/* A frame of payload_bytes with this created_at, zeroes but for the version. */
static size_t put_frame(uint8_t *out, uint32_t payload_bytes, uint64_t created_at)
{
	uint8_t *p = out + 4 + 129;

	memset(out, 0, 4 + payload_bytes);
	put_le32(out, payload_bytes);
	out[4] = 1;
	for (; created_at > 127; created_at >>= 7)
		*p++ = (uint8_t)(created_at | 0x80);
	*p = (uint8_t)created_at;
	return 4 + payload_bytes;
}

static struct frames scan(const uint8_t *data, size_t len, size_t piece)
{
	struct frames f;

	frames_init(&f);
	for (size_t done = 0; done < len; done += MIN(piece, len - done)) {
		/* A block of its own, so that a sanitizer sees a read past its end. */
		size_t n = MIN(piece, len - done);
		CLEANUP_FREE uint8_t *copy = malloc(n);

		memcpy(copy, data + done, n);
		frames_feed(&f, copy, n);
	}
	return f;
}

static void check_varint(const char *hex, int used, uint64_t want)
{
	uint8_t p[16];
	size_t len = strlen(hex) / 2;
	uint64_t value = 0;

	CHECK_EQ(hex_decode(hex, len, p), 0);
	CHECK_EQ(frames_varint(p, len, &value), used);
	CHECK(used <= 0 || value == want);
}

static void reads_the_varints_of_the_format(void)
{
	check_varint("00", 1, 0);
	check_varint("7f", 1, 127);
	check_varint("8001", 2, 128);
	check_varint("ff7f", 2, 16383);
	check_varint("808001", 3, 16384);
	check_varint("80bc94b406", 5, 1720000000);
	check_varint("ffffffffffffffffff01", 10, UINT64_MAX);
	check_varint("7fff", 1, 127);
}

static void accepts_varints_that_are_longer_than_they_need_be(void)
{
	check_varint("8000", 2, 0);
	check_varint("ff00", 2, 127);
	check_varint("80808080808080808000", 10, 0);
}

static void asks_for_more_of_a_varint_cut_short(void)
{
	check_varint("", 0, 0);
	check_varint("80", 0, 0);
	check_varint("ffffffffffffffffff", 0, 0);
}

static void refuses_varints_past_64_bits(void)
{
	check_varint("ffffffffffffffffff02", -1, 0);
	check_varint("ffffffffffffffffff7f", -1, 0);
	check_varint("ffffffffffffffffff81", -1, 0);
	check_varint("8080808080808080808000", -1, 0);
}

static void the_vector_is_the_one_of_the_format(void)
{
	uint8_t sha256[SHA256_BYTES];
	char hex[2 * SHA256_BYTES + 1];

	CHECK_EQ(put_vector(segment), 4 + VECTOR_BYTES);
	EVP_Digest(segment + 4, VECTOR_BYTES, sha256, NULL, EVP_sha256(), NULL);
	hex_encode(sha256, SHA256_BYTES, hex);
	CHECK_STR(hex, "2607726af5857964ea3534657cbc7180b444c04e45c8664882cae666ba600ec6");
	CHECK(memcmp(segment, "\xee\0\0\0", 4) == 0);
}

static void counts_frames_and_finds_the_range_in_pieces_of_any_size(void)
{
	size_t len = put_vector(segment);

	len += put_real_event(segment + len);
	len += put_frame(segment + len, 137, 1730000000);
	for (size_t piece = 1; piece <= len; piece++) {
		struct frames f = scan(segment, len, piece);

		CHECK(frames_is_notepack(&f));
		CHECK_EQ(f.records, 3);
		CHECK_EQ(f.complete_bytes, len);
		CHECK_EQ(f.first_created_at, VECTOR_AT);
		CHECK_EQ(f.last_created_at, REAL_EVENT_AT);
	}
}

static void takes_the_range_in_any_order(void)
{
	static const uint64_t at[] = {5, 3, 9, UINT64_MAX, 0, 7};
	size_t len = 0;
	struct frames f;

	for (size_t i = 0; i < ARRAY_LEN(at); i++)
		len += put_frame(segment + len, 150, at[i]);
	f = scan(segment, len, 1000);
	CHECK_EQ(f.records, 6);
	CHECK(f.first_created_at == 0 && f.last_created_at == UINT64_MAX);
	f = scan(segment, 3 * 154, 1000);
	CHECK(f.first_created_at == 3 && f.last_created_at == 9);
}

static void allows_a_torn_tail_of_any_length(void)
{
	size_t first = put_vector(segment);
	size_t len = first + put_real_event(segment + first);

	for (size_t cut = 1; cut < len; cut++) {
		struct frames f = scan(segment, cut, 64);

		CHECK(!f.invalid);
		CHECK_EQ(frames_is_notepack(&f), cut >= first);
		CHECK_EQ(f.records, cut >= first ? 1 : 0);
		CHECK_EQ(f.complete_bytes, cut >= first ? first : 0);
	}
}

static void nothing_at_all_is_no_notepack(void)
{
	struct frames f = scan(segment, 0, 1);

	CHECK(!f.invalid);
	CHECK(!frames_is_notepack(&f));
}

static void refuses_what_is_no_frame_and_keeps_what_came_before(void)
{
	size_t first = put_vector(segment);
	struct frames f;

	sample_text(segment + first, 1000, 1);
	f = scan(segment, first + 1000, 100);
	CHECK(f.invalid);
	CHECK(!frames_is_notepack(&f));
	CHECK_EQ(f.records, 1);
	CHECK_EQ(f.complete_bytes, first);
	put_frame(segment + first, 200, 1);
	frames_feed(&f, segment + first, 204);
	CHECK_EQ(f.records, 1);
}

static void refuses_frames_too_short_or_too_long(void)
{
	uint8_t length[4];
	struct frames f;

	put_le32(length, 132);
	f = scan(length, 4, 4);
	CHECK(f.invalid);
	put_le32(length, 0);
	f = scan(length, 4, 4);
	CHECK(f.invalid);
	put_le32(length, FRAME_BYTES_MAX + 1);
	f = scan(length, 4, 4);
	CHECK(f.invalid);
	put_le32(length, FRAME_BYTES_MAX);
	f = scan(length, 4, 4);
	CHECK(!f.invalid);
	put_le32(length, 133);
	f = scan(length, 4, 4);
	CHECK(!f.invalid);
}

static void takes_a_frame_of_the_greatest_length(void)
{
	size_t len = 4 + FRAME_BYTES_MAX;
	CLEANUP_FREE uint8_t *frame = malloc(len + 154);
	struct frames f;

	put_frame(frame, FRAME_BYTES_MAX, 1);
	put_frame(frame + len, 150, 2);
	f = scan(frame, len + 154, 100000);
	CHECK_EQ(f.records, 2);
	CHECK_EQ(f.complete_bytes, len + 154);
}

static void refuses_another_version_at_its_first_byte(void)
{
	struct frames f;

	put_frame(segment, 150, 1);
	segment[4] = 2;
	f = scan(segment, 5, 1);
	CHECK(f.invalid);
	f = scan(segment, 4, 1);
	CHECK(!f.invalid);
}

static void refuses_a_created_at_that_is_no_varint(void)
{
	struct frames f;

	put_frame(segment, 150, 1);
	memset(segment + 4 + 129, 0xff, 10);
	f = scan(segment, 154, 7);
	CHECK(f.invalid);
	CHECK_EQ(f.records, 0);
	/* One that runs off the end of its frame; one that leaves two bytes for three varints.
	 */
	put_frame(segment, 133, 1);
	memset(segment + 4 + 129, 0xff, 4);
	f = scan(segment, 137, 7);
	CHECK(f.invalid);
	put_frame(segment, 133, 128);
	f = scan(segment, 137, 7);
	CHECK(f.invalid);
	CHECK_EQ(f.records, 0);
	put_frame(segment, 133, 127);
	f = scan(segment, 137, 7);
	CHECK_EQ(f.records, 1);
}

int main(void)
{
	RUN(reads_the_varints_of_the_format);
	RUN(accepts_varints_that_are_longer_than_they_need_be);
	RUN(asks_for_more_of_a_varint_cut_short);
	RUN(refuses_varints_past_64_bits);
	RUN(the_vector_is_the_one_of_the_format);
	RUN(counts_frames_and_finds_the_range_in_pieces_of_any_size);
	RUN(takes_the_range_in_any_order);
	RUN(allows_a_torn_tail_of_any_length);
	RUN(nothing_at_all_is_no_notepack);
	RUN(refuses_what_is_no_frame_and_keeps_what_came_before);
	RUN(refuses_frames_too_short_or_too_long);
	RUN(takes_a_frame_of_the_greatest_length);
	RUN(refuses_another_version_at_its_first_byte);
	RUN(refuses_a_created_at_that_is_no_varint);
	return unit_done();
}
