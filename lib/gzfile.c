/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a foreign gzip file at an offset.
 *
 * A piece is decompressed as a whole and compared with its CRC-32 before a byte of it is given
 * out. The stream stays where the piece ended, so that the next one goes on from there. Damage
 * travels as -EBADMSG in here, so that it cannot be taken for a device's -EIO; gzfile_read
 * turns it into the -EIO that a reader of the file must see.
 */
#include "lib/gzfile.h"

#include <errno.h>
#include <string.h>

#include "lib/gzindex.h"
#include "lib/gzstream.h"
#include "lib/io.h"
#include "lib/lock.h"

#define NONE UINT64_MAX

/*
 * Invariants whenever the lock is free: plain_piece is NONE, or plain holds that piece and its
 * CRC was checked; the stream flows only if the last piece that it gave was right.
 */
struct gzfile_reader {
	/* Constant. */
	int fd;
	struct gzfile_facts facts;
	int index_dirfd;
	char *index_name; /* NULL: no place */

	struct lock lock;      /* rank 40; protects all below */
	struct gzindex *index; /* NULL until it is needed */
	struct gzstream stream;
	bool flowing;	/* it can go on from its raw_offset */
	uint8_t *plain; /* a piece, or a window on its way */
	uint64_t plain_piece;
	int broken; /* the file is not what the facts say (-errno), for broken_damage */
	struct seekgz_damage broken_damage;
	struct gzfile_counts counts;
};

static int check_size(int fd, const struct gzfile_facts *facts, const char **reason)
{
	struct stat st;
	int err = io_fstat(fd, &st);

	*reason = NULL;
	if (err)
		return err;
	if (facts->raw_bytes > SEEKGZ_RAW_MAX)
		*reason = "its recorded length is impossible";
	else if ((uint64_t)st.st_size != facts->gz_bytes)
		*reason = "its size is not what was recorded";
	return *reason ? -EBADMSG : 0;
}

/* Fill in r; on an error nothing is left to release but r itself. */
static int reader_init(struct gzfile_reader *r, const char *index_name)
{
	size_t most = MIN(r->facts.raw_bytes, GZINDEX_PIECE_BYTES);
	int err = gzstream_init(&r->stream, r->fd);

	if (err)
		return err;
	r->stream.unchecked = true;
	r->plain = malloc(MAX(most, GZSTREAM_WINDOW_BYTES));
	if (r->index_dirfd >= 0)
		r->index_name = strdup(index_name);
	if (r->plain && (r->index_name || r->index_dirfd < 0)) {
		r->plain_piece = NONE;
		lock_init(&r->lock);
		return 0;
	}
	gzstream_release(&r->stream);
	free(r->plain);
	free(r->index_name);
	return -ENOMEM;
}

int gzfile_open(int fd, const struct gzfile_facts *facts, int index_dirfd,
		const char *index_name, struct gzfile_reader **out, const char **reason)
{
	struct gzfile_reader *r;
	int err = check_size(fd, facts, reason);

	if (err)
		goto out_close_fd;
	err = -ENOMEM;
	r = calloc(1, sizeof(*r));
	if (!r)
		goto out_close_fd;
	r->fd = fd;
	r->facts = *facts;
	r->index_dirfd = index_dirfd;
	err = reader_init(r, index_name);
	if (err)
		goto out_free;
	*out = r;
	return 0;
out_free:
	free(r);
out_close_fd:
	close(fd);
	return err;
}

void gzfile_close(struct gzfile_reader *r)
{
	if (!r)
		return;
	close(r->fd);
	gzindex_free(r->index);
	gzstream_release(&r->stream);
	lock_release(&r->lock);
	free(r->plain);
	free(r->index_name);
	free(r);
}

/* What a pass found wrong once is not looked for again with every read: the pass is long. */
static int make_index_locked(struct gzfile_reader *r, struct seekgz_damage *damage)
    REQUIRES(&r->lock)
{
	int err;

	if (r->broken) {
		*damage = r->broken_damage;
		return r->broken;
	}
	err = gzindex_build(r->fd, &r->facts, r->facts.no_save ? -1 : r->index_dirfd,
			    r->index_name, &r->index, &r->counts.inflated_bytes, damage);
	r->counts.indexes_made += !err;
	if (err == -EBADMSG || err == -EFBIG) {
		r->broken = err;
		r->broken_damage = *damage;
	}
	return err;
}

static int have_index_locked(struct gzfile_reader *r, struct seekgz_damage *damage)
    REQUIRES(&r->lock)
{
	int err = -ENOENT;

	if (r->index)
		return 0;
	if (gzindex_pieces(r->facts.raw_bytes) == 1) {
		r->index = gzindex_single(&r->facts);
		return r->index ? 0 : -ENOMEM;
	}
	if (r->index_name && !r->broken)
		err = gzindex_load(r->index_dirfd, r->index_name, &r->facts, &r->index);
	r->counts.indexes_loaded += !err;
	/* Whatever else is wrong with it: a new one is as good. */
	return err && err != -ENOMEM ? make_index_locked(r, damage) : err;
}

