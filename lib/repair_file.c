/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files. The parts of one stem in one directory are one file: one plain name, one id. Where what
 * is left does not agree on an id, the stem that has the better claim to it keeps it: by a
 * verified record, by a doubtful one, by the mark of a raw file, and then by the first part; the
 * other gets a new one. A doubtful record's id that a raw file contradicts, whose bytes are the
 * part's, is not believed.
 */
#include "lib/repair_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/digest.h"
#include "lib/io.h"
#include "lib/recovery_impl.h"

enum claim { CLAIM_VERIFIED, CLAIM_DOUBTFUL, CLAIM_MARK, CLAIM_NONE };

/* The parts of one stem: of objects[first] up to, not with, objects[end] those that get a record;
 * the first does. */
struct parts {
	UT_hash_handle hh; /* by id, once it has one */
	uint64_t id;
	size_t first, end;
	enum claim claim;
	const struct repair_raw *raw; /* beside them, and theirs */
};

struct files {
	struct repair *r;
	struct parts *list;
	size_t count, size;
	struct parts *by_id;
	uint64_t left_out;
};

/* ---- whose they are ---- */

/* Has the raw file the bytes of the part, where it should? */
static bool raw_holds(struct repair *r, const struct repair_raw *raw, const struct sealed *rec)
{
	CLEANUP_FD int fd = repair_open(r, raw->dir, raw->name);
	uint8_t sha256[SHA256_BYTES];

	return fd >= 0 && raw->bytes >= rec->offset + rec->raw_bytes &&
	       digest_range(fd, rec->offset, rec->raw_bytes, sha256) == 0 &&
	       memcmp(sha256, rec->raw_sha256, SHA256_BYTES) == 0;
}

/* Is this raw file of theirs? By its mark, if they have that id, or another that is sure; else by
 * its bytes, or, where it has none of them any more, by where it goes on. */
static bool is_theirs(struct repair *r, const struct parts *p, const struct repair_raw *raw)
{
	const struct sealed *rec = NULL;

	if (!raw || !raw->mark.id)
		return false;
	if (p->claim == CLAIM_VERIFIED || raw->mark.id == p->id)
		return raw->mark.id == p->id;
	for (size_t i = p->first; i < p->end; i++) {
		if (r->objects[i].fate != REPAIR_RECORD)
			continue;
		rec = &r->objects[i].rec;
		if (rec->offset >= raw->mark.base)
			return raw_holds(r, raw, rec);
	}
	return rec && rec->offset + rec->raw_bytes == raw->mark.base;
}

static void find_raw(struct repair *r, struct parts *p)
{
	const struct repair_object *o = &r->objects[p->first];
	char name[NAME_BYTES + 1];
	const struct repair_raw *raw;

	for (int spelled = 0; spelled < 2 && !p->raw; spelled++) {
		snprintf(name, sizeof(name), "%.*s%s", (int)o->stem, o->name,
			 spelled ? r->suffix : "");
		raw = repair_find_raw(r, o->dir, name);
		if (is_theirs(r, p, raw))
			p->raw = raw;
	}
	if (p->raw && p->id != p->raw->mark.id) {
		p->id = p->raw->mark.id;
		p->claim = CLAIM_MARK;
	}
}

static void find_claim(struct repair *r, struct parts *p)
{
	p->claim = CLAIM_NONE;
	for (size_t i = p->first; i < p->end; i++) {
		const struct manifest_old *old = r->objects[i].old;
		enum claim claim = old && old->doubtful ? CLAIM_DOUBTFUL : CLAIM_VERIFIED;

		if (!old || claim >= p->claim)
			continue;
		p->claim = claim;
		p->id = old->sealed.id;
	}
	find_raw(r, p);
}

static bool same_file(const struct repair_object *a, const struct repair_object *b)
{
	return strcmp(a->dir, b->dir) == 0 && a->stem == b->stem &&
	       memcmp(a->name, b->name, a->stem) == 0;
}

