/* SPDX-License-Identifier: BSD-2-Clause */
#include "fs/passthrough.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Out of memory: the entry is not added (its hh.tbl stays NULL). */
#define HASH_NONFATAL_OOM 1
/* The default falls through cases in a way that compilers warn about. */
#define HASH_FUNCTION(key, len, value) HASH_OAT(key, len, value)
#include <uthash.h>

#include "lib/bytes.h"
#include "lib/log.h"

/* include/uapi/linux/fuse.h of Linux 6.9; the headers of Debian 12 are older. */
#define INIT_EXT (UINT32_C(1) << 30)
#define INIT2_PASSTHROUGH (UINT32_C(1) << 5) /* 1 << 37 of both words */
#define OPEN_KEEP_CACHE (UINT32_C(1) << 1)
#define OPEN_PASSTHROUGH (UINT32_C(1) << 7)
#define INIT_STACK_DEPTH (offsetof(struct fuse_init_out, flags2) + sizeof(uint32_t))

/* Older ones do not know how long a file is that they have appended to. */
#define MINOR_APPENDS 41

struct open_out {
	uint64_t fh;
	uint32_t open_flags;
	int32_t backing_id;
};

/*
 * Smaller objects are read as ever: telling the kernel takes longer (0.1 ms, measured) than reading them
 * through the page cache, which has them the next time.
 */
#define BYTES_MIN (1 << 20)

/* One that has open handles, but small objects. */
struct passthrough_inode {
	const struct node *node;
	unsigned opens;
	bool deciding; /* the first open is at it */
	int32_t id;    /* 0: ordinary I/O */
	UT_hash_handle hh;
};

void passthrough_init(struct passthrough *p)
{
	*p = (struct passthrough){.inodes = NULL};
	lock_init(&p->lock);
	cond_init(&p->changed);
}

void passthrough_end(struct passthrough *p)
{
	struct passthrough_inode *i;

	lock_take(&p->lock);
	p->offered = false;
	for (i = p->inodes; i; i = i->hh.next) {
		if (i->id)
			p->backing.close(p->backing.ctx, i->id);
		i->id = 0;
	}
	lock_drop(&p->lock);
}

void passthrough_release(struct passthrough *p)
{
	struct passthrough_inode *i, *next;

	lock_take(&p->lock);
	HASH_ITER (hh, p->inodes, i, next) {
		HASH_DEL(p->inodes, i);
		free(i);
	}
	lock_drop(&p->lock);
	cond_release(&p->changed);
	lock_release(&p->lock);
}

/* What is mounted over this mount must fit into the kernel's limit of 2, so no more than is needed. */
void passthrough_want(struct passthrough *p, const struct fs_backing *backing, bool stacked)
{
	p->backing = *backing;
	p->stack_depth = stacked ? 2 : 1;
}

/* ---- messages ---- */

static void say_once(struct passthrough *p, const char *why)
{
	bool said;

	lock_take(&p->lock);
	said = p->refused;
	p->refused = true;
	lock_drop(&p->lock);
	if (!said)
		log_notice("files are read and appended to through this process, and not "
			   "directly: %s",
			   why);
}

void passthrough_amend_init(struct passthrough *p, const void *in, size_t in_len, void *out,
			    size_t out_len)
{
	struct fuse_init_in init = {0};
	uint32_t flags, flags2;
	char *answer = out;

	if (!p->backing.open)
		return;
	memcpy(&init, in, MIN(in_len, sizeof(init)));
	if (!(init.flags & INIT_EXT) || !(init.flags2 & INIT2_PASSTHROUGH) ||
	    out_len < INIT_STACK_DEPTH + sizeof(p->stack_depth)) {
		say_once(p, "the kernel does not offer it (Linux 6.9 does)");
		return;
	}
	memcpy(&flags, answer + offsetof(struct fuse_init_out, flags), sizeof(flags));
	memcpy(&flags2, answer + offsetof(struct fuse_init_out, flags2), sizeof(flags2));
	flags |= INIT_EXT;
	flags2 |= INIT2_PASSTHROUGH;
	memcpy(answer + offsetof(struct fuse_init_out, flags), &flags, sizeof(flags));
	memcpy(answer + offsetof(struct fuse_init_out, flags2), &flags2, sizeof(flags2));
	memcpy(answer + INIT_STACK_DEPTH, &p->stack_depth, sizeof(p->stack_depth));
	lock_take(&p->lock);
	p->offered = true;
	lock_drop(&p->lock);
	p->appends = init.minor >= MINOR_APPENDS;
	if (!p->appends)
		log_notice("what is appended to files goes through this process: the kernel is "
			   "too old for more (Linux 6.12 is not)");
}

static _Thread_local int32_t reply_id;

void passthrough_set_reply(int32_t id)
{
	reply_id = id;
}

/* The body of an answer to OPEN or CREATE ends in a struct open_out. A kernel that passes through takes no other
 * flag of caching beside it. */
