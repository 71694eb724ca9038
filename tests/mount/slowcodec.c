/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For LD_PRELOAD: zlib's deflate, 50 ms slower each time, so that a chunk of 256 KiB takes that on any
 * machine.
 */
#include <dlfcn.h>
#include <time.h>
#include <zlib.h>

int deflate(z_streamp z, int flush)
{
	static int (*real)(z_streamp z, int flush);
	const struct timespec more = {.tv_nsec = 50000000};

	if (!real)
		real = (int (*)(z_streamp, int))dlsym(RTLD_NEXT, "deflate");
	nanosleep(&more, NULL);
	return real(z, flush);
}
