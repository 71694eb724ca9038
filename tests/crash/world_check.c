/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promises are looked up through the engine; world_archive.c looks at the closed store without it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/check.h"
#include "tests/crash/world_impl.h"

/* One file of the world, as the engine shows it. */
struct seen {
	bool there;
	uint64_t size;
	char *data; /* free it */
};

static void die_of(const char *what)
{
	perror(what);
	exit(2);
}

/* All of the file, by several reads. Returns 0, or the first error. */
static int read_all(struct store *s, struct node *n, struct seen *seen)
{
	struct caller c = {.uid = getuid(), .gid = getgid()};
	struct handle *h;
	struct stat st;
	uint64_t pos = 0;
	int err = store_getattr(s, n, &st);

	if (err)
		return err;
	seen->size = (uint64_t)st.st_size;
	seen->data = malloc(seen->size + 1);
	if (!seen->data)
		die_of("malloc");
	while ((err = store_open_node(s, &c, n, O_RDONLY, &h)) == STORE_BUSY)
		store_wait_idle(s, c.busy);
	if (err)
		return err;
	while (!err && pos < seen->size) {
		ssize_t got = store_read(h, seen->data + pos,
					 (size_t)MIN(seen->size - pos, (uint64_t)100000), pos);

		err = got < 0 ? (int)got : got == 0 ? -ENODATA : 0;
		pos += got > 0 ? (uint64_t)got : 0;
	}
	store_release(h);
	return err;
}

static void look(struct world *w, struct store *s, const char *name, struct seen *seen)
{
	struct node *n;
	int err = world_lookup(s, name, &n);

	*seen = (struct seen){.there = false};
	if (err == -ENOENT)
		return;
	seen->there = true;
	if (!err) {
		/* Its bytes may move from the raw file to a part between two calls. */
		err = read_all(s, n, seen);
		node_unref(s, n, 1);
	}
	if (err)
		world_violation(w, "%s: cannot be read: %s", name, strerror(-err));
}

/* Is this what was promised? */
static bool is_kept(const struct promise *p, const struct seen *seen, enum world_end how)
{
	uint64_t least = how == WORLD_CUT ? p->durable : p->accepted;
	uint64_t bases[WORLD_BASES];
	bool kept = false;

	for (unsigned i = world_bases(p, how, bases); i-- > 0 && !kept;) {
		uint64_t base = bases[i], must = least > base ? least - base : 0;

		kept = seen->there && seen->size >= must && seen->size + base <= p->tried &&
		       world_has_content(p, seen->data,
					 (size_t)(how == WORLD_CUT ? must : seen->size), base);
	}
	return kept;
}

/* What is under each of its names: of the one that is kept best, a copy; how many are kept. */
static unsigned look_under(struct world *w, struct store *s, const struct promise *p,
			   enum world_end how, struct seen *out)
{
	const char *names[WORLD_NAMES];
	unsigned count = world_names(p, how, names), kept = 0;

	*out = (struct seen){.there = false};
	for (unsigned i = 0; i < count; i++) {
		struct seen seen;
		bool good;

		look(w, s, names[i], &seen);
		good = is_kept(p, &seen, how);
		if (seen.there && (!out->there || good))
			*out = (struct seen){.there = true, .size = seen.size};
		kept += good;
		free(seen.data);
	}
	return kept;
}

static void judge(struct world *w, const struct promise *p, unsigned kept,
		  const struct seen *seen, enum world_end how, const char *when)
{
	bool must = how == WORLD_CUT ? p->durable > 0 || p->sealed : p->created;

	if (p->removing) {
		if (seen->there && !kept && !world_shares_name(w, p))
			world_violation(w, "%s: %s, half removed (%llu bytes)", when, p->name,
					(unsigned long long)seen->size);
		if (seen->there && p->removed && how == WORLD_KILLED &&
		    !world_shares_name(w, p))
			world_violation(w, "%s: %s, was removed", when, p->name);
		return;
	}
	if (kept > 1 && p->accepted && how == WORLD_KILLED)
		world_violation(w, "%s: %s is also %s", when, p->name, p->next);
	if (kept || (!seen->there && world_is_refused_import(w, p)) ||
	    (!must && (!seen->there || world_shares_name(w, p))))
		return;
	world_violation(w, "%s: %s: %s, %llu bytes (accepted %llu, tried %llu, durable %llu)",
			when, p->name, seen->there ? "not what was written" : "not there",
			(unsigned long long)seen->size, (unsigned long long)p->accepted,
			(unsigned long long)p->tried, (unsigned long long)p->durable);
}

