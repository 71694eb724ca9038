/* SPDX-License-Identifier: BSD-2-Clause */
/* What sets which time, and who may set them. */
#include "posix.h"

#include <time.h>

/* After a change of path: which of its times are later than they were? */
static void check_times(const char *path, struct stat was, bool mtime, bool ctime,
			const char *what)
{
	struct stat is = stat_of(path);

	check(later(is.st_mtim, was.st_mtim) == mtime, "%s %s mtime", what,
	      mtime ? "sets" : "leaves");
	check(later(is.st_ctim, was.st_ctim) == ctime, "%s %s ctime", what,
	      ctime ? "sets" : "leaves");
	check(!later(was.st_mtim, is.st_mtim) && !later(was.st_ctim, is.st_ctim),
	      "%s sets no time back", what);
}

#define CHANGES(mtime, ctime, call, what)                                                      \
	do {                                                                                   \
		struct stat was_ = stat_of("file");                                            \
		tick();                                                                        \
		EXPECT(0, (long)(call) < 0 ? -1 : 0, what);                                    \
		check_times("file", was_, mtime, ctime, what);                                 \
	} while (0)

static void times_of_descriptor(void)
{
	int fd = need(open("file", O_RDWR), "file");
	char c;

	CHANGES(true, true, write(fd, "bytes", 5), "write");
	CHANGES(true, true, pwrite(fd, "b", 1, 100), "pwrite");
	CHANGES(true, true, ftruncate(fd, 10), "ftruncate");
	CHANGES(true, true, ftruncate(fd, 10), "ftruncate to the same size");
	CHANGES(true, true, fallocate(fd, 0, 0, 100), "fallocate");
	CHANGES(false, false, write(fd, "", 0), "a write of nothing");
	CHANGES(false, false, pread(fd, &c, 1, 0), "read");
	CHANGES(false, false, fsync(fd), "fsync");
	CHANGES(false, true, fchmod(fd, 0640), "fchmod");
	CHANGES(false, true, fchown(fd, OWNER.uid, OWNER.gid), "fchown");
	CHANGES(false, false, close(fd), "close");
}

void times_of_calls(void)
{
	struct timespec before;
	struct stat st;

	clock_gettime(CLOCK_REALTIME, &before);
	tick();
	make(REGULAR, "file");
	st = stat_of("file");
	check(later(st.st_atim, before) && later(st.st_mtim, before) &&
		  later(st.st_ctim, before),
	      "creating sets all three times");
	times_of_descriptor();
	CHANGES(true, true, truncate("file", 20), "truncate");
	CHANGES(true, true, opens("file", O_WRONLY | O_TRUNC, 0), "O_TRUNC");
	CHANGES(false, false, opens("file", O_RDWR, 0), "opening");
	CHANGES(false, false, opens("file", O_RDWR | O_CREAT, 0644),
		"O_CREAT of what is there");
	CHANGES(false, false, access("file", R_OK), "access");
	CHANGES(false, true, chmod("file", 0600), "chmod");
	CHANGES(false, true, chown("file", 0, 0), "chown");
	st = stat_of("file");
	tick();
	EXPECT_AS(OTHER, EPERM, chmod("file", 0777), "a refused chmod");
	EXPECT_AS(OTHER, EPERM, chown("file", 1, 1), "a refused chown");
	EXPECT_AS(OTHER, EACCES, truncate("file", 1), "a refused truncate");
	EXPECT_AS(OTHER, EACCES, opens("file", O_WRONLY | O_TRUNC, 0), "a refused O_TRUNC");
	check_times("file", st, false, false, "what is refused");
	need(mkdir("shut", 0755), "mkdir");
	make(REGULAR, "shut/file");
	st = stat_of("shut/file");
	tick();
	EXPECT_AS(OTHER, EACCES, unlink("shut/file"), "a refused unlink");
	EXPECT_AS(OTHER, EACCES, rename("shut/file", "shut/other"), "a refused rename");
	check_times("shut/file", st, false, false, "what its directory refuses");
}

/* ---- directories ---- */

#define IN_DIR(call, what)                                                                     \
	do {                                                                                   \
		struct stat was_ = stat_of("dir");                                             \
		tick();                                                                        \
		EXPECT(0, call, what);                                                         \
		check_times("dir", was_, true, true, what " in a directory");                  \
	} while (0)

void times_of_parents(void)
{
	struct stat was;

	need(mkdir("dir", 0777), "mkdir");
	IN_DIR(makes("dir/file", 0644), "creating");
	IN_DIR(mknod("dir/node", S_IFREG | 0644, 0), "mknod");
	IN_DIR(mkdir("dir/dir", 0755), "mkdir");
	IN_DIR(symlink("x", "dir/link"), "symlink");
	IN_DIR(rename("dir/file", "dir/other"), "renaming");
	IN_DIR(rename("dir/other", "moved"), "moving out");
	IN_DIR(rename("moved", "dir/file"), "moving in");
	IN_DIR(rename("dir/dir", "moved"), "moving a directory out");
	IN_DIR(rename("moved", "dir/dir"), "moving a directory in");
	IN_DIR(rename("dir/node", "dir/file"), "replacing");
	IN_DIR(rmdir("dir/dir"), "rmdir");
	IN_DIR(unlink("dir/link"), "removing a link");
	was = stat_of("dir");
	tick();
	put("dir/file", "text");
	EXPECT(0, chmod("dir/file", 0600), "chmod");
	EXPECT(EEXIST, mkdir("dir/file", 0755), "mkdir of what is there");
	EXPECT(ENOENT, unlink("dir/none"), "unlink of what is not");
	check_times("dir", was, false, false, "a change of a file");
	IN_DIR(unlink("dir/file"), "unlink");
	was = stat_of("dir");
	tick();
	EXPECT(0, chmod("dir", 0700), "chmod of a directory");
	check_times("dir", was, false, true, "chmod of a directory");
}

