/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe: what the store's filesystem can do. Network filesystems lack some of it (NFS,
 * GlusterFS and CephFS have no RENAME_NOREPLACE).
 */
#ifndef NOTEPACKFS_LIB_PROBE_H
#define NOTEPACKFS_LIB_PROBE_H

struct store;

/* Try it on names in .notepackfs/tmp, with the store locked for writing: sets s->have_xattrs
 * and s->have_noreplace, and logs one line for each thing that is missing. */
void probe_store(struct store *s);

#endif
