/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A start over a directory in any state. The first byte is for the run, the rest describes the state
 * (state_make.c).
 *
 *	ro changes nothing.
 *	A start succeeds, unless the manifest is damaged or something lies in the private directory
 *	  that belongs elsewhere: then it may be refused, with a reason.
 *	I1: every byte that raw files held before is held by as many files after it, raw or sealed,
 *	  and every object that was whole is somewhere, unless a removal names it (state_needs).
 *	I2: what has a sealed name, and had not those bytes before, is whole.
 *	I6: a second recovery finds nothing to do, a third where two files claimed one id.
 *	I8: what is read is what was written at that offset, or a hole, or refused.
 *	I10: nothing outside of the store changes.
 *	No descriptor is left open.
 */
#include <errno.h>
#include <fcntl.h>
#include <zlib.h>

#include "lib/layout.h"
#include "lib/log.h"
#include "lib/manifest.h"
#include "lib/object.h"
#include "lib/store.h"
#include "tests/fuzz/fuzz_scratch.h"
#include "tests/fuzz/state.h"

#define NEVER_NS ((int64_t)3600 * 1000000000)
#define RO_FIRST 1
#define STARTS_MAX 4

static char store_path[PATH_MAX];
static struct state state;
static struct holdings held, needed;

/* ---- around the store ---- */

static void make_outside(void)
{
	static const char *const files[] = {"outside/secret",	 "outside/dir/a",
					    "outside/dir/1.gz",	 "outside/dir/lock",
					    "outside/dir/probe", "outside/dir/seal.1.1"};

	MUST(mkdirat(scratch.fd, "store", 0755) == 0);
	MUST(mkdirat(scratch.fd, "outside", 0755) == 0);
	MUST(mkdirat(scratch.fd, "outside/dir", 0755) == 0);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		scratch_put(scratch.fd, files[i], "outside\n", 8);
}

static void list_outside(struct buf *out)
{
	static const char *const skip[] = {"store", NULL};

	state_list(scratch.fd, skip, out);
}

static bool same_text(const struct buf *a, const struct buf *b)
{
	if (a->len == b->len && memcmp(a->data, b->data, a->len) == 0)
		return true;
	fprintf(stderr, "---- before\n%s---- after\n%s", a->data, b->data);
	return false;
}

