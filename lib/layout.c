/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/layout.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/io.h"
#include "lib/lock.h"
#include "lib/log.h"
#include "lib/mountinfo.h"

#define LOCK_POLL_NS 50000000

/* Does the directory hold anything but lost+found? 1, 0 or -errno. */
static int has_entries(int storefd)
{
	int fd = io_open(storefd, ".", O_RDONLY | O_DIRECTORY, 0);
	struct dirent *e;
	DIR *d;
	int found = 0;

	if (fd < 0)
		return fd;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	while (!found && (e = readdir(d)))
		found = strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
			strcmp(e->d_name, "lost+found") != 0;
	closedir(d);
	return found;
}

int layout_probe(int storefd)
{
	struct stat st;
	int r = io_stat(storefd, NAME_PRIVATE, &st);

	if (r == 0) {
		if (!S_ISDIR(st.st_mode))
			return LAYOUT_NOT_STORE;
		r = io_stat(storefd, LAYOUT_MANIFEST, &st);
		return r == 0 ? LAYOUT_STORE : r == -ENOENT ? LAYOUT_BEGUN : r;
	}
	if (r != -ENOENT)
		return r;
	r = has_entries(storefd);
	return r < 0 ? r : r ? LAYOUT_NOT_STORE : LAYOUT_EMPTY;
}

static const char *const dirs[] = {NAME_PRIVATE,  LAYOUT_CHUNKS, LAYOUT_TMP,
				   LAYOUT_IMPORT, LAYOUT_INDEX,	 LAYOUT_QUARANTINE};

int layout_create(int storefd)
{
	bool made = false;
	int err;

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		err = io_mkdir(storefd, dirs[i], 0700);
		if (err && err != -EEXIST)
			return err;
		made |= !err;
	}
	if (!made)
		return 0;
	err = io_syncdir(storefd, NAME_PRIVATE);
	return err ? err : io_syncdir(storefd, ".");
}

/* The one who holds the store may be another than we: root mounts a user's. */
static bool is_trusted(const struct stat *private, const struct stat *store)
{
	return private->st_uid == geteuid() || private->st_uid == 0 ||
	       (geteuid() == 0 && private->st_uid == store->st_uid);
}

/* Take from others what they may do in it. 1: it was open to them, 0: it was not. */
static int shut(int fd, const struct stat *st, bool read_only)
{
	if ((st->st_mode & 0777) == 0700)
		return 0;
	if (!read_only && fchmod(fd, 0700) == 0)
		return 1;
	return !read_only && st->st_mode & 022 ? -EPERM : 1;
}

/* 0 or -errno, as layout_secure. */
static int secure_private(int storefd, bool read_only, char why[LAYOUT_WHY_BYTES])
{
	CLEANUP_FD int fd = io_open(storefd, NAME_PRIVATE, O_RDONLY | O_DIRECTORY, 0);
	struct stat private, store;
	unsigned mode;
	int r;

	if (fd < 0 || fstat(fd, &private) != 0 || fstat(storefd, &store) != 0) {
		r = fd < 0 ? fd : -errno;
		snprintf(why, LAYOUT_WHY_BYTES, "cannot be opened: %s", strerror(-r));
		return r;
	}
	if (!is_trusted(&private, &store)) {
		snprintf(why, LAYOUT_WHY_BYTES,
			 "belongs to user %lu, who is neither root, nor the store's owner, nor "
			 "the one who mounts it; see who made it, and chown it",
			 (unsigned long)private.st_uid);
		return -EPERM;
	}
	mode = private.st_mode & 0777;
	r = shut(fd, &private, read_only);
	if (r < 0)
		snprintf(
		    why, LAYOUT_WHY_BYTES,
		    "others may write to it (mode %03o), and the mode cannot be set; chmod "
		    "700 it",
		    mode);
	if (r == 1 && fstat(fd, &private) == 0)
		log_warning(NAME_PRIVATE ": its mode was %03o%s", mode,
			    (private.st_mode & 0777) == 0700
				? ", and is 700 now"
				: ": others may look into it; chmod 700 it");
	return MIN(r, 0);
}

int layout_secure(int storefd, bool read_only, char why[LAYOUT_WHY_BYTES])
{
	int err = secure_private(storefd, read_only, why);
	struct stat st;

	for (size_t i = 1; i < ARRAY_LEN(dirs) && !err; i++) {
		err = io_stat(storefd, dirs[i], &st);
		if (err == -ENOENT)
			err = 0; /* of a store that is read only */
		else if (!err && !S_ISDIR(st.st_mode))
			err = -ENOTDIR;
		if (err)
			snprintf(why, LAYOUT_WHY_BYTES, "%s: %s; move what lies there away",
				 strrchr(dirs[i], '/') + 1, strerror(-err));
	}
	return err;
}

