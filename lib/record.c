/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The writer half. A commit encodes its lines while others wait for the manifest's lock, and a
 * rewrite encodes a million of them, so numbers and digests are written by hand instead of by
 * printf. The members come in the order of the table in record_decode.c, which makes its
 * look-ups cheap.
 */
#include "lib/record.h"

#include <errno.h>
#include <string.h>

#include "lib/name.h"

#define NS_PER_S 1000000000U

/* The order is the format: numbers are stored in memory, names on disk. */
static const char *const codec_names[] = {"zlib", "libdeflate", "isal", "import"};

const char *record_codec_name(unsigned codec)
{
	return codec < ARRAY_LEN(codec_names) ? codec_names[codec] : NULL;
}

int record_codec_number(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(codec_names); i++) {
		if (strcmp(codec_names[i], name) == 0)
			return (int)i;
	}
	return -EINVAL;
}

static bool component_ok(const char *s, size_t len)
{
	if (len == 0 || len > NAME_BYTES)
		return false;
	return !(s[0] == '.' && (len == 1 || (len == 2 && s[1] == '.')));
}

bool record_path_ok(const char *path)
{
	size_t len = strcspn(path, "/");

	if (strlen(path) > RECORD_PATH_BYTES + 1 + NAME_BYTES)
		return false;
	if (len == strlen(NAME_PRIVATE) && memcmp(path, NAME_PRIVATE, len) == 0)
		return false;
	while (component_ok(path, len)) {
		if (!path[len])
			return true;
		path += len + 1;
		len = strcspn(path, "/");
	}
	return false;
}

bool record_move_ok(const char *from, const char *to)
{
	size_t len = strlen(from);

	if (!record_path_ok(from) || !record_path_ok(to))
		return false;
	return strncmp(from, to, len) != 0 || (to[len] != '\0' && to[len] != '/');
}

/* Is this a plain name, and does its sealed name lead back to the same part of the same stem?
 */
static bool names_ok(const char *plain, uint32_t part, const char *suffix)
{
	char object[NAME_BYTES + 1];
	size_t len = strlen(plain), stem;
	uint32_t parsed;

	if (!component_ok(plain, len) || memchr(plain, '/', len))
		return false;
	/* The usual case, without printing. */
	if (part == 1 && len <= NAME_PLAIN_BYTES)
		return name_check_plain(plain, suffix) == 0;
	if (name_sealed(plain, part, suffix, object) != 0)
		return false;
	return name_parse_sealed(object, suffix, &stem, &parsed) && parsed == part &&
	       stem == name_stem_len(plain, suffix);
}

const char *record_check_sealed(const struct sealed *s, const char *dir, const char *plain,
				const char *suffix)
{
	if (s->id == 0 || s->id == UINT64_MAX)
		return "the file id is out of range";
	if (s->part == 0 || s->part > NAME_PART_MAX)
		return "the part is out of range";
	if (s->offset > INT64_MAX || s->raw_bytes > INT64_MAX - s->offset)
		return "offset and raw_size are out of range";
	if (s->gz_bytes > INT64_MAX)
		return "gz_size is out of range";
	if (s->mode > 07777)
		return "the mode is out of range";
	if (!record_codec_name(s->codec))
		return "the codec is not known";
	if (s->level > RECORD_LEVEL_MAX)
		return "the level is out of range";
	if (*dir && (!record_path_ok(dir) || strlen(dir) > RECORD_PATH_BYTES))
		return "the path is not a path in the store";
	if (!*dir && strcmp(plain, NAME_PRIVATE) == 0)
		return "the path is not a path in the store";
	if (!names_ok(plain, s->part, suffix))
		return "the plain name and the part do not make a sealed name";
	return NULL;
}

#define ADD(b, literal) buf_add(b, literal, sizeof(literal) - 1)

