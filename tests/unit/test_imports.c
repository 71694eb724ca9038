/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When an import is verified (lib/import.h), with a grace that no test outlasts: what waits for
 * more than a barrier or a reader hangs, and ends by the test's timeout.
 */
#include "tests/unit/store_kit.h"

#include "lib/catalog.h"
#include "lib/cut.h"
#include "lib/raw.h"

#define ROUNDS 100
#define CHANGES 10
#define MANY 500

static struct scratch dir;
static struct store *store;

/* False: there are no imports in this place. */
static bool begin(void)
{
	scratch_init(&dir);
	store = open_store(&dir, 2, NEVER_NS);
	if (store->have_xattrs)
		return true;
	SKIP("the filesystem of TMPDIR has no user attributes");
	CHECK_EQ(store_close(store), 0);
	scratch_release(&dir);
	return false;
}

static void end(void)
{
	CHECK_EQ(store_close(store), 0);
	scratch_release(&dir);
}

/* A gzip file under this name, closed; its node, referenced. */
static struct node *put_import(struct node *d, const char *name)
{
	uint8_t plain[5000], gz[6000];
	z_stream z = {.next_in = plain,
		      .avail_in = sizeof(plain),
		      .next_out = gz,
		      .avail_out = sizeof(gz)};
	struct caller c = me();
	struct handle *h;
	struct node *n;
	ssize_t len;

