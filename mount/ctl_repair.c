/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notepackctl repair: a new manifest for a store that lost its own (lib/repair.h). One line on
 * stdout for each thing of note, a summary at the end.
 */
#include "mount/ctl.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/layout.h"
#include "lib/lock.h"
#include "lib/repair.h"

#define PROGRESS_NS 200000000

struct progress {
	bool terminal, shown;
	int64_t shown_ns;
};

static void clear_progress(struct progress *p)
{
	if (p->shown)
		fprintf(stderr, "\r\033[K");
	p->shown = false;
}

static void on_progress(void *ctx, uint64_t done, uint64_t total)
{
	struct progress *p = ctx;
	char a[CTL_SIZE_TEXT], b[CTL_SIZE_TEXT];

	if (!p->terminal || clock_ns() - p->shown_ns < PROGRESS_NS)
		return;
	p->shown_ns = clock_ns();
	p->shown = true;
	fprintf(stderr, "\rreading: %s of %s\033[K", ctl_size(done, a), ctl_size(total, b));
	fflush(stderr);
}

static void on_line(void *ctx, enum repair_level level, const char *text)
{
	CLEANUP_FREE char *line = ctl_printable(text);

	clear_progress(ctx);
	printf("%s\n", line);
}

static void print_summary(const char *store, const struct repair_counts *c)
{
	CLEANUP_FREE char *path = ctl_printable(store);

	printf("%s: the manifest was rebuilt: %llu records kept, %llu made anew", path,
	       (unsigned long long)c->kept, (unsigned long long)c->anew);
	if (c->quarantined || c->damaged || c->missing)
		printf("; of the objects %llu went to quarantine, %llu are damaged, %llu are "
		       "missing",
		       (unsigned long long)c->quarantined, (unsigned long long)c->damaged,
		       (unsigned long long)c->missing);
	printf(
	    "; the old one is kept in %s; the next mount recovers the store, and notepackctl "
	    "check --deep reads every byte\n",
	    c->old);
}

static int say_failed(const char *store, int err, const struct repair_error *error)
{
	if (err == -EPROTO)
		ctl_error(
		    "%s: the manifest is of a newer format, and is left alone; if no newer "
		    "notepackfs ever wrote it, move " LAYOUT_MANIFEST " away and repair again",
		    store);
	else
		ctl_error("%s: %s", store, error->text);
	return err == -EEXIST ? CTL_USAGE : CTL_FAILED;
}

static int repair(const char *store, int storefd, const char *suffix)
{
	struct progress progress = {.terminal = isatty(STDERR_FILENO)};
	const struct repair_options options = {
	    .suffix = suffix,
	    .ctx = &progress,
	    .say = on_line,
	    .progress = on_progress,
	};
	struct repair_counts counts;
	struct repair_error error;
	int r = repair_store(storefd, &options, &counts, &error);

	clear_progress(&progress);
	if (r < 0)
		return say_failed(store, r, &error);
	if (r == REPAIR_NOTHING) {
		CLEANUP_FREE char *path = ctl_printable(store);

		printf("%s: there is nothing to repair\n", path);
		return CTL_DONE;
	}
	print_summary(store, &counts);
	return counts.quarantined || counts.damaged || counts.missing ? CTL_DAMAGED : CTL_DONE;
}

static int lock_and_repair(const char *store, int storefd, const char *suffix)
{
	CLEANUP_FD int lockfd = -1;
	int err = layout_create(storefd), status;
	pid_t pid;

	if (!err) {
		lockfd = layout_lock(storefd, true, "tool", 0);
		err = MIN(lockfd, 0);
	}
	if (err == -EBUSY) {
		layout_holder(storefd, &pid);
		ctl_error("%s: is in use by process %ld; unmount it first", store, (long)pid);
		return CTL_IN_USE;
	}
	if (err) {
		ctl_error("%s: cannot be locked: %s", store, strerror(-err));
		return CTL_FAILED;
	}
	status = repair(store, storefd, suffix);
	layout_lock_note(lockfd, NULL);
	return status;
}

static int repair_path(const char *path, const char *suffix)
{
	CLEANUP_MOUNT struct ctl_mount m = {0};
	CLEANUP_FREE char *store = realpath(path, NULL);
	CLEANUP_FD int storefd = -1;
	int kind;

	if (ctl_mount_find(path, &m, NULL) == 0) {
		ctl_error("%s: is in the mount of %s; unmount it, and name the store", path,
			  m.store);
		return CTL_IN_USE;
	}
	if (!store)
		store = ctl_strdup(path);
	storefd = ctl_open_dir(store);
	if (storefd < 0)
		return CTL_FAILED;
	kind = layout_probe(storefd);
	if (kind < 0 || kind == LAYOUT_EMPTY) {
		ctl_error("%s: %s", store, kind < 0 ? strerror(-kind) : "is no store");
		return CTL_FAILED;
	}
	if (kind == LAYOUT_NOT_STORE) {
		ctl_error("%s: is no store; notepackctl init --adopt makes it one, with the "
			  "objects in it",
			  store);
		return CTL_FAILED;
	}
	return lock_and_repair(store, storefd, suffix);
}

int ctl_repair(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"suffix", required_argument, NULL, 's'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	const char *suffix = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) >= 0) {
		if (c == 'h')
			return ctl_help();
		if (c != 's')
			return ctl_usage(NULL);
		suffix = optarg;
	}
	if (argc - optind != 1)
		return ctl_usage("one store is needed");
	if (suffix && name_check_suffix(suffix) != 0)
		return ctl_usage("--suffix %s: must be a dot and up to 8 more characters, like "
				 "\".notepack\", without blanks and /*?[]\\:,",
				 suffix);
	return repair_path(argv[optind], suffix);
}