static void add_number(struct buf *b, uint64_t v)
{
	char digits[20];
	size_t n = sizeof(digits);

	do {
		digits[--n] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	buf_add(b, digits + n, sizeof(digits) - n);
}

static void add_hex(struct buf *b, const uint8_t *p, size_t len)
{
	char text[2 * SHA256_BYTES + 1];

	hex_encode(p, len, text);
	buf_add(b, text, 2 * len);
}

/* Sign and magnitude: -1 ns is "-0.000000001". */
static void add_time(struct buf *b, int64_t ns)
{
	uint64_t magnitude = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	uint32_t fraction = (uint32_t)(magnitude % NS_PER_S);
	char text[10];

	ADD(b, "\"");
	if (ns < 0)
		ADD(b, "-");
	add_number(b, magnitude / NS_PER_S);
	text[0] = '.';
	for (int i = 9; i > 0; i--) {
		text[i] = (char)('0' + fraction % 10);
		fraction /= 10;
	}
	buf_add(b, text, sizeof(text));
	ADD(b, "\"");
}

/* "path":"dir/object", or path_b64. */
static void add_object_path(struct buf *b, const char *dir, const char *object)
{
	char path[1024];
	size_t dir_len = strlen(dir), object_len = strlen(object), len = 0;
	char *p = path;

	if (dir_len + object_len + 2 > sizeof(path)) {
		p = malloc(dir_len + object_len + 2);
		if (!p) {
			b->failed = true;
			return;
		}
	}
	if (dir_len) {
		memcpy(p, dir, dir_len);
		p[dir_len] = '/';
		len = dir_len + 1;
	}
	memcpy(p + len, object, object_len);
	buf_json_path(b, "path", p, len + object_len);
	if (p != path)
		free(p);
}

static void add_notepack(struct buf *b, const struct sealed *s)
{
	ADD(b, ",\"records\":");
	add_number(b, s->records);
	ADD(b, ",\"first_created_at\":");
	add_number(b, s->first_created_at);
	ADD(b, ",\"last_created_at\":");
	add_number(b, s->last_created_at);
}

static void add_attributes(struct buf *b, const struct sealed *s)
{
	ADD(b, ",\"mtime\":");
	add_time(b, s->mtime_ns);
	ADD(b, ",\"sealed_at\":");
	add_time(b, s->sealed_at_ns);
	ADD(b, ",\"mode\":");
	add_number(b, s->mode);
	ADD(b, ",\"uid\":");
	add_number(b, s->uid);
	ADD(b, ",\"gid\":");
	add_number(b, s->gid);
	ADD(b, ",\"codec\":\"");
	buf_str(b, record_codec_name(s->codec));
	ADD(b, "\",\"level\":");
	add_number(b, s->level);
}

void record_encode_sealed(struct buf *b, const struct sealed *s, const char *dir,
			  const char *object, const char *plain)
{
	uint8_t crc[4] = {(uint8_t)(s->crc32 >> 24), (uint8_t)(s->crc32 >> 16),
			  (uint8_t)(s->crc32 >> 8), (uint8_t)s->crc32};

	ADD(b, "{\"seq\":");
	add_number(b, s->seq);
	ADD(b, ",");
	add_object_path(b, dir, object);
	ADD(b, ",");
	buf_json_path(b, "plain", plain, strlen(plain));
	ADD(b, ",\"id\":");
	add_number(b, s->id);
	ADD(b, ",\"part\":");
	add_number(b, s->part);
	ADD(b, ",\"offset\":");
	add_number(b, s->offset);
	ADD(b, ",\"raw_size\":");
	add_number(b, s->raw_bytes);
	ADD(b, ",\"gz_size\":");
	add_number(b, s->gz_bytes);
	ADD(b, ",\"sha256\":\"");
	add_hex(b, s->sha256, SHA256_BYTES);
	ADD(b, "\",\"raw_sha256\":\"");
	add_hex(b, s->raw_sha256, SHA256_BYTES);
	ADD(b, "\",\"crc32\":\"");
	add_hex(b, crc, sizeof(crc));
	ADD(b, "\"");
	if (s->is_notepack)
		add_notepack(b, s);
	add_attributes(b, s);
	ADD(b, "}\n");
}

static void add_op(struct buf *b, uint64_t seq, const char *op)
{
	ADD(b, "{\"seq\":");
	add_number(b, seq);
	ADD(b, ",\"op\":\"");
	buf_str(b, op);
	ADD(b, "\",");
}

void record_encode_rm(struct buf *b, uint64_t seq, const struct sealed *s, const char *dir,
		      const char *object)
{
	add_op(b, seq, "rm");
	add_object_path(b, dir, object);
	ADD(b, ",\"id\":");
	add_number(b, s->id);
	ADD(b, ",\"part\":");
	add_number(b, s->part);
	ADD(b, ",\"sha256\":\"");
	add_hex(b, s->sha256, SHA256_BYTES);
	ADD(b, "\"}\n");
}

void record_encode_mvdir(struct buf *b, uint64_t seq, const char *from, const char *to)
{
	add_op(b, seq, "mvdir");
	buf_json_path(b, "from", from, strlen(from));
	ADD(b, ",");
	buf_json_path(b, "to", to, strlen(to));
	ADD(b, "}\n");
}

void record_encode_intent(struct buf *b, uint64_t seq, uint64_t id, const char *from,
			  const char *to)
{
	add_op(b, seq, "intent");
	ADD(b, "\"id\":");
	add_number(b, id);
	ADD(b, ",");
	buf_json_path(b, "from", from, strlen(from));
	ADD(b, ",");
	buf_json_path(b, "to", to, strlen(to));
	ADD(b, "}\n");
}

void record_encode_done(struct buf *b, uint64_t seq, uint64_t intent)
{
	add_op(b, seq, "done");
	ADD(b, "\"intent\":");
	add_number(b, intent);
	ADD(b, "}\n");
}

void record_release(struct record *r)
{
	free(r->text);
	memset(r, 0, sizeof(*r));
}
