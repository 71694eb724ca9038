/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/name.h"

void buf_release(struct buf *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}

/* Make room for extra bytes and a NUL. */
static bool grow(struct buf *b, size_t extra)
{
	size_t need = b->len + extra + 1;
	size_t size = b->size ? b->size : 256;
	char *data;

	if (b->failed)
		return false;
	if (need <= b->size)
		return true;
	while (size < need)
		size *= 2;
	data = realloc(b->data, size);
	if (!data) {
		b->failed = true;
		return false;
	}
	b->data = data;
	b->size = size;
	return true;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	if (!grow(b, len))
		return;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void buf_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || !grow(b, (size_t)n))
		return;
	va_start(ap, fmt);
	vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

void buf_json_string(struct buf *b, const char *s, size_t len)
{
	size_t start = 0;

	buf_add(b, "\"", 1);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buf_add(b, s + start, i - start);
		start = i + 1;
		if (c == '"' || c == '\\')
			buf_printf(b, "\\%c", c);
		else
			buf_printf(b, "\\u%04x", c);
	}
	buf_add(b, s + start, len - start);
	buf_add(b, "\"", 1);
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void add_base64(struct buf *b, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16;
		char out[4];

		if (i + 1 < len)
			v |= (uint32_t)p[i + 1] << 8;
		if (i + 2 < len)
			v |= p[i + 2];
		for (int k = 0; k < 4; k++)
			out[k] = base64_digits[v >> (18 - 6 * k) & 63];
		if (i + 2 >= len)
			out[3] = '=';
		if (i + 1 >= len)
			out[2] = '=';
		buf_add(b, out, 4);
	}
}

void buf_json_path(struct buf *b, const char *key, const char *path, size_t len)
{
	if (name_is_utf8(path, len)) {
		buf_printf(b, "\"%s\":", key);
		buf_json_string(b, path, len);
		return;
	}
	buf_printf(b, "\"%s_b64\":\"", key);
	add_base64(b, (const uint8_t *)path, len);
	buf_add(b, "\"", 1);
}

bool buf_base64_decode(struct buf *b, const char *s, size_t len)
{
	size_t start = b->len;

	if (len % 4)
		return false;
	for (size_t i = 0; i < len; i += 4) {
		uint32_t v = 0;
		int pad = 0;
		uint8_t out[3];

		for (int k = 0; k < 4; k++) {
			const char *d = strchr(base64_digits, s[i + (size_t)k]);

			if (s[i + (size_t)k] == '=' && i + 4 == len && k >= 2) {
				pad++;
				v <<= 6;
				continue;
			}
			if (!d || !*d || pad) {
				b->len = start;
				return false;
			}
			v = v << 6 | (uint32_t)(d - base64_digits);
		}
		out[0] = (uint8_t)(v >> 16);
		out[1] = (uint8_t)(v >> 8);
		out[2] = (uint8_t)v;
		buf_add(b, out, (size_t)(3 - pad));
	}
	return true;
}
