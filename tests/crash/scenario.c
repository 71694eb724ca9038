/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/crash/scenario.h"

#include <stdio.h>
#include <string.h>

#define PART_BYTES 900
#define ROTATE_BYTES ((size_t)1100000) /* enough for a hole */
#define NEVER_NS ((int64_t)3600 * 1000000000)

/* ---- seal: written, fsynced, closed, in the manifest, stopped ---- */

static void seal(struct world *w)
{
	struct store *s = world_open(w, 0);
	struct writer wr;

	if (!s)
		return;
	wr = world_create(w, s, "large");
	world_write(w, &wr, 300000);
	world_fsync(w, &wr);
	world_write(w, &wr, 20000);
	world_release(&wr);
	world_put(w, s, "small", 100);
	world_put(w, s, "empty", 0);
	world_seal(w, s);
	world_put(w, s, "late.notepack", 5000);
	world_close(w, s);
}

/* ---- drain: several at once, by the stop ---- */

static void drain(struct world *w)
{
	struct store *s = world_open(w, NEVER_NS);
	char name[WORLD_NAME];
	struct writer wr;

	if (!s)
		return;
	world_mkdir(w, s, "sub");
	for (int i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "%sfile-%d", i % 2 ? "sub/" : "", i);
		world_put(w, s, name, 200 + 3000 * (size_t)i);
	}
	wr = world_create(w, s, "open");
	world_write(w, &wr, 7000);
	world_fsync(w, &wr);
	world_write(w, &wr, 700);
	world_release(&wr);
	world_put(w, s, "sub/excluded.tmp", 1000);
	world_close(w, s);
}

/* ---- append: parts of files that are sealed, and of one that stays open ---- */

static void append_before(struct world *w)
{
	struct store *s = world_open(w, 0);

	world_put(w, s, "log", 4000);
	world_put(w, s, "other", 70000);
	world_close(w, s);
}

static void append(struct world *w)
{
	struct store *s = world_open(w, 0);
	struct writer log, open;

	if (!s)
		return;
	open = world_create(w, s, "open");
	for (int i = 0; i < 3; i++) {
		log = world_append(w, s, world_find(w, "log"));
		world_write(w, &log, 1500);
		if (i == 1)
			world_fsync(w, &log);
		world_release(&log);
		world_write(w, &open, 6400);
		world_fsync(w, &open);
		world_seal(w, s);
	}
	log = world_append(w, s, world_find(w, "other"));
	world_write(w, &log, 10);
	world_release(&log);
	world_release(&open);
	world_close(w, s);
}

/* ---- rotate: files that stay open, and give back the raw bytes of what is sealed ---- */

static void rotate(struct world *w)
{
	struct store *s = world_open_rotating(w, ROTATE_BYTES);
	struct writer log, other;

	if (!s)
		return;
	log = world_create(w, s, "log");
	other = world_create(w, s, "other");
	for (int i = 0; i < 2; i++) {
		world_write(w, &log, ROTATE_BYTES + 1500);
		if (i > 0)
			world_fsync(w, &log);
		world_write(w, &other, 300);
		world_seal(w, s);
	}
	world_rename(w, s, log.p, "log.1");
	world_write(w, &log, 300000);
	world_release(&log);
	world_release(&other);
	world_close(w, s);
}

/* ---- rename: of one part, of several, of a directory, into a name that is sealed ---- */

static struct promise *parts(struct world *w, struct store *s, const char *name, int count)
{
	struct writer wr = world_create(w, s, name);

	for (int i = 0; i < count; i++) {
		if (i > 0)
			wr = world_append(w, s, wr.p);
		world_write(w, &wr, PART_BYTES);
		world_release(&wr);
		world_seal(w, s);
	}
	return wr.p;
}

static void rename_before(struct world *w)
{
	struct store *s = world_open(w, 0);

	world_mkdir(w, s, "a");
	world_mkdir(w, s, "b");
	world_put(w, s, "one", 3000);
	world_put(w, s, "a/inside", 3000);
	parts(w, s, "several", 3);
	world_close(w, s);
}

static void rename_files(struct world *w)
{
	struct store *s = world_open(w, NEVER_NS);
	struct promise *inside = world_find(w, "a/inside"), *unsealed, *later;
	struct promise *several = world_find(w, "several");
	struct writer wr;

	if (!s)
		return;
	unsealed = world_put(w, s, "unsealed", 2000);
	later = world_put(w, s, "later.tmp", 2500);
	world_rename(w, s, world_find(w, "one"), "b/uno");
	world_rename(w, s, several, "several.notepack"); /* its objects keep their names */
	world_rename(w, s, several, "b/varios");
	world_rename(w, s, unsealed, "a/aun");
	world_rename(w, s, later, "luego");
	world_rename(w, s, inside, "dentro");
	world_chmod(w, s, inside, 0600);
	wr = world_append(w, s, inside);
	world_write(w, &wr, 500);
	world_release(&wr);
	world_rename(w, s, inside, "a/fuera");
	world_seal(w, s);
	world_rename(w, s, later, "despues");
	world_close(w, s);
}

/* ---- remove: with allow_delete; names are used again ---- */

static void remove_before(struct world *w)
{
	struct store *s = world_open(w, 0);

	world_put(w, s, "one", 3000);
	parts(w, s, "several", 3);
	world_put(w, s, "kept", 3000);
	world_close(w, s);
}

