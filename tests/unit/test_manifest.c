/* SPDX-License-Identifier: BSD-2-Clause */
/* What the manifest promises to its callers, on one thread. */
#include "tests/unit/manifest_kit.h"

static void an_empty_manifest_is_created_and_found_again(void)
{
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	CHECK_STR(manifest_suffix(s.m), ".notepack");
	CHECK_EQ(manifest_generation(s.m), 1);
	CHECK_EQ(manifest_last_seq(s.m), 0);
	CHECK(!manifest_was_clean(s.m));
	CHECK_EQ(store_reopen(&s), 0);
	CHECK_EQ(manifest_generation(s.m), 1);
	CHECK_EQ(manifest_count(s.m), 0);
	store_release(&s);
}

static void nothing_is_created_unless_asked(void)
{
	struct manifest_options o = {0};
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open_with(&s, &o), -ENOENT);
	CHECK_EQ(store_count(&s, "."), 0);
	store_release(&s);
}

static void L17_never_initialises_over_what_is_there(void)
{
	struct store s;

	store_init(&s);
	mkdirat(s.fd, ".notepackfs", 0700);
	mkdirat(s.fd, ".notepackfs/chunks", 0700);
	store_write(&s, ".notepackfs/chunks/00000001.jsonl", "x", 1);
	CHECK_EQ(store_open(&s), -EBADMSG);
	CHECK(strstr(s.error.text, "notepackctl repair") != NULL);
	CHECK_EQ(store_count(&s, ".notepackfs"), 1);
	unlinkat(s.fd, ".notepackfs/chunks/00000001.jsonl", 0);
	store_write(&s, "x.notepack.gz", "x", 1);
	CHECK_EQ(store_open(&s), -EBADMSG);
	CHECK_EQ(store_count(&s, ".notepackfs"), 1);
	unlinkat(s.fd, "x.notepack.gz", 0);
	store_write(&s, "x.gz", "x", 1);
	CHECK_EQ(store_open(&s), 0);
	store_release(&s);
}

static void suffix_and_exclude_are_kept_in_the_store(void)
{
	struct manifest_options o = {.create = true, .suffix = ".np", .exclude = "*.tmp:\xff*"};
	struct store s;

	store_init(&s);
	o.suffix = "np";
	CHECK_EQ(store_open_with(&s, &o), -EINVAL);
	o.suffix = ".np";
	CHECK_EQ(store_open_with(&s, &o), 0);
	CHECK_STR(manifest_was_exclude(s.m), "");
	store_close(&s);
	o.exclude = NULL;
	CHECK_EQ(store_open_with(&s, &o), 0);
	CHECK_STR(manifest_was_exclude(s.m), "*.tmp:\xff*");
	CHECK_EQ(kit_put(&s, 1, 1, ""), 0);
	store_close(&s);
	o.suffix = ".notepack";
	CHECK_EQ(store_open_with(&s, &o), -EEXIST);
	o.suffix = NULL;
	o.exclude = "*~";
	CHECK_EQ(store_open_with(&s, &o), 0);
	CHECK_STR(manifest_suffix(s.m), ".np");
	CHECK_STR(manifest_was_exclude(s.m), "*.tmp:\xff*");
	CHECK_EQ(kit_put(&s, 2, 1, ""), 0);
	CHECK_EQ(store_reopen(&s), 0);
	CHECK_STR(manifest_was_exclude(s.m), "*~");
	store_release(&s);
}

/* L16: the state is kept for each segment. */
static void L16_each_segment_has_its_own_record(void)
{
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	for (uint64_t id = 1; id <= 3; id++) {
		for (uint32_t part = 1; part <= 3; part++)
			CHECK_EQ(kit_put(&s, id, part, "d"), 0);
	}
	CHECK_EQ(kit_rm(&s, 2, 1), 0);
	CHECK_EQ(kit_rm(&s, 2, 3), 0);
	for (int round = 0; round < 2; round++) {
		CHECK_EQ(manifest_count(s.m), 7);
		for (uint64_t id = 1; id <= 3; id++) {
			for (uint32_t part = 1; part <= 3; part++)
				CHECK_EQ(kit_has(&s, id, part, 0), id != 2 || part == 2);
		}
		CHECK_EQ(manifest_last_seq(s.m), 11);
		CHECK_EQ(manifest_generation(s.m), 12);
		CHECK_EQ(store_reopen(&s), 0);
	}
	store_release(&s);
}

