/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each codec of this build makes of all kinds of bytes, at any size and level: the inflater and
 * the verifier must take it, and zlib the chunks together.
 */
#include "lib/verifier.h"
#include "tests/unit/codec_kit.h"

static void (*const samples[])(uint8_t *, size_t, uint64_t) = {sample_text, sample_random,
							       sample_mixed, sample_zeroes};

static const size_t sizes[] = {1,      2,	  3,	     100,   4096,
			       65534,  65535,	  65536,     65537, 131070,
			       131071, 255 << 10, CHUNK - 1, CHUNK, CHUNK + 1};

static void finds_codecs_by_name(void)
{
#ifdef HAVE_LIBDEFLATE
	CHECK(codec_find("auto") == codec_find("libdeflate"));
#else
	CHECK(codec_find("auto") == codec_find("zlib"));
	CHECK(codec_find("libdeflate") == NULL);
#endif
#ifdef HAVE_ISAL
	CHECK_STR(codec_fastest(codec_find("zlib"))->name, "isal");
#else
	CHECK(codec_find("isal") == NULL);
	CHECK_STR(codec_fastest(codec_find("zlib"))->name, "zlib");
#endif
	for (size_t i = 0; codec_at(i); i++)
		CHECK(codec_find(codec_at(i)->name) == codec_at(i));
	CHECK(codec_at(0) == codec_find("auto"));
	CHECK(codec_find("zlib") != NULL);
	CHECK_STR(codec_find("zlib")->name, "zlib");
	CHECK(codec_find("") == NULL);
	CHECK(codec_find("zlibx") == NULL);
}

static void bounds_are_the_stored_form_and_the_flush(void)
{
	CHECK_EQ(codec_bound(0), 5);
	CHECK_EQ(codec_bound(1), 1 + 5 + 5);
	CHECK_EQ(codec_bound(65535), 65535 + 5 + 5);
	CHECK_EQ(codec_bound(65536), 65536 + 10 + 5);
	CHECK_EQ(codec_bound(CHUNK), CHUNK + 25 + 5);
}

/* The verifier accepts the chunk, in a block of its own, and leaves it as it was. */
static int verify(struct verifier *v, const uint8_t *chunk, size_t n, size_t len)
{
	CLEANUP_FREE uint8_t *copy = malloc(n + VERIFIER_ROOM);
	int err;

	memcpy(copy, chunk, n);
	err = verifier_chunk(v, copy, n, plain, len);
	CHECK(memcmp(copy, chunk, n) == 0);
	CHECK(err == 0 || err == -EIO);
	return err;
}

static void round_trip(const struct codec *codec, int level, size_t len, struct inflater *inf,
		       struct verifier *v)
{
	CLEANUP_FREE uint8_t *out = malloc(codec_bound(len));
	void *state = codec->new_state(level);
	ssize_t n = codec_chunk(codec, state, plain, len, out);
	size_t used = 0;

	CHECK(n > 5 && (size_t)n <= codec_bound(len));
	CHECK(memcmp(out + n - 5 + 1, "\0\0\xff\xff", 4) == 0);
	CHECK_EQ(inflate_guarded(inf, out, (size_t)n, len, &used), 0);
	CHECK_EQ(used, n);
	CHECK(memcmp(back, plain, len) == 0);
	CHECK_EQ(verify(v, out, (size_t)n, len), 0);
	codec->free_state(state);
}

static void round_trips_of(const struct codec *codec)
{
	struct inflater *inf = inflater_new();
	struct verifier *v = verifier_new();

	for (size_t s = 0; s < ARRAY_LEN(samples); s++) {
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			samples[s](plain, sizes[i], i);
			for (int level = codec->min_level; level <= codec->max_level; level++)
				if (sizes[i] < 10000 || level % 5 == 1)
					round_trip(codec, level, sizes[i], inf, v);
		}
	}
	verifier_free(v);
	inflater_free(inf);
}

static void round_trips_at_every_size_and_level(void)
{
	for (size_t i = 0; codec_at(i); i++)
		round_trips_of(codec_at(i));
}

/* Pieces of text, of what does not compress and of zeroes, of any length: blocks of every kind, at
 * the end, too. */
static size_t make_mixture(uint64_t *seed)
{
	size_t len = 1 + sample_below(seed, CHUNK), at = 0;

	while (at < len) {
		size_t limit = (size_t)1 << sample_below(seed, 18);
		size_t n = 1 + sample_below(seed, limit);

		n = MIN(n, len - at);
		samples[sample_below(seed, 4)](plain + at, n, sample_next(seed));
		at += n;
	}
	return len;
}

static void round_trips_of_mixtures(void)
{
	struct inflater *inf = inflater_new();
	struct verifier *v = verifier_new();
	uint64_t seed = 5;

	for (int n = 0; n < (getenv("UNIT_QUICK") ? 20 : 200); n++) {
		size_t len = make_mixture(&seed);

		for (size_t i = 0; codec_at(i); i++) {
			const struct codec *c = codec_at(i);
			int level =
			    1 + (int)sample_below(&seed, (uint64_t)MIN(c->max_level, 9));

			round_trip(c, level, len, inf, v);
		}
	}
	verifier_free(v);
	inflater_free(inf);
}

