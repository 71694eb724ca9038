/* SPDX-License-Identifier: BSD-2-Clause */
/*
 *	crashwriter write DIR RECORD SEED ROUND
 *		write into the mount at DIR until the daemon dies, or SIGTERM comes; note what was
 *		accepted in RECORD
 *	crashwriter try DIR RECORD SEED ROUND
 *		… until it is told of an error, or SIGTERM comes
 *	crashwriter outlive DIR STORE RECORD KEY
 *		write one file in the mount at DIR until the daemon dies, and go on writing into the raw
 *		file that it has open, in STORE, until SIGTERM: as a program does whose writes the
 *		kernel passes through
 *	crashwriter verify DIR RECORD
 *		is it all there?
 *
 * Writes several files in turn: some stay open and are fsynced, some are closed, some are
 * closed and appended to, some get their name by a rename, some are renamed later.
 */
#include "tests/crash/witness.h"

#include <signal.h>
#include <sys/mount.h>
#include <time.h>

#define LOGS 3
#define RECENT 8
#define WRITE_MAX 65536
#define BURST_LINES 30	  /* on average, of who outlives daemons … */
#define PAUSE_NS 80000000 /* … and how long it rests between two: all may be sealed by then */

static volatile sig_atomic_t stopped;
static bool expects_errors;
static const char *root;
static uint64_t random_state, next_key;

/* A file that was closed in this round. */
static struct recent {
	uint64_t key, size;
	char name[WITNESS_NAME];
} recent[RECENT];

static void on_term(int signo)
{
	stopped = 1;
}

static uint64_t below(uint64_t limit)
{
	return witness_mix(random_state++) % limit;
}

/* The daemon is dead: nothing more to do. Anything else is a failure of the test, but for one that
 * waits for errors. */
static void give_up(const char *what, const char *name)
{
	if (expects_errors) {
		printf("# told: %s: %s: %s\n", name, what, strerror(errno));
		exit(0);
	}
	if (errno == ENOTCONN || errno == ECONNABORTED || errno == EIO)
		exit(0);
	printf("# crashwriter: %s: %s: %s\n", name, what, strerror(errno));
	exit(1);
}

static const char *path_of(const char *name)
{
	static char path[2][4096];
	static int turn;

	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", root, name);
	return path[turn];
}

static void append(int fd, uint64_t key, uint64_t *size, size_t len, const char *name)
{
	static char buf[WRITE_MAX];
	ssize_t n;

	witness_fill(buf, len, key, *size);
	n = write(fd, buf, len);
	if (n < 0)
		give_up("write", name);
	*size += (uint64_t)n;
	witness_note("size %llu %llu\n", (unsigned long long)key, (unsigned long long)*size);
}

static int open_file(const char *name, uint64_t key, int flags)
{
	int fd;

	if (flags & O_EXCL)
		witness_note("create %llu %s\n", (unsigned long long)key, name);
	fd = open(path_of(name), O_WRONLY | O_CREAT | flags, 0644);
	if (fd < 0)
		give_up("open", name);
	if (flags & O_EXCL)
		witness_note("created %llu\n", (unsigned long long)key);
	return fd;
}

static void rename_file(struct recent *r, const char *to)
{
	witness_note("move %llu %s\n", (unsigned long long)r->key, to);
	if (rename(path_of(r->name), path_of(to)) != 0)
		give_up("rename", to);
	witness_note("moved %llu\n", (unsigned long long)r->key);
	snprintf(r->name, sizeof(r->name), "%s", to);
}

/* ---- files that stay open, over all rounds ---- */

static struct {
	int fd;
	uint64_t size;
	char name[WITNESS_NAME];
} logs[LOGS];

static void open_log(int i)
{
	uint64_t key = 1 + (uint64_t)i;
	struct stat st;

	snprintf(logs[i].name, sizeof(logs[i].name), "log-%d", i);
	if (stat(path_of(logs[i].name), &st) == 0) {
		logs[i].fd = open_file(logs[i].name, key, O_APPEND);
	} else if (errno == ENOENT) {
		logs[i].fd = open_file(logs[i].name, key, O_APPEND | O_EXCL);
	} else {
		give_up("stat", logs[i].name);
	}
	/* A write that was cut off by the crash may have left more than was accepted. */
	if (fstat(logs[i].fd, &st) != 0)
		give_up("fstat", logs[i].name);
	logs[i].size = (uint64_t)st.st_size;
}

static void write_log(void)
{
	int i = (int)below(LOGS);

	append(logs[i].fd, 1 + (uint64_t)i, &logs[i].size, 1 + below(3000), logs[i].name);
	if (i > 0 && below(4) == 0) {
		if (fsync(logs[i].fd) != 0)
			give_up("fsync", logs[i].name);
		witness_note("sync %d %llu\n", 1 + i, (unsigned long long)logs[i].size);
	}
}

/* ---- files that are closed ---- */