static void what_was_removed_never_comes_back(void)
{
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	CHECK_EQ(kit_put(&s, 1, 1, "d"), 0);
	CHECK_EQ(kit_rm(&s, 1, 1), 0);
	for (int round = 0; round < 2; round++) {
		struct sealed got;

		CHECK_EQ(kit_put(&s, 1, 1, "d"), -EINVAL);
		CHECK_EQ(kit_rm(&s, 1, 1), -ENOENT);
		CHECK(!manifest_get(s.m, 1, 1, &got));
		CHECK_EQ(manifest_count(s.m), 0);
		CHECK_EQ(kit_in_dir(&s, "d"), 0);
		CHECK_EQ(store_reopen(&s), 0);
	}
	store_release(&s);
}

static int several_changes(struct manifest_txn *txn, void *ctx)
{
	struct sealed a = kit_sealed(1, 1, 0), b = kit_sealed(1, 1, 1), c = kit_sealed(2, 1, 0),
		      got;

	CHECK_EQ(manifest_put(txn, &a, "d", "a"), 0);
	CHECK_EQ(manifest_put(txn, &b, "d", "a"), 0);
	CHECK_EQ(b.seq, a.seq + 1);
	CHECK(manifest_txn_get(txn, 1, 1, &got) && kit_same(&b, &got) && got.seq == b.seq);
	CHECK_EQ(manifest_put(txn, &c, "d/e", "c"), 0);
	CHECK_EQ(manifest_move_dir(txn, "d", "f"), 0);
	CHECK_EQ(manifest_remove(txn, 2, 1), 0);
	CHECK_EQ(manifest_remove(txn, 2, 1), -ENOENT);
	CHECK(!manifest_txn_get(txn, 2, 1, &got));
	CHECK(!manifest_txn_get(txn, 0, 0, &got));
	CHECK_EQ(manifest_remove(txn, 0, 0), -ENOENT);
	c = kit_sealed(3, 1, 0);
	CHECK_EQ(manifest_put(txn, &c, "d", "c"), 0);
	a = kit_sealed(3, 1, 0);
	CHECK_EQ(manifest_put(txn, &a, "d", "c"), 0); /* it is there: no change */
	CHECK_EQ(a.seq, c.seq);
	return 0;
}

static void a_transaction_sees_its_own_changes_in_order(void)
{
	const struct manifest_removal *removals;
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	CHECK_EQ(manifest_commit(s.m, several_changes, NULL), 0);
	for (int round = 0; round < 2; round++) {
		CHECK_EQ(manifest_count(s.m), 2);
		CHECK(kit_has(&s, 1, 1, 1) && kit_has(&s, 3, 1, 0));
		CHECK_EQ(kit_in_dir(&s, "f"), 1);
		CHECK_EQ(kit_in_dir(&s, "d"), 1);
		CHECK_EQ(kit_in_dir(&s, "f/e"), 0);
		CHECK_EQ(store_reopen(&s), 0);
	}
	CHECK_EQ(manifest_removals(s.m, &removals), 1);
	CHECK_STR(removals[0].path, "f/e/c.notepack.gz");
	CHECK(removals[0].id == 2 && removals[0].part == 1);
	CHECK(memcmp(removals[0].sha256, kit_sealed(2, 1, 0).sha256, SHA256_BYTES) == 0);
	manifest_forget_recovery(s.m);
	CHECK_EQ(manifest_removals(s.m, &removals), 0);
	store_release(&s);
}

