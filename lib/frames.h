/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frames: notepack segments, ([u32 little-endian length][payload])*, payload as in version 1 of
 * the notepack format (varint version 1, id 32, pubkey 32, sig 64, varint created_at, varint
 * kind, varint content_len, content, varint num_tags, tags). A frame is at most 16 MiB.
 *
 * A scanner is fed the bytes of one segment in order, in pieces of any size, and keeps no more
 * than the first 139 bytes of the frame it is in.
 */
#ifndef NOTEPACKFS_LIB_FRAMES_H
#define NOTEPACKFS_LIB_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_BYTES_MAX 16777216
#define FRAME_HEAD_BYTES (129 + 10) /* up to and with the longest created_at */

struct frames {
	bool invalid;		   /* something was met that is no notepack frame */
	uint64_t records;	   /* complete frames */
	uint64_t complete_bytes;   /* where the last complete frame ended */
	uint64_t first_created_at; /* the smallest; valid if records > 0 */
	uint64_t last_created_at;  /* the largest */
	/* Where we are: */
	uint64_t pos;
	uint32_t frame_bytes; /* payload length of the frame we are in */
	uint32_t head_len;    /* bytes of length + payload head collected so far */
	uint64_t frame_pos;   /* where the frame we are in started */
	uint8_t head[4 + FRAME_HEAD_BYTES];
};

void frames_init(struct frames *f);
void frames_feed(struct frames *f, const uint8_t *data, size_t len);

/* Was everything so far notepack frames (at least one complete one; a torn tail is allowed)? */
bool frames_is_notepack(const struct frames *f);

/* Unsigned LEB128 of a u64; non-minimal encodings are accepted. Returns the bytes used, 0: more
 * are needed, -1: invalid (more than ten bytes, or bits past 64). */
int frames_varint(const uint8_t *p, size_t len, uint64_t *value);

#endif
