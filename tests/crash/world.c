/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/crash/world_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/bytes.h"

#define NEVER_NS ((int64_t)3600 * 1000000000)
#define IO_BYTES 131072
#define IMPORT_MAX 262144

struct world *world_new(void)
{
	struct world *w =
	    mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (w == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	w->close_status = -1;
	return w;
}

void world_violation(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (w->violations++)
		return;
	va_start(ap, fmt);
	vsnprintf(w->verdict, sizeof(w->verdict), fmt, ap);
	va_end(ap);
}

static uint64_t mix(uint64_t z)
{
	z += 0x9e3779b97f4a7c15;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* Lines of 64 bytes, each different; no NUL and no newline but at their ends. */
void world_fill(char *out, size_t len, uint64_t key, uint64_t offset)
{
	static const char hex[] = "0123456789abcdef";
	char line[65] = "................: a line of what was promised, of sixty-four by\n";

	for (size_t i = 0; i < len;) {
		uint64_t value = mix(key << 32 ^ (offset + i) / 64);
		size_t skip = (offset + i) % 64, n = MIN(64 - skip, len - i);

		for (int d = 0; d < 16; d++)
			line[d] = hex[value >> (4 * d) & 15];
		memcpy(out + i, line + skip, n);
		i += n;
	}
}

bool world_has_content(const struct promise *p, const char *data, size_t len, uint64_t offset)
{
	char want[4096];

	for (size_t i = 0; i < len; i += sizeof(want)) {
		size_t n = MIN(sizeof(want), len - i);

		world_fill(want, n, p->key, offset + i);
		if (memcmp(data + i, want, n) != 0)
			return false;
	}
	return true;
}

/* ---- the engine ---- */

static struct caller me(void)
{
	return (struct caller){.uid = getuid(), .gid = getgid()};
}

static struct store *open_store(struct world *w, int64_t grace_ns, int64_t scrub_ns,
				uint64_t rotate_bytes)
{
	struct store_options options = {
	    .path = w->dir,
	    .level = 1,
	    .threads = 2,
	    .grace_ns = grace_ns,
	    .fsync_seals = true,
	    .cut_age_ns = NEVER_NS,
	    .allow_delete = true,
	    .scrub_ns = scrub_ns,
	    .rotate_bytes = rotate_bytes,
	};
	struct store_error error = {.text = ""};
	struct store *s = NULL;

	if (store_open(&options, NULL, &s, &error) == 0)
		return s;
	fprintf(stderr, "store_open: %s\n", error.text);
	if (!error.text[0] || !error.exit_status)
		world_violation(w, "the start failed, and did not say why");
	w->close_status = -2;
	return NULL;
}

struct store *world_open(struct world *w, int64_t grace_ns)
{
	return open_store(w, grace_ns, 0, 0);
}

struct store *world_open_scrubbed(struct world *w)
{
	return open_store(w, 0, 1, 0);
}

struct store *world_open_rotating(struct world *w, uint64_t bytes)
{
	return open_store(w, NEVER_NS, 0, bytes);
}

void world_close(struct world *w, struct store *s)
{
	if (s)
		w->close_status = store_close(s);
}

/* ---- promises ---- */

struct promise *world_find(struct world *w, const char *name)
{
	for (unsigned i = w->count; i-- > 0;) {
		if (strcmp(w->list[i].name, name) == 0)
			return &w->list[i];
	}
	fprintf(stderr, "no file %s in the world\n", name);
	abort();
}

static struct promise *new_promise(struct world *w, const char *name)
{
	struct promise *p = &w->list[w->count];

	if (w->count == WORLD_FILES) {
		fprintf(stderr, "the world is full\n");
		abort();
	}
	*p = (struct promise){.key = w->seed << 8 | (w->count + 1)};
	snprintf(p->name, sizeof(p->name), "%s", name);
	w->count++;
	return p;
}

void world_failed(struct world *w, int err)
{
	if (err)
		w->errors++;
}

/* The directory that holds path, referenced, and the name in it. */
static int walk(struct store *s, const char *path, struct node **dir, const char **name)
{
	struct node *n = store_root(s), *next;
	const char *slash;

	node_ref(s, n);
	while ((slash = strchr(path, '/'))) {
		char part[WORLD_NAME];
		int err;

		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		err = store_lookup(s, n, part, &next);
		node_unref(s, n, 1);
		if (err)
			return err;
		n = next;
		path = slash + 1;
	}
	*dir = n;
	*name = path;
	return 0;
}

int world_lookup(struct store *s, const char *path, struct node **out)
{
	struct node *dir;
	const char *name;
	int err = walk(s, path, &dir, &name);

	if (err)
		return err;
	err = store_lookup(s, dir, name, out);
	node_unref(s, dir, 1);
	return err;
}

/* ---- writing ---- */

static int create(struct world *w, struct store *s, const char *path, struct handle **h)
{
	struct caller c = me();
	struct node *dir, *n;
	const char *name;
	int err = walk(s, path, &dir, &name);

	if (err)
		return err;
	do
		err = store_create(s, &c, dir, name, 0644, O_WRONLY, &n, h);
	while (err == STORE_BUSY && !(err = world_wait_idle(w, s, c.busy)));
	node_unref(s, dir, 1);
	if (!err)
		node_unref(s, n, 1);
	return err;
}

struct writer world_create(struct world *w, struct store *s, const char *name)
{
	struct writer wr = {.p = new_promise(w, name)};
	int err = create(w, s, name, &wr.h);

	world_failed(w, err);
	if (err)
		wr.h = NULL;
	else if (!atomic_load(&w->frozen))
		wr.p->created = true;
	wr.p->open = wr.h != NULL;
	return wr;
}

struct writer world_append(struct world *w, struct store *s, struct promise *p)
{
	struct writer wr = {.p = p};
	struct caller c = me();
	struct node *n;
	int err = world_lookup(s, p->name, &n);

	if (!err) {
		do
			err = store_open_node(s, &c, n, O_WRONLY | O_APPEND, &wr.h);
		while (err == STORE_BUSY && !(err = world_wait_idle(w, s, c.busy)));
		node_unref(s, n, 1);
	}
	world_failed(w, err);
	if (err)
		wr.h = NULL;
	p->open = wr.h != NULL;
	return wr;
}

void world_write(struct world *w, struct writer *wr, size_t len)
{
	static char buf[IO_BYTES];
	struct promise *p = wr->p;

	while (wr->h && len > 0) {
		size_t n = MIN(len, sizeof(buf));
		ssize_t done;

		world_fill(buf, n, p->key, p->accepted);
		p->tried = MAX(p->tried, p->accepted + n);
		done = store_write(wr->h, buf, n, p->accepted - p->base, false);
		if (done <= 0) { /* a user stops at the first error */
			world_failed(w, (int)done);
			if (done == 0)
				world_violation(w, "%s: a write of %zu bytes did nothing",
						p->name, n);
			return;
		}
		if (!atomic_load(&w->frozen))
			p->accepted += (uint64_t)done;
		len -= (size_t)done;
	}
}

void world_fsync(struct world *w, struct writer *wr)
{
	uint64_t accepted = wr->p->accepted;
	int err;

	if (!wr->h)
		return;
	err = store_fsync(wr->h);
	world_failed(w, err);
	if (err || atomic_load(&w->frozen))
		return;
	wr->p->durable = accepted;
	shim_acknowledged(wr->p->name);
}

void world_release(struct writer *wr)
{
	if (!wr->h)
		return;
	store_flush(wr->h);
	store_release(wr->h);
	wr->h = NULL;
	wr->p->open = false;
}

struct promise *world_put(struct world *w, struct store *s, const char *name, size_t len)
{
	struct writer wr = world_create(w, s, name);

	world_write(w, &wr, len);
	world_release(&wr);
	return wr.p;
}

void world_import(struct world *w, struct store *s, const char *name, size_t len)
{
	static char gz[IMPORT_MAX];
	struct promise *p = new_promise(w, name);
	char sealed[WORLD_NAME + 16];
	struct handle *h;
	size_t n, done = 0;
	int err;

	p->import = true;
	shim_pause();
	n = world_pack(p->key, len, gz, sizeof(gz));
	shim_resume();
	snprintf(sealed, sizeof(sealed), "%s.notepack.gz", name);
	err = create(w, s, sealed, &h);
	world_failed(w, err);
	if (err)
		return;
	p->tried = len;
	while (done < n) {
		ssize_t r = store_write(h, gz + done, n - done, done, false);

		world_failed(w, r < 0 ? (int)r : 0);
		if (r <= 0)
			break;
		done += (size_t)r;
	}
	err = done == n ? store_fsync(h) : 0;
	world_failed(w, err);
	if (done == n && !atomic_load(&w->frozen)) {
		p->accepted = len;
		p->created = true;
		p->durable = err ? 0 : len;
	}
	store_flush(h);
	store_release(h);
}

/* ---- names ---- */

static bool is_there(struct store *s, const char *path)
{
	struct node *n;

	if (world_lookup(s, path, &n) != 0)
		return false;
	node_unref(s, n, 1);
	return true;
}

void world_mkdir(struct world *w, struct store *s, const char *name)
{
	struct caller c = me();
	struct node *n;
	int err;

	do
		err = store_mkdir(s, &c, store_root(s), name, 0755, &n);
	while (err == STORE_BUSY && !(err = world_wait_idle(w, s, c.busy)));
	world_failed(w, err);
	if (!err)
		node_unref(s, n, 1);
}

/* After an error: as a user finds out. */
static bool was_renamed(struct world *w, struct store *s, struct promise *p)
{
	bool there = is_there(s, p->name);

	/* A run of errors may have hit its undoing: then the next start completes it. */
	if (there && w->shim.span <= 1)
		p->moving = false;
	return !there && is_there(s, p->next);
}

void world_rename(struct world *w, struct store *s, struct promise *p, const char *to)
{
	struct node *from_dir, *to_dir;
	const char *from_name, *to_name;
	struct caller c = me();
	int err;

	snprintf(p->next, sizeof(p->next), "%s", to);
	p->moving = true;
	err = walk(s, p->name, &from_dir, &from_name);
	world_failed(w, err);
	if (err)
		return;
	err = walk(s, to, &to_dir, &to_name);
	world_failed(w, err);
	if (!err) {
		do
			err = store_rename(s, &c, from_dir, from_name, to_dir, to_name, 0);
		while (err == STORE_BUSY && !(err = world_wait_idle(w, s, c.busy)));
		world_failed(w, err);
		node_unref(s, to_dir, 1);
	}
	node_unref(s, from_dir, 1);
	if (atomic_load(&w->frozen) || (err && !was_renamed(w, s, p)))
		return;
	if (p->past_count == WORLD_PAST)
		abort();
	memcpy(p->past[p->past_count++], p->name, sizeof(p->name));
	memcpy(p->name, p->next, sizeof(p->name));
	p->moving = p->sealed = false;
}

void world_remove(struct world *w, struct store *s, struct promise *p)
{
	struct caller c = me();
	struct node *dir;
	const char *name;
	int err = walk(s, p->name, &dir, &name);

	p->removing = true;
	if (!err) {
		do
			err = store_unlink(s, &c, dir, name);
		while (err == STORE_BUSY && !(err = world_wait_idle(w, s, c.busy)));
		node_unref(s, dir, 1);
	}
	world_failed(w, err);
	if (!err && !atomic_load(&w->frozen))
		p->removed = true;
}

bool world_prune(struct world *w, struct store *s, struct promise *p, unsigned part,
		 uint64_t bytes)
{
	char path[WORLD_NAME + 32];
	struct caller c = me();
	struct node *dir;
	const char *name;
	int err;

	if (part == 1)
		snprintf(path, sizeof(path), "%s.notepack.gz", p->name);
	else
		snprintf(path, sizeof(path), "%s.p%09u.notepack.gz", p->name, part);
	p->next_base = p->base + bytes;
	err = walk(s, path, &dir, &name);
	if (!err) {
		do
			err = store_unlink(s, &c, dir, name);
		while (err == STORE_BUSY && !(err = world_wait_idle(w, s, c.busy)));
		node_unref(s, dir, 1);
	}
	world_failed(w, err);
	if (err || atomic_load(&w->frozen))
		return false;
	p->past_base = p->base;
	p->base = p->next_base;
	return true;
}

void world_chmod(struct world *w, struct store *s, struct promise *p, mode_t mode)
{
	struct stat want = {.st_mode = mode}, st;
	unsigned set = STORE_SET_MODE;
	struct caller c = me();
	struct node *n;
	int err = world_lookup(s, p->name, &n);

	if (!err) {
		do
			err = store_setattr(s, &c, n, &want, &set, &st);
		while (err == STORE_BUSY && !(err = world_wait_idle(w, s, c.busy)));
		node_unref(s, n, 1);
	}
	world_failed(w, err);
}
