/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repair: every byte of a small manifest is damaged, one after the other, and the store repaired.
 * Whatever the byte was, every object must have one record that is right, and what is unique
 * must stay so. With UNIT_QUICK set (sanitizers, clang) it is every fifth byte.
 */
#include "lib/repair.h"

#include "lib/layout.h"
#include "lib/object.h"
#include "tests/unit/manifest_kit.h"
#include "tests/unit/sample.h"
#include "tests/unit/seekgz_build.h"

#define MANIFEST ".notepackfs/manifest"
#define CHUNK ".notepackfs/chunks/00000001.jsonl"
#define KEPT LAYOUT_QUARANTINE "/manifest.1"

/* The objects. f and g are the same bytes, two in d has two parts. */
struct thing {
	const char *dir, *plain, *object;
	uint32_t part;
	unsigned seed;
	uint64_t id;
};

static const struct thing things[] = {
    {"", "f", "f.notepack.gz", 1, 1, 1024},
    {"", "g", "g.notepack.gz", 1, 1, 1025},
    {"d", "two.notepack", "two.notepack.gz", 1, 2, 1026},
    {"d", "two.notepack", "two.p000000002.notepack.gz", 2, 3, 1026},
    {"d", "h", "h.notepack.gz", 1, 4, 1027},
};

#define THINGS (sizeof(things) / sizeof(things[0]))
#define GONE_ID 1028
#define LAST_ID 1028

static struct sealed facts[THINGS];

static int no_fsync(int fd)
{
	return 0;
}

