/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A barrier notes each file it concerns. A file is done with when what was to be cut is cut
 * (hurry is off) and everything cut until then is sealed, its raw file given up; a file that was
 * removed is done with, too.
 */
#include "lib/barrier.h"

#include <stdio.h>

#include "lib/catalog.h"
#include "lib/cut.h"
#include "lib/pass.h"
#include "lib/permit.h"
#include "lib/segment.h"
#include "lib/tree.h"

#define CLOSING_NS 200000000

struct wanted {
	struct file *file; /* referenced */
	uint64_t end;	   /* of what must be sealed, once cut */
	bool cut;
	bool refused; /* the caller may not have it cut */
};

struct barrier {
	struct wanted *wanted;
	size_t count, size;
	size_t first; /* the first that is not done with; no one looks further */
	bool strict;  /* one file was named, to be sealed */
	int err;
	void (*done)(void *ctx, int err);
	void *ctx;
	struct barrier *prev, *next;
};

/* c NULL: anyone may. */
static int may_search(struct store *s, const struct caller *c, struct node *dir)
{
	struct stat st;
	int err;

	if (!c || permit_is_trusted(c) || dir->kind != NODE_DIR)
		return 0;
	err = store_getattr(s, dir, &st);
	return err ? err : permit_may(c, &st, X_OK) ? 0 : -EACCES;
}

int store_resolve(struct store *s, const struct caller *c, const char *path, struct node **out)
{
	struct node *n = &s->root->n;
	int err = 0;

	node_ref(s, n);
	while (*path && !err) {
		char name[NAME_BYTES + 1];
		size_t len = strcspn(path, "/");
		struct node *next = NULL;

		if (len > NAME_BYTES)
			err = -ENAMETOOLONG;
		else if (len) {
			memcpy(name, path, len);
			name[len] = '\0';
			err = strcmp(name, "..") == 0 || strcmp(name, ".") == 0
				  ? -EINVAL
				  : may_search(s, c, n);
			if (!err)
				err = store_lookup(s, n, name, &next);
		}
		path += len + (path[len] == '/');
		if (next) {
			node_unref(s, n, 1);
			n = next;
		}
	}
	if (err)
		node_unref(s, n, 1);
	else
		*out = n;
	return err;
}

static void free_barrier_locked(struct store *s, struct barrier *b) REQUIRES(s->lock)
{
	for (size_t i = b->first; i < b->count; i++)
		node_unref_locked(s, &b->wanted[i].file->n, 1);
	free(b->wanted);
	free(b);
}

static int add_file_locked(struct barrier *b, struct file *f)
{
	if (b->count == b->size) {
		size_t size = b->size ? b->size * 2 : 16;
		struct wanted *wanted = realloc(b->wanted, size * sizeof(*wanted));

		if (!wanted)
			return -ENOMEM;
		b->wanted = wanted;
		b->size = size;
	}
	node_ref_locked(&f->n);
	b->wanted[b->count++] = (struct wanted){.file = f};
	return 0;
}

/* Is n the scope, or beneath it? */
static bool within_locked(struct store *s, const struct node *n, const struct node *scope)
    REQUIRES(s->lock)
{
	if (scope->kind == NODE_OBJECT)
		scope = &((const struct object *)scope)->file->n;
	while (n != scope && n != &s->root->n && n->linked)
		n = &n->dir->n;
	return n == scope;
}

/*
 * Files that are closed, but for a RELEASE that another thread has read and not begun to
 * handle: all who may write have flushed last. It is waited for, for a while: a duplicate of
 * the descriptor may live on, and then none will come.
 */
static bool is_closing(const struct file *f)
{
	return f->writers && f->flushed == f->writers;
}

/* Note the files that may be concerned. */
static int collect_locked(struct store *s, struct barrier *b, const struct node *scope)
    REQUIRES(s->lock)
{
	struct file *f;
	int err = 0;

	DL_FOREACH2(s->active, f, active_next)
	{
		if (!err && within_locked(s, &f->n, scope))
			err = add_file_locked(b, f);
	}
	return err;
}

/* To cut a file is to forbid its writers to change what they have written, so it takes the right
 * to write it; one whose right is not known is not cut. */
static void check_rights(struct store *s, const struct caller *c, struct barrier *b)
{
	if (permit_is_trusted(c))
		return;
	for (size_t i = 0; i < b->count; i++) {
		struct wanted *w = &b->wanted[i];
		struct stat st;

		w->refused = store_getattr(s, &w->file->n, &st) != 0 ||
			     (c->uid != st.st_uid && !permit_may(c, &st, W_OK));
	}
}

/* Is it one to wait for? Hurry it, if it is to be cut. */
static bool begin_locked(struct store *s, enum proto_op op, struct wanted *w) REQUIRES(s->lock)
{
	struct file *f = w->file;
	bool may = !w->refused && f->n.linked && f->dirty && f->size > f->cut_end &&
		   !catalog_excluded_locked(s, f->n.dir, f->n.name);
	bool closing = may && is_closing(f);
	bool cut = may && (op == PROTO_SEAL || !f->writers);

	if (!cut && !closing)
		return f->segments || f->verifying;
	f->closing = f->closing || closing;
	f->hurry = f->hurry || cut;
	if (closing)
		timer_arm_locked(s, f, clock_ns() + CLOSING_NS, TIMER_LATER);
	else
		timer_arm_locked(s, f, clock_ns(), TIMER_NOW);
	return true;
}

