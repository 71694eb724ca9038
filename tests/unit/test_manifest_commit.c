/* SPDX-License-Identifier: BSD-2-Clause */
/* What the manifest promises when commits meet. */
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
	CHECK_EQ(id, MANIFEST_FIRST_ID + THREADS * 5000);
	store_release(&s);
}

static int set_clean_now(struct manifest_txn *txn, void *ctx)
{
	manifest_set_clean(txn, true);
	return 0;
}

/* While a clean mark is being saved, it is what is on disk already. */
static void L19_no_id_is_given_away_while_a_clean_mark_is_saved(void)
{
	struct committer c = {.fn = set_clean_now};
	struct store s;
	uint64_t id;

	store_init(&s);
	CHECK_EQ(store_open(&s), 0);
	CHECK_EQ(manifest_new_id(s.m, &id), 0);
	gate_close();
	committer_start(&c, &s);
	gate_await();
	lock_take(&s.m->lock);
	CHECK(s.m->id_next >= s.m->id_mark);
	lock_drop(&s.m->lock);
	gate_open();
	pthread_join(c.thread, NULL);
	CHECK_EQ(c.result, 0);
	store_release(&s);
}

int main(void)
{
	RUN(L12_nothing_is_seen_before_it_is_durable);
	RUN(a_member_that_fails_does_not_take_the_others_along);
	RUN(a_failed_save_is_every_members_error);
	RUN(commits_that_meet_share_a_save);
	RUN(L19_threads_share_the_file_ids);
	RUN(L19_no_id_is_given_away_while_a_clean_mark_is_saved);
	return unit_done();
}
