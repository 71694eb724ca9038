/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that are compressed while they are written: how that ends, when it must not be seen: removal, faults,
 * the death of the process, a stop, and want of room.
 */
#include "tests/unit/early_kit.h"

#include <linux/capability.h>
#include <sys/statvfs.h>

#include "lib/pool.h"
#include "lib/sealer.h"

/* There is room, unless this is set; then as if there were this many bytes as long as a temporary has some. */
static atomic_ulong room;

static bool has_temporary(void)
{
	char path[PATH_MAX], entry[2 * PATH_MAX];
	bool has = false;
	struct dirent *e;
	struct stat st;
	DIR *d;

	snprintf(path, sizeof(path), "%s/.notepackfs/tmp", dir.path);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		snprintf(entry, sizeof(entry), "%s/%s", path, e->d_name);
		has |= stat(entry, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0;
	}
	if (d)
		closedir(d);
	return has;
}

int fstatvfs(int fd, struct statvfs *st)
{
	int (*real)(int, struct statvfs *), r;

	*(void **)&real = dlsym(RTLD_NEXT, "fstatvfs");
	r = real(fd, st);
	if (r == 0 && atomic_load(&room) && has_temporary())
		st->f_bavail = atomic_load(&room) / st->f_frsize;
	return r;
}

/* The file a, as if nothing of it had been compressed early. */
static void seal_anew(struct store *s)
{
	seal_all(s);
	CHECK_EQ(early(s, "reused_chunks"), 0);
	check_object(s, "a");
}

static void what_is_removed_or_renamed_leaves_nothing(void)
{
	struct store *s;
	struct handle *h;

	begin();
	s = start_with(2);
	h = begin_file(s, "a");
	CHECK_EQ(remove_name(s, "a"), 0);
	wait_until_there_is_no_job(s);
	CHECK_EQ(count_entries(&dir, ".notepackfs/tmp"), 0);
	write_at(h, SIZE, sample, MIB, false);
	store_release(h);
	/* Over one that has a job. */
	store_release(begin_file(s, "b"));
	put(s, "c", "text", 4);
	CHECK_EQ(rename_to(s, "c", "b"), 0);
	wait_until_there_is_no_job(s);
	seal_all(s);
	CHECK(seals_to("b.notepack.gz", "text"));
	/* Renamed itself, it keeps it. */
	h = begin_file(s, "d");
	CHECK_EQ(rename_to(s, "d", "e"), 0);
	store_release(h);
	seal_all(s);
	CHECK(early(s, "reused_chunks") > 0);
	check_object(s, "e");
	close_store(s);
}

static void a_stop_uses_what_is_there(void)
{
	struct store *s;
	CLEANUP_FREE char *a = NULL;
	size_t len = 0;

	begin();
	s = start_with(2);
	(void)begin_file(s, "a"); /* store_close releases it */
	(void)create(s, ".excluded", NULL);
	CHECK_EQ(store_close(s), 0);
	CHECK_EQ(count_entries(&dir, ".notepackfs/tmp"), 0);
	CHECK(object_equals(&dir, "a.notepack.gz", now, now_bytes));
	CHECK(read_object("a.notepack.gz", &a, &len));
	s = start_with(2);
	CHECK_EQ(remove_name(s, "a"), 0);
	store_release(begin_file(s, "a"));
	seal_all(s);
	check_object(s, "a");
	close_store(s);
}

static void a_failing_temporary_is_dropped_and_nothing_is_said(void)
{
	struct store *s;
	struct handle *h;

	begin();
	s = start_with(2);
	atomic_store(&fail_pwrite, 5);
	h = create(s, "a", NULL);
	memset(now, 0, MOST);
	now_bytes = 0;
	write_at(h, 0, sample, SIZE, false);
	wait_until_there_is_no_job(s);
	CHECK_EQ(atomic_load(&fail_pwrite), 0);
	CHECK_EQ(count_entries(&dir, ".notepackfs/tmp"), 0);
	store_release(h);
	seal_anew(s);
	/* A bit of what was written is another one: the hash of the whole finds it. */
	h = begin_file(s, "b");
	atomic_store(&corrupt, true);
	write_at(h, SIZE, sample, 10 * MIB, false);
	wait_early(s, "bytes", SIZE);
	store_release(h);
	seal_all(s);
	CHECK(!atomic_load(&corrupt));
	check_object(s, "b");
	close_store(s);
}

