/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The group commit. Whoever finds no leader leads: it takes all that is queued, runs each
 * member's function on one overlay under the lock, taking back what a member did that fails or
 * declines, saves the overlay once without the lock, publishes it under the lock, and hands out
 * the results. Those that come meanwhile make up the next group. So the cost of the fsyncs is
 * shared exactly when it hurts, and nobody waits for a timer.
 *
 * A member whose function ran after another had changed something has seen what is not durable
 * yet: whatever it answered ("it is there already") is wrong if the save fails, so it gets the
 * error, too.
 */
#include "lib/manifest_impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/io.h"

/* What raise_ids returns when there is nothing to do. */
#define IDS_THERE 1

static void release(struct manifest *m)
{
	manifest_forget_recovery(m);
	manifest_intents_truncate(&m->intents, 0);
	manifest_mem_release(&m->mem);
	manifest_save_release(&m->disk);
	free(m->suffix);
	free(m->exclude);
	free(m->was_exclude);
	cond_release(&m->cond);
	lock_release(&m->lock);
	free(m);
}

int manifest_copy_intents(struct manifest *m)
{
	size_t count = m->intents.count;

	m->loaded_intents = calloc(count + 1, sizeof(*m->loaded_intents));
	if (!m->loaded_intents)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const struct intent *from = &m->intents.items[i];
		struct manifest_intent to = {.seq = from->seq, .id = from->id};

		to.from = strdup(from->from);
		to.to = strdup(from->to);
		m->loaded_intents[m->loaded_intent_count++] = to;
		if (!to.from || !to.to)
			return -ENOMEM;
	}
	return 0;
}

static int copy_removal(const struct manifest *m, const struct node *n,
			struct manifest_removal *out)
{
	char object[NAME_BYTES + 1], *path;
	size_t len = strlen(n->dir->path);

	if (name_sealed(manifest_node_plain(n), n->part, m->suffix, object) != 0)
		return -EINVAL;
	path = malloc(len + strlen(object) + 2);
	if (!path)
		return -ENOMEM;
	sprintf(path, "%s%s%s", n->dir->path, len ? "/" : "", object);
	*out = (struct manifest_removal){.id = n->id, .part = n->part, .path = path};
	memcpy(out->sha256, n->sha256, SHA256_BYTES);
	return 0;
}

static int copy_removals(struct manifest *m)
{
	size_t count = m->mem.count - m->mem.live;

	m->loaded_removals = calloc(count + 1, sizeof(*m->loaded_removals));
	if (!m->loaded_removals)
		return -ENOMEM;
	for (const struct node *n = manifest_mem_first(&m->mem); n; n = manifest_mem_next(n)) {
		int err;

		if (!n->removed)
			continue;
		err = copy_removal(m, n, &m->loaded_removals[m->loaded_removal_count]);
		if (err)
			return err;
		m->loaded_removal_count++;
	}
	return 0;
}

/* The first manifest of a store. */
static int create(struct manifest *m, const struct manifest_options *o,
		  struct manifest_error *error)
{
	struct overlay overlay;
	struct save s = {.overlay = &overlay, .mem = &m->mem, .intents = &m->intents};
	int err;

	m->suffix = strdup(o->suffix ? o->suffix : NAME_DEFAULT_SUFFIX);
	m->was_exclude = strdup("");
	if (!m->suffix || !m->was_exclude)
		return -ENOMEM;
	if (name_check_suffix(m->suffix) != 0) {
		snprintf(error->text, sizeof(error->text), "%s is no suffix", m->suffix);
		return -EINVAL;
	}
	err = manifest_file_refuse_leftovers(m->disk.storefd, m->suffix, error);
	if (err)
		return err;
	if (!o->create || o->read_only)
		return -ENOENT;
	m->next_seq = 1;
	m->id_next = m->id_mark = MANIFEST_FIRST_ID;
	manifest_overlay_init(&overlay, m->next_seq);
	s.suffix = m->suffix;
	s.exclude = o->exclude ? o->exclude : "";
	s.next_id = MANIFEST_FIRST_ID;
	err = manifest_file_make_dirs(m->disk.storefd);
	if (!err)
		err = manifest_save(&m->disk, &s);
	m->generation = m->disk.generation;
	return err;
}

static int load(struct manifest *m, const struct manifest_options *o,
		struct manifest_error *error)
{
	int err = manifest_load(m, o->suffix, error);

