/* SPDX-License-Identifier: BSD-2-Clause */
#include "fs/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/node.h"
#include "fs/reply.h"
#include "fs/snapshot.h"
#include "lib/bytes.h"

struct control_reader {
	struct control_reader *next, *prev;
	struct snapshot snapshot; /* empty for the log */
};

static const struct {
	const char *name;
	fuse_ino_t ino;
} files[] = {
    {"manifest", CONTROL_MANIFEST},
    {"sha256sums", CONTROL_SHA256SUMS},
    {"status", CONTROL_STATUS},
    {"log", CONTROL_LOG},
};

const char *control_name_at(uint64_t index, fuse_ino_t *ino)
{
	if (index >= ARRAY_LEN(files))
		return NULL;
	*ino = files[index].ino;
	return files[index].name;
}

void control_init(struct control *c)
{
	lock_init(&c->lock);
	clock_gettime(CLOCK_REALTIME, &c->time);
}

static void reader_free(struct control_reader *r)
{
	snapshot_release(&r->snapshot);
	free(r);
}

void control_release_all(struct control *c)
{
	struct control_reader *r, *next;

	lock_take(&c->lock);
	r = c->readers;
	c->readers = NULL;
	lock_drop(&c->lock);
	for (; r; r = next) {
		next = r->next;
		reader_free(r);
	}
	lock_release(&c->lock);
}

static struct control_reader *reader_of(const struct fuse_file_info *fi)
{
	return (struct control_reader *)(uintptr_t)fi->fh;
}

/* All but the status name every file there is: names in a directory that others cannot enter are not
 * theirs to know. The status is for everyone's requests, and leaves the names out. */
static mode_t mode_of(fuse_ino_t ino)
{
	switch (ino) {
	case CONTROL_DIR:
		return S_IFDIR | 0555;
	case CONTROL_STATUS:
		return S_IFREG | 0444;
	default:
		return S_IFREG | 0400;
	}
}

/* A snapshot's length is known to whoever has it open; like in /proc, it is 0 to others. */
static int fill_stat(struct fs *fs, fuse_ino_t ino, const struct fuse_file_info *fi,
		     struct stat *st)
{
	uint64_t size = 0;
	int err = 0;

	memset(st, 0, sizeof(*st));
	st->st_ino = ino;
	st->st_mode = mode_of(ino);
	st->st_nlink = ino == CONTROL_DIR ? 2 : 1;
	st->st_uid = geteuid();
	st->st_gid = getegid();
	st->st_atim = st->st_mtim = st->st_ctim = fs->control.time;
	st->st_blksize = 4096;
	if (ino == CONTROL_LOG)
		err = store_log_size(fs->store, &size);
	else if (fi && ino != CONTROL_DIR)
		size = reader_of(fi)->snapshot.size;
	st->st_size = (off_t)size;
	st->st_blocks = (blkcnt_t)((size + 511) / 512);
	return err;
}

static fuse_ino_t find(fuse_ino_t parent, const char *name)
{
	if (parent == FUSE_ROOT_ID)
		return CONTROL_DIR;
	if (parent != CONTROL_DIR)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if (strcmp(files[i].name, name) == 0)
			return files[i].ino;
	}
	return 0;
}

void control_lookup(struct fs *fs, fuse_req_t req, fuse_ino_t parent, const char *name)
{
	fuse_ino_t ino = find(parent, name);
	struct stat st;
	int err = ino ? fill_stat(fs, ino, NULL, &st) : -ENOENT;

	if (err)
		reply_err(req, err);
	else
		reply_control_entry(req, ino, &st);
}

void control_getattr(struct fs *fs, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;
	int err = fill_stat(fs, ino, fi, &st);

	if (err)
		reply_err(req, err);
	else
		reply_control_attr(req, &st);
}

static int take_snapshot(struct fs *fs, uid_t uid, fuse_ino_t ino, struct snapshot *out)
{
	switch (ino) {
	case CONTROL_MANIFEST:
		return snapshot_generate(fs->store, store_dump_manifest, out);
	case CONTROL_SHA256SUMS:
		return snapshot_generate(fs->store, store_dump_sha256sums, out);
	case CONTROL_STATUS:
		return snapshot_status(fs->store, uid == 0 || uid == geteuid(), out);
	default:
		return 0;
	}
}

static int reader_new(struct fs *fs, uid_t uid, fuse_ino_t ino, struct control_reader **out)
{
	struct control *c = &fs->control;
	struct control_reader *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	snapshot_init(&r->snapshot);
	err = take_snapshot(fs, uid, ino, &r->snapshot);
	if (err) {
		reader_free(r);
		return err;
	}
	lock_take(&c->lock);
	r->next = c->readers;
	if (r->next)
		r->next->prev = r;
	c->readers = r;
	lock_drop(&c->lock);
	*out = r;
	return 0;
}

void control_open(struct fs *fs, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct control_reader *r;
	int err = -EPERM;

	if ((fi->flags & O_ACCMODE) == O_RDONLY && !(fi->flags & O_TRUNC))
		err = reader_new(fs, fuse_req_ctx(req)->uid, ino, &r);
	if (err) {
		reply_err(req, err);
		return;
	}
	fi->fh = (uintptr_t)r;
	if (!reply_control_open(req, fi))
		control_release(fs, fi);
}

ssize_t control_read(struct fs *fs, fuse_ino_t ino, const struct fuse_file_info *fi, void *buf,
		     size_t size, uint64_t offset)
{
	if (ino == CONTROL_LOG)
		return store_log_read(fs->store, buf, size, offset);
	return snapshot_read(&reader_of(fi)->snapshot, buf, size, offset);
}

void control_release(struct fs *fs, const struct fuse_file_info *fi)
{
	struct control *c = &fs->control;
	struct control_reader *r = reader_of(fi);

	lock_take(&c->lock);
	if (r->prev)
		r->prev->next = r->next;
	else
		c->readers = r->next;
	if (r->next)
		r->next->prev = r->prev;
	lock_drop(&c->lock);
	reader_free(r);
}
