/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pass_kit: a file that someone appends to past the store: the test, with the descriptor that it is given, in the
 * place of the kernel.
 *
 * To be included by the file with main, once (order_kit.h).
 */
#ifndef NOTEPACKFS_TESTS_PASS_KIT_H
#define NOTEPACKFS_TESTS_PASS_KIT_H

#include "tests/unit/order_kit.h"

#define LINE "line\n"
#define LINE_BYTES 5

/* One file, open to be appended to, and passed. */
struct appender {
	struct store *s;
	struct node *n;
	struct handle *h;
	int fd; /* another than the store's: with O_APPEND */
};

static inline int open_flags(struct store *s, struct node *n, int flags, struct handle **h)
{
	struct caller c = me();

	return store_open_node(s, &c, n, flags, h);
}

static inline struct appender start_appending(void)
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

/* The timer does not look at it any more. */
static inline void look_no_more(struct appender *a)
{
	lock_take(&a->s->lock);
	a->s->pass_look_ns = INT64_MAX;
	lock_drop(&a->s->lock);
}

static inline void append_past(struct appender *a, const char *text)
{
	CHECK_EQ(write(a->fd, text, strlen(text)), (long long)strlen(text));
}

static inline void release(struct appender *a)
{
	close(a->fd);
	store_release(a->h);
	node_unref(a->s, a->n, 1);
}

/* Is it passed to who opens it so, and no one else has it open so? */
static inline bool may_begin(struct store *s, const char *name, int flags)
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

#endif
