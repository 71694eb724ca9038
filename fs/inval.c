/* SPDX-License-Identifier: BSD-2-Clause */
#include "fs/inval.h"

#include <stdlib.h>
#include <string.h>

#include "fs/node.h"
#include "fs/reply.h"
#include "lib/log.h"

/* The reference on dir keeps its address, and so its inode number, from becoming another's. */
struct inval_entry {
	struct inval_entry *next;
	fuse_req_t req; /* to be answered; or, if NULL, a name: */
	bool is_data;	/* or a file's bytes; dir is the file */
	struct node *dir;
	size_t len;
	char name[];
};

static struct inval_entry *entry_new(struct fs *fs, struct node *dir, const char *name)
{
	size_t len = strlen(name);
	struct inval_entry *e = malloc(sizeof(*e) + len + 1);

	if (!e)
		return NULL;
	node_ref(fs->store, dir);
	e->next = NULL;
	e->req = NULL;
	e->is_data = false;
	e->dir = dir;
	e->len = len;
	memcpy(e->name, name, len + 1);
	return e;
}

static void entry_free(struct fs *fs, struct inval_entry *e)
{
	if (e->req)
		reply_ioctl(e->req, 0);
	else
		node_unref(fs->store, e->dir, 1);
	free(e);
}

static bool is_running(struct inval *v)
{
	bool running;

	lock_take(&v->lock);
	running = v->running;
	lock_drop(&v->lock);
	return running;
}

/* False if it is too late. */
static bool queue(struct inval *v, struct inval_entry *e)
{
	bool running;

	lock_take(&v->lock);
	running = v->running;
	if (running) {
		if (v->tail)
			v->tail->next = e;
		else
			v->head = e;
		v->tail = e;
		cond_signal(&v->changed);
	}
	lock_drop(&v->lock);
	return running;
}

void inval_changed(void *ctx, struct node *dir, const char *name)
{
	struct fs *fs = ctx;
	struct inval_entry *e;

	if (!is_running(
		&fs->inval)) /* before fs_start fs has no store to count references in */
		return;
	e = entry_new(fs, dir, name);
	if (!e)
		log_warning(
		    "%s: no memory to tell the kernel that this name changed: programs may "
		    "see its old state for up to an hour, or until the next mount",
		    name);
	else if (!queue(&fs->inval, e))
		entry_free(fs, e);
}

void inval_attributes(void *ctx, struct node *n)
{
	struct fs *fs = ctx;
	bool running;

	lock_take(&fs->inval.lock);
	running = fs->inval.running && !fs->inval.stopping;
	lock_drop(&fs->inval.lock);
	/* -ENOENT: the kernel does not know the inode. */
	if (running)
		(void)fuse_lowlevel_notify_inval_inode(fs->session, ino_of_node(fs, n), -1, 0);
}

void inval_data(struct fs *fs, struct node *n)
{
	struct inval_entry *e = entry_new(fs, n, "");

	if (!e) {
		log_warning(
		    "no memory to tell the kernel that a mapping's bytes were refused: it "
		    "may show them until the next mount");
		return;
	}
	e->is_data = true;
	if (!queue(&fs->inval, e))
		entry_free(fs, e);
}

void inval_then_reply(struct fs *fs, fuse_req_t req)
{
	struct inval_entry *e = calloc(1, sizeof(*e) + 1);

	if (e)
		e->req = req;
	if (!e)
		reply_ioctl(req, 0); /* it is done, only the kernel may not know it yet */
	else if (!queue(&fs->inval, e))
		entry_free(fs, e);
}

static struct inval_entry *take_locked(struct inval *v) REQUIRES(&v->lock)
{
	struct inval_entry *e = v->head;

	if (e) {
		v->head = e->next;
		if (!v->head)
			v->tail = NULL;
	}
	return e;
}

/* The result does not matter: ENOENT says that the kernel knows no such name, ENODEV and EBADF
 * that the connection is gone. */
static void notify(struct fs *fs, struct inval_entry *e)
{
	if (e->is_data)
		fuse_lowlevel_notify_inval_inode(fs->session, ino_of_node(fs, e->dir), 0, 0);
	else if (!e->req)
		fuse_lowlevel_notify_inval_entry(fs->session, ino_of_node(fs, e->dir), e->name,
						 e->len);
	entry_free(fs, e);
}

static void *inval_main(void *arg)
{
	struct fs *fs = arg;
	struct inval *v = &fs->inval;

	lock_take(&v->lock);
	while (!v->stopping) {
		struct inval_entry *e = take_locked(v);

		if (!e) {
			cond_wait(&v->changed, &v->lock);
			continue;
		}
		lock_drop(&v->lock);
		notify(fs, e);
		lock_take(&v->lock);
	}
	lock_drop(&v->lock);
	return NULL;
}

void inval_init(struct inval *v)
{
	lock_init(&v->lock);
	cond_init(&v->changed);
}

void inval_release(struct inval *v)
{
	cond_release(&v->changed);
	lock_release(&v->lock);
}

int inval_start(struct fs *fs)
{
	struct inval *v = &fs->inval;
	int err = -pthread_create(&v->thread, NULL, inval_main, fs);

	v->live = err == 0;
	lock_take(&v->lock);
	v->running = err == 0;
	lock_drop(&v->lock);
	return err;
}

void inval_stop(struct fs *fs)
{
	struct inval *v = &fs->inval;
	struct inval_entry *e;

	if (!v->live)
		return;
	v->live = false;
	lock_take(&v->lock);
	v->running = false;
	v->stopping = true;
	cond_broadcast(&v->changed);
	lock_drop(&v->lock);
	pthread_join(v->thread, NULL);

	lock_take(&v->lock);
	while ((e = take_locked(v))) {
		lock_drop(&v->lock);
		entry_free(fs, e);
		lock_take(&v->lock);
	}
	lock_drop(&v->lock);
}
