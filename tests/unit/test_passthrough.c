/* SPDX-License-Identifier: BSD-2-Clause */
/* Which handles of an inode are passed through, and what is written into the answers. */
#include "fs/passthrough.h"

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/unit.h"

#define LARGE (1 << 20)
#define OPENERS 8
#define ROUNDS 2000

/* ---- in the place of the store, and of the one who makes the ioctls ---- */

static struct node *const a = (struct node *)"a", *const b = (struct node *)"b";
static struct node *const text = (struct node *)"text"; /* no object */
static struct handle *const object = (struct handle *)"object";
static struct handle *const appender = (struct handle *)"appender";
static struct handle *const other = (struct handle *)"other";

static int file; /* of all objects, and the raw file */
static atomic_int passed, undone;

enum node_kind node_kind(const struct node *n)
{
	return n == text ? NODE_FILE : NODE_OBJECT;
}

int store_pass(struct handle *h)
{
	passed += h == appender;
	return h == other ? -1 : file;
}

void store_pass_undo(struct handle *h)
{
	undone += h == appender;
}

/* No one who came before is left in the store, though not all have left here. */
static bool over;
static void (*meanwhile)(void);

enum store_pass store_pass_too(struct handle *h)
{
	if (meanwhile)
		meanwhile();
	if (h != object && over)
		return STORE_PASS_OVER;
	return h == other ? STORE_PASS_BESIDE : STORE_PASS_ALIKE;
}

static int32_t next_id; /* what the next open gives; then one more */
static atomic_int opened, closed, open_now, last_closed;

static int32_t open_one(void *ctx, int fd)
{
	CHECK_EQ(fd, file);
	if (next_id <= 0)
		return next_id;
	atomic_fetch_add(&opened, 1);
	atomic_fetch_add(&open_now, 1);
	return next_id;
}

static void close_one(void *ctx, int32_t id)
{
	atomic_fetch_add(&closed, 1);
	atomic_fetch_sub(&open_now, 1);
	atomic_store(&last_closed, id);
}

static struct passthrough p;

static bool direct;

static int32_t enter(struct node *n, struct handle *h)
{
	bool past;
	int32_t id = passthrough_enter(&p, n, h, &past);

	if (n == text) /* by one thread */
		direct = past;
	else
		CHECK(!past);
	return id;
}

static void begin(void)
{
	const struct fs_backing backing = {.open = open_one, .close = close_one};

	passthrough_init(&p);
	passthrough_want(&p, &backing, false);
	p.offered = p.appends = true;
	passed = undone = 0;
	file = memfd_create("object", MFD_CLOEXEC);
	CHECK_EQ(ftruncate(file, LARGE), 0);
	next_id = 7;
	opened = closed = open_now = last_closed = 0;
}

static void end(void)
{
	CHECK(!p.inodes);
	CHECK_EQ(opened, closed);
	passthrough_release(&p);
	close(file);
}

/* ---- tests ---- */

static void an_inode_has_one_number_from_its_first_handle_to_its_last(void)
{
	begin();
	CHECK_EQ(enter(a, object), 7);
	next_id = 8;
	CHECK_EQ(enter(a, object), 7);
	CHECK_EQ(enter(b, object), 8);
	passthrough_leave(&p, a);
	CHECK_EQ(closed, 0);
	CHECK_EQ(enter(a, object), 7);
	passthrough_leave(&p, a);
	passthrough_leave(&p, a);
	CHECK(closed == 1 && last_closed == 7);
	passthrough_leave(&p, b);
	CHECK(closed == 2 && last_closed == 8);
	next_id = 9;
	CHECK_EQ(enter(a, object), 9);
	passthrough_leave(&p, a);
	end();
}

static void what_began_with_ordinary_io_goes_on_with_it(void)
{
	begin();
	next_id = -ENOMEM;
	CHECK_EQ(enter(a, object), 0);
	next_id = 7;
	CHECK_EQ(enter(a, object), 0);
	passthrough_leave(&p, a);
	CHECK_EQ(enter(a, object), 0);
	passthrough_leave(&p, a);
	passthrough_leave(&p, a);
	CHECK_EQ(enter(a, object), 7);
	passthrough_leave(&p, a);
	end();
}

static void what_is_open_stays_as_it_is_when_no_more_can_be(void)
{
	begin();
	CHECK_EQ(enter(a, object), 7);
	next_id = -EPERM;
	CHECK_EQ(enter(b, object), 0);
	next_id = 8;
	CHECK_EQ(enter(a, object), 7);
	passthrough_leave(&p, a);
	passthrough_leave(&p, b);
	passthrough_leave(&p, a);
	CHECK_EQ(enter(a, object), 0); /* it was refused for good */
	passthrough_leave(&p, a);
	end();
}

