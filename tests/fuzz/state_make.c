/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From an input to a store. Each byte chooses what is made next, and those behind it how: files as a
 * sealing leaves them at any of its steps, things that lie where they should not, lines of the
 * manifest that nothing in the store agrees with. What cannot be made, because something of that
 * name is there, is left out.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <zlib.h>

#include "lib/io.h"
#include "lib/layout.h"
#include "lib/manifest_impl.h"
#include "tests/fuzz/state.h"
#include "tests/fuzz/state_names.h"

#define OPERATIONS_MAX 20

/* May a user have called a file so? */
static bool is_plain(const struct state *s, const char *name)
{
	return !name_has_sealed_suffix(name, s->suffix) && !name_is_refused(name, s->suffix);
}

/* ---- files ---- */

/* The directory, made if it is not there; -errno. Through no link. */
static int open_dir(struct state *s, const char *path)
{
	int fd = io_open(s->fd, ".", O_RDONLY | O_DIRECTORY, 0);
	char part[16];
	size_t n;

	while (fd >= 0 && *path) {
		int next;

		n = strcspn(path, "/");
		snprintf(part, sizeof(part), "%.*s", (int)n, path);
		path += n + (path[n] == '/');
		(void)mkdirat(fd, part, 0755);
		next = io_open(fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		close(fd);
		fd = next;
	}
	return fd;
}

static int new_file(struct state *s, const char *dir, const char *name)
{
	CLEANUP_FD int dfd = strcmp(dir, "gone") == 0 ? -ENOENT : open_dir(s, dir);

	return dfd < 0 ? dfd : io_open(dfd, name, O_RDWR | O_CREAT | O_EXCL, 0644);
}

static void put_bytes(int fd, const void *data, size_t len, uint64_t offset)
{
	if (io_pwrite(fd, data, len, offset) != 0)
		abort();
}

/* Of a stream, from … to; before it is a hole. */
static void put_stream(int fd, unsigned stream, uint64_t from, uint64_t to)
{
	uint8_t data[STREAM_BYTES];

	MUST(from <= to && to <= STREAM_BYTES);
	for (uint64_t i = from; i < to; i++)
		data[i - from] = stream_byte(stream, i);
	MUST(ftruncate(fd, (off_t)to) == 0);
	put_bytes(fd, data, to - from, from);
}

/* ---- objects ---- */

/* Damage, or none, by a byte. True: it is whole. */
static bool put_object(int fd, const struct state_object *o, uint8_t damage)
{
	size_t at = damage * o->gz_len / 256;
	uint8_t byte;

	put_bytes(fd, o->gz, o->gz_len, 0);
	switch (damage % 5) {
	case 1:
		MUST(ftruncate(fd, (off_t)at) == 0);
		return false;
	case 2:
		byte = o->gz[at] ^ (uint8_t)(1 << damage % 8);
		put_bytes(fd, &byte, 1, at);
		return false;
	case 3:
		put_bytes(fd, "x", 1, o->gz_len);
		return false;
	}
	return true;
}

static void note_blob(struct state *s, struct blob blob)
{
	MUST(s->blob_count < BLOBS_MAX);
	s->blobs[s->blob_count++] = blob;
}

static void note_object(struct state *s, const struct state_object *o)
{
	note_blob(s, (struct blob){.crc32 = o->gz_crc32, .stream = STREAMS});
}

static void new_object(struct state *s, const char *dir, const char *name,
		       const struct state_object *o, uint8_t damage)
{
	CLEANUP_FD int fd = new_file(s, dir, name);

	if (fd >= 0 && put_object(fd, o, damage))
		note_object(s, o);
}

/* ---- lines ---- */

static void add_record(struct state *s, const struct state_object *o, uint64_t id,
		       const char *dir, const char *plain)
{
	struct sealed rec = o->rec;
	char object[NAME_BYTES + 1];

	rec.id = id;
	rec.seq = s->seq;
	rec.mtime_ns = rec.sealed_at_ns = 1700000000000000000;
	if (record_check_sealed(&rec, dir, plain, s->suffix) ||
	    name_sealed(plain, rec.part, s->suffix, object) != 0)
		return;
	record_encode_sealed(&s->lines, &rec, dir, object, plain);
	s->seq++;
	s->line_count++;
}

static void add_removal(struct state *s, const struct state_object *o, uint64_t id,
			const char *dir, const char *plain)
{
	struct sealed rec = o->rec;
	char object[NAME_BYTES + 1];

	rec.id = id;
	if (record_check_sealed(&rec, dir, plain, s->suffix) ||
	    name_sealed(plain, rec.part, s->suffix, object) != 0)
		return;
	record_encode_rm(&s->lines, s->seq++, &rec, dir, object);
	s->line_count++;
	s->removed_id[s->removed_count] = id;
	s->removed_end[s->removed_count] = rec.offset + rec.raw_bytes;
	s->removed[s->removed_count++] = o->gz_crc32;
}

static void join(char *out, size_t size, const char *dir, const char *name)
{
	snprintf(out, size, "%s%s%s", dir, *dir && *name ? "/" : "", name);
}

static void add_move(struct state *s, struct input *in)
{
	char from[512], to[512];
	bool intent = input_byte(in) & 1, dir = input_byte(in) & 1;
	uint64_t id = dir ? 0 : 1024 + input_below(in, 16);
	const char *where[2], *called[2] = {"", ""};

	for (int i = 0; i < 2; i++) {
		where[i] = take_dir(in);
		if (!dir)
			called[i] = take_name(in);
	}
	join(from, sizeof(from), where[0], called[0]);
	join(to, sizeof(to), where[1], called[1]);
	if (!dir && (!is_plain(s, called[0]) || !is_plain(s, called[1])))
		return;
	if (!record_move_ok(from, to) || (!intent && !dir))
		return;
	if (intent)
		record_encode_intent(&s->lines, s->seq++, id, from, to);
	else
		record_encode_mvdir(&s->lines, s->seq++, from, to);
	s->line_count++;
}

/* ---- what is made ---- */

static void note_raw(struct state *s, const struct made_raw *made)
{
	MUST(s->raw_count < RAWS_MAX);
	s->raws[s->raw_count++] = *made;
}

/* With a mark, or a wrong one, by a byte: the bytes from `from` on are the raw file's. */
static void new_raw(struct state *s, const char *dir, const char *name, unsigned stream,
		    uint64_t from, uint64_t to, uint64_t id, uint8_t mark)
{
	CLEANUP_FD int fd = new_file(s, dir, name);
	CLEANUP_FREE uint8_t *data = NULL;
	struct made_raw made = {dir, name, 0, stream, from, to};
	char text[64] = "";
	size_t len;

	if (fd < 0)
		return;
	put_stream(fd, stream, from, to);
	switch (mark % 4) {
	case 0:
		made.id = id;
		break;
	case 1:
		made.id = 1024 + mark / 4 % 16;
		break;
	case 2:
		snprintf(text, sizeof(text), "%s",
			 mark & 4 ? "none of ours" : "18446744073709551615 9999999999");
		break;
	}
	if (made.id)
		snprintf(text, sizeof(text), "%llu %llu", (unsigned long long)made.id,
			 (unsigned long long)from);
	/* Without a mark the hole is the file's own bytes. */
	if (*text)
		(void)fsetxattr(fd, "user.notepackfs", text, strlen(text), 0);
	data = state_read(fd, &len);
	if (is_plain(s, name))
		note_raw(s, &made);
	else if (from == 0)
		note_blob(s, (struct blob){(uint32_t)crc32_z(0, data, len), stream, to});
}

enum {
	WITH_RECORDS = 1,
	WITH_OBJECTS = 2,
	WITH_RAW = 4,
	RAW_GROWN = 8,
	RAW_PUNCHED = 16,
	RAW_OTHER = 32,
	ONE_DAMAGED = 64,
	ONE_MISSING = 128,
};

/* A file as a sealing, or something worse, leaves it. */
static void make_file(struct state *s, struct input *in)
{
	const char *dir = take_dir(in), *name = take_name(in);
	uint8_t how = input_byte(in), which = input_byte(in), mark = input_byte(in);
	unsigned stream = input_below(in, STREAMS), parts = 1 + which % 3;
	uint16_t len = lengths[which / 4 % 4];
	uint64_t id = 1024 + which % 16, sealed = (uint64_t)parts * len, end = sealed;

	for (uint32_t part = 1; part <= parts; part++) {
		const struct state_object *o =
		    state_object(stream, part, (uint16_t)((part - 1) * len), len, false);
		bool chosen = part == 1 + which / 16 % 3u;
		char object[NAME_BYTES + 1];

		if (how & WITH_RECORDS)
			add_record(s, o, id, dir, name);
		if (name_sealed(name, part, s->suffix, object) != 0 || !(how & WITH_OBJECTS) ||
		    (how & ONE_MISSING && chosen))
			continue;
		new_object(s, dir, object, o, how & ONE_DAMAGED && chosen ? input_byte(in) : 0);
	}
	if (how & RAW_GROWN)
		end = MIN(end + 100, (uint64_t)STREAM_BYTES);
	if (how & WITH_RAW)
		new_raw(s, dir, name, how & RAW_OTHER ? (stream + 1) % STREAMS : stream,
			how & RAW_PUNCHED ? sealed : 0, end, id, mark);
}

static void make_raw(struct state *s, struct input *in)
{
	const char *dir = take_dir(in), *name = take_name(in);
	unsigned stream = input_below(in, STREAMS);
	uint64_t to = input_u16(in) % (STREAM_BYTES + 1), from = input_u16(in);
	uint8_t mark = input_byte(in);

	new_raw(s, dir, name, stream, from > to ? 0 : from, to, 1024 + input_below(in, 16),
		mark);
}

/* An object, or a line about one, that nothing need agree with. */
static void make_odd(struct state *s, struct input *in)
{
	const char *dir = take_dir(in), *name = take_name(in);
	uint8_t what = input_byte(in), which = input_byte(in), damage = input_byte(in);
	unsigned stream = input_below(in, STREAMS);
	uint32_t part = 1 + which % 3u, named = 1 + which / 4 % 3u;
	uint16_t len = lengths[which / 16 % 4], offset = lengths[which / 64];
	const struct state_object *o =
	    state_object(stream, part, what & 8 ? offset : (part - 1) * len, len, what & 16);
	char object[NAME_BYTES + 1];

	switch (what % 4) {
	case 0:
		if (name_sealed(name, what & 4 ? named : part, s->suffix, object) == 0)
			new_object(s, dir, object, o, damage);
		break;
	case 1:
		add_record(s, o, 1024 + damage % 16, dir, name);
		break;
	case 2:
		add_removal(s, o, 1024 + damage % 16, dir, name);
		break;
	default:
		if (!is_plain(s, name))
			new_object(s, dir, name, o, damage);
	}
}

/* Links, pipes, sockets and directories, where files are looked for. */
static void make_other(struct state *s, struct input *in)
{
	static const char *const targets[] = {"../outside/secret",
					      "../outside/dir",
					      "a",
					      "nowhere",
					      "..",
					      "/",
					      ".notepackfs",
					      "d"};
	const char *dir = take_dir(in), *name = take_name(in);
	uint8_t what = input_byte(in);
	CLEANUP_FD int dfd = strcmp(dir, "gone") == 0 ? -1 : open_dir(s, dir);
	char sealed[NAME_BYTES + 1];

	if (dfd < 0)
		return;
	if (what & 128 && name_sealed(name, 1 + (what >> 6 & 1), s->suffix, sealed) == 0)
		name = sealed;
	switch (what % 4) {
	case 0:
		(void)io_symlink(targets[what / 4 % 8], dfd, name);
		break;
	case 1:
		(void)mkfifoat(dfd, name, 0600);
		break;
	case 2:
		(void)mkdirat(dfd, name, 0755);
		break;
	default:
		(void)mknodat(dfd, name, S_IFSOCK | 0600, 0);
	}
}

static void make_import(struct state *s, struct input *in)
{
	static const char *const ids[] = {"1024", "1025", "99999", "18446744073709551616", "x"};
	const char *file = ids[input_below(in, ARRAY_LEN(ids))];
	const char *dir = take_dir(in), *name = take_name(in);
	uint8_t how = input_byte(in), damage = input_byte(in);
	const struct state_object *o =
	    state_object(input_below(in, STREAMS), 1, 0, lengths[how % 4], how & 4);
	char path[600], sealed[NAME_BYTES + 1];
	CLEANUP_FD int dfd = io_open(s->fd, LAYOUT_IMPORT, O_PATH | O_DIRECTORY, 0);
	CLEANUP_FD int fd = dfd < 0 ? dfd : io_open(dfd, file, O_RDWR | O_CREAT | O_EXCL, 0600);

	if (fd < 0)
		return;
	if (!(how & 8) && put_object(fd, o, damage))
		note_object(s, o);
	if (name_sealed(name, 1, s->suffix, sealed) != 0)
		return;
	join(path, sizeof(path), dir, how & 16 ? name : sealed);
	if (how & 32)
		snprintf(path, sizeof(path), "../outside/dir/%s", sealed);
	if (!(how & 64))
		(void)fsetxattr(fd, "user.notepackfs.path", path, strlen(path), 0);
}

/* In the private directory: what a crash leaves, and what no one should have put there. */
static void make_private(struct state *s, struct input *in)
{
	static const char *const left[] = {LAYOUT_TMP "/seal.1.1",
					   LAYOUT_TMP "/raw.1024.0",
					   NAME_PRIVATE "/manifest.new.1.1",
					   LAYOUT_CHUNKS "/00000007.jsonl.new.3.4",
					   LAYOUT_CHUNKS "/00000009.jsonl",
					   LAYOUT_QUARANTINE "/1.gz",
					   LAYOUT_QUARANTINE "/import.1.gz",
					   LAYOUT_LOG,
					   LAYOUT_LAST_STOP,
					   LAYOUT_DRAIN,
					   NAME_PRIVATE "/reserve",
					   LAYOUT_LOG_OLD,
					   LAYOUT_INDEX "/0000.new.1.1"};
	static const char *const places[] = {LAYOUT_TMP,	LAYOUT_CHUNKS,
					     LAYOUT_QUARANTINE, LAYOUT_IMPORT,
					     LAYOUT_INDEX,	LAYOUT_LOG,
					     LAYOUT_LOCK,	LAYOUT_DRAIN,
					     LAYOUT_LAST_STOP,	NAME_PRIVATE "/reserve",
					     LAYOUT_MANIFEST};
	static const char *const targets[] = {"../../outside/dir", "../../outside/secret", "..",
					      "../../outside/none"};
	uint8_t what = input_byte(in), how = input_byte(in);
	const char *path;

	if (what & 1) {
		CLEANUP_FD int fd =
		    io_open(s->fd, left[what / 2 % ARRAY_LEN(left)], O_RDWR | O_CREAT, 0600);

		if (fd >= 0)
			put_bytes(fd, "left over\n", how % 11, 0);
		return;
	}
	path = places[what / 2 % ARRAY_LEN(places)];
	if (unlinkat(s->fd, path, 0) != 0 && unlinkat(s->fd, path, AT_REMOVEDIR) != 0 &&
	    errno != ENOENT)
		return;
	s->odd_private = true;
	if (how % 4 == 0)
		(void)io_symlink(targets[how / 4 % 4], s->fd, path);
	else if (how % 4 == 1)
		(void)mkfifoat(s->fd, path, 0600);
	else if (how % 4 == 2)
		(void)mkdirat(s->fd, path, 0700);
}

/* ---- the manifest ---- */

static void write_manifest(struct state *s, uint16_t damage)
{
	struct chunks none = {0};
	struct header h = {
	    .generation = 5,
	    .next_seq = s->seq,
	    .next_id = 1040,
	    .clean = s->clean,
	    .suffix = s->suffix,
	    .exclude = s->exclude,
	    .chunks = &none,
	    .tail_lines = s->line_count,
	    .tail_bytes = s->lines.len,
	};
	CLEANUP_BUF struct buf text = {0};
	CLEANUP_FD int fd = -1;

	EVP_Digest(s->lines.data, s->lines.len, h.tail_sha256, NULL, EVP_sha256(), NULL);
	manifest_header_encode(&text, &h, true);
	buf_add(&text, s->lines.data, s->lines.len);
	MUST(!text.failed);
	if (s->odd_manifest)
		text.data[damage % text.len] ^= (char)(1 << (damage >> 12 & 7));
	fd = io_open(s->fd, LAYOUT_MANIFEST, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd >= 0)
		put_bytes(fd, text.data, text.len, 0);
}

static void make_next(struct state *s, struct input *in, uint16_t *damage)
{
	switch (input_below(in, 16)) {
	default:
		make_file(s, in);
		break;
	case 5:
	case 6:
		make_raw(s, in);
		break;
	case 7:
	case 8:
		make_odd(s, in);
		break;
	case 9:
		add_move(s, in);
		break;
	case 10:
	case 11:
		make_other(s, in);
		break;
	case 12:
		make_import(s, in);
		break;
	case 13:
		make_private(s, in);
		break;
	case 14:
		s->odd_manifest = input_byte(in) & 1;
		*damage = input_u16(in);
		break;
	case 15:
		s->clean = input_byte(in) & 1;
		s->exclude = input_byte(in) & 1 ? "*.txt" : NAME_DEFAULT_EXCLUDE;
	}
}

void state_make(struct state *s, int fd, struct input *in)
{
	uint16_t damage = 0;

	*s = (struct state){
	    .fd = fd, .suffix = ".notepack", .seq = 1, .exclude = NAME_DEFAULT_EXCLUDE};
	buf_str(&s->lines, "");
	MUST(layout_create(fd) == 0);
	for (unsigned i = 0; i < OPERATIONS_MAX && in->len > 0; i++)
		make_next(s, in, &damage);
	write_manifest(s, damage);
	buf_release(&s->lines);
}
