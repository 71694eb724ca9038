/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seeds DIR: write the inputs that fuzzing starts from into DIR/TARGET/seed-NAME: one of each kind
 * of thing that a target knows, right or nearly right. The directories are made.
 *
 * Compressed bytes differ between versions of zlib, so the corpus need not be what this makes
 * here: it is what it once made.
 */
#include <stdarg.h>
#include <sys/stat.h>

#include "lib/frames.h"
#include "lib/manifest_impl.h"
#include "tests/fuzz/seeds.h"
#include "tests/unit/sample.h"

static const char *root;

void seeds_write(const char *target, const char *name, const struct buf *b)
{
	char path[512];
	FILE *f;

	MUST(!b->failed);
	snprintf(path, sizeof(path), "%s/%s", root, target);
	(void)mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/%s/seed-%s", root, target, name);
	f = fopen(path, "wb");
	MUST(f && fwrite(b->data, 1, b->len, f) == b->len && fclose(f) == 0);
}

/* A string literal, its NULs with it. */
#define ADD(b, literal) buf_add(b, literal, sizeof(literal) - 1)

/* ---- records ---- */

static struct sealed sealed(uint64_t seq, uint64_t id, uint32_t part)
{
	struct sealed s = {
	    .seq = seq,
	    .id = id,
	    .part = part,
	    .offset = (part - 1) * 4096ULL,
	    .raw_bytes = 4096,
	    .gz_bytes = 1000,
	    .mtime_ns = 1700000000123456789,
	    .sealed_at_ns = -1,
	    .crc32 = 0x00c0ffee,
	    .mode = 0640,
	    .uid = 1000,
	    .gid = UINT32_MAX,
	    .codec = (uint8_t)(seq % 4),
	    .level = 6,
	    .is_notepack = seq % 2,
	};

	if (s.is_notepack)
		s.records = 9, s.first_created_at = 1700000000, s.last_created_at = UINT64_MAX;
	memset(s.sha256, (int)seq, SHA256_BYTES);
	memset(s.raw_sha256, (int)id, SHA256_BYTES);
	return s;
}

static void add_sealed(struct buf *b, uint64_t seq, uint64_t id, uint32_t part, const char *dir,
		       const char *plain)
{
	struct sealed s = sealed(seq, id, part);
	char object[NAME_BYTES + 1];

	MUST(name_sealed(plain, part, ".notepack", object) == 0);
	record_encode_sealed(b, &s, dir, object, plain);
}

/* One line, without its end. */
static void line_seed(const char *name, struct buf *line)
{
	struct buf b = {0};

	ADD(&b, "\0");
	buf_add(&b, line->data, line->len - (line->data[line->len - 1] == '\n'));
	seeds_write("record", name, &b);
	buf_release(&b);
	buf_reset(line);
}

static void record_seeds(void)
{
	CLEANUP_BUF struct buf line = {0};
	struct sealed s = sealed(8, 12, 2);

	add_sealed(&line, 7, 12, 1, "", "x");
	line_seed("notepack", &line);
	add_sealed(&line, 8, 12, 2, "a/b", "x.notepack");
	line_seed("part", &line);
	add_sealed(&line, 9, 13, 1, "\xff/d", "\xfe.txt");
	line_seed("base64", &line);
	add_sealed(&line, 10, 13, 1, "q", "\"\\\n\x01");
	line_seed("escapes", &line);
	add_sealed(&line, UINT64_MAX, 14, 999999999, "", "x");
	line_seed("largest", &line);
	buf_str(&line, "{\"seq\":1,\"path\":\"y.notepack.gz\",");
	add_sealed(&line, 7, 12, 1, "", "x");
	memmove(strchr(line.data, ',') + 24, strstr(line.data, "\"plain\""),
		strlen(strstr(line.data, "\"plain\"")) + 1);
	line.len = strlen(line.data);
	line_seed("another-path", &line);
	add_sealed(&line, 7, 12, 1, "", "x");
	memcpy(strstr(line.data, "\"1700000000."), "\"9999999999.", 12);
	line_seed("late", &line);
	record_encode_rm(&line, 9, &s, "a/b", "x.p000000002.notepack.gz");
	line_seed("rm", &line);
	record_encode_mvdir(&line, 10, "a", "b/c");
	line_seed("mvdir", &line);
	record_encode_intent(&line, 11, 12, "a/x", "b/y");
	line_seed("intent", &line);
	record_encode_done(&line, 12, 11);
	line_seed("done", &line);
	buf_str(
	    &line,
	    "{ \"seq\" : 3, \"op\":\"do\\u006ee\", \"more\":[{\"a\":null}], \"intent\":1e0 }");
	line_seed("blanks", &line);
	buf_str(&line, "{\"seq\":1,\"seq\":2,\"op\":\"done\",\"intent\":1}");
	line_seed("twice", &line);
	buf_str(&line, "{\"seq\":18446744073709551616,\"op\":\"done\",\"intent\":-0}");
	line_seed("numbers", &line);
	buf_str(&line, "{\"seq\":1,\"op\":\"mvdir\",\"from\":\"../a\",\"to\":\"a//b\"}");
	line_seed("dotdot", &line);
	buf_str(&line,
		"{\"seq\":1,\"op\":\"mvdir\",\"from_b64\":\"YQ==\",\"to\":\".notepackfs/x\"}");
	line_seed("private", &line);
}

