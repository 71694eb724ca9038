/* SPDX-License-Identifier: BSD-2-Clause */
/* Whose a new file is, who may do what, set-ID and sticky bits. */
#include "posix.h"

static int make_as_is(enum kind k, const char *path)
{
	return k == REGULAR	? makes(path, 0666)
	       : k == DIRECTORY ? mkdir(path, 0777)
				: symlink("target", path);
}

void owners(void)
{
	const struct user other_group = {OWNER.uid, OTHER.gid, 0};

	for (enum kind k = 0; k < KINDS; k++) {
		EXPECT_AS(OWNER, 0, make_as_is(k, "new"), "%s is made", kind_name[k]);
		check(stat_of("new").st_uid == OWNER.uid && stat_of("new").st_gid == OWNER.gid,
		      "%s is its creator's", kind_name[k]);
		need(removes(k, "new"), "remove");
		EXPECT_AS(other_group, 0, make_as_is(k, "new"), "%s of another group",
			  kind_name[k]);
		check(stat_of("new").st_gid == OTHER.gid, "%s gets the effective group",
		      kind_name[k]);
		need(removes(k, "new"), "remove");
	}
	EXPECT_AS(OWNER, 0, mknod("new", S_IFREG | 0640, 0), "mknod makes a file");
	check(stat_of("new").st_uid == OWNER.uid && mode_of("new") == 0640,
	      "mknod's file is its creator's");
	EXPECT_AS(OTHER, EPERM, chown("new", OTHER.uid, (gid_t)-1),
		  "another one does not take it");
	EXPECT_AS(OWNER, EPERM, chown("new", OTHER.uid, (gid_t)-1),
		  "its owner does not give it");
	EXPECT_AS(OWNER, EPERM, chown("new", (uid_t)-1, PROJECT),
		  "its owner does not give it to a group of others");
	need(chown("new", MEMBER.uid, MEMBER.gid), "chown");
	EXPECT_AS(MEMBER, 0, chown("new", (uid_t)-1, PROJECT),
		  "its owner gives it to a supplementary group");
	check(stat_of("new").st_gid == PROJECT && stat_of("new").st_uid == MEMBER.uid,
	      "… and stays its owner");
	EXPECT_AS(OTHER, 0, chown("new", (uid_t)-1, (gid_t)-1), "chown of nothing is allowed");
	EXPECT(0, symlink("new", "link"), "a link to it");
	EXPECT(0, lchown("link", OTHER.uid, OTHER.gid), "a link has an owner of its own");
	check(stat_of("link").st_uid == OTHER.uid && stat_of("new").st_uid == MEMBER.uid,
	      "… and chown of the one is not of the other");
}

/* Creates path with mode under the mask. */
static void check_mode(enum kind k, mode_t mode, mode_t mask, unsigned want)
{
	umask(mask);
	need(k == DIRECTORY ? mkdir("new", mode) : makes("new", mode), "create");
	umask(0);
	check(mode_of("new") == want, "%s: mode %04o under umask %04o", kind_name[k],
	      (unsigned)mode, (unsigned)mask);
	need(removes(k, "new"), "remove");
}

/* Write, truncate and read through the descriptor that made the file. */
static int use_created(mode_t mode)
{
	char there[8];
	int fd = open("new", O_RDWR | O_CREAT | O_EXCL, mode);

	if (fd < 0 || write(fd, "hello", 5) != 5 || ftruncate(fd, 3) != 0)
		return -1;
	errno = EIO;
	return pread(fd, there, sizeof(there), 0) == 3 && memcmp(there, "hel", 3) == 0 ? 0 : -1;
}

void modes(void)
{
	static const mode_t closed[] = {0, 0111, 0200, 0400, 0444};

	for (enum kind k = REGULAR; k <= DIRECTORY; k++) {
		check_mode(k, 0755, 0, 0755);
		check_mode(k, 0151, 077, 0100);
		check_mode(k, 0345, 070, 0305);
		check_mode(k, 0345, 0501, 0244);
		check_mode(k, 0, 0, 0);
		check_mode(k, 0777, 0777, 0);
		check_mode(k, 01755, 022, 01755);
	}
	check_mode(REGULAR, 06777, 022, 06755);
	for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
		EXPECT_AS(OWNER, 0, use_created(closed[i]),
			  "a file made with mode %04o is written through its descriptor",
			  (unsigned)closed[i]);
		check(mode_of("new") == closed[i], "… and keeps that mode");
		check(holds("new", "hel"), "… and root reads it");
		EXPECT(0, truncate("new", 1), "… and truncates it");
		need(unlink("new"), "unlink");
	}
	need(makes("new", 0640), "create");
	need(chown("new", OWNER.uid, OWNER.gid), "chown");
	EXPECT_AS(OWNER, 0, chmod("new", 01604), "its owner sets a file's mode");
	check(mode_of("new") == 01604, "… the sticky bit, too");
	EXPECT_AS(OTHER, EPERM, chmod("new", 0777), "another one does not");
	check(mode_of("new") == 01604, "… and changes nothing");
	EXPECT(0, chmod("new", 06755), "root sets set-ID bits");
	check(mode_of("new") == 06755, "… and they are seen");
	EXPECT_AS(OWNER, 0, chmod("new", 02755), "set-GID by a member of the group");
	check(mode_of("new") == 02755, "… stays");
	need(chown("new", OWNER.uid, OTHER.gid), "chown");
	EXPECT_AS(OWNER, 0, chmod("new", 02755), "set-GID by someone outside the group");
	check(mode_of("new") == 0755, "… is dropped");
}

