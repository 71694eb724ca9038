/* SPDX-License-Identifier: BSD-2-Clause */
/*
 *	inject ROW [--long]		a row of the matrix: see rows
 *	inject SCENARIO MODE K [SPAN]	one point again; K 0 counts the calls
 *
 * Environment: SEED; JOBS, points at a time; FI_VERBOSE, what the one process said; KEEP, the store
 * of a violation is left. And of a row: SCENARIO, only its points; POINTS, so many faults; FIRST, the
 * first violation ends it.
 *
 * The points of a row are spread over all scenarios, its modes, and the calls of each, by the seed.
 */
#include "tests/crash/point.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/bytes.h"

#define JOBS_MAX 64
#define REPORTED 20

struct row {
	const char *name, *title;
	long gate, in_full;
	const char *modes[8]; /* NULL behind the last */
	const char *disks[4]; /* NULL behind the last; none: in memory */
};

static const struct row rows[] = {
    {"kill", "kill before and after each operation", 600, 3000, {"kill", "killafter"}, {NULL}},
    {"errors",
     "EIO, a lost answer, ENOSPC, EINTR, short writes at each operation",
     1200,
     6000,
     {"EIO", "lost", "ENOSPC", "EINTR", "short"},
     {NULL}},
    {"exhaustion",
     "no memory, no descriptor, no thread",
     300,
     2000,
     {"ENOMEM", "EMFILE", "EAGAIN"},
     {NULL}},
    {"power",
     "power cuts right behind an acknowledgement, and behind each fsync",
     400,
     5000,
     {"ack", "sync"},
     {"ext4", "noauto", "xfs"}},
    {"load",
     "power cuts anywhere",
     100,
     1500,
     {"power", "powerafter"},
     {"ext4", "xfs", "btrfs"}},
    {"device",
     "writes of the device that fail, and that work again; a thin device without room",
     20,
     300,
     {"device"},
     {"heal", "thin"}},
};

/* One of the points that run; in shared memory. */
struct job {
	pid_t pid; /* 0: free */
	struct point point;
	unsigned mode; /* of the row's */
	struct verdict verdict;
	struct disk disk; /* its own, if the row has disks */
};

static struct job *jobs;
static unsigned job_count = 8;
static long injected, points, violations, in_json_c, started_twice;
static long stops[7]; /* by world.close_status, of those with a fault */
static bool verbose, first_only;
static const struct row *row;
static const char *disk_kind, *only_scenario;
/* What has met a fault; of the file systems, the one in hand. */
static bool mode_hit[8], *scenario_hit, disk_hit;

static uint64_t mix(uint64_t z)
{
	z += 0x9e3779b97f4a7c15;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static void note_hit(const struct job *j)
{
	mode_hit[j->mode] = true;
	scenario_hit[j->point.scenario - scenarios] = true;
	disk_hit = true;
}

static void report(const struct job *j)
{
	const struct verdict *v = &j->verdict;

	points++;
	injected += v->injected > 0;
	if (v->injected)
		note_hit(j);
	in_json_c += v->in_json_c;
	started_twice += v->started_twice;
	if (v->injected && v->close_status >= 0 && v->close_status < 7)
		stops[v->close_status]++;
	if (v->violations && violations++ < REPORTED)
		printf("# %s%s SEED=%llu inject %s %s %ld %ld (%s): %s\n",
		       disk_kind ? "DISK=" : "", disk_kind ? disk_kind : "",
		       (unsigned long long)j->point.seed, j->point.scenario->name,
		       row->modes[j->mode], j->point.at, j->point.span, v->what, v->text);
	if (v->silent && verbose)
		printf("# silent: %s %s %ld: %s\n", j->point.scenario->name,
		       row->modes[j->mode], j->point.at, v->what);
	fflush(stdout);
}

static void wait_one(void)
{
	int status;
	pid_t pid = wait(&status);

	for (unsigned i = 0; i < job_count; i++) {
		if (jobs[i].pid != pid)
			continue;
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
			printf("# a job failed\n");
			exit(1);
		}
		jobs[i].pid = 0;
		report(&jobs[i]);
		return;
	}
	printf("# process %ld ended, and is no job: %s (status %#x)\n", (long)pid,
	       pid < 0 ? strerror(errno) : "a disk's?", pid < 0 ? 0 : (unsigned)status);
	exit(1);
}

static void start(const struct point *p, unsigned mode)
{
	unsigned i = 0;
	pid_t pid;

	while (i < job_count && jobs[i].pid)
		i++;
	if (i == job_count) {
		wait_one();
		start(p, mode);
		return;
	}
	jobs[i].point = *p;
	jobs[i].mode = mode;
	if (disk_kind)
		jobs[i].point.disk = &jobs[i].disk;
	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		perror("fork");
		exit(1);
	}
	if (pid == 0) {
		point_run(&jobs[i].point, &jobs[i].verdict);
		_exit(0);
	}
	jobs[i].pid = pid;
}

