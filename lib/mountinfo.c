/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/mountinfo.h"

#include <string.h>

#include "lib/bytes.h"

/* In place. Returns its argument. */
static char *unescape(char *s)
{
	char *out = s;

	for (const char *p = s; *p;) {
		if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' &&
		    p[3] >= '0' && p[3] <= '7') {
			*out++ = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
			p += 4;
		} else {
			*out++ = *p++;
		}
	}
	*out = '\0';
	return s;
}

bool mountinfo_has(const char *list, const char *option)
{
	size_t n = strlen(option);

	while (*list) {
		size_t len = strcspn(list, ",");

		if (len == n && memcmp(list, option, n) == 0)
			return true;
		list += len + (list[len] == ',');
	}
	return false;
}

/* ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS [TAG:VALUE…] - TYPE SOURCE SUPEROPTIONS */
bool mountinfo_parse(char *line, struct mountinfo *out)
{
	char *word[6], *type, *source, *tag, *save = NULL;
	const char *super;

	for (size_t i = 0; i < ARRAY_LEN(word); i++) {
		word[i] = strtok_r(i ? NULL : line, " \n", &save);
		if (!word[i])
			return false;
	}
	do
		tag = strtok_r(NULL, " \n", &save);
	while (tag && strcmp(tag, "-") != 0);
	type = strtok_r(NULL, " \n", &save);
	source = strtok_r(NULL, " \n", &save);
	if (!type || !source)
		return false;
	super = strtok_r(NULL, " \n", &save);
	super = super ? super : "";
	*out = (struct mountinfo){
	    .device = word[2],
	    .root = unescape(word[3]),
	    .mountpoint = unescape(word[4]),
	    .type = unescape(type),
	    .source = unescape(source),
	    .options = word[5],
	    .super_options = super,
	    .read_only = mountinfo_has(word[5], "ro") || mountinfo_has(super, "ro"),
	};
	return true;
}