static void remove_files(struct world *w)
{
	struct store *s = world_open(w, NEVER_NS);

	if (!s)
		return;
	world_put(w, s, "unsealed", 2000);
	world_remove(w, s, world_find(w, "one"));
	world_put(w, s, "one", 1234);
	world_remove(w, s, world_find(w, "several"));
	world_remove(w, s, world_find(w, "unsealed"));
	world_seal(w, s);
	world_put(w, s, "several", 4321);
	world_close(w, s);
}

/* ---- import: gzip files of someone else's ---- */

static void import_files(struct world *w)
{
	struct store *s = world_open(w, 0);

	if (!s)
		return;
	world_import(w, s, "imported", 20000);
	world_put(w, s, "beside", 500);
	world_seal(w, s);
	world_import(w, s, "second", 700);
	world_close(w, s);
}

/* ---- recovery: from whatever the one before left when it was killed ---- */

static void mixed(struct world *w)
{
	struct store *s = world_open(w, 0);
	struct promise *early, *several, *gone;
	struct writer wr, open;

	if (!s)
		return;
	world_mkdir(w, s, "sub");
	open = world_create(w, s, "open");
	world_write(w, &open, 5000);
	world_fsync(w, &open);
	early = world_put(w, s, "sub/early", 4000);
	world_import(w, s, "imported", 3000);
	several = parts(w, s, "several", 2);
	world_rename(w, s, several, "sub/varios");
	world_put(w, s, "one", 280000);
	world_write(w, &open, 5000);
	wr = world_append(w, s, early);
	world_write(w, &wr, 300);
	world_release(&wr);
	gone = world_put(w, s, "gone", 300);
	world_seal(w, s);
	world_remove(w, s, gone);
	world_put(w, s, "gone", 600);
	world_release(&open);
	world_close(w, s);
}

static void recover(struct world *w)
{
	struct store *s = world_open(w, 0);

	if (!s)
		return;
	world_seal(w, s);
	world_close(w, s);
}

/* ---- prune: the first parts of a file go, and it is appended to ---- */

static void prune_before(struct world *w)
{
	struct store *s = world_open(w, 0);

	world_put(w, s, "beside", 3000);
	parts(w, s, "several", 3);
	parts(w, s, "other", 2);
	world_close(w, s);
}

static void prune(struct world *w)
{
	struct store *s = world_open(w, 0);
	struct promise *several = world_find(w, "several");
	struct writer wr;

	if (!s)
		return;
	world_prune(w, s, world_find(w, "other"), 1, PART_BYTES);
	if (world_prune(w, s, several, 1, PART_BYTES)) {
		wr = world_append(w, s, several);
		world_write(w, &wr, 700);
		world_release(&wr);
		world_seal(w, s);
		world_prune(w, s, several, 2, PART_BYTES);
	}
	world_close(w, s);
}

/* ---- scrub: everything is read again, while files come and go ---- */

static void scrub_before(struct world *w)
{
	struct store *s = world_open(w, 0);

	world_put(w, s, "one", 300000);
	world_put(w, s, "gone", 3000);
	world_import(w, s, "imported", 3000);
	parts(w, s, "several", 3);
	world_close(w, s);
}

static void scrub(struct world *w)
{
	struct store *s = world_open_scrubbed(w);

	if (!s)
		return;
	world_put(w, s, "new", 5000);
	world_remove(w, s, world_find(w, "gone"));
	world_seal(w, s);
	world_scrub(w, s);
	world_close(w, s);
}

/* ---- repair: the manifest is lost or damaged, after a crash ---- */

static void repair_before(struct world *w)
{
	struct store *s = world_open(w, 0);
	struct writer wr;

	world_mkdir(w, s, "sub");
	world_put(w, s, "one", 3000);
	world_put(w, s, "sub/two", 4000);
	world_import(w, s, "imported", 3000);
	parts(w, s, "several", 3);
	world_seal(w, s);
	wr = world_append(w, s, world_find(w, "one"));
	world_write(w, &wr, 500);
	world_damage(w);
}

static void repair(struct world *w)
{
	struct store *s;

	if (world_repair(w) != 0) {
		w->close_status = -2;
		return;
	}
	s = world_open(w, 0);
	if (!s)
		return;
	world_put(w, s, "after", 2000);
	world_seal(w, s);
	world_close(w, s);
}

const struct scenario scenarios[] = {
    {"seal", NULL, false, seal},
    {"drain", NULL, false, drain},
    {"append", append_before, false, append},
    {"rotate", NULL, false, rotate},
    {"rename", rename_before, false, rename_files},
    {"remove", remove_before, false, remove_files},
    {"import", NULL, false, import_files},
    {"mixed", NULL, false, mixed},
    {"recovery", mixed, true, recover},
    {"prune", prune_before, false, prune},
    {"scrub", scrub_before, false, scrub},
    {"repair", repair_before, false, repair},
};
const unsigned scenario_count = sizeof(scenarios) / sizeof(*scenarios);

const struct scenario *scenario_find(const char *name)
{
	for (unsigned i = 0; i < scenario_count; i++) {
		if (strcmp(scenarios[i].name, name) == 0)
			return &scenarios[i];
	}
	return NULL;
}
