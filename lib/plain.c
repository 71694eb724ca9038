/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which source holds a byte may change between two reads (a part is published, the raw file
 * goes): each piece is looked up afresh, and what was opened stays readable until it is let go.
 */
#include "lib/plain.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/catalog.h"
#include "lib/damage.h"
#include "lib/dirfd.h"
#include "lib/io.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/raw.h"

enum source { AT_END, IN_RAW, IN_PART, IN_HOLE };

struct piece {
	enum source source;
	struct part part; /* a copy */
	uint64_t end;	  /* the source goes up to here */
};

/* Where is the byte at this logical offset? */
static void find_piece_locked(struct store *s, struct file *f, uint64_t offset,
			      struct piece *out) REQUIRES(s->lock)
{
	int i;

	out->end = f->size;
	i = part_by_offset(f, offset);
	if (offset >= f->size) {
		out->source = AT_END;
	} else if (f->raw_present && offset >= f->raw_base &&
		   !(f->raw_unproven && i >= 0 && f->parts[i].raw != RAW_SAME)) {
		/* A raw file that nothing has compared may be back after a power cut, without its
		 * bytes: what has a record is read from its object then. */
		out->source = IN_RAW;
		if (f->raw_unproven && i >= 0)
			out->end = f->parts[i].offset + f->parts[i].raw_bytes;
	} else {
		out->source = i < 0 ? IN_HOLE : IN_PART;
		if (i >= 0) {
			out->part = f->parts[i];
			out->end = out->part.offset + out->part.raw_bytes;
		}
	}
}

int plain_open_part(struct store *s, struct file *f, uint32_t number)
{
	for (;;) {
		char name[NAME_BYTES + 1], plain[NAME_BYTES + 1];
		struct dir *d;
		int dfd, fd, i;
		bool moved;

		lock_take(&s->lock);
		while (f->n.linked && f->n.busy == BUSY_NAME)
			cond_wait(&s->changed, &s->lock);
		i = part_by_number(f, number);
		if (i < 0 || f->parts[i].pinned_fd >= 0 || !f->n.linked) {
			fd = i >= 0 && f->parts[i].pinned_fd >= 0
				 ? fcntl(f->parts[i].pinned_fd, F_DUPFD_CLOEXEC, 0)
				 : -1;
			lock_drop(&s->lock);
			return fd < 0 ? -ENOENT : fd;
		}
		d = f->n.dir;
		node_ref_locked(&d->n);
		snprintf(plain, sizeof(plain), "%s", f->n.name);
		lock_drop(&s->lock);

		name_sealed(plain, number, store_suffix(s), name);
		dfd = dirfd_get(s, d);
		fd = dfd < 0 ? dfd : io_open(dfd, name, O_RDONLY | O_NOFOLLOW, 0);
		if (dfd >= 0)
			dirfd_put(s, d);

		lock_take(&s->lock);
		i = part_by_number(f, number); /* it may be pinned by now: look again */
		moved = !f->n.linked || f->n.busy == BUSY_NAME || f->n.dir != d ||
			strcmp(f->n.name, plain) != 0 || i < 0 || f->parts[i].pinned_fd >= 0;
		node_unref_locked(s, &d->n, 1);
		lock_drop(&s->lock);
		if (fd == -EINVAL || fd == -ELOOP) {
			log_error("%s: is no regular file in the store any more; was the store "
				  "changed from outside? unmount and run notepackctl check",
				  name);
			return -EIO;
		}
		if (fd != -ENOENT || !moved)
			return fd;
	}
}

/* rec: part and offset count. */
static void meet_damage(struct store *s, struct file *f, const struct sealed *rec,
			const struct seekgz_damage *at, const char *reason)
{
	CLEANUP_BUF struct buf path = {0};
	struct sealed where = {.id = f->id, .part = rec->part, .offset = rec->offset};

	lock_take(&s->lock);
	if (f->n.linked)
		catalog_path_locked(s, &f->n, rec->part, &path);
	lock_drop(&s->lock);
	damage_met(s, &where, path.len ? path.data : NULL, at, reason);
}

