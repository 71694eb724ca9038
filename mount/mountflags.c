/* SPDX-License-Identifier: BSD-2-Clause */
#include "mount/mountflags.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "lib/bytes.h"
#include "lib/log.h"
#include "lib/mountinfo.h"

#define MOUNTINFO "/proc/self/mountinfo"

/* The flag that is missing, or NULL. */
static const char *missing_flag(const struct mountinfo *m)
{
	static const char *const of_mount[] = {"nosuid", "nodev"};

	for (size_t i = 0; i < ARRAY_LEN(of_mount); i++) {
		if (!mountinfo_has(m->options, of_mount[i]) &&
		    !mountinfo_has(m->super_options, of_mount[i]))
			return of_mount[i];
	}
	return mountinfo_has(m->super_options, "default_permissions") ? NULL
								      : "default_permissions";
}

/* The mount may be there several times, by binds of others: all are looked at. */
static bool look(FILE *f, dev_t device, const char **missing)
{
	CLEANUP_FREE char *line = NULL;
	char wanted[32];
	size_t size = 0;
	bool found = false;

	snprintf(wanted, sizeof(wanted), "%u:%u", major(device), minor(device));
	*missing = NULL;
	while (!*missing && getline(&line, &size, f) > 0) {
		struct mountinfo m;

		if (!mountinfo_parse(line, &m) || strcmp(m.device, wanted) != 0)
			continue;
		found = true;
		*missing = missing_flag(&m);
	}
	return found;
}

int mountflags_check(const char *mountpoint, dev_t device)
{
	FILE *f = fopen(MOUNTINFO, "re");
	const char *missing = NULL;
	bool found = f && look(f, device, &missing);

	if (f)
		fclose(f);
	if (!found)
		log_warning("%s: the mount is not in " MOUNTINFO
			    ": that it has nosuid, nodev and default_permissions is not known",
			    mountpoint);
	if (missing)
		log_error(
		    "%s: was mounted without %s, and is not served so: set-user-ID programs, "
		    "devices and other users' files would be in reach",
		    mountpoint, missing);
	return missing ? -1 : 0;
}
