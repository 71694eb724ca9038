/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * import_impl: what the files of import share.
 *
 *	import.c	when an import is looked at, and who may open it meanwhile
 *	import_trial.c	the verdict, and what follows from it
 *	import_twin.c	a refused one whose bytes are there already
 *	import_place.c	where imports belong
 *	import_load.c	those that are there at a start
 */
#ifndef NOTEPACKFS_LIB_IMPORT_IMPL_H
#define NOTEPACKFS_LIB_IMPORT_IMPL_H

#include "lib/import.h"

/* Begin the trial of an import: it is busy and verifying, and is given back in the end. */
void import_start(struct store *s, struct file *f) EXCLUDES(s->lock);

/* A refused import of the same name and bytes, which are durable. */
struct import_twin {
	struct file *file; /* referenced; NULL: there is none */
	char name[NAME_BYTES + 1];
	struct stat st;
};

/* Look for one of f, which is busy, has its bytes in fd, and is to be refused for this reason. Nothing
 * else is held: it reads. */
void import_find_twin(struct store *s, struct file *f, int fd, const char *reason,
		      struct import_twin *t) EXCLUDES(s->lock);

/* With the tree held and the gate shut. 1: the twin is what it was, and f is gone, settled · 0: there
 * is none (any more) · -errno: neither. */
int import_give_way(struct store *s, struct file *f, const struct import_twin *t)
    EXCLUDES(s->lock);

#endif
