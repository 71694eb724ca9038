/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * randomops BUILD DIR [--mode MODE] [--seed N] [--ops N] [--length N] [--replay FILE [--times
 * N]]
 *
 * Runs of --length operations each on mounts of stores made in DIR, until --ops have been
 * performed; the first has the seed N, the next N + 1. The modes are in the table below;
 * without
 * --mode they take turns. --replay performs a script, N times.
 *
 * A run that fails is made shorter (delta debugging: parts of the list are taken out as long as
 * the rest still fails, each time from a fresh directory) and printed as a script, which is
 * left in DIR/failure.ops, too. Exits 0 if every run agreed with the model.
 */
#include "tests/mount/randomops.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define HANG_SECONDS 120 /* for one operation; most take microseconds */
#define PROGRESS_OPS 100000
/* Timing is not in the list, so a failure may need more than one run to show. */
#define SHRINK_TRIES 3

static const struct mode modes[] = {
    {"default", "grace=0.02", false, true},
    {"allow_delete", "grace=0.02,allow_delete", true, true},
    {"fsync-sync", "grace=0.01,fsync=sync", false, false},
    {"cut_size-0", "grace=0,cut_size=0", false, true},
    {"cut_size-0-delete", "grace=0.005,cut_size=0,allow_delete", true, true},
};
#define MODES (sizeof(modes) / sizeof(modes[0]))

static const char *build, *directory;

/* ---- one run ---- */

/* What the watchdog looks at; the counter rises with every operation. */
static atomic_uint heartbeat;
static struct run *_Atomic watched;

static void *watch(void *arg)
{
	unsigned last = 0, still = 0;

	for (;;) {
		struct run *r = watched;
		unsigned now = heartbeat;

		sleep(1);
		still = now == last && r ? still + 1 : 0;
		last = now;
		if (still < HANG_SECONDS)
			continue;
		fprintf(stderr, "# an operation hangs; the daemon is killed\n");
		if (r->daemon > 0)
			kill(r->daemon, SIGKILL);
		umount2(r->mnt, MNT_FORCE);
		still = 0;
	}
	return arg;
}

static void make_directories(struct run *r)
{
	const char *const remove[] = {"/bin/rm", "-rf", r->store, r->log, NULL};

	snprintf(r->store, sizeof(r->store), "%.400s/store", directory);
	snprintf(r->mnt, sizeof(r->mnt), "%.400s/mnt", directory);
	snprintf(r->log, sizeof(r->log), "%.400s/daemon.log", directory);
	run_program(r, remove);
	if ((mkdir(r->store, 0755) != 0 || mkdir(r->mnt, 0755) != 0) && errno != EEXIST) {
		perror(directory);
		exit(2);
	}
}

static bool check_store(struct run *r)
{
	char program[PATH_BYTES];
	const char *const argv[] = {program, "check", "--deep", r->store, NULL};
	int status;

	snprintf(program, sizeof(program), "%.400s/mount/notepackctl", r->build);
	status = run_program(r, argv);
	return status == 0 || failed(r, "notepackctl check --deep: exit status %d", status);
}

/* Remounted once more, so that all that is sealed is compared as an archive. */
static bool finish_run(struct run *r)
{
	return op_remount(r, NULL) && daemon_stop(r) && check_store(r);
}

static void release_model(struct run *r)
{
	for (size_t i = 0; i < SLOTS; i++) {
		if (r->slot[i].description)
			close_slot(r, &r->slot[i]);
	}
	while (r->files) {
		r->files->path = -1;
		r->files->opens = 0;
		file_forget(r, r->files);
	}
}

/* Returns the place of the operation that failed (the count: what follows the last), or -1. */
static long run_list(const struct mode *mode, const struct op_list *list, uint64_t *performed,
		     char *failure, size_t failure_size)
{
	struct run r = {.mode = mode, .build = build, .dir = {true}};
	size_t i = 0;
	bool good;

	make_directories(&r);
	good = daemon_start(&r);
	watched = &r;
	for (; good && i < list->count; i++) {
		good = op_table[list->op[i].kind].perform(&r, list->op[i].arg);
		model_update(&r);
		heartbeat++;
		if (!good)
			break;
	}
	good = good && finish_run(&r);
	watched = NULL;
	snprintf(failure, failure_size, "%s", r.failure);
	*performed += r.performed;
	daemon_kill(&r);
	release_model(&r);
	return good ? -1 : (long)i;
}

/* ---- making a failure shorter ---- */

static bool still_fails(const struct mode *mode, const struct op_list *list, char *failure,
			size_t failure_size)
{
	uint64_t performed = 0;

	for (int i = 0; i < SHRINK_TRIES; i++) {
		if (run_list(mode, list, &performed, failure, failure_size) >= 0)
			return true;
	}
	return false;
}

/* All but the operations from `from` on, `count` of them. */
static struct op_list without(const struct op_list *list, size_t from, size_t count)
{
	struct op_list out = {.op = calloc(list->count + 1, sizeof(struct op)),
			      .count = list->count - count};

	if (!out.op)
		abort();
	memcpy(out.op, list->op, from * sizeof(struct op));
	memcpy(out.op + from, list->op + from + count, (out.count - from) * sizeof(struct op));
	return out;
}

