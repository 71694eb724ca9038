/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A raw file that lay there at a start that compared nothing: it may have been put there because the
 * objects are gone, or are not what they were.
 */
#include "lib/raw.h"

#include "lib/digest.h"
#include "lib/io.h"
#include "lib/plain.h"
#include "lib/state.h"

static bool is_same(int fd, uint64_t offset, uint64_t len, const uint8_t *sha256)
{
	uint8_t is[SHA256_BYTES];

	return digest_range(fd, offset, len, is) == 0 && memcmp(is, sha256, sizeof(is)) == 0;
}

/* Is the part's object whole, and has the raw file its bytes, as far as it has any there? Those up to
 * *end are in the parts before; a gap behind them is in none. */
static bool part_agrees(struct store *s, struct file *f, uint32_t number, int raw_fd,
			uint64_t *end)
{
	struct sealed rec;
	struct stat st;
	CLEANUP_FD int fd = -1;

	if (!manifest_get(s->manifest, f->id, number, &rec))
		return false;
	if (rec.offset + rec.raw_bytes <= f->raw_base)
		return true;
	if (rec.offset > *end)
		return false;
	*end = rec.offset + rec.raw_bytes;
	fd = plain_open_part(s, f, number);
	return fd >= 0 && io_fstat(fd, &st) == 0 && (uint64_t)st.st_size == rec.gz_bytes &&
	       is_same(fd, 0, rec.gz_bytes, rec.sha256) &&
	       is_same(raw_fd, rec.offset, rec.raw_bytes, rec.raw_sha256);
}

bool raw_prove(struct store *s, struct file *f)
{
	struct raw *raw = NULL;
	uint64_t end;
	bool proven;

	lock_take(&s->lock);
	proven = !f->raw_unproven || !f->raw_present;
	end = f->raw_base;
	if (!proven)
		gate_enter_locked(s, f);
	lock_drop(&s->lock);
	if (proven)
		return true;
	proven = raw_get(s, f, &raw) == 0;
	for (uint32_t i = 0; proven && i < f->part_count; i++)
		proven = part_agrees(s, f, f->parts[i].number, raw->fd, &end);
	raw_put(s, f, raw);
	lock_take(&s->lock);
	gate_leave_locked(s, f);
	f->raw_unproven = !proven;
	lock_drop(&s->lock);
	return proven;
}
