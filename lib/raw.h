/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * raw: the raw file behind a file's unsealed bytes: opening it, marking it, making it again for
 * an append to a sealed file, and giving it up.
 *
 * The mark is an extended attribute "user.notepackfs" of the raw file, "ID BASE": the file's
 * id, and the logical offset from which the raw file holds bytes (what lies before is a hole,
 * and in the parts). Recovery seals no hole below BASE (raw_begin()). Where the store's file
 * system has no user attributes, ids are not kept over a remount for files that are not sealed yet,
 * and a raw file of a sealed file is recognised by its name and the bytes (lib/recovery.h).
 */
#ifndef NOTEPACKFS_LIB_RAW_H
#define NOTEPACKFS_LIB_RAW_H

#include "lib/core.h"

#define RAW_ID_MAX INT64_MAX /* no store gets there: a higher one is none of ours */

struct raw_mark {
	uint64_t id, base;
};

/* 0, -ENODATA (no mark, or not one of ours), or another -errno. */
int raw_read_mark(int fd, struct raw_mark *mark);
int raw_write_mark(struct store *s, int fd, const struct raw_mark *mark);

/*
 * Its sealed bytes are not what the parts say, or a part's object is damaged: an attribute
 * "user.notepackfs.doubt" beside the mark, so that the next start compares all before anything is served.
 * raw_prove() writes it. settle: that has been done.
 */
bool raw_has_doubt(int fd);
void raw_settle_doubt(int fd);

#define RAW_HOLLOW UINT64_MAX

/*
 * Where the raw file's own bytes begin: for one whose mark's base is behind all of its parts, because
 * they are lost, or because the mark is not true. What lies before base is a hole, or was to be made
 * one: it is no byte of the file. But base is not believed against bytes that are there: they begin
 * with the first data; the first zeroes of the block in which a hole ends are the hole's. Where the
 * file system cannot tell, all are bytes.
 *
 * At most base; RAW_HOLLOW: there is no data at all, and nothing behind base.
 */
uint64_t raw_begin(int fd, const struct stat *st, uint64_t base);

/*
 * Where a raw file lies: under the file's name in its directory; an import's under its id in
 * LAYOUT_IMPORT. get: the directory's descriptor, given back with put, or -errno; dir (not
 * referenced by the place) must live as long.
 */
struct raw_place {
	struct dir *dir; /* NULL: name is a path from the store's root */
	char name[NAME_BYTES + 1];
};
void raw_place_init(struct raw_place *p, struct dir *dir, const char *name, uint64_t id,
		    bool import);
int raw_place_get(struct store *s, const struct raw_place *p) EXCLUDES(s->lock);
void raw_place_put(struct store *s, const struct raw_place *p) EXCLUDES(s->lock);

/*
 * Where an import belongs, for a start after a crash: an attribute "user.notepackfs.path", from
 * the store's root. path NULL: it is none any more; take off all that was noted of it. read:
 * -ENODATA, or a string that is the caller's.
 */
int raw_write_path(int fd, const char *path);
int raw_read_path(int fd, char **path);
/* Why one was refused: "user.notepackfs.error". As far as there is room. */
void raw_write_reason(int fd, const char *reason);
int raw_read_reason(int fd, char **reason);

/*
 * The open raw file, referenced: O_RDWR (O_RDONLY where the store is). Enter with the gate
 * held (shared or exclusive). One from before our start that no one outside has open for writing is ours
 * from then on (file.raw_recovered). -ENOENT: the file has none. -ESTALE: it is being removed. raw_put
 * closes the last one.
 */
int raw_get(struct store *s, struct file *f, struct raw **out) EXCLUDES(s->lock);
void raw_put(struct store *s, struct file *f, struct raw *raw) EXCLUDES(s->lock);

/* fsync the raw file, open as fd. An error sticks: what the kernel has dropped cannot be synced
 * again (I5), so after one this, too, fails without trying. */
int raw_sync(struct store *s, struct file *f, int fd) EXCLUDES(s->lock);

/*
 * May the raw file be given up for its parts as far as these reach? True, if recovery has compared
 * them, or if they agree now; then that is noted, but for one that someone may still change through a
 * mapping: that is to be asked again. If they do not, that is noted, too, durably, and logged.
 * Reads all of both if no one has before; holds nothing meanwhile but the open raw file.
 */
bool raw_prove(struct store *s, struct file *f) EXCLUDES(s->lock);

/* The object of this part could not be read: has an unproven raw file its bytes? Reads all of them, once;
 * then plain_read takes them from there. */
bool raw_vouches(struct store *s, struct file *f, uint32_t number) EXCLUDES(s->lock);

/*
 * Give back the disk space of what is sealed of a file: the mark says so, durably, and then there is a
 * hole. It may be open, and be written meanwhile. Enter with the node busy (by the caller): so the raw file
 * stays, and what is sealed of it. Takes the gate. 0 also if there is nothing to give back, or the file
 * system cannot · 1: someone outside this process may still write it · -errno.
 */
int raw_punch(struct store *s, struct file *f) EXCLUDES(s->lock);

/*
 * May someone outside this process still write the raw file dirfd/name? No one in it must have it open
 * for writing. Also true where that cannot be seen.
 */
bool raw_has_foreign_writer(int dirfd, const char *name);

/* Has anyone outside this process got it open, or mapped, at all? No one in it must. */
bool raw_has_foreign_user(int dirfd, const char *name);

/* What lies before end is in parts, and its mark says so: a hole, where the file system can. */
void raw_make_hole(int fd, uint64_t end);

/* Is it gone from its name, removed or replaced, though we did not do it? A look, without the gate. */
bool raw_is_gone(struct store *s, struct file *f) EXCLUDES(s->lock);

/* Its attributes. As raw_get, but one that is not open is not opened for it. */
int raw_stat(struct store *s, struct file *f, struct stat *out) EXCLUDES(s->lock);

/* Its bytes, to be read without a trace in its times: a descriptor of the caller's own, and, if it was made of
 * the open raw file, *raw, to be given back with raw_put in every case (else it stays as it is). As raw_get. */
int raw_open_unseen(struct store *s, struct file *f, struct raw **raw, int *fd)
    EXCLUDES(s->lock);

/* Make a raw file for a file that is sealed to its end, for bytes behind it. Takes the gate. */
int raw_make(struct store *s, struct file *f) EXCLUDES(s->lock);

/*
 * Give up the raw file of a file whose bytes are all sealed: unlink it and keep its attributes.
 * Enter with the node busy (by the caller). Takes the gate. 0 also if it is still needed (a
 * writer has it open, or it has grown) · 1: someone outside this process may still write it; it
 * is kept, and listed as kept in the status · -errno: it could not be removed.
 *
 * *rest: a descriptor of the one that was unlinked, if it is large, else -1. The caller closes it, and then its
 * disk space and page cache come back, which takes the kernel 0.1 s for 256 MiB: so first everyone is told who
 * waits for the file.
 */
int raw_drop(struct store *s, struct file *f, int *rest) EXCLUDES(s->lock);

/* What the raw file has are the file's attributes. */
void raw_keep_attrs_locked(struct file *f, const struct stat *st);

#endif
