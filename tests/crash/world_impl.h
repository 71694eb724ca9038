/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the world share.
 */
#ifndef NOTEPACKFS_TESTS_WORLD_IMPL_H
#define NOTEPACKFS_TESTS_WORLD_IMPL_H

#include "tests/crash/world.h"

/* Counted, if it is an error. */
void world_failed(struct world *w, int err);

/* A name is busy (STORE_BUSY): 0, when it may be tried again; or -EINTR. */
int world_wait_idle(struct world *w, struct store *s, struct node *busy);

/* The node at a path from the root, referenced. */
int world_lookup(struct store *s, const char *path, struct node **out);

/* len plain bytes of a key as a gzip file, into out; its length. */
size_t world_pack(uint64_t key, size_t len, char *out, size_t size);

/* The names that it may have, the likeliest first; their count. */
#define WORLD_NAMES (WORLD_PAST + 2)
unsigned world_names(const struct promise *p, enum world_end how,
		     const char *names[WORLD_NAMES]);
/* Where its content may begin; their count. */
#define WORLD_BASES 3
unsigned world_bases(const struct promise *p, enum world_end how, uint64_t bases[WORLD_BASES]);
/* Is its name used for another file, before or after? */
bool world_shares_name(const struct world *w, const struct promise *p);
/* Was it refused, with all its bytes, as it may be (world.may_refuse)? */
bool world_is_refused_import(struct world *w, const struct promise *p);

#endif
