/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * import_impl: what the files of import share.
 *
 *	import.c	when an import is looked at, and who may open it meanwhile
 *	import_trial.c	the verdict, and what follows from it
 *	import_place.c	where imports belong, and those that are there at a start
 */
#ifndef NOTEPACKFS_LIB_IMPORT_IMPL_H
#define NOTEPACKFS_LIB_IMPORT_IMPL_H

#include "lib/import.h"

/* Begin the trial of an import: it is busy and verifying, and is given back in the end. */
void import_start(struct store *s, struct file *f) EXCLUDES(s->lock);

#endif
