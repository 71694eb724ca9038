/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making an index: one pass over the gzip file, piece by piece. The windows are written as they
 * are met, behind the place where header and table will lie, so memory holds one piece and the
 * table. If writing fails, all is begun again with a file in memory: that happens rarely, and
 * early as a rule.
 */
#include <errno.h>
#include <string.h>

#include "lib/gzindex_impl.h"
#include "lib/io.h"
#include "lib/replace.h"

/* Measured: level 6 would make the windows a tenth smaller, and the pass a fifth longer. */
#define LEVEL 1

struct build {
	int fd;
	const struct gzfile_facts *facts;
	uint8_t *buf; /* the window before the piece, and the piece */
	uint8_t *packed;
	uint64_t inflated_bytes;
	struct seekgz_damage damage;

	/* Of the attempt. */
	struct gzindex *ix;
	struct gzstream stream;
	uint64_t end;		   /* of what is written to ix->fd */
	uint64_t end_max;	   /* no window may lie behind it */
	bool unwritable;	   /* ix->fd cannot be written */
	struct gzindex_entry next; /* of the piece to come */
};

static int differs(struct build *b, const char *reason)
{
	b->stream.damage = (struct seekgz_damage){
	    .raw_offset = b->stream.raw_offset,
	    .gz_offset = gzstream_gz_offset(&b->stream),
	    .reason = reason,
	};
	return -EBADMSG;
}

static int add_window(struct build *b, struct gzindex_entry *e, const uint8_t *window)
{
	uLongf len = compressBound(GZSTREAM_WINDOW_BYTES);
	int err;

	if (compress2(b->packed, &len, window, e->point.window_bytes, LEVEL) != Z_OK)
		return -ENOMEM;
	err = io_pwrite(b->ix->fd, b->packed, len, b->end);
	b->unwritable = err != 0;
	e->window_pos = b->end;
	e->packed_bytes = (uint32_t)len;
	e->window_crc32 = (uint32_t)crc32_z(0, b->packed, len);
	b->end += len;
	return err;
}

/* The piece in buf starts at `start`: has a better point for the next one been passed in it? */
static int take_point(struct build *b, uint64_t start)
{
	struct gzindex_entry e = {.point = b->stream.point};
	const uint8_t *window;
	int err = 0;

	if (e.point.gz_offset <= b->next.point.gz_offset || e.point.raw_offset < start)
		return 0;
	if (b->end > b->end_max)
		return 0; /* there is no room for more: the last one must do */
	window = b->buf + GZSTREAM_WINDOW_BYTES + (e.point.raw_offset - start) -
		 e.point.window_bytes;
	if (e.point.window_bytes > 0)
		err = add_window(b, &e, window);
	if (!err)
		b->next = e;
	return err;
}

static int build_piece(struct build *b, uint64_t piece)
{
	size_t want = gzindex_piece_bytes(b->facts->raw_bytes, piece);
	uint8_t *plain = b->buf + GZSTREAM_WINDOW_BYTES;
	ssize_t n = gzstream_read(&b->stream, plain, want);
	int err;

	if (n < 0)
		return (int)n;
	b->inflated_bytes += (uint64_t)n;
	if ((size_t)n < want)
		return differs(b, "it is shorter than was recorded");
	b->next.crc32 = (uint32_t)crc32_z(0, plain, want);
	gzindex_put(b->ix, piece, &b->next);
	err = take_point(b, piece << GZINDEX_PIECE_LOG2);
	memmove(b->buf, b->buf + want, GZSTREAM_WINDOW_BYTES);
	return err;
}

static int check_end(struct build *b)
{
	ssize_t n = gzstream_read(&b->stream, b->buf, 1);

	if (n < 0)
		return (int)n;
	if (n > 0)
		return differs(b, "it is longer than was recorded");
	if (gzstream_gz_offset(&b->stream) != b->facts->gz_bytes)
		return differs(b, "its size is not what was recorded");
	if (b->stream.crc32 != b->facts->crc32)
		return differs(b, "its CRC-32 is not what was recorded");
	return 0;
}

static int build_pieces(struct build *b)
{
	int err = gzstream_init(&b->stream, b->fd);

	if (err)
		return err;
	for (uint64_t i = 0; i < b->ix->pieces && !err; i++)
		err = build_piece(b, i);
	if (!err)
		err = check_end(b);
	b->damage = b->stream.damage;
	gzstream_release(&b->stream);
	return err;
}

/* Make b->ix with its windows in the file out, which is taken over in every case. limit: see
 * end_max, from where they begin. */
static int build_into(struct build *b, int out, uint64_t limit)
{
	int err;

	b->unwritable = false;
	b->next = (struct gzindex_entry){0};
	b->ix = gzindex_new(b->facts);
	if (!b->ix) {
		close(out);
		return -ENOMEM;
	}
	b->ix->fd = out;
	b->end = b->ix->head_bytes;
	b->end_max = b->end + limit;
	err = build_pieces(b);
	if (!err)
		return 0;
	gzindex_free(b->ix);
	b->ix = NULL;
	return err;
}

/*
 * Make the index in its place. An error of the last steps, when it is complete, leaves it
 * without its name, or without a durable one: it serves this reader all the same.
 * 0 · 1: nothing can be written there · -errno
 */
static int build_saved(struct build *b, int dirfd, const char *name)
{
	char temporary[REPLACE_TEMPORARY_BYTES];
	int out = replace_begin(dirfd, name, temporary);
	int err;

	if (out < 0)
		return 1;
	err = build_into(b, out, INT64_MAX / 2);
	if (!err) {
		gzindex_seal(b->ix, b->facts, b->end);
		if (io_pwrite(out, b->ix->head, b->ix->head_bytes, 0) == 0) {
			replace_commit(dirfd, name, temporary, out, NULL);
			return 0;
		}
	}
	io_unlink(dirfd, temporary, 0);
	return b->unwritable ? 1 : err;
}

static int build_in_memory(struct build *b)
{
	int out = io_memory_file();

	return out < 0 ? out : build_into(b, out, GZINDEX_MEMORY_BYTES);
}

int gzindex_build(int fd, const struct gzfile_facts *facts, int dirfd, const char *name,
		  struct gzindex **out, uint64_t *inflated_bytes, struct seekgz_damage *damage)
{
	struct build b = {.fd = fd, .facts = facts};
	int err = -ENOMEM;

	b.buf = malloc(GZSTREAM_WINDOW_BYTES + GZINDEX_PIECE_BYTES);
	b.packed = malloc(compressBound(GZSTREAM_WINDOW_BYTES));
	if (b.buf && b.packed) {
		err = dirfd >= 0 ? build_saved(&b, dirfd, name) : 1;
		if (err == 1)
			err = build_in_memory(&b);
	}
	free(b.buf);
	free(b.packed);
	*inflated_bytes += b.inflated_bytes;
	*damage = b.damage;
	*out = b.ix;
	return err;
}
