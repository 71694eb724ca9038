/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a path leads. Whoever may write to the store may put a symbolic link into it at any
 * moment, so no path of more than one name is ever given to a system call that would follow one:
 * openat2(2) resolves it, and the rest is done with the last name in the directory that it found.
 *
 * Kernels before 5.6 have no openat2, and a filter of system calls may hide it (ENOSYS, or EPERM
 * from old ones). Then each name is opened by itself, with O_NOFOLLOW, which is as safe.
 */
#include "lib/io_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/bytes.h"

#define NAME_SIZE 256 /* of a name and its NUL */

static atomic_bool is_missing; /* openat2 */

/* ---- with openat2 ---- */

static int call_openat2(int dirfd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
	    .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
	    .mode = flags & (O_CREAT | O_TMPFILE) ? mode & 07777 : 0,
	    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	long fd;

	do
		fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : (int)fd;
}

/* EPERM may be an answer about the file: a directory that is open can always be opened so. */
static bool is_hidden(int dirfd, int err)
{
	int fd;

	if (err == -ENOSYS)
		return true;
	if (err != -EPERM)
		return false;
	fd = call_openat2(dirfd, ".", O_PATH | O_DIRECTORY, 0);
	if (fd >= 0)
		close(fd);
	return fd == -EPERM;
}

/* ---- without ---- */

static int call_openat(int dirfd, const char *name, int flags, mode_t mode)
{
	struct stat st;
	int fd, err;

	do
		fd = openat(dirfd, name, flags | O_NOFOLLOW | O_CLOEXEC, mode & 07777);
	while (fd < 0 && errno == EINTR);
	if (fd >= 0)
		return fd;
	err = -errno;
	/* What is to be a directory, and is a link, is no directory: openat2 calls it a link. */
	if (err == -ENOTDIR && fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISLNK(st.st_mode))
		return -ELOOP;
	return err;
}

/* Take the next name off path; "." and empty ones are left out. 1, 0 at the end, or -errno. */
static int next_name(const char **path, char name[NAME_SIZE])
{
	size_t len;

	do {
		*path += strspn(*path, "/");
		len = strcspn(*path, "/");
		if (len >= NAME_SIZE)
			return -ENAMETOOLONG;
		memcpy(name, *path, len);
		name[len] = '\0';
		*path += len;
	} while (strcmp(name, ".") == 0);
	return strcmp(name, "..") == 0 ? -EXDEV : len > 0;
}

static int walk(int dirfd, const char *path, int flags, mode_t mode)
{
	char name[NAME_SIZE], next[NAME_SIZE];
	int at = dirfd, fd, r;

	if (*path == '/')
		return -EXDEV;
	if (!*path)
		return -ENOENT;
	r = next_name(&path, name);
	if (r == 0)
		strcpy(name, ".");
	while (r > 0) {
		r = next_name(&path, next);
		if (r <= 0)
			break;
		fd = call_openat(at, name, O_PATH | O_DIRECTORY, 0);
		if (at != dirfd)
			close(at);
		if (fd < 0)
			return fd;
		at = fd;
		strcpy(name, next);
	}
	fd = r < 0 ? r : call_openat(at, name, flags, mode);
	if (at != dirfd)
		close(at);
	return fd;
}

/* ---- either ---- */

/* openat2 would let one pass that stays beneath; but while anything is renamed anywhere, it fails with EAGAIN for
 * each. No path of ours has one. */
static bool has_parent(const char *path)
{
	for (size_t len = strcspn(path, "/"); *path; len = strcspn(path, "/")) {
		if (len == 2 && memcmp(path, "..", 2) == 0)
			return true;
		path += len + (path[len] == '/');
	}
	return false;
}

int io_resolve(int dirfd, const char *path, int flags, mode_t mode)
{
	int fd;

	if (has_parent(path))
		return -EXDEV;
	if (atomic_load_explicit(&is_missing, memory_order_relaxed))
		return walk(dirfd, path, flags, mode);
	fd = call_openat2(dirfd, path, flags, mode);
	if (!is_hidden(dirfd, fd))
		return fd;
	atomic_store_explicit(&is_missing, true, memory_order_relaxed);
	return walk(dirfd, path, flags, mode);
}

int io_name_init(struct io_name *n, int dirfd, const char *path)
{
	const char *slash = strrchr(path, '/');
	CLEANUP_FREE char *parent = NULL;

	*n = (struct io_name){.dirfd = dirfd, .own_fd = -1, .name = slash ? slash + 1 : path};
	if (slash == path || strcmp(n->name, "..") == 0)
		return -EXDEV;
	if (!slash)
		return 0;
	parent = strndup(path, (size_t)(slash - path));
	if (!parent)
		return -ENOMEM;
	n->own_fd = io_resolve(dirfd, parent, O_PATH | O_DIRECTORY, 0);
	if (n->own_fd < 0)
		return n->own_fd;
	n->dirfd = n->own_fd;
	return 0;
}

void io_name_release(struct io_name *n)
{
	if (n->own_fd >= 0)
		close(n->own_fd);
}
