/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stores as directories, found from a path within them.
 */
#include "mount/ctl.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/layout.h"

int ctl_open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		ctl_error("%s: %m", path);
	return fd;
}

/* The suffix in a manifest's first line; NULL if the file cannot be read or names none. */
static char *suffix_in(const char *manifest)
{
	CLEANUP_FILE FILE *f = fopen(manifest, "re");
	CLEANUP_FREE char *line = NULL;
	struct json_object *header, *suffix;
	size_t size = 0;
	char *out = NULL;

	if (!f || getline(&line, &size, f) <= 0)
		return NULL;
	header = json_tokener_parse(line);
	if (json_object_object_get_ex(header, "suffix", &suffix) &&
	    json_object_is_type(suffix, json_type_string))
		out = ctl_strdup(json_object_get_string(suffix));
	json_object_put(header);
	return out;
}

char *ctl_store_above(const char *canonical, char **suffix)
{
	char *dir = ctl_strdup(canonical);

	for (;;) {
		CLEANUP_FREE char *manifest = ctl_format("%s/" LAYOUT_MANIFEST, dir);
		char *slash;

		*suffix = access(manifest, F_OK) == 0 ? suffix_in(manifest) : NULL;
		if (*suffix) {
			if (!*dir) {
				free(dir);
				dir = ctl_strdup("/");
			}
			return dir;
		}
		slash = strrchr(dir, '/');
		if (!slash)
			break;
		*slash = '\0';
	}
	free(dir);
	*suffix = ctl_strdup(NAME_DEFAULT_SUFFIX);
	return NULL;
}
