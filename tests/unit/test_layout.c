/* SPDX-License-Identifier: BSD-2-Clause */
/* The private directory is private: its mode is mended, and another user's is refused. */
#include "lib/layout.h"

#include <errno.h>

#include "lib/bytes.h"
#include "lib/name.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

static unsigned mode_of_private(struct scratch *s)
{
	struct stat st;

	return fstatat(s->fd, NAME_PRIVATE, &st, 0) == 0 ? st.st_mode & 07777 : 0;
}

static void is_made_with_mode_700(void)
{
	struct scratch s;
	char why[LAYOUT_WHY_BYTES] = "";

	umask(0);
	scratch_init(&s);
	CHECK_EQ(layout_create(s.fd), 0);
	CHECK_EQ(mode_of_private(&s), 0700);
	CHECK_EQ(layout_secure(s.fd, false, why), 0);
	CHECK_EQ(layout_create(s.fd), 0); /* again */
	scratch_release(&s);
}

static void another_mode_is_mended(void)
{
	static const unsigned modes[] = {0777, 0770, 0755, 0701, 0710, 0722};
	struct scratch s;
	char why[LAYOUT_WHY_BYTES] = "";

	scratch_init(&s);
	CHECK_EQ(layout_create(s.fd), 0);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		CHECK_EQ(fchmodat(s.fd, NAME_PRIVATE, modes[i], 0), 0);
		CHECK_EQ(layout_secure(s.fd, true, why), 0);
		CHECK_EQ(mode_of_private(&s), modes[i]); /* not by one who only reads */
		CHECK_EQ(layout_secure(s.fd, false, why), 0);
		CHECK_EQ(mode_of_private(&s), 0700);
	}
	scratch_release(&s);
}

static void a_link_in_its_place_is_refused(void)
{
	struct scratch s, elsewhere;
	char why[LAYOUT_WHY_BYTES] = "";

	scratch_init(&s);
	scratch_init(&elsewhere);
	CHECK_EQ(symlinkat(elsewhere.path, s.fd, NAME_PRIVATE), 0);
	CHECK_EQ(layout_create(s.fd), -ELOOP);
	CHECK_EQ(layout_secure(s.fd, false, why), -ELOOP);
	CHECK_EQ(layout_probe(s.fd), LAYOUT_NOT_STORE);
	CHECK(!scratch_has(&elsewhere, "tmp"));
	scratch_release(&elsewhere);
	scratch_release(&s);
}

static void what_is_in_it_are_directories(void)
{
	struct scratch s;
	char why[LAYOUT_WHY_BYTES] = "";

	scratch_init(&s);
	CHECK_EQ(layout_create(s.fd), 0);
	CHECK_EQ(unlinkat(s.fd, LAYOUT_TMP, AT_REMOVEDIR), 0);
	CHECK_EQ(layout_secure(s.fd, true, why), 0); /* a store that is read only lacks some */
	CHECK_EQ(symlinkat("/tmp", s.fd, LAYOUT_TMP), 0);
	CHECK_EQ(layout_secure(s.fd, false, why), -ENOTDIR);
	CHECK(strncmp(why, "tmp:", 4) == 0);
	CHECK_EQ(unlinkat(s.fd, LAYOUT_TMP, 0), 0);
	scratch_put(&s, LAYOUT_TMP, "a file");
	CHECK_EQ(layout_secure(s.fd, false, why), -ENOTDIR);
	scratch_release(&s);
}

static void another_user_is_not_trusted(void)
{
	struct scratch s;
	char why[LAYOUT_WHY_BYTES] = "";

	if (geteuid() != 0) {
		SKIP("only root gives directories away");
		return;
	}
	scratch_init(&s);
	CHECK_EQ(layout_create(s.fd), 0);
	CHECK_EQ(fchownat(s.fd, NAME_PRIVATE, 12345, 12345, 0), 0);
	CHECK_EQ(layout_secure(s.fd, false, why), -EPERM);
	CHECK_EQ(layout_secure(s.fd, true, why), -EPERM);
	CHECK(strstr(why, "belongs to user 12345"));
	CHECK_EQ(fchown(s.fd, 54321, 54321), 0); /* nor is it if the store is a third one's */
	CHECK_EQ(layout_secure(s.fd, false, why), -EPERM);
	CHECK_EQ(fchown(s.fd, 12345, 12345), 0); /* the user's own store, mounted by root */
	CHECK_EQ(layout_secure(s.fd, false, why), 0);
	scratch_release(&s);
}

int main(void)
{
	RUN(is_made_with_mode_700);
	RUN(another_mode_is_mended);
	RUN(a_link_in_its_place_is_refused);
	RUN(what_is_in_it_are_directories);
	RUN(another_user_is_not_trusted);
	return unit_done();
}
