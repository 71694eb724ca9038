/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bytes: little-endian integers in byte buffers, hex, and the cleanup attributes.
 *
 * Pure functions; no errors. A get reads, a put writes, exactly the width in its name; the
 * buffer must hold that many bytes.
 */
#ifndef NOTEPACKFS_LIB_BYTES_H
#define NOTEPACKFS_LIB_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

static inline uint16_t get_le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t get_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

static inline uint64_t get_le64(const uint8_t *p)
{
	return (uint64_t)get_le32(p) | (uint64_t)get_le32(p + 4) << 32;
}

static inline void put_le16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void put_le32(uint8_t *p, uint32_t v)
{
	put_le16(p, (uint16_t)v);
	put_le16(p + 2, (uint16_t)(v >> 16));
}

static inline void put_le64(uint8_t *p, uint64_t v)
{
	put_le32(p, (uint32_t)v);
	put_le32(p + 4, (uint32_t)(v >> 32));
}

#define SHA256_BYTES 32

/* Write 2 * n lower-case hex digits and a NUL into out. */
static inline void hex_encode(const uint8_t *in, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[in[i] >> 4];
		out[2 * i + 1] = digits[in[i] & 15];
	}
	out[2 * n] = '\0';
}

/* Read n bytes from exactly 2 * n lower-case hex digits; 0, or -1 if there are others. */
static inline int hex_decode(const char *in, size_t n, uint8_t *out)
{
	for (size_t i = 0; i < 2 * n; i++) {
		int v;

		if (in[i] >= '0' && in[i] <= '9')
			v = in[i] - '0';
		else if (in[i] >= 'a' && in[i] <= 'f')
			v = in[i] - 'a' + 10;
		else
			return -1;
		out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] | v : v << 4);
	}
	return in[2 * n] == '\0' ? 0 : -1;
}

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* Free, or close, the variable when it leaves its scope. */
#define CLEANUP_FREE __attribute__((cleanup(cleanup_free)))
#define CLEANUP_FD __attribute__((cleanup(cleanup_fd)))

#endif