static void other_files_are_not_counted(void)
{
	begin();
	CHECK_EQ(ftruncate(file, LARGE - 1), 0);
	CHECK_EQ(enter(a, object), 0);
	passthrough_leave(&p, a);
	CHECK_EQ(ftruncate(file, LARGE), 0);
	p.offered = false;
	CHECK_EQ(enter(a, object), 0);
	passthrough_leave(&p, a);
	CHECK_EQ(opened, 0);
	end();
}

static void a_file_is_passed_if_an_appender_comes_first(void)
{
	begin();
	CHECK_EQ(enter(text, appender), 7);
	CHECK(!direct && passed == 1);
	next_id = 8;
	CHECK_EQ(enter(text, other), 7);
	CHECK(direct);
	CHECK_EQ(enter(text, appender), 7);
	CHECK(!direct && passed == 1);
	passthrough_leave(&p, text);
	passthrough_leave(&p, text);
	CHECK_EQ(closed, 0);
	CHECK_EQ(enter(text, other), 7); /* as long as any is open */
	CHECK(direct);
	passthrough_leave(&p, text);
	passthrough_leave(&p, text);
	CHECK(closed == 1 && last_closed == 7 && !undone);
	end();
}

/* Their handles have been released in the store, and what is under the name may be another file now. */
static void who_comes_behind_the_last_of_the_store_decides_anew(void)
{
	begin();
	over = true;
	CHECK_EQ(enter(text, appender), 7);
	next_id = 8;
	CHECK_EQ(enter(text, appender), 8);
	CHECK(passed == 2 && closed == 1 && last_closed == 7);
	next_id = 9;
	CHECK_EQ(enter(text, other), 0);
	CHECK(!direct && closed == 2 && last_closed == 8);
	over = false;
	CHECK_EQ(enter(text, appender), 0); /* as long as that one is open */
	passthrough_leave(&p, text);
	passthrough_leave(&p, text);
	passthrough_leave(&p, text);
	passthrough_leave(&p, text);
	CHECK_EQ(undone, 0);
	end();
}

static void leave_text(void)
{
	passthrough_leave(&p, text);
}

static void the_last_may_leave_while_another_comes(void)
{
	begin();
	CHECK_EQ(enter(text, appender), 7);
	next_id = 8;
	meanwhile = leave_text;
	CHECK_EQ(enter(text, appender), 7);
	CHECK_EQ(closed, 0);
	over = true;
	CHECK_EQ(enter(text, appender), 8);
	CHECK(closed == 1 && last_closed == 7);
	over = false;
	meanwhile = NULL;
	passthrough_leave(&p, text);
	CHECK(closed == 2 && last_closed == 8);
	end();
}

static void a_file_that_is_open_otherwise_is_not_passed(void)
{
	begin();
	CHECK_EQ(enter(text, other), 0);
	CHECK(!direct);
	CHECK_EQ(enter(text, appender), 0);
	CHECK(!direct && !passed);
	passthrough_leave(&p, text);
	CHECK_EQ(enter(text, appender), 0);
	passthrough_leave(&p, text);
	passthrough_leave(&p, text);
	CHECK_EQ(enter(text, appender), 7);
	passthrough_leave(&p, text);
	end();
}

static void a_file_that_could_not_be_passed_is_seen_again(void)
{
	begin();
	next_id = -ENFILE;
	CHECK_EQ(enter(text, appender), 0);
	CHECK(passed == 1 && undone == 1);
	passthrough_leave(&p, text);
	p.appends = false; /* an older kernel */
	next_id = 7;
	CHECK_EQ(enter(text, appender), 0);
	passthrough_leave(&p, text);
	CHECK(passed == 1 && undone == 1);
	end();
}

static void at_the_end_the_kernel_keeps_nothing_open(void)
{
	begin();
	CHECK_EQ(enter(text, appender), 7);
	next_id = 8;
	CHECK_EQ(enter(a, object), 8);
	passthrough_end(&p);
	CHECK_EQ(closed, 2);
	CHECK_EQ(enter(b, object), 0);
	CHECK_EQ(enter(text, other), 0);
	CHECK(!direct);
	passthrough_leave(&p, text);
	passthrough_leave(&p, text);
	passthrough_leave(&p, a);
	passthrough_leave(&p, b);
	end();
}

static void *open_and_close(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		int32_t id = enter(a, object);

		CHECK(id == 7 && atomic_load(&open_now) == 1);
		passthrough_leave(&p, a);
	}
	return NULL;
}

static void many_at_once_have_one_number(void)
{
	pthread_t threads[OPENERS];

	begin();
	CHECK_EQ(enter(a, object), 7);
	for (int i = 0; i < OPENERS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, open_and_close, NULL), 0);
	for (int i = 0; i < OPENERS; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(opened, 1);
	passthrough_leave(&p, a);
	end();
}

