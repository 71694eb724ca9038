/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every write goes to the raw file before it is answered, so the daemon's death loses none.
 */
#include "lib/file.h"

#include <fcntl.h>
#include <linux/falloc.h>

#include "lib/catalog.h"
#include "lib/cut.h"
#include "lib/early.h"
#include "lib/import.h"
#include "lib/io.h"
#include "lib/log.h"
#include "lib/notify.h"
#include "lib/object.h"
#include "lib/pass.h"
#include "lib/plain.h"
#include "lib/raw.h"
#include "lib/space.h"

static bool wants_write(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY;
}

void refuse_change(struct store *s, struct node *n, const char *what)
{
	CLEANUP_BUF struct buf path = {0};

	lock_take(&s->lock);
	if (n->kind == NODE_OBJECT)
		n = &((struct object *)n)->file->n;
	if (n->linked)
		catalog_path_locked(s, n, 0, &path);
	lock_drop(&s->lock);
	log_notice(
	    "%s: %s refused: its bytes are sealed and never change; write a new file, append, "
	    "or remove it first with notepackctl rm",
	    path.data ? path.data : "a removed file", what);
}

/* ---- opening and closing ---- */

static int open_object(struct store *s, struct handle *h)
{
	struct object *o = (struct object *)h->node;

	h->fd = plain_open_part(s, o->file, o->number);
	return h->fd < 0 ? h->fd : 0;
}

/* Count the handle, so that the raw file stays, then open it if there is one. */
static int open_file(struct store *s, struct handle *h, struct raw *raw)
{
	struct file *f = to_file(h->node);
	bool present;
	int err = 0;

	lock_take(&s->lock);
	f->opens++;
	f->writers += h->writer;
	if (h->writer)
		early_opened_locked(f);
	gate_enter_locked(s, f);
	present = f->raw_present;
	lock_drop(&s->lock);
	if (raw)
		h->raw = raw;
	else if (present)
		err = raw_get(s, f, &h->raw);
	lock_take(&s->lock);
	gate_leave_locked(s, f);
	lock_drop(&s->lock);
	return err;
}

int handle_new(struct store *s, struct node *n, int flags, struct raw *raw, struct handle **out)
{
	struct handle *h = calloc(1, sizeof(*h));
	int err;

	if (!h) {
		if (raw)
			raw_put(s, to_file(n), raw);
		return -ENOMEM;
	}
	h->store = s;
	h->node = n;
	h->flags = flags;
	h->fd = -1;
	h->writer = n->kind == NODE_FILE && wants_write(flags);
	lock_init(&h->reader_lock);
	lock_take(&s->lock);
	node_ref_locked(n);
	DL_APPEND(s->handles, h);
	lock_drop(&s->lock);
	err = n->kind == NODE_OBJECT ? open_object(s, h) : open_file(s, h, raw);
	if (err) {
		store_release(h);
		return err;
	}
	*out = h;
	return 0;
}

/*
 * Was it removed under a name of which the kernel had not been told yet? It looks a name up
 * again after ESTALE; without it a new file's bytes would go to the old one. Who has a removed
 * file open may open it for reading once more (/proc/PID/fd).
 */
static bool is_gone(struct store *s, struct node *n, bool change)
{
	const struct file *f =
	    to_file(n->kind == NODE_OBJECT ? &((struct object *)n)->file->n : n);
	bool gone;

	lock_take(&s->lock);
	gone = !f->n.linked && (change || !f->opens);
	lock_drop(&s->lock);
	return gone;
}

static void leave(struct store *s, struct file *f, struct raw *raw)
{
	raw_put(s, f, raw);
	lock_take(&s->lock);
	gate_leave_locked(s, f);
	lock_drop(&s->lock);
}

int store_open_node(struct store *s, struct caller *c, struct node *n, int flags,
		    struct handle **out)
{
	bool change = wants_write(flags) || (flags & O_TRUNC);
	int err = 0;

	if (n->kind != NODE_FILE && n->kind != NODE_OBJECT)
		return n->kind == NODE_DIR ? -EISDIR : -ELOOP;
	if (is_gone(s, n, change))
		return -ESTALE;
	if (n->kind == NODE_FILE)
		err = import_may_open(s, c, to_file(n), change);
	if (err)
		return err;
	if (change && s->options.read_only)
		return -EROFS;
	if (change && n->kind == NODE_OBJECT) {
		refuse_change(s, n, "opening a sealed object for writing");
		return -EPERM;
	}
	if (flags & O_TRUNC)
		err = file_truncate(s, to_file(n), 0);
	return err ? err : handle_new(s, n, flags & ~(O_CREAT | O_EXCL | O_TRUNC), NULL, out);
}

