/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notepackctl import: gzip files, and directories of them, into a mount as sealed files.
 *
 * X.notepack.gz keeps its name, X.gz becomes X.notepack.gz. What is no gzip file by its name is
 * left out and counted: cp and rsync copy it. A file gets its name when it is copied as a whole,
 * and one that is there already, with the same size and time, is not copied again: so an import
 * that was interrupted can be run once more, and two can run at once. The daemon's verdict is
 * waited for in the end: it reads the files while others are copied.
 *
 * Until then a file has a temporary name, which is never sealed. Its process holds a lock on it;
 * one that no one holds was left by a process that was killed, and the next removes it.
 */
#include "mount/ctl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/io.h"
#include "lib/lock.h"
#include "lib/name.h"

#define COPY_BYTES ((size_t)1 << 20)
#define SHOW_NS 200000000

/* Of temporaries: what stands around six letters and digits. */
#define PART_BEGIN ".notepackctl-import."
#define PART_END ".tmp"

struct copied {
	char *path; /* in the mount */
	bool there; /* it was */
	struct copied *next;
};

struct import {
	char *suffix;
	struct copied *copied;
	uint64_t files, bytes, there, left_out, refused, failed;
	bool terminal;
	int64_t shown_ns;
	char *buf;
};

/* One that could not be taken over. */
static int say(struct import *im, const char *path, int err)
{
	ctl_error("%s: %s", path, strerror(-err));
	im->failed++;
	return CTL_FAILED;
}

static void show(struct import *im)
{
	char text[CTL_SIZE_TEXT];
	int64_t now_ns = clock_ns();

	if (!im->terminal || now_ns - im->shown_ns < SHOW_NS)
		return;
	im->shown_ns = now_ns;
	fprintf(stderr, "\r\033[K%llu %s, %s", (unsigned long long)im->files,
		ctl_files(im->files), ctl_size(im->bytes, text));
}

static void end_line(const struct import *im)
{
	if (im->terminal)
		fprintf(stderr, "\r\033[K");
}

/* The name in the mount: NULL if this is no gzip file. Free it. */
static char *import_name(const struct import *im, const char *name)
{
	size_t len = strlen(name);

	if (name_has_sealed_suffix(name, im->suffix))
		return ctl_strdup(name);
	if (len <= 3 || strcmp(name + len - 3, ".gz") != 0)
		return NULL;
	return ctl_format("%.*s%s.gz", (int)len - 3, name, im->suffix);
}

static int copy_bytes(struct import *im, int from, int to)
{
	uint64_t offset = 0;
	ssize_t n;

	while ((n = io_pread(from, im->buf, COPY_BYTES, offset)) > 0) {
		int err = io_write(to, im->buf, (size_t)n);

		if (err)
			return err;
		offset += (uint64_t)n;
		im->bytes += (uint64_t)n;
		show(im);
	}
	return (int)n;
}

/* As cp -p does; not to be able to give a file away is no error. */
static int copy_attributes(int fd, const struct stat *st)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};

	if (fchown(fd, st->st_uid, st->st_gid) != 0 && errno != EPERM)
		return -errno;
	if (fchmod(fd, st->st_mode & 07777) != 0)
		return -errno;
	return io_set_times(fd, times);
}

/* 1: this file is there already · -EEXIST: another one is · 0: none. */
static int is_there(const char *to, const struct stat *st)
{
	struct stat there;

	if (lstat(to, &there) != 0)
		return 0;
	if (S_ISREG(there.st_mode) && there.st_size == st->st_size &&
	    there.st_mtim.tv_sec == st->st_mtim.tv_sec &&
	    there.st_mtim.tv_nsec == st->st_mtim.tv_nsec)
		return 1;
	return -EEXIST;
}

/* The verdict on it is asked for in the end. */
static void note(struct import *im, const char *to, bool there)
{
	struct copied *c = ctl_alloc(sizeof(*c));

	c->path = ctl_strdup(to);
	c->there = there;
	c->next = im->copied;
	im->copied = c;
}

/* ---- temporaries ---- */

struct part {
	char *path;
	int fd;	  /* to write it */
	int lock; /* to read, held until it has its name */
};

static bool is_part_name(const char *name)
{
	size_t len = strlen(name), end = strlen(PART_END);

	return len == strlen(PART_BEGIN "XXXXXX" PART_END) &&
	       strncmp(name, PART_BEGIN, strlen(PART_BEGIN)) == 0 &&
	       strcmp(name + len - end, PART_END) == 0;
}