static void shrink(const struct mode *mode, struct op_list *list, char *failure,
		   size_t failure_size)
{
	char text[sizeof(((struct run *)NULL)->failure)];

	for (size_t size = (list->count + 1) / 2; size > 0; size /= 2) {
		size_t at = 0;
		bool removed = false;

		while (at < list->count) {
			size_t count = size < list->count - at ? size : list->count - at;
			struct op_list shorter = without(list, at, count);

			if (still_fails(mode, &shorter, text, sizeof(text))) {
				free(list->op);
				*list = shorter;
				snprintf(failure, failure_size, "%s", text);
				removed = true;
			} else {
				free(shorter.op);
				at += size;
			}
		}
		if (size == 1 && removed)
			size = 2; /* once more: what is gone may have needed another */
	}
}

static void report(const struct mode *mode, struct op_list *list, char *failure, size_t size)
{
	char path[PATH_BYTES];

	shrink(mode, list, failure, size);
	snprintf(path, sizeof(path), "%.400s/failure.ops", directory);
	printf("# shortened to %zu operations (%s): %s\n#   mode %s\n", list->count, path,
	       failure, mode->name);
	list_print(list, "#   ");
	if (list_write(path, mode->name, list) != 0)
		perror(path);
}

/* ---- the command line ---- */

struct arguments {
	const struct mode *mode;
	uint64_t seed, ops;
	size_t length;
	const char *replay;
	int times;
};

static const struct mode *find_mode(const char *name)
{
	for (size_t i = 0; i < MODES; i++) {
		if (strcmp(modes[i].name, name) == 0)
			return &modes[i];
	}
	fprintf(stderr, "randomops: no mode %s\n", name);
	exit(2);
}

static int replay(const struct arguments *a)
{
	char name[32] = "default", failure[512];
	struct op_list list;
	uint64_t performed = 0;
	int failures = 0;

	if (list_read(a->replay, name, sizeof(name), &list) != 0) {
		fprintf(stderr, "randomops: %s: not a script\n", a->replay);
		return 2;
	}
	for (int i = 0; i < a->times; i++) {
		long at = run_list(a->mode ? a->mode : find_mode(name), &list, &performed,
				   failure, sizeof(failure));

		if (at < 0)
			continue;
		failures++;
		printf("# operation %ld: %s\n", at + 1, failure);
	}
	printf("# %d of %d times it failed\n", failures, a->times);
	free(list.op);
	return failures > 0;
}

static void print_progress(const struct arguments *a, uint64_t last, uint64_t performed,
			   const struct timespec *begin)
{
	struct timespec now;
	double seconds;

	clock_gettime(CLOCK_MONOTONIC, &now);
	seconds =
	    (double)(now.tv_sec - begin->tv_sec) + (double)(now.tv_nsec - begin->tv_nsec) / 1e9;
	printf("# seeds %llu to %llu: %llu operations, %.0f a second\n",
	       (unsigned long long)a->seed, (unsigned long long)last,
	       (unsigned long long)performed, (double)performed / seconds);
	fflush(stdout);
}

static int run_seeds(const struct arguments *a)
{
	uint64_t performed = 0, printed = 0;
	struct timespec begin;
	char failure[512];

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (uint64_t seed = a->seed; performed < a->ops; seed++) {
		const struct mode *mode = a->mode ? a->mode : &modes[seed % MODES];
		struct op_list list = list_generate(seed, a->length);
		long at = run_list(mode, &list, &performed, failure, sizeof(failure));

		if (at >= 0) {
			printf("# mode %s, seed %llu, operation %ld of %zu: %s\n", mode->name,
			       (unsigned long long)seed, at + 1, a->length, failure);
			fflush(stdout);
			if ((size_t)at + 1 < list.count)
				list.count = (size_t)at + 1;
			report(mode, &list, failure, sizeof(failure));
			return 1;
		}
		free(list.op);
		if (performed >= a->ops || performed - printed >= PROGRESS_OPS) {
			print_progress(a, seed, performed, &begin);
			printed = performed;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"mode", required_argument, NULL, 'm'},
					      {"seed", required_argument, NULL, 's'},
					      {"ops", required_argument, NULL, 'o'},
					      {"length", required_argument, NULL, 'l'},
					      {"replay", required_argument, NULL, 'r'},
					      {"times", required_argument, NULL, 't'},
					      {0}};
	struct arguments a = {.seed = 1, .ops = 20000, .length = 4000, .times = 1};
	pthread_t watcher;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		if (c == 'm')
			a.mode = find_mode(optarg);
		else if (c == 's')
			a.seed = strtoull(optarg, NULL, 10);
		else if (c == 'o')
			a.ops = strtoull(optarg, NULL, 10);
		else if (c == 'l')
			a.length = strtoul(optarg, NULL, 10);
		else if (c == 'r')
			a.replay = optarg;
		else if (c == 't')
			a.times = atoi(optarg);
		else
			return 2;
	}
	if (argc - optind != 2 || !a.length) {
		fprintf(stderr, "randomops: wrong usage; see its source\n");
		return 2;
	}
	build = argv[optind];
	directory = argv[optind + 1];
	umask(022);
	if (pthread_create(&watcher, NULL, watch, NULL) != 0)
		return 2;
	return a.replay ? replay(&a) : run_seeds(&a);
}
