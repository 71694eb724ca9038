/* SPDX-License-Identifier: BSD-2-Clause */
/* Chunks, full rewrites, the reserve, and the generated manifest. */
#include <sched.h>
#include <sys/mount.h>

#include "tests/unit/manifest_kit.h"

struct range {
	uint64_t first, count;
	unsigned version;
	const char *dir;
};

static int put_range(struct manifest_txn *txn, void *ctx)
{
	const struct range *r = ctx;
	int err = 0;

	for (uint64_t id = r->first; id < r->first + r->count && !err; id++) {
		struct sealed s = kit_sealed(id, 1, r->version);
		char plain[32];

		snprintf(plain, sizeof(plain), "f%llu", (unsigned long long)id);
		err = manifest_put(txn, &s, r->dir, plain);
	}
	return err;
}

static int commit_range(struct store *s, uint64_t first, uint64_t count, unsigned version,
			const char *dir)
{
	struct range r = {.first = first, .count = count, .version = version, .dir = dir};

	return manifest_commit(s->m, put_range, &r);
}

static void check_range(struct store *s, uint64_t first, uint64_t count, unsigned version)
{
	for (uint64_t id = first; id < first + count; id++) {
		if (!kit_has(s, id, 1, version)) {
			printf("# record %llu\n", (unsigned long long)id);
			CHECK(!"has the record");
		}
	}
}

/* The chunks are as the header says: none too long, none beside them. */
static void check_chunks(struct store *s)
{
	const struct disk *d = &s->m->disk;
	uint64_t lines = 0;

	for (size_t i = 0; i < d->chunks.count; i++) {
		CHECK(d->chunks.items[i].lines <= MANIFEST_CHUNK_LINES);
		lines += d->chunks.items[i].lines;
	}
	CHECK_EQ(lines, d->chunk_lines);
	CHECK_EQ(store_count(s, ".notepackfs/chunks"), d->chunks.count);
}

static int no_fsync(int fd)
{
	return 0;
}

static void a_long_tail_is_folded_into_chunks(void)
{
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	atomic_store(&kit_fsync, no_fsync);
	for (uint64_t id = 1; id < 12000; id += 50) {
		CHECK_EQ(commit_range(&s, id, 50, 0, id % 100 == 1 ? "a" : "b/c"), 0);
		CHECK(s.m->disk.tail_lines <= MANIFEST_TAIL_LINES);
		check_chunks(&s);
	}
	CHECK_EQ(s.m->disk.chunk_lines + s.m->disk.tail_lines, 12000);
	CHECK_EQ(s.m->disk.chunks.count, 4);
	CHECK_EQ(store_reopen(&s), 0);
	CHECK_EQ(manifest_count(s.m), 12000);
	check_range(&s, 1, 12000, 0);
	/* A commit of any size. */
	CHECK_EQ(commit_range(&s, 20001, 10000, 0, "d"), 0);
	CHECK_EQ(s.m->disk.tail_lines, 0);
	check_chunks(&s);
	CHECK_EQ(store_reopen(&s), 0);
	CHECK_EQ(manifest_count(s.m), 22000);
	check_range(&s, 20001, 10000, 0);
	store_release(&s);
}

static void L19_a_chunks_number_is_not_used_while_its_file_exists(void)
{
	struct store s;
	struct stat st;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	store_close(&s);
	store_write(&s, ".notepackfs/chunks/00000060.jsonl", "x", 1);
	CHECK_EQ(mkdirat(s.fd, ".notepackfs/chunks/00000050.jsonl", 0700), 0);
	CHECK_EQ(store_open(&s), 0);
	CHECK_EQ(store_count(&s, ".notepackfs/chunks"), 1);
	CHECK_EQ(commit_range(&s, 1, 1500, 0, "d"), 0);
	CHECK_EQ(fstatat(s.fd, ".notepackfs/chunks/00000051.jsonl", &st, 0), 0);
	CHECK_EQ(store_reopen(&s), 0);
	CHECK_EQ(manifest_count(s.m), 1500);
	store_release(&s);
}

