/* SPDX-License-Identifier: BSD-2-Clause */
/* Paths: each call with each kind of path that must fail, the longest ones, links, odd bytes.
 */
#include "posix.h"

#include <limits.h>
#include <sys/statvfs.h>

static int call_stat(const char *p)
{
	struct stat st;

	return stat(p, &st);
}

static int call_lstat(const char *p)
{
	struct stat st;

	return lstat(p, &st);
}

static int call_open(const char *p)
{
	return opens(p, O_RDONLY, 0);
}

static int call_create(const char *p)
{
	return opens(p, O_RDWR | O_CREAT, 0644);
}

static int call_mkdir(const char *p)
{
	return mkdir(p, 0755);
}

static int call_mknod(const char *p)
{
	return mknod(p, S_IFREG | 0644, 0);
}

static int call_symlink(const char *p)
{
	return symlink("target", p);
}

static int call_readlink(const char *p)
{
	char target[16];

	return readlink(p, target, sizeof(target)) < 0 ? -1 : 0;
}

static int call_chmod(const char *p)
{
	return chmod(p, 0755);
}

static int call_chown(const char *p)
{
	return chown(p, (uid_t)-1, (gid_t)-1);
}

static int call_truncate(const char *p)
{
	return truncate(p, 1);
}

static int call_utimens(const char *p)
{
	return utimensat(AT_FDCWD, p, NULL, 0);
}

static int call_access(const char *p)
{
	return access(p, F_OK);
}

static int call_statvfs(const char *p)
{
	struct statvfs v;

	return statvfs(p, &v);
}

static int call_rename_from(const char *p)
{
	return rename(p, "renamed");
}

static int call_rename_to(const char *p)
{
	return rename("/proc/self/cwd/source", p);
}

/* FOLLOWS: a link at the end is followed. MAKES: the name need not be there. */
enum { FOLLOWS = 1, MAKES = 2 };

static const struct {
	const char *name;
	int (*call)(const char *);
	int how;
} calls[] = {
    {"stat", call_stat, FOLLOWS},
    {"lstat", call_lstat, 0},
    {"open", call_open, FOLLOWS},
    {"open O_CREAT", call_create, FOLLOWS | MAKES},
    {"mkdir", call_mkdir, MAKES},
    {"mknod", call_mknod, MAKES},
    {"symlink", call_symlink, MAKES},
    {"readlink", call_readlink, 0},
    {"chmod", call_chmod, FOLLOWS},
    {"chown", call_chown, FOLLOWS},
    {"truncate", call_truncate, FOLLOWS},
    {"utimensat", call_utimens, FOLLOWS},
    {"access", call_access, FOLLOWS},
    {"statvfs", call_statvfs, FOLLOWS},
    {"unlink", unlink, 0},
    {"rmdir", rmdir, 0},
    {"rename from", call_rename_from, 0},
    {"rename to", call_rename_to, MAKES},
};
#define CALLS (sizeof(calls) / sizeof(calls[0]))

