/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notepackctl status: the mount's control file, as it is (--json) or as a table.
 */
#include "mount/ctl.h"

#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/bytes.h"

static struct json_object *member(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	json_object_object_get_ex(o, key, &v);
	return v;
}

static uint64_t number(struct json_object *o, const char *key)
{
	int64_t n = json_object_get_int64(member(o, key));

	return n > 0 ? (uint64_t)n : 0;
}

static const char *text(struct json_object *o, const char *key)
{
	const char *s = json_object_get_string(member(o, key));

	return s ? s : "";
}

/* The path of a pending file, printable; free it. */
static char *path_of(struct json_object *o)
{
	const char *b64 = text(o, "path_b64");
	CLEANUP_BUF struct buf b = {0};

	if (*b64 && buf_base64_decode(&b, b64, strlen(b64)) && b.data)
		return ctl_printable(b.data);
	return ctl_printable(text(o, "path"));
}

static const char *duration(double seconds, char *out, size_t size)
{
	if (seconds < 60)
		snprintf(out, size, "%.0f s", seconds);
	else if (seconds < 3600)
		snprintf(out, size, "%.0f min", seconds / 60);
	else if (seconds < 86400)
		snprintf(out, size, "%.1f h", seconds / 3600);
	else
		snprintf(out, size, "%.1f d", seconds / 86400);
	return out;
}

static void print_pending(struct json_object *list)
{
	size_t n =
	    json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	if (n)
		printf("\n%-10s  %9s  %7s  %s\n", "STATE", "BYTES", "AGE", "PATH");
	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(list, i);
		CLEANUP_FREE char *path = path_of(o);
		char size[CTL_SIZE_TEXT], age[16];
		const char *error = text(o, "error");

		printf("%-10s  %9s  %7s  %s%s%s\n", text(o, "state"),
		       ctl_size(number(o, "bytes"), size),
		       duration(json_object_get_double(member(o, "age")), age, sizeof(age)),
		       path, *error ? ": " : "", error);
	}
}

static void print_damaged(struct json_object *list)
{
	size_t n =
	    json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(list, i);
		CLEANUP_FREE char *path = path_of(o);

		printf("%s%s: damaged at offset %llu (byte %llu of the object): %s\n",
		       i ? "" : "\n", path, (unsigned long long)number(o, "offset"),
		       (unsigned long long)number(o, "gz_offset"), text(o, "error"));
	}
}

static void print_options(struct json_object *options)
{
	if (!json_object_is_type(options, json_type_object))
		return;
	printf("options   ");
	json_object_object_foreach(options, key, value)
	{
		printf(" %s=%s", key, json_object_get_string(value));
	}
	printf("\n");
}

static void print_table(const struct ctl_mount *m, struct json_object *o)
{
	CLEANUP_FREE char *mountpoint = ctl_printable(m->mountpoint);
	CLEANUP_FREE char *store = ctl_printable(text(o, "store"));
	char size[CTL_SIZE_TEXT];

	printf("mount      %s\n", mountpoint);
	printf("store      %s\n", store);
	printf("state      %s%s\n", text(o, "state"),
	       json_object_get_boolean(member(o, "read_only")) ? ", read-only" : "");
	printf("daemon     pid %llu, version %s, %llu threads\n",
	       (unsigned long long)number(o, "pid"), text(o, "version"),
	       (unsigned long long)number(o, "threads"));
	printf("sealed     %llu segment%s, %llu by this mount, last sequence number %llu\n",
	       (unsigned long long)number(o, "records"), number(o, "records") == 1 ? "" : "s",
	       (unsigned long long)number(o, "sealed_files"),
	       (unsigned long long)number(o, "seq"));
	printf("pending    %llu %s, %s\n", (unsigned long long)number(o, "pending_files"),
	       ctl_files(number(o, "pending_files")),
	       ctl_size(number(o, "pending_bytes"), size));
	printf("failed     %llu %s\n", (unsigned long long)number(o, "failed_files"),
	       ctl_files(number(o, "failed_files")));
	if (number(o, "held_bytes"))
		printf(
		    "held       %s are sealed and in raw files still, until who has these open "
		    "closes them\n",
		    ctl_size(number(o, "held_bytes"), size));
	if (number(o, "damaged_objects"))
		printf("damaged    %llu object%s\n",
		       (unsigned long long)number(o, "damaged_objects"),
		       number(o, "damaged_objects") == 1 ? "" : "s");
	print_options(member(o, "options"));
	print_pending(member(o, "pending"));
	print_damaged(member(o, "damaged"));
}

static int print_status(const struct ctl_mount *m, const struct buf *b, bool json)
{
	struct json_object *o;

	if (json) {
		fwrite(b->data, 1, b->len, stdout);
		return CTL_DONE;
	}
	o = b->data ? json_tokener_parse(b->data) : NULL;
	if (!json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		ctl_error("%s: its status is no JSON; is notepackctl older than the daemon?",
			  m->mountpoint);
		return CTL_FAILED;
	}
	print_table(m, o);
	json_object_put(o);
	return CTL_DONE;
}

int ctl_status(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"json", no_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	CLEANUP_MOUNT struct ctl_mount m = {0};
	CLEANUP_BUF struct buf b = {0};
	bool json = false;
	int c, err;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) >= 0) {
		if (c == 'h')
			return ctl_help();
		if (c != 'j')
			return ctl_usage(NULL);
		json = true;
	}
	if (argc - optind != 1)
		return ctl_usage("one mountpoint is needed");
	if (ctl_mount_need(argv[optind], &m, NULL) != CTL_DONE)
		return CTL_FAILED;
	err = ctl_control_read(&m, "status", &b);
	if (err) {
		ctl_error("%s: its status cannot be read: %s%s", m.mountpoint, strerror(-err),
			  err == -ENOTCONN ? " (the daemon died; notepackctl umount clears it)"
					   : "");
		return CTL_FAILED;
	}
	return print_status(&m, &b, json);
}
