/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notepackctl ls: the files of one directory (or one file) by their plain names.
 *
 * What is sealed is told by the manifest: the mount's generated one, or the store's own. The
 * directory tells the rest: raw files, and objects that no record names (yet), whose headers
 * know enough. So a bare directory of objects can be listed, too.
 */
#include "mount/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/check.h"
#include "lib/layout.h"
#include "lib/record.h"
#include "mount/ctl_list.h"

struct options {
	bool longer, json;
};

/* Where a path lies. */
struct place {
	char *root; /* the mount's or the store's; NULL: a bare directory */
	char *suffix;
	char *rel;  /* the directory from the root */
	char *dir;  /* the directory, absolute */
	char *only; /* one name of it; NULL: all */
	bool mounted;
};

static void place_release(struct place *p)
{
	free(p->root);
	free(p->suffix);
	free(p->rel);
	free(p->dir);
	free(p->only);
}

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Find the store or mount above a path. Says what is wrong and returns CTL_FAILED. */
static int find_place(const char *path, struct place *p)
{
	CLEANUP_MOUNT struct ctl_mount m = {0};
	const char *rel;
	char *slash;

	p->dir = is_directory(path) ? realpath(path, NULL) : ctl_canonical(path);
	if (!p->dir) {
		ctl_error("%s: %m", path);
		return CTL_FAILED;
	}
	if (!is_directory(p->dir)) {
		slash = strrchr(p->dir, '/');
		p->only = ctl_strdup(slash + 1);
		slash[slash == p->dir] = '\0';
	}
	p->root = ctl_store_above(p->dir, &p->suffix);
	p->mounted = ctl_mount_find(p->dir, &m, NULL) == 0;
	rel = p->root ? p->dir + strlen(p->root) : "";
	p->rel = ctl_strdup(rel + strspn(rel, "/"));
	return CTL_DONE;
}

/* The globs in a manifest's header line, for what is never sealed. */
static void read_exclude(struct list *l, const char *line)
{
	struct json_object *header = json_tokener_parse(line), *v;

	if (json_object_object_get_ex(header, "exclude", &v))
		list_exclude(l, json_object_get_string(v));
	json_object_put(header);
}

/* The mount's manifest: a header, then one record a line. */
static int read_mounted(const struct place *p, struct list *l)
{
	CLEANUP_FREE char *path = ctl_format("%s/" LAYOUT_MANIFEST, p->root), *line = NULL;
	CLEANUP_FILE FILE *f = fopen(path, "re");
	const char *reason;
	size_t size = 0;
	CLEANUP_RECORD struct record r = {0};
	ssize_t n;

	if (f && getline(&line, &size, f) > 0)
		read_exclude(l, line);
	while (f && (n = getline(&line, &size, f)) > 0) {
		int err = record_decode(line, (size_t)(n - (line[n - 1] == '\n')), p->suffix,
					&r, &reason);

		if (err) {
			ctl_error("%s: %s", path, err == -EBADMSG ? reason : strerror(-err));
			return CTL_FAILED;
		}
		if (r.op == RECORD_SEALED && strcmp(r.dir, p->rel) == 0)
			list_record(l, &r.sealed, r.name);
	}
	if (f && !ferror(f))
		return CTL_DONE;
	ctl_error("%s: %m", path);
	return CTL_FAILED;
}

static int visit(void *ctx, const struct sealed *s, const char *dir, const char *plain)
{
	list_record(ctx, s, plain);
	return 0;
}

/* The manifest of a store that is not mounted, or of one that is, seen from behind. */
static int read_store(const struct place *p, struct list *l)
{
	CLEANUP_FD int fd = ctl_open_dir(p->root);
	CLEANUP_MANIFEST struct manifest *m = NULL;
	struct manifest_error error = {{0}};
	int err;

	if (fd < 0)
		return CTL_FAILED;
	err = check_load(fd, &m, &error);
	if (err) {
		ctl_error("%s: %s", p->root, *error.text ? error.text : strerror(-err));
		return err == -EBADMSG ? CTL_DAMAGED : CTL_FAILED;
	}
	list_exclude(l, manifest_was_exclude(m));
	manifest_each_in_dir(m, p->rel, visit, l);
	return CTL_DONE;
}

