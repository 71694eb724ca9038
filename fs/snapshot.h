/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * snapshot: the content of a control file as it was when the file was opened.
 */
#ifndef NOTEPACKFS_FS_SNAPSHOT_H
#define NOTEPACKFS_FS_SNAPSHOT_H

#include "lib/buf.h"
#include "lib/store.h"

struct snapshot {
	int fd; /* an unlinked file, or -1: text has it */
	struct buf text;
	uint64_t size;
};

void snapshot_init(struct snapshot *s);
void snapshot_release(struct snapshot *s);

typedef int snapshot_source(struct store *s, store_writer *write, void *ctx);

/* Both: 0 or -errno; what was begun is for snapshot_release. */
int snapshot_generate(struct store *store, snapshot_source *source, struct snapshot *out);
int snapshot_status(struct store *store, bool names, struct snapshot *out);

/* Bytes read; fewer than size only at the end. */
ssize_t snapshot_read(const struct snapshot *s, void *buf, size_t size, uint64_t offset);

#endif
