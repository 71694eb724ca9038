/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * buf: a growing byte buffer, and JSON written into it.
 *
 * A failed allocation is sticky: buf.failed is set, later calls do nothing, and the caller
 * checks once at the end (-ENOMEM). data is always NUL-terminated once anything was added.
 */
#ifndef NOTEPACKFS_LIB_BUF_H
#define NOTEPACKFS_LIB_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	char *data;
	size_t len;
	size_t size;
	bool failed;
};

/* Free what the buffer holds; it is empty and usable again. Zeroes are a valid empty buffer. */
void buf_release(struct buf *b);

/* Forget the content, keep the memory. */
void buf_reset(struct buf *b);

void buf_add(struct buf *b, const void *data, size_t len);
void buf_str(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A JSON string of len bytes, quoted; the bytes must be valid UTF-8 (see name_is_utf8). */
void buf_json_string(struct buf *b, const char *s, size_t len);

/*
 * "key":"value" for a path or a name: where it is no valid UTF-8, "key_b64":"…" in base64
 * (RFC 4648 §4) instead, so that every byte comes back.
 */
void buf_json_path(struct buf *b, const char *key, const char *path, size_t len);

/* Append the decoded bytes of a base64 string; false, with nothing added, if it is none. */
bool buf_base64_decode(struct buf *b, const char *s, size_t len);

static inline void buf_cleanup(struct buf *b)
{
	buf_release(b);
}

#define CLEANUP_BUF __attribute__((cleanup(buf_cleanup)))

#endif