static void a_fold_that_fails_is_no_error(void)
{
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	atomic_store(&kit_fsync, no_fsync);
	CHECK_EQ(commit_range(&s, 1, 900, 0, "d"), 0);
	CHECK_EQ(renameat(s.fd, ".notepackfs/chunks", s.fd, "aside"), 0);
	store_write(&s, ".notepackfs/chunks", "", 0);
	CHECK_EQ(commit_range(&s, 901, 300, 0, "d"), 0);
	CHECK_EQ(s.m->disk.tail_lines, 1200);
	CHECK_EQ(unlinkat(s.fd, ".notepackfs/chunks", 0), 0);
	CHECK_EQ(renameat(s.fd, "aside", s.fd, ".notepackfs/chunks"), 0);
	CHECK_EQ(commit_range(&s, 1201, 100, 0, "d"), 0); /* not yet again */
	CHECK_EQ(s.m->disk.tail_lines, 1300);
	CHECK_EQ(store_reopen(&s), 0);
	check_range(&s, 1, 1300, 0);
	CHECK_EQ(commit_range(&s, 1301, 100, 0, "d"), 0);
	CHECK_EQ(s.m->disk.tail_lines, 0);
	check_chunks(&s);
	CHECK_EQ(store_reopen(&s), 0);
	check_range(&s, 1, 1400, 0);
	store_release(&s);
}

/* A chunk that was damaged since it was loaded must not be joined into a new one, as if it were
 * right. */
static void a_fold_copies_no_damage(void)
{
	struct store s;
	char *text;
	size_t len;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	CHECK_EQ(commit_range(&s, 1, 1001, 0, "d"), 0);
	text = store_read(&s, ".notepackfs/chunks/00000001.jsonl", &len);
	text[len / 2] ^= 1;
	store_write(&s, ".notepackfs/chunks/00000001.jsonl", text, len);
	CHECK_EQ(commit_range(&s, 1002, 1001, 0, "d"), 0);
	CHECK_EQ(s.m->disk.chunks.count, 2);
	text[len / 2] ^= 1;
	store_write(&s, ".notepackfs/chunks/00000001.jsonl", text, len);
	free(text);
	CHECK_EQ(store_reopen(&s), 0);
	check_range(&s, 1, 2002, 0);
	store_release(&s);
}

static uint64_t intent_seq, done_seq;

static int begin(struct manifest_txn *txn, void *ctx)
{
	int err = manifest_intent(txn, 1, "x\xff", "y", &intent_seq);

	err = err ? err : manifest_intent(txn, 2, "v", "w", &done_seq);
	return err ? err : manifest_done(txn, done_seq);
}

/* The commit that makes the rewrite due also moves, replaces and removes. */
static int last_changes(struct manifest_txn *txn, void *ctx)
{
	struct range r = {.first = 1, .count = 1500, .version = 3, .dir = "new"};
	int err = manifest_move_dir(txn, "b", "c");

	err = err ? err : put_range(txn, &r);
	err = err ? err : manifest_move_dir(txn, "new", "newer");
	err = err ? err : manifest_remove(txn, 2000, 1);
	return err ? err : manifest_remove(txn, 10, 1);
}

static void check_rewritten(struct store *s)
{
	const struct manifest_intent *intents;
	const struct manifest_removal *removals;

	CHECK_EQ(manifest_count(s->m), 1997);
	CHECK_EQ(kit_in_dir(s, "newer"), 1499);
	CHECK_EQ(kit_in_dir(s, "c"), 498);
	check_range(s, 1, 9, 3);
	check_range(s, 11, 1490, 3);
	check_range(s, 1501, 498, 2);
	CHECK_EQ(kit_put(s, 10, 1, "d"), -EINVAL);
	CHECK_EQ(kit_put(s, 2000, 1, "d"), -EINVAL);
	CHECK_EQ(store_reopen(s), 0);
	CHECK_EQ(manifest_intents(s->m, &intents), 1);
	CHECK_EQ(intents[0].seq, intent_seq);
	CHECK_STR(intents[0].from, "x\xff");
	/* Those that may still have an object; the one of long ago is forgotten. */
	CHECK_EQ(manifest_removals(s->m, &removals), 3);
	for (size_t i = 0; i < 3; i++)
		CHECK_STR(removals[i].path, removals[i].id == 10     ? "newer/f10.notepack.gz"
					    : removals[i].id == 1999 ? "c/f1999.notepack.gz"
								     : "c/f2000.notepack.gz");
}

