/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/permit.h"

#include <errno.h>
#include <unistd.h>

bool permit_is_trusted(const struct caller *c)
{
	return c->uid == 0 || c->uid == geteuid();
}

static bool is_in_group(const struct caller *c, gid_t gid)
{
	return c->gid == gid || (c->is_member && c->is_member(c, gid));
}

bool permit_may(const struct caller *c, const struct stat *st, int want)
{
	unsigned shift;

	if (permit_is_trusted(c))
		return true;
	shift = c->uid == st->st_uid ? 6 : is_in_group(c, st->st_gid) ? 3 : 0;
	return (st->st_mode >> shift & (unsigned)want) == (unsigned)want;
}

int permit_unlink(const struct caller *c, const struct stat *dir, const struct stat *st)
{
	if (!permit_may(c, dir, W_OK | X_OK))
		return -EACCES;
	if ((dir->st_mode & S_ISVTX) && !permit_is_trusted(c) && c->uid != dir->st_uid &&
	    c->uid != st->st_uid)
		return -EPERM;
	return 0;
}
