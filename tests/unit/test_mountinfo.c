/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/mountinfo.h"

#include "tests/unit/unit.h"

/* The mount of a line; its strings live until the next call. */
static bool parse(const char *text, struct mountinfo *out)
{
	static char line[512];

	snprintf(line, sizeof(line), "%s", text);
	return mountinfo_parse(line, out);
}

static void a_line_is_taken_apart(void)
{
	struct mountinfo m;

	CHECK(parse("71 25 0:48 / /mnt/notes rw,nosuid,nodev,relatime shared:33 - "
		    "fuse.notepackfs /srv/archive rw,user_id=0,group_id=0\n",
		    &m));
	CHECK_STR(m.device, "0:48");
	CHECK_STR(m.root, "/");
	CHECK_STR(m.mountpoint, "/mnt/notes");
	CHECK_STR(m.type, MOUNTINFO_TYPE);
	CHECK_STR(m.source, "/srv/archive");
	CHECK(!m.read_only);
}

static void there_may_be_no_tags_or_several(void)
{
	struct mountinfo m;

	CHECK(parse("71 25 0:48 /sub /mnt rw - tmpfs none rw\n", &m));
	CHECK_STR(m.root, "/sub");
	CHECK_STR(m.source, "none");
	CHECK(parse("71 25 0:48 / /mnt rw shared:3 master:2 unbindable - tmpfs none rw\n", &m));
	CHECK_STR(m.type, "tmpfs");
}

static void either_options_say_that_it_is_read_only(void)
{
	struct mountinfo m;

	CHECK(parse("1 2 0:3 / /mnt ro,nosuid - tmpfs none rw\n", &m));
	CHECK(m.read_only);
	CHECK(parse("1 2 0:3 / /mnt rw - tmpfs none size=1,ro\n", &m));
	CHECK(m.read_only);
	CHECK(parse("1 2 0:3 / /mnt rw - tmpfs none errors=remount-ro,rooted\n", &m));
	CHECK(!m.read_only);
}

static void options_are_whole_words(void)
{
	struct mountinfo m;

	CHECK(parse(
	    "1 2 0:3 / /mnt rw,nosuid,nodev - fuse.x s rw,default_permissions,max_read=4\n",
	    &m));
	CHECK(mountinfo_has(m.options, "rw") && mountinfo_has(m.options, "nosuid") &&
	      mountinfo_has(m.options, "nodev"));
	CHECK(mountinfo_has(m.super_options, "default_permissions"));
	CHECK(!mountinfo_has(m.options, "suid") && !mountinfo_has(m.options, "nosui") &&
	      !mountinfo_has(m.super_options, "max_read") && !mountinfo_has(m.options, ""));
	CHECK(parse("1 2 0:3 / /mnt rw - fuse.x s\n", &m));
	CHECK(!mountinfo_has(m.super_options, "rw"));
}

static void escapes_are_undone(void)
{
	struct mountinfo m;

	CHECK(parse(
	    "1 2 0:3 /a\\134b /mnt/a\\040b\\011c\\012 rw - fuse.x /s\\043\\303\\244 rw\n", &m));
	CHECK_STR(m.root, "/a\\b");
	CHECK_STR(m.mountpoint, "/mnt/a b\tc\n");
	CHECK_STR(m.source, "/s#\303\244");
}

static void what_is_no_escape_stays(void)
{
	struct mountinfo m;

	CHECK(parse("1 2 0:3 / /a\\9\\08b\\777\\04 rw - tmpfs none\\ rw\n", &m));
	CHECK_STR(m.mountpoint, "/a\\9\\08b\\777\\04");
	CHECK_STR(m.source, "none\\");
}

static void refuses_what_is_no_such_line(void)
{
	struct mountinfo m;

	CHECK(!parse("", &m));
	CHECK(!parse("\n", &m));
	CHECK(!parse("71 25 0:48 / /mnt\n", &m));
	CHECK(!parse("71 25 0:48 / /mnt rw shared:33\n", &m));
	CHECK(!parse("71 25 0:48 / /mnt rw -\n", &m));
	CHECK(!parse("71 25 0:48 / /mnt rw - tmpfs\n", &m));
	CHECK(parse("71 25 0:48 / /mnt rw - tmpfs none\n", &m)); /* no options of its own */
	CHECK(!m.read_only);
}

int main(void)
{
	RUN(a_line_is_taken_apart);
	RUN(there_may_be_no_tags_or_several);
	RUN(either_options_say_that_it_is_read_only);
	RUN(options_are_whole_words);
	RUN(escapes_are_undone);
	RUN(what_is_no_escape_stays);
	RUN(refuses_what_is_no_such_line);
	return unit_done();
}