void store_release(struct handle *h)
{
	struct store *s = h->store;
	struct file *f = to_file(h->node);

	if (h->passed)
		pass_learn(s, f);
	if (h->node->kind == NODE_FILE)
		raw_put(s, f, h->raw);
	object_close(h->reader);
	if (h->fd >= 0)
		close(h->fd);
	lock_take(&s->lock);
	DL_DELETE(s->handles, h);
	if (h->node->kind == NODE_FILE) {
		f->writers -= h->writer;
		f->opens--;
		f->flushed -= h->flushed;
		pass_release_locked(s, h);
		f->mapped = f->mapped && f->writers > 0;
		f->lingering = false;
		if (h->writer && !f->writers)
			file_closed_locked(s, f);
		else if (!f->opens)
			file_unused_locked(s, f);
	}
	node_unref_locked(s, h->node, 1);
	lock_drop(&s->lock);
	lock_release(&h->reader_lock);
	free(h);
}

void store_release_all(struct store *s)
{
	for (;;) {
		struct handle *h;

		lock_take(&s->lock);
		h = s->handles;
		/* Who appends past us goes on with it, unless his release was just not seen. */
		if (h && h->passed)
			to_file(h->node)->raw_recovered = true;
		lock_drop(&s->lock);
		if (!h)
			return;
		store_release(h);
	}
}

/* ---- reading ---- */

ssize_t store_read(struct handle *h, void *buf, size_t len, uint64_t offset)
{
	if (h->node->kind == NODE_OBJECT)
		return io_pread(h->fd, buf, len, offset);
	pass_learn_to(h->store, to_file(h->node), to_file(h->node)->base + offset + len);
	return plain_read(h->store, h, buf, len, offset);
}

/* ---- changing ---- */

/* Enter the gate with a raw file to write to: open, made if the file was sealed to its end. */
static int enter_with_raw(struct store *s, struct handle *h, struct raw **out)
{
	struct file *f = to_file(h->node);
	int err = 0;

	for (;;) {
		lock_take(&s->lock);
		gate_enter_locked(s, f);
		if (f->error || !f->raw_present || f->settled) {
			err = f->settled ? -EPERM : f->error;
			gate_leave_locked(s, f);
			lock_drop(&s->lock);
			if (!err)
				err = raw_make(s, f);
			if (err)
				return err;
			continue;
		}
		lock_drop(&s->lock);
		err = raw_get(s, f, out);
		if (!err)
			return 0;
		lock_take(&s->lock);
		gate_leave_locked(s, f);
		lock_drop(&s->lock);
		return err;
	}
}

/* Bytes have been written from offset to end. */
static void note_written(struct store *s, struct handle *h, uint64_t offset, uint64_t end,
			 bool cached)
{
	struct file *f = to_file(h->node);
	bool news;

	lock_take(&s->lock);
	news = !f->n.cookie || (f->import && !f->size);
	f->rewritten |= offset < f->written_end;
	f->size = MAX(f->size, end);
	f->written_end = MAX(f->written_end, end);
	f->mapped |= cached;
	handle_flushed_locked(h, false);
	/* Without memory for the entry the old one stays; the next change tries again. */
	if (!f->n.cookie)
		(void)catalog_list_locked(s, f);
	file_dirty_locked(s, f);
	early_changed_locked(s, f, offset, end);
	lock_drop(&s->lock);
	if (news)
		notify_listed(s, f);
}

/*
 * The page cache writes whole pages of a mapping: those that the cut runs through come with
 * bytes below it. They may pass if they are what is there already. Returns how many bytes to
 * leave out, or -EPERM.
 */
static ssize_t skip_frozen(struct store *s, struct handle *h, const void *buf, size_t len,
			   uint64_t offset, uint64_t cut_end)
{
	size_t frozen = (size_t)MIN(len, cut_end - offset);
	CLEANUP_FREE char *there = malloc(frozen);
	ssize_t n;

	if (!there)
		return -ENOMEM;
	n = plain_read(s, h, there, frozen, offset - to_file(h->node)->base);
	if (n != (ssize_t)frozen || memcmp(there, buf, frozen) != 0)
		return -EPERM;
	return (ssize_t)frozen;
}

