/* SPDX-License-Identifier: BSD-2-Clause */
/*
 *	flips [--long]		flipped bits and cut ends of objects, imports and the manifest
 *
 * Environment: SEED; FIRST, the first violation ends it; POINTS, so many.
 *
 * A damaged object gives EIO and never a wrong byte, and check --deep reports it; a damaged manifest
 * is refused, or says the same; a damaged import is refused, or has the same content (a bit of its
 * header may mean nothing).
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/check.h"
#include "lib/log.h"
#include "tests/crash/world_impl.h"

#define GATE 5000
#define IN_FULL 100000
#define FILE_MAX 65536

static long injected, violations, noticed;
static uint64_t dice_state;

static uint64_t dice(uint64_t limit)
{
	uint64_t z = dice_state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return (z ^ (z >> 31)) % limit;
}

static char store_dir[64]; /* the world's */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void remove_store(void)
{
	nftw(store_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void bad(const char *what, const char *name, const char *damage)
{
	if (violations++ < 20)
		printf("# %s: %s: %s\n", name, damage, what);
	if (getenv("FIRST")) {
		printf("not ok 1 - flipped bits and cut ends\n1..1\n");
		remove_store();
		exit(1);
	}
}

struct victim {
	char path[512];
	uint8_t whole[FILE_MAX];
	size_t len;
	char damage[64];
};

static void put(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fd < 0 || write(fd, data, len) != (ssize_t)len) {
		perror(path);
		exit(2);
	}
	close(fd);
}

static void victim_load(struct victim *v, const struct world *w, const char *name)
{
	int fd;
	ssize_t n;

	snprintf(v->path, sizeof(v->path), "%s/%s", w->dir, name);
	fd = open(v->path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, v->whole, sizeof(v->whole));
	if (n <= 0 || n == FILE_MAX) {
		perror(v->path);
		exit(2);
	}
	close(fd);
	v->len = (size_t)n;
	chmod(v->path, 0600);
}

/* The turn-th damage: each byte in turn, a bit of it by dice; every eighth time the end is cut. */
static size_t damage(struct victim *v, long turn, uint8_t *out)
{
	size_t at = (size_t)turn % v->len;
	int bit = (int)dice(8);

	memcpy(out, v->whole, v->len);
	injected++;
	if (turn % 8 == 7) {
		snprintf(v->damage, sizeof(v->damage), "cut to %zu bytes", at);
		return at;
	}
	out[at] ^= (uint8_t)(1 << bit);
	snprintf(v->damage, sizeof(v->damage), "bit %d of byte %zu flipped", bit, at);
	return v->len;
}

/* ---- objects ---- */

static void problem(void *ctx, const struct check_problem *p)
{
}

static bool check_reports(int storefd)
{
	struct check_options options = {.deep = true, .problem = problem};
	struct manifest_error error = {.text = ""};
	struct check_counts counts = {.problems = 0};

	return check_store(storefd, &options, &counts, &error) != 0 || counts.problems > 0;
}

/* Read all of a plain name; every byte that comes is right. */
static void read_damaged(struct store *s, const struct promise *p, const char *damage_text)
{
	struct caller c = {.uid = getuid(), .gid = getgid()};
	static char buf[FILE_MAX];
	struct handle *h;
	struct node *n;
	uint64_t pos = 0;
	ssize_t got = -EIO;
	int err = world_lookup(s, p->name, &n);

	if (err) {
		bad(strerror(-err), p->name, damage_text);
		return;
	}
	while ((err = store_open_node(s, &c, n, O_RDONLY, &h)) == STORE_BUSY)
		store_wait_idle(s, c.busy);
	if (!err) {
		while ((got = store_read(h, buf, 1000, pos)) > 0) {
			if (!world_has_content(p, buf, (size_t)got, pos))
				bad("wrong bytes", p->name, damage_text);
			pos += (uint64_t)got;
		}
		store_release(h);
	}
	if (got == 0 && pos != p->accepted)
		bad("too short, and no error", p->name, damage_text);
	noticed += err || got < 0;
	if ((err && err != -EIO) || (got < 0 && got != -EIO))
		bad(strerror((int)(err ? -err : -got)), p->name, damage_text);
	node_unref(s, n, 1);
}

static void damage_object(struct world *w, struct store *s, const char *plain,
			  const char *object, long count)
{
	struct promise *p = world_find(w, plain);
	int storefd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	static uint8_t out[FILE_MAX];
	struct victim v;

	victim_load(&v, w, object);
	for (long i = 0; i < count; i++) {
		size_t len = damage(&v, i, out);

		put(v.path, out, len);
		read_damaged(s, p, v.damage);
		if (!check_reports(storefd))
			bad("check --deep finds nothing", object, v.damage);
		put(v.path, v.whole, v.len);
	}
	close(storefd);
}

/* ---- the manifest ---- */

static void damage_manifest(struct world *w, long count)
{
	struct manifest_options options = {.read_only = true};
	int storefd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	static uint8_t out[FILE_MAX];
	struct victim v;

	victim_load(&v, w, ".notepackfs/manifest");
	for (long i = 0; i < count; i++) {
		struct manifest_error error = {.text = ""};
		struct manifest *m = NULL;
		size_t len = damage(&v, i, out);
		int err;

		put(v.path, out, len);
		err = manifest_open(storefd, &options, &m, &error);
		if (!err)
			bad("is taken for a whole one", "manifest", v.damage);
		else if (!error.text[0] && err != -EPROTO)
			bad("refused without a reason", "manifest", v.damage);
		noticed += err != 0;
		manifest_close(m);
	}
	put(v.path, v.whole, v.len);
	close(storefd);
}

/* ---- imports ---- */

static void import_damaged(struct store *s, const struct victim *v, const uint8_t *data,
			   size_t len, long number)
{
	struct caller c = {.uid = getuid(), .gid = getgid()};
	char name[64];
	struct handle *h;
	struct node *n;

	snprintf(name, sizeof(name), "bad-%ld.notepack.gz", number);
	if (store_create(s, &c, store_root(s), name, 0644, O_WRONLY, &n, &h) != 0) {
		bad("cannot be created", name, v->damage);
		return;
	}
	for (size_t done = 0; done < len;) {
		ssize_t r = store_write(h, data + done, len - done, done, false);

		if (r <= 0) {
			bad("cannot be written", name, v->damage);
			break;
		}
		done += (size_t)r;
	}
	store_release(h);
	node_unref(s, n, 1);
}

static void damage_imports(struct world *w, struct store *s, long count)
{
	static uint8_t out[FILE_MAX];
	struct promise *p = world_find(w, "imported"), q = *p;
	struct victim v;

	victim_load(&v, w, "imported.notepack.gz");
	for (long i = 0; i < count; i++) {
		size_t len = damage(&v, i, out);

		if (len == 0) { /* an empty one waits for its bytes: not one that is judged */
			injected--;
			continue;
		}
		import_damaged(s, &v, out, len, i);
	}
	world_seal(w, s);
	for (long i = 0; i < count; i++) {
		struct node *n;

		snprintf(q.name, sizeof(q.name), "bad-%ld", i);
		if (world_lookup(s, q.name, &n) == 0) { /* adopted: then it is right */
			node_unref(s, n, 1);
			read_damaged(s, &q, "adopted");
		} else {
			noticed++;
		}
	}
}

int main(int argc, char **argv)
{
	bool in_full =
	    getenv("NOTEPACKFS_LONG") || (argc > 1 && strcmp(argv[1], "--long") == 0);
	const char *seed = getenv("SEED");
	const char *points = getenv("POINTS");
	long want = points ? atol(points) : in_full ? IN_FULL : GATE;
	struct world *w = world_new();
	struct store *s;

	dice_state = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) % 100000;
	printf("# SEED=%llu\n", (unsigned long long)dice_state);
	log_open("flips", false, LOG_CRIT);
	snprintf(w->dir, sizeof(w->dir), "/dev/shm/notepackfs-flips-XXXXXX");
	if (!mkdtemp(w->dir)) {
		perror(w->dir);
		return 2;
	}
	snprintf(store_dir, sizeof(store_dir), "%.60s", w->dir);
	s = world_open(w, 0);
	world_put(w, s, "small", 1500);
	world_put(w, s, "larger", 9000);
	world_import(w, s, "imported", 4000);
	world_seal(w, s);
	damage_object(w, s, "small", "small.notepack.gz", want * 3 / 10);
	damage_object(w, s, "larger", "larger.notepack.gz", want * 3 / 10);
	damage_object(w, s, "imported", "imported.notepack.gz", want * 2 / 10);
	damage_manifest(w, want / 10);
	damage_imports(w, s, want / 10 + 20);
	world_close(w, s);
	if (w->close_status != 0)
		bad("the stop failed", "store", "afterwards");
	printf("# injected: %ld\n# noticed: %ld\n# violations: %ld\n", injected, noticed,
	       violations);
	printf("%sok 1 - flipped bits and cut ends: at least %ld\n",
	       injected >= want ? "" : "not ", want);
	printf("%sok 2 - … give EIO, a refusal, or the right bytes\n1..2\n",
	       violations || noticed * 10 < injected * 7 ? "not " : "");
	if (!violations) {
		remove_store();
		return injected < want;
	}
	return 1;
}
