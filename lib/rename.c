/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Renaming. One name in the store: the rename itself, and the manifest follows lazily; after a
 * crash in between recovery finds the object by its content. More than one name (parts, a raw
 * file with parts), or a directory with sealed files beneath: an intent is committed first, and
 * recovery completes it.
 *
 * A sealed file that is replaced (allow_delete) is removed first: the removal is durable before
 * its name is used again.
 */
#include <fcntl.h>
#include <stdio.h>

#include "lib/catalog.h"
#include "lib/cut.h"
#include "lib/dirfd.h"
#include "lib/events.h"
#include "lib/io.h"
#include "lib/lazy.h"
#include "lib/load.h"
#include "lib/log.h"
#include "lib/tree.h"

struct rename {
	struct store *s;
	struct caller *c;
	struct dir *from_dir, *to_dir;
	char from[NAME_BYTES + 1], to[NAME_BYTES + 1]; /* plain names */
	unsigned flags;
	struct node *src, *dst; /* taken (busy, referenced); dst may be NULL */
	bool tree;		/* taken */
	struct buf from_path, to_path;
	uint64_t intent;
	bool arm; /* it was excluded: what is dirty beneath may be sealed now */
};

/* ---- what is asked for ---- */

/* An object can be renamed to another object's name if it is all there is of its file. */
static int plain_names_of_object(struct rename *r, struct file *f, const char *to)
{
	size_t suffix = strlen(store_suffix(r->s)), stem;
	uint32_t part;

	if (f->part_count != 1 || f->parts[0].number != 1 || file_unsealed(f) ||
	    !name_parse_sealed(to, store_suffix(r->s), &stem, &part) || part != 1 ||
	    globs_match(&r->s->exclude, to)) {
		log_notice("%s: renaming one of its objects to %s is refused: a part keeps its "
			   "place, and an object its suffix; rename the plain name",
			   f->n.name, to);
		return -EPERM;
	}
	snprintf(r->from, sizeof(r->from), "%s", f->n.name);
	snprintf(r->to, sizeof(r->to), "%.*s%s", (int)stem, to,
		 strlen(f->n.name) > name_stem_len(f->n.name, store_suffix(r->s)) &&
			 stem + suffix <= NAME_PLAIN_BYTES
		     ? store_suffix(r->s)
		     : "");
	return 0;
}

static bool has_sealed_bytes(const struct node *n)
{
	const struct file *f = (const struct file *)n;

	return n->kind == NODE_FILE && (f->part_count || f->segments || f->cut_end);
}

/* Who is in the way of the new name? -EEXIST for the other spelling of a stem that lives. */
static int find_target_locked(struct rename *r, struct node **out) REQUIRES(r->s->lock)
{
	struct store *s = r->s;
	struct found found;
	struct file *g;

	catalog_find_locked(s, r->to_dir, r->to, &found);
	if (found.part) /* an object has this name: only an excluded name gets here */
		return -EEXIST;
	*out = found.node;
	if (r->src->kind != NODE_FILE)
		return 0;
	g = catalog_find_stem_locked(s, r->to_dir, r->to);
	if (g && &g->n != r->src && &g->n != found.node)
		return -EEXIST;
	return 0;
}

static int check_target_locked(struct rename *r, struct node *dst) REQUIRES(r->s->lock)
{
	struct store *s = r->s;
	char name[NAME_BYTES + 1];

	if (r->flags & RENAME_EXCHANGE) {
		if (!dst)
			return -ENOENT;
		return has_sealed_bytes(r->src) || has_sealed_bytes(dst) ? -EINVAL : 0;
	}
	if (dst && (r->flags & RENAME_NOREPLACE))
		return -EEXIST;
	if (dst && dst->kind == NODE_DIR && r->src->kind != NODE_DIR)
		return -EISDIR;
	if (dst && dst->kind != NODE_DIR && r->src->kind == NODE_DIR)
		return -ENOTDIR;
	if (dst && has_sealed_bytes(dst) && !may_delete(s, dst->name)) {
		log_notice(
		    "%s: replacing a sealed file is refused; notepackctl rm removes it, and "
		    "the option allow_delete=GLOB permits it",
		    dst->name);
		return -EPERM;
	}
	if (has_sealed_bytes(r->src)) {
		if (strlen(r->to) > NAME_PLAIN_BYTES)
			return -ENAMETOOLONG;
		if (name_sealed(r->to, to_file(r->src)->next_part, store_suffix(s), name) !=
			0 &&
		    to_file(r->src)->next_part > 2)
			return -ENAMETOOLONG;
	}
	return 0;
}

