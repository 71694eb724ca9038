/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The records are copied first, since the manifest's lock is no place for work, and made into files then,
 * some at a time, since the store's lock is what everyone waits for.
 */
#include "lib/load_records.h"

#include "lib/catalog.h"
#include "lib/log.h"

#define RECORDS_AT_ONCE 1000

static const char *const odd_texts[ODDS] = {
    [ODD_PART] = "has the name of a part: it is not sealed; rename it",
    [ODD_RAW] = "is a raw file whose name belongs to a sealed file; it is not shown",
    [ODD_UNRECORDED] = "lies in the store, but the manifest does not name it; it is not shown",
    [ODD_KIND] = "is neither file, directory nor link; it is not shown",
    [ODD_MISSING] = "is in the manifest, but not in the store as it should be",
};

void load_records_odd(struct store *s, const char *name, enum odd odd)
{
	/* The others notepackctl check does not list. */
	bool may_be_many = odd == ODD_UNRECORDED || odd == ODD_MISSING;

	if (!may_be_many || log_is_few(&s->odd_lines[odd], odd_texts[odd]))
		log_warning("%s: %s; see notepackctl check", name, odd_texts[odd]);
}

/* What a directory needs of a record; its plain name follows, and what makes the next one aligned. */
struct copied {
	uint64_t id, offset, raw_bytes, gz_bytes;
	int64_t mtime_ns;
	uint32_t part, crc32, mode, uid, gid;
	uint32_t codec;
	char plain[];
};

static size_t copied_bytes(size_t name_len)
{
	return (sizeof(struct copied) + name_len + 1 + 7) / 8 * 8;
}

/* Append to a buffer of struct copied. */
static int copy_record(void *ctx, const struct sealed *rec, const char *dir, const char *plain)
{
	static const char zeroes[8];
	struct buf *copies = ctx;
	size_t len = strlen(plain);
	struct copied c = {
	    .id = rec->id,
	    .offset = rec->offset,
	    .raw_bytes = rec->raw_bytes,
	    .gz_bytes = rec->gz_bytes,
	    .mtime_ns = rec->mtime_ns,
	    .part = rec->part,
	    .crc32 = rec->crc32,
	    .mode = rec->mode,
	    .uid = rec->uid,
	    .gid = rec->gid,
	    .codec = rec->codec,
	};

	buf_add(copies, &c, sizeof(c));
	buf_add(copies, plain, len);
	buf_add(copies, zeroes, copied_bytes(len) - sizeof(c) - len);
	return copies->failed ? -ENOMEM : 0;
}

/* The file of a record, made and named if it is the first. NULL: no memory, or its stem is
 * taken. */
static struct file *file_of_record_locked(struct store *s, struct dir *d,
					  const struct copied *c) REQUIRES(s->lock)
{
	struct file *f = catalog_find_stem_locked(s, d, c->plain);

	if (f)
		return f;
	f = catalog_new_file(c->id);
	if (!f)
		return NULL;
	/* No entry yet: the parts get theirs when all are there. */
	if (catalog_link_locked(s, d, &f->n, c->plain) != 0) {
		node_unref_locked(s, &f->n, 1);
		return NULL;
	}
	node_unref_locked(s, &f->n, 1);
	return f;
}

static int add_record_locked(struct store *s, struct dir *d, const struct copied *c)
    REQUIRES(s->lock)
{
	struct file *f = file_of_record_locked(s, d, c);
	uint64_t end = c->offset + c->raw_bytes;
	struct sealed rec = {.part = c->part,
			     .offset = c->offset,
			     .raw_bytes = c->raw_bytes,
			     .gz_bytes = c->gz_bytes,
			     .crc32 = c->crc32,
			     .codec = (uint8_t)c->codec};

	if (!f)
		return -ENOMEM;
	if (f->id != c->id) { /* the others in the directory must not suffer */
		log_error("%s: two files of this name are in the manifest; only one is shown",
			  c->plain);
		return 0;
	}
	if (catalog_add_part_locked(s, f, &rec) != 0)
		return -ENOMEM;
	if (end >= f->sealed_end) {
		f->size = f->sealed_end = f->cut_end = end;
		f->attrs = (struct attrs){
		    .mode = c->mode, .uid = c->uid, .gid = c->gid, .mtime_ns = c->mtime_ns};
	}
	f->base = f->parts[0].offset;
	return 0;
}

/* Let others have the lock, now and then: a directory can have a million records. No one else touches
 * one that is being loaded. */
static void give_way_locked(struct store *s, size_t done) REQUIRES(s->lock)
{
	if (done % RECORDS_AT_ONCE)
		return;
	lock_drop(&s->lock);
	lock_take(&s->lock);
}

static int add_records(struct store *s, struct dir *d, const struct buf *copies)
{
	size_t done = 0;
	int err = 0;

	lock_take(&s->lock);
	for (size_t at = 0; at < copies->len && !err;) {
		const struct copied *c = (const void *)(copies->data + at);

		err = add_record_locked(s, d, c);
		at += copied_bytes(strlen(c->plain));
		give_way_locked(s, ++done);
	}
	for (struct node *n = d->files; n && !err; n = n->hh.next) {
		err = catalog_list_locked(s, to_file(n));
		give_way_locked(s, ++done);
	}
	lock_drop(&s->lock);
	return err;
}

int load_records(struct store *s, struct dir *d)
{
	CLEANUP_BUF struct buf path = {0}, copies = {0};
	int err;

	buf_str(&path, "");
	lock_take(&s->lock);
	catalog_path_locked(s, &d->n, 0, &path);
	lock_drop(&s->lock);
	err = path.failed ? -ENOMEM
			  : manifest_each_in_dir(s->manifest, path.data, copy_record, &copies);
	return err ? err : add_records(s, d, &copies);
}

void load_records_missing(struct store *s, struct dir *d)
{
	struct node *n, *next;

	lock_take(&s->lock);
	HASH_ITER (hh, d->files, n, next) {
		struct file *f = to_file(n);

		for (uint32_t i = 0; i < f->part_count; i++) {
			char name[NAME_BYTES + 1];

			if (f->parts[i].seen || name_sealed(n->name, f->parts[i].number,
							    store_suffix(s), name) != 0)
				continue;
			load_records_odd(s, name, ODD_MISSING);
		}
	}
	lock_drop(&s->lock);
}
