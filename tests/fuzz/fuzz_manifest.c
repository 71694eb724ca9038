/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A whole manifest: header, chunk files, tail; and then changes to it. Three bytes say how it is
 * put together; then sections with a byte 0x1e between them:
 *
 *	RAW	the header line as it is but for its SHA-256, which is added, and the tail
 *	else	chunk file 1, … 3; the tail; changes. The header is made for them, its numbers are
 *		chosen by the bytes.
 *
 * A manifest is refused with a reason, and then nothing has changed; or every record in it is good,
 * and it is the same when it is opened again. What is committed is there after that, and what
 * failed is not.
 */
#include <errno.h>

#include "lib/io.h"
#include "lib/log.h"
#include "lib/manifest_impl.h"
#include "tests/fuzz/fuzz_scratch.h"

#define SEPARATOR 0x1e
#define RAW 1
#define TORN 2
#define CHUNKS_MAX 3

/* ---- making it ---- */

static void hash(const void *data, size_t len, uint8_t *out)
{
	MUST(EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL) == 1);
}

static uint32_t count_lines(const uint8_t *p, size_t len)
{
	uint32_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += p[i] == '\n';
	return n;
}

/* Take the next section off. */
static struct input section(struct input *in)
{
	const uint8_t *end = in->len ? memchr(in->p, SEPARATOR, in->len) : NULL;
	struct input s = {in->p, end ? (size_t)(end - in->p) : in->len};

	in->p += s.len + (end != NULL);
	in->len -= s.len + (end != NULL);
	return s;
}

static uint64_t number(uint8_t how)
{
	static const uint64_t numbers[] = {100000, 100000, 2000,	   5,
					   2,	   1,	   UINT64_MAX - 1, UINT64_MAX};

	return numbers[how % ARRAY_LEN(numbers)];
}

static void add_chunk(struct chunks *list, uint32_t n, const struct input *s)
{
	struct chunk c = {.number = n, .lines = count_lines(s->p, s->len), .bytes = s->len};
	char path[64];

	if (c.lines == 0 || c.lines > MANIFEST_CHUNK_LINES)
		return;
	hash(s->p, s->len, c.sha256);
	manifest_file_chunk_path(path, n);
	scratch_put(scratch.fd, path, s->p, s->len);
	MUST(manifest_chunks_add(list, &c) == 0);
}

static void make_structured(struct input *in, const uint8_t how[3], struct buf *out)
{
	unsigned count = how[0] >> 2 & CHUNKS_MAX;
	struct chunks chunks = {0};
	struct header h = {
	    .generation = MIN(number(how[1]), UINT64_MAX - 1),
	    .next_seq = number(how[1] >> 4),
	    .next_id = number(how[2]),
	    .clean = how[2] >> 7,
	    .suffix = how[2] & 0x40 ? ".x" : ".notepack",
	    .exclude = how[2] & 0x20 ? "*.tmp" : "\xff",
	    .chunks = &chunks,
	};
	struct input tail;

	for (uint32_t i = 1; i <= count; i++) {
		struct input s = section(in);

		add_chunk(&chunks, i, &s);
	}
	tail = section(in);
	h.tail_lines = count_lines(tail.p, tail.len);
	h.tail_bytes = tail.len;
	hash(tail.p, tail.len, h.tail_sha256);
	manifest_header_encode(out, &h, true);
	buf_add(out, tail.p, tail.len);
	free(chunks.items);
}

static void make_raw(struct input *in, struct buf *out)
{
	const uint8_t *end = in->len ? memchr(in->p, '\n', in->len) : NULL;
	size_t len = end ? (size_t)(end - in->p) : in->len;
	uint8_t sha256[SHA256_BYTES];
	char text[2 * SHA256_BYTES + 1];
	struct input rest;

	hash(in->p, len, sha256);
	hex_encode(sha256, SHA256_BYTES, text);
	buf_add(out, in->p, len);
	buf_printf(out, ",\"sha256\":\"%s\"}\n", text);
	in->p += len + (end != NULL);
	in->len -= len + (end != NULL);
	rest = section(in);
	buf_add(out, rest.p, rest.len);
}

/* ---- looking at it ---- */

struct seen {
	const char *suffix;
	uint64_t count;
};

static int look(void *ctx, const struct sealed *s, const char *dir, const char *plain)
{
	struct seen *seen = ctx;

	MUST(!record_check_sealed(s, dir, plain, seen->suffix));
	seen->count++;
	return 0;
}

static int collect(void *ctx, const char *data, size_t len)
{
	buf_add(ctx, data, len);
	return 0;
}

/* Check what is in memory; the live records go to out as text. */
static void inspect(struct manifest *m, struct buf *out)
{
	struct seen seen = {.suffix = manifest_suffix(m)};
	const char *end;

	manifest_check(m);
	MUST(name_check_suffix(seen.suffix) == 0);
	MUST(manifest_each(m, look, &seen) == 0);
	MUST(seen.count == manifest_count(m));
	buf_reset(out);
	MUST(manifest_dump(m, collect, out) == 0);
	end = memchr(out->data, '\n', out->len);
	MUST(end && count_lines((const uint8_t *)out->data, out->len) == seen.count + 1);
	/* Its header is another, with each commit. */
	out->len -= (size_t)(end - out->data);
	memmove(out->data, end, out->len);
}

