/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is compressed and not published yet has a temporary, and a descriptor, each: only so many are begun.
 * Named bug: files that were written faster than they were published took all descriptors there are.
 */
#include "tests/unit/order_kit.h"

#define FILES 1500
#define AHEAD 512 /* BEGUN_MAX of lib/sealer.c */

static int most;

/* At each fsync of the publisher; the first one waits until as many as may be are there. */
static void look(void)
{
	int n = count_entries(&dir, ".notepackfs/tmp");

	while (!most && n < AHEAD) {
		usleep(1000);
		n = count_entries(&dir, ".notepackfs/tmp");
	}
	most = MAX(most, n);
	forget();
	then("sync .notepackfs/tmp/*.gz", look);
}

static void few_are_begun_while_the_publisher_is_behind(void)
{
	struct store *s;
	char name[16];

	begin();
	alarm(100);
	s = start(NEVER_NS);
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		put(s, name, "text", 4);
	}
	forget();
	then("sync .notepackfs/tmp/*.gz", look);
	seal_all(s);
	then("", NULL);
	CHECK_EQ(store_close(s), 0);
	alarm(0);
	printf("# at most %d temporaries of %d\n", most, FILES);
	CHECK_EQ(most, AHEAD);
	CHECK(seals_to("f0.notepack.gz", "text"));
	CHECK(seals_to("f1499.notepack.gz", "text"));
	end();
}

int main(void)
{
	loud();
	RUN(few_are_begun_while_the_publisher_is_behind);
	return unit_done();
}
