/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load_records: what a directory that is loaded has from the manifest. For lib/load.c.
 */
#ifndef NOTEPACKFS_LIB_LOAD_RECORDS_H
#define NOTEPACKFS_LIB_LOAD_RECORDS_H

#include "lib/core.h"

/* Its files and their parts, with their entries. 0, or -ENOMEM: some of them may be there. */
int load_records(struct store *s, struct dir *d);

/* Log the parts whose object was not met (seen) in the store. */
void load_records_missing(struct store *s, struct dir *d);

/* Log what is not as it should be; no more than LOG_FEW of a kind. */
void load_records_odd(struct store *s, const char *name, enum odd odd);

#endif
