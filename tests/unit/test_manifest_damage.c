/* SPDX-License-Identifier: BSD-2-Clause */
/* A damaged manifest is refused, and the refusal says where: every byte of a small one. */
#include "tests/unit/manifest_kit.h"

#define MANIFEST ".notepackfs/manifest"
#define CHUNK ".notepackfs/chunks/00000001.jsonl"

static int begin(struct manifest_txn *txn, void *ctx)
{
	uint64_t seq;

	return manifest_intent(txn, 1, "d/x", "d/y", &seq);
}

/* A chunk and a tail, each with lines of every kind. */
static void make_small(struct store *s)
{
	store_init(s);
	CHECK_EQ(store_open(s), 0);
	s->m->disk.fold_above = 4;
	for (int round = 0; round < 2; round++) {
		uint64_t id = (uint64_t)round * 2 + 1;

		CHECK_EQ(kit_put(s, id, 1, "d\xff"), 0);
		CHECK_EQ(kit_put(s, id + 1, 1, "d\xff"), 0);
		CHECK_EQ(kit_mv(s, "d\xff", round ? "f" : "e"), 0);
		CHECK_EQ(kit_rm(s, id, 1), 0);
		CHECK_EQ(manifest_commit(s->m, begin, NULL), 0);
	}
	CHECK_EQ(s->m->disk.chunk_lines, 5);
	CHECK_EQ(s->m->disk.tail_lines, 5);
	store_close(s);
}

static int open_read_only(struct store *s)
{
	struct manifest_options o = {.read_only = true};
	int err;

	memset(&s->error, 0, sizeof(s->error));
	err = store_open_with(s, &o);
	store_close(s);
	return err;
}

/* Refused, with the file and a line. */
static bool refused(struct store *s, const char *file)
{
	int err = open_read_only(s);
	size_t len = strlen(file);

	if (err == -EPROTO)
		return strcmp(file, MANIFEST) == 0 && strstr(s->error.text, "newer") != NULL;
	return err == -EBADMSG && strncmp(s->error.text, file, len) == 0 &&
	       s->error.text[len] == ':' && atoi(s->error.text + len + 1) > 0 &&
	       strstr(s->error.text, "notepackctl repair") != NULL;
}

static void check_every_byte(struct store *s, const char *file)
{
	static const unsigned char masks[] = {0x01, 0x20, 0x80, 0xff};
	size_t len;
	CLEANUP_FREE char *text = store_read(s, file, &len);
	CLEANUP_FD int fd = openat(s->fd, file, O_WRONLY | O_CLOEXEC);

	printf("# %zu bytes of %s\n", len, file);
	CHECK(text && len > 1000 && open_read_only(s) == 0);
	for (size_t i = 0; i < len; i++) {
		for (size_t k = 0; k < sizeof(masks); k++) {
			char c = (char)(text[i] ^ masks[k]);

			if (pwrite(fd, &c, 1, (off_t)i) != 1)
				abort();
			if (!refused(s, file)) {
				printf("# byte %zu ^ %02x: %s\n", i, masks[k], s->error.text);
				CHECK(!"refused");
			}
		}
		if (pwrite(fd, text + i, 1, (off_t)i) != 1)
			abort();
	}
	for (size_t cut = len; cut-- > 0;) {
		if (ftruncate(fd, (off_t)cut) != 0)
			abort();
		CHECK(refused(s, file));
	}
	store_write(s, file, text, len);
	CHECK_EQ(pwrite(fd, "\n", 1, (off_t)len), 1);
	CHECK(refused(s, file));
	store_write(s, file, text, len);
	CHECK_EQ(open_read_only(s), 0);
}

static void every_changed_byte_and_every_truncation_is_refused(void)
{
	struct store s;

	make_small(&s);
	check_every_byte(&s, MANIFEST);
	check_every_byte(&s, CHUNK);
	store_release(&s);
}

static void a_refusal_names_the_line(void)
{
	struct store s;
	size_t len;
	char *text, *line;

	make_small(&s);
	text = store_read(&s, CHUNK, &len);
	line = strchr(strchr(text, '\n') + 1, '\n') + 1; /* the third */
	line[3] = 'z';
	store_write(&s, CHUNK, text, len);
	CHECK_EQ(open_read_only(&s), -EBADMSG);
	CHECK(strncmp(s.error.text, CHUNK ":3: seq ", sizeof(CHUNK ":3: seq ") - 1) == 0);
	/* A line that is well-formed and wrong. */
	line[3] = 'e';
	line[7] = '9';
	store_write(&s, CHUNK, text, len);
	CHECK_EQ(open_read_only(&s), -EBADMSG);
	CHECK(strstr(s.error.text, "SHA-256") != NULL);
	CHECK_EQ(unlinkat(s.fd, CHUNK, 0), 0);
	CHECK_EQ(open_read_only(&s), -EBADMSG);
	CHECK(strstr(s.error.text, CHUNK ":1: the file is missing") != NULL);
	free(text);
	store_release(&s);
}

