/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that someone appends to past the store: the test, with the descriptor that it is given, for the kernel. */
#include "tests/unit/order_kit.h"

#define LINE "line\n"
#define LINE_BYTES 5
#define LINES_MAX 4000

/* One file, open to be appended to, and passed. */
struct appender {
	struct store *s;
	struct node *n;
	struct handle *h;
	int fd; /* another than the store's: with O_APPEND */
};

static int open_flags(struct store *s, struct node *n, int flags, struct handle **h)
{
	struct caller c = me();

	return store_open_node(s, &c, n, flags, h);
}

static struct appender start_appending(void)
{
	struct appender a = {.s = start(NEVER_NS)};
	char path[64];
	int fd;

	put(a.s, "a", "", 0);
	CHECK_EQ(store_lookup(a.s, store_root(a.s), "a", &a.n), 0);
	CHECK_EQ(open_flags(a.s, a.n, O_WRONLY | O_APPEND, &a.h), 0);
	fd = store_pass(a.h);
	CHECK(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	a.fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	CHECK(a.fd >= 0);
	return a;
}

static void append_past(struct appender *a, const char *text)
{
	CHECK_EQ(write(a->fd, text, strlen(text)), (long long)strlen(text));
}

static void release(struct appender *a)
{
	close(a->fd);
	store_release(a->h);
	node_unref(a->s, a->n, 1);
}

static uint64_t size_known(struct appender *a)
{
	uint64_t size;

	lock_take(&a->s->lock);
	size = to_file(a->n)->size;
	lock_drop(&a->s->lock);
	return size;
}

static bool is_listed(struct store *s, const char *name)
{
	struct store_dirent e[8];
	int count = store_readdir(s, store_root(s), 0, e, 8);
	bool found = false;

	for (int i = 0; i < count; i++) {
		found |= strcmp(e[i].name, name) == 0;
		node_unref(s, e[i].node, 1);
	}
	return found;
}

/* ---- how long it is ---- */

static void ask_for_attributes(struct appender *a)
{
	struct stat st;

	CHECK_EQ(store_getattr(a->s, a->n, &st), 0);
	CHECK_EQ(st.st_size, LINE_BYTES);
}

static void ask_for_bytes(struct appender *a)
{
	struct handle *h;
	char buf[64];

	CHECK_EQ(open_flags(a->s, a->n, O_RDONLY, &h), 0);
	CHECK(!store_pass_too(h));
	CHECK_EQ(store_read(h, buf, sizeof(buf), 0), LINE_BYTES);
	store_release(h);
}

static void ask_for_an_attribute(struct appender *a)
{
	char value[STORE_XATTR_BYTES];

	CHECK_EQ(store_getxattr(a->s, a->n, "user.notepack.raw_size", value), 1);
	CHECK(value[0] == '5');
}

static void ask_for_the_status(struct appender *a)
{
	CLEANUP_BUF struct buf text = {0};

	store_status(a->s, true, &text);
	CHECK(strstr(text.data, "\"path\":\"a\"") && strstr(text.data, "\"bytes\":5,"));
}

static void list(struct appender *a)
{
	CHECK(is_listed(a->s, "a"));
}

static void flush(struct appender *a)
{
	CHECK_EQ(store_flush(a->h), 0);
}

static void sync_it(struct appender *a)
{
	CHECK_EQ(store_fsync(a->h), 0);
}

static void seal_it(struct appender *a)
{
	seal_all(a->s);
	CHECK(seals_to("a.notepack.gz", LINE));
}

static void truncate_it(struct appender *a)
{
	struct stat st = {.st_size = LINE_BYTES};
	struct caller c = me();
	unsigned set = STORE_SET_SIZE;

	CHECK_EQ(store_setattr(a->s, &c, a->n, &st, &set, &st), 0);
	lock_take(&a->s->lock);
	CHECK_EQ(to_file(a->n)->written_end, LINE_BYTES);
	lock_drop(&a->s->lock);
}

static void allocate_more(struct appender *a)
{
	CHECK_EQ(store_fallocate(a->h, FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
}

static void what_is_appended_is_known_when_it_counts(void)
{
	static void (*const asks[])(struct appender *) = {ask_for_attributes,
							  ask_for_bytes,
							  ask_for_an_attribute,
							  ask_for_the_status,
							  list,
							  flush,
							  sync_it,
							  seal_it,
							  truncate_it,
							  allocate_more};

	for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
		struct appender a;

		begin();
		a = start_appending();
		append_past(&a, LINE);
		CHECK_EQ(size_known(&a), 0);
		asks[i](&a);
		CHECK_EQ(size_known(&a), LINE_BYTES);
		release(&a);
		seal_all(a.s);
		CHECK(seals_to("a.notepack.gz", LINE));
		CHECK_EQ(store_close(a.s), 0);
		end();
	}
}

static void at_the_last_close_all_of_it_is_known(void)
{
	struct appender a;

	begin();
	a = start_appending();
	append_past(&a, LINE);
	CHECK_EQ(store_flush(a.h), 0);
	append_past(&a, "by a duplicate\n");
	release(&a);
	CHECK_EQ(store_close(a.s), 0);
	CHECK(seals_to("a.notepack.gz", LINE "by a duplicate\n"));
	end();
}

static void a_cut_leaves_the_torn_line_and_what_comes(void)
{
	struct appender a;

	begin();
	a = start_appending();
	append_past(&a, LINE "torn");
	seal_all(a.s);
	CHECK(seals_to("a.notepack.gz", LINE));
	append_past(&a, " and mended\n");
	seal_all(a.s);
	CHECK(seals_to("a.p000000002.notepack.gz", "torn and mended\n"));
	CHECK(!is_listed(a.s, "a"));
	append_past(&a, "x");
	CHECK(is_listed(a.s, "a"));
	release(&a);
	CHECK_EQ(store_close(a.s), 0);
	CHECK(seals_to("a.p000000003.notepack.gz", "x"));
	end();
}

/* ---- which handles ---- */

static bool may_begin(struct store *s, const char *name, int flags)
{
	struct node *n;
	struct handle *h;
	bool may;

	CHECK_EQ(store_lookup(s, store_root(s), name, &n), 0);
	CHECK_EQ(open_flags(s, n, flags, &h), 0);
	may = store_pass(h) >= 0;
	store_release(h);
	node_unref(s, n, 1);
	return may;
}

static void only_who_can_do_nothing_but_append_is_passed(void)
{
	static const int others[] = {O_RDONLY,
				     O_WRONLY,
				     O_RDWR,
				     O_RDWR | O_APPEND,
				     O_WRONLY | O_APPEND | O_DIRECT,
				     O_WRONLY | O_APPEND | O_DSYNC,
				     O_WRONLY | O_APPEND | O_SYNC};
	struct store *s;

	begin();
	s = start(NEVER_NS);
	put(s, "a", "a", 1);
	CHECK(may_begin(s, "a", O_WRONLY | O_APPEND));
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		CHECK(!may_begin(s, "a", others[i]));
	CHECK_EQ(store_close(s), 0);
	end();
}

static void only_a_file_that_is_all_in_its_raw_file_is_passed(void)
{
	struct store *s;
	struct handle *h;
	struct node *n;

	begin();
	s = start(NEVER_NS);
	put(s, "sealed", "a", 1);
	seal_all(s);
	append(s, "sealed", "b", 1); /* its raw file begins behind the part */
	CHECK(!may_begin(s, "sealed", O_WRONLY | O_APPEND));
	put(s, "gz.notepack.gz", "", 0);
	CHECK(!may_begin(s, "gz.notepack.gz", O_WRONLY | O_APPEND));
	h = create(s, "mapped", &n);
	CHECK_EQ(store_write(h, "x", 1, 0, true), 1);
	CHECK(!may_begin(s, "mapped", O_WRONLY | O_APPEND));
	store_release(h);
	CHECK(may_begin(s, "mapped", O_WRONLY | O_APPEND));
	node_unref(s, n, 1);
	CHECK_EQ(store_close(s), 0);
	end();
}

static void who_has_to_be_slowed_or_refused_is_not_passed(void)
{
	struct store *s;

	begin();
	s = start(NEVER_NS);
	put(s, "a", "a", 1);
	lock_take(&s->lock);
	s->options.backlog_bytes = 1;
	s->pending_bytes += 2;
	lock_drop(&s->lock);
	CHECK(!may_begin(s, "a", O_WRONLY | O_APPEND));
	lock_take(&s->lock);
	s->pending_bytes -= 2;
	s->options.reserve_bytes = (uint64_t)1 << 60;
	lock_drop(&s->lock);
	CHECK(!may_begin(s, "a", O_WRONLY | O_APPEND));
	lock_take(&s->lock);
	s->options.reserve_bytes = 0;
	s->options.rotate_bytes = 1 << 30;
	lock_drop(&s->lock);
	CHECK(!may_begin(s, "a", O_WRONLY | O_APPEND));
	lock_take(&s->lock);
	s->options.rotate_bytes = 0;
	lock_drop(&s->lock);
	CHECK(may_begin(s, "a", O_WRONLY | O_APPEND));
	CHECK_EQ(store_close(s), 0);
	end();
}

/* ---- mappings ---- */

static bool has_hole(struct appender *a)
{
	bool has;

	CHECK_EQ(punch(a->s, "a"), 0);
	lock_take(&a->s->lock);
	has = to_file(a->n)->raw_base > 0;
	lock_drop(&a->s->lock);
	return has;
}

static void no_hole_is_made_that_someone_could_see(void)
{
	struct handle *keeps, *reader;
	struct appender a;

	begin();
	a = start_appending();
	append_past(&a, LINE);
	seal_all(a.s);
	CHECK(!has_hole(&a));
	CHECK_EQ(open_flags(a.s, a.n, O_WRONLY, &keeps), 0);
	CHECK(!store_pass_too(keeps));
	CHECK_EQ(open_flags(a.s, a.n, O_RDONLY, &reader), 0);
	CHECK(!store_pass_too(reader));
	store_release(reader); /* but not what he has mapped */
	store_release(a.h);
	CHECK(!has_hole(&a));
	a.h = keeps;
	release(&a);
	CHECK_EQ(store_close(a.s), 0);
	end();
}

static void a_hole_is_made_when_no_one_can_see_it(void)
{
	struct handle *keeps;
	struct appender a;

	begin();
	a = start_appending();
	append_past(&a, LINE);
	seal_all(a.s);
	CHECK_EQ(open_flags(a.s, a.n, O_WRONLY, &keeps), 0);
	CHECK(!store_pass_too(keeps)); /* he can neither read nor map it */
	store_release(a.h);
	CHECK(has_hole(&a));
	a.h = keeps;
	CHECK(!may_begin(a.s, "a", O_WRONLY | O_APPEND));
	release(&a);
	CHECK_EQ(store_close(a.s), 0);
	end();
}

static void what_someone_may_have_changed_is_compared(void)
{
	struct handle *writer;
	struct appender a;

	begin();
	a = start_appending();
	append_past(&a, LINE);
	CHECK_EQ(open_flags(a.s, a.n, O_RDWR, &writer), 0);
	CHECK(!store_pass_too(writer));
	store_release(writer);
	release(&a);
	seal_all(a.s);
	CHECK_EQ(store_close(a.s), 0);
	CHECK(!scratch_has(&dir, "a")); /* it was the same */
	end();
}

static bool is_kept(struct appender *a)
{
	bool kept;

	lock_take(&a->s->lock);
	kept = to_file(a->n)->kept;
	lock_drop(&a->s->lock);
	return kept;
}

/* Not even if it was the same when it was sealed. */
static void what_someone_has_changed_is_kept(void)
{
	struct handle *writer;
	struct appender a;
	int mapping;

	begin();
	a = start_appending();
	append_past(&a, LINE);
	mapping = openat(dir.fd, "a", O_RDWR | O_CLOEXEC);
	CHECK_EQ(open_flags(a.s, a.n, O_RDWR, &writer), 0);
	CHECK(!store_pass_too(writer));
	store_release(writer);
	close(a.fd);
	store_release(a.h);
	seal_all(a.s);
	while (!is_kept(&a))
		usleep(1000);
	CHECK_EQ(pwrite(mapping, "L", 1, 0), 1);
	close(mapping);
	node_unref(a.s, a.n, 1);
	log_open("test_pass", false, LOG_CRIT);
	CHECK_EQ(store_close(a.s), 5);
	loud();
	CHECK(scratch_has(&dir, "a") && seals_to("a.notepack.gz", LINE));
	end();
}

/* The kernel asks for no FSYNC behind it. */
static void a_write_of_dsync_beside_an_appender_is_on_disk(void)
{
	struct handle *writer;
	struct appender a;

	begin();
	a = start_appending();
	append_past(&a, LINE);
	CHECK_EQ(open_flags(a.s, a.n, O_WRONLY | O_DSYNC, &writer), 0);
	CHECK(!store_pass_too(writer));
	forget();
	CHECK_EQ(store_write(writer, "L", 1, 0, false), 1);
	CHECK_TRACE(was("sync a"));
	store_release(writer);
	release(&a);
	CHECK_EQ(store_close(a.s), 0);
	end();
}

/* ---- who goes on ---- */

static void who_goes_on_behind_the_stop_is_met(void)
{
	struct appender a;

	begin();
	a = start_appending();
	append_past(&a, LINE);
	node_unref(a.s, a.n, 1);
	log_open("test_pass", false, LOG_CRIT);
	store_release_all(a.s);
	CHECK_EQ(store_close(a.s), 5);
	loud();
	CHECK(seals_to("a.notepack.gz", LINE));
	append_past(&a, "on\n");
	close(a.fd);
	a.s = start(NEVER_NS);
	seal_all(a.s);
	CHECK_EQ(store_close(a.s), 0);
	CHECK(seals_to("a.p000000002.notepack.gz", "on\n"));
	end();
}

static void who_has_ended_is_not_waited_for(void)
{
	struct appender a;

	begin();
	a = start_appending();
	append_past(&a, LINE);
	close(a.fd);
	node_unref(a.s, a.n, 1);
	store_release_all(a.s);
	CHECK_EQ(store_close(a.s), 0);
	CHECK(seals_to("a.notepack.gz", LINE) && !scratch_has(&dir, "a"));
	end();
}

/* ---- at the same time ---- */

static void *write_lines(void *arg)
{
	for (int i = 0; i < LINES_MAX; i++)
		append_past(arg, LINE);
	return NULL;
}

static void *read_and_list(void *arg)
{
	struct appender *a = arg;
	uint64_t size = 0;
	struct handle *h;
	struct stat st;

	while (size < LINES_MAX * LINE_BYTES) {
		char buf[LINE_BYTES];

		CHECK_EQ(store_getattr(a->s, a->n, &st), 0);
		CHECK((uint64_t)st.st_size >= size);
		size = (uint64_t)st.st_size;
		CHECK_EQ(open_flags(a->s, a->n, O_RDONLY, &h), 0);
		CHECK(!store_pass_too(h));
		if (size >= LINE_BYTES)
			CHECK_EQ(store_read(h, buf, sizeof(buf),
					    (size / LINE_BYTES - 1) * LINE_BYTES),
				 LINE_BYTES);
		CHECK(size < LINE_BYTES || memcmp(buf, LINE, LINE_BYTES) == 0);
		store_release(h);
		is_listed(a->s, "a");
	}
	return NULL;
}

static void lines_are_sealed_while_they_are_written_and_read(void)
{
	pthread_t writer, reader;
	uint64_t sealed = 0;
	struct appender a;

	begin();
	a = start_appending();
	CHECK_EQ(pthread_create(&writer, NULL, write_lines, &a), 0);
	CHECK_EQ(pthread_create(&reader, NULL, read_and_list, &a), 0);
	while (sealed < LINES_MAX * LINE_BYTES) {
		seal_all(a.s);
		lock_take(&a.s->lock);
		sealed = to_file(a.n)->sealed_end;
		lock_drop(&a.s->lock);
		CHECK_EQ(sealed % LINE_BYTES, 0);
	}
	pthread_join(writer, NULL);
	pthread_join(reader, NULL);
	release(&a);
	CHECK_EQ(store_close(a.s), 0);
	end();
}

int main(void)
{
	loud();
	RUN(what_is_appended_is_known_when_it_counts);
	RUN(at_the_last_close_all_of_it_is_known);
	RUN(a_cut_leaves_the_torn_line_and_what_comes);
	RUN(only_who_can_do_nothing_but_append_is_passed);
	RUN(only_a_file_that_is_all_in_its_raw_file_is_passed);
	RUN(who_has_to_be_slowed_or_refused_is_not_passed);
	RUN(no_hole_is_made_that_someone_could_see);
	RUN(a_hole_is_made_when_no_one_can_see_it);
	RUN(what_someone_may_have_changed_is_compared);
	RUN(what_someone_has_changed_is_kept);
	RUN(a_write_of_dsync_beside_an_appender_is_on_disk);
	RUN(who_goes_on_behind_the_stop_is_met);
	RUN(who_has_ended_is_not_waited_for);
	RUN(lines_are_sealed_while_they_are_written_and_read);
	return unit_done();
}
