/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * 10,000 random changes in random commits, some of which fail, beside a model that is too
 * simple to be wrong; at milestones the manifest is loaded anew and compared.
 */
#include "tests/unit/manifest_kit.h"

#define CHANGES 10000
#define MILESTONE 400
#define ENTRIES 4000
#define INTENTS 64

struct entry {
	bool live, removed;
	unsigned version;
	char dir[64], plain[32];
};

struct model {
	struct entry entries[ENTRIES];
	size_t count;
	uint64_t intents[INTENTS];
	size_t intent_count;
};

static struct model now, next;
static unsigned seed = 20240229;

static unsigned pick(unsigned n)
{
	return (unsigned)rand_r(&seed) % n;
}

static uint64_t id_of(size_t i)
{
	return i / 3 + 1;
}

static uint32_t part_of(size_t i)
{
	return (uint32_t)(i % 3 + 1);
}

static const char *pick_dir(void)
{
	static const char *const dirs[] = {"",	    "a",     "a/b", "a/b/c", "a/bb", "d",
					   "d\xff", "e f/g", "r1",  "r1/b",  "r2",   "r3/x/y"};

	return dirs[pick(ARRAY_LEN(dirs))];
}

static int put(struct manifest_txn *txn, size_t i)
{
	struct entry *e = &next.entries[i];
	struct sealed s;
	int err;

	e->version = pick(1000);
	snprintf(e->dir, sizeof(e->dir), "%s", pick_dir());
	snprintf(e->plain, sizeof(e->plain), pick(2) ? "f%zu" : "g%zu.notepack", i / 3);
	s = kit_sealed(id_of(i), part_of(i), e->version);
	err = manifest_put(txn, &s, e->dir, e->plain);
	CHECK_EQ(err, e->removed ? -EINVAL : 0);
	e->live = true;
	return err;
}

static int remove_one(struct manifest_txn *txn, size_t i)
{
	struct entry *e = &next.entries[i];
	int err = manifest_remove(txn, id_of(i), part_of(i));

	CHECK_EQ(err, e->live ? 0 : -ENOENT);
	if (err)
		return 0;
	e->live = false;
	e->removed = true;
	return 0;
}

static void move_in_model(struct entry *e, const char *from, const char *to)
{
	size_t len = strlen(from);
	char moved[128];

	if (strncmp(e->dir, from, len) != 0 || (e->dir[len] && e->dir[len] != '/'))
		return;
	snprintf(moved, sizeof(moved), "%s%s", to, e->dir + len);
	snprintf(e->dir, sizeof(e->dir), "%.63s", moved);
}

static int move(struct manifest_txn *txn)
{
	const char *from = pick_dir(), *to = pick_dir();
	int err;

	if (!record_move_ok(from, to))
		return 0;
	/* A directory that wanders into itself again and again would get too long a path. */
	for (size_t i = 0; i < next.count; i++) {
		if (strlen(next.entries[i].dir) > 48)
			return 0;
	}
	err = manifest_move_dir(txn, from, to);
	CHECK_EQ(err, 0);
	for (size_t i = 0; i < next.count; i++)
		move_in_model(&next.entries[i], from, to);
	return err;
}

static int begin(struct manifest_txn *txn)
{
	if (next.intent_count == INTENTS)
		return 0;
	return manifest_intent(txn, pick(100), "some/x", "some/y",
			       &next.intents[next.intent_count++]);
}

static int finish(struct manifest_txn *txn)
{
	size_t i;
	uint64_t seq;

	if (!next.intent_count)
		return 0;
	i = pick((unsigned)next.intent_count);
	seq = next.intents[i];
	memmove(&next.intents[i], &next.intents[i + 1],
		(next.intent_count - i - 1) * sizeof(next.intents[0]));
	next.intent_count--;
	return manifest_done(txn, seq);
}

static int change(struct manifest_txn *txn)
{
	unsigned what = pick(100);
	size_t i;

	if (next.count == 0 || (what < 30 && next.count < ENTRIES))
		return put(txn, next.count++);
	i = pick((unsigned)next.count);
	if (what < 60)
		return next.entries[i].removed ? 0 : put(txn, i);
	if (what < 80)
		return remove_one(txn, i);
	if (what < 86)
		return move(txn);
	return what < 94 ? begin(txn) : finish(txn);
}

