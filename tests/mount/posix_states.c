/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The same rules for files that are sealed: posix.sh makes and seals "a", "b", … in sealed/,
 * beside the directory of this group, with the content "sealed" and a newline. removed_sealed
 * is for a mount with allow_delete.
 */
#include "posix.h"

#define FILE_ "../sealed/a"
#define OBJECT FILE_ ".notepack.gz"

/* What a call did to the other names of a file, the kernel is told at once, but not before the
 * call returns. */
#define CHECK_SOON(condition, ...)                                                             \
	do {                                                                                   \
		for (int i_ = 0; i_ < 5000 && !(condition); i_++)                              \
			tick();                                                                \
		check((condition), __VA_ARGS__);                                               \
	} while (0)
#define IS_GONE(path) (access((path), F_OK) != 0 && errno == ENOENT)

static void times_of_sealed(void)
{
	const struct timespec past[2] = {{1000, 123456789}, {-5, 987654321}};
	const struct timespec one[2] = {{0, UTIME_OMIT}, {4294967296, 7}};
	const struct timespec access_time[2] = {{77, 7}, {0, UTIME_OMIT}};
	struct stat was = stat_of(FILE_), is;

	tick();
	EXPECT(0, utimensat(AT_FDCWD, FILE_, past, 0), "setting both times");
	is = stat_of(FILE_);
	check(same_time(is.st_mtim, past[1]), "mtime is what was set");
	check(same_time(is.st_atim, past[0]), "atime is what was set");
	check(later(is.st_ctim, was.st_ctim), "ctime is now");
	EXPECT(0, utimensat(AT_FDCWD, FILE_, one, 0), "setting mtime alone");
	is = stat_of(FILE_);
	check(same_time(is.st_mtim, one[1]), "mtime is what was set");
	check(same_time(is.st_atim, past[0]), "… and atime stays");
	EXPECT(0, utimensat(AT_FDCWD, FILE_, access_time, 0), "setting atime alone");
	is = stat_of(FILE_);
	check(same_time(is.st_atim, access_time[0]), "atime is what was set");
	check(same_time(is.st_mtim, one[1]), "… and mtime stays");
	EXPECT_AS(OTHER, EPERM, utimensat(AT_FDCWD, FILE_, past, 0), "times by another");
	EXPECT_AS(OTHER, EACCES, utimensat(AT_FDCWD, FILE_, NULL, 0), "now by another");
	tick();
	EXPECT(0, utimensat(AT_FDCWD, FILE_, NULL, 0), "now");
	is = stat_of(FILE_);
	check(later(is.st_mtim, was.st_ctim) && later(is.st_atim, was.st_ctim), "both are now");
}

static void owner_of_sealed(void)
{
	struct stat was = stat_of(FILE_), is;

	tick();
	EXPECT(0, chown(FILE_, MEMBER.uid, MEMBER.gid), "chown");
	is = stat_of(FILE_);
	check(is.st_uid == MEMBER.uid && is.st_gid == MEMBER.gid, "its owner is another");
	check(later(is.st_ctim, was.st_ctim), "… and its ctime now");
	CHECK_SOON(stat_of(OBJECT).st_uid == MEMBER.uid, "the object follows");
	EXPECT(0, chmod(FILE_, 06755), "set-ID bits");
	check(mode_of(FILE_) == 06755, "… are seen");
	EXPECT_AS(MEMBER, 0, chown(FILE_, (uid_t)-1, PROJECT), "its owner gives it to a group");
	check(mode_of(FILE_) == 0755 && stat_of(FILE_).st_gid == PROJECT,
	      "… which strips them");
	EXPECT(0, chmod(FILE_, 02745), "set-GID without execution");
	EXPECT(0, chown(FILE_, MEMBER.uid, MEMBER.gid), "chown");
	check(mode_of(FILE_) == 02745, "… keeps set-GID");
	EXPECT_AS(MEMBER, EPERM, chown(FILE_, OTHER.uid, (gid_t)-1),
		  "its owner does not give it away");
	EXPECT_AS(OTHER, EPERM, chown(FILE_, OTHER.uid, (gid_t)-1), "no one takes it");
}

static void mode_of_sealed(void)
{
	struct stat was = stat_of(FILE_), is;

	tick();
	EXPECT_AS(MEMBER, 0, chmod(FILE_, 0640), "chmod");
	is = stat_of(FILE_);
	check((is.st_mode & 07777) == 0640, "its mode is what was set");
	check(later(is.st_ctim, was.st_ctim), "… and its ctime now");
	check(same_time(is.st_mtim, was.st_mtim), "… and its mtime stays");
	CHECK_SOON(mode_of(OBJECT) == 0440, "the object's mode follows, without write");
	EXPECT_AS(OTHER, EPERM, chmod(FILE_, 0777), "chmod by another");
	EXPECT_AS(OTHER, EACCES, opens(FILE_, O_RDONLY, 0), "another does not read it");
	EXPECT_AS(OTHER, EACCES, opens(OBJECT, O_RDONLY, 0), "… nor its object");
	EXPECT_AS(MEMBER, 0, opens(FILE_, O_RDONLY, 0), "its owner does");
	EXPECT_AS(MEMBER, 0, opens(FILE_, O_WRONLY | O_APPEND, 0),
		  "its owner opens it to append");
	EXPECT_AS(OTHER, EACCES, opens(FILE_, O_WRONLY | O_APPEND, 0), "another does not");
	EXPECT(0, chmod(FILE_, 0), "mode 0");
	EXPECT_AS(MEMBER, EACCES, opens(FILE_, O_RDONLY, 0), "… is not read by its owner");
	check(holds(FILE_, "sealed\n"), "… but by root");
	EXPECT(0, chmod(FILE_, 0644), "chmod");
}

