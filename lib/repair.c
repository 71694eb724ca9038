/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/repair_impl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/io.h"
#include "lib/layout.h"

#define LOG_FILE_BYTES_MAX ((size_t)64 << 20)

void repair_say(struct repair *r, enum repair_level level, const char *dir, const char *name,
		const char *fmt, ...)
{
	CLEANUP_BUF struct buf line = {0};
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_printf(&line, "%s%s%s: %s", dir, *dir ? "/" : "", name, text);
	r->options->say(r->options->ctx, level, line.failed ? text : line.data);
}

static void say_piece(void *ctx, const char *text)
{
	struct repair *r = ctx;

	r->options->say(r->options->ctx, REPAIR_NOTE, text);
}

/* ---- numbers that were given out, where no header says it ---- */

static void count_log(struct repair *r, const char *path)
{
	static const char key[] = "\"seq\":";
	CLEANUP_FREE char *text = NULL;
	const char *p;
	size_t len;

	if (io_read_file(r->storefd, path, LOG_FILE_BYTES_MAX, &text, &len) != 0)
		return;
	for (p = text; (p = memmem(p, len - (size_t)(p - text), key, sizeof(key) - 1));) {
		unsigned long long seq;

		p += sizeof(key) - 1;
		seq = strtoull(p, NULL, 10);
		if (seq < REPAIR_NUMBER_MAX)
			r->next_seq = MAX(r->next_seq, seq + 1);
	}
}

/* Imports on their way have their ids for names. */
static void count_imports(struct repair *r)
{
	int fd = io_open(r->storefd, LAYOUT_IMPORT, O_RDONLY | O_DIRECTORY, 0);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!stream) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(stream))) {
		unsigned long long id = strtoull(e->d_name, NULL, 10);

		if (id < REPAIR_NUMBER_MAX)
			r->next_id = MAX(r->next_id, id + 1);
	}
	closedir(stream);
}

static void find_numbers(struct repair *r)
{
	r->next_seq = MAX(r->next_seq, r->salvage.next_seq);
	r->next_id = MAX(r->next_id, r->salvage.next_id);
	if (r->salvage.header_is_right)
		return;
	count_log(r, LAYOUT_LOG);
	count_log(r, LAYOUT_LOG_OLD);
	count_imports(r);
	r->next_seq += REPAIR_GAP;
	r->next_id += REPAIR_GAP;
}

/* ---- the whole ---- */

static int rebuild(struct repair *r)
{
	int err = repair_find_suffix(r);

	if (!err)
		err = globs_init(&r->exclude, r->salvage.exclude ? r->salvage.exclude
								 : NAME_DEFAULT_EXCLUDE);
	if (!err)
		err = manifest_salvage_lines(r->storefd, r->suffix, say_piece, r, &r->salvage);
	if (!err)
		err = repair_walk(r);
	if (err)
		return err;
	find_numbers(r);
	err = repair_match(r);
	if (!err)
		err = repair_files(r);
	if (!err)
		err = repair_save(r);
	return err;
}

/* Is there anything to repair? 0: yes; REPAIR_NOTHING; or -errno. */
static int look(struct repair *r)
{
	const struct manifest_options options = {.read_only = true,
						 .suffix = r->options->suffix};
	struct manifest_error error = {{0}};
	struct manifest *m;
	int err = manifest_open(r->storefd, &options, &m, &error);

	if (!err) {
		manifest_close(m);
		return REPAIR_NOTHING;
	}
	if (err == -ENOENT)
		return REPAIR_NOTHING;
	snprintf(r->error->text, sizeof(r->error->text), "%s", error.text);
	return err == -EBADMSG || err == -EIO || err == -EPROTO ? 0 : err;
}

/* Where no one has said more. */
static void say_why(struct repair_error *error, int err)
{
	if (err < 0 && !*error->text)
		snprintf(error->text, sizeof(error->text), "%s", strerror(-err));
}

int repair_store(int storefd, const struct repair_options *options,
		 struct repair_counts *counts, struct repair_error *error)
{
	struct repair r = {
	    .storefd = storefd, .options = options, .counts = counts, .error = error};
	int err;

	memset(counts, 0, sizeof(*counts));
	memset(error, 0, sizeof(*error));
	err = look(&r);
	if (err) {
		say_why(error, err);
		return err;
	}
	err = manifest_salvage_header(storefd, &r.salvage);
	if (!err) {
		memset(error, 0, sizeof(*error));
		err = rebuild(&r);
	}
	say_why(error, err);
	repair_release(&r);
	return err;
}