static void remove_if_left(int dirfd, const char *name)
{
	CLEANUP_FD int fd = io_open(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
		io_unlink(dirfd, name, 0);
}

/* What other processes left in this directory. */
static void sweep(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		if (is_part_name(e->d_name))
			remove_if_left(dirfd(d), e->d_name);
	}
	if (d)
		closedir(d);
}

static void part_release(struct part *p)
{
	if (p->fd >= 0)
		close(p->fd);
	if (p->lock >= 0)
		close(p->lock);
	free(p->path);
}

/* 1: before it was locked, someone took it for one that was left. */
static int lock_part(struct part *p)
{
	struct stat st;
	int err;

	p->lock = open(p->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (p->lock < 0)
		return errno == ENOENT ? 1 : -errno;
	if (flock(p->lock, LOCK_EX) != 0)
		return -errno;
	err = io_fstat(p->lock, &st);
	return err ? err : st.st_nlink == 0;
}

/* A temporary beside `to`. */
static int part_make(struct part *p, const char *to)
{
	int r;

	do {
		int dir_len = (int)(strrchr(to, '/') + 1 - to);

		*p = (struct part){.fd = -1, .lock = -1};
		p->path = ctl_format("%.*s" PART_BEGIN "XXXXXX" PART_END, dir_len, to);
		p->fd = mkostemps(p->path, (int)strlen(PART_END), O_CLOEXEC);
		r = p->fd < 0 ? -errno : lock_part(p);
		if (r < 0 && p->fd >= 0)
			unlink(p->path);
		if (r)
			part_release(p);
	} while (r > 0);
	return r;
}

/* ---- files ---- */

/* All of it, under its name; that is never one of another file. 1: someone else was faster. */
static int copy_file(struct import *im, int in, const struct stat *st, const char *to)
{
	struct part part;
	int err = part_make(&part, to);

	if (err)
		return err;
	err = copy_bytes(im, in, part.fd);
	if (!err)
		err = copy_attributes(part.fd, st);
	if (close(part.fd) != 0 && !err)
		err = -errno;
	part.fd = -1;
	if (!err && renameat2(AT_FDCWD, part.path, AT_FDCWD, to, RENAME_NOREPLACE) != 0)
		err = -errno;
	if (err)
		unlink(part.path);
	if (err == -EEXIST)
		err = is_there(to, st);
	part_release(&part);
	return err;
}

static int import_file(struct import *im, const char *from, const char *to)
{
	CLEANUP_FD int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	int r = in < 0 ? -errno : io_fstat(in, &st);

	if (r)
		return say(im, from, r);
	if (!st.st_size) { /* in a mount it would wait for its bytes */
		ctl_error("%s: refused: it is empty, and no gzip file", from);
		im->refused++;
		return CTL_DAMAGED;
	}
	r = is_there(to, &st);
	if (!r)
		r = copy_file(im, in, &st, to);
	if (r < 0)
		return say(im, to, r);
	note(im, to, r == 1);
	im->there += r == 1;
	im->files += r == 0;
	return CTL_DONE;
}

static int import_dir(struct import *im, const char *from, const char *to);

static int import_entry(struct import *im, const char *from, const char *to_dir,
			const char *name, bool operand)
{
	CLEANUP_FREE char *to_name = NULL, *to = NULL;
	struct stat st;

	if (lstat(from, &st) != 0)
		return say(im, from, -errno);
	if (S_ISDIR(st.st_mode)) {
		to = strcmp(name, ".") == 0 ? ctl_strdup(to_dir)
					    : ctl_format("%s/%s", to_dir, name);
		return import_dir(im, from, to);
	}
	if (S_ISREG(st.st_mode))
		to_name = import_name(im, name);
	if (!to_name && operand) {
		ctl_error("%s: is no gzip file by its name; cp copies it, and it is sealed",
			  from);
		im->failed++;
		return CTL_FAILED;
	}
	if (!to_name) {
		im->left_out++;
		return CTL_DONE;
	}
	to = ctl_format("%s/%s", to_dir, to_name);
	return import_file(im, from, to);
}

static int import_entries(struct import *im, DIR *d, const char *from, const char *to)
{
	int status = CTL_DONE;
	struct dirent *e;

	for (errno = 0; (e = readdir(d)); errno = 0) {
		CLEANUP_FREE char *path = NULL;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    strcmp(e->d_name, NAME_PRIVATE) == 0)
			continue;
		path = ctl_format("%s/%s", from, e->d_name);
		status = ctl_worse(status, import_entry(im, path, to, e->d_name, false));
	}
	return errno ? ctl_worse(status, say(im, from, -errno)) : status;
}

