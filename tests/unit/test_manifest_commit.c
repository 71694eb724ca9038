/* SPDX-License-Identifier: BSD-2-Clause */
/* What the manifest promises when commits meet, when a save is slow, and when one fails. */
#include "tests/unit/manifest_kit.h"

/* A gate in fsync: whoever comes waits until it is opened. */
static struct {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	int waiting;
	bool open;
} gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static int gated_fsync(int fd)
{
	pthread_mutex_lock(&gate.mutex);
	gate.waiting++;
	pthread_cond_broadcast(&gate.cond);
	while (!gate.open)
		pthread_cond_wait(&gate.cond, &gate.mutex);
	pthread_mutex_unlock(&gate.mutex);
	return (int)syscall(SYS_fsync, fd);
}

static void gate_close(void)
{
	gate.waiting = 0;
	gate.open = false;
	atomic_store(&kit_fsync, gated_fsync);
}

static void gate_await(void)
{
	pthread_mutex_lock(&gate.mutex);
	while (!gate.waiting)
		pthread_cond_wait(&gate.cond, &gate.mutex);
	pthread_mutex_unlock(&gate.mutex);
}

static void gate_open(void)
{
	pthread_mutex_lock(&gate.mutex);
	gate.open = true;
	pthread_cond_broadcast(&gate.cond);
	pthread_mutex_unlock(&gate.mutex);
}

/* A commit on a thread of its own. */
struct committer {
	struct store *store;
	pthread_t thread;
	int (*fn)(struct manifest_txn *txn, void *ctx);
	struct put put;
	int result;
};

static void *committer_run(void *arg)
{
	struct committer *c = arg;

	c->result = manifest_commit_if(c->store->m, c->fn, &c->put);
	return NULL;
}

static void committer_start(struct committer *c, struct store *s)
{
	c->store = s;
	if (!c->fn)
		c->fn = kit_put_fn;
	if (pthread_create(&c->thread, NULL, committer_run, c) != 0)
		abort();
}

static void await_queue(struct manifest *m, int length)
{
	for (int n = 0; n < length;) {
		n = 0;
		lock_take(&m->lock);
		for (struct member *i = m->queue; i; i = i->next)
			n++;
		lock_drop(&m->lock);
		usleep(200);
	}
}

static atomic_int ran;

static int looks_first(struct manifest_txn *txn, void *ctx)
{
	struct sealed got;

	atomic_fetch_add(&ran, 1);
	CHECK(manifest_txn_get(txn, 1, 1, &got));
	return kit_put_fn(txn, ctx);
}

/* L12: publication follows the save. */
static void L12_nothing_is_seen_before_it_is_durable(void)
{
	struct committer a = {.put = {.id = 1, .part = 1, .dir = "d", .plain = "x"}};
	struct committer b = {.fn = looks_first,
			      .put = {.id = 2, .part = 1, .dir = "d", .plain = "y"}};
	struct sealed got;
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	gate_close();
	committer_start(&a, &s);
	gate_await();
	committer_start(&b, &s);
	await_queue(s.m, 1);
	CHECK(!manifest_get(s.m, 1, 1, &got));
	CHECK_EQ(kit_in_dir(&s, "d"), 0);
	CHECK_EQ(manifest_count(s.m), 0);
	CHECK_EQ(manifest_generation(s.m), 1);
	CHECK_EQ(manifest_last_seq(s.m), 0);
	CHECK_EQ(atomic_load(&ran), 0); /* the next group waits for this one's end */
	gate_open();
	pthread_join(a.thread, NULL);
	pthread_join(b.thread, NULL);
	CHECK(a.result == 0 && b.result == 0);
	CHECK_EQ(atomic_load(&ran), 1);
	CHECK(kit_has(&s, 1, 1, 0) && kit_has(&s, 2, 1, 0));
	store_release(&s);
}

static int declines_what_is_there(struct manifest_txn *txn, void *ctx)
{
	struct put *p = ctx;
	struct sealed got;

	return manifest_txn_get(txn, p->id, p->part, &got) ? 42 : kit_put_fn(txn, ctx);
}

/* Passes a number of times, then fails: the first save passes, the group's does not. */
static atomic_int passes;

static int fails_later(int fd)
{
	int r = gated_fsync(fd);

	if (atomic_fetch_sub(&passes, 1) > 0)
		return r;
	errno = EIO;
	return -1;
}

#define GROUP 5

/* Five members: two change, one fails, one declines before there is any change to see, one
 * declines because of what another member did. */
static void make_group(struct committer c[GROUP])
{
	memset(c, 0, GROUP * sizeof(*c));
	for (int i = 0; i < GROUP; i++)
		c[i].put =
		    (struct put){.id = (uint64_t)i + 1, .part = 1, .dir = "d", .plain = "x"};
	c[0].put.result = 7;
	c[2].put.result = -EBUSY;
	c[4].put.id = 2;
	c[4].fn = declines_what_is_there;
}

/* They meet behind a slow save, which passes. */
static void run_group(struct store *s, struct committer c[GROUP], int (*hook)(int))
{
	struct committer first = {.put = {.id = 90, .part = 1, .dir = "d", .plain = "z"}};
	static unsigned version;

	first.put.version = version++; /* a change each time */
	gate_close();
	atomic_store(&passes, 2); /* the file and the directory */
	atomic_store(&kit_fsync, hook);
	committer_start(&first, s);
	gate_await();
	for (int i = 0; i < GROUP; i++) {
		committer_start(&c[i], s);
		await_queue(s->m, i + 1);
	}
	gate_open();
	pthread_join(first.thread, NULL);
	CHECK_EQ(first.result, 0);
	for (int i = 0; i < GROUP; i++)
		pthread_join(c[i].thread, NULL);
	atomic_store(&kit_fsync, NULL);
	manifest_check(s->m);
}