	if (err)
		return err;
	err = manifest_copy_intents(m);
	if (!err)
		err = copy_removals(m);
	if (err || o->read_only)
		return err;
	err = manifest_file_make_dirs(m->disk.storefd);
	if (err)
		return err;
	manifest_file_sweep_temporaries(m->disk.storefd);
	manifest_file_sweep(&m->disk);
	return 0;
}

struct manifest *manifest_new_memory(int storefd)
{
	struct manifest *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	lock_init(&m->lock);
	cond_init(&m->cond);
	m->queue_end = &m->queue;
	if (manifest_save_init(&m->disk, storefd) == 0 && manifest_mem_init(&m->mem) == 0)
		return m;
	release(m);
	return NULL;
}

int manifest_open(int storefd, const struct manifest_options *options, struct manifest **out,
		  struct manifest_error *error)
{
	struct manifest *m = manifest_new_memory(storefd);
	int err;

	error->text[0] = '\0';
	if (!m)
		return -ENOMEM;
	m->read_only = options->read_only;
	err = load(m, options, error);
	if (err == -ENOENT) {
		error->text[0] = '\0';
		err = create(m, options, error);
	}
	if (!err) {
		m->exclude = strdup(options->exclude ? options->exclude : m->was_exclude);
		err = m->exclude ? 0 : -ENOMEM;
	}
	if (err) {
		if (!error->text[0])
			snprintf(error->text, sizeof(error->text), MANIFEST_FILE ": %s",
				 strerror(-err));
		release(m);
		return err;
	}
	m->disk.next_chunk = manifest_file_next_chunk(&m->disk);
	*out = m;
	return 0;
}

void manifest_close(struct manifest *m)
{
	if (m)
		release(m);
}

bool manifest_use_reserve(struct manifest *m)
{
	return manifest_save_use_reserve(&m->disk);
}

/* Run one member's function on the group's overlay. */
static void run_member_locked(struct manifest *m, struct overlay *o, struct member *member)
    REQUIRES(&m->lock)
{
	struct manifest_txn txn = {.m = m, .overlay = o};
	struct overlay_mark before = o->at;

	member->result = member->fn(&txn, member->ctx);
	if (member->result == 0)
		member->result = txn.error;
	if (member->result > 0 && !member->conditional)
		member->result = -EINVAL;
	if (member->result == 0)
		manifest_overlay_accept(o);
	else
		manifest_overlay_rollback(o, &before);
	member->saw_unsaved = manifest_overlay_changed(o);
}

/* Make the overlay a part of the base. Cannot fail. */
static void publish_locked(struct manifest *m, struct overlay *o) REQUIRES(&m->lock)
{
	if (o->at.move_count)
		manifest_mem_move(&m->mem);
	for (struct slot *s = o->slots; s; s = s->hh.next) {
		struct node *old = manifest_mem_find(&m->mem, s->id, s->part);
		struct node *n = s->state.node ? s->state.node : old;

		if (s->state.node)
			manifest_mem_insert(&m->mem, n, old);
		if (s->state.removed_seq) {
			n->removed = true;
			n->seq = s->state.removed_seq;
		}
		s->state.node = NULL;
	}
	m->mem.live += (uint64_t)o->at.live_delta;
	for (size_t i = 0; i < o->intents.count; i++)
		m->intents.items[m->intents.count++] = o->intents.items[i];
	o->intents.count = 0;
	for (size_t i = 0; i < o->at.done_count; i++)
		manifest_intents_drop(&m->intents, o->dones[i]);
	m->next_seq = o->at.next_seq;
}

/*
 * The header's mark of file ids. An unclean stop must not lead to an id twice, so the mark is
 * above all that may be handed out until it is moved. A clean one gives back what was not used:
 * from here on nothing is handed out before another commit.
 */
static uint64_t mark_ids_locked(struct manifest *m, const struct overlay *o) REQUIRES(&m->lock)
{
	if (o->at.clean == 1)
		m->id_mark = m->id_next;
	else
		return MAX(MAX(m->id_mark, m->id_next), o->at.id_mark);
	return m->id_next;
}

