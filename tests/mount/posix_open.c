/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening, truncating, and files and directories that are open when they lose their name. */
#include "posix.h"

#include <dirent.h>
#include <limits.h>

static void flags_of_files(void)
{
	static const struct {
		int flag;
		const char *name;
	} taken[] = {{O_APPEND, "O_APPEND"},	{O_SYNC, "O_SYNC"},
		     {O_DSYNC, "O_DSYNC"},	{O_DIRECT, "O_DIRECT"},
		     {O_NOATIME, "O_NOATIME"},	{O_NONBLOCK, "O_NONBLOCK"},
		     {O_NOFOLLOW, "O_NOFOLLOW"}};

	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		int fd = open("file", O_RDWR | taken[i].flag);

		check(fd >= 0 && (fcntl(fd, F_GETFL) & taken[i].flag) == taken[i].flag,
		      "%s is taken and kept", taken[i].name);
		close(fd);
	}
	EXPECT(0, opens("file", O_PATH, 0), "O_PATH");
	EXPECT_AS(OTHER, EPERM, opens("file", O_RDONLY | O_NOATIME, 0),
		  "O_NOATIME is not for others");
	EXPECT(ENOTDIR, opens("file", O_RDONLY | O_DIRECTORY, 0), "O_DIRECTORY of a file");
	EXPECT(EEXIST, opens("file", O_RDWR | O_CREAT | O_EXCL, 0644), "O_EXCL of a file");
	EXPECT(EOPNOTSUPP, opens(".", O_RDWR | O_TMPFILE, 0644), "O_TMPFILE");
}

void open_flags(void)
{
	static const int writing[] = {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_WRONLY | O_TRUNC,
				      O_RDONLY | O_CREAT};
	char c;
	int fd;

	make(REGULAR, "file");
	flags_of_files();
	for (size_t i = 0; i < sizeof(writing) / sizeof(writing[0]); i++)
		EXPECT(EISDIR, opens(".", writing[i], 0644), "flags %#x of a directory",
		       (unsigned)writing[i]);
	need(symlink("none", "link"), "symlink");
	EXPECT(ELOOP, opens("link", O_RDONLY | O_NOFOLLOW, 0), "O_NOFOLLOW of a link");
	EXPECT(EEXIST, opens("link", O_RDWR | O_CREAT | O_EXCL, 0644), "O_EXCL of a link");
	EXPECT(ELOOP, opens("link", O_RDWR | O_CREAT | O_NOFOLLOW, 0644),
	       "O_CREAT | O_NOFOLLOW of a link");
	EXPECT(ENOENT, opens("link", O_RDONLY, 0), "a dangling link");
	EXPECT(0, opens("link", O_PATH | O_NOFOLLOW, 0), "O_PATH | O_NOFOLLOW of it");
	EXPECT(0, opens("link", O_RDWR | O_CREAT, 0644), "O_CREAT through it");
	check(stat_of("none").st_ino != 0, "… makes what it means");

	fd = need(open("file", O_WRONLY), "file");
	EXPECT(EBADF, read(fd, &c, 1), "read of what is open for writing");
	close(fd);
	fd = need(open("file", O_RDONLY), "file");
	EXPECT(EBADF, write(fd, "x", 1), "write of what is open for reading");
	EXPECT(EINVAL, ftruncate(fd, 0), "ftruncate of it");
	EXPECT(EBADF, fallocate(fd, 0, 0, 1), "fallocate of it");
	close(fd);
	fd = need(open(".", O_RDONLY), ".");
	EXPECT(EISDIR, read(fd, &c, 1), "read of a directory");
	EXPECT(EINVAL, ftruncate(fd, 0), "ftruncate of a directory");
	close(fd);
	fd = need(open("file", O_PATH), "file");
	EXPECT(EBADF, read(fd, &c, 1), "read of O_PATH");
	EXPECT(EBADF, fchmod(fd, 0600), "fchmod of O_PATH");
	close(fd);
	EXPECT(0, opens("file", O_WRONLY | O_TRUNC, 0), "O_TRUNC of an empty file");
	put("file", "text");
	EXPECT(0, opens("file", O_RDONLY | O_TRUNC, 0), "O_RDONLY | O_TRUNC");
	check(stat_of("file").st_size == 0, "… empties it");
}

static void truncate_to(off_t size, const char *want_text)
{
	int fd = need(open("file", O_RDWR), "file");

	EXPECT(0, ftruncate(fd, size), "ftruncate to %lld", (long long)size);
	check(stat_of("file").st_size == size, "… is its size");
	close(fd);
	if (want_text)
		check(holds("file", want_text), "… and its content as long");
	EXPECT(0, truncate("file", size + 1), "truncate to a byte more");
	check(stat_of("file").st_size == size + 1, "… is its size");
}

