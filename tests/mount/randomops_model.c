/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model: files as bytes in memory, and what is known of their cuts.
 */
#include "tests/mount/randomops.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const dir_names[DIRS] = {"", "d1", "d2", "t.part"};
static const char *const names[NAMES] = {"a",	       "b",	     "c.log", "e",
					 "e.notepack", "f.notepack", "x.tmp", ".g"};

const char *name_of(int path)
{
	return names[path % NAMES];
}

const char *path_text(int path)
{
	static char text[2][32];
	static unsigned turn;
	char *out = text[++turn % 2];

	snprintf(out, sizeof(text[0]), "%s%s%s", dir_names[path / NAMES],
		 path < NAMES ? "" : "/", names[path % NAMES]);
	return out;
}

bool excluded(int path)
{
	return path / NAMES == DIRS - 1 || path % NAMES >= NAMES - 2;
}

void full_path(const struct run *r, int path, char *out)
{
	snprintf(out, PATH_BYTES, "%.400s/%s", r->mnt, path_text(path));
}

void full_dir(const struct run *r, int dir, char *out)
{
	snprintf(out, PATH_BYTES, "%.400s/%s", r->mnt, dir_names[dir]);
}

/* "e" and "e.notepack" would be sealed under one name. */
struct file *other_spelling(struct run *r, int path)
{
	int name = path % NAMES;

	if (name == 3)
		return r->at[path + 1];
	return name == 4 ? r->at[path - 1] : NULL;
}

bool failed(struct run *r, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(r->failure, sizeof(r->failure), format, args);
	va_end(args);
	return false;
}

bool expect(struct run *r, enum verdict v, int err, int refusal, const char *what,
	    const char *name)
{
	if ((!err && v != MUST_FAIL) || (err && err == refusal && v != MUST_WORK))
		return true;
	return failed(r, "%s %s: %s, expected %s%s%s", what, name,
		      err ? strerror(err) : "it worked", v == MUST_FAIL ? "" : "it to work",
		      v == EITHER ? " or " : "", v == MUST_WORK ? "" : strerror(refusal));
}

/* ---- files ---- */

struct file *file_make(struct run *r, int path)
{
	struct file *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	f->path = path;
	f->mode = 0644;
	f->mode_known = true;
	f->next = r->files;
	r->files = f;
	r->at[path] = f;
	return f;
}

void file_forget(struct run *r, struct file *f)
{
	struct file **at = &r->files;

	if (f->path >= 0 || f->opens)
		return;
	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	free(f->data);
	free(f);
}

void file_unlink(struct run *r, struct file *f)
{
	r->at[f->path] = NULL;
	f->path = -1;
	file_forget(r, f);
}

void file_move(struct run *r, struct file *f, int path)
{
	r->at[f->path] = NULL;
	r->at[path] = f;
	f->path = path;
}

/*
 * Its bytes are others: so is its time. A change that leaves no byte to be sealed (space behind
 * the end) is recorded when the raw file is given up.
 */
void file_changed(struct file *f)
{
	f->mtime_known = false;
	f->mtime_lazy = true;
}

void file_resize(struct file *f, size_t size)
{
	if (size > f->space) {
		size_t space = size * 2;
		uint8_t *data = realloc(f->data, space);

		if (!data)
			abort();
		f->data = data;
		f->space = space;
	}
	if (size > f->size)
		memset(f->data + f->size, 0, size - f->size);
	f->size = size;
	if (f->written_end > size)
		f->written_end = size;
	file_changed(f);
}

void file_write(struct file *f, size_t offset, const uint8_t *data, size_t len)
{
	if (offset + len > f->size)
		file_resize(f, offset + len);
	memcpy(f->data + offset, data, len);
	if (f->written_end < offset + len)
		f->written_end = offset + len;
	f->mtime_loose = false;
	file_changed(f);
}

/* Lines, or bytes with zeros among them; two fills are hardly ever the same. */
void fill(uint8_t *out, size_t len, uint32_t seed)
{
	uint64_t rng = seed, bits = 0;

	for (size_t i = 0; i < len; i++) {
		if (i % 8 == 0)
			bits = draw(&rng);
		out[i] = (uint8_t)bits;
		if (seed & 1)
			out[i] = out[i] % 40 == 0 ? '\n' : (uint8_t)('a' + out[i] % 26);
		bits >>= 8;
	}
}

/* ---- cuts ---- */

enum verdict change_verdict(const struct file *f, size_t offset)
{
	return offset < f->cut_sure ? MUST_FAIL : offset < f->cut_maybe ? EITHER : MUST_WORK;
}

void learn_change(struct file *f, size_t offset, int err)
{
	if (err && f->cut_sure <= offset)
		f->cut_sure = offset + 1;
	else if (!err && f->cut_maybe > offset)
		f->cut_maybe = offset;
}

void model_update(struct run *r)
{
	for (struct file *f = r->files; f; f = f->next) {
		if (f->path < 0 || excluded(f->path))
			continue;
		if (!f->writers)
			f->cut_maybe = f->size;
		else if (f->armed && f->cut_maybe < f->written_end)
			f->cut_maybe = f->written_end;
	}
}