void passthrough_amend_reply(const struct iovec *iov, int count)
{
	struct fuse_out_header header;
	struct open_out out;
	int32_t id = reply_id;
	char *at;

	reply_id = 0; /* whatever this answer is: the next is to something else */
	if (!id || count < 2 || iov[0].iov_len < sizeof(header) ||
	    iov[count - 1].iov_len < sizeof(out))
		return;
	memcpy(&header, iov[0].iov_base, sizeof(header));
	if (header.error)
		return;
	at = (char *)iov[count - 1].iov_base + iov[count - 1].iov_len - sizeof(out);
	memcpy(&out, at, sizeof(out));
	out.open_flags = (out.open_flags & ~OPEN_KEEP_CACHE) | OPEN_PASSTHROUGH;
	out.backing_id = id;
	memcpy(at, &out, sizeof(out));
}

/* ---- which file ---- */

static struct passthrough_inode *find_locked(struct passthrough *p, const struct node *n)
    REQUIRES(p->lock)
{
	struct passthrough_inode *i;

	HASH_FIND_PTR(p->inodes, &n, i);
	return i;
}

static struct passthrough_inode *new_locked(struct passthrough *p, const struct node *n)
    REQUIRES(p->lock)
{
	struct passthrough_inode *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	i->node = n;
	i->deciding = true;
	HASH_ADD_PTR(p->inodes, node, i);
	if (i->hh.tbl)
		return i;
	free(i);
	return NULL;
}

/* A number for the open file fd, or 0. What will not work for any is not tried again. */
static int32_t open_backing(struct passthrough *p, int fd)
{
	int32_t id = p->backing.open(p->backing.ctx, fd);

	if (id > 0)
		return id;
	if (id == -EPERM || id == -EPIPE || id == -ELOOP) {
		lock_take(&p->lock);
		p->offered = false;
		lock_drop(&p->lock);
	}
	say_once(p, id == -EPERM   ? "that takes CAP_SYS_ADMIN"
		    : id == -ELOOP ? "the store lies on too many stacked file systems"
				   : strerror(id ? -id : EIO));
	return 0;
}

/* It always was, and will be: it is not counted. */
static bool is_small_object(const struct node *n, struct handle *h)
{
	struct stat st;

	return node_kind(n) == NODE_OBJECT &&
	       (fstat(store_pass(h), &st) != 0 || st.st_size < BYTES_MIN);
}

/* May h be the first that is passed? Then what the store says of it is done: it has the store's file. */
static int first_fd(struct passthrough *p, const struct node *n, struct handle *h)
{
	bool object = node_kind(n) == NODE_OBJECT;

	return object || p->appends ? store_pass(h) : -1;
}

static int32_t decide(struct passthrough *p, const struct node *n, struct handle *h)
{
	int fd = first_fd(p, n, h);
	int32_t id = fd < 0 ? 0 : open_backing(p, fd);

	if (fd >= 0 && !id)
		store_pass_undo(h);
	return id;
}

/* The inode, and i->deciding: the others wait. New, if there was none; NULL: there is to be none (*err 0; passing
 * is not offered any more, and never will be again), or there is no memory. */
static struct passthrough_inode *take_inode(struct passthrough *p, const struct node *n,
					    int *err)
{
	struct passthrough_inode *i;

	*err = 0;
	lock_take(&p->lock);
	while ((i = find_locked(p, n)) && i->deciding)
		cond_wait(&p->changed, &p->lock);
	if (i) {
		i->deciding = true;
	} else if (p->offered) {
		i = new_locked(p, n);
		*err = i ? 0 : -ENOMEM;
	}
	lock_drop(&p->lock);
	return i;
}

/* With one handle more. */
static void give_inode(struct passthrough *p, struct passthrough_inode *i, int32_t id)
{
	lock_take(&p->lock);
	i->id = id;
	i->opens++;
	i->deciding = false;
	cond_broadcast(&p->changed);
	lock_drop(&p->lock);
}

int32_t passthrough_enter(struct passthrough *p, const struct node *n, struct handle *h,
			  bool *direct)
{
	enum store_pass how = STORE_PASS_OVER;
	struct passthrough_inode *i;
	int32_t id, old;
	bool ordinary;
	int err;

	*direct = false;
	if (!p->backing.open || is_small_object(n, h))
		return 0;
	i = take_inode(p, n, &err);
	if (!i)
		return err;
	lock_take(&p->lock);
	id = old = i->id;
	ordinary = i->opens > 0 && !id;
	lock_drop(&p->lock);
	if (old)
		how = store_pass_too(h);
	/* All of them have left by now, or have not come: the first decides. */
	if (!ordinary && how == STORE_PASS_OVER)
		id = decide(p, n, h);
	give_inode(p, i, id);
	if (old && how == STORE_PASS_OVER)
		p->backing.close(p->backing.ctx, old);
	*direct = how == STORE_PASS_BESIDE;
	return id;
}

void passthrough_leave(struct passthrough *p, const struct node *n)
{
	struct passthrough_inode *i;
	int32_t id = 0;

	if (!p->backing.open)
		return;
	lock_take(&p->lock);
	i = find_locked(p, n);
	if (i && --i->opens == 0 && !i->deciding) {
		id = i->id;
		HASH_DEL(p->inodes, i);
		free(i);
	}
	lock_drop(&p->lock);
	if (id)
		p->backing.close(p->backing.ctx, id);
}