void truncation(void)
{
	char there[8] = "xxxxxxx";
	int fd;

	put("file", "0123456789");
	truncate_to(1234567, NULL);
	fd = need(open("file", O_RDONLY), "file");
	check(pread(fd, there, 2, 1234566) == 2 && !there[0] && !there[1],
	      "new bytes are zeros");
	close(fd);
	truncate_to(5, "01234");
	fd = need(open("file", O_RDONLY), "file");
	check(pread(fd, there, 8, 0) == 6 && memcmp(there, "01234\0", 6) == 0,
	      "what was cut off is zeros when it comes back");
	close(fd);
	truncate_to(0, "");
	truncate_to((off_t)5 << 30, NULL);
	EXPECT(EINVAL, truncate("file", -1), "a negative size");
	EXPECT(EINVAL, truncate("file", LLONG_MIN), "the most negative one");
	check(stat_of("file").st_size == ((off_t)5 << 30) + 1, "… changes nothing");
	need(truncate("file", 7), "truncate");
	/* ext4 has no file of this size, XFS has. */
	if (truncate("file", LLONG_MAX) == 0)
		check(stat_of("file").st_size == LLONG_MAX, "the largest size there is");
	else
		check(errno == EFBIG && stat_of("file").st_size == 7,
		      "the largest size there is: EFBIG, and nothing changes");
	EXPECT(EISDIR, truncate(".", 0), "a directory");
	EXPECT_AS(OTHER, EACCES, truncate("file", 0), "another's file");
	need(chmod("file", 0666), "chmod");
	EXPECT_AS(OTHER, 0, truncate("file", 3), "another's file that all may write");
	need(symlink("file", "link"), "symlink");
	EXPECT(0, truncate("link", 1), "through a link");
	check(stat_of("file").st_size == 1 && stat_of("link").st_size == 4,
	      "… truncates what it means");
}

static void use_unlinked(int fd, const char *how)
{
	char there[16];
	struct stat st;

	check(fstat(fd, &st) == 0 && st.st_nlink == 0, "%s: it has no link", how);
	check(write(fd, "Hello", 5) == 5, "%s: it is written", how);
	check(pread(fd, there, sizeof(there), 0) == 5 && memcmp(there, "Hello", 5) == 0,
	      "%s: it is read", how);
	EXPECT(0, ftruncate(fd, 3), "%s: it is truncated", how);
	EXPECT(0, fchmod(fd, 0601), "%s: its mode is set", how);
	EXPECT(0, fchown(fd, 7, 8), "%s: its owner is set", how);
	EXPECT(0, futimens(fd, (struct timespec[2]){{1, 2}, {3, 4}}), "%s: its times are set",
	       how);
	EXPECT(0, fsync(fd), "%s: it is synced", how);
	check(fstat(fd, &st) == 0 && st.st_size == 3 && (st.st_mode & 07777) == 0601 &&
		  st.st_uid == 7 && st.st_gid == 8 && st.st_mtim.tv_sec == 3,
	      "%s: and all that is seen", how);
	check(close(fd) == 0, "%s: it is closed", how);
}

void unlinked_files(void)
{
	int fd = need(open("file", O_RDWR | O_CREAT, 0644), "file");
	int second;
	ino_t ino = stat_of("file").st_ino;
	struct stat st;

	EXPECT(0, unlink("file"), "unlink of an open file");
	EXPECT(ENOENT, access("file", F_OK), "its name is gone");
	make(REGULAR, "file");
	check(stat_of("file").st_ino != ino, "a new file of that name is another");
	use_unlinked(fd, "unlinked");
	check(stat_of("file").st_size == 0, "the new file has none of it");

	fd = need(open("file", O_RDWR), "file");
	make(REGULAR, "other");
	EXPECT(0, rename("other", "file"), "an open file is replaced");
	use_unlinked(fd, "replaced");

	fd = need(open("file", O_RDWR), "file");
	second = need(open("file", O_RDWR), "file");
	EXPECT(0, rename("file", "renamed"), "an open file is renamed");
	check(write(fd, "text", 4) == 4 && holds("renamed", "text"), "… and written on");
	EXPECT(0, unlink("renamed"), "… and unlinked, open twice");
	close(fd);
	check(fstat(second, &st) == 0 && st.st_nlink == 0 && st.st_size == 4,
	      "… and lives until the last close");
	close(second);
	need(symlink("x", "link"), "symlink");
	fd = need(open("link", O_PATH | O_NOFOLLOW), "link");
	EXPECT(0, unlink("link"), "unlink of an open link");
	check(fstat(fd, &st) == 0 && st.st_nlink == 0 && S_ISLNK(st.st_mode),
	      "… which has no link any more");
	close(fd);
}

void removed_directories(void)
{
	struct stat st;
	DIR *d;
	int fd, count = 0;

	need(mkdir("dir", 0755), "mkdir");
	fd = need(open("dir", O_RDONLY | O_DIRECTORY), "dir");
	EXPECT(0, rmdir("dir"), "rmdir of an open directory");
	check(fstat(fd, &st) == 0 && st.st_nlink == 0, "it has no link");
	EXPECT(ENOENT, openat(fd, "new", O_CREAT | O_RDWR, 0644), "nothing is created in it");
	EXPECT(ENOENT, mkdirat(fd, "new", 0755), "no directory is made in it");
	EXPECT(ENOENT, symlinkat("x", fd, "new"), "no link is made in it");
	make(REGULAR, "file");
	EXPECT(ENOENT, renameat(AT_FDCWD, "file", fd, "file"), "nothing is moved into it");
	EXPECT(0, fchmod(fd, 0700), "its mode is set");
	EXPECT(0, futimens(fd, NULL), "its times are set");
	EXPECT(0, fsync(fd), "it is synced");
	d = fdopendir(fd);
	while (d && readdir(d))
		count++;
	check(d && count == 0, "it lists nothing, not even \".\"");
	closedir(d);
	need(mkdir("dir", 0755), "mkdir");
	need(mkdir("new", 0755), "mkdir");
	fd = need(open("dir", O_RDONLY | O_DIRECTORY), "dir");
	EXPECT(0, rename("new", "dir"), "an open directory is replaced");
	check(fstat(fd, &st) == 0 && st.st_nlink == 0, "… and has no link any more");
	EXPECT(ENOENT, openat(fd, "x", O_CREAT | O_RDWR, 0644), "… and takes no file");
	close(fd);
}
