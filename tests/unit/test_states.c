/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rules between busy nodes and gates (lib/core.h), each from the side that would hang if it
 * were broken: the test then ends by its timeout.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/catalog.h"
#include "lib/io.h"
#include "lib/raw.h"
#include "lib/store.h"
#include "tests/unit/unit.h"

static struct store *store;
static char path[64];

static void open_store(void)
{
	struct store_options options = {.path = path,
					.level = 6,
					.threads = 1,
					.grace_ns = INT64_C(3600000000000),
					.fsync_seals = true,
					.cut_bytes = 1,
					.lockwait_ns = 0};
	struct store_error error;

	strcpy(path, "/tmp/notepackfs-states.XXXXXX");
	CHECK(mkdtemp(path) != NULL);
	CHECK_EQ(store_open(&options, NULL, &store, &error), 0);
}

static void close_store(void)
{
	char command[128];

	CHECK_EQ(store_close(store), 0);
	snprintf(command, sizeof(command), "rm -rf %s", path);
	CHECK_EQ(system(command), 0);
}

/* A closed file with raw bytes, which no one has open. */
static struct node *make_file(const char *name)
{
	struct caller c = {0};
	struct handle *h;
	struct node *n = NULL;

	CHECK_EQ(store_create(store, &c, store_root(store), name, 0644, O_WRONLY, &n, &h), 0);
	CHECK_EQ(store_write(h, "bytes", 5, 0, false), 5);
	store_release(h);
	return n;
}

/* Bug: who gave a raw file up held its name as a renamer does, and waited for the gate; a
 * reader in the gate waited for the name. */
static void who_is_in_the_gate_does_not_wait_for_a_held_node(void)
{
	struct node *n;
	struct raw *raw = NULL;

	open_store();
	n = make_file("file");
	lock_take(&store->lock);
	node_take_wait_locked(store, n, BUSY_HELD);
	gate_enter_locked(store, to_file(n));
	lock_drop(&store->lock);
	CHECK_EQ(raw_get(store, to_file(n), &raw), 0);
	raw_put(store, to_file(n), raw);
	lock_take(&store->lock);
	gate_leave_locked(store, to_file(n));
	lock_drop(&store->lock);
	node_give(store, n);
	node_unref(store, n, 1);
	close_store();
}

static void an_operation_on_a_busy_name_is_told_so_and_can_park(void)
{
	struct caller c = {0};
	struct node *n;

	open_store();
	n = make_file("file");
	lock_take(&store->lock);
	node_take_wait_locked(store, n, BUSY_HELD);
	lock_drop(&store->lock);
	CHECK_EQ(store_unlink(store, &c, store_root(store), "file"), STORE_BUSY);
	CHECK(c.busy == n);
	node_unref(store, c.busy, 1);
	CHECK_EQ(store_rename(store, &c, store_root(store), "file", store_root(store), "to", 0),
		 STORE_BUSY);
	node_unref(store, c.busy, 1);
	node_give(store, n);
	CHECK_EQ(store_unlink(store, &c, store_root(store), "file"), 0);
	node_unref(store, n, 1);
	close_store();
}

static int woken;

static void wake(struct waiter *w)
{
	woken++;
}

static void who_is_parked_can_be_taken_back_until_it_is_woken(void)
{
	struct waiter stays = {.wake = wake}, goes = {.wake = wake}, early = {.wake = wake};
	struct node *n;

	open_store();
	n = make_file("file");
	lock_take(&store->lock);
	node_take_wait_locked(store, n, BUSY_HELD);
	n->refs += 5; /* for each call of store_park */
	lock_drop(&store->lock);
	CHECK(!store_unpark(store, &early));
	CHECK_EQ(store_park(store, n, &early), -EINTR);
	CHECK_EQ(store_park(store, n, &stays), 1);
	CHECK_EQ(store_park(store, n, &goes), 1);
	CHECK(store_unpark(store, &goes));
	node_give(store, n);
	CHECK_EQ(woken, 1);
	CHECK_EQ(store_park(store, n, &stays), 0);
	CHECK(!store_unpark(store, &stays));
	CHECK_EQ(store_park(store, n, &stays), -EINTR);
	node_unref(store, n, 1);
	close_store();
}

/* Bug: the rename of a directory took its node first, and then waited for loads, one of which
 * may have waited for that node. */
static void a_directory_is_not_taken_before_loads_are_done(void)
{
	struct caller c = {0};
	struct node *d;

	open_store();
	CHECK_EQ(store_mkdir(store, &c, store_root(store), "dir", 0755, &d), 0);
	lock_take(&store->lock);
	node_take_wait_locked(store, &store->tree, BUSY_HELD);
	lock_drop(&store->lock);
	CHECK_EQ(store_rename(store, &c, store_root(store), "dir", store_root(store), "to", 0),
		 STORE_BUSY);
	CHECK(c.busy == &store->tree);
	CHECK_EQ(d->busy, IDLE);
	node_unref(store, c.busy, 1);
	node_give(store, &store->tree);
	CHECK_EQ(store_rename(store, &c, store_root(store), "dir", store_root(store), "to", 0),
		 0);
	CHECK_EQ(d->busy, IDLE);
	CHECK_EQ(store->tree.busy, IDLE);
	node_unref(store, d, 1);
	close_store();
}

static void the_invariants_hold_through_a_life(void)
{
	struct node *n;
	struct stat want = {.st_size = 3}, st;
	struct caller c = {0};
	unsigned set = STORE_SET_SIZE;

	open_store();
	n = make_file("file");
	file_check(to_file(n));
	CHECK_EQ(store_setattr(store, &c, n, &want, &set, &st), 0);
	CHECK_EQ(st.st_size, 3);
	CHECK_EQ(set, 0);
	file_check(to_file(n));
	want.st_size = 1 << 20;
	set = STORE_SET_SIZE;
	CHECK_EQ(store_setattr(store, &c, n, &want, &set, &st), 0);
	file_check(to_file(n));
	node_unref(store, n, 1);
	close_store();
}

int main(void)
{
	RUN(who_is_in_the_gate_does_not_wait_for_a_held_node);
	RUN(an_operation_on_a_busy_name_is_told_so_and_can_park);
	RUN(who_is_parked_can_be_taken_back_until_it_is_woken);
	RUN(a_directory_is_not_taken_before_loads_are_done);
	RUN(the_invariants_hold_through_a_life);
	return unit_done();
}