/* The end of a chunk is a deflate stream of someone's, behind what does not compress: as it stands
 * there, if that is stored. Returns the length of the chunk's plain bytes. */
static size_t make_trap(uint64_t seed)
{
	const size_t text = 60000, random = 50000 + seed * 1000;
	uint8_t story[3000];
	z_stream z = {0};

	sample_text(plain, text, seed);
	sample_random(plain + text, random, seed);
	sample_text(story, sizeof(story), seed + 1);
	CHECK_EQ(deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = story;
	z.avail_in = sizeof(story);
	z.next_out = plain + text + random;
	z.avail_out = 3000;
	CHECK_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return text + random + z.total_out;
}

static void a_deflate_stream_at_the_end_is_not_taken_for_the_last_block(void)
{
	struct verifier *v = verifier_new();
	unsigned trapped = 0;

	for (uint64_t seed = 0; seed < 20; seed++) {
		size_t len = make_trap(seed);

		for (size_t i = 0; codec_at(i); i++) {
			const struct codec *c = codec_at(i);
			void *state = c->new_state(c->default_level);
			ssize_t n = codec_chunk(c, state, plain, len, gz);

			trapped += verify(v, gz, (size_t)n, len) != 0;
			n = codec_chunk_surely(c, state, plain, len, gz);
			CHECK_EQ(verify(v, gz, (size_t)n, len), 0);
			c->free_state(state);
		}
	}
	verifier_free(v);
	if (codec_find("libdeflate") && !trapped)
		SKIP("this libdeflate makes other blocks of it");
	else
		CHECK_EQ(trapped > 0, codec_find("libdeflate") != NULL);
}

static void surely_makes_the_same_otherwise(void)
{
	uint64_t seed = 21;

	for (int k = 0; k < 10; k++) {
		size_t len = make_mixture(&seed);

		for (size_t i = 0; codec_at(i); i++) {
			const struct codec *c = codec_at(i);
			void *state = c->new_state(1);
			ssize_t n = codec_chunk(c, state, plain, len, gz);

			CHECK_EQ(codec_chunk_surely(c, state, plain, len, gz + ROOM), n);
			CHECK(memcmp(gz, gz + ROOM, (size_t)n) == 0);
			c->free_state(state);
		}
	}
}

static void stores_random(const struct codec *codec)
{
	void *state = codec->new_state(codec->max_level);

	sample_random(plain, CHUNK, 1);
	CHECK_EQ(codec_chunk(codec, state, plain, CHUNK, gz), codec_bound(CHUNK));
	CHECK(memcmp(gz, "\0\xff\xff\0\0", 5) == 0);
	CHECK(memcmp(gz + 5, plain, 65535) == 0);
	codec->free_state(state);
}

static void stores_what_does_not_compress(void)
{
	for (size_t i = 0; codec_at(i); i++)
		stores_random(codec_at(i));
}

static ssize_t fake_result;

static ssize_t fake_compress(void *state, const uint8_t *in, size_t len, uint8_t *out,
			     size_t out_size)
{
	memset(out, 0xff, out_size);
	return fake_result;
}

static void stores_what_a_codec_cannot_fit_and_forwards_its_errors(void)
{
	const struct codec fake = {.name = "fake", .compress = fake_compress};
	static const uint8_t stored[] = {0, 2, 0, 0xfd, 0xff, 'h', 'i', 0, 0, 0, 0xff, 0xff};

	fake_result = -ENOSPC;
	CHECK_EQ(codec_chunk(&fake, NULL, (const uint8_t *)"hi", 2, gz), sizeof(stored));
	CHECK(memcmp(gz, stored, sizeof(stored)) == 0);
	fake_result = (ssize_t)codec_bound(2);
	CHECK_EQ(codec_chunk(&fake, NULL, (const uint8_t *)"hi", 2, gz), sizeof(stored));
	CHECK(memcmp(gz, stored, sizeof(stored)) == 0);
	fake_result = -EIO;
	CHECK_EQ(codec_chunk(&fake, NULL, (const uint8_t *)"hi", 2, gz), -EIO);
	fake_result = -ENOMEM;
	CHECK_EQ(codec_chunk(&fake, NULL, (const uint8_t *)"hi", 2, gz), -ENOMEM);
}

/* Two blocks of stored bytes, or a whole chunk: the verdicts are the same, and valgrind takes a quarter of the time. */
static size_t long_len(void)
{
	return getenv("UNIT_QUICK") ? 70000 : CHUNK;
}

static void equal_chunks_of(const struct codec *codec)
{
	for (int level = codec->min_level; level <= codec->max_level; level++) {
		void *used_state = codec->new_state(level);

		for (uint64_t i = 0; i < 6; i++) {
			void *fresh = codec->new_state(level);
			size_t len = i % 2 ? long_len() : 5000 * (i + 1);
			ssize_t a, b;

			samples[i % 4](plain, len, i);
			a = codec_chunk(codec, used_state, plain, len, gz);
			b = codec_chunk(codec, fresh, plain, len, gz + ROOM);
			CHECK_EQ(a, b);
			CHECK(memcmp(gz, gz + ROOM, (size_t)MIN(a, b)) == 0);
			codec->free_state(fresh);
		}
		codec->free_state(used_state);
	}
}

static void equal_chunks_are_equal_whatever_the_state_did_before(void)
{
	for (size_t i = 0; codec_at(i); i++)
		equal_chunks_of(codec_at(i));
}

/* Compress zeros, but for one byte if it is among them, into so much room: both states give the same. */
static void zeros_of(const struct codec *codec, void *used_state, int level, size_t len,
		     size_t room, size_t one)
{
	void *fresh = codec->new_state(level);
	ssize_t a, b;

	memset(plain, 0, len);
	if (one < len)
		plain[one] = 1;
	memset(gz, 0xa5, 2 * ROOM);
	a = codec->compress(used_state, plain, len, gz, room);
	b = codec->compress(fresh, plain, len, gz + ROOM, room);
	CHECK_EQ(a, b);
	CHECK(a < 0 || memcmp(gz, gz + ROOM, (size_t)a) == 0);
	codec->free_state(fresh);
}

static void zeros_are_compressed_alike_again_and_again(void)
{
	const size_t lens[] = {long_len(), 5000, long_len(), 1};

	for (size_t i = 0; codec_at(i); i++) {
		const struct codec *codec = codec_at(i);

		for (int level = codec->min_level; level <= codec->max_level; level++) {
			void *state = codec->new_state(level);

			for (size_t k = 0; k < ARRAY_LEN(lens); k++) {
				zeros_of(codec, state, level, lens[k], ROOM, SIZE_MAX);
				zeros_of(codec, state, level, lens[k], 20, SIZE_MAX);
				zeros_of(codec, state, level, lens[k], ROOM, 0);
				zeros_of(codec, state, level, lens[k], ROOM, lens[k] - 1);
				zeros_of(codec, state, level, lens[k], ROOM, SIZE_MAX);
			}
			codec->free_state(state);
		}
	}
}

static void join_chunks_of(const struct codec *codec)
{
	void *state = codec->new_state(codec->default_level);
	z_stream z = {0};
	size_t pos = 0, piece = 30001, len = 0;

	sample_mixed(plain, CHUNK, 3);
	for (; len < CHUNK; len += MIN(piece, CHUNK - len))
		pos += (size_t)codec_chunk(codec, state, plain + len, MIN(piece, CHUNK - len),
					   gz + pos);
	memcpy(gz + pos, "\x03", 2);
	codec->free_state(state);
	CHECK_EQ(inflateInit2(&z, -15), Z_OK);
	z.next_in = gz;
	z.avail_in = (uInt)pos + 2;
	z.next_out = back;
	z.avail_out = (uInt)CHUNK + 1;
	CHECK_EQ(inflate(&z, Z_FINISH), Z_STREAM_END);
	CHECK_EQ(z.total_out, CHUNK);
	CHECK_EQ(z.avail_in, 0);
	CHECK(memcmp(back, plain, CHUNK) == 0);
	inflateEnd(&z);
}

static void joined_chunks_are_one_deflate_stream(void)
{
	for (size_t i = 0; codec_at(i); i++)
		join_chunks_of(codec_at(i));
}

static void crc32_is_that_of_zlib_in_any_pieces(void)
{
	uint64_t seed = 8;
	uint32_t crc = 0;

	sample_mixed(plain, CHUNK, 8);
	CHECK_EQ(codec_crc32(0, plain, 0), 0);
	for (size_t at = 0; at < CHUNK;) {
		size_t n = sample_below(&seed, 5000);

		n = MIN(n, CHUNK - at);
		crc = codec_crc32(crc, plain + at, n);
		at += n;
		CHECK_EQ(crc, crc32_z(0, plain, at));
	}
}

static void freeing_nothing_does_nothing(void)
{
	inflater_free(NULL);
	verifier_free(NULL);
	for (size_t i = 0; codec_at(i); i++)
		codec_at(i)->free_state(NULL);
}

int main(void)
{
	RUN(finds_codecs_by_name);
	RUN(bounds_are_the_stored_form_and_the_flush);
	RUN(round_trips_at_every_size_and_level);
	RUN(round_trips_of_mixtures);
	RUN(a_deflate_stream_at_the_end_is_not_taken_for_the_last_block);
	RUN(surely_makes_the_same_otherwise);
	RUN(stores_what_does_not_compress);
	RUN(stores_what_a_codec_cannot_fit_and_forwards_its_errors);
	RUN(equal_chunks_are_equal_whatever_the_state_did_before);
	RUN(zeros_are_compressed_alike_again_and_again);
	RUN(joined_chunks_are_one_deflate_stream);
	RUN(crc32_is_that_of_zlib_in_any_pieces);
	RUN(freeing_nothing_does_nothing);
	return unit_done();
}