static void check_rights(const struct user *u, unsigned shift, const char *who)
{
	static const struct {
		int flags;
		unsigned need;
		const char *name;
	} ways[] = {{O_RDONLY, 4, "reading"},
		    {O_WRONLY, 2, "writing"},
		    {O_RDWR, 6, "both"},
		    {O_WRONLY | O_TRUNC, 2, "truncating"}};

	for (unsigned bits = 0; bits < 8; bits++) {
		mode_t mode = (0777 & ~(7u << shift)) | bits << shift;

		need(chmod("file", mode), "chmod");
		for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
			EXPECT_AS(*u, (bits & ways[i].need) == ways[i].need ? 0 : EACCES,
				  opens("file", ways[i].flags, 0), "%s opens %04o for %s", who,
				  (unsigned)mode, ways[i].name);
		EXPECT_AS(*u, bits & 2 ? 0 : EACCES, access("file", W_OK),
			  "access W_OK of %s, %04o", who, (unsigned)mode);
		EXPECT_AS(*u, bits & 1 ? 0 : EACCES, access("file", X_OK),
			  "access X_OK of %s, %04o", who, (unsigned)mode);
	}
}

void access_rights(void)
{
	make(REGULAR, "file");
	need(chown("file", OWNER.uid, PROJECT), "chown");
	check_rights(&OWNER, 6, "the owner");
	check_rights(&MEMBER, 3, "a supplementary group");
	check_rights(&OTHER, 0, "another one");
	need(chmod("file", 0), "chmod");
	EXPECT(0, opens("file", O_RDWR, 0), "root opens mode 0");
	EXPECT(EACCES, access("file", X_OK), "root may not execute what no one may");

	need(mkdir("dir", 0770), "mkdir");
	need(chown("dir", OWNER.uid, PROJECT), "chown");
	EXPECT_AS(MEMBER, 0, makes("dir/members", 0644),
		  "a member creates in the group's directory");
	EXPECT_AS(OTHER, EACCES, makes("dir/others", 0644), "another one does not");
	EXPECT_AS(OTHER, EACCES, opens("dir/members", O_RDONLY, 0), "… nor look into it");
	need(chmod("dir", 0750), "chmod");
	EXPECT_AS(MEMBER, 0, opens("dir/members", O_RDWR, 0),
		  "a member opens without write permission on it");
	EXPECT_AS(MEMBER, EACCES, makes("dir/more", 0644), "… but does not create");
	EXPECT_AS(MEMBER, EACCES, mkdir("dir/more", 0755), "… nor make a directory");
	EXPECT_AS(MEMBER, EACCES, symlink("x", "dir/more"), "… nor a link");
	EXPECT_AS(MEMBER, EACCES, unlink("dir/members"), "… nor remove");
	EXPECT_AS(MEMBER, EACCES, rename("dir/members", "dir/more"), "… nor rename");
	need(chmod("dir", 0760), "chmod");
	EXPECT_AS(MEMBER, EACCES, opens("dir/members", O_RDONLY, 0),
		  "nothing in it without search permission");
	EXPECT_AS(MEMBER, 0, opens("dir", O_RDONLY | O_DIRECTORY, 0), "… but it is listed");
}

/* ---- set-ID bits ---- */

static int writes(void)
{
	int fd = open("program", O_WRONLY);

	return fd < 0 ? -1 : (int)write(fd, "x", 1);
}

static int truncates(void)
{
	return truncate("program", 3);
}

static int ftruncates(void)
{
	int fd = open("program", O_RDWR);

	return fd < 0 ? -1 : ftruncate(fd, 3);
}

static int opens_trunc(void)
{
	return opens("program", O_WRONLY | O_TRUNC, 0);
}

static int allocates(void)
{
	int fd = open("program", O_RDWR);

	return fd < 0 ? -1 : fallocate(fd, 0, 0, 100);
}

