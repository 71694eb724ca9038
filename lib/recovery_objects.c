/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/recovery_impl.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/digest.h"
#include "lib/io.h"
#include "lib/layout.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/quarantine.h"
#include "lib/raw.h"

/* A stray object under examination. */
struct candidate {
	const struct place *at;
	const char *path;
	int fd;
	struct stat st;
	char plain[NAME_BYTES + 1]; /* the stem */
	uint32_t part;		    /* by its name */
	char reason[160];	    /* why it is bad; else "" */
	struct sealed rec;
};

static int put_candidate(struct manifest_txn *txn, void *ctx)
{
	struct candidate *c = ctx;

	return manifest_put(txn, &c->rec, c->at->dir, c->plain);
}

/* A removal that was committed and not carried out. 1: it was one. */
static int finish_removal(struct store *s, struct candidate *c)
{
	const struct manifest_removal *list;
	size_t count = manifest_removals(s->manifest, &list);
	uint8_t sha256[SHA256_BYTES];
	int err, dfd;

	for (size_t i = 0; i < count; i++) {
		if (strcmp(list[i].path, c->path) != 0)
			continue;
		err = digest_range(c->fd, 0, (uint64_t)c->st.st_size, sha256);
		if (err)
			return err;
		if (memcmp(sha256, list[i].sha256, SHA256_BYTES) != 0)
			continue;
		dfd = recovery_open_dir(s, c->at->dir);
		err = dfd < 0 ? dfd : io_unlink(dfd, c->at->name, 0);
		if (dfd >= 0)
			close(dfd);
		log_notice("%s: its removal, which was interrupted, is complete", c->path);
		recovery_event(s, "finished its removal", c->path);
		return err ? err : 1;
	}
	return 0;
}

/* A record whose object is this one, under another name. 1: there is one. */
static int match_missing(struct store *s, struct differences *diff, struct candidate *c)
{
	uint8_t sha256[SHA256_BYTES];
	bool hashed = false;
	int err = 0;

	for (size_t i = 0; i < diff->missing_count; i++) {
		struct missing *m = &diff->missing[i];

		if (m->found || m->rec.gz_bytes != (uint64_t)c->st.st_size ||
		    m->rec.part != c->part)
			continue;
		if (!hashed)
			err = digest_range(c->fd, 0, (uint64_t)c->st.st_size, sha256);
		if (err)
			return err;
		hashed = true;
		if (memcmp(sha256, m->rec.sha256, SHA256_BYTES) != 0)
			continue;
		m->found = true;
		c->rec = m->rec;
		/* The spelling of the plain name goes with it where it can. */
		if (name_stem_needs_suffix(c->plain, strlen(c->plain), store_suffix(s)) ||
		    (strlen(m->at.name) > name_stem_len(m->at.name, store_suffix(s)) &&
		     strlen(c->plain) + strlen(store_suffix(s)) <= NAME_PLAIN_BYTES))
			strcat(c->plain, store_suffix(s));
		log_notice("%s: was renamed from " PLACE_FORMAT "; the manifest knows it now",
			   c->path, PLACE_PATH(m->at.dir, m->at.name));
		recovery_event(s, "found under a new name", c->path);
		err = manifest_commit(s->manifest, put_candidate, c);
		return err ? err : 1;
	}
	return 0;
}

/* Whose part is it? The raw file of that name says so, or the part before it; else no one's. */
struct neighbours {
	const char *stem;
	const char *suffix;
	uint64_t end; /* we look for the part that ends here */
	uint32_t part;
	uint64_t id;
	char plain[NAME_BYTES + 1];
};

static int find_neighbour(void *ctx, const struct sealed *rec, const char *dir,
			  const char *plain)
{
	struct neighbours *n = ctx;
	size_t len = name_stem_len(plain, n->suffix);

	if (strlen(n->stem) == len && memcmp(plain, n->stem, len) == 0 &&
	    rec->part + 1 == n->part && rec->offset + rec->raw_bytes == n->end) {
		n->id = rec->id;
		snprintf(n->plain, sizeof(n->plain), "%s", plain);
		return 1;
	}
	return 0;
}

