/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/remnant.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "lib/bytes.h"
#include "lib/io.h"
#include "lib/object.h"

static bool adds_nothing(const uint8_t *raw, const uint8_t *object, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (raw[i] && raw[i] != object[i])
			return false;
	}
	return true;
}

/* Of a raw file that ends before the part does there is nothing more to look at. */
static int compare(int raw_fd, struct object_reader *object, const struct sealed *rec,
		   uint8_t *a, uint8_t *b)
{
	uint64_t at = 0;

	while (at < rec->raw_bytes) {
		size_t want = (size_t)MIN(SEEKGZ_CHUNK_BYTES, rec->raw_bytes - at);
		ssize_t n = io_pread(raw_fd, a, want, rec->offset + at);
		ssize_t m = n <= 0 ? 0 : object_read(object, b, (size_t)n, at, NULL);

		if (n <= 0)
			return n < 0 ? (int)n : 1;
		if (m == -ENOMEM)
			return -ENOMEM;
		if (m != n || !adds_nothing(a, b, (size_t)n))
			return 0;
		at += (uint64_t)n;
	}
	return 1;
}

int remnant_of(int raw_fd, int object_fd, const struct sealed *rec)
{
	CLEANUP_FREE uint8_t *a = malloc(SEEKGZ_CHUNK_BYTES);
	CLEANUP_FREE uint8_t *b = malloc(SEEKGZ_CHUNK_BYTES);
	int fd = a && b ? fcntl(object_fd, F_DUPFD_CLOEXEC, 0) : -ENOMEM;
	struct object_reader *object;
	const char *reason;
	int err;

	if (fd < 0)
		return -ENOMEM;
	err = object_open(fd, rec, NULL, -1, true, &object, &reason);
	if (err)
		return err == -ENOMEM ? err : 0;
	err = compare(raw_fd, object, rec, a, b);
	object_close(object);
	return err;
}
