/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/quarantine.h"

#include <errno.h>
#include <stdio.h>

#include "lib/io.h"
#include "lib/layout.h"

int quarantine_move(int storefd, int dirfd, const char *name, char to[QUARANTINE_PATH_BYTES])
{
	int err = -EEXIST;

	for (unsigned i = 1; err == -EEXIST; i++) {
		snprintf(to, QUARANTINE_PATH_BYTES, LAYOUT_QUARANTINE "/%u.gz", i);
		err = io_rename_resume(dirfd, name, storefd, to);
	}
	return err;
}