/* A damaged manifest is not replaced by anything, not even by a writer. */
static void L17_a_damaged_manifest_is_left_as_it_is(void)
{
	CLEANUP_FREE char *before = NULL, *after = NULL;
	size_t len_before, len_after;
	struct store s;

	make_small(&s);
	before = store_read(&s, MANIFEST, &len_before);
	before[len_before / 2] ^= 1;
	store_write(&s, MANIFEST, before, len_before);
	store_write(&s, ".notepackfs/chunks/00000099.jsonl", "x", 1);
	CHECK_EQ(store_open(&s), -EBADMSG);
	after = store_read(&s, MANIFEST, &len_after);
	CHECK(len_before == len_after && memcmp(before, after, len_after) == 0);
	CHECK_EQ(store_count(&s, ".notepackfs/chunks"), 2);
	store_release(&s);
}

/* A manifest of these lines whose checksums are right. */
static void write_lines(struct store *s, const struct buf *text, uint32_t count)
{
	CLEANUP_BUF struct buf b = {0};
	struct chunks none = {0};
	struct header h = {
	    .generation = 5,
	    .next_seq = 100,
	    .next_id = 100,
	    .suffix = ".notepack",
	    .exclude = "",
	    .chunks = &none,
	    .tail_lines = count,
	    .tail_bytes = text->len,
	};

	EVP_Digest(text->data, text->len, h.tail_sha256, NULL, EVP_sha256(), NULL);
	manifest_header_encode(&b, &h, true);
	buf_add(&b, text->data, text->len);
	store_write(s, MANIFEST, b.data, b.len);
}

static void add_put(struct buf *b, uint64_t seq, uint64_t id)
{
	struct sealed s = kit_sealed(id, 1, 0);

	s.seq = seq;
	record_encode_sealed(b, &s, "d", "x.notepack.gz", "x");
}

static void add_rm(struct buf *b, uint64_t seq, uint64_t id)
{
	struct sealed s = kit_sealed(id, 1, 0);

	record_encode_rm(b, seq, &s, "d", "x.notepack.gz");
}

/* The lines of one case; returns what the refusal must say, NULL: it is right. */
static const char *make_case(int n, struct buf *b)
{
	switch (n) {
	case 0:
		add_put(b, 1, 1);
		add_rm(b, 2, 1);
		return NULL;
	case 1:
		add_put(b, 2, 1);
		add_put(b, 2, 2);
		return ":3: seq does not rise";
	case 2:
		add_put(b, 1, 1);
		add_put(b, 100, 2);
		return ":3: seq is above";
	case 3:
		add_put(b, 1, 1);
		add_put(b, 2, 100);
		return ":3: the file id is above";
	case 4:
		add_rm(b, 1, 1);
		add_put(b, 2, 1);
		return ":3: a segment that was removed comes back";
	case 5:
		add_put(b, 1, 1);
		add_rm(b, 2, 1);
		add_rm(b, 3, 1);
		return ":4: a segment is removed twice";
	case 6:
		record_encode_done(b, 2, 1);
		return ":2: what is done was never begun";
	case 7:
		buf_str(b, "{\"seq\":1,\"op\":\"new\"}\n");
		return ":2: op is not known";
	case 8:
		buf_str(b, "\n");
		return ":2: this is no JSON object";
	case 9:
		add_put(b, 1, 1);
		b->len--;
		return ":2: the line has no end";
	case 10:
		add_rm(b, 1, 1);
		return NULL; /* its record was forgotten in a rewrite */
	default:
		return "";
	}
}

static void lines_that_contradict_each_other_are_refused(void)
{
	const char *expected;
	struct store s;

	make_small(&s);
	for (int n = 0;; n++) {
		CLEANUP_BUF struct buf b = {0};
		uint32_t count = 0;
		int err;

		expected = make_case(n, &b);
		if (expected && !*expected)
			break;
		for (size_t i = 0; i < b.len; i++)
			count += b.data[i] == '\n';
		write_lines(&s, &b, count);
		err = open_read_only(&s);
		CHECK_EQ(err, expected ? -EBADMSG : 0);
		if (expected && !strstr(s.error.text, expected)) {
			printf("# %d: %s\n", n, s.error.text);
			CHECK(!"says why");
		}
		write_lines(&s, &b, count + 1);
		CHECK_EQ(open_read_only(&s), -EBADMSG);
	}
	store_release(&s);
}

static void a_newer_format_is_named_as_such(void)
{
	struct store s;

	make_small(&s);
	store_write(&s, MANIFEST, "{\"notepackfs\":2,\"x\":1}\n", 23);
	CHECK_EQ(open_read_only(&s), -EPROTO);
	CHECK(strstr(s.error.text, "newer") != NULL);
	store_release(&s);
}

int main(void)
{
	RUN(every_changed_byte_and_every_truncation_is_refused);
	RUN(a_refusal_names_the_line);
	RUN(L17_a_damaged_manifest_is_left_as_it_is);
	RUN(lines_that_contradict_each_other_are_refused);
	RUN(a_newer_format_is_named_as_such);
	return unit_done();
}