static void wait_all(void)
{
	for (unsigned i = 0; i < job_count; i++) {
		while (jobs[i].pid)
			wait_one();
	}
}

/* AddressSanitizer has an allocator of its own, which the shim leaves alone. */
static bool can_inject(const char *mode)
{
#ifdef __SANITIZE_ADDRESS__
	return strcmp(mode, "ENOMEM") != 0;
#else
	return mode != NULL;
#endif
}

static bool is_wanted(unsigned scenario)
{
	return !only_scenario || strcmp(scenarios[scenario].name, only_scenario) == 0;
}

/* How many calls of this mode there are. */
static long measure(const struct scenario *s, const struct shim_mode *mode, uint64_t seed)
{
	struct point p = {.scenario = s, .mode = *mode, .span = 1, .seed = seed};
	struct verdict v;

	p.mode.action = SHIM_PASS;
	point_run(&p, &v);
	if (v.violations) {
		violations++;
		printf("# %s without a fault: %s\n", s->name, v.text);
	}
	return v.total;
}

/* Is that enough? */
static bool is_over(void)
{
	return first_only && violations;
}

/* count points of one scenario and one mode: one in each of count equal pieces of the calls. */
static void spread(const struct scenario *s, unsigned m, long count, uint64_t seed)
{
	const struct shim_mode *mode = shim_mode_find(row->modes[m]);
	long total = measure(s, mode, seed);

	for (long i = 0; i < count && total > 0 && !is_over(); i++) {
		struct point p = {.scenario = s, .mode = *mode, .span = 1};
		double piece = (double)total / (double)count;
		uint64_t dice = mix(seed + (uint64_t)i);

		p.seed = dice % 1000000;
		p.at = 1 + (long)(piece * ((double)i + (double)(dice >> 40) / (1 << 24)));
		/* Errors come alone, and in runs that a retry meets again. (The pause before a
		 * retry doubles each time.) */
		if ((mode->action == SHIM_ERROR || mode->action == SHIM_DEVICE) && i % 3 == 2)
			p.span = 2 + (long)((dice >> 20) % 5);
		start(&p, m);
	}
}

/* Of each scenario, all modes. */
static void spread_all(long each, uint64_t seed)
{
	for (unsigned s = 0; s < scenario_count; s++) {
		if (!is_wanted(s))
			continue;
		for (unsigned m = 0; row->modes[m] && !is_over(); m++) {
			if (!can_inject(row->modes[m]))
				continue;
			spread(&scenarios[s], m, each, mix(seed + s * 100 + m));
		}
	}
}

static unsigned disks_of(void)
{
	unsigned count = 0;

	while (row->disks[count])
		count++;
	return count;
}

static void open_disks(void)
{
	for (unsigned i = 0; i < job_count; i++)
		disk_open(&jobs[i].disk, disk_kind);
}

static void close_disks(void)
{
	for (unsigned i = 0; i < job_count; i++)
		disk_close(&jobs[i].disk);
}

/* What of the row has met no fault yet; NULL: nothing. */
static const char *lacking(void)
{
	for (unsigned m = 0; row->modes[m]; m++) {
		if (can_inject(row->modes[m]) && !mode_hit[m])
			return row->modes[m];
	}
	for (unsigned s = 0; s < scenario_count; s++) {
		if (is_wanted(s) && !scenario_hit[s])
			return scenarios[s].name;
	}
	return disk_hit ? NULL : disk_kind;
}

/* Until want faults were injected in all, and some of each kind. */
static void run_share(long want, uint64_t seed)
{
	unsigned modes = 0, turn = 0, among = only_scenario ? 1 : scenario_count;

	for (unsigned m = 0; row->modes[m]; m++)
		modes += can_inject(row->modes[m]);
	/* A point whose calls came in another order may miss: then there are more. */
	while ((injected < want || lacking()) && turn < 8 && !violations) {
		long each = MAX(want - injected, 0) / (modes * among) + 1;

		spread_all(each, seed + turn * 1000);
		wait_all();
		turn++;
	}
}