static int add_parts(struct files *f, size_t first)
{
	struct repair *r = f->r;
	struct parts p = {.first = first, .end = first + 1};
	int err = repair_grow((void **)&f->list, f->count, &f->size, sizeof(*f->list));

	if (err)
		return err;
	while (p.end < r->count && same_file(&r->objects[p.end], &r->objects[first]))
		p.end++;
	find_claim(r, &p);
	f->list[f->count++] = p;
	return 0;
}

static int list_parts(struct files *f)
{
	struct repair *r = f->r;
	int err = 0;

	for (size_t i = 0; i < r->count && !err;) {
		if (r->objects[i].fate != REPAIR_RECORD) {
			i++;
			continue;
		}
		err = add_parts(f, i);
		if (!err)
			i = f->list[f->count - 1].end;
	}
	return err;
}

static struct parts *find_id(const struct files *f, uint64_t id)
{
	struct parts *p;

	HASH_FIND(hh, f->by_id, &id, sizeof(id), p);
	return p;
}

/* Was one of them removed under this id, before it came back by hand or by damage? */
static bool has_removed(const struct repair *r, const struct parts *p)
{
	for (size_t i = p->first; i < p->end; i++) {
		const struct repair_object *o = &r->objects[i];

		if (o->fate == REPAIR_RECORD && o->old &&
		    manifest_salvage_was_removed(&r->salvage, p->id, o->part))
			return true;
	}
	return false;
}

/* Those with this claim; of two that have the same, the one with the first part goes before. */
static int give_ids_by(struct files *f, enum claim claim, bool first_parts)
{
	for (size_t i = 0; i < f->count; i++) {
		struct parts *p = &f->list[i];

		if (p->claim != claim || (f->r->objects[p->first].part == 1) != first_parts)
			continue;
		if (claim == CLAIM_NONE) {
			p->id = f->r->next_id++;
		} else if (find_id(f, p->id) || has_removed(f->r, p)) {
			p->claim = CLAIM_NONE;
			continue;
		}
		HASH_ADD(hh, f->by_id, id, sizeof(p->id), p);
		if (!p->hh.tbl)
			return -ENOMEM;
	}
	return 0;
}

static int give_ids(struct files *f)
{
	int err = 0;

	for (enum claim claim = CLAIM_VERIFIED; claim <= CLAIM_NONE && !err; claim++) {
		err = give_ids_by(f, claim, true);
		if (!err)
			err = give_ids_by(f, claim, false);
	}
	return err;
}

/* ---- plain names ---- */

static bool is_spelled_out(const struct repair *r, const char *plain)
{
	return strlen(plain) > name_stem_len(plain, r->suffix);
}

/* Does the plain name have the suffix? As the writer had it; or else by the content. */
static bool wants_suffix(const struct repair *r, const struct parts *p)
{
	const struct repair_object *first = &r->objects[p->first];

	if (name_stem_needs_suffix(first->name, first->stem, r->suffix))
		return true;
	if (first->stem + strlen(r->suffix) > NAME_PLAIN_BYTES)
		return false;
	if (p->raw)
		return is_spelled_out(r, p->raw->name);
	for (size_t i = p->first; i < p->end; i++) {
		if (r->objects[i].old)
			return is_spelled_out(r, r->objects[i].old->plain);
	}
	return first->rec.is_notepack;
}

static int name_parts(struct repair *r, const struct parts *p)
{
	struct repair_object *first = &r->objects[p->first];

	if (asprintf(&first->plain, "%.*s%s", (int)first->stem, first->name,
		     wants_suffix(r, p) ? r->suffix : "") < 0) {
		first->plain = NULL;
		return -ENOMEM;
	}
	return 0;
}

/* ---- each part ---- */

static void put_away(struct repair *r, struct repair_object *o, const char *reason)
{
	o->fate = REPAIR_QUARANTINE;
	r->counts->anew--;
	repair_say(r, REPAIR_DAMAGE, o->dir, o->name, "%s", reason);
}

