/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the world share.
 */
#ifndef NOTEPACKFS_TESTS_WORLD_IMPL_H
#define NOTEPACKFS_TESTS_WORLD_IMPL_H

#include "tests/crash/world.h"

/* The node at a path from the root, referenced. */
int world_lookup(struct store *s, const char *path, struct node **out);

/* The name it may have instead, or NULL. */
const char *world_other_name(const struct promise *p, enum world_end how);
/* Is its name used for another file, before or after? */
bool world_shares_name(const struct world *w, const struct promise *p);
/* Was it refused, with all its bytes, as it may be (world.may_refuse)? */
bool world_is_refused_import(struct world *w, const struct promise *p);

#endif
