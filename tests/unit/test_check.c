/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check: stores that are made by hand, damaged in one way each.
 */
#include "lib/check.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/io.h"
#include "lib/layout.h"
#include "lib/name.h"
#include "tests/unit/sample.h"
#include "tests/unit/seekgz_build.h"
#include "tests/unit/unit.h"

#define RAW_BYTES (3 * SEEKGZ_CHUNK_BYTES + 12345)

static char store_path[64];
static int storefd;
static struct manifest *manifest;
static struct check_counts counts;
static char last_path[256], last_reason[256];
static bool last_has_offset;
static uint64_t last_raw_offset;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void begin(void)
{
	const struct manifest_options options = {.create = true,
						 .exclude = NAME_DEFAULT_EXCLUDE};
	struct manifest_error error;

	snprintf(store_path, sizeof(store_path), "/tmp/test_check.XXXXXX");
	if (!mkdtemp(store_path))
		abort();
	storefd = open(store_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_EQ(layout_create(storefd), 0);
	CHECK_EQ(manifest_open(storefd, &options, &manifest, &error), 0);
	CHECK_EQ(mkdirat(storefd, "a", 0755), 0);
}

static void end(void)
{
	manifest_close(manifest);
	close(storefd);
	nftw(store_path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *path, const void *data, size_t len)
{
	int fd = io_open(storefd, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	CHECK(fd >= 0);
	CHECK_EQ(io_write(fd, data, len), 0);
	close(fd);
}

/* An object of sample bytes at path; *s gets its facts. */
static void write_object(const char *path, uint32_t part, uint64_t offset, uint64_t seed,
			 struct sealed *s)
{
	CLEANUP_FREE uint8_t *raw = malloc(RAW_BYTES);
	struct seekgz_recipe recipe = seekgz_default_recipe();
	struct seekgz_header header = {0};
	struct seekgz_summary summary;
	struct seekgz_damage damage;
	int fd = io_open(storefd, path, O_RDWR | O_CREAT | O_TRUNC, 0444);

	sample_mixed(raw, RAW_BYTES, seed);
	recipe.part = part;
	recipe.offset = offset;
	CHECK_EQ(seekgz_build(fd, raw, RAW_BYTES, &recipe), 0);
	CHECK_EQ(seekgz_verify(fd, &header, &summary, NULL, NULL, &damage), 0);
	*s = (struct sealed){
	    .part = part,
	    .offset = offset,
	    .raw_bytes = RAW_BYTES,
	    .gz_bytes = summary.gz_bytes,
	    .crc32 = summary.crc32,
	    .mode = 0644,
	    .level = 6,
	};
	memcpy(s->sha256, summary.sha256, SHA256_BYTES);
	memcpy(s->raw_sha256, header.raw_sha256, SHA256_BYTES);
	seekgz_header_release(&header);
	close(fd);
}

struct put {
	struct sealed sealed;
	const char *dir, *plain;
};

static int put(struct manifest_txn *txn, void *ctx)
{
	struct put *p = ctx;

	return manifest_put(txn, &p->sealed, p->dir, p->plain);
}

static void record(const struct sealed *s, uint64_t id, const char *dir, const char *plain)
{
	struct put p = {.sealed = *s, .dir = dir, .plain = plain};

	p.sealed.id = id;
	CHECK_EQ(manifest_commit(manifest, put, &p), 0);
}

/* x and a/y, the latter in two parts, sealed and recorded. */
static void fill(void)
{
	struct sealed s;

	write_object("x.notepack.gz", 1, 0, 1, &s);
	record(&s, 1, "", "x");
	write_object("a/y.notepack.gz", 1, 0, 2, &s);
	record(&s, 2, "a", "y");
	write_object("a/y.p000000002.notepack.gz", 2, RAW_BYTES, 3, &s);
	record(&s, 2, "a", "y");
}

static void on_problem(void *ctx, const struct check_problem *p)
{
	snprintf(last_path, sizeof(last_path), "%s", p->path);
	snprintf(last_reason, sizeof(last_reason), "%s", p->reason);
	last_has_offset = p->has_offset;
	last_raw_offset = p->raw_offset;
}

static uint64_t problems(bool deep, bool live)
{
	const struct check_options options = {
	    .deep = deep, .live = live, .problem = on_problem};
	struct manifest_error error;

	last_path[0] = last_reason[0] = '\0';
	CHECK_EQ(check_store(storefd, &options, &counts, &error), 0);
	return counts.problems;
}

/* Change one byte of a file. */
static void flip(const char *path, uint64_t offset)
{
	char full[256];
	uint8_t byte;
	int fd;

	snprintf(full, sizeof(full), "%s/%s", store_path, path);
	chmod(full, 0644);
	fd = open(full, O_RDWR);
	CHECK_EQ(io_pread(fd, &byte, 1, offset), 1);
	byte ^= 1;
	CHECK_EQ(io_pwrite(fd, &byte, 1, offset), 0);
	close(fd);
}

static void finds_nothing_in_a_good_store(void)
{
	begin();
	fill();
	CHECK_EQ(problems(false, false), 0);
	CHECK_EQ(problems(true, false), 0);
	CHECK_EQ(counts.records, 3);
	CHECK_EQ(counts.objects, 3);
	CHECK_EQ(counts.raw_bytes, 3 * RAW_BYTES);
	CHECK_EQ(counts.unsealed_files, 0);
	end();
}

static void finds_a_missing_object(void)
{
	begin();
	fill();
	CHECK_EQ(unlinkat(storefd, "a/y.p000000002.notepack.gz", 0), 0);
	CHECK_EQ(problems(false, false), 1);
	CHECK_STR(last_path, "a/y.p000000002.notepack.gz");
	CHECK(strstr(last_reason, "missing") != NULL);
	CHECK_EQ(counts.objects, 2);
	end();
}

static void finds_all_that_a_missing_directory_held(void)
{
	begin();
	fill();
	CHECK_EQ(renameat(storefd, "a", storefd, "a.tmp"), 0);
	CHECK_EQ(problems(false, false), 2);
	CHECK_EQ(counts.excluded_files, 1);
	end();
}

static void finds_a_truncated_object(void)
{
	begin();
	fill();
	write_file("a/y.notepack.gz", "short", 5);
	CHECK_EQ(problems(false, false), 1);
	CHECK_STR(last_path, "a/y.notepack.gz");
	CHECK(strstr(last_reason, "5 bytes") != NULL);
	end();
}

static void finds_a_damaged_header(void)
{
	begin();
	fill();
	flip("x.notepack.gz", 40);
	CHECK_EQ(problems(false, false), 1);
	CHECK_STR(last_path, "x.notepack.gz");
	end();
}

/* L37: a verdict names file, offset and reason. */
static void finds_a_flipped_bit_in_the_data_when_deep_and_says_where(void)
{
	struct stat st;

	begin();
	fill();
	CHECK_EQ(fstatat(storefd, "x.notepack.gz", &st, 0), 0);
	flip("x.notepack.gz", (uint64_t)st.st_size - 40);
	CHECK_EQ(problems(false, false), 0);
	CHECK_EQ(problems(true, false), 1);
	CHECK_STR(last_path, "x.notepack.gz");
	CHECK(last_has_offset);
	CHECK_EQ(last_raw_offset, 3 * SEEKGZ_CHUNK_BYTES);
	end();
}

static void finds_an_object_in_the_place_of_another(void)
{
	struct sealed s;

	begin();
	fill();
	write_object("x.notepack.gz", 1, 0, 1, &s);
	s.raw_sha256[0] ^= 1;
	record(&s, 1, "", "x");
	CHECK_EQ(problems(false, false), 1);
	CHECK(strstr(last_reason, "raw SHA-256") != NULL);
	end();
}

static void finds_an_object_whose_checksum_is_not_the_recorded_one(void)
{
	struct sealed s;

	begin();
	write_object("x.notepack.gz", 1, 0, 1, &s);
	s.sha256[0] ^= 1;
	record(&s, 1, "", "x");
	CHECK_EQ(problems(false, false), 0);
	CHECK_EQ(problems(true, false), 1);
	end();
}

static void finds_an_object_without_a_record(void)
{
	struct sealed s;

	begin();
	fill();
	write_object("a/z.notepack.gz", 1, 0, 9, &s);
	CHECK_EQ(problems(false, false), 1);
	CHECK_STR(last_path, "a/z.notepack.gz");
	CHECK(strstr(last_reason, "without a record") != NULL);
	end();
}

static void follows_no_symbolic_link_in_the_place_of_an_object(void)
{
	begin();
	fill();
	CHECK_EQ(renameat(storefd, "x.notepack.gz", storefd, "elsewhere.tmp"), 0);
	CHECK_EQ(symlinkat("elsewhere.tmp", storefd, "x.notepack.gz"), 0);
	CHECK_EQ(problems(false, false), 1);
	CHECK(strstr(last_reason, "no regular file") != NULL);
	end();
}

static void finds_a_temporary_but_leaves_those_of_a_live_store(void)
{
	begin();
	fill();
	write_file(LAYOUT_TMP "/7.gz", "abc", 3);
	CHECK_EQ(problems(false, false), 1);
	CHECK_STR(last_path, LAYOUT_TMP "/7.gz");
	CHECK_EQ(problems(false, true), 0);
	CHECK_EQ(counts.temporaries, 1);
	end();
}

static void counts_raw_files_by_what_no_object_has(void)
{
	CLEANUP_FREE char *data = calloc(1, 2 * RAW_BYTES + 10);

	begin();
	fill();
	write_file("new", "abc", 3);
	write_file("empty", "", 0);
	write_file("b.tmp", "abc", 3);
	write_file("x", data, RAW_BYTES); /* nothing in it that is not sealed */
	write_file("a/y", data, 2 * RAW_BYTES + 10);
	CHECK_EQ(problems(true, false), 0);
	CHECK_EQ(counts.unsealed_files, 2);
	CHECK_EQ(counts.unsealed_bytes, 3 + 10);
	CHECK_EQ(counts.excluded_files, 1);
	end();
}

static void record_after(struct put *p, struct timespec pause)
{
	nanosleep(&pause, NULL);
	CHECK_EQ(manifest_commit(manifest, put, p), 0);
}

static void *record_later(void *arg)
{
	record_after(arg, (struct timespec){.tv_nsec = 400000000});
	return NULL;
}

/* So late that only the last look finds it. */
static void *record_much_later(void *arg)
{
	record_after(arg, (struct timespec){.tv_sec = 4, .tv_nsec = 500000000});
	return NULL;
}

/* A publication renames first and commits later; a rename may be committed seconds later. */
static void waits_for_the_commits_of_a_live_store(void)
{
	struct put published = {.dir = "a", .plain = "z"}, renamed = {.dir = "", .plain = "w"};
	struct sealed s;
	pthread_t a, b;

	begin();
	fill();
	write_object("a/z.notepack.gz", 1, 0, 9, &published.sealed);
	published.sealed.id = 9;
	write_object("x.notepack.gz", 1, 0, 1, &s);
	renamed.sealed = s;
	renamed.sealed.id = 1;
	CHECK_EQ(renameat(storefd, "x.notepack.gz", storefd, "w.notepack.gz"), 0);
	CHECK_EQ(pthread_create(&a, NULL, record_later, &published), 0);
	CHECK_EQ(pthread_create(&b, NULL, record_much_later, &renamed), 0);
	CHECK_EQ(problems(true, true), 0);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	CHECK_EQ(problems(true, false), 0);
	CHECK_EQ(counts.objects, 4);
	end();
}

static void reports_in_the_end_what_stays_wrong_in_a_live_store(void)
{
	begin();
	fill();
	CHECK_EQ(unlinkat(storefd, "x.notepack.gz", 0), 0);
	CHECK_EQ(problems(false, true), 1);
	CHECK_STR(last_path, "x.notepack.gz");
	end();
}

static void reports_damage_in_a_live_store_at_once(void)
{
	time_t start = time(NULL);

	begin();
	fill();
	flip("x.notepack.gz", 40);
	CHECK_EQ(problems(false, true), 1);
	CHECK(time(NULL) - start <= 3);
	end();
}

static void refuses_a_damaged_manifest(void)
{
	const struct check_options options = {.problem = on_problem};
	struct manifest_error error;

	begin();
	fill();
	flip(LAYOUT_MANIFEST, 20);
	CHECK_EQ(check_store(storefd, &options, &counts, &error), -EBADMSG);
	CHECK(error.text[0]);
	end();
}

int main(void)
{
	RUN(finds_nothing_in_a_good_store);
	RUN(finds_a_missing_object);
	RUN(finds_all_that_a_missing_directory_held);
	RUN(finds_a_truncated_object);
	RUN(finds_a_damaged_header);
	RUN(finds_a_flipped_bit_in_the_data_when_deep_and_says_where);
	RUN(finds_an_object_in_the_place_of_another);
	RUN(finds_an_object_whose_checksum_is_not_the_recorded_one);
	RUN(finds_an_object_without_a_record);
	RUN(follows_no_symbolic_link_in_the_place_of_an_object);
	RUN(finds_a_temporary_but_leaves_those_of_a_live_store);
	RUN(counts_raw_files_by_what_no_object_has);
	RUN(waits_for_the_commits_of_a_live_store);
	RUN(reports_in_the_end_what_stays_wrong_in_a_live_store);
	RUN(reports_damage_in_a_live_store_at_once);
	RUN(refuses_a_damaged_manifest);
	return unit_done();
}
