/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * prover_kit: a raw file "a" all of whose bytes have records, left by a crash, and what may have become
 * of it. What reads its body can be held (order_held.h).
 */
#ifndef NOTEPACKFS_TESTS_PROVER_KIT_H
#define NOTEPACKFS_TESTS_PROVER_KIT_H

#include "tests/unit/order_held.h"

#include "lib/prover.h"

#define BIG 600000

static char big[BIG], changed[BIG];

static bool is_held(const char *path, off_t offset)
{
	return offset < BIG && (matches("*/a", path) || matches("*/c", path));
}

/* ---- the crash ---- */

static inline void seal_and_die(void)
{
	struct store *s = start(NEVER_NS);

	put(s, "a", big, BIG);
	fail_next("unlink a", 1);
	seal_all(s);
}

static inline void seal_two_parts_and_die(void)
{
	struct store *s = start(NEVER_NS);

	put(s, "a", big, BIG);
	fail_next("unlink a", 2);
	seal_all(s);
	append(s, "a", "more", 4);
	seal_all(s);
}

static inline void read_and_die(void)
{
	deadly = true;
	prover_finish(start(NEVER_NS));
	_exit(1);
}

static inline void append_in_doubt_and_die(void)
{
	struct store *s = start(NEVER_NS);

	prover_finish(s);
	append(s, "a", "more", 4);
}

static inline void crashed(void)
{
	begin();
	killed_in(seal_and_die);
	CHECK(scratch_has(&dir, "a") && scratch_has(&dir, "a.notepack.gz"));
	forget();
}

/* As a power cut leaves it: its length, or the bytes behind an fsync, were not on the disk yet. */
static inline void cut_short(const char *name, off_t at)
{
	CLEANUP_FD int fd = openat(dir.fd, name, O_RDWR | O_CLOEXEC);

	CHECK_EQ(ftruncate(fd, at), 0);
}

static inline void cut_to_zeroes(const char *name, off_t at)
{
	cut_short(name, at);
	CLEANUP_FD int fd = openat(dir.fd, name, O_RDWR | O_CLOEXEC);

	CHECK_EQ(ftruncate(fd, BIG), 0);
}

static inline bool has_doubt(const char *name)
{
	CLEANUP_FD int fd = openat(dir.fd, name, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && raw_has_doubt(fd);
}

static inline void run_to(int status)
{
	struct store *s;

	quiet();
	s = start(NEVER_NS);
	CHECK_EQ(store_close(s), status);
	loud();
}

static inline bool reads(struct store *s, const char *name, const char *want)
{
	static char text[BIG];
	struct caller c = me();
	struct handle *h;
	struct node *n;
	bool same;

	CHECK_EQ(store_lookup(s, store_root(s), name, &n), 0);
	CHECK_EQ(store_open_node(s, &c, n, O_RDONLY, &h), 0);
	same = store_read(h, text, BIG, 0) == BIG && memcmp(text, want, BIG) == 0;
	store_release(h);
	node_unref(s, n, 1);
	return same;
}

/* The name that another file was given. */
static inline bool find_displaced(char *name, size_t size)
{
	int i = find("name a.recovered-*[0-9]", 0);

	if (i < 0)
		return false;
	snprintf(name, size, "%.255s.notepack.gz", trace[i] + strlen("name "));
	return true;
}

/* The object has what was sealed, the raw file is under another name. */
static inline void check_displaced(void)
{
	char name[400];

	CHECK(object_equals(&dir, "a.notepack.gz", big, BIG));
	CHECK(!scratch_has(&dir, "a"));
	CHECK(find_displaced(name, sizeof(name)));
	CHECK(object_equals(&dir, name, changed, BIG));
}

static inline void make_big(void)
{
	unsigned seed = 1;

	for (size_t i = 0; i < BIG; i++)
		big[i] = (char)rand_r(&seed);
}

#endif