enum layout_holder layout_holder(int storefd, pid_t *pid)
{
	CLEANUP_FREE char *text = NULL;
	size_t len;
	long number = 0;
	char who[16] = "";

	*pid = 0;
	if (io_read_file(storefd, LAYOUT_LOCK, 256, &text, &len) != 0 ||
	    sscanf(text, "%ld %15s", &number, who) != 2)
		return HOLDER_NONE;
	*pid = (pid_t)number;
	if (strcmp(who, "mounted") == 0)
		return HOLDER_MOUNTED;
	if (strcmp(who, "draining") == 0)
		return HOLDER_DRAINING;
	return HOLDER_TOOL;
}

/* A file of proc(5): its size is not known before it is read. */
static int read_proc(int proc, const char *path, char **out, size_t *len)
{
	CLEANUP_FD int fd = io_open(proc, path, O_RDONLY, 0);
	char *text = fd < 0 ? NULL : calloc(1, 1024);
	ssize_t n = text ? io_pread(fd, text, 1023, 0) : -1;

	if (n <= 0) {
		free(text);
		return -EIO;
	}
	*out = text;
	*len = (size_t)n;
	return 0;
}

bool layout_holder_is_stuck(pid_t pid)
{
	CLEANUP_FREE char *text = NULL;
	char path[64];
	const char *p;
	size_t len;
	CLEANUP_FD int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);

	/* proc(5): "PID (NAME) STATE …"; a name may have anything in it, a bracket, too. */
	snprintf(path, sizeof(path), "%ld/stat", (long)pid);
	if (pid <= 0 || proc < 0 || read_proc(proc, path, &text, &len) != 0)
		return false;
	p = strrchr(text, ')');
	return p && p[1] == ' ' && p[2] == 'Z';
}

/* Is this store, a directory, what is mounted? What cannot be looked at may be. */
static bool is_mounted_by(const struct stat *store, char *line)
{
	struct mountinfo m;
	struct stat st;

	if (!mountinfo_parse(line, &m) || strcmp(m.type, MOUNTINFO_TYPE) != 0)
		return false;
	return stat(m.source, &st) != 0 ||
	       (st.st_dev == store->st_dev && st.st_ino == store->st_ino);
}

/* Has a process a mount of the store? */
static bool has_mount(int storefd, pid_t pid)
{
	CLEANUP_FREE char *line = NULL;
	char path[64];
	struct stat store;
	size_t size = 0;
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/mountinfo", (long)pid);
	f = fstat(storefd, &store) == 0 ? fopen(path, "re") : NULL;
	if (!f)
		return true;
	while (!found && getline(&line, &size, f) > 0)
		found = is_mounted_by(&store, line);
	found |= ferror(f) != 0;
	fclose(f);
	return found;
}

bool layout_holder_is_mounted(int storefd)
{
	pid_t pid;

	return layout_holder(storefd, &pid) == HOLDER_MOUNTED && has_mount(storefd, pid);
}

/* May waiting help? Not while a living process is mounted. */
static bool worth_waiting(int storefd)
{
	pid_t pid;

	if (layout_holder(storefd, &pid) != HOLDER_MOUNTED)
		return true;
	return (kill(pid, 0) != 0 && errno == ESRCH) || !has_mount(storefd, pid);
}

int layout_lock(int storefd, bool exclusive, const char *who, int64_t wait_ns)
{
	int64_t deadline_ns = clock_ns() + wait_ns;
	int fd = io_open(storefd, LAYOUT_LOCK, exclusive ? O_RDWR | O_CREAT : O_RDONLY, 0600);
	struct timespec poll = {.tv_nsec = LOCK_POLL_NS};

	if (fd == -ENOENT && !exclusive) /* never mounted for writing, so no one holds it */
		fd = io_open(storefd, NAME_PRIVATE, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	while (flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
		int err = errno;

		if (err == EINTR)
			continue;
		if (err != EWOULDBLOCK || clock_ns() >= deadline_ns ||
		    !worth_waiting(storefd)) {
			close(fd);
			return err == EWOULDBLOCK ? -EBUSY : -err;
		}
		nanosleep(&poll, NULL);
	}
	if (exclusive)
		layout_lock_note(fd, who);
	return fd;
}

void layout_lock_note(int lockfd, const char *who)
{
	char text[64];
	int n = who ? snprintf(text, sizeof(text), "%ld %s\n", (long)getpid(), who) : 0;

	/* The text only helps those who wait; the lock itself is what counts. */
	if (ftruncate(lockfd, 0) == 0 && n > 0)
		io_pwrite(lockfd, text, (size_t)n, 0);
}