static void a_renamed_directory_takes_everything_beneath_along(void)
{
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	CHECK_EQ(kit_put(&s, 1, 1, "a"), 0);
	CHECK_EQ(kit_put(&s, 2, 1, "a/b"), 0);
	CHECK_EQ(kit_put(&s, 3, 1, "ab"), 0);
	CHECK_EQ(kit_put(&s, 4, 1, ""), 0);
	CHECK_EQ(kit_mv(&s, "a", "x/y\xff"), 0);
	CHECK_EQ(kit_mv(&s, "x", "x/y"), -EINVAL);
	CHECK_EQ(kit_mv(&s, "", "y"), -EINVAL);
	CHECK_EQ(kit_put(&s, 5, 1, "a"), 0);
	/* Two directories change their names; then one meets what is left of another. */
	CHECK_EQ(kit_mv(&s, "a", "tmp"), 0);
	CHECK_EQ(kit_mv(&s, "ab", "a"), 0);
	CHECK_EQ(kit_mv(&s, "tmp", "ab"), 0);
	CHECK_EQ(kit_put(&s, 6, 1, "gone"), 0);
	CHECK_EQ(kit_rm(&s, 6, 1), 0);
	CHECK_EQ(kit_mv(&s, "ab", "gone"), 0);
	for (int round = 0; round < 2; round++) {
		CHECK_EQ(kit_in_dir(&s, "x/y\xff"), 1);
		CHECK_EQ(kit_in_dir(&s, "x/y\xff/b"), 1);
		CHECK_EQ(kit_in_dir(&s, "a"), 1);
		CHECK_EQ(kit_in_dir(&s, "ab"), 0);
		CHECK_EQ(kit_in_dir(&s, "gone"), 1);
		CHECK_EQ(kit_in_dir(&s, ""), 1);
		CHECK_EQ(manifest_count(s.m), 5);
		CHECK_EQ(store_reopen(&s), 0);
	}
	store_release(&s);
}

/* Inode, time and length of the manifest, and the generation: what a write changes. */
struct trace {
	struct stat st;
	uint64_t generation, seq;
};

static struct trace trace_of(struct store *s)
{
	struct trace t = {.generation = manifest_generation(s->m),
			  .seq = manifest_last_seq(s->m)};

	CHECK_EQ(fstatat(s->fd, ".notepackfs/manifest", &t.st, 0), 0);
	return t;
}

static bool same_trace(struct store *s, const struct trace *a)
{
	struct trace b = trace_of(s);

	return a->st.st_ino == b.st.st_ino && a->st.st_size == b.st.st_size &&
	       a->st.st_mtim.tv_sec == b.st.st_mtim.tv_sec &&
	       a->st.st_mtim.tv_nsec == b.st.st_mtim.tv_nsec && a->generation == b.generation &&
	       a->seq == b.seq;
}

static int too_early(struct manifest_txn *txn, void *ctx)
{
	CHECK_EQ(manifest_done(txn, 12345), -EINVAL);
	return 0;
}

static int invalid_put(struct manifest_txn *txn, void *ctx)
{
	struct sealed s = kit_sealed(9, 1, 0), good = s;

	s.part = 0;
	CHECK_EQ(manifest_put(txn, &s, "", "x"), -EINVAL);
	CHECK_EQ(manifest_put(txn, &good, "", "x"), -EINVAL); /* sticky */
	return 0;
}

static void L12_a_change_that_changes_nothing_writes_nothing(void)
{
	struct put same = {.id = 1, .part = 1, .dir = "d", .plain = "f1"};
	struct put other = {.id = 2, .part = 1, .dir = "d", .plain = "f2"};
	struct trace t;
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	CHECK_EQ(kit_put(&s, 1, 1, "d"), 0);
	t = trace_of(&s);
	CHECK_EQ(manifest_commit(s.m, kit_put_fn, &same), 0);
	CHECK_EQ(kit_mv(&s, "elsewhere", "b"), 0);
	CHECK_EQ(kit_clean(&s, false), 0);
	CHECK_EQ(kit_rm(&s, 7, 1), -ENOENT);
	other.result = 17;
	CHECK_EQ(manifest_commit_if(s.m, kit_put_fn, &other), 17);
	CHECK_EQ(manifest_commit(s.m, kit_put_fn, &other), -EINVAL);
	other.result = -EBUSY;
	CHECK_EQ(manifest_commit(s.m, kit_put_fn, &other), -EBUSY);
	CHECK_EQ(manifest_commit_if(s.m, kit_put_fn, &other), -EBUSY);
	CHECK_EQ(manifest_commit(s.m, too_early, NULL), -EINVAL);
	CHECK_EQ(manifest_commit(s.m, invalid_put, NULL), -EINVAL);
	CHECK(same_trace(&s, &t));
	CHECK_EQ(manifest_count(s.m), 1);
	manifest_check(s.m);
	other.result = 0;
	CHECK_EQ(manifest_commit_if(s.m, kit_put_fn, &other), 0);
	CHECK_EQ(manifest_generation(s.m), t.generation + 1);
	CHECK_EQ(manifest_last_seq(s.m), t.seq + 1);
	store_release(&s);
}

