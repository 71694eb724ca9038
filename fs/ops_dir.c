/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Listings. An entry's offset is the store's cookie, which stays with it for its life; so a
 * listing needs no state of its own between two calls, and a seal in between neither hides nor
 * repeats a file.
 * "." and ".." have the offsets 1 and 2.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/iomode.h"
#include "fs/node.h"
#include "fs/ops.h"
#include "fs/reply.h"

#define COOKIE_DOT 1
#define COOKIE_DOT_DOT 2
#define BATCH 32

/* The smallest entry of readdirplus in the kernel's format: 152 bytes and a name. */
#define PLUS_ENTRY_BYTES 160

/* fi->fh of a directory: what its listing may do, and behind that of which state it is. */
#define FH_STATE 2

static enum store_listing listing_of(const struct fuse_file_info *fi)
{
	return (enum store_listing)(fi->fh & ((1 << FH_STATE) - 1));
}

struct listing {
	struct fs *fs;
	fuse_req_t req;
	bool plus;
	char *buf;
	size_t size, used;
	struct node **given; /* nodes that the kernel gets a reference on with the reply */
	size_t given_count;
};

static int listing_init(struct listing *l, fuse_req_t req, size_t size, bool plus)
{
	memset(l, 0, sizeof(*l));
	l->fs = fs_of(req);
	l->req = req;
	l->plus = plus;
	l->size = size;
	l->buf = malloc(size ? size : 1);
	if (plus)
		l->given = malloc((size / PLUS_ENTRY_BYTES + 1) * sizeof(struct node *));
	return !l->buf || (plus && !l->given) ? -ENOMEM : 0;
}

static void listing_release(struct listing *l)
{
	free(l->buf);
	free(l->given);
}

/* False if it does not fit. */
static bool add(struct listing *l, const char *name, const struct fuse_entry_param *e,
		uint64_t cookie)
{
	size_t left = l->size - l->used;
	size_t need;

	if (l->plus)
		need = fuse_add_direntry_plus(l->req, l->buf + l->used, left, name, e,
					      (off_t)cookie);
	else
		need = fuse_add_direntry(l->req, l->buf + l->used, left, name, &e->attr,
					 (off_t)cookie);
	if (need > left)
		return false;
	l->used += need;
	return true;
}

/* An entry that readdirplus does not count as a look-up: its number is 0. */
static bool add_uncounted(struct listing *l, const char *name, uint64_t ino, mode_t type,
			  uint64_t cookie)
{
	struct fuse_entry_param e = {.attr = {.st_ino = ino, .st_mode = type}};

	return add(l, name, &e, cookie);
}

static bool add_dots(struct listing *l, uint64_t ino, uint64_t offset)
{
	if (offset < COOKIE_DOT && !add_uncounted(l, ".", ino, S_IFDIR, COOKIE_DOT))
		return false;
	return offset >= COOKIE_DOT_DOT || add_uncounted(l, "..", ino, S_IFDIR, COOKIE_DOT_DOT);
}

static mode_t type_of(const struct node *n)
{
	switch (node_kind(n)) {
	case NODE_DIR:
		return S_IFDIR;
	case NODE_LINK:
		return S_IFLNK;
	default:
		return S_IFREG;
	}
}

/* The reference of d->node goes to the kernel, or back. */
static bool add_node(struct listing *l, const struct store_dirent *d)
{
	struct store *s = l->fs->store;
	struct fuse_entry_param e;
	bool fits;

	if (!l->plus || reply_fill_entry(l->fs, d->node, &e) != 0) {
		fits = add_uncounted(l, d->name, node_ino(s, d->node), type_of(d->node),
				     d->cookie);
		node_unref(s, d->node, 1);
		return fits;
	}
	fits = add(l, d->name, &e, d->cookie);
	if (fits)
		l->given[l->given_count++] = d->node;
	else
		node_unref(s, d->node, 1);
	return fits;
}

