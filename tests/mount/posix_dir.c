/* SPDX-License-Identifier: BSD-2-Clause */
/* Listings of directories that change, link counts, the filesystem's limits, what it has not.
 */
#include "posix.h"

#include <dirent.h>
#include <sys/statvfs.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { ENTRIES = 300 };

static void name_entry(char name[16], int i)
{
	snprintf(name, 16, "e%03d", i);
}

/* Count in seen[] the entries e000 … that d lists from here on. */
static int count_entries(DIR *d, int seen[ENTRIES])
{
	const struct dirent *e;
	int n = 0;

	memset(seen, 0, ENTRIES * sizeof(*seen));
	while ((e = readdir(d))) {
		if (e->d_name[0] != 'e')
			continue;
		seen[atoi(e->d_name + 1) % ENTRIES]++;
		n++;
	}
	return n;
}

static bool each_once(const int seen[ENTRIES], int from)
{
	for (int i = from; i < ENTRIES; i++) {
		if (seen[i] != 1)
			return false;
	}
	return true;
}

/* "." and ".." first, with the right inodes and types. */
static void check_dots(DIR *d)
{
	const struct dirent *e = readdir(d);

	check(e && strcmp(e->d_name, ".") == 0 && e->d_type == DT_DIR &&
		  e->d_ino == stat_of("dir").st_ino,
	      "\".\" is listed, and is itself");
	e = readdir(d);
	check(e && strcmp(e->d_name, "..") == 0 && e->d_type == DT_DIR, "\"..\" is listed");
}

/* Go back to a remembered place after others were removed and added. */
static void check_seek(DIR *d)
{
	char name[16], first[256] = "";
	int seen[ENTRIES];
	const struct dirent *e;
	long place;

	rewinddir(d);
	for (int i = 0; i < ENTRIES / 2; i++)
		e = readdir(d);
	place = telldir(d);
	e = readdir(d);
	snprintf(first, sizeof(first), "%s", e ? e->d_name : "");
	while (readdir(d))
		;
	for (int i = 0; i < 50; i++) {
		name_entry(name, i);
		need(unlink(name), "unlink");
		name[0] = 'n';
		make(REGULAR, name);
	}
	seekdir(d, place);
	e = readdir(d);
	check(e && strcmp(e->d_name, first) == 0,
	      "seekdir finds its place after others went and came");
	rewinddir(d);
	check(count_entries(d, seen) == ENTRIES - 50 && each_once(seen, 50),
	      "rewinddir lists what is there now, each once");
}

static void check_types(void)
{
	DIR *d;
	const struct dirent *e;
	int right = 0;

	need(mkdir("types", 0755), "mkdir");
	make(REGULAR, "types/0");
	make(DIRECTORY, "types/1");
	make(SYMLINK, "types/2");
	d = opendir("types");
	while (d && (e = readdir(d))) {
		static const unsigned char types[KINDS] = {DT_REG, DT_DIR, DT_LNK};
		char path[300];

		snprintf(path, sizeof(path), "types/%s", e->d_name);
		if (e->d_name[0] != '.' && e->d_type == types[e->d_name[0] - '0'] &&
		    e->d_ino == stat_of(path).st_ino)
			right++;
	}
	check(right == KINDS, "types and inodes of a listing are those of its entries");
	closedir(d);
}

void listings(void)
{
	int seen[ENTRIES];
	char name[16];
	DIR *d;

	need(mkdir("dir", 0755), "mkdir");
	need(chdir("dir"), "chdir");
	for (int i = 0; i < ENTRIES; i++) {
		name_entry(name, i);
		make(REGULAR, name);
	}
	need(chdir(".."), "chdir");
	d = opendir("dir");
	if (!d)
		need(-1, "dir");
	check_dots(d);
	check(count_entries(d, seen) == ENTRIES && each_once(seen, 0),
	      "each entry is listed once");
	need(chdir("dir"), "chdir");
	check_seek(d);
	rewinddir(d);
	for (int i = 50; i < 150 && readdir(d); i++) {
		name_entry(name, i);
		need(unlink(name), "unlink");
		name[0] = 'm';
		need(makes(name, 0644), name);
	}
	count_entries(d, seen);
	check(each_once(seen, 150), "what stays is listed once while others go and come");
	closedir(d);
	need(chdir(".."), "chdir");
	check_types();
	make(REGULAR, "file");
	EXPECT(ENOTDIR, opendir("file") ? 0 : -1, "opendir of a file");
}

