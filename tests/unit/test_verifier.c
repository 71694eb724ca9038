/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The verifier against what a chunk must be, and against zlib. That it accepts what each codec
 * makes is in test_codec.c.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <zlib.h>

#include "lib/bytes.h"
#include "lib/codec.h"
#include "lib/verifier.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

#define BYTES ((size_t)40000)

static uint8_t plain[BYTES], back[BYTES + 1], gz[BYTES + 1000];

/* In a block of its own, so that a sanitizer sees what is read and written behind it. */
static int verify(struct verifier *v, const void *chunk, size_t n, const void *raw, size_t len)
{
	CLEANUP_FREE uint8_t *copy = malloc(n + VERIFIER_ROOM);
	int err;

	memcpy(copy, chunk, n);
	err = verifier_chunk(v, copy, n, raw, len);
	CHECK(memcmp(copy, chunk, n) == 0);
	CHECK(err == 0 || err == -EIO);
	return err;
}

static int verify_hi(const void *chunk, size_t n)
{
	struct verifier *v = verifier_new();
	int err = verify(v, chunk, n, "hi", 2);

	verifier_free(v);
	return err;
}

#define VERIFY_HI(text) verify_hi(text, sizeof(text) - 1)

static void refuses_other_bytes_and_lengths(void)
{
	struct verifier *v = verifier_new();
	static const char chunk[] = "\0\2\0\xfd\xffhi\0\0\0\xff\xff";

	CHECK_EQ(verify(v, chunk, 12, "hi", 2), 0);
	CHECK_EQ(verify(v, chunk, 12, "ho", 2), -EIO);
	CHECK_EQ(verify(v, chunk, 12, "h", 1), -EIO);
	CHECK_EQ(verify(v, chunk, 12, "hi!", 3), -EIO);
	CHECK_EQ(verify(v, chunk, 12, "hi\xa5", 3),
		 -EIO); /* what libdeflate is given behind it */
	for (size_t n = 0; n < 12; n++)
		CHECK_EQ(verify(v, chunk, n, "hi", 2), -EIO);
	CHECK_EQ(verify(v, chunk, 12, "hi", 2), 0);
	verifier_free(v);
}

static void refuses_a_final_block(void)
{
	CHECK_EQ(VERIFY_HI("\1\2\0\xfd\xffhi\0\0\0\xff\xff"), -EIO);
	CHECK_EQ(VERIFY_HI("\0\2\0\xfd\xffhi\1\0\0\xff\xff"), -EIO);
	CHECK_EQ(VERIFY_HI("\0\2\0\xfd\xffhi\3\0\0\0\0\xff\xff"), -EIO);
	CHECK_EQ(VERIFY_HI("\0\2\0\xfd\xffhi\3\0"), -EIO);
}

static void refuses_another_end_than_the_empty_stored_block(void)
{
	static const char longer[] = "\0\6\0\xf9\xffhi\0\0\xff\xff";

	CHECK_EQ(VERIFY_HI("\0\2\0\xfd\xffhi"), -EIO);
	CHECK_EQ(VERIFY_HI("\0\2\0\xfd\xffhi\0\1\0\xfe\xff!"), -EIO);
	CHECK_EQ(VERIFY_HI("\0\2\0\xfd\xffhi\0\0\0\xff\xff\0\0\0\xff\xff!"), -EIO);
	/* Data that look like the end, and are the end of another block. */
	CHECK_EQ(verify_hi(longer, 11), -EIO);
	{
		struct verifier *v = verifier_new();

		CHECK_EQ(verify(v, longer, 11, "hi\0\0\xff\xff", 6), -EIO);
		verifier_free(v);
	}
}

static void accepts_empty_blocks_before_the_end(void)
{
	CHECK_EQ(VERIFY_HI("\0\0\0\xff\xff\0\2\0\xfd\xffhi\0\0\0\xff\xff"), 0);
	CHECK_EQ(VERIFY_HI("\0\2\0\xfd\xffhi\2\0\0\0\xff\xff"), 0);
}

/* Does zlib get the same bytes from n of chunk, if a final block follows? */
static bool zlib_agrees(const uint8_t *chunk, size_t n, size_t len)
{
	z_stream z = {0};
	int r;

	CHECK_EQ(inflateInit2(&z, -15), Z_OK);
	z.next_in = (Bytef *)chunk;
	z.avail_in = (uInt)n;
	z.next_out = back;
	z.avail_out = (uInt)len + 1;
	r = inflate(&z, Z_SYNC_FLUSH);
	CHECK(r != Z_STREAM_ERROR && r != Z_MEM_ERROR);
	inflateEnd(&z);
	return r == Z_OK && z.avail_in == 0 && z.total_out == len &&
	       memcmp(back, plain, len) == 0;
}

/* Each bit of a chunk flipped, one after the other. It may decompress to the same bytes all the same,
 * but nothing else is accepted. */
static void flip_bits_of(const struct codec *codec, size_t len)
{
	struct verifier *v = verifier_new();
	void *state = codec->new_state(codec->default_level);
	ssize_t n = codec_chunk(codec, state, plain, len, gz);
	size_t accepted = 0, step = getenv("UNIT_QUICK") ? 37 : 1;

	CHECK_EQ(verify(v, gz, (size_t)n, plain, len), 0);
	for (size_t bit = 0; bit < 8 * (size_t)n; bit += step * (1 + bit / 4000)) {
		gz[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (verify(v, gz, (size_t)n, plain, len) == 0) {
			accepted++;
			CHECK(zlib_agrees(gz, (size_t)n, len));
		}
		gz[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	CHECK(accepted < 30);
	codec->free_state(state);
	verifier_free(v);
}

static void finds_flipped_bits(void)
{
	for (size_t i = 0; codec_at(i); i++) {
		sample_text(plain, BYTES, 3);
		flip_bits_of(codec_at(i), 3000);
		flip_bits_of(codec_at(i), BYTES);
		sample_random(plain, BYTES / 2, 4);
		flip_bits_of(codec_at(i), 100);
		flip_bits_of(codec_at(i), BYTES);
	}
}

static void freeing_nothing_does_nothing(void)
{
	verifier_free(NULL);
}

int main(void)
{
	RUN(refuses_other_bytes_and_lengths);
	RUN(refuses_a_final_block);
	RUN(refuses_another_end_than_the_empty_stored_block);
	RUN(accepts_empty_blocks_before_the_end);
	RUN(finds_flipped_bits);
	RUN(freeing_nothing_does_nothing);
	return unit_done();
}
