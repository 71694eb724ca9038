/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * powerwriter write DIR STORE RECORD SEED ROUND COUNT	write into the mount at DIR, and cut the
 *		power of the file system that holds STORE right behind acknowledgement COUNT
 * powerwriter verify DIR RECORD			is what was acknowledged there?
 *
 * The cut is the shutdown ioctl of ext4 and XFS without a flush of the journal: what was not
 * made durable by then is lost.
 */
#include "tests/crash/witness.h"

#include <sys/ioctl.h>

#include "lib/proto.h"

#define SHUTDOWN _IOR('X', 125, uint32_t)
#define SHUTDOWN_NOLOGFLUSH 2
#define LIVE 64
#define WRITE_MAX 65536

static const char *root, *store;
static uint64_t random_state, next_key, acks_left;

/* Files that are closed, and not acknowledged yet. */
static struct live {
	uint64_t key, size;
} live[LIVE];
static size_t live_count;

static struct {
	int fd;
	uint64_t key, size;
} app = {.fd = -1};

static void die(const char *what)
{
	printf("# powerwriter: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t below(uint64_t limit)
{
	return witness_mix(random_state++) % limit;
}

/* What was promised is in the record: now, or some other time. */
static void acknowledged(void)
{
	uint32_t flags = SHUTDOWN_NOLOGFLUSH;
	int fd;

	if (--acks_left > 0)
		return;
	fd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, SHUTDOWN, &flags) != 0)
		die("the shutdown ioctl");
	exit(0);
}

static const char *path_of(const char *name)
{
	static char path[2][4096];
	static int turn;

	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", root, name);
	return path[turn];
}

static int create(uint64_t key, const char *name, int flags)
{
	int fd;

	witness_note("create %llu %s\n", (unsigned long long)key, name);
	fd = open(path_of(name), O_WRONLY | O_CREAT | O_EXCL | flags, 0644);
	if (fd < 0)
		die(name);
	return fd;
}

static void append(int fd, uint64_t key, uint64_t *size, size_t len)
{
	static char buf[WRITE_MAX];
	ssize_t n;

	witness_fill(buf, len, key, *size);
	n = write(fd, buf, len);
	if (n < 0)
		die("write");
	*size += (uint64_t)n;
}

static void note_sync(uint64_t key, uint64_t size)
{
	witness_note("sync %llu %llu\n", (unsigned long long)key, (unsigned long long)size);
}

static void sync_file(int fd, uint64_t key, uint64_t size)
{
	if (fsync(fd) != 0)
		die("fsync");
	note_sync(key, size);
	acknowledged();
}

static void new_file(const char *prefix, bool sync)
{
	char name[WITNESS_NAME];
	uint64_t key = next_key++, size = 0;
	int fd;

	snprintf(name, sizeof(name), "%s%s-%llu", prefix, sync ? "synced" : "closed",
		 (unsigned long long)key);
	fd = create(key, name, 0);
	append(fd, key, &size, 1 + below(WRITE_MAX));
	append(fd, key, &size, 1 + below(5000));
	if (sync)
		sync_file(fd, key, size);
	if (sync && below(2)) /* bytes behind the acknowledged ones */
		append(fd, key, &size, 1 + below(5000));
	if (close(fd) != 0)
		die("close");
	if (live_count < LIVE)
		live[live_count++] = (struct live){.key = key, .size = size};
}

/* A wait returned: everything that was closed is in the manifest. */
static void wait_for_manifest(void)
{
	static struct proto_request request = {.op = PROTO_WAIT};
	int fd;

	if (!live_count)
		return;
	fd = open(path_of(".notepackfs/status"), O_RDONLY | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, PROTO_IOCTL, &request) != 0)
		die("wait");
	close(fd);
	for (size_t i = 0; i < live_count; i++)
		note_sync(live[i].key, live[i].size);
	live_count = 0;
	acknowledged();
}

/* "mv app.log app.log.KEY" and a new app.log, as a logger does it. */
static void rotate(void)
{
	char name[WITNESS_NAME];
	uint64_t old = app.key;

	if (app.fd >= 0) {
		snprintf(name, sizeof(name), "app.log.%llu", (unsigned long long)old);
		witness_note("move %llu %s\n", (unsigned long long)old, name);
		if (rename(path_of("app.log"), path_of(name)) != 0)
			die("rename");
		if (close(app.fd) != 0)
			die("close");
	}
	app.key = next_key++;
	app.size = 0;
	app.fd = create(app.key, "app.log", O_APPEND);
	append(app.fd, app.key, &app.size, 1 + below(5000));
	if (fsync(app.fd) != 0)
		die("fsync");
	/* The new name is durable, so the old one's move is. */
	if (old)
		witness_note("moved %llu\n", (unsigned long long)old);
	note_sync(app.key, app.size);
	acknowledged();
}

static void log_more(void)
{
	append(app.fd, app.key, &app.size, 1 + below(3000));
	sync_file(app.fd, app.key, app.size);
}

static void step(void)
{
	uint64_t what = below(100);

	if (what < 25)
		new_file(below(2) ? "sub/" : "", true);
	else if (what < 50)
		new_file(below(2) ? "sub/" : "", false);
	else if (what < 65)
		wait_for_manifest();
	else if (what < 75)
		rotate();
	else
		log_more();
}

static void run_writer(const char *record, uint64_t seed, uint64_t round)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	witness_open(record);
	random_state = witness_mix(seed) + round * 1000003;
	next_key = 1000 + round * 1000000;
	if (mkdir(path_of("sub"), 0755) != 0 && errno != EEXIST)
		die("mkdir");
	rotate();
	for (;;)
		step();
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "verify") == 0)
		return witness_verify(argv[2], argv[3], false);
	if (argc != 8 || strcmp(argv[1], "write") != 0) {
		fprintf(
		    stderr,
		    "usage: %s write DIR STORE RECORD SEED ROUND COUNT | verify DIR RECORD\n",
		    argv[0]);
		return 2;
	}
	root = argv[2];
	store = argv[3];
	acks_left = strtoull(argv[7], NULL, 10);
	run_writer(argv[4], strtoull(argv[5], NULL, 10), strtoull(argv[6], NULL, 10));
	return 0;
}