/* Take the nodes, or find that one is busy. */
static int take_locked(struct rename *r, struct node *dst) REQUIRES(r->s->lock)
{
	struct store *s = r->s;
	bool dirs = r->src->kind == NODE_DIR || (dst && dst->kind == NODE_DIR);
	int err = 0;

	if (dirs)
		err = node_take_locked(s, &s->tree, BUSY_NAME, r->c);
	r->tree = dirs && !err;
	if (!err)
		err = node_take_locked(s, r->src, BUSY_NAME, r->c);
	if (err)
		goto out_tree;
	if (dst)
		err = node_take_locked(s, dst, BUSY_NAME, r->c);
	if (err)
		goto out_src;
	r->dst = dst;
	while (r->tree && s->loading > 0)
		cond_wait(&s->changed, &s->lock);
	return 0;

out_src:
	waiters_wake(node_give_locked(s, r->src)); /* none: it was idle a moment ago */
out_tree:
	if (r->tree)
		waiters_wake(node_give_locked(s, &s->tree));
	r->tree = false;
	return err;
}

static int prepare_locked(struct rename *r, const char *from, const char *to)
    REQUIRES(r->s->lock)
{
	struct store *s = r->s;
	struct node *dst = NULL;
	struct found found;
	int err = 0;

	catalog_find_locked(s, r->from_dir, from, &found);
	if (!found.node || (r->to_dir != s->root && !r->to_dir->n.linked))
		return -ENOENT;
	r->src = found.node;
	snprintf(r->from, sizeof(r->from), "%s", from);
	snprintf(r->to, sizeof(r->to), "%s", to);
	if (found.part)
		err = plain_names_of_object(r, to_file(found.node), to);
	if (!err)
		err = check_new_name_locked(s, r->to_dir, r->to, r->src->kind);
	if (!err)
		err = find_target_locked(r, &dst);
	if (err)
		return err;
	if (dst == r->src)
		return r->flags & RENAME_NOREPLACE ? -EEXIST : 2;
	err = check_target_locked(r, dst);
	return err ? err : take_locked(r, dst);
}

/* ---- paths and intents ---- */

static void path_of_locked(struct store *s, struct dir *d, const char *name, struct buf *out)
    REQUIRES(s->lock)
{
	catalog_path_locked(s, &d->n, 0, out);
	if (out->len)
		buf_add(out, "/", 1);
	buf_str(out, name);
}

static int begin_intent(struct manifest_txn *txn, void *ctx)
{
	struct rename *r = ctx;
	uint64_t id = r->src->kind == NODE_FILE ? to_file(r->src)->id : 0;

	return manifest_intent(txn, id, r->from_path.data, r->to_path.data, &r->intent);
}

static int end_intent(struct manifest_txn *txn, void *ctx)
{
	struct rename *r = ctx;

	return manifest_done(txn, r->intent);
}

/* ---- a file ---- */

static bool same_stem_names(const struct rename *r)
{
	size_t n = name_stem_len(r->from, store_suffix(r->s));

	return n == name_stem_len(r->to, store_suffix(r->s)) && memcmp(r->from, r->to, n) == 0;
}

/* Rename every name of the file; those done are undone if one fails. */
static int move_names(struct rename *r, struct file *f, int from_fd, int to_fd)
{
	const char *suffix = store_suffix(r->s);
	char from[NAME_BYTES + 1], to[NAME_BYTES + 1];
	bool same_stem = r->from_dir == r->to_dir && same_stem_names(r);
	uint32_t done = 0;
	int err = 0;

	for (; !same_stem && done < f->part_count && !err; done += !err) {
		err = name_sealed(r->from, f->parts[done].number, suffix, from);
		if (!err)
			err = name_sealed(r->to, f->parts[done].number, suffix, to);
		if (!err)
			err = io_rename_noreplace(from_fd, from, to_fd, to);
	}
	if (!err && f->raw_present) /* replaces a raw file, atomically, if dst is one */
		err = r->dst ? io_rename(from_fd, r->from, to_fd, r->to, 0)
			     : io_rename_noreplace(from_fd, r->from, to_fd, r->to);
	while (err && !same_stem && done-- > 0) {
		name_sealed(r->from, f->parts[done].number, suffix, from);
		name_sealed(r->to, f->parts[done].number, suffix, to);
		(void)io_rename_noreplace(to_fd, to, from_fd, from);
	}
	return err;
}

/* Tell the manifest of the new path at once, and that the intent is complete. */
struct moved {
	struct rename *r;
	struct file *f;
	const char *dir;
};

static int put_moved(struct manifest_txn *txn, void *ctx)
{
	struct moved *m = ctx;

	for (uint32_t i = 0; i < m->f->part_count; i++) {
		struct sealed rec;
		int err;

		if (!manifest_txn_get(txn, m->f->id, m->f->parts[i].number, &rec))
			continue;
		err = manifest_put(txn, &rec, m->dir, m->r->to);
		if (err)
			return err;
	}
	return manifest_done(txn, m->r->intent);
}