/* ---- manifests ---- */

static void manifest_seeds(void)
{
	struct chunks none = {0};
	struct header h = {.generation = 3,
			   .next_seq = 9,
			   .next_id = 99,
			   .suffix = ".notepack",
			   .exclude = "*.tmp",
			   .chunks = &none};
	struct sealed removed = sealed(8, 12, 2);
	CLEANUP_BUF struct buf b = {0}, header = {0};

	ADD(&b, "\0\0\0");
	seeds_write("manifest", "empty", &b);
	add_sealed(&b, 1, 12, 1, "a", "x");
	add_sealed(&b, 2, 12, 2, "a", "x");
	add_sealed(&b, 3, 13, 1, "a/b", "y.notepack");
	seeds_write("manifest", "tail", &b);
	record_encode_mvdir(&b, 4, "a", "c/d");
	record_encode_intent(&b, 5, 13, "c/d/b/y.notepack", "z");
	record_encode_done(&b, 6, 5);
	record_encode_rm(&b, 8, &removed, "c/d", "x.p000000002.notepack.gz");
	ADD(&b, "\x1e\2\0\3\0\5\6\0\1\1\2\1\13\2\1\2\3\4\1\4\1\3");
	seeds_write("manifest", "changes", &b);
	buf_reset(&b);
	ADD(&b, "\0\0\0");
	add_sealed(&b, 1, 12, 2, "a", "x");
	removed.seq = 1;
	memset(removed.sha256, 1, SHA256_BYTES);
	record_encode_rm(&b, 2, &removed, "a", "x.p000000002.notepack.gz");
	record_encode_rm(&b, 3, &removed, "a", "x.p000000002.notepack.gz");
	seeds_write("manifest", "removed-twice", &b);
	buf_reset(&b);
	ADD(&b, "\x0c\0\0");
	for (uint64_t i = 1; i <= 12; i++) {
		add_sealed(&b, i, 20 + i, 1, i % 2 ? "odd" : "even", "f");
		if (i % 4 == 0)
			ADD(&b, "\x1e");
	}
	ADD(&b, "\x1e\3\0\1\1\0\0\0\1\2\3\4\5\6\7\10\11\12\13\14\15");
	seeds_write("manifest", "chunks", &b);
	buf_reset(&b);
	ADD(&b, "\0\x67\x77");
	add_sealed(&b, 1, 1, 1, "", "x");
	ADD(&b, "\x1e\3\0\1\1\0\0\0\1\0\2\0\0\1\1");
	seeds_write("manifest", "largest-numbers", &b);
	buf_reset(&b);
	ADD(&b, "\2\0\0\x05");
	add_sealed(&b, 1, 12, 1, "a", "x");
	seeds_write("manifest", "torn", &b);
	EVP_Digest("", 0, h.tail_sha256, NULL, EVP_sha256(), NULL);
	manifest_header_encode(&header, &h, true);
	buf_reset(&b);
	ADD(&b, "\1\0\0");
	buf_add(&b, header.data, header.len - 78); /* without its SHA-256, which is added */
	ADD(&b, "\n");
	seeds_write("manifest", "raw-header", &b);
}

