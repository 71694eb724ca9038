/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * damage: sealed parts that could not be read, or were found not to be what was sealed. Known
 * from the first time that it is met to the end of the mount, or until the part is found to be
 * whole again: a line in the log, an event, the status, and the file's attribute.
 *
 *	{"event":"damage","path":OBJECT,"offset":PLAIN,"gz_offset":…,"error":"…"}
 */
#ifndef NOTEPACKFS_LIB_DAMAGE_H
#define NOTEPACKFS_LIB_DAMAGE_H

#include "lib/core.h"

#define DAMAGE_REASON_BYTES 128
#define DAMAGES_MAX 1000 /* more are counted, and in the log */

/* One part. The list is the store's, under its lock. */
struct damage {
	uint64_t id;
	uint32_t part;
	uint64_t offset;    /* in the plain file, of the damaged chunk met last */
	uint64_t gz_offset; /* in the object */
	char *path;	    /* the object's, when it was met */
	char reason[DAMAGE_REASON_BYTES];
	struct damage *next;
};

/* A part: of rec only id, part and offset count; path is its object's, NULL: it has none any more.
 * at is where, NULL: all of it; reason is used where at has none. */
void damage_met(struct store *s, const struct sealed *rec, const char *path,
		const struct seekgz_damage *at, const char *reason) EXCLUDES(s->lock);

/* The part was found to be whole. */
void damage_healed(struct store *s, uint64_t id, uint32_t part) EXCLUDES(s->lock);

/* One of a file's damaged parts, or that part (part > 0); NULL: none is known. */
const struct damage *damage_find_locked(struct store *s, uint64_t id, uint32_t part)
    REQUIRES(s->lock);

/* How many parts; *list: their JSON objects, with commas between. */
uint64_t damage_list_locked(struct store *s, struct buf *list) REQUIRES(s->lock);

void damage_release(struct store *s);

#endif
