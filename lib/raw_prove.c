/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A raw file that lay there at a start that compared nothing: it may have been put there because the
 * objects are gone, or are not what they were.
 */
#include "lib/raw.h"

#include <errno.h>
#include <stdio.h>
#include <sys/xattr.h>

#include "lib/catalog.h"
#include "lib/digest.h"
#include "lib/io.h"
#include "lib/log.h"
#include "lib/plain.h"
#include "lib/remnant.h"
#include "lib/state.h"

#define DOUBT "user.notepackfs.doubt"

bool raw_has_doubt(int fd)
{
	return fgetxattr(fd, DOUBT, NULL, 0) >= 0;
}

static int write_doubt(int fd)
{
	return fsetxattr(fd, DOUBT, "1", 1, 0) == 0 ? 0 : -errno;
}

void raw_settle_doubt(int fd)
{
	(void)fremovexattr(fd, DOUBT); /* one that stays costs a comparison at the next start */
}

static bool is_same(int fd, uint64_t offset, uint64_t len, const uint8_t *sha256)
{
	uint8_t is[SHA256_BYTES];

	return digest_range(fd, offset, len, is) == 0 && memcmp(is, sha256, sizeof(is)) == 0;
}

struct comparison {
	uint64_t end;	 /* up to here all is in parts that were compared */
	bool is_remnant; /* its bytes up to there are not all there (lib/remnant.h) */
};

/* Is the part's object whole, and has the raw file its bytes, as far as it has any there? A gap behind
 * the parts before is in none. */
static bool part_agrees(struct store *s, struct file *f, uint32_t number, int raw_fd,
			struct comparison *c)
{
	struct sealed rec;
	struct stat st;
	CLEANUP_FD int fd = -1;

	if (!manifest_get(s->manifest, f->id, number, &rec))
		return false;
	if (rec.offset + rec.raw_bytes <= f->raw_base)
		return true;
	if (rec.offset > c->end)
		return false;
	c->end = rec.offset + rec.raw_bytes;
	fd = plain_open_part(s, f, number);
	if (fd < 0 || io_fstat(fd, &st) != 0 || (uint64_t)st.st_size != rec.gz_bytes ||
	    !is_same(fd, 0, rec.gz_bytes, rec.sha256))
		return false;
	if (is_same(raw_fd, rec.offset, rec.raw_bytes, rec.raw_sha256))
		return true;
	c->is_remnant = true;
	return remnant_of(raw_fd, fd, &rec) == 1;
}

/* What is below end is in the parts, and not all in the raw file: its own bytes begin there. Durably,
 * before anything else may be written that a start would find behind it. */
static bool begin_behind(struct store *s, struct file *f, struct raw *raw, uint64_t end)
{
	struct raw_mark mark = {.id = f->id, .base = end};
	char name[NAME_BYTES + 1] = "";

	if (raw_write_mark(s, raw->fd, &mark) != 0 || raw_sync(s, f, raw->fd) != 0)
		return false;
	lock_take(&s->lock);
	f->raw_base = end; /* readers look at it again behind their pread */
	if (f->n.linked)
		snprintf(name, sizeof(name), "%s", f->n.name);
	lock_drop(&s->lock);
	raw_make_hole(raw->fd, end);
	if (*name)
		log_notice("%s: a power cut took bytes of its raw file; its objects have them",
			   name);
	return true;
}

/* The gate is not for as long as the reading takes. */
static int open_raw(struct store *s, struct file *f, struct raw **out)
{
	int err;

	lock_take(&s->lock);
	gate_enter_locked(s, f);
	lock_drop(&s->lock);
	err = raw_get(s, f, out);
	lock_take(&s->lock);
	gate_leave_locked(s, f);
	lock_drop(&s->lock);
	return err;
}

/* The number of the part that is the i-th, if it lies before this offset; else 0. */
static uint32_t part_before(struct store *s, const struct file *f, uint32_t i, uint64_t to)
{
	uint32_t number;

	lock_take(&s->lock);
	number = i < f->part_count && f->parts[i].offset < to ? f->parts[i].number : 0;
	lock_drop(&s->lock);
	return number;
}

/* Of a file that was removed meanwhile there is nothing to compare with, nor to keep. */
static void doubt(struct store *s, struct file *f, struct raw *raw)
{
	char name[NAME_BYTES + 1] = "";
	int err;

	lock_take(&s->lock);
	if (f->n.linked) {
		snprintf(name, sizeof(name), "%s", f->n.name);
		f->raw_doubted = true;
		s->unsettled = true;
	}
	lock_drop(&s->lock);
	if (!*name)
		return;
	err = raw ? write_doubt(raw->fd) : -ENOENT;
	if (!err)
		err = raw_sync(s, f, raw->fd);
	log_warning(
	    "%s: its raw file is not what was sealed of it, or its objects are damaged; it is "
	    "kept, and the next start compares them; see notepackctl check",
	    name);
	if (err)
		log_warning("%s: that could not be noted: %s; the next mount finds it again",
			    name, strerror(-err));
}

bool raw_prove(struct store *s, struct file *f)
{
	struct comparison c = {0};
	struct raw *raw = NULL;
	uint32_t number;
	uint64_t to;
	bool proven;

	lock_take(&s->lock);
	proven = !f->raw_unproven || !f->raw_present;
	c.end = f->base_removed ? MAX(f->raw_base, f->base) : f->raw_base;
	to = f->sealed_end; /* what is sealed from now on is made of this raw file */
	lock_drop(&s->lock);
	if (proven)
		return true;
	proven = open_raw(s, f, &raw) == 0;
	for (uint32_t i = 0; proven && (number = part_before(s, f, i, to)); i++)
		proven = part_agrees(s, f, number, raw->fd, &c);
	if (proven && c.is_remnant)
		proven = begin_behind(s, f, raw, c.end);
	if (!proven)
		doubt(s, f, raw);
	raw_put(s, f, raw);
	lock_take(&s->lock);
	if (f->n.linked) /* while it can be changed it is not proven for good */
		f->raw_unproven = !proven || (f->raw_mapped && f->raw_recovered);
	lock_drop(&s->lock);
	return proven;
}

bool raw_vouches(struct store *s, struct file *f, uint32_t number)
{
	struct raw *raw = NULL;
	struct sealed rec;
	bool same;
	int i;

	lock_take(&s->lock);
	i = part_by_number(f, number);
	same = i >= 0 && f->raw_present && f->raw_unproven && f->parts[i].raw == RAW_UNKNOWN &&
	       f->parts[i].offset >= f->raw_base;
	lock_drop(&s->lock);
	if (!same)
		return false;
	same = manifest_get(s->manifest, f->id, number, &rec) && open_raw(s, f, &raw) == 0 &&
	       is_same(raw->fd, rec.offset, rec.raw_bytes, rec.raw_sha256);
	raw_put(s, f, raw);
	lock_take(&s->lock);
	i = part_by_number(f, number);
	if (i >= 0)
		f->parts[i].raw = same ? RAW_SAME : RAW_OTHER;
	lock_drop(&s->lock);
	return same;
}
