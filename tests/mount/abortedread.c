/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For LD_PRELOAD: the end of a mount as a thread sees it that was given a request at that moment. The
 * kernel then says ECONNABORTED, and ENODEV to all others; here all of them hear the first.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

ssize_t read(int fd, void *buf, size_t count)
{
	static ssize_t (*real)(int fd, void *buf, size_t count);
	ssize_t n;

	if (!real)
		real = (ssize_t(*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
	n = real(fd, buf, count);
	if (n < 0 && errno == ENODEV)
		errno = ECONNABORTED;
	return n;
}

ssize_t splice(int in, off_t *in_offset, int out, off_t *out_offset, size_t count,
	       unsigned flags)
{
	static ssize_t (*real)(int in, off_t *in_offset, int out, off_t *out_offset,
			       size_t count, unsigned flags);
	ssize_t n;

	if (!real)
		real = (ssize_t(*)(int, off_t *, int, off_t *, size_t, unsigned))dlsym(
		    RTLD_NEXT, "splice");
	n = real(in, in_offset, out, out_offset, count, flags);
	if (n < 0 && errno == ENODEV)
		errno = ECONNABORTED;
	return n;
}
