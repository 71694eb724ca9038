/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seekgz_small: one small object in memory and in a temporary file, and the two questions that
 * are asked of it once it was tampered with.
 */
#ifndef NOTEPACKFS_TESTS_SEEKGZ_SMALL_H
#define NOTEPACKFS_TESTS_SEEKGZ_SMALL_H

#include "tests/unit/sample.h"
#include "tests/unit/seekgz_build.h"
#include "tests/unit/unit.h"

static inline void read_object(int fd, uint8_t *gz, size_t gz_bytes)
{
	CHECK_EQ(io_pread(fd, gz, gz_bytes, 0), gz_bytes);
}

static size_t object_bytes(int fd)
{
	struct stat st;

	CHECK_EQ(io_fstat(fd, &st), 0);
	return (size_t)st.st_size;
}

/* A temporary file with these bytes. */
static inline int put_object(const uint8_t *gz, size_t gz_bytes)
{
	int fd = memfd_create("object", MFD_CLOEXEC);

	CHECK_EQ(io_pwrite(fd, gz, gz_bytes, 0), 0);
	return fd;
}

/* A small object, its plain bytes and its own bytes. */
static uint8_t plain[6000], object[8192];
static size_t plain_bytes, object_len;

static inline int small_object(size_t raw_bytes)
{
	struct seekgz_recipe recipe = seekgz_default_recipe();
	int fd;

	plain_bytes = raw_bytes;
	sample_text(plain, raw_bytes, 21);
	sample_random(plain, raw_bytes / 4, 22);
	fd = seekgz_build_temporary(plain, raw_bytes, &recipe);
	object_len = object_bytes(fd);
	CHECK(object_len < sizeof(object));
	read_object(fd, object, object_len);
	return fd;
}

/* Whatever can be read of the object must be what was put in; was anything? */
static inline bool reads_right_or_not_at_all(int fd)
{
	uint8_t buf[sizeof(plain)];
	struct seekgz_reader *r;
	const char *reason;
	ssize_t n;
	int err = seekgz_open(dup(fd), &r, &reason);

	if (err) {
		CHECK_EQ(err, -EBADMSG);
		CHECK(reason != NULL);
		return false;
	}
	n = seekgz_read(r, buf, sizeof(buf), 0, NULL);
	CHECK(n == -EIO || n == (ssize_t)plain_bytes);
	CHECK(n < 0 || memcmp(buf, plain, (size_t)n) == 0);
	seekgz_close(r);
	return n >= 0;
}

static inline int compare(void *ctx, const uint8_t *data, size_t len)
{
	CHECK(len == plain_bytes && memcmp(data, plain, len) == 0);
	return 0;
}

/* Verify an object that may be damaged; true if nothing was found (its hash then tells). */
static inline bool verifies(int fd, uint8_t *sha256)
{
	struct seekgz_damage damage = {0};
	struct seekgz_summary s;
	struct seekgz_header h;
	int err = seekgz_verify(fd, &h, &s, compare, NULL, &damage);

	CHECK(err == 0 || err == -EBADMSG);
	CHECK((damage.reason == NULL) == (err == 0));
	if (err)
		return false;
	memcpy(sha256, s.sha256, SHA256_BYTES);
	seekgz_header_release(&h);
	return true;
}

#endif
