/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For LD_PRELOAD: zlib's deflate, with a bit of what it writes flipped, as a bug in a codec or a bad
 * memory module might. It stops when the file that BADCODEC_UNTIL names is there.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

int deflate(z_streamp z, int flush)
{
	static int (*real)(z_streamp z, int flush);
	const char *until = getenv("BADCODEC_UNTIL");
	Bytef *out = z->next_out;
	int r;

	if (!real)
		real = (int (*)(z_streamp, int))dlsym(RTLD_NEXT, "deflate");
	r = real(z, flush);
	if (z->next_out - out > 16 && (!until || access(until, F_OK) != 0))
		out[(z->next_out - out) / 2] ^= 0x10;
	return r;
}
