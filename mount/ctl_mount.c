/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which mount holds a path is read from /proc/self/mountinfo (proc(5)) and decided by the
 * longest mountpoint that is a prefix, not by stat(2): a mountpoint whose daemon died answers
 * ENOTCONN, and it is then that it must be found.
 */
#include "mount/ctl.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/mountinfo.h"
#include "lib/name.h"

#include <fcntl.h>

#define MOUNTINFO "/proc/self/mountinfo"
#define READ_BYTES 65536

void ctl_mount_release(struct ctl_mount *m)
{
	free(m->mountpoint);
	free(m->root);
	free(m->store);
	free(m->device);
	memset(m, 0, sizeof(*m));
}

/* What follows dir in path ("" or "a/b"), if path is dir or beneath it; else NULL. */
static const char *beneath(const char *path, const char *dir)
{
	size_t n = strcmp(dir, "/") == 0 ? 0 : strlen(dir);

	if (strncmp(path, dir, n) != 0 || (path[n] != '/' && path[n] != '\0'))
		return NULL;
	path += n;
	return path + strspn(path, "/");
}

static void keep_line(struct ctl_mount *m, const struct mountinfo *l)
{
	ctl_mount_release(m);
	m->mountpoint = ctl_strdup(l->mountpoint);
	m->root = ctl_strdup(l->root);
	m->store = ctl_strdup(l->source);
	m->device = ctl_strdup(l->device);
	m->read_only = l->read_only;
}

/*
 * The mount, of any type, that holds an absolute path: longest mountpoint, and of mounts on one
 * another the last. Returns 0, 1 if it is not one of ours, or -errno.
 */
static int mount_of(const char *path, struct ctl_mount *out)
{
	CLEANUP_FILE FILE *f = fopen(MOUNTINFO, "re");
	CLEANUP_FREE char *text = NULL;
	size_t size = 0, best = 0;
	bool ours = false;

	if (!f)
		return -errno;
	while (getline(&text, &size, f) > 0) {
		struct mountinfo l;

		if (!mountinfo_parse(text, &l) || !beneath(path, l.mountpoint) ||
		    strlen(l.mountpoint) < best)
			continue;
		best = strlen(l.mountpoint);
		ours = strcmp(l.type, MOUNTINFO_TYPE) == 0;
		if (ours)
			keep_line(out, &l);
	}
	if (ours)
		return 0;
	ctl_mount_release(out);
	return 1;
}

char *ctl_mount_other(const char *device)
{
	CLEANUP_FILE FILE *f = fopen(MOUNTINFO, "re");
	CLEANUP_FREE char *text = NULL;
	size_t size = 0;

	while (f && getline(&text, &size, f) > 0) {
		struct mountinfo l;

		if (mountinfo_parse(text, &l) && strcmp(l.device, device) == 0)
			return ctl_strdup(l.mountpoint);
	}
	return NULL;
}

char *ctl_canonical(const char *path)
{
	CLEANUP_FREE char *copy = ctl_strdup(path), *dir = NULL;
	size_t len = strlen(copy);
	char *base, *slash;

	while (len > 1 && copy[len - 1] == '/')
		copy[--len] = '\0';
	slash = strrchr(copy, '/');
	base = slash ? slash + 1 : copy;
	if (!*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
		return realpath(path, NULL);
	if (!slash)
		dir = realpath(".", NULL);
	else if (slash == copy)
		dir = ctl_strdup("/");
	else {
		*slash = '\0';
		dir = realpath(copy, NULL);
	}
	if (!dir)
		return NULL;
	return ctl_format("%s/%s", strcmp(dir, "/") == 0 ? "" : dir, base);
}

/* path relative to the root of the mount, also where only a subdirectory of it is mounted. */
static char *relative(const struct ctl_mount *m, const char *path)
{
	const char *rest = beneath(path, m->mountpoint), *root = m->root + 1;

	if (!*root)
		return ctl_strdup(rest);
	return *rest ? ctl_format("%s/%s", root, rest) : ctl_strdup(root);
}

int ctl_mount_find(const char *path, struct ctl_mount *out, char **rel)
{
	CLEANUP_FREE char *canonical = ctl_canonical(path);
	int r;

	memset(out, 0, sizeof(*out));
	if (!canonical)
		return -errno;
	r = mount_of(canonical, out);
	if (r == 1) { /* a symbolic link that leads into a mount */
		char *real = realpath(path, NULL);

		if (real) {
			free(canonical);
			canonical = real;
			r = mount_of(canonical, out);
		}
	}
	if (r == 0 && rel)
		*rel = relative(out, canonical);
	return r;
}

int ctl_mount_need(const char *path, struct ctl_mount *out, char **rel)
{
	int r = ctl_mount_find(path, out, rel);

	if (r == 0)
		return 0;
	if (r == 1)
		ctl_error("%s: is in no notepackfs mount (findmnt -t " MOUNTINFO_TYPE
			  " lists them; for a store whose unmount goes on there is notepackctl "
			  "wait STORE)",
			  path);
	else if (r == -ENOTCONN)
		ctl_error(
		    "%s: the daemon of this mount died; clear it with notepackctl umount, "
		    "and mount again",
		    path);
	else
		ctl_error("%s: %s", path, strerror(-r));
	return CTL_FAILED;
}

/* The mountpoint at which the root of the whole filesystem can be seen. */
static char *whole_mount(const struct ctl_mount *m)
{
	CLEANUP_FILE FILE *f = NULL;
	CLEANUP_FREE char *text = NULL;
	size_t size = 0;

	if (strcmp(m->root, "/") == 0)
		return ctl_strdup(m->mountpoint);
	f = fopen(MOUNTINFO, "re");
	while (f && getline(&text, &size, f) > 0) {
		struct mountinfo l;

		if (mountinfo_parse(text, &l) && strcmp(l.device, m->device) == 0 &&
		    strcmp(l.root, "/") == 0)
			return ctl_strdup(l.mountpoint);
	}
	return NULL;
}

int ctl_control_open(const struct ctl_mount *m, const char *name)
{
	CLEANUP_FREE char *root = whole_mount(m), *path = NULL;
	int fd;

	if (!root)
		return -ENXIO;
	path = ctl_format("%s/" NAME_PRIVATE "/%s", root, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int ctl_control_read(const struct ctl_mount *m, const char *name, struct buf *out)
{
	CLEANUP_FREE char *piece = ctl_alloc(READ_BYTES);
	CLEANUP_FD int fd = ctl_control_open(m, name);

	if (fd < 0)
		return fd;
	for (;;) {
		ssize_t n = read(fd, piece, READ_BYTES);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return out->failed ? -ENOMEM : 0;
		buf_add(out, piece, (size_t)n);
	}
}