/* Save the group's overlay without the lock, and publish it. */
static int save_locked(struct manifest *m, struct overlay *o) REQUIRES(&m->lock)
{
	uint64_t id_mark = m->id_mark;
	struct save s = {
	    .overlay = o,
	    .mem = &m->mem,
	    .intents = &m->intents,
	    .suffix = m->suffix,
	    .exclude = m->exclude,
	    .clean = o->at.clean >= 0 ? o->at.clean : m->clean,
	};
	int err = manifest_intents_reserve(&m->intents, o->intents.count);

	if (!err)
		err = manifest_overlay_plan(o, &m->mem);
	if (err)
		return err;
	s.next_id = mark_ids_locked(m, o);
	lock_drop(&m->lock);
	err = manifest_save(&m->disk, &s);
	lock_take(&m->lock);
	if (err) {
		manifest_overlay_unplan(o, &m->mem);
		/* Numbers that may be on disk are not used again (L13, L19). */
		if (s.renamed)
			m->next_seq = o->at.next_seq;
		else
			m->id_mark = id_mark;
		return err;
	}
	publish_locked(m, o);
	m->clean = s.clean;
	m->id_mark = s.next_id;
	m->generation = s.generation;
	if (s.rewritten)
		manifest_mem_forget(&m->mem, s.forget_seq);
	return 0;
}

static void lead_locked(struct manifest *m) REQUIRES(&m->lock)
{
	struct member *group = m->queue, undone = {.fn = manifest_done_undone};
	struct overlay o;
	int err = 0;

	m->leading = true;
	m->queue = NULL;
	m->queue_end = &m->queue;
	manifest_overlay_init(&o, m->next_seq);
	run_member_locked(m, &o, &undone);
	for (struct member *i = group; i; i = i->next)
		run_member_locked(m, &o, i);
	if (manifest_overlay_changed(&o))
		err = save_locked(m, &o);
	manifest_overlay_release(&o);
	while (group) {
		struct member *i = group;

		group = i->next;
		if (err && i->saw_unsaved)
			i->result = err;
		i->done = true;
	}
	m->leading = false;
	cond_broadcast(&m->cond);
}

static int commit(struct manifest *m, struct member *member)
{
	if (m->read_only)
		return -EROFS;
	lock_take(&m->lock);
	*m->queue_end = member;
	m->queue_end = &member->next;
	while (!member->done && m->leading)
		cond_wait(&m->cond, &m->lock);
	if (!member->done)
		lead_locked(m);
	lock_drop(&m->lock);
	return member->result;
}

int manifest_commit(struct manifest *m, int (*fn)(struct manifest_txn *txn, void *ctx),
		    void *ctx)
{
	struct member member = {.fn = fn, .ctx = ctx};

	return commit(m, &member);
}

int manifest_commit_if(struct manifest *m, int (*fn)(struct manifest_txn *txn, void *ctx),
		       void *ctx)
{
	struct member member = {.fn = fn, .ctx = ctx, .conditional = true};

	return commit(m, &member);
}

static int raise_ids(struct manifest_txn *txn, void *ctx)
{
	struct manifest *m = txn->m;

	if (m->id_next < MAX(m->id_mark, txn->overlay->at.id_mark))
		return IDS_THERE;
	if (m->id_next > UINT64_MAX - MANIFEST_ID_STEP)
		return -EOVERFLOW;
	manifest_overlay_raise_ids(txn, m->id_next + MANIFEST_ID_STEP);
	return 0;
}

int manifest_new_id(struct manifest *m, uint64_t *id)
{
	for (;;) {
		bool there;
		int r;

		lock_take(&m->lock);
		there = m->id_next < m->id_mark && !m->read_only;
		if (there)
			*id = m->id_next++;
		lock_drop(&m->lock);
		if (there)
			return 0;
		r = manifest_commit_if(m, raise_ids, NULL);
		if (r < 0)
			return r;
	}
}

static int nothing(struct manifest_txn *txn, void *ctx)
{
	(void)txn;
	(void)ctx;
	return 0;
}

void manifest_undone(struct manifest *m, uint64_t intent_seq)
{
	lock_take(&m->lock);
	manifest_intents_undo(&m->intents, intent_seq);
	lock_drop(&m->lock);
	(void)manifest_commit(m, nothing, NULL);
}

size_t manifest_intents(struct manifest *m, const struct manifest_intent **out)
{
	*out = m->loaded_intents;
	return m->loaded_intent_count;
}

size_t manifest_removals(struct manifest *m, const struct manifest_removal **out)
{
	*out = m->loaded_removals;
	return m->loaded_removal_count;
}

void manifest_forget_recovery(struct manifest *m)
{
	for (size_t i = 0; i < m->loaded_intent_count; i++) {
		free((char *)m->loaded_intents[i].from);
		free((char *)m->loaded_intents[i].to);
	}
	for (size_t i = 0; i < m->loaded_removal_count; i++)
		free((char *)m->loaded_removals[i].path);
	free(m->loaded_intents);
	free(m->loaded_removals);
	m->loaded_intents = NULL;
	m->loaded_removals = NULL;
	m->loaded_intent_count = m->loaded_removal_count = 0;
}
