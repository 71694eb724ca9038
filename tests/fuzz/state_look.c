/* SPDX-License-Identifier: BSD-2-Clause */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <zlib.h>

#include "lib/io.h"
#include "lib/name.h"
#include "tests/fuzz/state.h"

#define FIRST ' '

/* 0 … 7, of the offset alone. */
static uint8_t beat(uint64_t offset)
{
	return (uint8_t)(offset * 2654435761U >> 27 & 7);
}

uint8_t stream_byte(unsigned stream, uint64_t offset)
{
	return (uint8_t)(FIRST + beat(offset) * STREAMS + stream);
}

unsigned stream_of(uint8_t byte, uint64_t offset)
{
	unsigned v = (unsigned)byte - FIRST;

	if (byte < FIRST || v / STREAMS != beat(offset))
		return STREAMS;
	return v % STREAMS;
}

void holdings_add(struct holdings *h, const uint8_t *data, size_t len, uint64_t offset)
{
	for (size_t i = 0; i < len && offset + i < STREAM_BYTES; i++) {
		unsigned stream = stream_of(data[i], offset + i);

		if (stream < STREAMS)
			h->count[stream][offset + i]++;
	}
}

bool holdings_cover(const struct holdings *h, const struct holdings *least)
{
	for (unsigned k = 0; k < STREAMS; k++) {
		for (unsigned i = 0; i < STREAM_BYTES; i++) {
			if (h->count[k][i] >= least->count[k][i])
				continue;
			fprintf(stderr, "byte %u of stream %u: %u were held, %u are\n", i, k,
				least->count[k][i], h->count[k][i]);
			return false;
		}
	}
	return true;
}

/* Has b what a has, under another spelling of its name, as far as marks tell? Of two that are the same
 * the first is kept. */
static bool is_copy(const struct state *s, const struct made_raw *a, const struct made_raw *b)
{
	size_t stem = name_stem_len(a->name, s->suffix);

	return (a->id == b->id || !a->id || !b->id) && a->stream == b->stream &&
	       b->from <= a->from && b->to >= a->to &&
	       (b < a || b->from < a->from || b->to > a->to) && strcmp(a->dir, b->dir) == 0 &&
	       stem == name_stem_len(b->name, s->suffix) && !memcmp(a->name, b->name, stem);
}

static void raw_needs(const struct state *s, const struct made_raw *raw,
		      struct holdings *needed)
{
	uint8_t data[STREAM_BYTES];
	uint64_t from = raw->from;

	for (unsigned i = 0; i < s->removed_count; i++) {
		if (s->removed_id[i] == raw->id)
			from = MAX(from, s->removed_end[i]);
	}
	for (unsigned i = 0; i < s->raw_count; i++) {
		if (&s->raws[i] != raw && is_copy(s, raw, &s->raws[i]))
			return;
	}
	for (uint64_t i = from; i < raw->to; i++)
		data[i - from] = stream_byte(raw->stream, i);
	if (from < raw->to)
		holdings_add(needed, data, raw->to - from, from);
}

void state_needs(const struct state *s, struct holdings *needed)
{
	for (unsigned i = 0; i < s->raw_count; i++)
		raw_needs(s, &s->raws[i], needed);
}

/* Is each byte one that was written at its offset, or a hole? */
static bool are_written(const uint8_t *data, size_t len, uint64_t offset)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] != 0 && stream_of(data[i], offset + i) == STREAMS)
			return false;
	}
	return true;
}

/* Where the first parts are gone the plain view begins at the first that is left: at the offset of
 * one of state_make's, or where a raw file begins by its mark. */
static bool begins_somewhere(const struct state *s, const uint8_t *data, size_t len)
{
	static const uint16_t starts[] = {0, 1, 2, 40, 80, 700, 1365, 1400, 2730};

	for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
		if (are_written(data, len, starts[i]))
			return true;
	}
	for (unsigned i = 0; i < s->raw_count; i++) {
		if (are_written(data, len, s->raws[i].from))
			return true;
	}
	return false;
}

void state_check_view(const struct state *s, const char *name, const uint8_t *data, size_t len)
{
	if (begins_somewhere(s, data, len))
		return;
	fprintf(stderr, "%s, of %zu bytes\n", name, len);
	MUST(!"what was not written is read");
}

uint8_t *state_read(int fd, size_t *len)
{
	struct stat st;
	uint8_t *data;

	MUST(fstat(fd, &st) == 0);
	data = malloc((size_t)st.st_size + 1);
	MUST(data && io_pread(fd, data, (size_t)st.st_size, 0) == st.st_size);
	*len = (size_t)st.st_size;
	return data;
}

/* ---- the tree ---- */

static bool is_in(const char *path, const char *const *list)
{
	for (; list && *list; list++) {
		if (strcmp(*list, path) == 0)
			return true;
	}
	return false;
}

static void list_content(int dirfd, const char *name, const struct stat *st, struct buf *out)
{
	char target[PATH_MAX];
	ssize_t n;

	if (S_ISLNK(st->st_mode)) {
		n = readlinkat(dirfd, name, target, sizeof(target));
		buf_printf(out, " -> %.*s", (int)n, target);
	} else if (S_ISREG(st->st_mode)) {
		CLEANUP_FD int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		CLEANUP_FREE uint8_t *data = NULL;
		size_t len;

		MUST(fd >= 0);
		data = state_read(fd, &len);
		buf_printf(out, " %zu %08lx", len, crc32_z(0, data, len));
	}
}

static void list_dir(int dirfd, const char *prefix, const char *const *skip, struct buf *out)
{
	struct dirent **list;
	int n = scandirat(dirfd, ".", &list, NULL, alphasort);

	MUST(n >= 0);
	for (int i = 0; i < n; i++) {
		const char *name = list[i]->d_name;
		char path[PATH_MAX];
		struct stat st;

		snprintf(path, sizeof(path), "%s%s", prefix, name);
		if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !is_in(path, skip)) {
			MUST(fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0);
			buf_printf(out, "%s %o", path, st.st_mode);
			list_content(dirfd, name, &st, out);
			buf_str(out, "\n");
			if (S_ISDIR(st.st_mode)) {
				CLEANUP_FD int sub =
				    openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

				MUST(sub >= 0);
				snprintf(path, sizeof(path), "%s%s/", prefix, name);
				list_dir(sub, path, skip, out);
			}
		}
		free(list[i]);
	}
	free(list);
}

void state_list(int fd, const char *const *skip, struct buf *out)
{
	buf_reset(out);
	buf_str(out, "");
	list_dir(fd, "", skip, out);
	MUST(!out->failed);
}

static void each_in(int dirfd, const char *prefix, state_visit *visit, void *ctx)
{
	int again = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = again < 0 ? NULL : fdopendir(again);
	struct dirent *e;

	MUST(d);
	while ((e = readdir(d))) {
		char path[PATH_MAX];
		struct stat st;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "/" : "", e->d_name);
		MUST(fstatat(dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0);
		CLEANUP_FD int fd =
		    S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)
			? openat(dirfd, e->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
			: -1;

		if (S_ISDIR(st.st_mode))
			each_in(fd, path, visit, ctx);
		else if (S_ISREG(st.st_mode))
			visit(ctx, fd, path);
	}
	closedir(d);
}

void state_each(int rootfd, const char *path, state_visit *visit, void *ctx)
{
	CLEANUP_FD int fd = io_open(rootfd, *path ? path : ".", O_RDONLY | O_DIRECTORY, 0);

	if (fd >= 0)
		each_in(fd, path, visit, ctx);
}