static void bytes_of_sealed(void)
{
	struct stat was = stat_of(FILE_);
	int fd;

	EXPECT(EPERM, truncate(FILE_, 0), "truncate");
	EXPECT(EPERM, opens(FILE_, O_WRONLY | O_TRUNC, 0), "O_TRUNC");
	EXPECT(EPERM, opens(OBJECT, O_RDWR, 0), "opening an object for writing");
	EXPECT(EPERM, truncate(OBJECT, 0), "truncating an object");
	EXPECT(0, chmod(OBJECT, 0644), "an object's mode, which is the file's");
	EXPECT(EPERM, unlink(FILE_), "unlink");
	EXPECT(EPERM, unlink(OBJECT), "unlink of an object");
	make(REGULAR, "over");
	EXPECT(EPERM, rename("over", FILE_), "renaming over it");
	fd = need(open(FILE_, O_RDWR), FILE_);
	EXPECT(EPERM, pwrite(fd, "x", 1, 0), "a write into it");
	EXPECT(EPERM, ftruncate(fd, 3), "ftruncate");
	EXPECT(EPERM, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 3),
	       "a hole in it");
	close(fd);
	check(holds(FILE_, "sealed\n"), "it is what it was");
	check(same_time(stat_of(FILE_).st_mtim, was.st_mtim), "… and as old");
}

void sealed_states(void)
{
	struct stat st = stat_of(FILE_), object = stat_of(OBJECT);

	check(st.st_size == 7 && holds(FILE_, "sealed\n"), "it reads");
	check(st.st_nlink == 1 && object.st_nlink == 1, "it and its object have one link");
	check(st.st_ino != object.st_ino, "… and inodes of their own");
	check(st.st_blocks == object.st_blocks && st.st_blocks > 0,
	      "it occupies what its object does");
	times_of_sealed();
	owner_of_sealed();
	mode_of_sealed();
	bytes_of_sealed();
	EXPECT(0, rename(FILE_, "../sealed/renamed"), "it is renamed");
	check(stat_of("../sealed/renamed").st_ino == st.st_ino, "… and is the same");
	check(stat_of("../sealed/renamed.notepack.gz").st_ino == object.st_ino,
	      "… its object, too");
	EXPECT(0, rename("../sealed/renamed", FILE_), "… and back");
}

/* Both descriptors go on reading; the name is gone, or another file's. The kernel learns of the
 * one by whose name it was asked (by) that it has no link. */
static void check_removed(int plain, int object, int by, const char *how)
{
	char there[16];
	struct stat st;

	check(fstat(by, &st) == 0 && st.st_nlink == 0, "%s: it has no link", how);
	check(fstat(plain, &st) == 0 && st.st_size == 7 && S_ISREG(st.st_mode),
	      "%s: it is a file of its size", how);
	check(pread(plain, there, sizeof(there), 0) == 7 && memcmp(there, "sealed\n", 7) == 0,
	      "%s: it is read on", how);
	check(pread(object, there, 2, 0) == 2 && memcmp(there, "\x1f\x8b", 2) == 0,
	      "%s: its object is read on", how);
	close(plain);
	close(object);
}

void removed_sealed(void)
{
	int plain = need(open("../sealed/a", O_RDONLY), "a");
	int object = need(open("../sealed/a.notepack.gz", O_RDONLY), "a's object");
	struct stat was = stat_of("../sealed");

	tick();
	EXPECT_AS(OTHER, EACCES, unlink("../sealed/a"), "unlink by another");
	EXPECT(0, unlink("../sealed/a"), "unlink");
	EXPECT(ENOENT, access("../sealed/a", F_OK), "its name is gone");
	CHECK_SOON(IS_GONE("../sealed/a.notepack.gz"), "… and its object's");
	check(later(stat_of("../sealed").st_mtim, was.st_mtim), "the directory has changed");
	check_removed(plain, object, plain, "unlinked");

	plain = need(open("../sealed/b", O_RDONLY), "b");
	object = need(open("../sealed/b.notepack.gz", O_RDONLY), "b's object");
	put("new", "other");
	EXPECT(0, rename("new", "../sealed/b"), "renaming over a sealed file");
	check(holds("../sealed/b", "other"), "the name is the new file's");
	CHECK_SOON(IS_GONE("../sealed/b.notepack.gz"), "the object is gone");
	check_removed(plain, object, plain, "replaced");

	plain = need(open("../sealed/c", O_RDONLY), "c");
	object = need(open("../sealed/c.notepack.gz", O_RDONLY), "c's object");
	EXPECT(0, unlink("../sealed/c.notepack.gz"), "unlink of an object");
	CHECK_SOON(IS_GONE("../sealed/c"), "its file is gone");
	check_removed(plain, object, object, "unlinked by its object");
	EXPECT(0, unlink("../sealed/b"), "the new file is removed");
	EXPECT(0, rmdir("../sealed"), "and the directory is empty");
}