void path_errors(void)
{
	char too_long[300];

	make(REGULAR, "source");
	make(REGULAR, "file");
	need(symlink("loop2", "loop1"), "symlink");
	need(symlink("loop1", "loop2"), "symlink");
	need(mkdir("shut", 0700), "mkdir");
	make(REGULAR, "shut/file");
	snprintf(too_long, sizeof(too_long), "%s", long_name(pathconf(".", _PC_NAME_MAX) + 1));
	for (size_t i = 0; i < CALLS; i++) {
		const char *name = calls[i].name;
		char deep[sizeof(too_long) + 8];

		EXPECT(ENOTDIR, calls[i].call("file/x"), "%s: a file on the way", name);
		EXPECT(ENOENT, calls[i].call("none/x"), "%s: nothing on the way", name);
		EXPECT(ENOENT, calls[i].call(""), "%s: no path", name);
		EXPECT(ELOOP, calls[i].call("loop1/x"), "%s: links in a circle", name);
		EXPECT(ENAMETOOLONG, calls[i].call(too_long), "%s: a name too long", name);
		snprintf(deep, sizeof(deep), "%s/x", too_long);
		EXPECT(ENAMETOOLONG, calls[i].call(deep), "%s: … on the way", name);
		EXPECT(ENAMETOOLONG, calls[i].call(long_name(PATH_MAX)), "%s: a path too long",
		       name);
		EXPECT_AS(OTHER, EACCES, calls[i].call("shut/file"), "%s: a shut directory",
			  name);
		if (!(calls[i].how & MAKES))
			EXPECT(ENOENT, calls[i].call("none"), "%s: nothing there", name);
		if (calls[i].how & FOLLOWS)
			EXPECT(ELOOP, calls[i].call("loop1"), "%s: a circle at the end", name);
	}
	for (enum kind k = 0; k < KINDS; k++) {
		make(k, "there");
		EXPECT(EEXIST, mkdir("there", 0755), "mkdir where %s is", kind_name[k]);
		EXPECT(EEXIST, symlink("x", "there"), "symlink where %s is", kind_name[k]);
		EXPECT(EEXIST, makes("there", 0644), "O_EXCL where %s is", kind_name[k]);
		EXPECT(EEXIST, call_mknod("there"), "mknod where %s is", kind_name[k]);
		if (k != DIRECTORY)
			EXPECT(ENOTDIR, rmdir("there"), "rmdir of %s", kind_name[k]);
		else
			EXPECT(EISDIR, unlink("there"), "unlink of %s", kind_name[k]);
		need(removes(k, "there"), "remove");
	}
	need(mkdir("full", 0755), "mkdir");
	make(REGULAR, "full/file");
	EXPECT(ENOTEMPTY, rmdir("full"), "rmdir of a directory with a file");
	EXPECT(EINVAL, rmdir("full/."), "rmdir of \".\"");
	EXPECT(ENOTEMPTY, rmdir("full/.."), "rmdir of \"..\"");
}

/* A tree of directories so deep that dir/name is a path of PATH_MAX - 1 bytes. */
static void longest_path(char path[PATH_MAX])
{
	size_t len = 0;
	int back = need(open(".", O_RDONLY | O_DIRECTORY), ".");

	while (len + 201 + 2 < PATH_MAX - 1) {
		need(mkdir(long_name(200), 0755), "mkdir");
		need(chdir(long_name(200)), "chdir");
		len += (size_t)snprintf(path + len, PATH_MAX - len, "%s/", long_name(200));
	}
	snprintf(path + len, PATH_MAX - len, "%s", long_name(PATH_MAX - 1 - len));
	need(fchdir(back), "fchdir");
	close(back);
}

static void deep_tree(void)
{
	enum { DEPTH = 100 };
	int back = need(open(".", O_RDONLY | O_DIRECTORY), ".");
	int made = 0, left = 0;

	for (; made < DEPTH && mkdir("d", 0755) == 0 && chdir("d") == 0; made++)
		put("f", "deep");
	check(made == DEPTH, "%d directories in each other", DEPTH);
	check(holds("f", "deep"), "a file at the bottom");
	for (; left < DEPTH && unlink("f") == 0 && chdir("..") == 0 && rmdir("d") == 0; left++)
		;
	check(left == DEPTH, "removed from the bottom up");
	need(fchdir(back), "fchdir");
	close(back);
}

void long_paths(void)
{
	long most = pathconf(".", _PC_NAME_MAX);
	char path[PATH_MAX];

	for (enum kind k = 0; k < KINDS; k++) {
		make(k, "entry");
		EXPECT(0, rename("entry", long_name((size_t)most)), "%s of the longest name",
		       kind_name[k]);
		EXPECT(ENAMETOOLONG,
		       rename(long_name((size_t)most), long_name((size_t)most + 1)),
		       "%s of one byte more", kind_name[k]);
		EXPECT(0, removes(k, long_name((size_t)most)), "… is removed");
	}
	longest_path(path);
	for (enum kind k = 0; k < KINDS; k++) {
		make(k, path);
		check(stat_of(path).st_ino != 0, "%s at the longest path", kind_name[k]);
		EXPECT(0, rename(path, "short"), "… is renamed from there");
		EXPECT(0, rename("short", path), "… and back");
		EXPECT(0, removes(k, path), "… and removed");
	}
	put(path, "at the end");
	check(holds(path, "at the end"), "it is written and read");
	deep_tree();
}