static int finish_intent(struct rename *r, struct file *f)
{
	CLEANUP_BUF struct buf dir = {0};
	struct moved moved = {.r = r, .f = f};

	buf_str(&dir, "");
	lock_take(&r->s->lock);
	catalog_path_locked(r->s, &r->to_dir->n, 0, &dir);
	lock_drop(&r->s->lock);
	if (dir.failed)
		return -ENOMEM;
	moved.dir = dir.data;
	return manifest_commit(r->s->manifest, put_moved, &moved);
}

/* In the store. */
static int move_file(struct rename *r)
{
	struct file *f = to_file(r->src);
	bool many = f->part_count + f->raw_present > 1;
	int from_fd, to_fd, err = 0;

	if (r->dst && r->dst->kind == NODE_FILE &&
	    (has_sealed_bytes(r->dst) || !f->raw_present)) {
		err = remove_file(r->s, to_file(r->dst), 0);
		if (err)
			return err;
	}
	if (many)
		err = manifest_commit(r->s->manifest, begin_intent, r);
	if (err)
		return err;
	from_fd = dirfd_get(r->s, r->from_dir);
	to_fd = from_fd < 0 ? from_fd : dirfd_get(r->s, r->to_dir);
	err = to_fd < 0 ? to_fd : move_names(r, f, from_fd, to_fd);
	if (to_fd >= 0)
		dirfd_put(r->s, r->to_dir);
	if (from_fd >= 0)
		dirfd_put(r->s, r->from_dir);
	if (err && many)
		manifest_commit(r->s->manifest, end_intent, r);
	else if (many && finish_intent(r, f) != 0)
		log_warning("%s: renamed; the manifest follows later", r->to_path.data);
	return err;
}

/* ---- a directory, a link, an exchange ---- */

static int put_moved_dir(struct manifest_txn *txn, void *ctx)
{
	struct rename *r = ctx;
	int err = manifest_move_dir(txn, r->from_path.data, r->to_path.data);

	return err ? err : manifest_done(txn, r->intent);
}

static int move_name(struct rename *r)
{
	int from_fd = dirfd_get(r->s, r->from_dir);
	int to_fd = from_fd < 0 ? from_fd : dirfd_get(r->s, r->to_dir);
	int err;

	if (to_fd < 0)
		err = to_fd;
	else if (r->flags & RENAME_EXCHANGE)
		err = io_rename(from_fd, r->from, to_fd, r->to, RENAME_EXCHANGE);
	else
		err = io_rename(from_fd, r->from, to_fd, r->to, 0);
	if (to_fd >= 0)
		dirfd_put(r->s, r->to_dir);
	if (from_fd >= 0)
		dirfd_put(r->s, r->from_dir);
	return err;
}

static int move_other(struct rename *r)
{
	struct manifest *m = r->s->manifest;
	bool recorded = r->src->kind == NODE_DIR && manifest_has_beneath(m, r->from_path.data);
	int err = 0;

	if (r->flags & RENAME_EXCHANGE) {
		if (recorded || manifest_has_beneath(m, r->to_path.data))
			return -EINVAL;
	} else if (r->dst && r->dst->kind == NODE_FILE && has_sealed_bytes(r->dst)) {
		err = remove_file(r->s, to_file(r->dst), 0);
	}
	if (!err && recorded)
		err = manifest_commit(m, begin_intent, r);
	if (err)
		return err;
	err = move_name(r);
	if (err && recorded)
		manifest_commit(m, end_intent, r);
	else if (recorded)
		err = manifest_commit(m, put_moved_dir, r);
	return err;
}

/* ---- in memory ---- */

static void relink_locked(struct store *s, struct node *n, struct dir *d, const char *name)
    REQUIRES(s->lock)
{
	struct dir *old = n->dir;
	char was[NAME_BYTES + 1];

	snprintf(was, sizeof(was), "%s", n->name);
	catalog_unlink_locked(s, n);
	if (catalog_link_locked(s, d, n, name) != 0 && catalog_link_locked(s, old, n, was) != 0)
		log_error("%s: no memory for its name; it is seen again after the next mount",
			  name);
	if (n->kind == NODE_DIR)
		to_dir(n)->durable = false;
	else if (n->kind == NODE_FILE)
		to_file(n)->raw_durable = false;
}

