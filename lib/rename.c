/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Renaming. One name in the store: the rename itself, and the manifest follows lazily; after a
 * crash in between recovery finds the object by its content. More than one name (parts, a raw
 * file with parts; any file, where the filesystem has no RENAME_NOREPLACE), or a directory with
 * sealed files beneath: an intent is committed first, and recovery completes it.
 *
 * A sealed file that is replaced (allow_delete) keeps its bytes until the new file is beside them,
 * where that has a raw file only (rename_move.c); else it is removed first. In memory the name
 * changes hands at once.
 */
#include <fcntl.h>
#include <stdio.h>

#include "lib/catalog.h"
#include "lib/cut.h"
#include "lib/dirfd.h"
#include "lib/early.h"
#include "lib/events.h"
#include "lib/import.h"
#include "lib/io.h"
#include "lib/lazy.h"
#include "lib/load.h"
#include "lib/log.h"
#include "lib/notify.h"
#include "lib/rename_impl.h"
#include "lib/tree.h"

/* ---- what is asked for ---- */

/* An object can be renamed to another object's name if it is all there is of its file. */
static int plain_names_of_object(struct rename *r, struct file *f, const char *to)
{
	const char *suffix = store_suffix(r->s);
	uint32_t part;
	size_t stem;
	bool with;

	if (f->part_count != 1 || f->parts[0].number != 1 || file_unsealed(f) ||
	    !name_parse_sealed(to, store_suffix(r->s), &stem, &part) || part != 1 ||
	    globs_match(&r->s->exclude, to)) {
		r->refusal =
		    "a part keeps its place, and an object its suffix; rename the plain "
		    "name";
		return -EPERM;
	}
	snprintf(r->from, sizeof(r->from), "%s", f->n.name);
	with = name_stem_needs_suffix(to, stem, suffix) ||
	       (strlen(f->n.name) > name_stem_len(f->n.name, suffix) &&
		stem + strlen(suffix) <= NAME_PLAIN_BYTES);
	snprintf(r->to, sizeof(r->to), "%.*s%s", (int)stem, to, with ? suffix : "");
	return 0;
}

/* Who is in the way of the new name? -EEXIST for the other spelling of a stem that lives. */
static int find_target_locked(struct store *s, struct rename *r, struct node **out)
    REQUIRES(s->lock)
{
	struct found found;
	struct file *g;

	catalog_find_locked(s, r->to_dir, r->to, &found);
	if (found.part && !r->to_import) /* only an excluded name gets here */
		return -EEXIST;
	*out = found.node;
	if (found.part) { /* a new object instead of the one there is */
		g = to_file(found.node);
		return g->part_count > 1 || file_unsealed(g) ? -EEXIST : 0;
	}
	if (r->src->kind != NODE_FILE)
		return 0;
	g = catalog_find_rival_locked(s, r->to_dir, r->to, r->to_import);
	if (g && &g->n != r->src && &g->n != found.node)
		return -EEXIST;
	return 0;
}

