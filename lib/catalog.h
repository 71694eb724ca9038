/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * catalog: the namespace in memory: nodes, names, listings.
 *
 * Functions that end in _locked are entered with store.lock held and do memory work only.
 * Memory: a directory that was looked into stays in memory with all its names (about 500 bytes
 * a file); one that was not costs nothing.
 */
#ifndef NOTEPACKFS_LIB_CATALOG_H
#define NOTEPACKFS_LIB_CATALOG_H

#include "lib/core.h"
#include "lib/state.h"

/* New, unlinked nodes with one reference; NULL when there is no memory. */
struct file *catalog_new_file(uint64_t id);
struct dir *catalog_new_dir(uint64_t ino);
struct link *catalog_new_link(uint64_t ino);

void node_ref_locked(struct node *n);
void node_unref_locked(struct store *s, struct node *n, uint64_t count) REQUIRES(s->lock);

/* Give a node a name in a directory, and take it away again. link: 0 or -ENOMEM. */
int catalog_link_locked(struct store *s, struct dir *d, struct node *n, const char *name)
    REQUIRES(s->lock);
/* Another spelling of the same stem (x, x.notepack), in place. 0 or -ENOMEM. */
int catalog_respell_locked(struct store *s, struct node *n, const char *name) REQUIRES(s->lock);
void catalog_unlink_locked(struct store *s, struct node *n) REQUIRES(s->lock);
/* heir, which has no name, takes the name of f and the entries of the parts that it has, too. */
void catalog_replace_locked(struct store *s, struct file *f, struct file *heir)
    REQUIRES(s->lock);

/* What a name means. Exact directories and links win, then objects, then plain names. */
struct found {
	struct node *node; /* directory, link or file; NULL: nothing */
	uint32_t part;	   /* > 0: this part of the file */
};
void catalog_find_locked(struct store *s, struct dir *d, const char *name, struct found *out)
    REQUIRES(s->lock);
/* The file whose stem this plain name has, in whatever spelling. */
struct file *catalog_find_stem_locked(struct store *s, struct dir *d, const char *plain)
    REQUIRES(s->lock);

/* The file that cannot be beside one of this name, because their sealed names would meet: of
 * the same stem, or an import of it. NULL: none. */
struct file *catalog_find_rival_locked(struct store *s, struct dir *d, const char *name,
				       bool import) REQUIRES(s->lock);

/* Index of a part by number or by offset; -1. */
int part_by_number(const struct file *f, uint32_t number);
int part_by_offset(const struct file *f, uint64_t offset);

/* The node of a part, referenced; NULL when there is no memory. */
struct object *catalog_object_locked(struct store *s, struct file *f, uint32_t number)
    REQUIRES(s->lock);

/* A new part behind the others (entry: see listing), or one taken out. */
int catalog_add_part_locked(struct store *s, struct file *f, const struct sealed *rec)
    REQUIRES(s->lock);
void catalog_drop_part_locked(struct store *s, struct file *f, uint32_t number)
    REQUIRES(s->lock);

/* Make the listing agree with the state. The first call after the last bytes of a file were
 * sealed hands the plain name's cookie to the newest part: that is the flip. 0 or -ENOMEM. */
int catalog_list_locked(struct store *s, struct file *f) REQUIRES(s->lock);
/* Does someone from before our start have the raw file open for writing, as was just seen? */
void catalog_living_locked(struct store *s, struct file *f, bool seen) REQUIRES(s->lock);
static inline bool file_unsealed(const struct file *f)
{
	return f->size > f->sealed_end || f->part_count == 0;
}
/* Is the plain name listed? */
static inline bool file_is_active(const struct file *f)
{
	return file_unsealed(f) || f->living;
}

/* Entries by themselves: a new one, -ENOMEM, and its cookie; and taking one out. */
int catalog_slot_add(struct dir *d, struct node *n, uint32_t part, uint64_t *cookie);
void catalog_slot_remove(struct dir *d, uint64_t *cookie);

/* The entries of f and of those of its parts that heir has are heir's; the others go. */
void catalog_hand_over_locked(struct dir *d, struct file *f, struct file *heir);

/* The name of a slot: into out (NAME_BYTES + 1); false if the slot is gone, or an import's that is
 * not listed (lib/import.h). */
bool catalog_slot_name_locked(struct store *s, const struct slot *slot, char *out)
    REQUIRES(s->lock);
/* Index of the first slot whose cookie is greater. */
size_t catalog_slot_behind(const struct dir *d, uint64_t cookie);

/* Path from the root, "" for the root, of a linked node; appended to buf. part > 0: the sealed
 * name. */
void catalog_path_locked(struct store *s, const struct node *n, uint32_t part, struct buf *out)
    REQUIRES(s->lock);
/* Is the name or one of the directories above excluded from sealing? */
bool catalog_excluded_locked(struct store *s, const struct dir *d, const char *name)
    REQUIRES(s->lock);

/* Is a file of this name an import? */
bool catalog_is_import_locked(struct store *s, const struct dir *d, const char *name)
    REQUIRES(s->lock);

/* The invariants of core.h; aborts. For tests, and after recovery. */
void file_check(const struct file *f);

#endif