static void make_object(struct store *s, const struct thing *t, struct sealed *rec)
{
	struct seekgz_recipe recipe = seekgz_default_recipe();
	struct seekgz_damage damage;
	uint8_t plain[2000];
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s%s%s", t->dir, *t->dir ? "/" : "", t->object);
	recipe.part = t->part;
	recipe.offset = (t->part - 1) * sizeof(plain);
	sample_text(plain, sizeof(plain), t->seed);
	fd = openat(s->fd, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	CHECK_EQ(seekgz_build(fd, plain, sizeof(plain), &recipe), 0);
	*rec = (struct sealed){.mode = 0644, .mtime_ns = 77, .sealed_at_ns = 78};
	CHECK_EQ(object_verify(fd, rec, NULL, NULL, &damage), 0);
	rec->id = t->id;
	rec->part = t->part;
	close(fd);
}

struct line {
	struct sealed *rec;
	const char *dir, *plain;
};

static int put_line(struct manifest_txn *txn, void *ctx)
{
	struct line *l = ctx;

	return manifest_put(txn, l->rec, l->dir, l->plain);
}

/* Records in a chunk and in the tail, with a removal and a renamed directory. */
static void make_store(struct store *s)
{
	struct sealed gone = kit_sealed(GONE_ID, 1, 0);

	store_init(s);
	atomic_store(&kit_fsync, no_fsync);
	CHECK_EQ(layout_create(s->fd), 0);
	CHECK_EQ(mkdirat(s->fd, "d", 0755), 0);
	CHECK_EQ(store_open(s), 0);
	s->m->disk.fold_above = 5;
	for (size_t i = 0; i < THINGS; i++) {
		struct line l = {&facts[i], *things[i].dir ? "before" : "", things[i].plain};

		make_object(s, &things[i], &facts[i]);
		CHECK_EQ(manifest_commit(s->m, put_line, &l), 0);
	}
	CHECK_EQ(manifest_commit(s->m, put_line, &(struct line){&gone, "", "gone"}), 0);
	CHECK_EQ(s->m->disk.chunk_lines, 6);
	CHECK_EQ(kit_mv(s, "before", "d"), 0);
	CHECK_EQ(kit_rm(s, GONE_ID, 1), 0);
	CHECK_EQ(kit_put(s, GONE_ID - 1, 2, "nowhere"), 0); /* its object is missing */
	CHECK_EQ(kit_rm(s, GONE_ID - 1, 2), 0);
	store_close(s);
}

static void say(void *ctx, enum repair_level level, const char *text)
{
	++*(int *)ctx;
}

static int repair(struct store *s, struct repair_counts *counts)
{
	int lines = 0;
	struct repair_options o = {.say = say, .ctx = &lines};
	struct repair_error error;
	int r = repair_store(s->fd, &o, counts, &error);

	if (r < 0)
		printf("# %s\n", error.text);
	return r;
}

/* ---- what must hold ---- */

struct found {
	size_t count, right, other_id;
	uint64_t id[THINGS];
	uint64_t seqs[2 * THINGS];
};

static int visit(void *ctx, const struct sealed *rec, const char *dir, const char *plain)
{
	struct found *f = ctx;
	char object[NAME_BYTES + 1];

	CHECK(f->count < THINGS);
	for (size_t i = 0; i < f->count; i++)
		CHECK(f->seqs[i] != rec->seq);
	f->seqs[f->count++] = rec->seq;
	CHECK_EQ(name_sealed(plain, rec->part, ".notepack", object), 0);
	for (size_t i = 0; i < THINGS; i++) {
		const struct thing *t = &things[i];

		if (strcmp(dir, t->dir) != 0 || strcmp(object, t->object) != 0)
			continue;
		f->right += rec->part == t->part && rec->offset == facts[i].offset &&
			    rec->raw_bytes == facts[i].raw_bytes &&
			    rec->gz_bytes == facts[i].gz_bytes &&
			    memcmp(rec->sha256, facts[i].sha256, SHA256_BYTES) == 0 &&
			    memcmp(rec->raw_sha256, facts[i].raw_sha256, SHA256_BYTES) == 0;
		f->other_id += rec->id != t->id;
		f->id[i] = rec->id;
	}
	return 0;
}

/* The repaired manifest; returns how many ids are not what they were. */
static size_t check_repaired(struct store *s, uint64_t last_seq)
{
	struct manifest_options o = {.read_only = false};
	struct found f = {0};
	uint64_t id;

	CHECK_EQ(store_open_with(s, &o), 0);
	manifest_check(s->m);
	CHECK_EQ(manifest_count(s->m), THINGS);
	CHECK_EQ(manifest_each(s->m, visit, &f), 0);
	CHECK_EQ(f.count, THINGS);
	CHECK_EQ(f.right, THINGS);
	for (size_t i = 0; i < THINGS; i++) {
		for (size_t k = 0; k < i; k++)
			CHECK_EQ(f.id[i] == f.id[k], things[i].id == things[k].id);
	}
	CHECK(!manifest_was_clean(s->m));
	CHECK(manifest_last_seq(s->m) >= last_seq);
	CHECK_EQ(manifest_new_id(s->m, &id), 0);
	CHECK(id > LAST_ID);
	for (size_t i = 0; i < THINGS; i++)
		CHECK(f.id[i] != id);
	store_close(s);
	return f.other_id;
}

/* A store with its two files, to be put back after each repair. */
struct files {
	char *manifest, *chunk;
	size_t manifest_len, chunk_len;
	uint64_t last_seq;
};

static void read_files(struct store *s, struct files *f)
{
	CHECK_EQ(store_open(s), 0);
	f->last_seq = manifest_last_seq(s->m);
	store_close(s);
	f->manifest = store_read(s, MANIFEST, &f->manifest_len);
	f->chunk = store_read(s, CHUNK, &f->chunk_len);
}

static void put_back(struct store *s, const struct files *f)
{
	char path[64];

	unlinkat(s->fd, KEPT "/manifest", 0);
	unlinkat(s->fd, KEPT "/chunks/00000001.jsonl", 0);
	unlinkat(s->fd, KEPT "/chunks", AT_REMOVEDIR);
	unlinkat(s->fd, KEPT, AT_REMOVEDIR);
	for (unsigned i = 1; i < 5; i++) {
		snprintf(path, sizeof(path), ".notepackfs/chunks/%08u.jsonl", i);
		unlinkat(s->fd, path, 0);
	}
	unlinkat(s->fd, MANIFEST, 0); /* not through a link that is kept */
	store_write(s, MANIFEST, f->manifest, f->manifest_len);
	store_write(s, CHUNK, f->chunk, f->chunk_len);
}

/* Damage, repair, check, once more, and put it back; `most` ids may be others. */
static void try(struct store *s, const struct files *f, const char *file, const char *text,
		size_t len, size_t most)
{
	struct repair_counts counts;

	unlinkat(s->fd, file, 0);
	store_write(s, file, text, len);
	CHECK_EQ(repair(s, &counts), 0);
	CHECK_EQ(counts.kept + counts.anew, THINGS);
	CHECK_EQ(counts.quarantined + counts.damaged + counts.missing, 0);
	CHECK(faccessat(s->fd, KEPT "/manifest", F_OK, 0) == 0);
	CHECK_EQ(repair(s, &counts), REPAIR_NOTHING);
	CHECK(check_repaired(s, f->last_seq) <= most);
	put_back(s, f);
}

static void every_flip(const char *file, bool chunk)
{
	static const unsigned char masks[] = {0x01, 0x04};
	const size_t step = getenv("UNIT_QUICK") ? 5 : 1; /* odd: both masks have their turn */
	struct files f;
	struct store s;
	size_t len, head;
	char *text;

	make_store(&s);
	read_files(&s, &f);
	text = chunk ? f.chunk : f.manifest;
	len = chunk ? f.chunk_len : f.manifest_len;
	head = chunk ? 0 : (size_t)(strchr(text, '\n') - text);
	printf("# one in %zu of %zu bytes of %s\n", step, len, file);
	for (size_t i = 0; i < len; i += step) {
		CLEANUP_FREE char *copy = malloc(len);

		memcpy(copy, text, len);
		copy[i] = (char)(copy[i] ^ masks[i % sizeof(masks)]);
		/* A line may be lost; with another id it takes another's. */
		try(&s, &f, file, copy, len, i < head ? 0 : 3);
	}
	for (size_t cut = 0; cut < len; cut += 7 * step)
		try(&s, &f, file, text, cut, THINGS);
	free(f.manifest);
	free(f.chunk);
	store_release(&s);
}

static void I4_any_byte_of_the_manifest_may_change(void)
{
	every_flip(MANIFEST, false);
}

static void I4_any_byte_of_a_chunk_file_may_change(void)
{
	every_flip(CHUNK, true);
}

static void I4_all_of_it_may_be_lost(void)
{
	struct repair_counts counts;
	struct files f;
	struct store s;

	make_store(&s);
	read_files(&s, &f);
	CHECK_EQ(unlinkat(s.fd, MANIFEST, 0), 0);
	CHECK_EQ(repair(&s, &counts), 0);
	CHECK_EQ(counts.kept, THINGS);
	CHECK_EQ(check_repaired(&s, 0), 0);
	put_back(&s, &f);
	CHECK_EQ(unlinkat(s.fd, MANIFEST, 0), 0);
	CHECK_EQ(unlinkat(s.fd, CHUNK, 0), 0);
	CHECK_EQ(repair(&s, &counts), 0);
	CHECK_EQ(counts.anew, THINGS);
	check_repaired(&s, 0);
	free(f.manifest);
	free(f.chunk);
	store_release(&s);
}

/* A chunk file that a fold, cut short, left behind: no line of it may count. */
static void what_the_header_does_not_name_is_no_part_of_it(void)
{
	struct repair_counts counts;
	struct files f;
	struct store s;

	make_store(&s);
	read_files(&s, &f);
	f.manifest[f.manifest_len - 20] ^= 1;
	CHECK_EQ(unlinkat(s.fd, MANIFEST, 0), 0);
	store_write(&s, MANIFEST, f.manifest, f.manifest_len);
	store_write(&s, ".notepackfs/chunks/00000002.jsonl", f.chunk, f.chunk_len);
	CHECK_EQ(repair(&s, &counts), 0);
	CHECK_EQ(counts.kept, THINGS);
	CHECK_EQ(check_repaired(&s, f.last_seq), 0);
	free(f.manifest);
	free(f.chunk);
	store_release(&s);
}

/* Named bug: where nothing vouches for either, the older of two lines of an object was taken. */
static void the_newer_line_of_an_object_counts(void)
{
	struct manifest_options o = {.read_only = false};
	struct repair_counts counts;
	struct sealed rec;
	struct files f;
	struct store s;
	size_t first;
	char *time;

	make_store(&s);
	read_files(&s, &f);
	first = (size_t)(strchr(f.chunk, '\n') + 1 - f.chunk);
	CLEANUP_FREE char *two = malloc(f.chunk_len + first + 1);

	memcpy(two, f.chunk, f.chunk_len);
	memcpy(two + f.chunk_len, f.chunk, first);
	two[f.chunk_len + first] = '\0';
	time = strstr(two + f.chunk_len, "000000077");
	CHECK(time != NULL);
	memcpy(time, "000000099", 9);
	CHECK_EQ(unlinkat(s.fd, MANIFEST, 0), 0);
	CHECK_EQ(unlinkat(s.fd, CHUNK, 0), 0);
	store_write(&s, CHUNK, two, f.chunk_len + first);
	CHECK_EQ(repair(&s, &counts), 0);
	CHECK_EQ(counts.kept, THINGS);
	CHECK_EQ(store_open_with(&s, &o), 0);
	CHECK(manifest_get(s.m, things[0].id, 1, &rec));
	CHECK_EQ(rec.mtime_ns, 99);
	store_close(&s);
	free(f.manifest);
	free(f.chunk);
	store_release(&s);
}

int main(void)
{
	RUN(I4_any_byte_of_the_manifest_may_change);
	RUN(I4_any_byte_of_a_chunk_file_may_change);
	RUN(I4_all_of_it_may_be_lost);
	RUN(what_the_header_does_not_name_is_no_part_of_it);
	RUN(the_newer_line_of_an_object_counts);
	return unit_done();
}
