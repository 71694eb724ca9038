/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * import: gzip files that someone else made, taken over unchanged.
 *
 * A file that is created as X.notepack.gz, or renamed to it, is an import. Its bytes lie in
 * LAYOUT_IMPORT; its name is not listed once it has bytes, cannot be looked up while someone
 * writes it, and keeps the stem X taken: X is there with the object. Once it is closed, and grace is over, a task of the pool reads all of it:
 *
 *	good	it becomes the only object of a new file X (X.notepack where it holds notepack
 *		records), by the order of a publication: fsync, rename, fsync of the directory,
 *		manifest, flip
 *	bad	it becomes an ordinary file X.notepack.gz.invalid, which is never sealed; why is
 *		in its attribute, the log and the status. So does one of which an fsync has failed,
 *		the writer's or ours: it may read well, and not be on the disk
 *	cannot be told, or no space	it stays, and is tried again
 *
 * Who opens one to read it waits for the verdict: it is busy until then, and whoever waits is
 * parked, and can be interrupted (fs/park.h). An empty one waits for its bytes, and is listed.
 *
 * What is in LAYOUT_IMPORT at a start is an import again: an attribute says where it belongs
 * (lib/raw.h). One whose bytes the manifest names as the object of that name, which is missing,
 * is that object, and gets its place. One that no attribute, or no directory, knows a place for
 * goes to quarantine.
 */
#ifndef NOTEPACKFS_LIB_IMPORT_H
#define NOTEPACKFS_LIB_IMPORT_H

#include "lib/core.h"

/*
 * May f be opened? 0: go on · STORE_BUSY: it has to be verified first, park · -EBUSY: someone
 * writes it. What is no import may.
 */
int import_may_open(struct store *s, struct caller *c, struct file *f, bool change)
    EXCLUDES(s->lock);

/* The deadline of an import has come (lib/cut.h). */
void import_due(struct store *s, struct file *f) EXCLUDES(s->lock);

/* Note in the raw file where it belongs. 0 or -errno. */
int import_note_path(struct store *s, int fd, struct dir *d, const char *name)
    EXCLUDES(s->lock);
int import_note_new_path(struct store *s, struct file *f, struct dir *d, const char *name)
    EXCLUDES(s->lock);
/* An ordinary file under a sealed name, in a directory that is excluded no more, becomes an
 * import. 0 or -errno. Takes the node. */
int import_take_in(struct store *s, struct file *f) EXCLUDES(s->lock);

/*
 * A directory was renamed: what belongs beneath it belongs elsewhere. False: an import that is just
 * being given a name, by someone who may have seen the old path, was left out. With wait, when nothing
 * is held, it is waited for.
 */
bool import_paths_moved(struct store *s, struct dir *d, bool wait) EXCLUDES(s->lock);

/* Is there an import in this directory? */
bool import_is_within_locked(struct store *s, const struct dir *d) REQUIRES(s->lock);

/* Take up what an earlier mount left. When the threads run. 0 or -errno. */
int import_load(struct store *s) EXCLUDES(s->lock);

/* Wait for the tasks that run; the timers are stopped, and start no others. */
void import_drain(struct store *s) EXCLUDES(s->lock);

#endif
