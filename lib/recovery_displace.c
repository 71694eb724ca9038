/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A raw file whose name is another file's keeps its bytes, under a name of its own.
 */
#include "lib/recovery_impl.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/io.h"
#include "lib/log.h"
#include "lib/raw.h"

#define DISPLACED "%.190s.recovered-"

bool recovery_same_stem(const char *a, const char *b, const char *suffix)
{
	size_t n = name_stem_len(a, suffix);

	return n == name_stem_len(b, suffix) && memcmp(a, b, n) == 0;
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

int recovery_displace(struct store *s, const struct differences *diff, struct found_raw *raw,
		      int dfd, int fd)
{
	int err = recovery_find_base(raw, fd, 0);

	return err || raw->hollow ? err : displace(s, diff, raw, dfd, fd);
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

	return fd < 0 ? fd : recovery_displace(s, diff, raw, dfd, fd);
}

int recovery_part_spellings(struct store *s, struct differences *diff)
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
		    !recovery_same_stem(kept->at.name, raw->at.name, store_suffix(s))) {
			first = i;
			continue;
		}
		err = displace_named(s, diff, raw);
		if (!err && raw->hollow)
			err = recovery_remove_hollow(s, raw);
		if (err)
			err = recovery_leave(s, raw, err);
	}
	return err;
}