/* Does the transaction see what the model says? */
static void look(struct manifest_txn *txn)
{
	size_t i = pick((unsigned)next.count);
	struct sealed got, expected = kit_sealed(id_of(i), part_of(i), next.entries[i].version);
	bool there = manifest_txn_get(txn, id_of(i), part_of(i), &got);

	CHECK_EQ(there, next.entries[i].live);
	CHECK(!there || kit_same(&got, &expected));
}

static int changes(struct manifest_txn *txn, void *ctx)
{
	int *count = ctx, err = 0;

	memcpy(&next, &now, sizeof(now));
	for (int i = 0; i < *count && !err; i++) {
		err = change(txn);
		look(txn);
	}
	if (!err && pick(10) == 0)
		return -ECANCELED;
	return err;
}

static int compare(void *ctx, const struct sealed *s, const char *dir, const char *plain)
{
	size_t i = (size_t)(s->id - 1) * 3 + s->part - 1;
	struct entry *e = &now.entries[i];
	struct sealed expected = kit_sealed(s->id, s->part, e->version);

	CHECK(i < now.count && e->live);
	CHECK(kit_same(s, &expected));
	CHECK_STR(dir, e->dir);
	CHECK_STR(plain, e->plain);
	++*(size_t *)ctx;
	return 0;
}

static void compare_all(struct store *s)
{
	size_t live = 0, seen = 0;

	manifest_check(s->m);
	for (size_t i = 0; i < now.count; i++)
		live += now.entries[i].live;
	CHECK_EQ(manifest_each(s->m, compare, &seen), 0);
	CHECK_EQ(seen, live);
	CHECK_EQ(manifest_count(s->m), live);
}

static void compare_intents(struct store *s)
{
	const struct manifest_intent *intents;

	CHECK_EQ(manifest_intents(s->m, &intents), now.intent_count);
	for (size_t i = 0; i < now.intent_count; i++)
		CHECK(manifest_intents_has(&s->m->intents, now.intents[i]));
}

/* Fails now and then, for a file or for a directory. */
static int weak_fsync(int fd)
{
	if (pick(25))
		return 0;
	errno = EIO;
	return -1;
}

/* Load what a commit that passed has left. */
static void milestone(struct store *s)
{
	atomic_store(&kit_fsync, NULL);
	CHECK_EQ(kit_clean(s, !s->m->clean), 0);
	compare_all(s);
	CHECK_EQ(store_reopen(s), 0);
	compare_all(s);
	compare_intents(s);
	atomic_store(&kit_fsync, weak_fsync);
}

static void random_changes_equal_a_model(void)
{
	int failed = 0, cancelled = 0, rewrites = 0;
	uint64_t before = 0, lines;
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	atomic_store(&kit_fsync, weak_fsync);
	for (int done = 0, last = 0; done < CHANGES;) {
		int count = (int)pick(40) + 1;
		int r = manifest_commit(s.m, changes, &count);

		CHECK(r == 0 || r == -EIO || r == -ECANCELED);
		if (r == 0)
			memcpy(&now, &next, sizeof(now));
		failed += r == -EIO;
		cancelled += r == -ECANCELED;
		done += count;
		rewrites += s.m->disk.chunk_lines < before;
		before = s.m->disk.chunk_lines;
		if (done - last >= MILESTONE) {
			milestone(&s);
			last = done;
		}
		if (atomic_load(&unit_failures) > 20)
			break;
	}
	lines = s.m->disk.chunk_lines + s.m->disk.tail_lines;
	printf("# seq %llu, %llu lines, %llu live, %d failed, %d cancelled, %d rewritten\n",
	       (unsigned long long)manifest_last_seq(s.m), (unsigned long long)lines,
	       (unsigned long long)manifest_count(s.m), failed, cancelled, rewrites);
	CHECK(failed > 10 && cancelled > 10 && rewrites > 0);
	store_release(&s);
}

int main(void)
{
	RUN(random_changes_equal_a_model);
	return unit_done();
}
