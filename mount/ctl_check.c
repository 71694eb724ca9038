/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notepackctl check: one line a problem on stdout, a summary at the end.
 *
 * The shared lock keeps mounts and tools that write out while an unmounted store is checked. A
 * mounted one is checked as it lives (lib/check.h), whether its mountpoint or its store was
 * named.
 */
#include "mount/ctl.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/check.h"
#include "lib/io.h"
#include "lib/layout.h"
#include "lib/lock.h"

#define PROGRESS_NS 200000000

struct report {
	bool json, deep, terminal, shown;
	int64_t shown_ns;
	struct buf problems; /* with --json: the objects of the array */
};

static void clear_progress(struct report *r)
{
	if (r->shown)
		fprintf(stderr, "\r\033[K");
	r->shown = false;
}

static void on_progress(void *ctx, uint64_t done, uint64_t total)
{
	struct report *r = ctx;
	char a[CTL_SIZE_TEXT], b[CTL_SIZE_TEXT];

	if (!r->terminal || clock_ns() - r->shown_ns < PROGRESS_NS)
		return;
	r->shown_ns = clock_ns();
	r->shown = true;
	if (r->deep)
		fprintf(stderr, "\rchecking: %s of %s\033[K", ctl_size(done, a),
			ctl_size(total, b));
	else
		fprintf(stderr, "\rchecking: %llu of %llu objects\033[K",
			(unsigned long long)done, (unsigned long long)total);
	fflush(stderr);
}

static void problem_json(struct buf *b, const struct check_problem *p)
{
	buf_str(b, b->len ? ",{" : "{");
	buf_json_path(b, "path", p->path, strlen(p->path));
	if (p->has_offset)
		buf_printf(b, ",\"raw_offset\":%llu,\"gz_offset\":%llu",
			   (unsigned long long)p->raw_offset, (unsigned long long)p->gz_offset);
	buf_str(b, ",\"reason\":");
	buf_json_string(b, p->reason, strlen(p->reason));
	buf_str(b, "}");
}

static void on_problem(void *ctx, const struct check_problem *p)
{
	struct report *r = ctx;
	CLEANUP_FREE char *path = ctl_printable(p->path);

	clear_progress(r);
	if (r->json)
		problem_json(&r->problems, p);
	else if (p->has_offset)
		printf("%s: damaged at offset %llu (byte %llu of the object): %s\n", path,
		       (unsigned long long)p->raw_offset, (unsigned long long)p->gz_offset,
		       p->reason);
	else
		printf("%s: %s\n", path, p->reason);
}

static void print_json(const struct report *r, const char *store, bool live,
		       const struct check_counts *c)
{
	CLEANUP_BUF struct buf b = {0};

	buf_str(&b, "{");
	buf_json_path(&b, "store", store, strlen(store));
	buf_printf(&b, ",\"live\":%s,\"deep\":%s,\"clean\":%s", live ? "true" : "false",
		   r->deep ? "true" : "false", c->was_clean ? "true" : "false");
	buf_printf(&b,
		   ",\"records\":%llu,\"objects\":%llu,\"raw_bytes\":%llu,\"gz_bytes\":%llu",
		   (unsigned long long)c->records, (unsigned long long)c->objects,
		   (unsigned long long)c->raw_bytes, (unsigned long long)c->gz_bytes);
	buf_printf(&b,
		   ",\"unsealed_files\":%llu,\"unsealed_bytes\":%llu,\"excluded_files\":%llu",
		   (unsigned long long)c->unsealed_files, (unsigned long long)c->unsealed_bytes,
		   (unsigned long long)c->excluded_files);
	buf_printf(&b, ",\"temporaries\":%llu,\"problem_count\":%llu,\"problems\":[%s]}\n",
		   (unsigned long long)c->temporaries, (unsigned long long)c->problems,
		   r->problems.data ? r->problems.data : "");
	fputs(b.data ? b.data : "", stdout);
}

/* What the next mount will do of its own accord, and why. */
static void print_next_mount(int storefd, const struct check_counts *c)
{
	struct stat st;

	if (c->was_clean)
		return;
	if (io_stat(storefd, LAYOUT_LAST_STOP, &st) == -ENOENT)
		printf("; it was not unmounted yet, the next mount seals what is left");
	else
		printf("; the last stop was not clean, the next mount recovers the store");
}

