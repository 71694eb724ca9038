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

#define DISPLACED "%.190s.recovered-"

/* The records of a raw file's stem, in its directory. */
struct relatives {
	struct sealed *list;
	size_t count, size;
	const char *name; /* the raw file's */
	const char *suffix;
};

static bool same_stem(const char *a, const char *b, const char *suffix)
{
	size_t n = name_stem_len(a, suffix);

	return n == name_stem_len(b, suffix) && memcmp(a, b, n) == 0;
}

static int add_relative(struct relatives *r, const struct sealed *rec)
{
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

static int visit_stem(void *ctx, const struct sealed *rec, const char *dir, const char *plain)
{
	struct relatives *r = ctx;

	return same_stem(plain, r->name, r->suffix) ? add_relative(r, rec) : 0;
}

/* Are the raw file's bytes those of each record (as far as it has them)? 1, 0 or -errno. */
static int agrees(int fd, const struct found_raw *raw, const struct relatives *r)
{
	for (size_t i = 0; i < r->count; i++) {
		const struct sealed *rec = &r->list[i];
		uint8_t sha256[SHA256_BYTES];
		int err;

		if (rec->offset + rec->raw_bytes <= raw->base)
			continue; /* a hole there, by its mark */
		if (raw->bytes < rec->offset + rec->raw_bytes)
			return 0;
		err = digest_range(fd, rec->offset, rec->raw_bytes, sha256);
		if (err)
			return err;
		if (memcmp(sha256, rec->raw_sha256, SHA256_BYTES) != 0)
			return 0;
	}
	return 1;
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

/* Has it the name that displace gives it already? A start was cut short between link and unlink. */
static bool is_displaced(const struct differences *diff, const struct found_raw *raw, int dfd)
{
	char name[NAME_BYTES + 1];
	size_t len = (size_t)snprintf(name, sizeof(name), DISPLACED, raw->at.name);

	for (size_t i = 0; i < diff->raw_count; i++) {
		const struct place *at = &diff->raws[i].at;

		if (strcmp(at->dir, raw->at.dir) == 0 && strncmp(at->name, name, len) == 0 &&
		    strcmp(at->name, raw->at.name) != 0 &&
		    io_same_file(dfd, raw->at.name, dfd, at->name))
			return true;
	}
	return false;
}

/* Another file took the name: it gets one of its own, with an id of its own. */
static int displace(struct store *s, const struct differences *diff, struct found_raw *raw,
		    int dfd, int fd)
{
	struct raw_mark mark = {.base = raw->base}; /* its bytes remain the same */
	char name[NAME_BYTES + 1];
	char *copy;
	int err;

	if (is_displaced(diff, raw, dfd)) {
		raw->gone = true; /* it is in the list under its other name */
		return io_unlink(dfd, raw->at.name, 0);
	}
	err = manifest_new_id(s->manifest, &mark.id);
	if (err)
		return err;
	snprintf(name, sizeof(name), DISPLACED "%llu", raw->at.name,
		 (unsigned long long)mark.id);
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	err = raw_write_mark(s, fd, &mark);
	if (!err)
		err = io_rename_noreplace(dfd, raw->at.name, dfd, name);
	if (!err)
		err = io_syncdir(dfd, ".");
	if (err) {
		free(copy);
		return err;
	}
	log_warning(PLACE_FORMAT
		    ": another file has this name, or its other spelling; it is kept as %s",
		    PLACE_PATH(raw->at.dir, raw->at.name), name);
	recovery_event_at(s, "kept under another name", raw->at.dir, name);
	free(raw->at.name);
	raw->at.name = copy;
	raw->id = mark.id;
	return 0;
}

/*
 * Its mark says that more of it was sealed than there are parts of: what there is of that is in the raw
 * file, or lost. 0 or -errno.
 */
static int find_base(struct found_raw *raw, int fd, uint64_t end)
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

/* Nothing is left in it to be kept. */
static int remove_hollow(struct store *s, struct found_raw *raw)
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

/* Under a name of its own it has no parts. */
static int displace_own(struct store *s, const struct differences *diff, struct found_raw *raw,
			int dfd, int fd)
{
	int err = find_base(raw, fd, 0);

	return err || raw->hollow ? err : displace(s, diff, raw, dfd, fd);
}

/* All that is sealed of it is compared now. */
static int compare(struct store *s, const struct differences *diff, struct found_raw *raw,
		   int dfd, int fd, struct relatives *r)
{
	int ours = raw->id && raw->id != r->list[0].id ? 0 : agrees(fd, raw, r);
	int whole = ours == 1 ? all_whole(s, raw, dfd, r) : 1;
	int err = 0;

	if (ours == 1 && whole == 1 && (is_cut_off(raw, r) || has_gap(s, raw, r)))
		whole = 0;
	if (ours < 0 || whole < 0) {
		err = ours < 0 ? ours : whole;
	} else if (!whole && !raw->base && !first_offset(r)) {
		err = start_anew(s, raw, dfd, fd, r);
	} else if (!ours && !raw->bytes && raw->id == r->list[0].id) {
		/* A power cut took the bytes of a raw file that was about to go: none are left
		 * to keep. */
		err = io_unlink(dfd, raw->at.name, 0);
		raw->gone = true;
	} else if (!ours && raw->doubt && raw->id == r->list[0].id &&
		   raw->base <= sealed_end(r) && raw->bytes > sealed_end(r)) {
		/* What was appended meanwhile is sealed under its name first. */
		raw->waits = raw->recorded = true;
		raw->sealed_end = sealed_end(r);
		lock_take(&s->lock);
		s->unsettled = true;
		lock_drop(&s->lock);
	} else if (!ours || !whole) {
		err = displace_own(s, diff, raw, dfd, fd);
	} else {
		raw->sealed_end = sealed_end(r);
		raw->recorded = true;
		if (raw->id != r->list[0].id) {
			struct raw_mark mark = {.id = r->list[0].id};

			err = raw_write_mark(s, fd, &mark);
			raw->id = mark.id;
		}
	}
	return err;
}

static int judge(struct store *s, const struct differences *diff, struct found_raw *raw)
{
	CLEANUP_FD int dfd = recovery_open_dir(s, raw->at.dir);
	CLEANUP_FD int fd = dfd < 0 ? dfd : io_open(dfd, raw->at.name, O_RDWR | O_NOFOLLOW, 0);
	struct relatives r = {.name = raw->at.name, .suffix = store_suffix(s)};
	int err;

	if (fd < 0)
		return fd;
	raw->doubt = raw_has_doubt(fd);
	err = manifest_each_in_dir(s->manifest, raw->at.dir, visit_stem, &r);
	if (!err)
		err = find_base(raw, fd, sealed_end(&r));
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

/* By directory and stem; one that has records first. */
static int by_stem(const void *a, const void *b, void *suffix)
{
	const struct found_raw *x = a, *y = b;
	size_t x_len = name_stem_len(x->at.name, suffix);
	size_t y_len = name_stem_len(y->at.name, suffix);
	int r = strcmp(x->at.dir, y->at.dir);

	if (!r)
		r = memcmp(x->at.name, y->at.name, MIN(x_len, y_len));
	if (!r && x_len != y_len)
		r = x_len < y_len ? -1 : 1;
	if (!r && x->recorded != y->recorded)
		r = x->recorded ? -1 : 1;
	return r ? r : strcmp(x->at.name, y->at.name);
}

static int displace_named(struct store *s, const struct differences *diff,
			  struct found_raw *raw)
{
	CLEANUP_FD int dfd = recovery_open_dir(s, raw->at.dir);
	CLEANUP_FD int fd = dfd < 0 ? dfd : io_open(dfd, raw->at.name, O_RDWR | O_NOFOLLOW, 0);

	return fd < 0 ? fd : displace_own(s, diff, raw, dfd, fd);
}

/* Both spellings of one stem: only one file can be shown, and sealed, under it. */
static int part_spellings(struct store *s, struct differences *diff)
{
	size_t first = 0;
	int err = 0;

	if (diff->raw_count)
		qsort_r(diff->raws, diff->raw_count, sizeof(*diff->raws), by_stem,
			(void *)store_suffix(s));
	for (size_t i = 1; i < diff->raw_count && !err; i++) {
		const struct found_raw *kept = &diff->raws[first];
		struct found_raw *raw = &diff->raws[i];

		if (strcmp(kept->at.dir, raw->at.dir) != 0 ||
		    !same_stem(kept->at.name, raw->at.name, store_suffix(s))) {
			first = i;
			continue;
		}
		err = displace_named(s, diff, raw);
		if (!err && raw->hollow)
			err = remove_hollow(s, raw);
		if (err)
			err = recovery_leave(s, raw, err);
	}
	return err;
}

int recovery_raws(struct store *s, struct differences *diff)
{
	size_t kept = 0;

	for (size_t i = 0; i < diff->raw_count; i++) {
		struct found_raw *raw = &diff->raws[i];
		int err = judge(s, diff, raw);
		uint64_t sealed;

		if (!err && raw->hollow)
			err = remove_hollow(s, raw);
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
	return part_spellings(s, diff);
}