enum { LONG_TARGET = 1000 }; /* XFS has 1,023 bytes, most others PATH_MAX - 1 */

void links(void)
{
	char target[LONG_TARGET + 1];
	char chain[2][16];

	EXPECT(0, symlink(long_name(LONG_TARGET), "long"), "a long target");
	check(readlink("long", target, sizeof(target)) == LONG_TARGET &&
		  memcmp(target, long_name(LONG_TARGET), LONG_TARGET) == 0,
	      "… is read");
	check(stat_of("long").st_size == LONG_TARGET, "… and its length is the link's size");
	check(readlink("long", target, 5) == 5 && memcmp(target, "nnnnn", 5) == 0,
	      "readlink cuts off what does not fit");
	EXPECT(ENAMETOOLONG, symlink(long_name(PATH_MAX), "longer"), "a target too long");
	EXPECT(ENOENT, symlink("", "none"), "an empty target");
	EXPECT(0, symlink("nowhere\n\xff", "dangling"), "a target that is not there");
	EXPECT(ENOENT, call_stat("dangling"), "… is not found");
	EXPECT(0, call_lstat("dangling"), "… but the link is");
	check(mode_of("dangling") == 0777, "its mode is 0777");
	make(REGULAR, "file");
	need(mkdir("dir", 0755), "mkdir");
	EXPECT(EINVAL, call_readlink("file"), "readlink of a file");
	EXPECT(EINVAL, call_readlink("dir"), "readlink of a directory");
	need(symlink("dir", "to-dir"), "symlink");
	make(REGULAR, "to-dir/file");
	check(stat_of("dir/file").st_ino != 0, "a link on the way is followed");
	EXPECT(ENOTDIR, rmdir("to-dir"), "rmdir does not follow one");
	EXPECT(0, unlink("to-dir"), "unlink removes the link");
	EXPECT(0, call_stat("dir/file"), "… not what it means");
	need(symlink("file", "chain0"), "symlink");
	for (int i = 1; i <= 41; i++) {
		snprintf(chain[0], sizeof(chain[0]), "chain%d", i - 1);
		snprintf(chain[1], sizeof(chain[1]), "chain%d", i);
		need(symlink(chain[0], chain[1]), "symlink");
	}
	EXPECT(0, call_stat("chain39"), "40 links are followed");
	EXPECT(ELOOP, call_stat("chain40"), "41 are not");
	EXPECT(EOPNOTSUPP, fchmodat(AT_FDCWD, "dangling", 0600, AT_SYMLINK_NOFOLLOW),
	       "a link has no mode to set");
}

void strange_names(void)
{
	static const char *const names[] = {
	    "a\nb",	 "tab\t",   "\x01\x02", "\xff\xfe", "\xc3\x28",	 " leading",
	    "trailing ", "-rf",	    "*?[]",	"\\",	    "\"quoted'", "caf\xc3\xa9",
	    "...",	 "a:b,c=d", "%s%n%d",	"$(true)",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		for (enum kind k = 0; k < KINDS; k++) {
			make(k, names[i]);
			check(stat_of(names[i]).st_ino != 0, "%s of odd name %zu", kind_name[k],
			      i);
			EXPECT(0, removes(k, names[i]), "… is removed");
		}
		put(names[i], "odd");
		check(holds(names[i], "odd"), "odd name %zu is written and read", i);
	}
	for (enum kind k = 0; k < KINDS; k++) {
		char name[256];

		snprintf(name, sizeof(name), ".%s", long_name(254));
		make(k, name);
		EXPECT(0, removes(k, name), "%s of an excluded name of 255 bytes",
		       kind_name[k]);
	}
	EXPECT(ENAMETOOLONG, makes(long_name(256), 0644), "256 bytes are too many for any");
}
