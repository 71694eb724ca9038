/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The facts come from memory: what a file's state is, and what the manifest says of its parts.
 * A name without a value for this file is absent, as on any file system.
 */
#include <stdio.h>

#include "lib/catalog.h"
#include "lib/damage.h"
#include "lib/pass.h"
#include "lib/segment.h"

/* In the order in which listxattr gives them. */
enum fact { STATE, SHA256, RAW_SHA256, RAW_SIZE, RECORDS, ERROR, FACTS };

static const char *const names[FACTS] = {
    [STATE] = STORE_XATTR_PREFIX "state",	    [SHA256] = STORE_XATTR_PREFIX "sha256",
    [RAW_SHA256] = STORE_XATTR_PREFIX "raw_sha256", [RAW_SIZE] = STORE_XATTR_PREFIX "raw_size",
    [RECORDS] = STORE_XATTR_PREFIX "records",	    [ERROR] = STORE_XATTR_PREFIX "error",
};

/* What is known of a node. */
struct facts {
	const char *state;
	uint64_t raw_bytes;
	bool one_part; /* sealed, and rec says all of it */
	struct sealed rec;
	bool is_notepack;
	uint64_t records;
	char error[160];
};

static const char *state_locked(const struct file *f)
{
	if (f->import)
		return "importing";
	if (f->in_imports)
		return "invalid";
	if (f->size > f->cut_end || f->part_count + (f->segments != NULL) == 0)
		return "active";
	return f->segments ? "sealing" : f->living ? "active" : "sealed";
}

/* Notepack records can be counted if every byte is in a part that is notepack. It looks at every
 * part, under the lock. */
static void count_records_locked(struct store *s, struct file *f, struct facts *out)
    REQUIRES(s->lock)
{
	out->is_notepack = f->part_count > 0 && !file_unsealed(f);
	for (uint32_t i = 0; i < f->part_count && out->is_notepack; i++) {
		out->is_notepack =
		    manifest_get(s->manifest, f->id, f->parts[i].number, &out->rec) &&
		    out->rec.is_notepack;
		out->records += out->rec.records;
	}
}

static void say_damage(struct facts *out, const struct damage *d)
{
	if (d)
		snprintf(out->error, sizeof(out->error),
			 "part %u is damaged at offset %llu: %s", (unsigned)d->part,
			 (unsigned long long)d->offset, d->reason);
}

static void facts_of_file_locked(struct store *s, struct file *f, bool count, struct facts *out)
    REQUIRES(s->lock)
{
	out->state = state_locked(f);
	out->raw_bytes = f->size - f->base;
	if (count)
		count_records_locked(s, f, out);
	out->one_part = f->part_count == 1 && !file_unsealed(f) &&
			manifest_get(s->manifest, f->id, f->parts[0].number, &out->rec);
	if (f->reason)
		snprintf(out->error, sizeof(out->error), "%s", f->reason);
	else if (f->segments)
		snprintf(out->error, sizeof(out->error), "%s", f->segments->error);
	else if (f->error)
		snprintf(out->error, sizeof(out->error), "fsync: %s", strerror(-f->error));
	else
		say_damage(out, damage_find_locked(s, f->id, 0));
}

/* count: the records, too. */
static int facts_of(struct store *s, struct node *n, bool count, struct facts *out)
{
	struct object *o = (struct object *)n;
	int err = 0;

	memset(out, 0, sizeof(*out));
	if (n->kind == NODE_FILE)
		pass_learn(s, to_file(n));
	lock_take(&s->lock);
	if (n->kind == NODE_FILE) {
		facts_of_file_locked(s, to_file(n), count, out);
	} else if (n->kind != NODE_OBJECT) {
		err = -ENODATA;
	} else if (manifest_get(s->manifest, o->file->id, o->number, &out->rec)) {
		out->state = "sealed";
		out->one_part = true;
		out->raw_bytes = out->rec.raw_bytes;
		out->is_notepack = out->rec.is_notepack;
		out->records = out->rec.records;
		say_damage(out, damage_find_locked(s, o->file->id, o->number));
	} else { /* it was removed, and someone has it open */
		err = -ENODATA;
	}
	lock_drop(&s->lock);
	return err;
}

/* The value as text; false if the node has none. */
static bool value_of(const struct facts *f, enum fact fact, char *out, size_t size)
{
	bool has = true;

	switch (fact) {
	case STATE:
		snprintf(out, size, "%s", f->state);
		break;
	case SHA256:
	case RAW_SHA256:
		has = f->one_part;
		if (has)
			hex_encode(fact == SHA256 ? f->rec.sha256 : f->rec.raw_sha256,
				   SHA256_BYTES, out);
		break;
	case RAW_SIZE:
		snprintf(out, size, "%llu", (unsigned long long)f->raw_bytes);
		break;
	case RECORDS:
		has = f->is_notepack;
		snprintf(out, size, "%llu", (unsigned long long)f->records);
		break;
	default:
		has = *f->error;
		snprintf(out, size, "%s", f->error);
	}
	return has;
}

ssize_t store_getxattr(struct store *s, struct node *n, const char *name, char *out)
{
	struct facts facts;
	int fact = 0, err;

	while (fact < FACTS && strcmp(name, names[fact]) != 0)
		fact++;
	if (fact == FACTS)
		return -ENODATA;
	err = facts_of(s, n, fact == RECORDS, &facts);
	if (err)
		return err;
	if (!value_of(&facts, fact, out, STORE_XATTR_BYTES))
		return -ENODATA;
	return (ssize_t)strlen(out);
}

ssize_t store_listxattr(struct store *s, struct node *n, char *out)
{
	char value[STORE_XATTR_BYTES];
	struct facts facts;
	size_t used = 0;

	if (facts_of(s, n, true, &facts) != 0)
		return 0;
	for (int fact = 0; fact < FACTS; fact++) {
		if (!value_of(&facts, fact, value, sizeof(value)))
			continue;
		memcpy(out + used, names[fact], strlen(names[fact]) + 1);
		used += strlen(names[fact]) + 1;
	}
	return (ssize_t)used;
}