static int check_target_locked(struct store *s, struct rename *r, struct node *dst)
    REQUIRES(s->lock)
{
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
	if (dst && dst->kind == NODE_DIR && import_is_within_locked(s, to_dir(dst)))
		return -ENOTEMPTY; /* in the store it is empty */
	if (dst && has_sealed_bytes(dst) && !may_delete(s, dst->name)) {
		r->refusal =
		    "it would replace a sealed file; notepackctl rm removes that, and the "
		    "option allow_delete=GLOB permits it";
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

/*
 * A directory's rename has the tree to itself: no publication, and no directory being loaded.
 * Loads are waited for before any node is taken, because they may wait for nodes.
 */
static int take_tree_locked(struct store *s, struct rename *r) REQUIRES(s->lock)
{
	int err = node_take_locked(s, &s->tree, BUSY_NAME, r->c);

	if (err)
		return err;
	r->tree = true;
	while (s->loading > 0)
		cond_wait(&s->changed, &s->lock);
	return 0;
}

/* Take the nodes, or find that one is busy. What is replaced keeps its name until it is gone.
 */
static int take_locked(struct store *s, struct rename *r, struct node *dst) REQUIRES(s->lock)
{
	bool exchange = r->flags & RENAME_EXCHANGE;
	int err;

	if (dst && dst->busy != IDLE)
		return node_take_locked(s, dst, BUSY_NAME, r->c);
	err = node_take_locked(s, r->src, BUSY_NAME, r->c);
	if (!err && dst)
		err = node_take_locked(s, dst, exchange ? BUSY_NAME : BUSY_HELD, r->c);
	if (!err)
		r->dst = dst;
	return err;
}

/* A file comes under the name of an object, or leaves it: it becomes an import, or an ordinary
 * file. */
static int note_imports_locked(struct store *s, struct rename *r) REQUIRES(s->lock)
{
	if (r->src->kind != NODE_FILE)
		return 0;
	r->from_import = to_file(r->src)->import;
	r->to_import = catalog_is_import_locked(s, r->to_dir, r->to);
	if ((r->from_import || r->to_import) && (r->flags & RENAME_EXCHANGE))
		return -EINVAL;
	if (!r->to_import || !has_sealed_bytes(r->src))
		return 0;
	r->refusal = "it is sealed already; rename its object, or give it a plain name";
	return -EPERM;
}

static int prepare_locked(struct store *s, struct rename *r, const char *from, const char *to)
    REQUIRES(s->lock)
{
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
	else
		err = note_imports_locked(s, r);
	if (!err)
		err = check_new_name_locked(s, r->to_dir, r->to, r->src->kind);
	if (!err)
		err = find_target_locked(s, r, &dst);
	if (err)
		return err;
	if (dst == r->src)
		return r->flags & RENAME_NOREPLACE ? -EEXIST : 2;
	if (!r->tree && (r->src->kind == NODE_DIR || (dst && dst->kind == NODE_DIR))) {
		err = take_tree_locked(s, r);
		/* It may have waited: all may be different now. */
		return err ? err : prepare_locked(s, r, from, to);
	}
	err = check_target_locked(s, r, dst);
	return err ? err : take_locked(s, r, dst);
}

static void path_of_locked(struct store *s, struct dir *d, const char *name, struct buf *out)
    REQUIRES(s->lock)
{
	catalog_path_locked(s, &d->n, 0, out);
	if (out->len)
		buf_add(out, "/", 1);
	buf_str(out, name);
}

/* ---- in memory ---- */

static void relink_locked(struct store *s, struct node *n, struct dir *d, const char *name)
    REQUIRES(s->lock)
{
	catalog_unlink_locked(s, n);
	/* Not under its old name: it does not have that in the store any more. */
	if (catalog_link_locked(s, d, n, name) != 0) {
		s->unsettled = true;
		if (n->kind == NODE_FILE) {
			timer_disarm_locked(s, to_file(n));
			lazy_unmark_locked(s, to_file(n));
			active_update_locked(s, to_file(n));
		}
		log_error("%s: no memory for its name; it is seen again after the next mount",
			  name);
	}
	if (n->kind == NODE_DIR)
		to_dir(n)->durable = false;
	else if (n->kind == NODE_FILE)
		to_file(n)->raw_durable = false;
}

static void publish_locked(struct store *s, struct rename *r) REQUIRES(s->lock)
{
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
		if (r->src->kind == NODE_FILE) {
			f->import = r->to_import;
			if (f->import)
				early_removed_locked(s, f);
			free(f->reason);
			f->reason = NULL;
		}
		relink_locked(s, r->src, r->to_dir, r->to);
	}
	dirfd_touch_locked(r->from_dir);
	dirfd_touch_locked(r->to_dir);
	if (r->src->kind == NODE_FILE && r->src->linked) {
		if (f->part_count)
			lazy_mark_locked(s, f);
		if (!f->writers)
			file_closed_locked(s, f); /* the name may be excluded no more */
	}
}

/* A file that must become an import, now that its directory is excluded no more; referenced. */
static struct file *next_import(struct store *s, struct dir *d)
{
	struct node *n;

	lock_take(&s->lock);
	for (n = d->files; n; n = n->hh.next) {
		const struct file *f = to_file(n);

		if (f->raw_present && !f->import && !f->part_count && s->have_xattrs &&
		    name_is_import(n->name, store_suffix(s)) &&
		    catalog_is_import_locked(s, d, n->name))
			break;
	}
	if (n)
		node_ref_locked(n);
	lock_drop(&s->lock);
	return n ? to_file(n) : NULL;
}

static void take_imports_in(struct store *s, struct dir *d)
{
	struct file *f;
	int err = 0;

	while (!err && (f = next_import(s, d))) {
		err = import_take_in(s, f);
		if (err)
			log_warning("%s: it is not taken for an import: %s", f->n.name,
				    strerror(-err));
		node_unref(s, &f->n, 1);
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
	take_imports_in(s, d);
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
	err = rename_move(r);
	if (err)
		return err;
	lock_take(&s->lock);
	publish_locked(s, r);
	lock_drop(&s->lock);
	r->src_left = r->src->kind == NODE_DIR && !import_paths_moved(s, to_dir(r->src), false);
	r->dst_left = (r->flags & RENAME_EXCHANGE) && r->dst->kind == NODE_DIR &&
		      !import_paths_moved(s, to_dir(r->dst), false);
	if (r->src->kind == NODE_FILE) {
		notify_name(s, r->from_dir, r->from);
		notify_file(s, r->from_dir, r->from, to_file(r->src));
	}
	tell(r);
	r->arm = was_excluded && r->src->kind == NODE_DIR;
	return 0;
}

static void give_back(struct rename *r)
{
	struct store *s = r->s;
	struct node *src = r->src, *dst = r->dst;

	lock_take(&s->lock);
	node_ref_locked(src);
	if (dst)
		node_ref_locked(dst);
	lock_drop(&s->lock);
	node_give(s, src);
	if (r->dst)
		node_give(s, r->dst);
	if (r->tree)
		node_give(s, &s->tree);
	if (r->src_left)
		import_paths_moved(s, to_dir(src), true);
	if (r->dst_left)
		import_paths_moved(s, to_dir(dst), true);
	if (r->arm)
		arm_beneath(s, to_dir(src));
	node_unref(s, src, 1);
	if (dst)
		node_unref(s, dst, 1);
	buf_release(&r->from_path);
	buf_release(&r->to_path);
}

/* Says that it was refused, and why. */
static void tell_refusal(struct rename *r, const char *from, const char *to)
{
	CLEANUP_BUF struct buf from_path = {0}, to_path = {0};
	struct store *s = r->s;

	lock_take(&s->lock);
	path_of_locked(s, r->from_dir, from, &from_path);
	path_of_locked(s, r->to_dir, to, &to_path);
	lock_drop(&s->lock);
	log_notice("%s: renaming it to %s is refused: %s",
		   from_path.failed ? from : from_path.data, to_path.failed ? to : to_path.data,
		   r->refusal);
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
	err = prepare_locked(s, &r, from, to);
	lock_drop(&s->lock);
	if (r.refusal)
		tell_refusal(&r, from, to);
	else if (err == -EPERM)
		refuse_new_name(s, r.to_dir, to);
	if (!err) {
		err = perform(&r);
		give_back(&r);
	} else if (r.tree) {
		node_give(s, &s->tree);
	}
	return err == 2 ? 0 : err;
}