/* ---- frames ---- */

static void add_frame(struct buf *b, uint32_t payload, uint64_t created_at)
{
	CLEANUP_FREE uint8_t *p = calloc(1, 4 + (size_t)payload);
	uint8_t *at;

	MUST(p);
	put_le32(p, payload);
	p[4] = 1;
	for (at = p + 4 + 129; created_at > 127; created_at >>= 7)
		*at++ = (uint8_t)(created_at | 0x80);
	*at = (uint8_t)created_at;
	buf_add(b, p, 4 + (size_t)payload);
}

static void frames_seeds(void)
{
	CLEANUP_BUF struct buf b = {0};

	ADD(&b, "\0\2\1\7");
	add_frame(&b, 140, 1700000000);
	add_frame(&b, 133, 0);
	add_frame(&b, 300, UINT64_MAX);
	seeds_write("frames", "three", &b);
	b.len -= 10;
	seeds_write("frames", "torn", &b);
	buf_reset(&b);
	ADD(&b, "\0\1\3");
	add_frame(&b, 142, UINT64_MAX);
	add_frame(&b, 141, UINT64_MAX);
	seeds_write("frames", "no-room", &b);
	buf_reset(&b);
	ADD(&b, "\xff\3\x40\xff\0");
	ADD(&b, "\x70\x11\x01\0\1");
	seeds_write("frames", "long", &b);
	buf_reset(&b);
	ADD(&b, "\0\0\0\0\0\1\1");
	seeds_write("frames", "too-long", &b);
}

/* ---- names and options ---- */

static void name_seeds(void)
{
	CLEANUP_BUF struct buf b = {0};

	ADD(&b, "\0\0\0\0.notepack\0x\0a/x.tmp/c\0*.tmp:.*");
	seeds_write("name", "plain", &b);
	buf_reset(&b);
	ADD(&b, "\1\0\0\0.notepack\0x.notepack\0.h/b\0.*:*~");
	seeds_write("name", "spelled", &b);
	buf_reset(&b);
	ADD(&b, "\1\0\0\0.x\0y.p000000002.x.gz\0d/e\0[a-z]:?");
	seeds_write("name", "part", &b);
	buf_reset(&b);
	ADD(&b, "\1\0\0\0.notepack\0x.p000000001.notepack.gz\0d\0*");
	seeds_write("name", "no-part", &b);
	buf_reset(&b);
	ADD(&b, "\xfe\xc9\x9a\x3b.p\0x.p\0\xff\xfe\0a\\*:::");
	seeds_write("name", "odd-suffix", &b);
	buf_reset(&b);
	ADD(&b, "\1\0\0\0.notepack\0x.notepack.notepack.gz.2.invalid\0YWJj\0*a*b");
	seeds_write("name", "refused", &b);
	buf_reset(&b);
	ADD(&b, "\1\0\0\0.notepack\0");
	for (int i = 0; i < 233; i++)
		ADD(&b, "L");
	ADD(&b, "\0\xc3\xa9/\xed\xa0\x80\0L*");
	seeds_write("name", "longest", &b);
}