void set_ids(void)
{
	static const struct {
		const char *name;
		int (*change)(void);
	} changes[] = {{"writing", writes},
		       {"truncating", truncates},
		       {"ftruncate", ftruncates},
		       {"O_TRUNC", opens_trunc},
		       {"fallocate", allocates}};
	static const mode_t bits[] = {04777, 02777, 06777};

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		for (size_t b = 0; b < sizeof(bits) / sizeof(bits[0]); b++) {
			need(makes("program", bits[b]), "create");
			EXPECT_AS(OTHER, 0, changes[i].change(), "%s by another user",
				  changes[i].name);
			check(mode_of("program") == 0777, "%s strips %04o", changes[i].name,
			      (unsigned)bits[b]);
			need(unlink("program"), "unlink");
		}
		need(makes("program", 06777), "create");
		EXPECT(0, changes[i].change() < 0 ? -1 : 0, "%s by root", changes[i].name);
		check(mode_of("program") == 06777, "%s by root keeps set-ID bits",
		      changes[i].name);
		need(unlink("program"), "unlink");
	}
	for (enum kind k = REGULAR; k <= DIRECTORY; k++) {
		unsigned want = k == REGULAR ? 0755 : 06755;

		make_for(k, "program", MEMBER.uid);
		need(chmod("program", 06755), "chmod");
		EXPECT_AS(MEMBER, 0, chown("program", (uid_t)-1, PROJECT),
			  "chown of %s by its owner", kind_name[k]);
		check(mode_of("program") == want, "… strips set-ID bits of files");
		need(chmod("program", 06755), "chmod");
		EXPECT(0, chown("program", 1, 1), "chown of %s by root", kind_name[k]);
		check(mode_of("program") == want, "… strips them, too");
		need(removes(k, "program"), "remove");
	}
	need(makes("program", 02745), "create");
	EXPECT(0, chown("program", 1, 1), "chown of what its group may not execute");
	check(mode_of("program") == 02745, "… keeps set-GID");
}

void set_gid_directories(void)
{
	need(mkdir("dir", 0777), "mkdir");
	need(chown("dir", 0, PROJECT), "chown");
	need(chmod("dir", 02777), "chmod");
	for (enum kind k = 0; k < KINDS; k++) {
		EXPECT_AS(OWNER, 0, make_as_is(k, "dir/new"), "%s in it", kind_name[k]);
		check(stat_of("dir/new").st_gid == PROJECT &&
			  stat_of("dir/new").st_uid == OWNER.uid,
		      "%s gets its group", kind_name[k]);
		check(((mode_of("dir/new") & S_ISGID) != 0) == (k == DIRECTORY),
		      "%s and the bit", kind_name[k]);
		need(removes(k, "dir/new"), "remove");
	}
	EXPECT_AS(OWNER, 0, makes("dir/new", 02755),
		  "a set-GID program by someone outside the group");
	check(mode_of("dir/new") == 0755, "… loses the bit");
	need(unlink("dir/new"), "unlink");
	EXPECT_AS(MEMBER, 0, makes("dir/new", 02755), "a set-GID program by a member");
	check(mode_of("dir/new") == 02755, "… keeps it");
	need(unlink("dir/new"), "unlink");
	EXPECT_AS(OWNER, 0, mkdir("dir/new", 0750), "a directory with a mode of its own");
	check(mode_of("dir/new") == 02750, "… has that and the bit");
	EXPECT_AS(OWNER, 0, mkdir("dir/new/below", 0700), "one beneath");
	check(mode_of("dir/new/below") == 02700 && stat_of("dir/new/below").st_gid == PROJECT,
	      "… has it from there");
	EXPECT(0, rename("dir/new/below", "moved"), "moved away");
	check(mode_of("moved") == 02700 && stat_of("moved").st_gid == PROJECT,
	      "… it keeps both");
}

void sticky_directories(void)
{
	static const struct {
		const char *name;
		uid_t dir, file;
		int want;
	} cases[] = {
	    {"both are one's own", 3001, 3001, 0},
	    {"the directory is one's own", 3001, 0, 0},
	    {"the directory is one's own, the entry another's", 3001, 3002, 0},
	    {"the entry is one's own", 0, 3001, 0},
	    {"the entry is one's own, the directory another's", 3002, 3001, 0},
	    {"neither is one's own", 0, 0, EPERM},
	    {"both are another's", 3002, 3002, EPERM},
	};

	need(mkdir("dir", 0777), "mkdir");
	for (enum kind k = 0; k < KINDS; k++) {
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			need(chown("dir", cases[i].dir, cases[i].dir), "chown");
			need(chmod("dir", 01777), "chmod");
			make_for(k, "dir/entry", cases[i].file);
			EXPECT_AS(OWNER, cases[i].want, removes(k, "dir/entry"),
				  "removing %s: %s", kind_name[k], cases[i].name);
			if (cases[i].want)
				EXPECT(0, removes(k, "dir/entry"), "… and root may");
		}
	}
}