static void publish_locked(struct rename *r) REQUIRES(r->s->lock)
{
	struct store *s = r->s;
	struct file *f = to_file(r->src);

	if (r->flags & RENAME_EXCHANGE) {
		catalog_unlink_locked(s, r->dst);
		relink_locked(s, r->src, r->to_dir, r->to);
		(void)catalog_link_locked(s, r->from_dir, r->dst, r->from);
	} else {
		if (r->dst) {
			if (r->dst->kind == NODE_FILE) {
				timer_disarm_locked(s, to_file(r->dst));
				lazy_unmark_locked(s, to_file(r->dst));
			}
			catalog_unlink_locked(s, r->dst);
			if (r->dst->kind == NODE_FILE)
				active_update_locked(s, to_file(r->dst));
		}
		relink_locked(s, r->src, r->to_dir, r->to);
	}
	dirfd_touch_locked(r->from_dir);
	dirfd_touch_locked(r->to_dir);
	if (r->src->kind == NODE_FILE) {
		if (f->part_count)
			lazy_mark_locked(s, f);
		if (!f->writers)
			file_closed_locked(s, f); /* the name may be excluded no more */
	}
}

/* A directory that is excluded no more: what is dirty beneath is to be sealed. */
static void arm_beneath(struct store *s, struct dir *d)
{
	struct node *n;
	struct dir **dirs;
	size_t count = 0;

	if (dir_load(s, d) != 0)
		return;
	lock_take(&s->lock);
	for (n = d->files; n; n = n->hh.next) {
		if (to_file(n)->raw_present && to_file(n)->size > to_file(n)->cut_end)
			file_dirty_locked(s, to_file(n));
	}
	dirs = calloc(HASH_COUNT(d->others) + 1, sizeof(*dirs));
	for (n = d->others; dirs && n; n = n->hh.next) {
		if (n->kind == NODE_DIR) {
			node_ref_locked(n);
			dirs[count++] = to_dir(n);
		}
	}
	lock_drop(&s->lock);
	while (count-- > 0) {
		arm_beneath(s, dirs[count]);
		node_unref(s, &dirs[count]->n, 1);
	}
	free(dirs);
}

static void tell(struct rename *r)
{
	CLEANUP_BUF struct buf more = {0};

	if (r->src->kind == NODE_LINK ||
	    (r->src->kind == NODE_FILE && !to_file(r->src)->part_count))
		return;
	buf_str(&more, ",");
	buf_json_path(&more, "to", r->to_path.data, r->to_path.len);
	if (!more.failed)
		events_add(r->s->events, "rename", manifest_last_seq(r->s->manifest),
			   r->from_path.data, more.data);
}

/* With everything taken. */
static int perform(struct rename *r)
{
	struct store *s = r->s;
	bool was_excluded;
	int err;

	lock_take(&s->lock);
	path_of_locked(s, r->from_dir, r->from, &r->from_path);
	path_of_locked(s, r->to_dir, r->to, &r->to_path);
	was_excluded = catalog_excluded_locked(s, r->from_dir, r->from);
	lock_drop(&s->lock);
	if (r->from_path.failed || r->to_path.failed)
		return -ENOMEM;
	if (r->src->kind == NODE_FILE && !(r->flags & RENAME_EXCHANGE))
		err = move_file(r);
	else
		err = move_other(r);
	if (err)
		return err;
	lock_take(&s->lock);
	publish_locked(r);
	lock_drop(&s->lock);
	tell(r);
	r->arm = was_excluded && r->src->kind == NODE_DIR;
	return 0;
}

static void give_back(struct rename *r)
{
	struct store *s = r->s;
	struct node *src = r->src;

	lock_take(&s->lock);
	node_ref_locked(src);
	lock_drop(&s->lock);
	node_give(s, src);
	if (r->dst)
		node_give(s, r->dst);
	if (r->tree)
		node_give(s, &s->tree);
	if (r->arm)
		arm_beneath(s, to_dir(src));
	node_unref(s, src, 1);
	buf_release(&r->from_path);
	buf_release(&r->to_path);
}

int store_rename(struct store *s, struct caller *c, struct node *from_dir, const char *from,
		 struct node *to_dir, const char *to, unsigned flags)
{
	struct rename r = {.s = s, .c = c, .flags = flags};
	int err = s->options.read_only ? -EROFS : 0;

	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
	    flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	if (strlen(from) > NAME_BYTES || strlen(to) > NAME_BYTES)
		return -ENAMETOOLONG;
	if (!err)
		err = enter_dir(s, from_dir, &r.from_dir);
	if (!err)
		err = enter_dir(s, to_dir, &r.to_dir);
	if (err)
		return err;
	lock_take(&s->lock);
	err = prepare_locked(&r, from, to);
	lock_drop(&s->lock);
	if (err)
		return err == 2 ? 0 : err;
	err = perform(&r);
	give_back(&r);
	return err;
}
