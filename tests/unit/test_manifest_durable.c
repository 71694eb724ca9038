/* SPDX-License-Identifier: BSD-2-Clause */
/* What the manifest promises when an fsync fails, and the order in which it calls it. */
#include "tests/unit/manifest_kit.h"

/* The path of a descriptor, from the private directory on. */
static void path_of(int fd, char out[PATH_MAX])
{
	char link[64], path[PATH_MAX];
	const char *name;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n < 0 ? 0 : n] = '\0';
	name = strstr(path, ".notepackfs");
	strcpy(out, name ? name : "");
}

static char synced[8][PATH_MAX];
static int synced_count;

static int noting_fsync(int fd)
{
	if (synced_count < 8)
		path_of(fd, synced[synced_count]);
	synced_count++;
	return (int)syscall(SYS_fsync, fd);
}

/* L15: what the manifest names is durable, with its directory, before the manifest is. */
static void L15_a_chunk_is_durable_before_the_manifest_names_it(void)
{
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	s.m->disk.fold_above = 3;
	for (uint64_t id = 1; id <= 3; id++)
		CHECK_EQ(kit_put(&s, id, 1, "d"), 0);
	synced_count = 0;
	atomic_store(&kit_fsync, noting_fsync);
	CHECK_EQ(kit_put(&s, 4, 1, "d"), 0);
	CHECK_EQ(synced_count, 4);
	CHECK(strncmp(synced[0], ".notepackfs/chunks/00000001.jsonl.new.", 38) == 0);
	CHECK_STR(synced[1], ".notepackfs/chunks");
	CHECK(strncmp(synced[2], ".notepackfs/manifest.new.", 25) == 0);
	CHECK_STR(synced[3], ".notepackfs");
	store_release(&s);
}

/* The fsync of this file, or of this directory, fails once; then a second one of what it was is
 * counted. */
static struct {
	const char *start;
	bool directory, done;
	char path[PATH_MAX];
	int repeats;
} failing;

static int failing_fsync(int fd)
{
	char path[PATH_MAX];

	path_of(fd, path);
	failing.repeats += failing.done && strcmp(path, failing.path) == 0;
	if (!failing.done && strncmp(path, failing.start, strlen(failing.start)) == 0 &&
	    (!failing.directory || strcmp(path, failing.start) == 0)) {
		failing.done = true;
		strcpy(failing.path, path);
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}

static void fail_once(const char *start, bool directory)
{
	memset(&failing, 0, sizeof(failing));
	failing.start = start;
	failing.directory = directory;
	atomic_store(&kit_fsync, failing_fsync);
}

static void L14_after_a_failed_fsync_the_file_is_written_anew(void)
{
	CLEANUP_FREE char *before = NULL, *after = NULL;
	size_t len_before, len_after;
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	CHECK_EQ(kit_put(&s, 1, 1, "d"), 0);
	before = store_read(&s, ".notepackfs/manifest", &len_before);
	fail_once(".notepackfs/manifest.new.", false);
	CHECK_EQ(kit_put(&s, 2, 1, "d"), -EIO);
	CHECK(failing.done);
	after = store_read(&s, ".notepackfs/manifest", &len_after);
	CHECK(len_before == len_after && memcmp(before, after, len_after) == 0);
	CHECK_EQ(manifest_count(s.m), 1);
	CHECK_EQ(manifest_generation(s.m), 2);
	CHECK_EQ(kit_put(&s, 2, 1, "d"), 0);
	CHECK_EQ(failing.repeats, 0);
	CHECK_EQ(store_count(&s, ".notepackfs"), 3); /* no temporary is left */
	CHECK_EQ(store_reopen(&s), 0);
	CHECK(kit_has(&s, 1, 1, 0) && kit_has(&s, 2, 1, 0));
	store_release(&s);
}

/* How many records does the disk hold? Read by another manifest, which writes nothing. */
static uint64_t count_on_disk(struct store *s, uint64_t *generation, uint64_t *seq)
{
	struct manifest_options o = {.read_only = true};
	struct manifest_error error;
	struct manifest *m;
	uint64_t count;

	if (manifest_open(s->fd, &o, &m, &error) != 0) {
		printf("# %s\n", error.text);
		return UINT64_MAX;
	}
	count = manifest_count(m);
	*generation = manifest_generation(m);
	*seq = manifest_last_seq(m);
	manifest_close(m);
	return count;
}

/* L13: the rename is done, but whether it will last is not known. */
static void L13_after_an_ambiguous_error_both_states_are_complete(void)
{
	CLEANUP_FREE char *old = NULL, *new = NULL;
	size_t old_len, new_len;
	uint64_t generation = 0, seq = 0;
	struct sealed got;
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	s.m->disk.fold_above = 3;
	for (uint64_t id = 1; id <= 7; id++)
		CHECK_EQ(kit_put(&s, id, 1, "d"), 0);
	CHECK_EQ(store_count(&s, ".notepackfs/chunks"), 1);
	old = store_read(&s, ".notepackfs/manifest", &old_len);
	s.m->disk.fold_above = 1;
	fail_once(".notepackfs", true);
	CHECK_EQ(kit_put(&s, 8, 1, "d"), -EIO);
	CHECK(failing.done);
	CHECK(!manifest_get(s.m, 8, 1, &got));
	CHECK(manifest_count(s.m) == 7 && manifest_generation(s.m) == 8);
	CHECK_EQ(store_count(&s, ".notepackfs/chunks"), 2);
	CHECK_EQ(count_on_disk(&s, &generation, &seq), 8);
	/* A power cut takes the rename back. */
	new = store_read(&s, ".notepackfs/manifest", &new_len);
	store_write(&s, ".notepackfs/manifest", old, old_len);
	CHECK_EQ(count_on_disk(&s, &generation, &seq), 7);
	store_write(&s, ".notepackfs/manifest", new, new_len);
	CHECK_EQ(count_on_disk(&s, &generation, &seq), 8);
	/* There is none: the same change again. No number is used for two things. */
	CHECK_EQ(kit_put(&s, 8, 1, "d"), 0);
	CHECK(manifest_generation(s.m) > generation && manifest_last_seq(s.m) > seq);
	CHECK_EQ(store_reopen(&s), 0);
	CHECK_EQ(manifest_count(s.m), 8);
	CHECK(kit_has(&s, 8, 1, 0));
	CHECK_EQ(store_count(&s, ".notepackfs/chunks"), 1);
	store_release(&s);
}

int main(void)
{
	RUN(L15_a_chunk_is_durable_before_the_manifest_names_it);
	RUN(L14_after_a_failed_fsync_the_file_is_written_anew);
	RUN(L13_after_an_ambiguous_error_both_states_are_complete);
	return unit_done();
}
