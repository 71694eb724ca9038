/* SPDX-License-Identifier: BSD-2-Clause */
#include "mount/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/name.h"

static int check_store(const char *path, char *out)
{
	struct stat st;

	if (stat(path, &st) != 0 && errno == ENOENT)
		log_error("%s: the store does not exist; create it: mkdir %s", path, path);
	else if (stat(path, &st) != 0)
		log_error("%s: cannot use the store: %s; see that the path is right and that "
			  "you may enter it",
			  path, strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		log_error(
		    "%s: the store is not a directory; name the directory that is to hold "
		    "the archive",
		    path);
	else if (!realpath(path, out))
		log_error("%s: cannot resolve the path: %s; name the store by a shorter path "
			  "without links",
			  path, strerror(errno));
	else
		return 0;
	return 1;
}

/* 0 or an errno. The attributes of a dead mount may be remembered by the kernel; statfs always
 * asks its daemon. */
static int stat_mountpoint(const char *path, struct stat *st)
{
	struct statfs fs;

	return stat(path, st) == 0 && statfs(path, &fs) == 0 ? 0 : errno;
}

static int check_mountpoint(const char *path, char *out)
{
	struct stat st;
	int err = stat_mountpoint(path, &st);

	if (err == ENOTCONN)
		log_error("%s: a mount whose daemon has died is in the way; umount -l %s (or "
			  "notepackctl umount %s) clears it",
			  path, path, path);
	else if (err == ENOENT)
		log_error("%s: the mountpoint does not exist; create it: mkdir %s", path, path);
	else if (err)
		log_error(
		    "%s: cannot use the mountpoint: %s; see that the path is right and that "
		    "you may enter it",
		    path, strerror(err));
	else if (!S_ISDIR(st.st_mode))
		log_error("%s: the mountpoint is not a directory; name an empty directory",
			  path);
	else if (!realpath(path, out))
		log_error(
		    "%s: cannot resolve the path: %s; name the mountpoint by a shorter path "
		    "without links",
		    path, strerror(errno));
	else
		return 0;
	return 1;
}

/* Is inner beneath outer? Both are absolute and without links; the root ends in its slash. */
static bool is_beneath(const char *inner, const char *outer)
{
	size_t len = strlen(outer);

	if (len > 0 && outer[len - 1] == '/')
		len--;
	return strncmp(inner, outer, len) == 0 && inner[len] == '/' && inner[len + 1];
}

static bool is_same(const char *a, const char *b)
{
	struct stat x, y;

	return strcmp(a, b) == 0 || (stat(a, &x) == 0 && stat(b, &y) == 0 &&
				     x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

/* Does it lie in a mount of ours? That would give its files other names, and seal them. */
static bool is_in_archive(const char *path)
{
	char top[PATH_MAX], status[PATH_MAX + 32];
	struct statfs fs;
	struct stat st, above;
	char *slash;

	if (statfs(path, &fs) != 0 || fs.f_type != FUSE_SUPER_MAGIC || stat(path, &st) != 0)
		return false;
	snprintf(top, sizeof(top), "%s", path);
	while ((slash = strrchr(top, '/')) && slash != top) {
		*slash = '\0';
		if (stat(top, &above) != 0 || above.st_dev != st.st_dev) {
			*slash = '/';
			break;
		}
	}
	snprintf(status, sizeof(status), "%s/" NAME_PRIVATE "/sha256sums", top);
	return access(status, F_OK) == 0;
}

int paths_check(const char *store, const char *mountpoint, struct paths *out)
{
	int err = check_store(store, out->store);

	if (!err)
		err = check_mountpoint(mountpoint, out->mountpoint);
	if (err)
		return err;
	if (is_same(out->store, out->mountpoint))
		log_error("%s: the store and the mountpoint are the same directory; mount on "
			  "another one",
			  out->store);
	else if (is_beneath(out->store, out->mountpoint))
		log_error(
		    "%s: the store is inside the mountpoint %s, which would hide it; mount "
		    "on another directory",
		    out->store, out->mountpoint);
	else if (is_beneath(out->mountpoint, out->store))
		log_error("%s: the mountpoint is inside the store %s; mount on a directory "
			  "outside of it",
			  out->mountpoint, out->store);
	else if (is_in_archive(out->store))
		log_error(
		    "%s: the store is inside a notepackfs mount; choose a directory outside",
		    out->store);
	else
		return 0;
	return 2;
}

int paths_check_fuse(void)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (errno == EACCES || errno == EPERM)
		log_error("/dev/fuse: %s; mount as root, or ask for access to /dev/fuse (in a "
			  "container: --device /dev/fuse and CAP_SYS_ADMIN)",
			  strerror(errno));
	else
		log_error("/dev/fuse: %s; load the kernel's FUSE module: modprobe fuse",
			  strerror(errno));
	return 1;
}