static void L12_a_failed_save_leaves_memory_and_disk_as_they_were(void)
{
	struct store s;
	struct trace t;
	uint64_t id;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	CHECK_EQ(kit_put(&s, 1, 1, "d"), 0);
	CHECK_EQ(kit_put(&s, 2, 1, "d/e"), 0);
	t = trace_of(&s);
	CHECK_EQ(renameat(s.fd, ".notepackfs", s.fd, "aside"), 0);
	store_write(&s, ".notepackfs", "", 0);
	CHECK_EQ(kit_put(&s, 3, 1, "d"), -ENOTDIR);
	CHECK_EQ(kit_rm(&s, 1, 1), -ENOTDIR);
	CHECK_EQ(kit_mv(&s, "d", "x"), -ENOTDIR);
	CHECK_EQ(kit_clean(&s, true), -ENOTDIR);
	CHECK_EQ(manifest_new_id(s.m, &id), -ENOTDIR);
	CHECK_EQ(unlinkat(s.fd, ".notepackfs", 0), 0);
	CHECK_EQ(renameat(s.fd, "aside", s.fd, ".notepackfs"), 0);
	CHECK(same_trace(&s, &t));
	manifest_check(s.m);
	for (int round = 0; round < 2; round++) {
		CHECK(kit_has(&s, 1, 1, 0) && kit_has(&s, 2, 1, 0));
		CHECK_EQ(manifest_count(s.m), 2);
		CHECK_EQ(kit_in_dir(&s, "d"), 1);
		CHECK_EQ(kit_in_dir(&s, "d/e"), 1);
		CHECK_EQ(store_count(&s, ".notepackfs"), 3);
		CHECK_EQ(store_reopen(&s), 0);
	}
	CHECK_EQ(kit_rm(&s, 1, 1), 0);
	CHECK_EQ(kit_put(&s, 3, 1, "d"), 0);
	CHECK_EQ(kit_mv(&s, "d", "x"), 0);
	CHECK_EQ(kit_in_dir(&s, "x"), 1);
	store_release(&s);
}

static void L19_file_ids_are_never_used_twice(void)
{
	uint64_t last = 0, id = 0;
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	for (int round = 0; round < 6; round++) {
		uint64_t generation = manifest_generation(s.m);

		for (int i = 0; i < 3000; i++) {
			CHECK_EQ(manifest_new_id(s.m, &id), 0);
			CHECK(id > last);
			last = id;
			if (i == 1000) /* a commit leaves the mark above those to come */
				CHECK_EQ(kit_put(&s, id, 1, "d"), 0);
		}
		CHECK(manifest_generation(s.m) <= generation + 3);
		/* Every other stop is a crash. */
		if (round % 2) {
			CHECK_EQ(kit_clean(&s, true), 0);
			CHECK_EQ(store_reopen(&s), 0);
			CHECK(manifest_was_clean(s.m));
			CHECK_EQ(manifest_new_id(s.m, &id), 0);
			CHECK_EQ(id, last + 1); /* none was lost */
			last = id;
			CHECK_EQ(kit_clean(&s, false), 0);
		}
		CHECK_EQ(store_reopen(&s), 0);
		CHECK(!manifest_was_clean(s.m));
	}
	/* Nor one that came from elsewhere. */
	CHECK_EQ(kit_put(&s, last + 100000, 1, "d"), 0);
	CHECK_EQ(manifest_new_id(s.m, &id), 0);
	CHECK_EQ(id, last + 100001);
	CHECK_EQ(store_reopen(&s), 0);
	CHECK_EQ(manifest_new_id(s.m, &id), 0);
	CHECK(id > last + 100001);
	store_release(&s);
}

/* ids that are handed out after a clean commit must be above its mark, which is exact. */
static void L19_a_clean_mark_gives_no_id_away(void)
{
	uint64_t id, after;
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	CHECK_EQ(manifest_new_id(s.m, &id), 0);
	CHECK_EQ(kit_clean(&s, true), 0);
	CHECK_EQ(manifest_new_id(s.m, &after), 0);
	CHECK_EQ(after, id + 1);
	CHECK_EQ(store_reopen(&s), 0);
	CHECK_EQ(manifest_new_id(s.m, &id), 0);
	CHECK(id > after);
	store_release(&s);
}

static uint64_t intent_seqs[2];

static int begin_two(struct manifest_txn *txn, void *ctx)
{
	int err = manifest_intent(txn, 5, "a/x", "a/y", &intent_seqs[0]);

	return err ? err : manifest_intent(txn, 0, "d", "e\xff", &intent_seqs[1]);
}

