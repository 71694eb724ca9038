/* SPDX-License-Identifier: BSD-2-Clause */
/* The records in memory: the table that they are in, and the blocks of those that were loaded. */
#include "tests/unit/manifest_kit.h"

/* ---- the table ---- */

static void add(struct memory *mem, uint64_t id, uint32_t part, const char *dir)
{
	struct sealed s = kit_sealed(id, part, 0);
	struct node *n;

	s.seq = 1;
	n = manifest_node_new(&s, "f");
	if (!n)
		abort();
	n->dir = manifest_mem_new_dir(dir);
	manifest_mem_insert(mem, n, manifest_mem_find(mem, id, part));
}

static size_t longest_chain(const struct memory *mem)
{
	size_t longest = 0;

	for (size_t i = 0; i < (size_t)1 << mem->bits; i++) {
		size_t len = 0;

		for (const struct node *n = mem->chains[i]; n; n = n->chained)
			len++;
		longest = MAX(longest, len);
	}
	return longest;
}

struct pattern {
	uint64_t id, id_step;
	uint32_t part, part_step;
};

/* So many records of this pattern: each is found, nothing else is, and no chain is long. */
static void check_pattern(struct pattern p, uint64_t count, bool expected)
{
	struct memory mem;
	uint64_t walked = 0;

	CHECK_EQ(manifest_mem_init(&mem), 0);
	if (expected)
		manifest_mem_expect(&mem, count);
	for (uint64_t i = 0; i < count; i++)
		add(&mem, p.id + i * p.id_step, p.part + (uint32_t)i * p.part_step,
		    i % 3 ? "a" : "");
	mem.live = count;
	manifest_mem_check(&mem, 2);
	CHECK_EQ(mem.count, count);
	for (uint64_t i = 0; i < count; i++) {
		uint64_t id = p.id + i * p.id_step;
		uint32_t part = p.part + (uint32_t)i * p.part_step;
		const struct node *n = manifest_mem_find(&mem, id, part);

		CHECK(n && n->id == id && n->part == part);
		CHECK(!manifest_mem_find(&mem, id, part + 1000000));
	}
	for (const struct node *n = manifest_mem_first(&mem); n; n = manifest_mem_next(n))
		walked++;
	CHECK_EQ(walked, count);
	CHECK(longest_chain(&mem) <= 16);
	manifest_mem_release(&mem);
}

static void finds_records_whatever_their_ids_are(void)
{
	static const struct pattern patterns[] = {
	    {1024, 1, 1, 0},		    /* a file each */
	    {1024, MANIFEST_ID_STEP, 1, 0}, /* a crash behind each */
	    {5000, 0, 1, 1},		    /* parts of one file */
	    {1024, 1, 1, 1},		    /* both */
	    {(uint64_t)1 << 40, 64, 1, 0},  /* a coarse clock */
	    {UINT64_MAX - 2000000, 100, 7, 3},
	};

	for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
		check_pattern(patterns[i], 20000, false);
		check_pattern(patterns[i], 20000, true);
		check_pattern(patterns[i], 1, false);
	}
}

static void an_empty_memory_has_nothing(void)
{
	struct memory mem;

	CHECK_EQ(manifest_mem_init(&mem), 0);
	manifest_mem_check(&mem, 1);
	CHECK(!manifest_mem_first(&mem));
	CHECK(!manifest_mem_find(&mem, 0, 0));
	CHECK(!manifest_mem_find(&mem, 1024, 1));
	manifest_mem_release(&mem);
}

/* ---- blocks ---- */

#define ITEMS 5000

struct item {
	char *p;
	size_t size;
	uint16_t at;
};

static void blocks_go_with_their_last_item(void)
{
	static struct item items[ITEMS];
	struct blocks one = {0}, other = {0};
	uint16_t at;

	for (size_t i = 0; i < ITEMS; i++) {
		struct item *item = &items[i];

		item->size = 1 + i * 7919 % 500;
		item->p = manifest_block_alloc(i % 2 ? &one : &other, item->size, &item->at);
		if (!item->p)
			abort();
		CHECK(item->at > 0 && (uintptr_t)item->p % sizeof(uint64_t) == 0);
		memset(item->p, (int)i, item->size);
	}
	manifest_block_join(&one, &other);
	CHECK(!other.first);
	for (size_t k = 0; k < ITEMS; k++) {
		struct item *item = &items[k * 3331 % ITEMS];

		CHECK(one.first != NULL);
		for (size_t i = 0; i < item->size; i++)
			CHECK_EQ((uint8_t)item->p[i], (uint8_t)(k * 3331 % ITEMS));
		manifest_block_free(&one, item->p, item->at);
	}
	CHECK(!one.first);
	CHECK(!manifest_block_alloc(&one, 1 << 20, &at));
	manifest_block_release(&one);
}