static void what_is_mostly_dead_is_rewritten(void)
{
	struct store s;
	uint64_t seq;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	atomic_store(&kit_fsync, no_fsync);
	CHECK_EQ(commit_range(&s, 1, 2000, 0, "a"), 0);
	CHECK_EQ(kit_put(&s, 5000, 1, "a"), 0);
	CHECK_EQ(manifest_commit(s.m, begin, NULL), 0);
	CHECK_EQ(kit_rm(&s, 5000, 1), 0);
	CHECK_EQ(kit_mv(&s, "a", "b"), 0);
	CHECK_EQ(commit_range(&s, 1, 2000, 2, "b"), 0);
	CHECK_EQ(s.m->disk.chunk_lines, 4006);
	CHECK_EQ(kit_rm(&s, 1999, 1), 0); /* in the tail */
	seq = manifest_last_seq(s.m);
	CHECK_EQ(manifest_commit(s.m, last_changes, NULL), 0);
	CHECK_EQ(manifest_last_seq(s.m), seq + 1504);
	CHECK_EQ(s.m->disk.chunk_lines, 1997 + 1 + 3);
	CHECK_EQ(s.m->disk.tail_lines, 0);
	for (int round = 0; round < 3; round++) {
		check_chunks(&s);
		check_rewritten(&s);
	}
	CHECK_EQ(commit_range(&s, 3000, 10, 0, "a"), 0);
	CHECK_EQ(manifest_last_seq(s.m), seq + 1514);
	store_release(&s);
}