/* A record that says something new gets a new seq: seq 0, for now. */
static void settle_part(struct repair *r, const struct parts *p, struct repair_object *o,
			const char *plain, uint64_t *end)
{
	const struct manifest_old *old = o->old;

	o->rec.id = p->id;
	if (!old && manifest_salvage_was_removed(&r->salvage, p->id, o->part))
		put_away(r, o, "is a part that was removed, and cannot come back");
	else if (!old && o->rec.offset < *end)
		put_away(r, o, "has bytes that the part before it has, too");
	if (o->fate != REPAIR_RECORD)
		return;
	*end = o->rec.offset + o->rec.raw_bytes;
	if (!old || old->sealed.id != p->id || strcmp(old->dir, o->dir) != 0 ||
	    strcmp(old->plain, plain) != 0)
		o->rec.seq = 0;
	if (old && strcmp(old->dir, o->dir) == 0 && strcmp(old->plain, plain) == 0)
		return;
	if (old)
		repair_say(r, REPAIR_NOTE, o->dir, o->name, "had the name %s%s%s in its record",
			   old->dir, *old->dir ? "/" : "", old->plain);
}

static int settle(struct repair *r, const struct parts *p)
{
	const char *plain;
	uint64_t end = 0;
	int err = name_parts(r, p);

	if (err)
		return err;
	plain = r->objects[p->first].plain;
	for (size_t i = p->first; i < p->end; i++) {
		if (r->objects[i].fate == REPAIR_RECORD)
			settle_part(r, p, &r->objects[i], plain, &end);
	}
	return 0;
}

/* ---- records without an object ---- */

static const struct repair_object *find_stem(const struct repair *r,
					     const struct manifest_old *old, uint32_t part)
{
	struct repair_object key = {.dir = old->dir,
				    .name = (char *)old->plain,
				    .stem = name_stem_len(old->plain, r->suffix),
				    .part = part};

	if (!r->count)
		return NULL;
	return bsearch(&key, r->objects, r->count, sizeof(*r->objects), repair_by_file);
}

/* Is its name another file's by now? */
static bool name_is_taken(const struct files *f, const struct manifest_old *old)
{
	for (size_t i = 0; i < f->count; i++) {
		const struct repair_object *o = &f->r->objects[f->list[i].first];

		if (f->list[i].id != old->sealed.id && strcmp(o->dir, old->dir) == 0 &&
		    o->stem == name_stem_len(old->plain, f->r->suffix) &&
		    memcmp(o->name, old->plain, o->stem) == 0)
			return true;
	}
	return false;
}

/* It goes with the parts of its file that are there. */
static void judge_missing(struct files *f, struct manifest_old *old)
{
	struct repair *r = f->r;
	const struct parts *p = find_id(f, old->sealed.id);
	const struct repair_object *there = find_stem(r, old, old->sealed.part);

	if (old->doubtful || old->stale || (there && there->fate == REPAIR_LEAVE) ||
	    (!p && name_is_taken(f, old))) {
		f->left_out++;
		old->removed = true; /* it is not saved */
		old->doubtful = true;
		return;
	}
	if (p && strcmp(r->objects[p->first].dir, old->dir) != 0)
		old->sealed.seq = 0;
	if (p) {
		old->dir = r->objects[p->first].dir;
		if (strcmp(old->plain, r->objects[p->first].plain) != 0)
			old->sealed.seq = 0;
		old->plain = r->objects[p->first].plain;
	}
	r->counts->missing++;
	repair_say(r, REPAIR_DAMAGE, old->dir, old->plain,
		   "part %u is in the manifest, but its object is not in the store",
		   (unsigned)old->sealed.part);
}

int repair_files(struct repair *r)
{
	struct files f = {.r = r};
	int err = list_parts(&f);

	if (!err)
		err = give_ids(&f);
	for (size_t i = 0; i < f.count && !err; i++)
		err = settle(r, &f.list[i]);
	for (size_t i = 0; i < r->salvage.count && !err; i++) {
		struct manifest_old *old = &r->salvage.records[i];

		if (!old->taken && !old->removed)
			judge_missing(&f, old);
	}
	if (f.left_out)
		repair_say(
		    r, REPAIR_NOTE, "", NAME_PRIVATE "/manifest",
		    "%llu records without an object are left out: what removed them may be "
		    "lost",
		    (unsigned long long)f.left_out);
	HASH_CLEAR(hh, f.by_id);
	free(f.list);
	return err;
}
