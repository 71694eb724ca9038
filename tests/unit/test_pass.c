/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that someone appends to past the store: how long they are, and who goes on. */
#include "tests/unit/pass_kit.h"

#define LINES_MAX 4000

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
	CHECK_EQ(store_pass_too(h), STORE_PASS_BESIDE);
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
		look_no_more(&a);
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

static void it_is_looked_at_though_nobody_asks(void)
{
	struct appender a;

	begin();
	a = start_appending();
	append_past(&a, LINE);
	while (size_known(&a) != LINE_BYTES)
		usleep(1000);
	append_past(&a, LINE);
	while (size_known(&a) != 2 * LINE_BYTES)
		usleep(1000);
	release(&a);
	CHECK_EQ(store_close(a.s), 0);
	end();
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

static uint64_t listing_state(struct store *s)
{
	uint64_t state;

	if (store_listing_begin(s, store_root(s), &state) != STORE_LISTING_DIRECT)
		store_listing_end(s, store_root(s));
	return state;
}

static void a_cut_leaves_the_torn_line_and_what_comes(void)
{
	uint64_t before;
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
	before = listing_state(a.s);
	append_past(&a, "x");
	CHECK(listing_state(a.s) !=
	      before); /* what the kernel has kept is not right any more */
	append_past(&a, "y");
	CHECK(is_listed(a.s, "a"));
	release(&a);
	CHECK_EQ(store_close(a.s), 0);
	CHECK(seals_to("a.p000000003.notepack.gz", "xy"));
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
		CHECK_EQ(store_pass_too(h), STORE_PASS_BESIDE);
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
	RUN(it_is_looked_at_though_nobody_asks);
	RUN(at_the_last_close_all_of_it_is_known);
	RUN(a_cut_leaves_the_torn_line_and_what_comes);
	RUN(who_goes_on_behind_the_stop_is_met);
	RUN(who_has_ended_is_not_waited_for);
	RUN(lines_are_sealed_while_they_are_written_and_read);
	return unit_done();
}