/* Without a job: the header has the same length with a chunk less, so only the raw length tells. */
static void a_large_object_that_lacks_a_chunk_is_not_published(void)
{
	struct store *s;

	begin();
	s = start_with(2);
	put(s, ".a", sample, SIZE);
	CHECK_EQ(rename_to(s, ".a", "a"), 0);
	quiet();
	atomic_store(&fail_pwrite, 5);
	seal_all(s);
	loud();
	CHECK_EQ(atomic_load(&fail_pwrite), 0);
	CHECK(object_equals(&dir, "a.notepack.gz", sample, SIZE));
	close_store(s);
}

/* May this thread open files whatever their mode is? Without privileges it may not, whatever is asked for. */
static void override_modes(bool may)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	const uint32_t both = 1U << CAP_DAC_OVERRIDE | 1U << CAP_DAC_READ_SEARCH;

	CHECK_EQ(syscall(SYS_capget, &header, data), 0);
	data[0].effective &= ~both;
	if (may)
		data[0].effective |= data[0].permitted & both;
	CHECK_EQ(syscall(SYS_capset, &header, data), 0);
}

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

static void wait_to_be_let_go(struct task *t)
{
	pthread_mutex_lock(&held);
	pthread_mutex_unlock(&held);
}

/* At once: the only thread has something else to do than to remove the temporary. */
static void a_writer_gets_the_room_of_a_job(void)
{
	struct task other = {.run = wait_to_be_let_go};
	struct store *s;
	struct handle *h;

	begin();
	s = start_with(1);
	s->options.reserve_bytes = MIB;
	store_release(begin_file(s, "a"));
	wait_early(s, "complete", 1);
	pthread_mutex_lock(&held);
	pool_submit(sealer_pool(s->sealer), &other);
	override_modes(false);
	atomic_store(&room, MIB + 4096);
	atomic_store(&s->space_credit, 0);
	h = create(s, "b", NULL);
	CHECK_EQ(store_write(h, sample, MIB, 0, false), (long long)MIB);
	override_modes(true);
	pthread_mutex_unlock(&held);
	wait_until_there_is_no_job(s);
	CHECK_EQ(count_entries(&dir, ".notepackfs/tmp"), 0);
	atomic_store(&room, 0);
	store_release(h);
	seal_anew(s);
	close_store(s);
}

static void a_job_takes_no_room_that_the_seal_would_want(void)
{
	struct store *s;
	struct handle *h;

	begin();
	s = start_with(2);
	h = begin_file(s, "a");
	atomic_store(&room, 40 * MIB);
	write_at(h, SIZE, sample, MOST - SIZE, false);
	wait_until_there_is_no_job(s);
	atomic_store(&room, 0);
	store_release(h);
	seal_anew(s);
	close_store(s);
}

static void killed_while_compressing(void)
{
	struct store *s = start_with(2);

	(void)begin_file(s, "a");
	CHECK_EQ(count_entries(&dir, ".notepackfs/tmp"), 1);
}

static void a_crash_leaves_nothing_but_the_raw_file(void)
{
	struct store *s;

	begin();
	killed_in(killed_while_compressing);
	CHECK_EQ(count_entries(&dir, ".notepackfs/tmp"), 1);
	s = start_with(2);
	CHECK_EQ(count_entries(&dir, ".notepackfs/tmp"), 0);
	memcpy(now, sample, SIZE);
	now_bytes = SIZE;
	seal_anew(s);
	close_store(s);
}

static void there_is_one_job_for_each_thread(void)
{
	struct store *s;
	struct handle *a, *b;

	begin();
	s = start_with(1);
	a = begin_file(s, "a");
	b = create(s, "b", NULL);
	write_at(b, 0, sample, SIZE, false);
	CHECK_EQ(early(s, "files"), 1);
	store_release(b);
	store_release(a);
	seal_all(s);
	CHECK(object_equals(&dir, "a.notepack.gz", sample, SIZE));
	CHECK(object_equals(&dir, "b.notepack.gz", sample, SIZE));
	close_store(s);
}

int main(void)
{
	early_begin();
	RUN(what_is_removed_or_renamed_leaves_nothing);
	RUN(a_stop_uses_what_is_there);
	RUN(a_failing_temporary_is_dropped_and_nothing_is_said);
	RUN(a_large_object_that_lacks_a_chunk_is_not_published);
	RUN(a_writer_gets_the_room_of_a_job);
	RUN(a_job_takes_no_room_that_the_seal_would_want);
	RUN(a_crash_leaves_nothing_but_the_raw_file);
	RUN(there_is_one_job_for_each_thread);
	return early_done();
}
