/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the inflater takes for a chunk, and what it refuses.
 */
#include "tests/unit/codec_kit.h"

/* A chunk of len plain bytes in gz; returns its length. */
static size_t make_chunk(size_t len)
{
	const struct codec *codec = codec_find("auto");
	void *state = codec->new_state(6);
	ssize_t n;

	sample_text(plain, len, 7);
	n = codec_chunk(codec, state, plain, len, gz);
	codec->free_state(state);
	return (size_t)n;
}

static void takes_one_chunk_and_not_the_next(void)
{
	struct inflater *inf = inflater_new();
	size_t n = make_chunk(50000), used = 0;

	memcpy(gz + n, gz, n);
	CHECK_EQ(inflate_guarded(inf, gz, 2 * n, 50000, &used), 0);
	CHECK_EQ(used, n);
	memset(gz + n, 0xff, n);
	CHECK_EQ(inflate_guarded(inf, gz, 2 * n, 50000, &used), 0);
	CHECK_EQ(used, n);
	inflater_free(inf);
}

static void refuses_a_chunk_of_another_length(void)
{
	struct inflater *inf = inflater_new();
	size_t n = make_chunk(3000), used = 0;

	CHECK_EQ(inflate_guarded(inf, gz, n, 2999, &used), -EIO);
	CHECK_EQ(inflate_guarded(inf, gz, n, 3001, &used), -EIO);
	CHECK_EQ(inflate_guarded(inf, gz, n, 0, &used), -EIO);
	for (size_t i = 0; i < n; i++)
		CHECK_EQ(inflate_guarded(inf, gz, i, 3000, &used), -EIO);
	CHECK_EQ(inflate_guarded(inf, gz, n, 3000, &used), 0);
	inflater_free(inf);
}

/* A hand-made chunk whose plain bytes are "hi" (unless it is refused). */
static int inflate_hi(const void *data, size_t n)
{
	struct inflater *inf = inflater_new();
	size_t used = 0;
	int err = inflate_guarded(inf, data, n, 2, &used);

	if (!err) {
		CHECK_EQ(used, n);
		CHECK(memcmp(back, "hi", 2) == 0);
	}
	inflater_free(inf);
	return err;
}

#define INFLATE_HI(text) inflate_hi(text, sizeof(text) - 1)

static void refuses_a_final_block(void)
{
	CHECK_EQ(INFLATE_HI("\0\2\0\xfd\xffhi\0\0\0\xff\xff"), 0);
	CHECK_EQ(INFLATE_HI("\1\2\0\xfd\xffhi\0\0\0\xff\xff"), -EIO);
	CHECK_EQ(INFLATE_HI("\0\2\0\xfd\xffhi\1\0\0\xff\xff"), -EIO);
	CHECK_EQ(INFLATE_HI("\0\2\0\xfd\xffhi\3\0\0\0\0\xff\xff"), -EIO);
	CHECK_EQ(INFLATE_HI("\0\2\0\xfd\xffhi\3\0"), -EIO);
}

static void refuses_a_chunk_without_its_flush(void)
{
	CHECK_EQ(INFLATE_HI("\0\2\0\xfd\xffhi"), -EIO);
	CHECK_EQ(INFLATE_HI("\0\2\0\xfd\xffhi\0\0\0\xff"), -EIO);
	CHECK_EQ(INFLATE_HI("\0\2\0\xfd\xffhi\0\1\0\xfe\xff!\0\0\0\xff\xff"), -EIO);
}

/* The end of a chunk counts where a block may start, not within one. */
static void refuses_a_flush_that_is_data_of_a_longer_block(void)
{
	CHECK_EQ(INFLATE_HI("\0\7\0\xf8\xffhi\0\0\0\xff\xff\0\0\0\xff\xff"), -EIO);
}

static void refuses_padding_that_is_not_zero(void)
{
	for (int bit = 3; bit < 8; bit++) {
		uint8_t chunk[] = "\0\2\0\xfd\xffhi\0\0\0\xff\xff";

		chunk[0] = (uint8_t)(1 << bit);
		CHECK_EQ(inflate_hi(chunk, 12), -EIO);
		chunk[0] = 0;
		chunk[7] = (uint8_t)(1 << bit);
		CHECK_EQ(inflate_hi(chunk, 12), -EIO);
	}
}

static void accepts_empty_blocks_before_the_end(void)
{
	CHECK_EQ(INFLATE_HI("\0\0\0\xff\xff\0\2\0\xfd\xffhi\0\0\0\xff\xff"), 0);
	/* An empty block with fixed codes, behind the last byte. */
	CHECK_EQ(INFLATE_HI("\0\2\0\xfd\xffhi\2\0\0\0\xff\xff"), 0);
}

static void refuses_references_to_earlier_chunks(void)
{
	struct inflater *inf = inflater_new();
	z_stream z = {0};
	size_t first, n, used = 0;

	sample_random(plain, 4000, 9);
	memcpy(plain + 4000, plain, 4000);
	CHECK_EQ(deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = plain;
	z.avail_in = 4000;
	z.next_out = gz;
	z.avail_out = sizeof(gz);
	deflate(&z, Z_SYNC_FLUSH);
	first = z.total_out;
	z.avail_in = 4000;
	deflate(&z, Z_SYNC_FLUSH);
	n = z.total_out - first;
	deflateEnd(&z);
	CHECK(n < 200);
	CHECK_EQ(inflate_guarded(inf, gz, first, 4000, &used), 0);
	CHECK_EQ(inflate_guarded(inf, gz + first, n, 4000, &used), -EIO);
	inflater_free(inf);
}

/* Whatever it is given, it stays within its buffers; inflate_guarded looks after that. */
static void stays_within_its_buffers_whatever_it_is_given(void)
{
	struct inflater *inf = inflater_new();
	uint64_t seed = 11;
	size_t n = make_chunk(20000), used;

	for (size_t bit = 0; bit < MIN(n, 600) * 8; bit++) {
		gz[bit / 8] ^= (uint8_t)(1 << bit % 8);
		inflate_guarded(inf, gz, n, 20000, &used);
		gz[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (int i = 0; i < 20000; i++) {
		size_t len = sample_below(&seed, 300);

		sample_random(gz, len, sample_next(&seed));
		gz[0] &= 0xfe;
		inflate_guarded(inf, gz, len, sample_below(&seed, 5000), &used);
	}
	make_chunk(20000);
	CHECK_EQ(inflate_guarded(inf, gz, n, 20000, &used), 0);
	inflater_free(inf);
}

int main(void)
{
	RUN(takes_one_chunk_and_not_the_next);
	RUN(refuses_a_chunk_of_another_length);
	RUN(refuses_a_final_block);
	RUN(refuses_a_chunk_without_its_flush);
	RUN(refuses_a_flush_that_is_data_of_a_longer_block);
	RUN(refuses_padding_that_is_not_zero);
	RUN(accepts_empty_blocks_before_the_end);
	RUN(refuses_references_to_earlier_chunks);
	RUN(stays_within_its_buffers_whatever_it_is_given);
	return unit_done();
}
