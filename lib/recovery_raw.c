/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A raw file is given up for sealed bytes only if it has the same: a name proves nothing ("mv
 * app.log app.log.1", a new app.log), and a mark alone is not enough to delete on.
 */
#include "lib/recovery_impl.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/digest.h"
#include "lib/io.h"
#include "lib/log.h"
#include "lib/raw.h"
#include "lib/remnant.h"

/* The records of a raw file's stem, in its directory. */
struct relatives {
	struct sealed *list;
	size_t count, size;
};

static int add_relative(void *ctx, const struct sealed *rec)
{
	struct relatives *r = ctx;

	if (r->count == r->size) {
		size_t size = r->size ? r->size * 2 : 8;
		struct sealed *list = realloc(r->list, size * sizeof(*list));

		if (!list)
			return -ENOMEM;
		r->list = list;
		r->size = size;
	}
	r->list[r->count++] = *rec;
	return 0;
}

/* Has it no byte of this part that is not in the object, and is the part its own? 1, 0 or -errno. */
static int is_remnant(struct store *s, const struct found_raw *raw, int dfd, int fd,
		      const struct sealed *rec)
{
	char name[NAME_BYTES + 1];

	if (raw->id != rec->id ||
	    name_sealed(raw->at.name, rec->part, store_suffix(s), name) != 0)
		return 0;
	CLEANUP_FD int object = io_open(dfd, name, O_RDONLY | O_NOFOLLOW, 0);

	return object < 0 ? 0 : remnant_of(fd, object, rec);
}

enum agreement { DIFFERS, SAME, REMNANT };

/* Are the raw file's bytes those of each record (as far as it has them)? An agreement or -errno. */
static int agrees(struct store *s, const struct found_raw *raw, int dfd, int fd,
		  const struct relatives *r)
{
	int all = SAME;

	for (size_t i = 0; i < r->count; i++) {
		const struct sealed *rec = &r->list[i];
		uint8_t sha256[SHA256_BYTES];
		int err = 0;

		if (rec->offset + rec->raw_bytes <= raw->base)
			continue; /* a hole there, by its mark */
		if (raw->bytes >= rec->offset + rec->raw_bytes) {
			err = digest_range(fd, rec->offset, rec->raw_bytes, sha256);
			if (!err && memcmp(sha256, rec->raw_sha256, SHA256_BYTES) == 0)
				continue;
		}
		if (!err)
			err = is_remnant(s, raw, dfd, fd, rec);
		if (err <= 0)
			return err < 0 ? err : DIFFERS;
		all = REMNANT;
	}
	return all;
}

static int forget_records(struct manifest_txn *txn, void *ctx)
{
	const struct relatives *r = ctx;

	for (size_t i = 0; i < r->count; i++) {
		int err = manifest_remove(txn, r->list[i].id, r->list[i].part);

		if (err)
			return err;
	}
	return 0;
}

/*
 * The objects of a file are not all whole, but its raw file has every byte: it takes their
 * place. It does so as a new file, since part numbers are never used again (L19).
 */
static int start_anew(struct store *s, struct found_raw *raw, int dfd, int fd,
		      struct relatives *r)
{
	struct raw_mark mark = {0};
	int err = manifest_new_id(s->manifest, &mark.id);

	if (!err)
		err = raw_write_mark(s, fd, &mark);
	if (!err)
		err = manifest_commit(s->manifest, forget_records, r);
	for (size_t i = 0; i < r->count && !err; i++) {
		char name[NAME_BYTES + 1];
		struct place at = {.dir = raw->at.dir, .name = name};

		err = name_sealed(raw->at.name, r->list[i].part, store_suffix(s), name);
		if (!err)
			err = recovery_quarantine(s, &at, name);
		if (err == -ENOENT)
			err = 0;
	}
	if (!err)
		log_notice(PLACE_FORMAT
			   ": an object of it is lost or damaged; its raw bytes are "
			   "sealed again",
			   PLACE_PATH(raw->at.dir, raw->at.name));
	raw->id = mark.id;
	return err;
}

/* Are the objects of all parts that the raw file has bytes of what they should be? */
static int all_whole(struct store *s, const struct found_raw *raw, int dfd,
		     const struct relatives *r)
{
	int whole = 1;

	for (size_t i = 0; i < r->count && whole == 1; i++) {
		if (r->list[i].offset >= raw->base)
			whole = recovery_is_whole(s, raw, dfd, &r->list[i]);
	}
	return whole;
}

static bool was_removed(struct store *s, uint64_t id, uint32_t part)
{
	const struct manifest_removal *list;
	size_t count = manifest_removals(s->manifest, &list);

	for (size_t i = 0; i < count; i++) {
		if (list[i].id == id && list[i].part == part)
			return true;
	}
	return false;
}

static int by_part(const void *a, const void *b)
{
	const struct sealed *x = a, *y = b;

	return x->part < y->part ? -1 : x->part > y->part;
}

/*
 * Does the raw file hold bytes before the sealed end that no record is about? Where the manifest was
 * lost with some of the objects they are the only copy. A part that was removed leaves a gap, too.
 */
static bool has_gap(struct store *s, const struct found_raw *raw, struct relatives *r)
{
	uint64_t end = raw->base;

	qsort(r->list, r->count, sizeof(*r->list), by_part);
	for (size_t i = 0; i < r->count; i++) {
		const struct sealed *rec = &r->list[i];

		if (rec->offset > end && !was_removed(s, rec->id, rec->part - 1))
			return true;
		end = MAX(end, rec->offset + rec->raw_bytes);
	}
	return false;
}

static uint64_t sealed_end(const struct relatives *r)
{
	uint64_t end = 0;

	for (size_t i = 0; i < r->count; i++)
		end = MAX(end, r->list[i].offset + r->list[i].raw_bytes);
	return end;
}

static uint64_t first_offset(const struct relatives *r)
{
	uint64_t first = UINT64_MAX;

	for (size_t i = 0; i < r->count; i++)
		first = MIN(first, r->list[i].offset);
	return first;
}

int recovery_find_base(struct found_raw *raw, int fd, uint64_t end)
{
	struct stat st;
	int err = raw->base > end ? io_fstat(fd, &st) : 0;
	uint64_t begin;

	if (err || raw->base <= end)
		return err;
	begin = raw_begin(fd, &st, raw->base);
	raw->hollow = begin == RAW_HOLLOW;
	if (!raw->hollow)
		raw->base = begin;
	return 0;
}

/* Is something lost between the end of the parts and where it goes on? */
static bool is_cut_off(const struct found_raw *raw, const struct relatives *r)
{
	uint64_t end = sealed_end(r);

	if (raw->base <= end)
		return false;
	log_error(PLACE_FORMAT
		  ": its bytes from %llu to %llu were sealed, and no object has "
		  "them; what follows gets a name of its own; restore the rest from "
		  "a backup",
		  PLACE_PATH(raw->at.dir, raw->at.name), (unsigned long long)end,
		  (unsigned long long)raw->base);
	return true;
}

int recovery_remove_hollow(struct store *s, struct found_raw *raw)
{
	CLEANUP_FD int dfd = recovery_open_dir(s, raw->at.dir);
	int err = dfd < 0 ? dfd : 0;

	if (!err && raw_has_foreign_writer(dfd, raw->at.name))
		err = -EBUSY;
	if (!err)
		err = io_unlink(dfd, raw->at.name, 0);
	if (err)
		return err;
	raw->gone = true;
	log_error(
	    PLACE_FORMAT
	    ": its bytes from 0 to %llu were sealed, and no object of this name has them; "
	    "it has no others: it is removed; unless it was removed before, restore it "
	    "from a backup",
	    PLACE_PATH(raw->at.dir, raw->at.name), (unsigned long long)raw->bytes);
	recovery_event_at(s, "removed: nothing is left in it", raw->at.dir, raw->at.name);
	return 0;
}

/* It is what its records say, as far as it has it: its own bytes are those behind them, if any. */
static int adopt(struct store *s, struct found_raw *raw, int fd, const struct relatives *r,
		 int ours)
{
	struct raw_mark mark = {.id = r->list[0].id};
	int err = 0;

	raw->sealed_end = sealed_end(r);
	raw->recorded = true;
	if (ours == REMNANT)
		mark.base = raw->sealed_end;
	if (ours == REMNANT || raw->id != mark.id)
		err = raw_write_mark(s, fd, &mark);
	raw->id = mark.id;
	if (err || ours != REMNANT)
		return err;
	raw->base = raw->sealed_end;
	raw_make_hole(fd, raw->base);
	log_notice(PLACE_FORMAT
		   ": a power cut took bytes of its raw file; its objects have them",
		   PLACE_PATH(raw->at.dir, raw->at.name));
	return 0;
}

/* All that is sealed of it is compared now. */
static int compare(struct store *s, const struct differences *diff, struct found_raw *raw,
		   int dfd, int fd, struct relatives *r)
{
	int ours = raw->id && raw->id != r->list[0].id ? DIFFERS : agrees(s, raw, dfd, fd, r);
	int whole = ours > 0 ? all_whole(s, raw, dfd, r) : 1;
	int err = 0;

	if (ours > 0 && whole == 1 && (is_cut_off(raw, r) || has_gap(s, raw, r)))
		whole = 0;
	if (ours < 0 || whole < 0) {
		err = ours < 0 ? ours : whole;
	} else if (ours == SAME && !whole && !raw->base && !first_offset(r)) {
		err = start_anew(s, raw, dfd, fd, r);
	} else if (ours != SAME && !raw->bytes && raw->id == r->list[0].id) {
		err = io_unlink(dfd, raw->at.name, 0); /* none are left to keep */
		raw->gone = true;
	} else if ((!ours || !whole) && raw->doubt && raw->id == r->list[0].id &&
		   raw->base <= sealed_end(r) && raw->bytes > sealed_end(r)) {
		/* What was appended meanwhile is sealed under its name first. */
		raw->waits = raw->recorded = true;
		raw->sealed_end = sealed_end(r);
		lock_take(&s->lock);
		s->unsettled = true;
		lock_drop(&s->lock);
	} else if (!ours || !whole) {
		err = recovery_displace(s, diff, raw, dfd, fd);
	} else {
		err = adopt(s, raw, fd, r, ours);
	}
	return err;
}

static int judge(struct store *s, const struct differences *diff, size_t i,
		 struct raw_records *records)
{
	struct found_raw *raw = &diff->raws[i];
	CLEANUP_FD int dfd = recovery_open_dir(s, raw->at.dir);
	CLEANUP_FD int fd = dfd < 0 ? dfd : io_open(dfd, raw->at.name, O_RDWR | O_NOFOLLOW, 0);
	struct relatives r = {0};
	int err;

	if (fd < 0)
		return fd;
	raw->doubt = raw_has_doubt(fd);
	err = recovery_records(s, records, diff, i, add_relative, &r);
	if (!err)
		err = recovery_find_base(raw, fd, sealed_end(&r));
	if (err || !r.count || raw->hollow) {
		/* nothing to compare with */
	} else if (recovery_may_wait(s, raw, dfd, fd, r.list, r.count) &&
		   !has_gap(s, raw, &r)) {
		raw->waits = raw->recorded = true;
		raw->sealed_end = sealed_end(&r);
	} else {
		err = compare(s, diff, raw, dfd, fd, &r);
	}
	if (!err && raw->doubt && !raw->waits)
		raw_settle_doubt(fd);
	free(r.list);
	return err;
}

int recovery_leave(struct store *s, const struct found_raw *raw, int err)
{
	log_error(PLACE_FORMAT ": cannot be examined: %s; it is left alone",
		  PLACE_PATH(raw->at.dir, raw->at.name), strerror(-err));
	lock_take(&s->lock);
	s->unsettled = true; /* the next start looks again */
	lock_drop(&s->lock);
	return err == -ENOMEM ? err : 0;
}

static int judge_all(struct store *s, struct differences *diff, struct raw_records *records)
{
	size_t kept = 0;

	for (size_t i = 0; i < diff->raw_count; i++) {
		struct found_raw *raw = &diff->raws[i];
		int err = judge(s, diff, i, records);
		uint64_t sealed;

		if (!err && raw->hollow)
			err = recovery_remove_hollow(s, raw);
		sealed = MAX(raw->sealed_end, raw->base);
		if (err && recovery_leave(s, raw, err) != 0)
			return err;
		if (raw->bytes > sealed && !err) {
			log_info(PLACE_FORMAT ": %llu bytes were not sealed yet",
				 PLACE_PATH(raw->at.dir, raw->at.name),
				 (unsigned long long)(raw->bytes - sealed));
			recovery_event_at(s, "queued", raw->at.dir, raw->at.name);
		}
		if (!err && !raw->gone) {
			struct found_raw swap = diff->raws[kept];

			diff->raws[kept++] = *raw;
			diff->raws[i] = swap;
		}
	}
	while (diff->raw_count > kept) {
		diff->raw_count--;
		free(diff->raws[diff->raw_count].at.dir);
		free(diff->raws[diff->raw_count].at.name);
	}
	return 0;
}

int recovery_raws(struct store *s, struct differences *diff)
{
	struct raw_records records = {0};
	int err = judge_all(s, diff, &records);

	recovery_records_release(&records);
	return err ? err : recovery_part_spellings(s, diff);
}