ssize_t store_write(struct handle *h, const void *buf, size_t len, uint64_t offset, bool cached)
{
	struct store *s = h->store;
	struct file *f = to_file(h->node);
	struct raw *raw;
	ssize_t n, skip = 0;
	uint64_t cut_end;
	int err;

	if (!h->writer)
		return -EBADF;
	offset += f->base;
	lock_take(&s->lock);
	cut_end = f->cut_end;
	lock_drop(&s->lock);
	if (offset < cut_end) {
		skip = cached ? skip_frozen(s, h, buf, len, offset, cut_end) : -EPERM;
		if (skip == -EPERM)
			refuse_change(s, h->node, "writing below the sealed length");
		if (skip < 0 || (size_t)skip == len)
			return skip;
	}
	n = enter_with_raw(s, h, &raw);
	if (n)
		return n;
	lock_take(&s->lock);
	cut_end = f->cut_end; /* it stands still while we are in the gate */
	lock_drop(&s->lock);
	if (offset + (size_t)skip < cut_end)
		n = cached ? -EAGAIN : -EPERM;
	else if (!cached) /* of a mapping's pages no one may be there to be told */
		n = space_take(s, f, raw->fd, offset, len);
	if (!n)
		n = io_pwrite_some(raw->fd, (const char *)buf + skip, len - (size_t)skip,
				   offset + (size_t)skip);
	if (n > 0)
		note_written(s, h, offset + (size_t)skip, offset + (size_t)skip + (size_t)n,
			     cached);
	leave(s, f, raw);
	if (n == -EAGAIN && cached) /* cut in between: compare again */
		return store_write(h, buf, len, offset - f->base, cached);
	if (n == -EPERM)
		refuse_change(s, h->node, "writing below the sealed length");
	if (n > 0 && h->syncs && (err = store_fsync(h)))
		n = err;
	return n < 0 ? n : skip + n;
}

/*
 * In the gate: may one append to the raw file where it ends? Not below the cut, where no one would read it. A
 * power cut may have left less of it than is sealed: 1: write behind that. Bytes that are cut and in no
 * part yet are missing: -EIO. A write behind them would make zeroes of them, and these would be sealed.
 */
static int end_for_append(struct store *s, struct file *f, const struct stat *raw)
{
	int r = 0;

	lock_take(&s->lock);
	if ((uint64_t)raw->st_size < f->cut_end)
		r = f->sealed_end == f->cut_end ? 1 : -EIO;
	lock_drop(&s->lock);
	return r;
}

ssize_t store_append(struct handle *h, const void *buf, size_t len, uint64_t offset)
{
	struct store *s = h->store;
	struct file *f = to_file(h->node);
	struct raw *raw;
	struct stat st;
	ssize_t n;

	if (!h->writer || !node_may_grow(s, h->node))
		return store_write(h, buf, len, offset, false);
	n = enter_with_raw(s, h, &raw);
	if (n)
		return n;
	n = io_fstat(raw->fd, &st);
	if (!n)
		n = end_for_append(s, f, &st);
	if (n > 0) {
		leave(s, f, raw);
		return store_write(h, buf, len, offset, false);
	}
	if (!n)
		n = space_take(s, f, raw->fd, (uint64_t)st.st_size, len);
	if (!n)
		n = io_append_some(raw->fd, buf, len);
	/* It begins there, or behind: the others' bytes are new, too. */
	if (n > 0)
		note_written(s, h, (uint64_t)st.st_size, (uint64_t)st.st_size + (uint64_t)n,
			     false);
	leave(s, f, raw);
	pass_learn(s, f);
	return n;
}

/* In the gate. */
static int allocate(struct store *s, struct file *f, int fd, int mode, uint64_t offset,
		    uint64_t len)
{
	uint64_t end = offset + len, from;
	int err = 0;

	lock_take(&s->lock);
	from = MAX(offset, f->cut_end);
	lock_drop(&s->lock);
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		err = from > offset ? -EPERM : 0;
	else if (from >= end)
		return 0; /* plain allocation changes no byte, and cut bytes need no room */
	if (!err && !(mode & FALLOC_FL_PUNCH_HOLE))
		err = space_take(s, f, fd, from, end - from);
	return err ? err : io_fallocate(fd, mode, from, end - from);
}

int store_fallocate(struct handle *h, int mode, uint64_t offset, uint64_t len)
{
	struct store *s = h->store;
	struct file *f = to_file(h->node);
	struct raw *raw;
	struct stat st;
	bool news = false;
	int err;

	if (!h->writer)
		return -EBADF;
	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return -EOPNOTSUPP;
	offset += f->base;
	pass_learn(s, f);
	err = enter_with_raw(s, h, &raw);
	if (err)
		return err;
	err = allocate(s, f, raw->fd, mode, offset, len);
	if (!err)
		err = io_fstat(raw->fd, &st);
	if (!err) {
		lock_take(&s->lock);
		news = !f->n.cookie;
		f->size = MAX(f->size, (uint64_t)st.st_size);
		f->rewritten = true;
		(void)catalog_list_locked(s, f);
		file_dirty_locked(s, f);
		/* Plain allocation changes no byte. */
		early_changed_locked(s, f, offset,
				     mode & ~FALLOC_FL_KEEP_SIZE ? offset + len : offset);
		lock_drop(&s->lock);
	}
	if (news)
		notify_listed(s, f);
	leave(s, f, raw);
	if (err == -EPERM)
		refuse_change(s, h->node, "clearing sealed bytes");
	return err;
}
