/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/pass.h"

#include <fcntl.h>
#include <utlist.h>

#include "lib/catalog.h"
#include "lib/cut.h"
#include "lib/early.h"
#include "lib/raw.h"
#include "lib/space.h"
#include "lib/state.h"

/* ---- how long it is ---- */

/* A raw file from before our start may have a writer who does not know that the mount has gone. */
static bool may_have_grown(const struct store *s, const struct file *f)
{
	return (f->passed || f->raw_recovered) && f->raw_present && !f->import &&
	       !s->options.read_only;
}

void pass_grown_locked(struct store *s, struct file *f, uint64_t bytes)
{
	uint64_t from = f->size;

	if (bytes <= f->size || !may_have_grown(s, f))
		return;
	f->size = f->written_end = bytes;
	/* Without memory for the entry the old one stays; the next change tries again. */
	if (!f->n.cookie)
		(void)catalog_list_locked(s, f);
	file_dirty_locked(s, f);
	early_changed_locked(s, f, from, bytes);
}

void pass_learn(struct store *s, struct file *f)
{
	pass_learn_to(s, f, UINT64_MAX);
}

void pass_learn_to(struct store *s, struct file *f, uint64_t to)
{
	struct stat st;
	bool may;

	lock_take(&s->lock);
	may = f->size < to && may_have_grown(s, f);
	if (may)
		gate_enter_locked(s, f);
	lock_drop(&s->lock);
	if (!may)
		return;
	may = raw_stat(s, f, &st) == 0; /* there may be none by now */
	lock_take(&s->lock);
	if (may)
		pass_grown_locked(s, f, (uint64_t)st.st_size);
	gate_leave_locked(s, f);
	lock_drop(&s->lock);
}

/* Those in the list, referenced. NULL: there are none, or no memory for it: they stay as they are known. */
static struct file **list_locked(struct store *s, const struct dir *in, size_t *count)
    REQUIRES(s->lock)
{
	struct file **list, *f;
	size_t total;

	*count = 0;
	DL_COUNT2(s->passed, f, total, passed_next);
	list = total ? malloc(total * sizeof(struct file *)) : NULL;
	if (!list)
		return NULL;
	DL_FOREACH2(s->passed, f, passed_next)
	{
		if (in && f->n.dir != in)
			continue;
		node_ref_locked(&f->n);
		list[(*count)++] = f;
	}
	return list;
}

void pass_learn_all(struct store *s, const struct dir *in)
{
	struct file **list;
	size_t count;

	lock_take(&s->lock);
	list = list_locked(s, in, &count);
	lock_drop(&s->lock);
	for (size_t i = 0; i < count; i++) {
		pass_learn(s, list[i]);
		node_unref(s, &list[i]->n, 1);
	}
	free(list);
}

void pass_look(struct store *s)
{
	pass_learn_all(s, NULL);
	lock_take(&s->lock);
	s->pass_look_ns = clock_ns() + PASS_LOOK_NS;
	lock_drop(&s->lock);
}

/* ---- which handles ---- */

/* O_DIRECT is not for us to refuse, and the raw file's file system might. */
static bool is_appender(const struct handle *h)
{
	return (h->flags & (O_ACCMODE | O_APPEND | O_DIRECT)) == (O_WRONLY | O_APPEND);
}

/* Each write of O_DSYNC is to be on disk, and its name, and is to be cut in time: we would not hear of it. */
static bool may_begin(const struct handle *h)
{
	return is_appender(h) && h->raw && !(h->flags & O_DSYNC);
}

static void mark_locked(struct store *s, struct handle *h) REQUIRES(s->lock)
{
	struct file *f = to_file(h->node);

	h->passed = true;
	if (!s->passed) {
		s->pass_look_ns = clock_ns() + PASS_LOOK_NS;
		cond_signal(&s->timer_wake);
	}
	if (!f->passed++)
		DL_APPEND2(s->passed, f, passed_prev, passed_next);
}

static void pass_end_locked(struct store *s, struct handle *h) REQUIRES(s->lock)
{
	struct file *f = to_file(h->node);

	if (!h->passed)
		return;
	h->passed = false;
	if (!--f->passed)
		DL_DELETE2(s->passed, f, passed_prev, passed_next);
}

void pass_release_locked(struct store *s, struct handle *h)
{
	pass_end_locked(s, h);
	to_file(h->node)->beside -= h->beside;
}

/* Are its bytes all in the raw file, and will they stay there? Rotation means them not to. */
static bool may_pass_locked(const struct store *s, const struct file *f) REQUIRES(s->lock)
{
	return f->n.linked && f->raw_present && !f->import && !f->base && !f->raw_base &&
	       !f->raw_unproven && !f->mapped && !f->error && !s->options.rotate_bytes &&
	       !s->options.rotate_age_ns && !space_is_pausing_locked(s);
}

int store_pass(struct handle *h)
{
	struct store *s = h->store;
	struct file *f = to_file(h->node);
	bool may;

	if (h->node->kind == NODE_OBJECT)
		return h->fd;
	if (!may_begin(h) || space_is_short(s))
		return -1;
	lock_take(&s->lock);
	gate_enter_locked(s, f);
	may = may_pass_locked(s, f);
	if (may)
		mark_locked(s, h);
	gate_leave_locked(s, f);
	lock_drop(&s->lock);
	return may ? h->raw->fd : -1;
}

void store_pass_undo(struct handle *h)
{
	lock_take(&h->store->lock);
	pass_end_locked(h->store, h);
	lock_drop(&h->store->lock);
}

static void join_locked(struct store *s, struct handle *h) REQUIRES(s->lock)
{
	struct file *f = to_file(h->node);

	if (is_appender(h)) {
		mark_locked(s, h);
	} else {
		h->beside = true;
		f->beside++;
		/* For a direct write the kernel asks for no FSYNC. */
		h->syncs = h->flags & O_DSYNC;
		f->raw_shown |= (h->flags & O_ACCMODE) != O_WRONLY;
	}
	if ((h->flags & O_ACCMODE) == O_RDWR)
		f->mapped = f->raw_mapped = f->raw_recovered = f->raw_unproven = true;
}

enum store_pass store_pass_too(struct handle *h)
{
	struct store *s = h->store;
	struct file *f = to_file(h->node);
	bool joined;

	if (h->node->kind == NODE_OBJECT)
		return STORE_PASS_ALIKE;
	lock_take(&s->lock);
	gate_enter_locked(s, f);
	joined = file_is_passed(f);
	if (joined)
		join_locked(s, h);
	gate_leave_locked(s, f);
	lock_drop(&s->lock);
	return !joined ? STORE_PASS_OVER : h->passed ? STORE_PASS_ALIKE : STORE_PASS_BESIDE;
}