/* -EACCES: the one file that was named is refused. */
static int begin_all_locked(struct store *s, struct barrier *b, enum proto_op op,
			    const struct node *scope) REQUIRES(s->lock)
{
	for (size_t i = 0; i < b->count;) {
		if (b->wanted[i].refused && scope->kind != NODE_DIR)
			return -EACCES;
		if (begin_locked(s, op, &b->wanted[i])) {
			i++;
			continue;
		}
		node_unref_locked(s, &b->wanted[i].file->n, 1);
		b->wanted[i] = b->wanted[--b->count];
	}
	return 0;
}

/* It cannot be cut as long as the mapping is there, which may be for ever. */
static bool is_mapped(const struct file *f)
{
	return f->n.linked && f->size > f->cut_end && f->writers && f->mapped;
}

static bool is_done(struct wanted *w)
{
	if (!w->file->n.linked)
		return true;
	if (w->file->hurry || w->file->closing || w->file->verifying)
		return false;
	if (!w->cut) {
		w->cut = true;
		w->end = w->file->cut_end;
	}
	/* A part is listed before its segment has come to its end: the raw file is there still, and what stat(2)
	 * says changes with it. */
	return w->file->sealed_end >= w->end &&
	       !(w->file->segments && w->file->segments->offset < w->end);
}

/* Drop what is done; true when nothing is left. It is called for each file and batch, so it must not
 * look at all of them each time. */
static bool pass_locked(struct store *s, struct barrier *b) REQUIRES(s->lock)
{
	for (; b->first < b->count && is_done(&b->wanted[b->first]); b->first++) {
		struct file *f = b->wanted[b->first].file;

		if (b->strict && is_mapped(f))
			b->err = -EBUSY;
		node_unref_locked(s, &f->n, 1);
	}
	return b->first == b->count;
}

static void complete_locked(struct store *s, struct barrier *b, int err) REQUIRES(s->lock)
{
	DL_DELETE(s->barriers, b);
	lock_drop(&s->lock);
	b->done(b->ctx, err);
	lock_take(&s->lock);
	/* Not before: until done has returned, someone may ask to cancel b by its address. */
	free_barrier_locked(s, b);
}

static void complete_all(struct store *s, bool force, int err)
{
	struct barrier *b;

	lock_take(&s->lock);
again:
	DL_FOREACH (s->barriers, b) {
		if (pass_locked(s, b) || force) {
			complete_locked(s, b, b->first < b->count ? err : b->err);
			goto again; /* the list may have changed meanwhile */
		}
	}
	lock_drop(&s->lock);
}

void barrier_check(struct store *s)
{
	complete_all(s, false, 0);
}

void barrier_end_all(struct store *s, int err)
{
	complete_all(s, true, err);
}

/* Its files, hurried. 0, or -errno and nothing is left to be undone but b. */
static int begin(struct store *s, const struct caller *c, struct barrier *b, enum proto_op op,
		 const struct node *scope)
{
	int err;

	pass_learn_all(s, NULL);
	lock_take(&s->lock);
	err = collect_locked(s, b, scope);
	lock_drop(&s->lock);
	if (err)
		return err;
	check_rights(s, c, b);
	lock_take(&s->lock);
	err = begin_all_locked(s, b, op, scope);
	lock_drop(&s->lock);
	return err;
}

/* Wait for what is begun, unless it is over already. */
static void enlist(struct store *s, struct barrier *b, struct barrier **out)
{
	void (*done)(void *ctx, int err) = b->done;
	void *ctx = b->ctx;
	bool over;
	int err;

	lock_take(&s->lock);
	over = pass_locked(s, b);
	err = b->err;
	if (over) {
		free_barrier_locked(s, b);
	} else {
		DL_APPEND(s->barriers, b);
		*out = b;
	}
	lock_drop(&s->lock);
	if (over)
		done(ctx, err);
}

int store_barrier(struct store *s, const struct caller *c, enum proto_op op, const char *path,
		  void (*done)(void *ctx, int err), void *ctx, struct barrier **out)
{
	struct barrier *b;
	struct node *scope;
	int err = op == PROTO_WAIT || op == PROTO_SEAL ? 0 : -EINVAL;

	if (!err && s->options.read_only)
		err = -EROFS;
	*out = NULL;
	if (!err)
		err = store_resolve(s, c, path, &scope);
	if (err)
		return err;
	b = calloc(1, sizeof(*b));
	err = scope->kind == NODE_LINK ? -ELOOP : b ? 0 : -ENOMEM;
	if (!err) {
		b->done = done;
		b->ctx = ctx;
		b->strict = op == PROTO_SEAL && scope->kind != NODE_DIR;
		err = begin(s, c, b, op, scope);
	}
	node_unref(s, scope, 1);
	if (!err) {
		enlist(s, b, out);
		return 0;
	}
	lock_take(&s->lock);
	if (b)
		free_barrier_locked(s, b);
	lock_drop(&s->lock);
	return err;
}

void store_barrier_cancel(struct store *s, struct barrier *b)
{
	struct barrier *p;

	lock_take(&s->lock);
	DL_FOREACH (s->barriers, p) {
		if (p == b) {
			complete_locked(s, b, -EINTR);
			break;
		}
	}
	lock_drop(&s->lock);
}