	sample_text(plain, sizeof(plain), 1);
	CHECK_EQ(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	CHECK_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	len = (ssize_t)(sizeof(gz) - z.avail_out);
	if (store_create(store, &c, d, name, 0644, O_WRONLY, &n, &h) != 0)
		abort();
	CHECK_EQ(store_write(h, gz, (size_t)len, 0, false), len);
	store_release(h);
	CHECK(to_file(n)->import);
	return n;
}

static bool is_there(const char *name)
{
	struct node *n;

	if (store_lookup(store, store_root(store), name, &n) != 0)
		return false;
	node_unref(store, n, 1);
	return true;
}

/* ---- a barrier ---- */

static atomic_bool sealed;

static void *seal(void *arg)
{
	seal_all(store);
	atomic_store(&sealed, true);
	return arg;
}

/* Until the timer thread has come to it, or the barrier has ended without. */
static void wait_until_due(struct file *f)
{
	bool due = false;

	while (!due && !atomic_load(&sealed)) {
		lock_take(&store->lock);
		due = !f->deadline_ns;
		lock_drop(&store->lock);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
}

/* Bug: it was put off by grace, and the barrier ended. With no grace the timer thread did
 * nothing else until the name was given back. */
static void a_barrier_waits_for_an_import_that_is_being_renamed(void)
{
	pthread_t thread;
	struct node *n;

	if (!begin())
		return;
	n = put_import(store_root(store), "x.notepack.gz");
	atomic_store(&sealed, false);
	lock_take(&store->lock);
	node_take_wait_locked(store, n, BUSY_NAME);
	lock_drop(&store->lock);
	CHECK_EQ(pthread_create(&thread, NULL, seal, NULL), 0);
	wait_until_due(to_file(n));
	CHECK(!is_there("x"));
	node_give(store, n);
	pthread_join(thread, NULL);
	CHECK(is_there("x"));
	node_unref(store, n, 1);
	end();
}

/* ---- changes ---- */

static void grace_does_not_put_off_what_is_waited_for(void)
{
	struct file *f;
	struct node *n;

	if (!begin())
		return;
	n = put_import(store_root(store), "x.notepack.gz");
	f = to_file(n);
	lock_take(&store->lock);
	f->hurry = true;
	timer_arm_locked(store, f, clock_ns(), TIMER_SOON);
	file_dirty_locked(store, f);
	CHECK(f->deadline_ns && f->deadline_ns <= clock_ns());
	timer_disarm_locked(store, f);
	file_dirty_locked(store, f);
	CHECK(f->deadline_ns && f->deadline_ns <= clock_ns());
	f->hurry = false;
	file_dirty_locked(store, f);
	CHECK(f->deadline_ns > clock_ns() + NEVER_NS / 2);
	lock_drop(&store->lock);
	node_unref(store, n, 1);
	end();
}

static void *change(void *arg)
{
	struct node *n = arg;

	for (unsigned i = 0; i < CHANGES; i++) {
		struct stat want = {.st_mode = 0600 + i % 2 * 044}, st;
		struct caller c = me();
		unsigned set = STORE_SET_MODE;
		int err = store_setattr(store, &c, n, &want, &set, &st);

		CHECK(err == 0 || err == -ESTALE); /* settled */
	}
	return NULL;
}

/* By its name, as the kernel does. */
static int open_by_name(const char *name, struct handle **out)
{
	struct caller c = me();
	struct node *n;
	int err;

	do {
		CHECK_EQ(store_lookup(store, store_root(store), name, &n), 0);
		err = store_open_node(store, &c, n, O_RDONLY, out);
		node_unref(store, n, 1);
		if (err == STORE_BUSY)
			store_wait_idle(store, c.busy);
	} while (err == STORE_BUSY || err == -ESTALE);
	return err;
}

/* Bug: a change of mode or times began grace anew, and the reader waited for all of it. */
static void who_reads_an_import_does_not_wait_for_grace_whatever_others_change(void)
{
	if (!begin())
		return;
	for (int i = 0; i < ROUNDS; i++) {
		struct handle *h = NULL;
		char name[32];
		pthread_t thread;
		struct node *n;

		snprintf(name, sizeof(name), "%d.notepack.gz", i);
		n = put_import(store_root(store), name);
		CHECK_EQ(pthread_create(&thread, NULL, change, n), 0);
		CHECK_EQ(open_by_name(name, &h), 0);
		pthread_join(thread, NULL);
		store_release(h);
		node_unref(store, n, 1);
	}
	end();
}

/* Bug: it was verified in vain, and the barrier took that for the end. */
static void a_barrier_waits_for_an_import_that_changes_meanwhile(void)
{
	if (!begin())
		return;
	for (int i = 0; i < ROUNDS; i++) {
		char name[32], plain[16];
		pthread_t thread;
		struct node *n;

		snprintf(plain, sizeof(plain), "%d", i);
		snprintf(name, sizeof(name), "%d.notepack.gz", i);
		n = put_import(store_root(store), name);
		CHECK_EQ(pthread_create(&thread, NULL, change, n), 0);
		seal_all(store);
		CHECK(is_there(plain));
		pthread_join(thread, NULL);
		node_unref(store, n, 1);
	}
	end();
}

/* ---- the directory above ---- */

/* The path that each import is noted to belong to begins with this. */
static size_t count_noted(const char *prefix)
{
	char path[PATH_MAX];
	struct dirent *e;
	size_t count = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%s/.notepackfs/import", dir.path);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		int fd = openat(dirfd(d), e->d_name, O_RDONLY);
		char *noted = NULL;

		if (fd >= 0 && raw_read_path(fd, &noted) == 0)
			count += strncmp(noted, prefix, strlen(prefix)) == 0;
		free(noted);
		close(fd);
	}
	closedir(d);
	return count;
}

static void *remove_all(void *arg)
{
	for (int i = 0; i < MANY; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%d.notepack.gz", i);
		CHECK_EQ(remove_name(store, name), 0);
	}
	return arg;
}

/* Bug: some were left out when others went meanwhile. */
static void imports_beneath_a_renamed_directory_are_noted_whatever_others_do(void)
{
	struct caller c = me();
	struct node *d;
	pthread_t thread;

	if (!begin())
		return;
	CHECK_EQ(store_mkdir(store, &c, store_root(store), "d", 0755, &d), 0);
	for (int i = 0; i < MANY; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%d.notepack.gz", i);
		node_unref(store, put_import(store_root(store), name), 1);
		node_unref(store, put_import(d, name), 1);
	}
	CHECK_EQ(count_noted("d/"), MANY);
	CHECK_EQ(pthread_create(&thread, NULL, remove_all, NULL), 0);
	CHECK_EQ(store_rename(store, &c, store_root(store), "d", store_root(store), "e", 0), 0);
	pthread_join(thread, NULL);
	CHECK_EQ(count_noted("e/"), MANY);
	node_unref(store, d, 1);
	end();
}

/* Bug: the drain counted what is refused, or excluded, as to be sealed. */
static void what_is_never_sealed_is_not_to_be_flushed(void)
{
	struct store_progress left;

	if (!begin())
		return;
	put(store, "x.tmp", "text", 4);
	put(store, "y", "text", 4);
	log_open("test_imports", false, LOG_CRIT);
	put(store, "bad.notepack.gz", "text", 4);
	store_progress(store, &left);
	CHECK_EQ(left.files_left, 2);
	CHECK_EQ(left.bytes_left, 8);
	seal_all(store);
	log_open("test_imports", false, LOG_ERR);
	CHECK(is_there("bad.notepack.gz.invalid"));
	store_progress(store, &left);
	CHECK_EQ(left.files_left, 0);
	CHECK_EQ(left.bytes_left, 0);
	end();
}

static void *rename_dir(void *arg)
{
	struct caller c = me();

	CHECK_EQ(store_rename(store, &c, store_root(store), "d", store_root(store), "e", 0), 0);
	return arg;
}

/* Bug: who gave an import its name meanwhile had noted the old path of the directory, and the
 * rename left it alone. */
static void an_import_that_is_being_named_is_noted_when_it_has_its_name(void)
{
	struct caller c = me();
	struct node *d, *n;
	pthread_t thread;

	if (!begin())
		return;
	CHECK_EQ(store_mkdir(store, &c, store_root(store), "d", 0755, &d), 0);
	n = put_import(d, "x.notepack.gz");
	lock_take(&store->lock);
	node_take_wait_locked(store, n, BUSY_NAME);
	lock_drop(&store->lock);
	CHECK_EQ(pthread_create(&thread, NULL, rename_dir, NULL), 0);
	while (!is_there("e"))
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	CHECK_EQ(count_noted("d/"), 1);
	node_give(store, n);
	pthread_join(thread, NULL);
	CHECK_EQ(count_noted("e/"), 1);
	node_unref(store, n, 1);
	node_unref(store, d, 1);
	end();
}

int main(void)
{
	log_open("test_imports", false, LOG_ERR);
	RUN(a_barrier_waits_for_an_import_that_is_being_renamed);
	RUN(grace_does_not_put_off_what_is_waited_for);
	RUN(who_reads_an_import_does_not_wait_for_grace_whatever_others_change);
	RUN(a_barrier_waits_for_an_import_that_changes_meanwhile);
	RUN(imports_beneath_a_renamed_directory_are_noted_whatever_others_do);
	RUN(what_is_never_sealed_is_not_to_be_flushed);
	RUN(an_import_that_is_being_named_is_noted_when_it_has_its_name);
	return unit_done();
}
