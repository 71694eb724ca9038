/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/probe.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/core.h"
#include "lib/io.h"
#include "lib/layout.h"
#include "lib/log.h"
#include "lib/raw.h"

#define NAME LAYOUT_TMP "/probe"
#define FREE_NAME LAYOUT_TMP "/probe.renamed"

static void probe_xattrs(struct store *s, int fd)
{
	struct raw_mark mark = {.id = 1};

	s->have_xattrs = true;
	if (fd < 0 || raw_write_mark(s, fd, &mark) != 0 || raw_read_mark(fd, &mark) != 0)
		s->have_xattrs = false;
	if (!s->have_xattrs)
		log_notice(
		    "%s: the file system has no user attributes: file ids of unsealed files "
		    "are not kept over a remount, and sealed files cannot be appended to",
		    s->path);
}

/* On a name that is free: what knows no flags may yet look for the name first. */
static void probe_rename(struct store *s)
{
	int err = io_rename(s->fd, NAME, s->fd, FREE_NAME, RENAME_NOREPLACE);

	s->have_noreplace = err != -EINVAL && err != -ENOSYS;
	if (!s->have_noreplace)
		log_notice("%s: the file system has no RENAME_NOREPLACE: names are given by "
			   "link and unlink",
			   s->path);
}

static void probe_leases(struct store *s)
{
	CLEANUP_FD int fd = io_open(s->fd, FREE_NAME, O_RDONLY | O_CREAT, 0600);

	if (fd >= 0 && fcntl(fd, F_SETLEASE, F_RDLCK) != 0)
		log_notice("%s: the file system has no leases: a program that goes on writing "
			   "into a file after the daemon's death is not noticed",
			   s->path);
}

void probe_store(struct store *s)
{
	int fd = io_open(s->fd, NAME, O_RDWR | O_CREAT | O_TRUNC, 0600);

	io_unlink(s->fd, FREE_NAME, 0);
	probe_xattrs(s, fd);
	if (fd >= 0) {
		probe_rename(s);
		close(fd);
		probe_leases(s);
	}
	io_unlink(s->fd, NAME, 0);
	io_unlink(s->fd, FREE_NAME, 0);
}
