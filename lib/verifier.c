/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libdeflate decompresses whole streams, and does not say where blocks are. So the chunk is made
 * one: the empty stored block at its end gets a byte, which must come out behind the others, and a
 * final block follows. If the stream then ends where it should, it had no other final block, and what
 * ended the chunk was a stored block, not data that look like one.
 */
#include "lib/verifier.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#ifdef HAVE_LIBDEFLATE
#include <libdeflate.h>
#endif

#include "lib/codec.h"

struct verifier {
#ifdef HAVE_LIBDEFLATE
	struct libdeflate_decompressor *decompressor;
#else
	struct inflater *inflater;
#endif
	uint8_t *plain;
	size_t size;
};

#ifdef HAVE_LIBDEFLATE

#define MARK 0xa5

static bool open_decompressor(struct verifier *v)
{
	v->decompressor = libdeflate_alloc_decompressor();
	return v->decompressor;
}

static void close_decompressor(struct verifier *v)
{
	libdeflate_free_decompressor(v->decompressor);
}

/* len plain bytes into v->plain, which has room for one more. */
static int decompress(struct verifier *v, uint8_t *gz, size_t n, size_t len)
{
	static const uint8_t empty[4] = {0, 0, 0xff, 0xff};
	static const uint8_t marked[4 + VERIFIER_ROOM] = {1, 0, 0xfe, 0xff, MARK, 3, 0};
	size_t in_len, out_len;
	enum libdeflate_result r;

	if (n < sizeof(empty) || memcmp(gz + n - sizeof(empty), empty, sizeof(empty)) != 0)
		return -EIO;
	memcpy(gz + n - sizeof(empty), marked, sizeof(marked));
	r = libdeflate_deflate_decompress_ex(v->decompressor, gz, n + VERIFIER_ROOM, v->plain,
					     len + 1, &in_len, &out_len);
	memcpy(gz + n - sizeof(empty), empty, sizeof(empty));
	return r == LIBDEFLATE_SUCCESS && in_len == n + VERIFIER_ROOM && out_len == len + 1
		   ? 0
		   : -EIO;
}

#else

static bool open_decompressor(struct verifier *v)
{
	v->inflater = inflater_new();
	return v->inflater;
}

static void close_decompressor(struct verifier *v)
{
	inflater_free(v->inflater);
}

static int decompress(struct verifier *v, uint8_t *gz, size_t n, size_t len)
{
	size_t used;
	int err = inflater_chunk(v->inflater, gz, n, v->plain, len, &used);

	return err ? err : used == n ? 0 : -EIO;
}

#endif

struct verifier *verifier_new(void)
{
	struct verifier *v = calloc(1, sizeof(*v));

	if (v && !open_decompressor(v)) {
		free(v);
		return NULL;
	}
	return v;
}

void verifier_free(struct verifier *v)
{
	if (!v)
		return;
	close_decompressor(v);
	free(v->plain);
	free(v);
}

static int make_room(struct verifier *v, size_t size)
{
	if (size <= v->size)
		return 0;
	free(v->plain);
	v->plain = malloc(size);
	v->size = v->plain ? size : 0;
	return v->plain ? 0 : -ENOMEM;
}

int verifier_chunk(struct verifier *v, uint8_t *gz, size_t n, const uint8_t *raw, size_t len)
{
	int err = make_room(v, len + 1);

	if (!err)
		err = decompress(v, gz, n, len);
	return err ? err : memcmp(v->plain, raw, len) == 0 ? 0 : -EIO;
}