static void print_summary(const struct report *r, const char *store, int storefd, bool live,
			  const struct check_counts *c)
{
	CLEANUP_FREE char *path = ctl_printable(store);
	char raw[CTL_SIZE_TEXT], unsealed[CTL_SIZE_TEXT];

	printf("%s: %llu object%s %s (%s)", path, (unsigned long long)c->objects,
	       c->objects == 1 ? "" : "s",
	       r->deep ? "verified in full" : "present and consistent",
	       ctl_size(c->raw_bytes, raw));
	if (c->unsealed_files)
		printf("; %llu %s not sealed yet (%s)", (unsigned long long)c->unsealed_files,
		       ctl_files(c->unsealed_files), ctl_size(c->unsealed_bytes, unsealed));
	if (!live)
		print_next_mount(storefd, c);
	if (c->problems)
		printf("; %llu problem%s\n", (unsigned long long)c->problems,
		       c->problems == 1 ? "" : "s");
	else
		printf("; no problem\n");
}

/* All that can be said of a store whose manifest is damaged. */
static void print_damaged_json(struct report *r, const char *store, bool live,
			       const char *reason)
{
	const struct check_problem problem = {.path = LAYOUT_MANIFEST, .reason = reason};
	const struct check_counts counts = {.problems = 1};

	buf_reset(&r->problems);
	problem_json(&r->problems, &problem);
	print_json(r, store, live, &counts);
}

/* check_store could not come to its end. */
static int say_failed(struct report *r, const char *store, bool live, int err,
		      const struct manifest_error *error)
{
	const char *text = *error->text ? error->text : strerror(-err);

	if (err == -EBADMSG && r->json)
		print_damaged_json(r, store, live, text);
	if (err == -ENOENT) {
		ctl_error("%s: has no manifest: its creation was cut short; mount it once",
			  store);
		return CTL_FAILED;
	}
	ctl_error("%s: %s", store, text);
	return err == -EBADMSG ? CTL_DAMAGED : CTL_FAILED;
}

static int check(const char *store, int storefd, bool live, struct report *r)
{
	const struct check_options options = {
	    .deep = r->deep,
	    .live = live,
	    .ctx = r,
	    .problem = on_problem,
	    .progress = on_progress,
	};
	struct manifest_error error = {{0}};
	struct check_counts counts;
	int err = check_store(storefd, &options, &counts, &error);

	clear_progress(r);
	if (!err && r->problems.failed)
		err = -ENOMEM;
	if (err)
		return say_failed(r, store, live, err, &error);
	if (r->json)
		print_json(r, store, live, &counts);
	else
		print_summary(r, store, storefd, live, &counts);
	return counts.problems ? CTL_DAMAGED : CTL_DONE;
}

/* Take the shared lock; a store that is mounted needs none, and is checked live. */
static int lock_store(const char *store, int storefd, int *lockfd, bool *live)
{
	enum layout_holder holder;
	pid_t pid;

	*lockfd = layout_lock(storefd, false, NULL, 0);
	*live = false;
	if (*lockfd >= 0)
		return CTL_DONE;
	if (*lockfd != -EBUSY) {
		ctl_error("%s: cannot be locked: %s", store, strerror(-*lockfd));
		return CTL_FAILED;
	}
	holder = layout_holder(storefd, &pid);
	*live = holder == HOLDER_MOUNTED || holder == HOLDER_DRAINING;
	if (*live)
		return CTL_DONE;
	ctl_error("%s: is in use by another tool (pid %ld); try again when it is done", store,
		  (long)pid);
	return CTL_IN_USE;
}

/* Each level of the tree takes a descriptor. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int check_path(const char *path, struct report *r)
{
	CLEANUP_MOUNT struct ctl_mount m = {0};
	CLEANUP_FREE char *store = NULL;
	CLEANUP_FD int storefd = -1;
	CLEANUP_FD int lockfd = -1;
	bool live;
	int status, kind;

	if (ctl_mount_find(path, &m, NULL) == 0)
		store = ctl_strdup(m.store);
	else
		store = realpath(path, NULL);
	if (!store)
		store = ctl_strdup(path);
	storefd = ctl_open_dir(store);
	if (storefd < 0)
		return CTL_FAILED;
	kind = layout_probe(storefd);
	if (kind < 0 || kind == LAYOUT_NOT_STORE || kind == LAYOUT_EMPTY) {
		ctl_error("%s: %s", store, kind < 0 ? strerror(-kind) : "is no store");
		return CTL_FAILED;
	}
	status = lock_store(store, storefd, &lockfd, &live);
	if (status != CTL_DONE)
		return status;
	raise_descriptor_limit();
	return check(store, storefd, live, r);
}

int ctl_check(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"deep", no_argument, NULL, 'd'},
	    {"json", no_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	struct report r = {.terminal = isatty(STDERR_FILENO)};
	int c, status;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) >= 0) {
		if (c == 'h')
			return ctl_help();
		if (c == 'd')
			r.deep = true;
		else if (c == 'j')
			r.json = true;
		else
			return ctl_usage(NULL);
	}
	if (argc - optind != 1)
		return ctl_usage("one store or mountpoint is needed");
	status = check_path(argv[optind], &r);
	buf_release(&r.problems);
	return status;
}
