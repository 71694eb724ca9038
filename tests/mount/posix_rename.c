/* SPDX-License-Identifier: BSD-2-Clause */
/* Renaming: what it moves, what it replaces, and each way in which it fails. */
#include "posix.h"

static int swap(const char *a, const char *b)
{
	return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}

static int move_only(const char *a, const char *b)
{
	return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_NOREPLACE);
}

static ino_t ino_of(const char *path)
{
	return stat_of(path).st_ino;
}

static void replaces(enum kind from, enum kind to)
{
	ino_t ino;

	make(from, "from");
	make(to, "to");
	ino = ino_of("from");
	EXPECT(EEXIST, move_only("from", "to"), "RENAME_NOREPLACE of %s over %s",
	       kind_name[from], kind_name[to]);
	if (from != DIRECTORY && to == DIRECTORY) {
		EXPECT(EISDIR, rename("from", "to"), "%s over %s", kind_name[from],
		       kind_name[to]);
	} else if (from == DIRECTORY && to != DIRECTORY) {
		EXPECT(ENOTDIR, rename("from", "to"), "%s over %s", kind_name[from],
		       kind_name[to]);
	} else {
		EXPECT(0, rename("from", "to"), "%s over %s", kind_name[from], kind_name[to]);
		check(ino_of("to") == ino && access("from", F_OK) != 0, "… replaces it");
		need(removes(from, "to"), "remove");
		return;
	}
	check(ino_of("from") == ino && ino_of("to") != 0, "… changes nothing");
	EXPECT(0, swap("from", "to"), "%s and %s are exchanged", kind_name[from],
	       kind_name[to]);
	check(ino_of("to") == ino, "… so that each has the other's name");
	need(removes(from, "to"), "remove");
	need(removes(to, "from"), "remove");
}

void renames(void)
{
	for (enum kind from = 0; from < KINDS; from++) {
		for (enum kind to = 0; to < KINDS; to++)
			replaces(from, to);
	}
	make(REGULAR, "same");
	EXPECT(0, rename("same", "same"), "a name to itself");
	EXPECT(EEXIST, move_only("same", "same"), "… not with RENAME_NOREPLACE");
	EXPECT(0, move_only("same", "free"), "RENAME_NOREPLACE to a free name");
	EXPECT(ENOENT, swap("free", "same"), "RENAME_EXCHANGE with nothing");
	EXPECT(EINVAL,
	       renameat2(AT_FDCWD, "free", AT_FDCWD, "x", RENAME_NOREPLACE | RENAME_EXCHANGE),
	       "both flags");
	EXPECT(EINVAL, renameat2(AT_FDCWD, "free", AT_FDCWD, "x", 1u << 20), "an unknown flag");
	put("content", "text");
	EXPECT(0, rename("content", "free"), "a file with content over an empty one");
	check(holds("free", "text"), "… its content comes along");
	put("second", "other");
	EXPECT(0, swap("free", "second"), "two files with content are exchanged");
	check(holds("free", "other") && holds("second", "text"), "… each with its content");
}

/* POSIX allows EEXIST, too, and XFS gives that. */
static int not_empty(int r)
{
	return r == 0 ? 0 : errno == EEXIST ? ENOTEMPTY : errno;
}