static void options_seeds(void)
{
	static const char *const lines[] = {
	    "store\nmnt",
	    "-f\nstore\nmnt\n-o\nlevel=9,threads=4,grace=1.5m",
	    "store\nmnt\n-oro,allow_other,noatime,x-systemd.automount,_netdev",
	    "-d\n--\n-store\n-mnt",
	    "store\nmnt\n-o\nexclude=*.tmp\\,v:a\\\\b,suffix=.np,codec=zlib,fsync=sync",
	    "-fo\nallow_delete=*.log,allow_delete\nstore\nmnt",
	    "store\nmnt\n-o\ncut_size=2.5G,cut_age=36500d,backlog=8388607T,reserve=0",
	    "store\nmnt\n-o\nlockwait=0.000001s,stop_wait=99999999999999999999",
	    "--help",
	    "-V",
	    "store",
	    "",
	    "store\nmnt\nmore",
	    "-o",
	    "-x",
	    "-o\nlevel",
	    "-o\nro=1",
	    "store\nmnt\n-o\nsuffix=.gz",
	    "0.1234567s\n0.9999999K\n1.0000009d",
	    "1.5\n90s\n7d\n4096\n1M\n2.5T\n0.9999999K\n9223372036854775807\n36500d\n256",
	};
	CLEANUP_BUF struct buf b = {0};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		char name[16];

		buf_reset(&b);
		buf_str(&b, lines[i]);
		for (size_t k = 0; k < b.len; k++) {
			if (b.data[k] == '\n')
				b.data[k] = '\0';
		}
		snprintf(name, sizeof(name), "%02zu", i);
		seeds_write("options", name, &b);
	}
}

/* ---- recovery ---- */

/* Any bytes are a state: some that come of themselves, and some steps of a sealing. */
static void recovery_seeds(void)
{
	static const struct {
		const char *name;
		const char *bytes;
		size_t len;
	} steps[] = {
#define STEPS(name, literal) {name, literal, sizeof(literal) - 1}
	    /* 0, dir, name, how, which, mark, stream */
	    STEPS("raw", "\1\0\0\0\4\0\0\3"),
	    STEPS("object", "\1\0\0\0\6\0\0\3"),
	    STEPS("recorded", "\1\0\0\0\7\0\0\3"),
	    STEPS("dropped", "\1\0\0\0\3\1\0\3"),
	    STEPS("grown", "\1\0\0\0\x0f\6\0\3"),
	    STEPS("punched", "\1\0\0\0\x1f\6\0\3"),
	    STEPS("another-file", "\1\0\0\0\x27\6\0\3"),
	    STEPS("damaged", "\1\0\0\0\x47\6\0\3\2"),
	    STEPS("damaged-without-raw", "\1\0\0\0\x43\6\0\3\1"),
	    STEPS("missing", "\1\0\0\0\x87\6\0\3"),
	    STEPS("missing-without-raw", "\1\0\0\0\x83\6\0\3"),
	    STEPS("removed", "\0\0\0\0\3\0\0\3\7\0\0\2\0\0\3"),
	    STEPS("renamed", "\0\0\0\0\7\0\0\3\x09\1\0\0\0\0\0\2"),
	    STEPS("directory-renamed", "\0\0\1\0\7\0\0\3\x09\1\1\1\4"),
	    STEPS("import", "\0\x0c\0\0\2\1\0\3"),
	    STEPS("links", "\0\x0a\0\0\0\x0a\0\2\4\x0a\1\0\x80\0\0\1\7\0\0\3"),
	    STEPS("temporaries", "\0\x0d\1\5\x0d\5\6\x0d\7\7\x0d\x0b\1\0\0\0\7\0\0\3"),
	    STEPS("private-links", "\0\x0d\0\0\x0d\4\0\0\0\0\x47\6\0\3\2"),
	    STEPS("manifest-damaged", "\0\0\0\0\7\0\0\3\x0e\1\x40\x20"),
	    STEPS("clean", "\1\0\0\0\3\0\0\3\x0f\1\0"),
	};
	CLEANUP_BUF struct buf b = {0};
	uint8_t bytes[160];
	char name[16];

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		buf_reset(&b);
		buf_add(&b, steps[i].bytes, steps[i].len);
		seeds_write("recovery", steps[i].name, &b);
	}
	for (unsigned i = 0; i < 8; i++) {
		sample_random(bytes, sizeof(bytes), i);
		buf_reset(&b);
		buf_add(&b, bytes, 20 + 20 * i);
		snprintf(name, sizeof(name), "any-%u", i);
		seeds_write("recovery", name, &b);
	}
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: seeds DIR\n");
		return 2;
	}
	root = argv[1];
	(void)mkdir(root, 0755);
	record_seeds();
	manifest_seeds();
	frames_seeds();
	name_seeds();
	options_seeds();
	seeds_gzip();
	recovery_seeds();
	return 0;
}