static int open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	MUST(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* ---- reading through the store ---- */

/* What cannot be read counts as a hole. */
static void read_file(struct store *s, struct node *n, const char *name)
{
	uint8_t data[3 * STREAM_BYTES] = {0};
	struct caller c = {0};
	struct handle *h;
	struct stat st;
	size_t len;

	if (store_getattr(s, n, &st) != 0 || store_open_node(s, &c, n, O_RDONLY, &h) != 0)
		return;
	MUST(st.st_size <= (off_t)sizeof(data));
	len = (size_t)st.st_size;
	for (size_t at = 0; at < len; at += 100) {
		ssize_t got = store_read(h, data + at, MIN(len - at, 100), at);

		MUST(got <= 100);
		if (got < 0)
			memset(data + at, 0, MIN(len - at, 100));
	}
	store_release(h);
	state_check_view(&state, name, data, len);
}

static void walk(struct store *s, struct node *dir);

static void look_at(struct store *s, struct node *dir, const struct store_dirent *e)
{
	struct node *n = NULL;
	char plain[NAME_BYTES + 1], target[PATH_MAX];
	uint32_t part;
	size_t stem;

	if (node_kind(e->node) == NODE_DIR)
		walk(s, e->node);
	else if (node_kind(e->node) == NODE_LINK)
		(void)store_readlink(s, e->node, target, sizeof(target));
	else if (node_kind(e->node) == NODE_FILE &&
		 !name_is_refused(e->name, store_suffix(s)) &&
		 !name_has_sealed_suffix(e->name, store_suffix(s)))
		read_file(s, e->node, e->name);
	if (node_kind(e->node) != NODE_OBJECT ||
	    !name_parse_sealed(e->name, store_suffix(s), &stem, &part))
		return;
	snprintf(plain, sizeof(plain), "%.*s", (int)stem, e->name);
	if (store_lookup(s, dir, plain, &n) != 0)
		return;
	if (node_kind(n) == NODE_FILE)
		read_file(s, n, plain);
	node_unref(s, n, 1);
}

static void walk(struct store *s, struct node *dir)
{
	struct store_dirent e;
	uint64_t cookie = 0;

	while (store_readdir(s, dir, cookie, &e, 1) == 1) {
		cookie = e.cookie;
		look_at(s, dir, &e);
		node_unref(s, e.node, 1);
	}
}

/* ---- running it ---- */

/* Open, look at everything, close. The exit status, or -1: it was refused. */
static int run(bool read_only)
{
	struct store_options options = {
	    .path = store_path,
	    .level = 1,
	    .threads = 1,
	    .grace_ns = NEVER_NS,
	    .fsync_seals = true,
	    .cut_age_ns = NEVER_NS,
	    .read_only = read_only,
	};
	struct store_error error = {.text = ""};
	struct store *s = NULL;

	if (store_open(&options, NULL, &s, &error) != 0) {
		MUST(error.text[0] && error.exit_status >= 1 && error.exit_status <= 4);
		if (!state.odd_manifest && !state.odd_private)
			fprintf(stderr, "%s\n", error.text);
		return -1;
	}
	walk(s, store_root(s));
	return store_close(s);
}

static int set_unclean(struct manifest_txn *txn, void *ctx)
{
	manifest_set_clean(txn, false);
	return 0;
}

static struct manifest *load(bool read_only)
{
	struct manifest_options o = {.read_only = read_only};
	struct manifest_error error;
	struct manifest *m = NULL;

	return manifest_open(state.fd, &o, &m, &error) == 0 ? m : NULL;
}

/* Lines that cannot follow one another make a manifest that is refused. */
static void note_refusal(void)
{
	struct manifest *m = load(true);

	state.odd_manifest = state.odd_manifest || !m;
	manifest_close(m);
}

static void forget_clean_stop(void)
{
	struct manifest *m = load(false);

	MUST(m && manifest_commit(m, set_unclean, NULL) == 0);
	manifest_close(m);
}

/* ---- what is there afterwards ---- */

struct object_bytes {
	uint64_t offset; /* in the file */
};

static int hold(void *ctx, const uint8_t *data, size_t len)
{
	struct object_bytes *o = ctx;

	holdings_add(&held, data, len, o->offset);
	o->offset += len;
	return 0;
}

/* What there was whole and is not found again. */
static struct blob missing[BLOBS_MAX];
static unsigned missing_count;

static void take_blob(uint32_t crc)
{
	for (unsigned i = 0; i < missing_count; i++) {
		if (missing[i].crc32 == crc) {
			missing[i] = missing[--missing_count];
			return;
		}
	}
}

/* An object whose file is recorded with it holds its bytes. */
static int hold_record(void *ctx, const struct sealed *rec, const char *dir, const char *plain)
{
	char path[PATH_MAX], object[NAME_BYTES + 1];
	struct object_bytes o = {.offset = rec->offset};
	struct seekgz_damage damage;
	uint8_t buf[STREAM_BYTES];
	struct object_reader *r;
	const char *reason;
	uint32_t crc = 0;
	int fd;

	if (name_sealed(plain, rec->part, ".notepack", object) != 0)
		return 0;
	snprintf(path, sizeof(path), "%s%s%s", dir, *dir ? "/" : "", object);
	fd = openat(state.fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || object_open(fd, rec, NULL, -1, true, &r, &reason) != 0)
		return 0;
	for (uint64_t at = 0; at < rec->raw_bytes;) {
		ssize_t n = object_read(r, buf, sizeof(buf), at, &damage);

		if (n <= 0)
			break;
		(void)hold(&o, buf, (size_t)n);
		crc = (uint32_t)crc32_z(crc, buf, (size_t)n);
		at += (uint64_t)n;
	}
	object_close(r);
	take_blob(crc); /* one that lay under a plain name may have been sealed */
	return 0;
}

static struct buf before_files; /* " CRC" of each regular file, for those that were bad then */

static void note_file(void *ctx, int fd, const char *path)
{
	CLEANUP_FREE uint8_t *data = NULL;
	size_t len;

	data = state_read(fd, &len);
	buf_printf(&before_files, " %08lx", crc32_z(0, data, len));
}

static bool was_there(uint32_t crc)
{
	char text[16];

	snprintf(text, sizeof(text), " %08x", crc);
	return strstr(before_files.data, text) != NULL;
}

static void account(void *ctx, int fd, const char *path)
{
	bool private = strncmp(path, NAME_PRIVATE "/", strlen(NAME_PRIVATE "/")) == 0;
	CLEANUP_FREE uint8_t *data = NULL;
	struct seekgz_damage damage;
	struct sealed rec;
	uint32_t crc;
	size_t len;

	data = state_read(fd, &len);
	crc = (uint32_t)crc32_z(0, data, len);
	if (!private && !name_has_sealed_suffix(path, state.suffix)) {
		holdings_add(&held, data, len, 0);
	} else if (!private && !was_there(crc)) {
		MUST(object_verify(fd, &rec, NULL, NULL, &damage) == 0); /* I2 */
	}
	take_blob(crc);
}

static bool may_go(uint32_t crc)
{
	for (unsigned i = 0; i < state.removed_count; i++) {
		if (state.removed[i] == crc)
			return true;
	}
	return false;
}

/* Not as it was: a file's bytes may have been cut off into several objects. */
static void need_bytes(const struct blob *b)
{
	uint8_t data[STREAM_BYTES];

	for (uint64_t i = 0; i < b->len; i++)
		data[i] = stream_byte(b->stream, i);
	holdings_add(&needed, data, b->len, 0);
}

static void check_nothing_lost(void)
{
	struct manifest *m = load(true);

	memset(&held, 0, sizeof(held));
	memset(&needed, 0, sizeof(needed));
	state_needs(&state, &needed);
	missing_count = state.blob_count;
	memcpy(missing, state.blobs, sizeof(missing));
	if (m)
		(void)manifest_each(m, hold_record, NULL);
	manifest_close(m);
	state_each(state.fd, "", account, NULL);
	for (unsigned i = 0; i < missing_count; i++) {
		if (missing[i].stream < STREAMS)
			need_bytes(&missing[i]);
		else
			MUST(may_go(missing[i].crc32));
	}
	MUST(holdings_cover(&held, &needed));
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In which order they were recorded says nothing. */
static void add_sorted(struct buf *out, struct buf *lines)
{
	char *list[1024], *rest = lines->data;
	size_t count = 0;

	while (rest && *rest) {
		MUST(count < ARRAY_LEN(list));
		list[count++] = strsep(&rest, "\n");
	}
	qsort(list, count, sizeof(*list), by_text);
	for (size_t i = 0; i < count; i++)
		buf_printf(out, "%s\n", list[i]);
}

static int collect(void *ctx, const struct sealed *rec, const char *dir, const char *plain)
{
	char line[2048];

	snprintf(line, sizeof(line), "%s/%s %llu %u %llu %llu %02x%02x%02x%02x\n", dir, plain,
		 (unsigned long long)rec->id, rec->part, (unsigned long long)rec->offset,
		 (unsigned long long)rec->raw_bytes, rec->sha256[0], rec->sha256[1],
		 rec->sha256[2], rec->sha256[3]);
	buf_str(ctx, line);
	return 0;
}

static void list_all(struct buf *out)
{
	static const char *const skip[] = {
	    LAYOUT_MANIFEST, LAYOUT_LOG, LAYOUT_LOG_OLD, LAYOUT_LOCK, LAYOUT_LAST_STOP,
	    LAYOUT_CHUNKS,   NULL};
	struct manifest *m = load(true);
	CLEANUP_BUF struct buf lines = {0};

	state_list(state.fd, skip, out);
	MUST(m);
	buf_str(&lines, "");
	(void)manifest_each(m, collect, &lines);
	manifest_close(m);
	MUST(!lines.failed);
	add_sorted(out, &lines);
}

/* What the first run could not finish the second may; and what two files claim may be settled by a
 * second, but not go on. */
static void check_again(int status)
{
	CLEANUP_BUF struct buf before = {0}, after = {0};

	list_all(&after);
	for (int starts = 1;; starts++) {
		int again;

		MUST(starts < STARTS_MAX);
		buf_reset(&before);
		buf_add(&before, after.data, after.len + 1);
		buf_reset(&after);
		forget_clean_stop();
		again = run(false);
		list_all(&after);
		MUST(again == 0 || (again == 5 && status == 5));
		if (status != 0 || strcmp(before.data, after.data) == 0) /* I6 */
			return;
		if (starts == STARTS_MAX - 1)
			fprintf(stderr, "---- before\n%s---- after\n%s", before.data,
				after.data);
		status = again;
	}
}

static void check_read_only(void)
{
	CLEANUP_BUF struct buf before = {0}, after = {0};

	state_list(state.fd, NULL, &before);
	(void)run(true);
	state_list(state.fd, NULL, &after);
	MUST(same_text(&before, &after));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint8_t how = input_byte(&in);
	CLEANUP_BUF struct buf before = {0}, after = {0};
	int fds, status;

	log_open("fuzz", false, getenv("FUZZ_LOG") ? LOG_DEBUG : -1);
	scratch_begin();
	snprintf(store_path, sizeof(store_path), "%s/store", scratch.path);
	make_outside();
	CLEANUP_FD int fd = open(store_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	MUST(fd >= 0);
	state_make(&state, fd, &in);
	fds = open_descriptors();
	list_outside(&before);
	buf_reset(&before_files);
	buf_str(&before_files, "");
	state_each(fd, "", note_file, NULL);
	note_refusal();
	if (how & RO_FIRST)
		check_read_only();
	status = run(false);
	MUST(status == 0 || status == 5 ||
	     (status < 0 && (state.odd_manifest || state.odd_private)) ||
	     (status == 1 && state.odd_private));
	if (getenv("FUZZ_LOG"))
		fprintf(stderr, "exit status %d\n", status);
	check_nothing_lost();
	if (state.clean && (status == 0 || status == 5) && !state.odd_private) {
		forget_clean_stop(); /* so far nothing was recovered */
		status = run(false);
		check_nothing_lost();
	}
	if ((status == 0 || status == 5) && !state.odd_private)
		check_again(status);
	list_outside(&after);
	MUST(same_text(&before, &after)); /* I10 */
	MUST(open_descriptors() == fds);
	return 0;
}
