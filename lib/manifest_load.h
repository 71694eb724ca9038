/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * manifest_load: what the two files that load a manifest share. One thread has it; a refusal
 * goes into error, with file and line.
 */
#ifndef NOTEPACKFS_LIB_MANIFEST_LOAD_H
#define NOTEPACKFS_LIB_MANIFEST_LOAD_H

#include "lib/manifest_impl.h"

struct load {
	struct manifest *m;
	struct manifest_error *error;
	const struct header *header;
	char file[64];
	uint64_t line; /* of file, from 1 */
	uint64_t last_seq;
	uint64_t highest_id; /* of a record: there is none above */
	struct dir *last;    /* the memory's; NULL, or that of the last record */
};

/* The content is wrong: -EBADMSG. */
int manifest_load_damaged(const struct load *l, const char *reason);
/* An error that says nothing about the content: err. */
int manifest_load_failed(const struct load *l, int err);

/* manifest_replay.c: apply one line. */
int manifest_load_replay(struct load *l, const struct record *r);
/* The same for a sealed record: of its node, which is used or freed, and its directory's path. */
int manifest_load_replay_node(struct load *l, struct node *n, const char *dir);

#endif