void rename_times(void)
{
	for (enum kind k = 0; k < KINDS; k++) {
		struct stat was, is;

		make(k, "from");
		was = stat_of("from");
		tick();
		EXPECT(0, rename("from", "to"), "renaming %s", kind_name[k]);
		is = stat_of("to");
		check(is.st_ino == was.st_ino && is.st_mode == was.st_mode &&
			  is.st_nlink == was.st_nlink && is.st_size == was.st_size,
		      "%s stays what it was", kind_name[k]);
		check(later(is.st_ctim, was.st_ctim), "%s has a later ctime", kind_name[k]);
		check(same_time(is.st_mtim, was.st_mtim) && same_time(is.st_atim, was.st_atim),
		      "%s keeps its other times", kind_name[k]);
		need(removes(k, "to"), "remove");
	}
}

/* ---- utimensat ---- */

static int set_times(const char *path, struct timespec atime, struct timespec mtime)
{
	const struct timespec times[2] = {atime, mtime};

	return utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
}

static const struct timespec NOW = {0, UTIME_NOW}, OMIT = {0, UTIME_OMIT};

static void check_set(const char *path, struct timespec atime, struct timespec mtime,
		      const char *what)
{
	struct stat st;

	EXPECT(0, set_times(path, atime, mtime), "setting %s", what);
	st = stat_of(path);
	check(same_time(st.st_atim, atime), "atime is %s", what);
	check(same_time(st.st_mtim, mtime), "mtime is %s", what);
}

static void set_now(const char *path)
{
	struct timespec before, old = {1000, 1};
	struct stat st;

	clock_gettime(CLOCK_REALTIME, &before);
	tick();
	need(set_times(path, old, old), "utimensat");
	EXPECT(0, set_times(path, NOW, OMIT), "atime now");
	st = stat_of(path);
	check(later(st.st_atim, before) && same_time(st.st_mtim, old), "… and mtime stays");
	need(set_times(path, old, old), "utimensat");
	EXPECT(0, set_times(path, OMIT, NOW), "mtime now");
	st = stat_of(path);
	check(later(st.st_mtim, before) && same_time(st.st_atim, old), "… and atime stays");
	EXPECT(0, utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW), "both now");
	st = stat_of(path);
	check(later(st.st_mtim, before) && later(st.st_atim, before), "… and both are");
}

void times_set(void)
{
	const struct timespec bad = {0, 1000000000};

	for (enum kind k = 0; k < KINDS; k++) {
		struct stat was;

		make(k, "entry");
		check_set("entry", (struct timespec){1900000000, 123456789},
			  (struct timespec){1950000000, 987654321}, "nanoseconds");
		check_set("entry", (struct timespec){2147483648, 1},
			  (struct timespec){4294967296, 2}, "behind 2038");
		check_set("entry", (struct timespec){0, 0}, (struct timespec){0, 1}, "1970");
		check_set("entry", (struct timespec){-1, 999999999},
			  (struct timespec){-1000000000, 1}, "before 1970");
		was = stat_of("entry");
		tick();
		EXPECT(0, set_times("entry", OMIT, OMIT), "%s: nothing", kind_name[k]);
		check(same_time(stat_of("entry").st_ctim, was.st_ctim) &&
			  same_time(stat_of("entry").st_mtim, was.st_mtim),
		      "… and nothing changes");
		EXPECT(0, set_times("entry", (struct timespec){5, 5}, OMIT), "%s: atime",
		       kind_name[k]);
		check(later(stat_of("entry").st_ctim, was.st_ctim), "… and ctime is now");
		EXPECT(EINVAL, set_times("entry", bad, OMIT), "too many nanoseconds");
		set_now("entry");
		need(removes(k, "entry"), "remove");
	}
}

void times_rights(void)
{
	const struct timespec old = {1000, 1};

	for (enum kind k = REGULAR; k <= DIRECTORY; k++) {
		make_for(k, "entry", 0);
		need(chmod("entry", 0755), "chmod");
		EXPECT_AS(OTHER, EPERM, set_times("entry", old, old), "%s: times by another",
			  kind_name[k]);
		EXPECT_AS(OTHER, EPERM, set_times("entry", OMIT, old), "… one of them");
		EXPECT_AS(OTHER, EPERM, set_times("entry", NOW, OMIT), "… one of them now");
		EXPECT_AS(OTHER, EACCES, set_times("entry", NOW, NOW), "… both now");
		EXPECT_AS(OTHER, 0, set_times("entry", OMIT, OMIT), "… none");
		need(chmod("entry", 0777), "chmod");
		EXPECT_AS(OTHER, 0, set_times("entry", NOW, NOW),
			  "both now by who may write it");
		EXPECT_AS(OTHER, EPERM, set_times("entry", old, old), "… but no other time");
		EXPECT_AS(OTHER, EPERM, set_times("entry", OMIT, NOW), "… nor one of them");
		need(chown("entry", OWNER.uid, OWNER.gid), "chown");
		need(chmod("entry", 0444), "chmod");
		EXPECT_AS(OWNER, 0, set_times("entry", old, old), "its owner sets any time");
		EXPECT_AS(OWNER, 0, set_times("entry", NOW, NOW), "… and now");
		EXPECT_AS(OWNER, 0, set_times("entry", OMIT, NOW), "… and one of them");
		need(removes(k, "entry"), "remove");
	}
}