/* Write until there is no room left; how many bytes that were. */
static uint64_t fill(struct store *s, const char *name)
{
	int fd = openat(s->fd, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	char block[4096];
	uint64_t bytes = 0;
	ssize_t n;

	memset(block, 'x', sizeof(block));
	while ((n = write(fd, block, sizeof(block))) > 0)
		bytes += (uint64_t)n;
	CHECK_EQ(errno, ENOSPC);
	close(fd);
	return bytes;
}

static blkcnt_t reserve_blocks(struct store *s)
{
	struct stat st;

	return fstatat(s->fd, ".notepackfs/reserve", &st, 0) == 0 ? st.st_blocks : -1;
}

static void fill_and_heal(struct store *s)
{
	CHECK_EQ(store_open(s), 0);
	CHECK_EQ(commit_range(s, 1, 300, 0, "d"), 0);
	CHECK(reserve_blocks(s) * 512 >= MANIFEST_RESERVE_BYTES);
	fill(s, "filler");
	/* There is no block left for anybody but the manifest. */
	CHECK_EQ(commit_range(s, 301, 100, 0, "d"), 0);
	CHECK_EQ(reserve_blocks(s), 0);
	CHECK(fill(s, "filler") > 0);
	CHECK_EQ(commit_range(s, 401, 100, 0, "d"), -ENOSPC);
	CHECK_EQ(manifest_count(s->m), 400);
	CHECK_EQ(store_count(s, ".notepackfs"), 3);
	manifest_check(s->m);
	unlinkat(s->fd, "filler", 0);
	CHECK_EQ(commit_range(s, 401, 100, 0, "d"), 0);
	CHECK(reserve_blocks(s) * 512 >= MANIFEST_RESERVE_BYTES);
	CHECK_EQ(store_reopen(s), 0);
	CHECK_EQ(manifest_count(s->m), 500);
	check_range(s, 1, 500, 0);
}

/* L34: a full disk must not stop the record of what was healed. */
static void L34_the_reserve_makes_a_commit_on_a_full_disk_possible(void)
{
	struct store outer, s;

	store_init(&outer);
	memset(&s, 0, sizeof(s));
	/* In a mount namespace of our own: whatever happens, nothing stays mounted. */
	if (unshare(CLONE_NEWNS) != 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("tmpfs", outer.path, "tmpfs", 0, "size=2m") != 0) {
		SKIP("a tmpfs cannot be mounted here (not root?)");
		store_release(&outer);
		return;
	}
	strcpy(s.path, outer.path);
	s.fd = open(s.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fill_and_heal(&s);
	store_close(&s);
	close(s.fd);
	CHECK_EQ(umount2(outer.path, MNT_DETACH), 0);
	store_release(&outer);
}

static int collect(void *ctx, const char *data, size_t len)
{
	buf_add(ctx, data, len);
	return 0;
}

static int refuse(void *ctx, const char *data, size_t len)
{
	return -EPIPE;
}

static void a_dump_is_the_header_and_every_live_record_by_seq(void)
{
	CLEANUP_BUF struct buf text = {0};
	uint64_t last = 0;
	int lines = 0;
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	for (uint64_t id = 1; id <= 400; id++)
		CHECK_EQ(kit_put(&s, 1 + id * 7919 % 400, 1, "d"), 0);
	for (uint64_t id = 1; id <= 400; id += 3)
		CHECK_EQ(kit_rm(&s, id, 1), 0);
	CHECK_EQ(kit_mv(&s, "d", "e"), 0);
	CHECK_EQ(manifest_dump(s.m, collect, &text), 0);
	CHECK(!text.failed && strncmp(text.data, "{\"notepackfs\":1,", 16) == 0);
	CHECK(!text.failed && strstr(text.data, "chunks") == NULL);
	for (char *line = strchr(text.data, '\n') + 1; *line; line = strchr(line, '\n') + 1) {
		const char *reason;
		struct record r = {0};

		CHECK_EQ(record_decode(line, strcspn(line, "\n"), ".notepack", &r, &reason), 0);
		CHECK(r.op == RECORD_SEALED && r.sealed.seq > last && r.sealed.id % 3 != 1);
		CHECK_STR(r.dir, "e");
		last = r.sealed.seq;
		lines++;
		record_release(&r);
	}
	CHECK_EQ(lines, manifest_count(s.m));
	CHECK_EQ(manifest_dump(s.m, refuse, NULL), -EPIPE);
	store_release(&s);
}

/* Changes a record for each piece that is written. */
struct meddler {
	struct store *store;
	struct buf text;
	unsigned version;
};

static int meddle(void *ctx, const char *data, size_t len)
{
	struct meddler *x = ctx;

	buf_add(&x->text, data, len);
	if (x->version++ < 3) {
		/* The later half first: not in the order of the dump. */
		CHECK_EQ(commit_range(x->store, 501, 500, x->version, "d"), 0);
		CHECK_EQ(commit_range(x->store, 1, 500, x->version, "d"), 0);
	}
	return 0;
}

static void a_dump_stays_in_order_while_records_change(void)
{
	struct meddler x = {0};
	uint64_t last = 0, count = 0;
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	CHECK_EQ(commit_range(&s, 1, 1000, 0, "d"), 0);
	x.store = &s;
	CHECK_EQ(manifest_dump(s.m, meddle, &x), 0);
	for (char *line = strchr(x.text.data, '\n') + 1; *line; line = strchr(line, '\n') + 1) {
		uint64_t seq = strtoull(line + strlen("{\"seq\":"), NULL, 10);

		CHECK(seq > last);
		last = seq;
		count++;
	}
	/* Every record was seen in its last form, some in an older one, too. */
	CHECK_EQ(last, manifest_last_seq(s.m));
	CHECK(count >= 1000);
	buf_release(&x.text);
	store_release(&s);
}

int main(void)
{
	RUN(a_long_tail_is_folded_into_chunks);
	RUN(L19_a_chunks_number_is_not_used_while_its_file_exists);
	RUN(a_fold_that_fails_is_no_error);
	RUN(a_fold_copies_no_damage);
	RUN(what_is_mostly_dead_is_rewritten);
	RUN(L34_the_reserve_makes_a_commit_on_a_full_disk_possible);
	RUN(a_dump_is_the_header_and_every_live_record_by_seq);
	RUN(a_dump_stays_in_order_while_records_change);
	return unit_done();
}