void link_counts(void)
{
	make(REGULAR, "file");
	make(SYMLINK, "link");
	need(mkdir("dir", 0755), "mkdir");
	check(stat_of("file").st_nlink == 1 && stat_of("link").st_nlink == 1,
	      "files and links have one");
	check(stat_of("dir").st_nlink == 2, "an empty directory has two");
	need(mkdir("dir/a", 0755), "mkdir");
	need(mkdir("dir/b", 0755), "mkdir");
	make(REGULAR, "dir/c");
	check(stat_of("dir").st_nlink == 4, "and one for each directory in it");
	need(rename("dir/a", "a"), "rename");
	check(stat_of("dir").st_nlink == 3, "one that moves out takes it along");
	check(stat_of("a/..").st_ino == stat_of(".").st_ino, "… its \"..\" follows");
	need(rename("a", "dir/b/a"), "rename");
	check(stat_of("dir/b").st_nlink == 3, "… to where it moves");
	check(stat_of("dir/b/a/..").st_ino == stat_of("dir/b").st_ino, "… its \"..\" follows");
	need(rmdir("dir/b/a"), "rmdir");
	need(mkdir("over", 0755), "mkdir");
	need(rename("over", "dir/b"), "rename");
	check(stat_of("dir").st_nlink == 3, "replacing one changes nothing");
	need(rmdir("dir/b"), "rmdir");
	check(stat_of("dir").st_nlink == 2, "with the last it has two again");
}

void statfs_values(void)
{
	struct statvfs v;

	EXPECT(0, statvfs(".", &v), "statvfs");
	check(v.f_namemax == 233, "names have 233 bytes");
	check(v.f_bsize >= 512 && v.f_blocks > 0 && v.f_bfree <= v.f_blocks &&
		  v.f_bavail <= v.f_bfree,
	      "its blocks are sane");
	check(v.f_flag & ST_NOSUID, "it is nosuid");
	check(v.f_flag & ST_NODEV, "… and nodev");
	check(pathconf(".", _PC_NAME_MAX) == 233 && pathconf(".", _PC_PATH_MAX) == 4096,
	      "pathconf says the same");
}

/* What the contract refuses, with the errors that a filesystem without it gives. */
void refused(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "socket"};
	int s = need(socket(AF_UNIX, SOCK_STREAM, 0), "socket");

	make(REGULAR, "file");
	EXPECT(EPERM, link("file", "link"), "a hard link");
	EXPECT(EPERM, mkfifo("fifo", 0644), "a FIFO");
	EXPECT(EPERM, mknod("node", S_IFCHR | 0644, 0x103), "a character device");
	EXPECT(EPERM, mknod("node", S_IFBLK | 0644, 0x103), "a block device");
	EXPECT(EPERM, bind(s, (struct sockaddr *)&at, sizeof(at)), "a socket");
	close(s);
	EXPECT(EEXIST, link("file", "file"), "a hard link to what is there");
	EXPECT(ENOENT, link("none", "link"), "a hard link to nothing");
	EXPECT(EPERM, link(".", "link"), "a hard link to a directory");
	EXPECT(EEXIST, mkfifo("file", 0644), "a FIFO where a file is");
	for (int i = 0; i < 5; i++) {
		static const char *const names[] = {"link", "fifo", "node", "socket",
						    "file.notepack.gz"};

		EXPECT(ENOENT, access(names[i], F_OK), "nothing is left of %s", names[i]);
	}
}