void rename_errors(void)
{
	need(mkdir("dir", 0755), "mkdir");
	need(mkdir("dir/sub", 0755), "mkdir");
	need(mkdir("empty", 0755), "mkdir");
	make(REGULAR, "file");
	EXPECT(EINVAL, rename("dir", "dir/new"), "a directory into itself");
	EXPECT(EINVAL, rename("dir", "dir/sub/new"), "… and into what is beneath it");
	EXPECT(EINVAL, rename("dir", "dir/sub"), "… and onto what is beneath it");
	EXPECT(EINVAL, swap("dir", "dir/sub"), "… nor exchanged with that");
	EXPECT(ENOTEMPTY, rename("dir/sub", "dir"), "a directory onto its parent");
	expect(ENOTEMPTY, not_empty(rename("empty", "dir")),
	       "a directory over one with entries");
	EXPECT(EBUSY, rename("dir/.", "new"), "\".\"");
	EXPECT(EBUSY, rename("dir/..", "new"), "\"..\"");
	EXPECT(EBUSY, rename("empty", "dir/."), "onto \".\"");
	EXPECT(EBUSY, rename("empty", "dir/sub/.."), "onto \"..\"");
	EXPECT(ENOENT, rename("none", "new"), "what is not there");
	EXPECT(ENOENT, rename("file", "none/new"), "into what is not there");
	EXPECT(ENOENT, rename("file", ""), "to no name");
	EXPECT(ENOTDIR, rename("file", "file/new"), "into a file");
	EXPECT(ENOTDIR, rename("file", "new/"), "a file to a directory's name");
	EXPECT(0, rename("empty", "new/"), "a directory to a name with a slash");
	EXPECT(EISDIR, rename("file", "new"), "a file over a directory");
	EXPECT(EXDEV, rename("file", "/proc/new"), "to another filesystem");
	for (enum kind k = 0; k < KINDS; k++) {
		make(k, "new/entry");
		need(mkdir("over", 0755), "mkdir");
		expect(ENOTEMPTY, not_empty(rename("over", "new")),
		       "over a directory with %s in it", kind_name[k]);
		need(rmdir("over"), "rmdir");
		EXPECT(0, removes(k, "new/entry"), "… which is still there");
	}
	EXPECT(0, access("file", F_OK), "after all that the file is there");
	check(stat_of("dir").st_nlink == 3, "… and the directory has its one beneath");
}

/* OWNER moves from/a to to/b; what must become of it follows from who owns what. */
static void sticky_move(enum kind k, const char *what, int want)
{
	ino_t ino = ino_of("from/a");

	EXPECT_AS(OWNER, want, rename("from/a", "to/b"), "%s: %s", kind_name[k], what);
	check(ino_of(want ? "from/a" : "to/b") == ino, "… so it %s", want ? "stays" : "moves");
	if (access("from/a", F_OK) == 0 || k == SYMLINK)
		(void)removes(k, "from/a");
	(void)removes(k, "to/b");
}

void rename_sticky(void)
{
	static const struct {
		const char *name;
		uid_t dir, entry;
		int want;
	} cases[] = {
	    {"all one's own", 3001, 3001, 0},
	    {"a sticky directory of one's own", 3001, 3002, 0},
	    {"an entry of one's own", 3002, 3001, 0},
	    {"nothing of one's own", 3002, 3002, EPERM},
	    {"all root's", 0, 0, EPERM},
	};

	need(mkdir("from", 0777), "mkdir");
	need(mkdir("to", 0777), "mkdir");
	for (enum kind k = 0; k < KINDS; k++) {
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			int want = cases[i].want;

			need(chown("from", cases[i].dir, 0), "chown");
			need(chmod("from", 01777), "chmod");
			need(chmod("to", 0777), "chmod");
			make_for(k, "from/a", cases[i].entry);
			/* Its ".." changes, so a directory must be writable, too. */
			if (k == DIRECTORY && !want && cases[i].entry != OWNER.uid)
				want = EACCES;
			sticky_move(k, cases[i].name, want);

			need(chmod("from", 0777), "chmod");
			need(chown("to", cases[i].dir, 0), "chown");
			need(chmod("to", 01777), "chmod");
			make_for(k, "from/a", OWNER.uid);
			make_for(k, "to/b", cases[i].entry);
			EXPECT_AS(OWNER, cases[i].want, rename("from/a", "to/b"),
				  "%s replaces in a sticky directory: %s", kind_name[k],
				  cases[i].name);
			EXPECT_AS(OWNER, cases[i].want ? EPERM : ENOENT, swap("from/a", "to/b"),
				  "… or is exchanged");
			(void)removes(k, "from/a");
			need(removes(k, "to/b"), "remove");
		}
	}
}
