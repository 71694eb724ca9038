/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rename_impl: what rename.c (what is asked for, the states, the memory) and rename_move.c (the
 * store and the manifest) share.
 */
#ifndef NOTEPACKFS_LIB_RENAME_IMPL_H
#define NOTEPACKFS_LIB_RENAME_IMPL_H

#include "lib/core.h"

struct rename {
	struct store *s;
	struct caller *c;
	struct dir *from_dir, *to_dir;
	char from[NAME_BYTES + 1], to[NAME_BYTES + 1]; /* plain names */
	unsigned flags;
	struct node *src, *dst; /* taken (busy, referenced); dst may be NULL */
	bool tree;		/* taken */
	struct buf from_path, to_path;
	uint64_t intent;
	const char *refusal; /* why, and what helps: a constant */
	bool from_import, to_import;
	bool stuck;		 /* it failed half-way, and there was no way back */
	bool arm;		 /* it was excluded: what is dirty beneath may be sealed now */
	bool src_left, dst_left; /* an import beneath is to be noted yet */
};

static inline bool has_sealed_bytes(const struct node *n)
{
	const struct file *f = (const struct file *)n;

	return n->kind == NODE_FILE && (f->part_count || f->segments || f->cut_end);
}

/* Carry it out in the store and the manifest; everything is taken, and the paths are known. */
int rename_move(struct rename *r);

#endif