/* Have the reader of this part in the handle. */
static int use_part_locked(struct store *s, struct handle *h, struct file *f,
			   const struct part *part) REQUIRES(h->reader_lock)
{
	/* Enough for one that was removed and is still open; it has no index to be kept. */
	struct sealed rec = {.part = part->number,
			     .offset = part->offset,
			     .raw_bytes = part->raw_bytes,
			     .gz_bytes = part->gz_bytes,
			     .crc32 = part->crc32,
			     .codec = part->codec};
	bool recorded;
	const char *reason = NULL;
	int fd, err;

	if (h->reader && h->reader_part == part->number)
		return 0;
	object_close(h->reader);
	h->reader = NULL;
	recorded = manifest_get(s->manifest, f->id, part->number, &rec);
	fd = plain_open_part(s, f, part->number);
	err = fd < 0 ? fd
		     : object_open(fd, &rec, s->chunks, recorded ? s->indexfd : -1,
				   s->options.read_only, &h->reader, &reason);
	if (err == -ENOMEM || err == -EMFILE || err == -ENFILE)
		return err;
	if (err) {
		meet_damage(s, f, &rec, NULL,
			    err == -EBADMSG && reason ? reason : strerror(-err));
		return -EIO;
	}
	h->reader_part = part->number;
	return 0;
}

static ssize_t read_part(struct store *s, struct handle *h, struct file *f,
			 const struct part *part, void *buf, size_t len, uint64_t offset)
{
	struct seekgz_damage damage = {0};
	struct object_reader *r = NULL;
	ssize_t n;

	lock_take(&h->reader_lock);
	n = use_part_locked(s, h, f, part);
	if (n == 0)
		r = object_ref(h->reader);
	lock_drop(&h->reader_lock);
	if (r)
		n = object_read(r, buf, len, offset - part->offset, &damage);
	object_close(r);
	if (n == -EIO && damage.reason) {
		const struct sealed rec = {.part = part->number, .offset = part->offset};

		meet_damage(s, f, &rec, &damage, damage.reason);
	}
	return n == 0 ? -EIO : n;
}

/* From the raw file, opened now if the handle was opened when there was none. 0: look again. */
static ssize_t read_raw(struct store *s, struct handle *h, struct file *f, void *buf,
			size_t len, uint64_t offset)
{
	struct raw *raw = NULL;
	ssize_t n;
	int err = 0;

	lock_take(&s->lock);
	if (f->raw_present && f->raw && offset >= f->raw_base) {
		raw = f->raw;
		raw->refs++;
	} else {
		gate_enter_locked(s, f);
		if (!f->raw_present || offset < f->raw_base)
			err = -ENOENT; /* it has just been sealed */
		lock_drop(&s->lock);
		if (!err)
			err = raw_get(s, f, &raw);
		lock_take(&s->lock);
		gate_leave_locked(s, f);
	}
	lock_drop(&s->lock);
	if (err)
		return err == -ENOENT ? 0 : err;
	n = io_pread(raw->fd, buf, len, offset);
	raw_put(s, f, raw);
	lock_take(&s->lock);
	if (f->raw_present && offset < f->raw_base)
		n = 0;	 /* its bytes may have gone by then; they are in a part */
	else if (n == 0) /* cut off by a truncation just now, or from outside */
		n = offset < f->size ? -EIO : 0;
	lock_drop(&s->lock);
	return n;
}

ssize_t plain_read(struct store *s, struct handle *h, void *buf, size_t len, uint64_t offset)
{
	struct file *f = to_file(h->node);
	size_t done = 0;

	while (done < len) {
		struct piece piece;
		uint64_t at;
		size_t want;
		ssize_t n = 0;

		lock_take(&s->lock);
		at = f->base + offset + done;
		find_piece_locked(s, f, at, &piece);
		lock_drop(&s->lock);
		if (piece.source == AT_END)
			break;
		want = (size_t)MIN(len - done, piece.end - at);
		if (piece.source == IN_RAW)
			n = read_raw(s, h, f, (char *)buf + done, want, at);
		else if (piece.source == IN_PART)
			n = read_part(s, h, f, &piece.part, (char *)buf + done, want, at);
		else
			n = -EIO;
		if (n == -EIO && piece.source == IN_PART &&
		    raw_vouches(s, f, piece.part.number))
			continue; /* with the raw file */
		if (n < 0)
			return n;
		done += (size_t)n;
	}
	return (ssize_t)done;
}