static void a_member_that_fails_does_not_take_the_others_along(void)
{
	struct committer c[GROUP];
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	make_group(c);
	run_group(&s, c, gated_fsync);
	CHECK_EQ(manifest_generation(s.m), 3);
	CHECK(c[0].result == 7 && c[1].result == 0 && c[2].result == -EBUSY);
	CHECK(c[3].result == 0 && c[4].result == 42);
	CHECK_EQ(manifest_last_seq(s.m), 3);
	for (int round = 0; round < 2; round++) {
		CHECK_EQ(manifest_count(s.m), 3);
		CHECK(kit_has(&s, 2, 1, 0) && kit_has(&s, 4, 1, 0));
		CHECK_EQ(store_reopen(&s), 0);
	}
	store_release(&s);
}

static void a_failed_save_is_every_members_error(void)
{
	struct committer c[GROUP];
	struct store s;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	make_group(c);
	run_group(&s, c, fails_later);
	CHECK_EQ(c[0].result, 7); /* had seen nothing that was lost */
	for (int i = 1; i < GROUP; i++)
		CHECK_EQ(c[i].result, -EIO);
	CHECK_EQ(manifest_count(s.m), 1);
	CHECK_EQ(manifest_generation(s.m), 2);
	make_group(c);
	run_group(&s, c, gated_fsync);
	CHECK(c[1].result == 0 && c[3].result == 0 && c[4].result == 42);
	store_release(&s);
}

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
	uint64_t generation, seq;
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

#define THREADS 8
#define COMMITS 200

static int slow_fsync(int fd)
{
	usleep(300);
	return 0;
}

static void *commits_many(void *arg)
{
	struct committer *c = arg;

	for (uint32_t part = 1; part <= COMMITS; part++) {
		char dir[16];
		struct put p = {.id = c->put.id, .part = part, .dir = dir, .plain = "x"};

		snprintf(dir, sizeof(dir), "d%u", (unsigned)c->put.id);
		CHECK_EQ(manifest_commit(c->store->m, kit_put_fn, &p), 0);
		CHECK(kit_has(c->store, p.id, part, 0));
	}
	return NULL;
}

static int ignore(void *ctx, const char *data, size_t len)
{
	return 0;
}

static void commits_that_meet_share_a_save(void)
{
	struct committer c[THREADS] = {0};
	struct store s;
	uint64_t id;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	atomic_store(&kit_fsync, slow_fsync);
	for (int i = 0; i < THREADS; i++) {
		c[i].store = &s;
		c[i].put.id = (uint64_t)i + 1;
		if (pthread_create(&c[i].thread, NULL, commits_many, &c[i]) != 0)
			abort();
	}
	for (int i = 0; i < 50; i++) {
		CHECK_EQ(manifest_new_id(s.m, &id), 0);
		CHECK_EQ(manifest_dump(s.m, ignore, NULL), 0);
		manifest_check(s.m);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(c[i].thread, NULL);
	atomic_store(&kit_fsync, NULL);
	printf("# %d commits in %llu generations\n", THREADS * COMMITS,
	       (unsigned long long)manifest_generation(s.m));
	CHECK(manifest_generation(s.m) < THREADS * COMMITS);
	CHECK_EQ(store_reopen(&s), 0);
	CHECK_EQ(manifest_count(s.m), THREADS * COMMITS);
	for (uint64_t i = 1; i <= THREADS; i++) {
		for (uint32_t part = 1; part <= COMMITS; part++)
			CHECK(kit_has(&s, i, part, 0));
	}
	store_release(&s);
}

/* Ids that are handed out to many threads at once are all different. */
static void *takes_ids(void *arg)
{
	struct committer *c = arg;
	uint64_t last = 0;

	for (int i = 0; i < 5000; i++) {
		uint64_t id;

		CHECK_EQ(manifest_new_id(c->store->m, &id), 0);
		CHECK(id > last);
		last = id;
	}
	return NULL;
}

static void L19_threads_share_the_file_ids(void)
{
	struct committer c[THREADS] = {0};
	struct store s;
	uint64_t id;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	for (int i = 0; i < THREADS; i++) {
		c[i].store = &s;
		if (pthread_create(&c[i].thread, NULL, takes_ids, &c[i]) != 0)
			abort();
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(c[i].thread, NULL);
	CHECK_EQ(manifest_new_id(s.m, &id), 0);
	CHECK_EQ(id, THREADS * 5000 + 1);
	store_release(&s);
}

int main(void)
{
	RUN(L12_nothing_is_seen_before_it_is_durable);
	RUN(a_member_that_fails_does_not_take_the_others_along);
	RUN(a_failed_save_is_every_members_error);
	RUN(L15_a_chunk_is_durable_before_the_manifest_names_it);
	RUN(L14_after_a_failed_fsync_the_file_is_written_anew);
	RUN(L13_after_an_ambiguous_error_both_states_are_complete);
	RUN(commits_that_meet_share_a_save);
	RUN(L19_threads_share_the_file_ids);
	return unit_done();
}