static int finish(struct manifest_txn *txn, void *ctx)
{
	return manifest_done(txn, *(uint64_t *)ctx);
}

static void an_intent_is_there_until_it_is_done(void)
{
	const struct manifest_intent *intents;
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	CHECK_EQ(kit_put(&s, 5, 1, "a"), 0);
	CHECK_EQ(manifest_commit(s.m, begin_two, NULL), 0);
	CHECK_EQ(manifest_intents(s.m, &intents), 0); /* as loaded */
	CHECK_EQ(store_reopen(&s), 0);
	CHECK_EQ(manifest_intents(s.m, &intents), 2);
	CHECK(intents[0].seq == intent_seqs[0] && intents[0].id == 5);
	CHECK_STR(intents[0].from, "a/x");
	CHECK_STR(intents[0].to, "a/y");
	CHECK_EQ(manifest_commit(s.m, finish, &intent_seqs[0]), 0);
	CHECK_EQ(manifest_commit(s.m, finish, &intent_seqs[0]), -EINVAL);
	CHECK_STR(intents[1].to, "e\xff"); /* still valid */
	CHECK_EQ(store_reopen(&s), 0);
	CHECK_EQ(manifest_intents(s.m, &intents), 1);
	CHECK(intents[0].seq == intent_seqs[1] && intents[0].id == 0);
	CHECK_EQ(manifest_commit(s.m, finish, &intent_seqs[1]), 0);
	CHECK_EQ(store_reopen(&s), 0);
	CHECK_EQ(manifest_intents(s.m, &intents), 0);
	store_release(&s);
}

static void a_read_only_manifest_never_writes(void)
{
	struct manifest_options o = {.read_only = true, .create = true};
	struct store s;
	struct stat before, after;
	struct trace t;
	uint64_t id;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	CHECK_EQ(kit_put(&s, 1, 1, "d"), 0);
	t = trace_of(&s);
	store_close(&s);
	store_write(&s, ".notepackfs/chunks/00000077.jsonl", "x", 1);
	store_write(&s, ".notepackfs/manifest.new.1.1", "x", 1);
	CHECK_EQ(fstatat(s.fd, ".notepackfs", &before, 0), 0);
	CHECK_EQ(store_open_with(&s, &o), 0);
	CHECK(kit_has(&s, 1, 1, 0));
	CHECK_EQ(kit_put(&s, 2, 1, "d"), -EROFS);
	CHECK_EQ(kit_clean(&s, true), -EROFS);
	CHECK_EQ(manifest_new_id(s.m, &id), -EROFS);
	CHECK(same_trace(&s, &t));
	CHECK_EQ(fstatat(s.fd, ".notepackfs", &after, 0), 0);
	CHECK(before.st_mtim.tv_sec == after.st_mtim.tv_sec &&
	      before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
	CHECK_EQ(store_count(&s, ".notepackfs/chunks"), 1);
	store_close(&s);
	/* A writer clears away what nothing refers to, and takes no number of what was there.
	 */
	CHECK_EQ(store_open(&s), 0);
	CHECK_EQ(store_count(&s, ".notepackfs/chunks"), 0);
	CHECK_EQ(store_count(&s, ".notepackfs"), 3);
	store_close(&s);
	store_release(&s);
}

static void read_only_creates_nothing(void)
{
	struct manifest_options o = {.read_only = true, .create = true};
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open_with(&s, &o), -ENOENT);
	CHECK_EQ(store_count(&s, "."), 0);
	store_release(&s);
}

int main(void)
{
	RUN(an_empty_manifest_is_created_and_found_again);
	RUN(nothing_is_created_unless_asked);
	RUN(L17_never_initialises_over_what_is_there);
	RUN(suffix_and_exclude_are_kept_in_the_store);
	RUN(L16_each_segment_has_its_own_record);
	RUN(what_was_removed_never_comes_back);
	RUN(a_transaction_sees_its_own_changes_in_order);
	RUN(a_renamed_directory_takes_everything_beneath_along);
	RUN(L12_a_change_that_changes_nothing_writes_nothing);
	RUN(L12_a_failed_save_leaves_memory_and_disk_as_they_were);
	RUN(L19_file_ids_are_never_used_twice);
	RUN(L19_a_clean_mark_gives_no_id_away);
	RUN(an_intent_is_there_until_it_is_done);
	RUN(a_read_only_manifest_never_writes);
	RUN(read_only_creates_nothing);
	return unit_done();
}