static struct manifest *load(bool read_only)
{
	struct manifest_options o = {.read_only = read_only};
	struct manifest_error error = {.text = ""};
	struct manifest *m = NULL;
	int err = manifest_open(scratch.fd, &o, &m, &error);

	MUST(err == 0 || err == -EBADMSG || err == -EPROTO);
	MUST(err == 0 || error.text[0]);
	if (err && getenv("FUZZ_LOG"))
		fprintf(stderr, "%s\n", error.text);
	return err ? NULL : m;
}

/* ---- changing it ---- */

static const char *const dirs[] = {"", "a", "b", "a/b", "b/a", "c/d/e", "a/b/c"};

/* From one byte; never the root. */
static const char *dir_of(uint8_t byte)
{
	return dirs[1 + byte % (ARRAY_LEN(dirs) - 1)];
}

static int put(struct manifest_txn *txn, struct input *in)
{
	struct sealed s = {.id = input_below(in, 8) + 1, .part = input_below(in, 3) + 1};
	char plain[16];

	s.raw_bytes = input_byte(in);
	s.offset = input_byte(in);
	snprintf(plain, sizeof(plain), "f%u", input_below(in, 4));
	return manifest_put(txn, &s, dirs[input_below(in, ARRAY_LEN(dirs))], plain);
}

static int change(struct manifest_txn *txn, void *ctx)
{
	struct input *in = ctx;
	uint64_t seq;
	int err = 0;

	for (unsigned n = input_below(in, 4); n > 0 && !err; n--) {
		uint8_t a, b;

		switch (input_below(in, 6)) {
		case 0:
			err = put(txn, in);
			break;
		case 1:
			a = input_byte(in);
			err = manifest_remove(txn, a % 8 + 1, a / 8 % 3 + 1);
			if (err == -ENOENT)
				err = 0;
			break;
		case 2:
			a = input_byte(in);
			b = input_byte(in);
			if (record_move_ok(dir_of(a), dir_of(b)))
				err = manifest_move_dir(txn, dir_of(a), dir_of(b));
			break;
		case 3:
			err = manifest_intent(txn, input_byte(in), "x", "y", &seq);
			break;
		case 4:
			err = manifest_done(txn, input_byte(in));
			break;
		default:
			manifest_set_clean(txn, input_byte(in) & 1);
		}
	}
	return err;
}

static void commit_all(struct manifest *m, struct input *in)
{
	CLEANUP_BUF struct buf before = {0}, after = {0};
	uint64_t id;

	for (unsigned i = 0; i < 8 && in->len > 0; i++) {
		int err;

		inspect(m, &before);
		err = manifest_commit(m, change, in);
		MUST(err == 0 || err == -EINVAL || err == -EOVERFLOW);
		inspect(m, &after);
		MUST(err == 0 || (before.len == after.len &&
				  memcmp(before.data, after.data, after.len) == 0));
	}
	if (manifest_new_id(m, &id) == 0)
		MUST(id > 0 && id < UINT64_MAX);
}

/* ---- the whole ---- */

static void check_unchanged(const struct buf *wanted)
{
	CLEANUP_FREE char *text = NULL;
	size_t len;

	MUST(io_read_file(scratch.fd, MANIFEST_FILE, 1 << 28, &text, &len) == 0);
	MUST(len == wanted->len && memcmp(text, wanted->data, len) == 0);
}

static void check_good(struct manifest *m, struct input *in)
{
	CLEANUP_BUF struct buf first = {0}, second = {0};

	inspect(m, &first);
	manifest_close(m);
	m = load(false);
	MUST(m);
	inspect(m, &second);
	MUST(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
	commit_all(m, in);
	inspect(m, &first);
	manifest_close(m);
	m = load(true);
	MUST(m);
	inspect(m, &second);
	manifest_close(m);
	MUST(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint8_t how[3] = {input_byte(&in), input_byte(&in), input_byte(&in)};
	CLEANUP_BUF struct buf text = {0};
	struct manifest *m;

	log_open("fuzz", false, -1);
	scratch_begin();
	if (mkdirat(scratch.fd, NAME_PRIVATE, 0700) ||
	    mkdirat(scratch.fd, MANIFEST_CHUNKS, 0700))
		abort();
	buf_str(&text, "");
	if (how[0] & RAW)
		make_raw(&in, &text);
	else
		make_structured(&in, how, &text);
	if (how[0] & TORN) {
		size_t torn = input_byte(&in);

		text.len -= MIN(text.len, torn);
	}
	scratch_put(scratch.fd, MANIFEST_FILE, text.data, text.len);
	m = load(true);
	check_unchanged(&text);
	if (m)
		check_good(m, &in);
	else
		MUST(!load(false));
	if (!m)
		check_unchanged(&text);
	return 0;
}