struct amended {
	uint32_t flags, flags2, depth;
};

static uint32_t minor = 41;

static struct amended amend_init(uint32_t flags, uint32_t flags2, size_t out_len)
{
	struct fuse_init_in in = {.minor = minor, .flags = flags, .flags2 = flags2};
	uint32_t out[sizeof(struct fuse_init_out) / 4] = {0};
	struct amended got;

	p.offered = false;
	passthrough_amend_init(&p, &in, sizeof(in), out, out_len);
	got.flags = out[offsetof(struct fuse_init_out, flags) / 4];
	got.flags2 = out[offsetof(struct fuse_init_out, flags2) / 4];
	got.depth = out[offsetof(struct fuse_init_out, flags2) / 4 + 1];
	return got;
}

static void it_is_asked_for_where_it_is_offered(void)
{
	struct amended got;

	begin();
	got = amend_init(1U << 30, 1 << 5, sizeof(struct fuse_init_out));
	CHECK(p.offered && got.flags == 1U << 30 && got.flags2 == 1 << 5 && got.depth == 1);
	CHECK(p.appends);
	minor = 40;
	amend_init(1U << 30, 1 << 5, sizeof(struct fuse_init_out));
	CHECK(p.offered && !p.appends);
	minor = 41;
	got = amend_init(1U << 30, 0, sizeof(struct fuse_init_out));
	CHECK(!p.offered && !got.flags && !got.flags2 && !got.depth);
	got = amend_init(0, 1 << 5, sizeof(struct fuse_init_out));
	CHECK(!p.offered && !got.flags && !got.flags2 && !got.depth);
	p.stack_depth = 2;
	got = amend_init(1U << 30, 1 << 5, sizeof(struct fuse_init_out));
	CHECK_EQ(got.depth, 2);
	/* An old kernel's. */
	got = amend_init(1U << 30, 1 << 5, offsetof(struct fuse_init_out, flags2));
	CHECK(!p.offered && !got.flags && !got.flags2 && !got.depth);
	p.backing.open = NULL; /* passthrough=off */
	got = amend_init(1U << 30, 1 << 5, sizeof(struct fuse_init_out));
	CHECK(!p.offered && !got.flags2);
	end();
}

static void an_answer_is_amended_once(void)
{
	struct fuse_out_header header = {.error = 0};
	struct fuse_open_out out = {.fh = 3, .open_flags = FOPEN_KEEP_CACHE | FOPEN_NOFLUSH};
	struct iovec iov[2] = {{&header, sizeof(header)}, {&out, sizeof(out)}};

	passthrough_amend_reply(iov, 2);
	CHECK_EQ(out.open_flags, FOPEN_KEEP_CACHE | FOPEN_NOFLUSH);
	passthrough_set_reply(12);
	passthrough_amend_reply(iov, 2);
	CHECK(out.fh == 3 && out.open_flags == (FOPEN_NOFLUSH | 1 << 7));
	CHECK(memcmp((char *)&out + 12, &(int32_t){12}, 4) == 0);
	out = (struct fuse_open_out){.open_flags = FOPEN_KEEP_CACHE};
	passthrough_amend_reply(iov, 2);
	CHECK_EQ(out.open_flags, FOPEN_KEEP_CACHE);
	header.error = -EIO;
	passthrough_set_reply(12);
	passthrough_amend_reply(iov, 2);
	CHECK_EQ(out.open_flags, FOPEN_KEEP_CACHE);
	header.error = 0;
	passthrough_amend_reply(iov, 2);
	CHECK_EQ(out.open_flags, FOPEN_KEEP_CACHE);
	passthrough_set_reply(12);
	passthrough_amend_reply(iov, 1); /* an error has no body */
	passthrough_amend_reply(iov, 2);
	CHECK_EQ(out.open_flags, FOPEN_KEEP_CACHE);
}

int main(void)
{
	RUN(an_inode_has_one_number_from_its_first_handle_to_its_last);
	RUN(what_began_with_ordinary_io_goes_on_with_it);
	RUN(what_is_open_stays_as_it_is_when_no_more_can_be);
	RUN(other_files_are_not_counted);
	RUN(a_file_is_passed_if_an_appender_comes_first);
	RUN(who_comes_behind_the_last_of_the_store_decides_anew);
	RUN(the_last_may_leave_while_another_comes);
	RUN(a_file_that_is_open_otherwise_is_not_passed);
	RUN(a_file_that_could_not_be_passed_is_seen_again);
	RUN(at_the_end_the_kernel_keeps_nothing_open);
	RUN(many_at_once_have_one_number);
	RUN(it_is_asked_for_where_it_is_offered);
	RUN(an_answer_is_amended_once);
	return unit_done();
}
