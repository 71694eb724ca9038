/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For LD_PRELOAD: the functions by which the codecs compress, with a bit of what they write flipped, as
 * a bug in a codec or a bad memory module might. It stops when the file that BADCODEC_UNTIL names is
 * there.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>
#ifdef HAVE_LIBDEFLATE
#include <libdeflate.h>
#endif
#ifdef HAVE_ISAL
#include <isa-l/igzip_lib.h>
#endif

static void flip(unsigned char *out, size_t n)
{
	const char *until = getenv("BADCODEC_UNTIL");

	if (n > 16 && (!until || access(until, F_OK) != 0))
		out[n / 2] ^= 0x10;
}

int deflate(z_streamp z, int flush)
{
	static int (*real)(z_streamp z, int flush);
	Bytef *out = z->next_out;
	int r;

	if (!real)
		real = (int (*)(z_streamp, int))dlsym(RTLD_NEXT, "deflate");
	r = real(z, flush);
	flip(out, (size_t)(z->next_out - out));
	return r;
}

#ifdef HAVE_LIBDEFLATE

typedef size_t compress_fn(struct libdeflate_compressor *c, const void *in, size_t len,
			   void *out, size_t room);

size_t libdeflate_deflate_compress(struct libdeflate_compressor *c, const void *in, size_t len,
				   void *out, size_t room)
{
	static compress_fn *real;
	size_t n;

	if (!real)
		real = (compress_fn *)dlsym(RTLD_NEXT, "libdeflate_deflate_compress");
	n = real(c, in, len, out, room);
	flip(out, n);
	return n;
}

#endif
#ifdef HAVE_ISAL

int isal_deflate_stateless(struct isal_zstream *z)
{
	static int (*real)(struct isal_zstream * z);
	unsigned char *out = z->next_out;
	int r;

	if (!real)
		real =
		    (int (*)(struct isal_zstream *))dlsym(RTLD_NEXT, "isal_deflate_stateless");
	r = real(z);
	flip(out, (size_t)(z->next_out - out));
	return r;
}

#endif
