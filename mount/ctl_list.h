/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ctl_list: one directory of a mount or a store, file by file.
 *
 *	list_record for each record of the directory → list_directory → list_sort
 *
 * Memory that cannot be had ends the process (ctl_alloc).
 */
#ifndef NOTEPACKFS_MOUNT_CTL_LIST_H
#define NOTEPACKFS_MOUNT_CTL_LIST_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/name.h"
#include "lib/record.h"
#include "mount/ctl_hash.h"

enum entry_other { ENTRY_FILE = 0, ENTRY_DIR, ENTRY_LINK, ENTRY_SPECIAL };

struct entry {
	enum entry_other other; /* what it is, if no file */
	uint32_t parts;		/* sealed ones */
	uint32_t last_recorded; /* the highest part that a record tells of; 0 */
	uint64_t sealed_bytes;	/* plain bytes in them */
	uint64_t sealed_end;	/* where the last ends in the file */
	uint64_t raw_bytes;	/* of the whole file, plain */
	uint64_t gz_bytes;	/* of the parts */
	int64_t mtime_ns;
	bool active;   /* it has bytes that are not sealed, or no part */
	bool excluded; /* never sealed under this name */
	bool invalid;  /* an import that was refused */
	UT_hash_handle hh;
	char name[]; /* plain */
};

struct list {
	const char *suffix;
	struct globs exclude;
	struct entry *entries; /* in uthash's order: walk with hh.next */
};

/* The exclusion globs; the last call counts. */
void list_exclude(struct list *l, const char *globs);

void list_record(struct list *l, const struct sealed *s, const char *plain);

/* Add what the directory holds and the records do not tell. at_root: the private directory is
 * left out. CTL_DONE, or CTL_FAILED with a line printed. */
int list_directory(struct list *l, const char *dir, bool at_root);

/* Keep only the entry of this plain or sealed name. */
void list_keep_only(struct list *l, const char *name);

void list_sort(struct list *l);
void list_release(struct list *l);

/* "sealed", "active", "excluded", "dir", "link", "special" */
const char *entry_state(const struct entry *e);

#endif
