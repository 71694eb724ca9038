/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/boundary.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/bytes.h"
#include "lib/frames.h"
#include "lib/io.h"
#include "lib/name.h"

#define SCAN_BYTES ((size_t)1 << 20)
#define TAIL_BYTES ((size_t)64 << 10)

static int64_t frame_boundary(int fd, uint64_t from, uint64_t to)
{
	CLEANUP_FREE uint8_t *buf = malloc(SCAN_BYTES);
	struct frames frames;
	uint64_t pos = from;

	if (!buf)
		return -ENOMEM;
	frames_init(&frames);
	while (pos < to && !frames.invalid) {
		ssize_t n = io_pread(fd, buf, (size_t)MIN(SCAN_BYTES, to - pos), pos);

		if (n <= 0)
			return n < 0 ? n : -EIO;
		frames_feed(&frames, buf, (size_t)n);
		pos += (uint64_t)n;
	}
	return (int64_t)(frames.invalid ? to : from + frames.complete_bytes);
}

static int64_t line_boundary(int fd, uint64_t from, uint64_t to)
{
	size_t len = (size_t)MIN(TAIL_BYTES, to - from);
	CLEANUP_FREE uint8_t *buf = malloc(len);
	const uint8_t *newline;
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	n = io_pread(fd, buf, len, to - len);
	if (n < 0 || (size_t)n != len)
		return n < 0 ? n : -EIO;
	if (memchr(buf, 0, len))
		return (int64_t)to;
	newline = memrchr(buf, '\n', len);
	if (newline)
		return (int64_t)(to - len + (uint64_t)(newline - buf) + 1);
	/* One line so far: it may be an unfinished record, or no text at all. */
	return (int64_t)(to - from > TAIL_BYTES ? to : from);
}

int64_t boundary_find(int fd, const char *name, uint64_t from, uint64_t to)
{
	const char *dot = strrchr(name, '.');

	if (to <= from)
		return (int64_t)from;
	if (dot && strcmp(dot, NAME_DEFAULT_SUFFIX) == 0)
		return frame_boundary(fd, from, to);
	return line_boundary(fd, from, to);
}