/* Where the piece can be entered: at *point, its window in r->plain, unless the stream can go
 * on. -ENOMEM, or else the index is of no use. */
static int find_locked(struct gzfile_reader *r, uint64_t piece, struct gzstream_point *point)
    REQUIRES(&r->lock)
{
	int err = gzindex_point(r->index, piece, point);

	if (err)
		return err;
	if (r->stream.raw_offset < point->raw_offset ||
	    r->stream.raw_offset > piece << GZINDEX_PIECE_LOG2)
		r->flowing = false;
	return r->flowing ? 0 : gzindex_window(r->index, piece, r->plain);
}

/* Have the stream at the piece's point or behind it, but not behind its start. */
static int seek_locked(struct gzfile_reader *r, uint64_t piece, struct seekgz_damage *damage)
    REQUIRES(&r->lock)
{
	struct gzstream_point point;
	int err = find_locked(r, piece, &point);

	if (err && err != -ENOMEM) {
		gzindex_free(r->index);
		r->index = NULL;
		err = make_index_locked(r, damage);
		if (err)
			return err;
		err = find_locked(r, piece, &point);
		damage->reason = "its index cannot be read";
	}
	if (err || r->flowing)
		return err;
	err = gzstream_resume(&r->stream, &point, r->plain);
	if (err)
		*damage = r->stream.damage;
	return err;
}

/* The next n plain bytes, which must be there. */
static int inflate_locked(struct gzfile_reader *r, size_t n, struct seekgz_damage *damage)
    REQUIRES(&r->lock)
{
	ssize_t got = gzstream_read(&r->stream, r->plain, n);

	if (got >= 0)
		r->counts.inflated_bytes += (uint64_t)got;
	if (got == (ssize_t)n)
		return 0;
	*damage = r->stream.damage;
	if (got >= 0)
		damage->reason = "it is shorter than was recorded";
	return got < 0 ? (int)got : -EBADMSG;
}

/* Decompress the piece into r->plain, from where the stream is, and check it. */
static int decode_locked(struct gzfile_reader *r, uint64_t piece, struct seekgz_damage *damage)
    REQUIRES(&r->lock)
{
	uint64_t start = piece << GZINDEX_PIECE_LOG2, gz_start;
	size_t n = gzindex_piece_bytes(r->facts.raw_bytes, piece);
	int err = 0;

	while (r->stream.raw_offset < start && !err)
		err = inflate_locked(
		    r, (size_t)MIN(start - r->stream.raw_offset, GZINDEX_PIECE_BYTES), damage);
	gz_start = gzstream_gz_offset(&r->stream);
	if (!err)
		err = inflate_locked(r, n, damage);
	if (!err && crc32_z(0, r->plain, n) != gzindex_crc32(r->index, piece)) {
		err = -EBADMSG;
		damage->gz_offset = gz_start;
		damage->reason = "a CRC is wrong";
	}
	damage->raw_offset = start;
	return err;
}

/* Have the piece in r->plain, checked. */
static int load_piece_locked(struct gzfile_reader *r, uint64_t piece,
			     struct seekgz_damage *damage) REQUIRES(&r->lock)
{
	int err;

	if (r->plain_piece == piece)
		return 0;
	err = have_index_locked(r, damage);
	if (err)
		return err;
	r->plain_piece = NONE;
	err = seek_locked(r, piece, damage);
	if (!err)
		err = decode_locked(r, piece, damage);
	r->flowing = !err;
	if (!err)
		r->plain_piece = piece;
	return err;
}

ssize_t gzfile_read(struct gzfile_reader *r, void *buf, size_t len, uint64_t offset,
		    struct seekgz_damage *damage)
{
	struct seekgz_damage met = {0};
	size_t done = 0;
	int err = 0;

	if (offset >= r->facts.raw_bytes)
		return 0;
	len = (size_t)MIN(len, r->facts.raw_bytes - offset);
	lock_take(&r->lock);
	while (done < len) {
		uint64_t piece = (offset + done) >> GZINDEX_PIECE_LOG2;
		size_t skip = (offset + done) & (GZINDEX_PIECE_BYTES - 1);
		size_t n;

		err = load_piece_locked(r, piece, &met);
		if (err)
			break;
		n = MIN(len - done, gzindex_piece_bytes(r->facts.raw_bytes, piece) - skip);
		memcpy((uint8_t *)buf + done, r->plain + skip, n);
		done += n;
	}
	lock_drop(&r->lock);
	if (!err || done > 0)
		return (ssize_t)done;
	if (damage)
		*damage = met;
	return err == -EBADMSG || err == -EFBIG ? -EIO : err;
}

void gzfile_counts(struct gzfile_reader *r, struct gzfile_counts *counts)
{
	lock_take(&r->lock);
	*counts = r->counts;
	lock_drop(&r->lock);
}