static void blocks_are_freed_as_a_whole(void)
{
	struct blocks list = {0};
	uint16_t at;

	for (size_t i = 0; i < ITEMS; i++)
		CHECK(manifest_block_alloc(&list, 200, &at) != NULL);
	manifest_block_release(&list);
	CHECK(!list.first);
}

/* ---- what was loaded ---- */

#define FILES 9000

struct many {
	uint64_t first, count;
	unsigned version;
	bool removed;
};

static void name_of(uint64_t i, char dir[16], char plain[32])
{
	dir[0] = '\0';
	if (i % 5 != 4)
		snprintf(dir, 16, "d%d/e", (int)(i / 40 % 7));
	snprintf(plain, 32, "f%llu", (unsigned long long)i);
}

static int change_many(struct manifest_txn *txn, void *ctx)
{
	const struct many *c = ctx;
	int err = 0;

	for (uint64_t i = c->first; i < c->first + c->count && !err; i++) {
		struct sealed s = kit_sealed(MANIFEST_FIRST_ID + i, 1, c->version);
		char dir[16], plain[32];

		name_of(i, dir, plain);
		if (c->removed)
			err = manifest_remove(txn, s.id, 1);
		else
			err = manifest_put(txn, &s, dir, plain);
	}
	return err;
}

static void change(struct store *s, struct many c)
{
	CHECK_EQ(manifest_commit(s->m, change_many, &c), 0);
	manifest_check(s->m);
}

static void check_all(struct store *s, uint64_t first, unsigned version)
{
	for (uint64_t i = first; i < FILES; i++) {
		CLEANUP_BUF struct buf dir = {0}, plain = {0};
		char wanted_dir[16], wanted[32];
		struct sealed got, expected = kit_sealed(MANIFEST_FIRST_ID + i, 1, version);

		buf_str(&dir, "");
		name_of(i, wanted_dir, wanted);
		CHECK(manifest_find(s->m, expected.id, 1, &got, &dir, &plain));
		CHECK(kit_same(&expected, &got));
		CHECK_STR(dir.data, wanted_dir);
		CHECK_STR(plain.data, wanted);
	}
}

static void loaded_records_are_replaced_and_forgotten(void)
{
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	change(&s, (struct many){0, FILES, 0, false});
	CHECK_EQ(store_reopen(&s), 0);
	CHECK(s.m->mem.blocks.first != NULL);
	check_all(&s, 0, 0);
	change(&s, (struct many){0, FILES / 2, 1, false});
	change(&s, (struct many){FILES / 2, FILES - FILES / 2, 1, false});
	/* Each has been replaced: nothing is left of what was loaded. */
	CHECK(!s.m->mem.blocks.first);
	check_all(&s, 0, 1);
	CHECK_EQ(store_reopen(&s), 0);
	check_all(&s, 0, 1);
	change(&s, (struct many){0, FILES - 100, 0, true});
	/* More lines are dead than alive: all is written again, and the removals are forgotten. */
	for (uint64_t i = FILES - 100; i < FILES; i++)
		change(&s, (struct many){i, 1, 2, false});
	check_all(&s, FILES - 100, 2);
	CHECK_EQ(store_reopen(&s), 0);
	check_all(&s, FILES - 100, 2);
	CHECK_EQ(manifest_count(s.m), 100);
	store_release(&s);
}

/* A record comes into a directory that had another name when the one before it came. */
static void a_directory_that_moves_is_not_the_last_one(void)
{
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	CHECK_EQ(kit_put(&s, 2000, 1, "a"), 0);
	CHECK_EQ(kit_mv(&s, "a", "b"), 0);
	CHECK_EQ(kit_put(&s, 2001, 1, "a"), 0);
	CHECK_EQ(kit_put(&s, 2002, 1, "b"), 0);
	CHECK_EQ(kit_mv(&s, "b", "a"), 0);
	CHECK_EQ(kit_put(&s, 2003, 1, "b"), 0);
	CHECK_EQ(kit_put(&s, 2004, 1, "a"), 0);
	/* The first leaves a directory that only it was in. */
	CHECK_EQ(kit_put(&s, 2005, 1, "c"), 0);
	CHECK_EQ(kit_rm(&s, 2003, 1), 0);
	CHECK_EQ(store_reopen(&s), 0);
	CHECK_EQ(kit_in_dir(&s, "a"), 4);
	CHECK_EQ(kit_in_dir(&s, "b"), 0);
	CHECK_EQ(kit_in_dir(&s, "c"), 1);
	store_release(&s);
}

int main(void)
{
	RUN(finds_records_whatever_their_ids_are);
	RUN(an_empty_memory_has_nothing);
	RUN(blocks_go_with_their_last_item);
	RUN(blocks_are_freed_as_a_whole);
	RUN(loaded_records_are_replaced_and_forgotten);
	RUN(a_directory_that_moves_is_not_the_last_one);
	return unit_done();
}