unsigned world_bases(const struct promise *p, enum world_end how, uint64_t bases[WORLD_BASES])
{
	unsigned count = 0;

	bases[count++] = p->base;
	if (p->next_base > p->base)
		bases[count++] = p->next_base;
	/* The power may undo a removal. */
	if (how == WORLD_CUT && p->past_base < p->base)
		bases[count++] = p->past_base;
	return count;
}

unsigned world_names(const struct promise *p, enum world_end how,
		     const char *names[WORLD_NAMES])
{
	unsigned count = 0;

	names[count++] = p->name;
	if (p->moving)
		names[count++] = p->next;
	/* The power may undo renames that no one waited for. */
	for (unsigned i = 0; how == WORLD_CUT && i < p->past_count; i++)
		names[count++] = p->past[i];
	return count;
}

bool world_shares_name(const struct world *w, const struct promise *p)
{
	for (const struct promise *q = w->list; q < w->list + w->count; q++) {
		if (q != p && strcmp(q->name, p->name) == 0)
			return true;
	}
	return false;
}

static void look_at_all(struct world *w, struct store *s, enum world_end how, const char *when,
			bool at_once)
{
	for (unsigned i = 0; i < w->count; i++) {
		const struct promise *p = &w->list[i];
		struct seen seen;
		unsigned kept;

		if (at_once && p->import)
			continue;
		kept = look_under(w, s, p, how, &seen);
		judge(w, p, kept, &seen, how, when);
	}
}

/* ---- the engine's own check ---- */

static void problem(void *ctx, const struct check_problem *p)
{
	world_violation(ctx, "check --deep: %s: %s", p->path, p->reason);
}

static void check_deep(struct world *w)
{
	struct check_options options = {.deep = true, .ctx = w, .problem = problem};
	struct manifest_error error = {.text = ""};
	struct check_counts counts;
	int fd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = fd < 0 ? -errno : check_store(fd, &options, &counts, &error);

	if (err)
		world_violation(w, "check --deep: %s %s", strerror(-err), error.text);
	else if (!counts.was_clean)
		world_violation(w, "check --deep: the last stop does not count as clean");
	if (fd >= 0)
		close(fd);
}

static struct store *open_again(struct world *w, const char *when)
{
	struct store *s = world_open(w, 0);

	if (!s)
		world_violation(w, "%s: the store cannot be opened", when);
	return s;
}

static void close_clean(struct world *w, struct store *s, const char *when)
{
	world_close(w, s);
	if (w->close_status != 0)
		world_violation(w, "%s: the stop says %d", when, w->close_status);
}

/* A raw file that lost bytes, where the object that a crash left has them, is found when the mount is usable,
 * and gets its other name at the next start. */
static void close_settled(struct world *w, struct store *s, const char *when)
{
	world_close(w, s);
	if (w->close_status == 5 && w->may_recover) {
		w->started_twice = true;
		s = open_again(w, when);
		if (!s)
			return;
		world_seal(w, s);
		world_close(w, s);
	}
	if (w->close_status != 0)
		world_violation(w, "%s: the stop says %d", when, w->close_status);
}

void world_verify(struct world *w, enum world_end how)
{
	int errors = w->errors;
	struct store *s;

	world_check_objects(w);
	if (w->repairs && world_repair(w) < 0)
		world_violation(w, "after the fault: the store cannot be repaired");
	s = open_again(w, "after the fault");
	if (!s)
		return;
	look_at_all(w, s, how, "after the fault", true);
	/* The wait makes promises, but it is not the one that is asked about. */
	atomic_store(&w->frozen, true);
	world_seal(w, s);
	if (w->errors != errors)
		world_violation(w, "after the fault: not all can be sealed");
	look_at_all(w, s, how, "sealed", false);
	close_settled(w, s, "after the fault");
	check_deep(w);
	world_check_archive(w, how);
	s = open_again(w, "the second time");
	if (!s)
		return;
	look_at_all(w, s, how, "the second time", false);
	close_clean(w, s, "the second time");
	world_check_archive(w, how);
}