static void write_some(int fd, struct recent *r)
{
	for (uint64_t n = 1 + below(4); n > 0; n--)
		append(fd, r->key, &r->size, 1 + below(below(8) ? 4000 : WRITE_MAX), r->name);
}

static void new_file(const char *prefix, const char *suffix)
{
	struct recent *r = &recent[below(RECENT)];
	int fd;

	memset(r, 0, sizeof(*r));
	r->key = next_key++;
	snprintf(r->name, sizeof(r->name), "%s-%llu%s", prefix, (unsigned long long)r->key,
		 suffix);
	fd = open_file(r->name, r->key, O_EXCL);
	write_some(fd, r);
	if (close(fd) != 0)
		give_up("close", r->name);
	if (*suffix) { /* it gets its real name now */
		char to[WITNESS_NAME];

		snprintf(to, sizeof(to), "named-%llu", (unsigned long long)r->key);
		rename_file(r, to);
	}
}

static void append_again(void)
{
	struct recent *r = &recent[below(RECENT)];
	int fd;

	if (!r->key)
		return;
	fd = open_file(r->name, r->key, O_APPEND);
	write_some(fd, r);
	if (close(fd) != 0)
		give_up("close", r->name);
}

static void rename_again(void)
{
	struct recent *r = &recent[below(RECENT)];
	char to[WITNESS_NAME];

	if (!r->key)
		return;
	snprintf(to, sizeof(to), "%s%llu-%llu", below(2) ? "sub/moved-" : "moved-",
		 (unsigned long long)r->key, (unsigned long long)below(1000000));
	rename_file(r, to);
}

static void step(void)
{
	uint64_t what = below(100);

	if (what < 45)
		write_log();
	else if (what < 65)
		new_file("closed", "");
	else if (what < 75)
		new_file("named", ".tmp");
	else if (what < 90)
		append_again();
	else
		rename_again();
}

static int run_writer(uint64_t seed, uint64_t round)
{
	random_state = witness_mix(seed) + round * 1000003;
	next_key = 1000 + round * 1000000;
	if (mkdir(path_of("sub"), 0755) != 0 && errno != EEXIST)
		give_up("mkdir", "sub");
	for (int i = 0; i < LOGS; i++)
		open_log(i);
	while (!stopped)
		step();
	return 0;
}

/* ---- a file that is written whatever becomes of daemons ---- */

static void set_paths(const char *dir, const char *record)
{
	struct sigaction sa = {.sa_handler = on_term};

	setvbuf(stdout, NULL, _IONBF, 0);
	sigaction(SIGTERM, &sa, NULL);
	root = dir;
	witness_open(record);
}

static int outlive(const char *store, uint64_t key)
{
	struct timespec pause = {0};
	char name[WITNESS_NAME], line[WITNESS_LINE], path[4096];
	uint64_t size = 0;
	struct stat st;
	int fd, raw;

	random_state = key;
	snprintf(name, sizeof(name), "outlives-%llu", (unsigned long long)key);
	snprintf(path, sizeof(path), "%s/%s", store, name);
	fd = open_file(name, key, O_APPEND | O_EXCL);
	raw = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (raw < 0)
		give_up("open in the store", path);
	while (!stopped) {
		witness_fill(line, sizeof(line), key, size);
		if (write(fd, line, sizeof(line)) == sizeof(line)) {
			size += sizeof(line);
		} else {
			/* What a dying daemon was given may be there, or half of it. */
			if (fd == raw || fstat(raw, &st) != 0) {
				printf("# %s: the raw file: %s\n", name, strerror(errno));
				return 1;
			}
			close(fd);
			fd = raw;
			size = (uint64_t)st.st_size;
		}
		witness_note("size %llu %llu\n", (unsigned long long)key,
			     (unsigned long long)size);
		if (below(BURST_LINES) == 0) {
			pause.tv_nsec = (long)below(PAUSE_NS);
			nanosleep(&pause, NULL);
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "verify") == 0)
		return witness_verify(argv[2], argv[3], true);
	if (argc == 3 && strcmp(argv[1], "abort") == 0)
		return umount2(argv[2], MNT_FORCE) == 0 || errno == EBUSY ? 0 : 1;
	if (argc == 6 && strcmp(argv[1], "outlive") == 0) {
		set_paths(argv[2], argv[4]);
		return outlive(argv[3], strtoull(argv[5], NULL, 10));
	}
	expects_errors = argc == 6 && strcmp(argv[1], "try") == 0;
	if (argc != 6 || (strcmp(argv[1], "write") != 0 && !expects_errors)) {
		fprintf(stderr,
			"usage: %s write|try DIR RECORD SEED ROUND | outlive DIR STORE RECORD "
			"KEY |\n"
			"       verify DIR RECORD | abort DIR\n",
			argv[0]);
		return 2;
	}
	set_paths(argv[2], argv[3]);
	return run_writer(strtoull(argv[4], NULL, 10), strtoull(argv[5], NULL, 10));
}