/* The private directory is no entry of the root's, whatever the store holds. */
static bool is_hidden(struct listing *l, fuse_ino_t ino, const struct store_dirent *d)
{
	return ino_is_control_name(ino, d->name);
}

static int add_batch(struct listing *l, fuse_ino_t ino, const struct store_dirent *d, int count)
{
	bool fits = true;

	for (int i = 0; i < count; i++) {
		if (!fits || is_hidden(l, ino, &d[i]))
			node_unref(l->fs->store, d[i].node, 1);
		else
			fits = add_node(l, &d[i]);
	}
	return fits;
}

static int fill_from_store(struct listing *l, fuse_ino_t ino, uint64_t offset)
{
	struct store *s = l->fs->store;
	struct node *dir = ino_node(l->fs, ino);
	struct store_dirent batch[BATCH];
	int count;

	if (!add_dots(l, node_ino(s, dir), offset))
		return 0;
	if (offset <= COOKIE_DOT_DOT)
		offset = 0;
	do {
		count = store_readdir(s, dir, offset, batch, BATCH);
		if (count > 0)
			offset = batch[count - 1].cookie;
	} while (count > 0 && add_batch(l, ino, batch, count));
	/* What was listed so far is given out; the error comes back with the next call. */
	return count < 0 && l->used == 0 ? count : 0;
}

static int fill_from_control(struct listing *l, uint64_t offset)
{
	const char *name;
	fuse_ino_t ino;

	if (!add_dots(l, CONTROL_DIR, offset))
		return 0;
	if (offset < COOKIE_DOT_DOT)
		offset = COOKIE_DOT_DOT;
	for (; (name = control_name_at(offset - COOKIE_DOT_DOT, &ino)); offset++) {
		if (!add_uncounted(l, name, ino, S_IFREG, offset + 1))
			break;
	}
	return 0;
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	struct listing l;
	int err = listing_init(&l, req, size, plus);

	if (!err && ino == CONTROL_DIR)
		err = fill_from_control(&l, (uint64_t)off);
	else if (!err)
		err = ino_is_control(ino) ? -ENOTDIR : fill_from_store(&l, ino, (uint64_t)off);
	if (err)
		reply_err(req, err);
	else if (!reply_listing(req, l.buf, l.used)) {
		for (size_t i = 0; i < l.given_count; i++)
			node_unref(l.fs->store, l.given[i], 1);
	}
	listing_release(&l);
}

/* The kernel has had the answer to the opening, and dropped what it was told to. */
static void note_start(fuse_req_t req, fuse_ino_t ino, const struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);

	if (listing_of(fi) == STORE_LISTING_FRESH)
		store_listing_started(fs->store, ino_node(fs, ino), fi->fh >> FH_STATE);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		struct fuse_file_info *fi)
{
	note_start(req, ino, fi);
	list(req, ino, size, off, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	note_start(req, ino, fi);
	list(req, ino, size, off, true);
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	enum store_listing listing = STORE_LISTING_DIRECT;
	uint64_t state = 0;

	if (!ino_is_control(ino))
		listing = store_listing_begin(fs->store, ino_node(fs, ino), &state);
	fi->fh = state << FH_STATE | (uint64_t)listing;
	iomode_dir(fi, listing);
	if (!reply_open_dir(req, fi) && listing != STORE_LISTING_DIRECT)
		store_listing_end(fs->store, ino_node(fs, ino));
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);

	if (listing_of(fi) != STORE_LISTING_DIRECT)
		store_listing_end(fs->store, ino_node(fs, ino));
	reply_err(req, 0);
}

/* "sync MNT" arrives here. The kernel holds the directory's lock meanwhile: nothing below waits
 * for a seal. */
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	int err = 0;

	if (ino == FUSE_ROOT_ID)
		err = store_sync(fs->store);
	if (!err && !ino_is_control(ino))
		err = store_sync_dir(fs->store, ino_node(fs, ino));
	reply_err(req, err);
}