static int run_row(bool in_full, uint64_t seed)
{
	const char *points_text = getenv("POINTS");
	const char *none = NULL;
	unsigned tests = 3;
	long want = points_text ? atol(points_text) : in_full ? row->in_full : row->gate;

	if (want <= 0) {
		fprintf(stderr, "inject: POINTS must be a number above 0: %s\n", points_text);
		return 2;
	}
	printf("# SEED=%llu\n", (unsigned long long)seed);
	if (!row->disks[0]) {
		run_share(want, seed);
		none = lacking();
	}
	for (unsigned d = 0; row->disks[d] && !is_over(); d++) {
		long before = injected;

		disk_kind = row->disks[d];
		memset(mode_hit, 0, sizeof(mode_hit));
		memset(scenario_hit, 0, scenario_count * sizeof(*scenario_hit));
		disk_hit = false;
		open_disks();
		run_share(want * (d + 1) / disks_of(), seed + d);
		close_disks();
		none = none ? none : lacking();
		printf("# with %s: %ld\n", disk_kind, injected - before);
	}
	if (in_json_c)
		printf("# died in json-c for want of memory: %ld\n", in_json_c);
	if (started_twice)
		printf(
		    "# raw files that had lost bytes got another name at a second start: %ld\n",
		    started_twice);
	if (row->disks[0] && stops[0])
		printf("# stopped, after the fault, with 0: %ld, 5: %ld, 1: %ld\n", stops[0],
		       stops[5], stops[1]);
	printf("# injected: %ld\n# violations: %ld\n", injected, violations);
	printf("%sok 1 - %s: at least %ld faults\n", injected >= want ? "" : "not ", row->title,
	       want);
	printf("%sok 2 - … and no promise was broken\n", violations ? "not " : "");
	printf("%sok 3 - … of each kind, in each scenario%s%s\n", none ? "not " : "",
	       none ? ", but none of " : "", none ? none : "");
	for (unsigned m = 0; row->modes[m]; m++) {
		if (!can_inject(row->modes[m]))
			printf("ok %u - %s # SKIP not under AddressSanitizer, whose allocator "
			       "it is\n",
			       ++tests, row->modes[m]);
	}
	printf("1..%u\n", tests);
	return injected < want || violations || none;
}

static int run_point(char **argv, int argc, uint64_t seed)
{
	const struct scenario *s = scenario_find(argv[1]);
	const struct shim_mode *mode = shim_mode_find(argv[2]);
	struct point p = {.scenario = s, .seed = seed, .span = argc > 4 ? atol(argv[4]) : 1};
	struct verdict v;

	if (!s || !mode) {
		fprintf(stderr, "inject: no such scenario or mode\n");
		return 2;
	}
	p.mode = *mode;
	p.at = atol(argv[3]);
	if (p.mode.action == SHIM_HOOK || p.mode.action == SHIM_DEVICE) {
		disk_kind = getenv("DISK")		   ? getenv("DISK")
			    : p.mode.action == SHIM_DEVICE ? "heal"
							   : "ext4";
		job_count = 1;
		open_disks();
		p.disk = &jobs[0].disk;
	}
	point_run(&p, &v);
	if (disk_kind)
		close_disks();
	printf("# total %ld, injected %ld (%s)%s\n# %s\n", v.total, v.injected, v.what,
	       v.silent ? ", and no one was told" : "",
	       v.violations ? v.text : "no promise was broken");
	return v.violations != 0;
}

int main(int argc, char **argv)
{
	const char *seed_text = getenv("SEED"), *jobs_text = getenv("JOBS");
	uint64_t seed =
	    seed_text ? strtoull(seed_text, NULL, 10) : (uint64_t)time(NULL) % 100000;
	unsigned char digest[EVP_MAX_MD_SIZE];
	bool in_full =
	    getenv("NOTEPACKFS_LONG") || (argc > 2 && strcmp(argv[2], "--long") == 0);

	/* libcrypto 3.0 takes a NULL lock when its first use meets a lack of memory; a daemon has
	 * used it before anyone writes. */
	EVP_Digest("", 0, digest, NULL, EVP_sha256(), NULL);
	if (jobs_text)
		job_count = (unsigned)atoi(jobs_text);
	verbose = getenv("FI_VERBOSE");
	first_only = getenv("FIRST");
	only_scenario = getenv("SCENARIO");
	if (only_scenario && !scenario_find(only_scenario)) {
		fprintf(stderr, "inject: no such scenario: %s\n", only_scenario);
		return 2;
	}
	if (job_count < 1 || job_count > JOBS_MAX)
		job_count = 8;
	jobs = mmap(NULL, job_count * sizeof(*jobs), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	scenario_hit = calloc(scenario_count, sizeof(*scenario_hit));
	if (jobs == MAP_FAILED || !scenario_hit)
		return 2;
	for (size_t i = 0; argc >= 2 && i < sizeof(rows) / sizeof(*rows); i++) {
		if (strcmp(rows[i].name, argv[1]) != 0)
			continue;
		if (rows[i].disks[0])
			job_count = 2;
		row = &rows[i];
		return run_row(in_full, seed);
	}
	if (argc == 4 || argc == 5)
		return run_point(argv, argc, seed);
	fprintf(stderr, "usage: %s ROW [--long] | SCENARIO MODE K [SPAN]\n", argv[0]);
	return 2;
}