/* The raw file of this name, open, with its mark. -ENOENT: there is none. */
static int open_raw(struct store *s, const struct candidate *c, const char *name,
		    struct raw_mark *mark)
{
	CLEANUP_FD int dfd = recovery_open_dir(s, c->at->dir);
	int fd = dfd < 0 ? dfd : io_open(dfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	int err = fd < 0 ? fd : raw_read_mark(fd, mark);

	if (err == -EINVAL || err == -ELOOP || err == -ENODATA || (!err && !mark->id))
		err = -ENOENT;
	if (err && fd >= 0)
		close(fd);
	return err ? err : fd;
}

static int has_raw(struct store *s, struct candidate *c, const char *name)
{
	struct raw_mark mark;
	CLEANUP_FD int fd = open_raw(s, c, name, &mark);

	return fd >= 0 ? 1 : fd == -ENOENT ? 0 : fd;
}

/*
 * The raw file of this name has the object's bytes where they should be. All of them: where no record says
 * that the two belong together, one that begins alike may be a new file of the name.
 */
static int match_raw(struct store *s, struct candidate *c, const char *name)
{
	uint64_t end = c->rec.offset + c->rec.raw_bytes;
	struct raw_mark mark;
	CLEANUP_FD int fd = open_raw(s, c, name, &mark);
	uint8_t sha256[SHA256_BYTES];
	struct stat st;
	int err = fd < 0 ? fd : io_fstat(fd, &st);

	if (err)
		return err == -ENOENT ? 0 : err;
	if (manifest_knows(s->manifest, mark.id, c->part) || mark.base > c->rec.offset ||
	    (uint64_t)st.st_size < end)
		return 0;
	err = digest_range(fd, c->rec.offset, c->rec.raw_bytes, sha256);
	if (err)
		return err == -EIO ? 0 : err;
	if (memcmp(sha256, c->rec.raw_sha256, SHA256_BYTES) != 0)
		return 0;
	c->rec.id = mark.id;
	return 1;
}

/*
 * Look at the raw file in either spelling; also under a name that is excluded, where no raw file is
 * sealed: it may have been renamed when its object was on the way. look says 1, 0, or -errno: it cannot
 * be told now.
 */
static int each_spelling(struct store *s, struct candidate *c,
			 int (*look)(struct store *, struct candidate *, const char *))
{
	const char *suffix = store_suffix(s);
	char name[NAME_BYTES + 1];
	int n = snprintf(name, sizeof(name), "%s%s", c->plain, suffix), r = 0;

	if (!name_stem_needs_suffix(c->plain, strlen(c->plain), suffix))
		r = look(s, c, c->plain);
	if (r || n > NAME_BYTES)
		return r;
	r = look(s, c, name);
	if (r > 0)
		snprintf(c->plain, sizeof(c->plain), "%s", name);
	return r;
}

static int find_owner(struct store *s, struct candidate *c)
{
	struct neighbours n = {
	    .stem = c->plain, .suffix = store_suffix(s), .end = c->rec.offset, .part = c->part};
	struct sealed other;
	int r = each_spelling(s, c, match_raw);

	if (r)
		return MIN(r, 0);
	if (c->part > 1)
		manifest_each_in_dir(s->manifest, c->at->dir, find_neighbour, &n);
	/* A record of this part, elsewhere, would be replaced. */
	if (!n.id || manifest_get(s->manifest, n.id, c->part, &other)) {
		size_t len = strlen(c->plain);

		/* Nothing knows its plain name: so it is what gunzip(1) would make of it. */
		if (name_stem_needs_suffix(c->plain, len, n.suffix) ||
		    (c->rec.codec == RECORD_CODEC_IMPORT && c->rec.is_notepack &&
		     len + strlen(n.suffix) <= NAME_PLAIN_BYTES))
			strcat(c->plain, n.suffix);
		return manifest_new_id(s->manifest, &c->rec.id);
	}
	c->rec.id = n.id;
	snprintf(c->plain, sizeof(c->plain), "%s", n.plain);
	return 0;
}

static int record(struct store *s, struct candidate *c)
{
	int err;

	c->rec.mode = (c->st.st_mode & 0777) | 0200;
	c->rec.uid = c->st.st_uid;
	c->rec.gid = c->st.st_gid;
	c->rec.mtime_ns = ns_of_timespec(&c->st.st_mtim);
	c->rec.sealed_at_ns = clock_wall_ns();
	err = manifest_commit(s->manifest, put_candidate, c);
	if (!err) {
		if (!s->adopted)
			log_notice("%s: was sealed and not yet in the manifest; it is now",
				   c->path);
		recovery_event(s, "adopted", c->path);
	}
	/* A part that was removed cannot come back (L19). */
	return err == -EINVAL ? 1 : err;
}

/*
 * Under an excluded name: it is ours only if its file got that name when it was on the way, and then the
 * raw file has its bytes. One that a user has written has a mark. 1, 0, or -errno: it cannot be told now.
 */
static int is_ours(struct store *s, struct candidate *c)
{
	struct seekgz_damage damage;
	struct raw_mark mark;
	int r = raw_read_mark(c->fd, &mark);

	if (r != -ENODATA)
		return r;
	r = each_spelling(s, c, has_raw);
	if (r <= 0)
		return r;
	r = object_verify(c->fd, &c->rec, NULL, NULL, &damage);
	if (r)
		return r == -EBADMSG || r == -EFBIG ? 0 : r;
	return c->rec.part == c->part ? each_spelling(s, c, match_raw) : 0;
}

static int adopt_excluded(struct store *s, struct candidate *c)
{
	int r = is_ours(s, c);

	if (r >= 0 || r == -ENOMEM)
		return r > 0 ? record(s, c) : r;
	log_error("%s: cannot be looked at (%s), and is left as it is", c->path, strerror(-r));
	return 0;
}

/* Check every byte of it, and record it. 1: it is damaged. */
static int adopt(struct store *s, struct candidate *c)
{
	struct seekgz_damage damage;
	int err = object_verify(c->fd, &c->rec, NULL, NULL, &damage);

	if (err == -EBADMSG || err == -EFBIG)
		snprintf(c->reason, sizeof(c->reason), "at offset %llu: %s",
			 (unsigned long long)damage.gz_offset,
			 damage.reason ? damage.reason : "damaged");
	else if (!err && c->rec.part != c->part)
		snprintf(c->reason, sizeof(c->reason),
			 "its header and its name name different parts");
	if (*c->reason) {
		if (!s->adopted)
			log_error("%s: is damaged: %s", c->path, c->reason);
		return 1;
	}
	if (!err)
		err = find_owner(s, c);
	return err ? err : record(s, c);
}

int recovery_quarantine(struct store *s, const struct place *at, const char *path)
{
	CLEANUP_FD int dfd = recovery_open_dir(s, at->dir);
	char name[QUARANTINE_PATH_BYTES];
	int err = dfd < 0 ? dfd : quarantine_move(s->fd, dfd, at->name, name);

	/* The log and the event keep the old name. */
	if (!err) {
		log_error("%s: could not be trusted, and was moved to %s in the store; its raw "
			  "file, if there is one, is kept and sealed again",
			  path, name);
		recovery_event(s, "quarantined", path);
	}
	return err;
}

/* Someone's archive: what is bad in it stays beside the others. */
static int call_invalid(struct store *s, struct candidate *c)
{
	CLEANUP_FD int dfd = recovery_open_dir(s, c->at->dir);
	char name[NAME_BYTES + 1];
	int err = dfd < 0 ? dfd : -EEXIST;

	for (unsigned n = 1; err == -EEXIST; n++) {
		err = name_refused(c->at->name, n, name);
		if (!err)
			err = io_rename_resume(dfd, c->at->name, dfd, name);
	}
	if (!err)
		raw_write_reason(c->fd, c->reason);
	return err;
}

/* A user's file, which had this name in a directory that was excluded, stays one, too. */
static int set_aside(struct store *s, struct candidate *c)
{
	struct raw_mark mark;

	if (s->adopted || raw_read_mark(c->fd, &mark) == 0)
		return call_invalid(s, c);
	return recovery_quarantine(s, c->at, c->path);
}

static int examine(struct store *s, struct differences *diff, struct candidate *c)
{
	/* Under an excluded name it may be a user's own file: then no record looks for it. */
	bool excluded = globs_match_path(&s->exclude, c->path);
	size_t stem;
	int r;

	if (!name_parse_sealed(c->at->name, store_suffix(s), &stem, &c->part) ||
	    !S_ISREG(c->st.st_mode)) {
		if (excluded)
			return 0;
		log_error("%s: is not a sealed object: its name is no part's", c->path);
		snprintf(c->reason, sizeof(c->reason), "its name is no part's");
		return set_aside(s, c);
	}
	snprintf(c->plain, sizeof(c->plain), "%.*s", (int)stem, c->at->name);
	/* A file with the bytes of one that was removed may have got its name since: so a
	 * record that looks for these bytes comes first. */
	r = match_missing(s, diff, c);
	if (!r)
		r = finish_removal(s, c);
	if (r)
		return MIN(r, 0);
	if (!excluded)
		r = recovery_put_off(s, diff, c->at, c->plain, c->part, c->fd);
	if (r)
		return MIN(r, 0);
	r = excluded ? adopt_excluded(s, c) : adopt(s, c);
	return r == 1 ? set_aside(s, c) : r;
}

static int recover_stray(struct store *s, struct differences *diff, const struct place *at)
{
	CLEANUP_FREE char *path = recovery_path(at->dir, at->name);
	CLEANUP_FD int dfd = recovery_open_dir(s, at->dir);
	CLEANUP_FD int fd = dfd < 0 ? dfd : io_open(dfd, at->name, O_RDONLY | O_NOFOLLOW, 0);
	struct candidate c = {.at = at, .path = path, .fd = fd};
	int err = !path ? -ENOMEM : fd < 0 ? fd : io_fstat(fd, &c.st);

	if (err == -EINVAL || err == -ELOOP || err == -ENOENT)
		return 0; /* swapped just now */
	if (!err)
		err = examine(s, diff, &c);
	if (!err && s->adopted) {
		s->adopted_bytes += (uint64_t)c.st.st_size;
		s->adopted(s->adopted_ctx, path, *c.reason ? c.reason : NULL, s->adopted_bytes,
			   s->adopt_total);
	}
	return err;
}

static int by_place(const void *a, const void *b)
{
	const struct place *x = &((const struct stray *)a)->at,
			   *y = &((const struct stray *)b)->at;
	int r = strcmp(x->dir, y->dir);

	/* x.notepack.gz before x.p000000002.notepack.gz: parts in order. */
	return r ? r : strcmp(x->name, y->name);
}

/*
 * An import whose commit seemed to have failed lies where imports do, and the manifest has it after
 * all: into its place with it. 1: it was one.
 */
static int place_import(struct store *s, const struct missing *m)
{
	char from[sizeof(LAYOUT_IMPORT) + 24], to[NAME_BYTES + 1];
	uint8_t sha256[SHA256_BYTES];
	CLEANUP_FD int fd = -1;
	struct stat st;
	int dfd, err;

	if (m->rec.codec != RECORD_CODEC_IMPORT)
		return 0;
	snprintf(from, sizeof(from), LAYOUT_IMPORT "/%llu", (unsigned long long)m->rec.id);
	fd = io_open(s->fd, from, O_RDONLY | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	err = io_fstat(fd, &st);
	if (!err && (uint64_t)st.st_size != m->rec.gz_bytes)
		return 0;
	if (!err)
		err = digest_range(fd, 0, m->rec.gz_bytes, sha256);
	if (!err && memcmp(sha256, m->rec.sha256, SHA256_BYTES) != 0)
		return 0;
	if (!err)
		err = name_sealed(m->at.name, m->rec.part, store_suffix(s), to);
	if (err)
		return err;
	dfd = recovery_open_dir(s, m->at.dir);
	err = dfd < 0 ? dfd : io_rename_noreplace(s->fd, from, dfd, to);
	if (!err)
		err = io_syncdir(dfd, ".");
	if (dfd >= 0)
		close(dfd);
	if (err)
		return err;
	raw_write_path(fd, NULL);
	log_notice(PLACE_FORMAT ": was imported, and is in its place now",
		   PLACE_PATH(m->at.dir, to));
	recovery_event_at(s, "finished its import", m->at.dir, to);
	return 1;
}

/* All of a store's objects may be, and are again at the next such start: events of a million would be all that
 * is left in the log. */
static int settle_missing(struct store *s, const struct differences *diff)
{
	size_t count = 0;

	for (size_t i = 0; i < diff->missing_count; i++) {
		const struct missing *m = &diff->missing[i];
		int placed = m->found ? 1 : place_import(s, m);

		if (placed < 0)
			return placed;
		if (placed || ++count > LOG_FEW)
			continue;
		log_error(PLACE_FORMAT
			  ": part %u is in the manifest, but its object is not in the store",
			  PLACE_PATH(m->at.dir, m->at.name), (unsigned)m->rec.part);
		recovery_event_at(s, "missing", m->at.dir, m->at.name);
	}
	if (count > LOG_FEW)
		log_error(
		    "%zu more parts are in the manifest, but their objects are not in the "
		    "store; notepackctl check lists all",
		    count - LOG_FEW);
	return 0;
}

int recovery_objects(struct store *s, struct differences *diff)
{
	int err = 0;

	if (diff->stray_count)
		qsort(diff->strays, diff->stray_count, sizeof(*diff->strays), by_place);
	for (size_t i = 0; s->adopted && i < diff->stray_count; i++)
		s->adopt_total += diff->strays[i].bytes;
	for (size_t i = 0; i < diff->stray_count && !err; i++)
		err = recover_stray(s, diff, &diff->strays[i].at);
	return err ? err : settle_missing(s, diff);
}