/* "1234567890.123456789" */
static void format_time(int64_t ns, char *out, size_t size)
{
	int64_t seconds = ns / 1000000000, rest = ns % 1000000000;

	if (rest < 0) {
		rest += 1000000000;
		seconds--;
	}
	snprintf(out, size, "%lld.%09lld", (long long)seconds, (long long)rest);
}

static void entry_json(struct buf *b, const struct entry *e)
{
	char when[40];

	format_time(e->mtime_ns, when, sizeof(when));
	buf_str(b, "{");
	buf_json_path(b, "name", e->name, strlen(e->name));
	buf_printf(b, ",\"state\":\"%s\",\"parts\":%u", entry_state(e), e->parts);
	if (!e->other)
		buf_printf(b, ",\"raw_size\":%llu,\"gz_size\":%llu",
			   (unsigned long long)e->raw_bytes, (unsigned long long)e->gz_bytes);
	buf_printf(b, ",\"mtime\":\"%s\"}", when);
}

static int print_json(const struct list *l, const struct place *p)
{
	CLEANUP_BUF struct buf b = {0};
	bool first = true;

	buf_str(&b, "{");
	buf_json_path(&b, "directory", p->dir, strlen(p->dir));
	buf_str(&b, ",\"entries\":[");
	for (const struct entry *e = l->entries; e; e = e->hh.next) {
		if (!first)
			buf_str(&b, ",");
		first = false;
		entry_json(&b, e);
	}
	buf_str(&b, "]}\n");
	if (b.failed) {
		ctl_error("out of memory");
		return CTL_FAILED;
	}
	fputs(b.data, stdout);
	return CTL_DONE;
}

static void print_long(const struct entry *e, const char *name)
{
	time_t seconds = (time_t)(e->mtime_ns / 1000000000);
	char when[32] = "", ratio[16] = "-";
	struct tm tm;

	if (localtime_r(&seconds, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	if (e->other) {
		printf("%-8s %5s %14s %14s %6s  %s  %s\n", entry_state(e), "-", "-", "-", "-",
		       when, name);
		return;
	}
	if (e->gz_bytes)
		snprintf(ratio, sizeof(ratio), "%.2f",
			 (double)e->sealed_bytes / (double)e->gz_bytes);
	printf("%-8s %5u %14llu %14llu %6s  %s  %s\n", entry_state(e), e->parts,
	       (unsigned long long)e->raw_bytes, (unsigned long long)e->gz_bytes, ratio, when,
	       name);
}

static void print_entries(const struct list *l, bool longer)
{
	if (longer && l->entries)
		printf("%-8s %5s %14s %14s %6s  %-19s  %s\n", "STATE", "PARTS", "RAW", "GZ",
		       "RATIO", "MTIME", "NAME");
	for (const struct entry *e = l->entries; e; e = e->hh.next) {
		CLEANUP_FREE char *name = ctl_printable(e->name);

		if (longer)
			print_long(e, name);
		else
			printf("%s%s\n", name, e->other == ENTRY_DIR ? "/" : "");
	}
}

static int list_place(const char *path, const struct place *p, const struct options *o)
{
	struct list l = {.suffix = p->suffix};
	int status = CTL_DONE;

	list_exclude(&l, NAME_DEFAULT_EXCLUDE);
	if (p->root)
		status = p->mounted ? read_mounted(p, &l) : read_store(p, &l);
	if (status == CTL_DONE)
		status = list_directory(&l, p->dir, p->root && !*p->rel);
	if (status == CTL_DONE && p->only)
		list_keep_only(&l, p->only);
	list_sort(&l);
	if (status == CTL_DONE && p->only && !l.entries) {
		ctl_error("%s: no such file", path);
		status = CTL_FAILED;
	}
	if (status == CTL_DONE && o->json)
		status = print_json(&l, p);
	else if (status == CTL_DONE)
		print_entries(&l, o->longer);
	list_release(&l);
	return status;
}

int ctl_ls(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"json", no_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	struct options o = {0};
	struct place p = {0};
	int c, status;

	while ((c = getopt_long(argc, argv, "hl", longs, NULL)) >= 0) {
		if (c == 'h')
			return ctl_help();
		if (c == 'l')
			o.longer = true;
		else if (c == 'j')
			o.json = true;
		else
			return ctl_usage(NULL);
	}
	if (argc - optind != 1)
		return ctl_usage("one path is needed");
	status = find_place(argv[optind], &p);
	if (status == CTL_DONE)
		status = list_place(argv[optind], &p, &o);
	place_release(&p);
	return status;
}
