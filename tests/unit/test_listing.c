/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When the kernel may keep a listing: whatever changes what is listed makes the next one FRESH, and
 * none keeps while one of another state does.
 */
#include "tests/unit/store_kit.h"

static struct store *store;
static struct scratch dir;

static void begin(void)
{
	scratch_init(&dir);
	store = open_store(&dir, 1, NEVER_NS);
}

static void end(void)
{
	CHECK_EQ(store_close(store), 0);
	scratch_release(&dir);
}

/* What a listing may do that begins now, lists everything, and ends. */
static enum store_listing list_once(void)
{
	struct node *root = store_root(store);
	struct store_dirent e;
	uint64_t state = 0, cookie = 0;
	enum store_listing listing = store_listing_begin(store, root, &state);

	if (listing == STORE_LISTING_FRESH)
		store_listing_started(store, root, state);
	while (store_readdir(store, root, cookie, &e, 1) > 0) {
		cookie = e.cookie;
		node_unref(store, e.node, 1);
	}
	if (listing != STORE_LISTING_DIRECT)
		store_listing_end(store, root);
	return listing;
}

/* The state before is kept, the next listing is a fresh one, the one after it may use it. */
static void check_changed(void)
{
	CHECK_EQ(list_once(), STORE_LISTING_FRESH);
	CHECK_EQ(list_once(), STORE_LISTING_KEPT);
	CHECK_EQ(list_once(), STORE_LISTING_KEPT);
}

static void every_change_of_what_is_listed_makes_a_fresh_one(void)
{
	struct caller c = me();
	struct handle *h;
	struct node *n;

	begin();
	CHECK_EQ(list_once(), STORE_LISTING_FRESH); /* it is loaded by that */
	CHECK_EQ(list_once(), STORE_LISTING_KEPT);
	h = create(store, "x", NULL);
	check_changed();
	CHECK_EQ(store_write(h, "abc", 3, 0, false), 3);
	CHECK_EQ(list_once(), STORE_LISTING_KEPT);
	store_release(h);
	CHECK_EQ(list_once(), STORE_LISTING_KEPT);
	seal_all(store); /* x is x.notepack.gz */
	check_changed();
	append(store, "x", "d", 1); /* both are listed */
	check_changed();
	append(store, "x", "e", 1);
	CHECK_EQ(list_once(), STORE_LISTING_KEPT);
	seal_all(store);
	check_changed();
	CHECK_EQ(store_mkdir(store, &c, store_root(store), "sub", 0755, &n), 0);
	node_unref(store, n, 1);
	check_changed();
	CHECK_EQ(store_rename(store, &c, store_root(store), "x", store_root(store), "y", 0), 0);
	check_changed();
	CHECK_EQ(remove_name(store, "y"), 0);
	check_changed();
	end();
}

static void none_keeps_while_one_of_an_older_state_is_open(void)
{
	struct node *root;
	uint64_t older = 0, state = 0;

	begin();
	root = store_root(store);
	put(store, "x", "abc", 3);
	CHECK_EQ(store_listing_begin(store, root, &older), STORE_LISTING_FRESH);
	put(store, "y", "abc", 3);
	CHECK_EQ(store_listing_begin(store, root, &state), STORE_LISTING_DIRECT);
	store_listing_started(store, root, older);
	CHECK_EQ(list_once(), STORE_LISTING_DIRECT);
	store_listing_end(store, root);
	check_changed();
	end();
}

/* Two begin at once: what the first has not dropped yet the second must not use. */
static void what_is_kept_counts_from_the_first_entries_on(void)
{
	struct node *root;
	uint64_t state = 0;

	begin();
	root = store_root(store);
	put(store, "x", "abc", 3);
	CHECK_EQ(store_listing_begin(store, root, &state), STORE_LISTING_FRESH);
	CHECK_EQ(store_listing_begin(store, root, &state), STORE_LISTING_FRESH);
	store_listing_started(store, root, state);
	CHECK_EQ(store_listing_begin(store, root, &state), STORE_LISTING_KEPT);
	for (int i = 0; i < 3; i++)
		store_listing_end(store, root);
	CHECK_EQ(list_once(), STORE_LISTING_KEPT);
	end();
}

/* An import is listed by turns, as it is written: a directory with one is listed directly. */
static void nothing_is_kept_beside_an_import(void)
{
	struct handle *h;

	begin();
	put(store, "x", "abc", 3);
	check_changed();
	h = create(store, "y.notepack.gz", NULL);
	CHECK_EQ(list_once(), STORE_LISTING_DIRECT);
	store_release(h);
	CHECK_EQ(list_once(), STORE_LISTING_DIRECT);
	CHECK_EQ(remove_name(store, "y.notepack.gz"), 0);
	check_changed();
	end();
}

static void what_is_no_directory_is_not_kept(void)
{
	struct node *n;
	uint64_t state = 0;

	begin();
	store_release(create(store, "x", &n));
	CHECK_EQ(store_listing_begin(store, n, &state), STORE_LISTING_DIRECT);
	node_unref(store, n, 1);
	end();
}

int main(void)
{
	RUN(every_change_of_what_is_listed_makes_a_fresh_one);
	RUN(none_keeps_while_one_of_an_older_state_is_open);
	RUN(what_is_kept_counts_from_the_first_entries_on);
	RUN(nothing_is_kept_beside_an_import);
	RUN(what_is_no_directory_is_not_kept);
	return unit_done();
}