/* A directory that is made gets the times of the other when all is in it. */
static int import_dir(struct import *im, const char *from, const char *to)
{
	DIR *d = opendir(from);
	bool made = false;
	struct stat st;
	int status, fd;

	if (!d)
		return say(im, from, -errno);
	if (mkdir(to, 0700) == 0)
		made = true;
	else if (errno != EEXIST) {
		status = say(im, to, -errno);
		closedir(d);
		return status;
	}
	if (!made)
		sweep(to);
	status = import_entries(im, d, from, to);
	if (made && fstat(dirfd(d), &st) == 0) {
		fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 || copy_attributes(fd, &st) != 0)
			status = ctl_worse(status, say(im, to, -errno));
		if (fd >= 0)
			close(fd);
	}
	closedir(d);
	return status;
}

/* What has become of one: CTL_DONE, or a line that says why it was refused. The kernel may have a name
 * that has just gone for a moment still, and answers stat(2) by it, but not open(2). */
static int verdict(struct import *im, const char *path)
{
	CLEANUP_FREE char *invalid = ctl_format("%s.invalid", path);
	CLEANUP_FD int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char reason[256];
	ssize_t n;
	int err = fd < 0 ? -errno : 0;

	if (!err || err == -EACCES)
		return CTL_DONE;
	n = getxattr(invalid, "user.notepack.error", reason, sizeof(reason) - 1);
	if (n < 0)
		return say(im, path, err);
	reason[n] = '\0';
	ctl_error("%s: refused: %s", invalid, reason);
	im->refused++;
	return CTL_DAMAGED;
}

static int verdicts(struct import *im)
{
	int status = CTL_DONE;

	while (im->copied) {
		struct copied *c = im->copied;
		int one = verdict(im, c->path);

		if (one != CTL_DONE)
			*(c->there ? &im->there : &im->files) -= 1;
		status = ctl_worse(status, one);
		im->copied = c->next;
		free(c->path);
		free(c);
	}
	printf("%llu %s imported", (unsigned long long)im->files, ctl_files(im->files));
	if (im->there)
		printf(", %llu there already", (unsigned long long)im->there);
	if (im->left_out)
		printf(", %llu left out (no gzip files)", (unsigned long long)im->left_out);
	if (im->refused)
		printf(", %llu refused", (unsigned long long)im->refused);
	if (im->failed)
		printf(", %llu failed", (unsigned long long)im->failed);
	printf("\n");
	return status;
}

static int import_all(struct import *im, char **from, int count, const struct ctl_mount *m,
		      const char *to, const char *rel)
{
	int status = CTL_DONE, err;

	sweep(to);
	for (int i = 0; i < count; i++) {
		CLEANUP_FREE char *path = ctl_strdup(from[i]);
		size_t len = strlen(path);
		char *slash;

		while (len > 1 && path[len - 1] == '/')
			path[--len] = '\0';
		slash = strrchr(path, '/');
		status =
		    ctl_worse(status, import_entry(im, path, to,
						   slash && slash[1] ? slash + 1 : path, true));
	}
	end_line(im);
	err = ctl_request(m, PROTO_WAIT, rel);
	if (err) {
		ctl_error("%s: %s", to, strerror(-err));
		status = ctl_worse(status, err == -EIO ? CTL_NOT_FLUSHED : CTL_FAILED);
	}
	return ctl_worse(status, verdicts(im));
}

int ctl_import(int argc, char **argv)
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {0}};
	CLEANUP_MOUNT struct ctl_mount m = {0};
	CLEANUP_FREE char *rel = NULL, *above = NULL;
	struct import im = {.terminal = isatty(STDERR_FILENO)};
	struct stat st;
	const char *to;
	int c, status;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) >= 0)
		return c == 'h' ? ctl_help() : ctl_usage(NULL);
	if (argc - optind < 2)
		return ctl_usage("files, and a directory in a mount, are needed");
	to = argv[argc - 1];
	if (ctl_mount_need(to, &m, &rel) != CTL_DONE)
		return CTL_FAILED;
	if (stat(to, &st) != 0 || !S_ISDIR(st.st_mode)) {
		ctl_error("%s: is not a directory", to);
		return CTL_FAILED;
	}
	above = ctl_store_above(m.mountpoint, &im.suffix);
	im.buf = ctl_alloc(COPY_BYTES);
	status = import_all(&im, argv + optind, argc - optind - 1, &m, to, rel);
	free(im.buf);
	free(im.suffix);
	return status;
}
