/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the control files show: the status, the generated manifest, the checksums, the log.
 */
#include <stdio.h>

#include "lib/catalog.h"
#include "lib/damage.h"
#include "lib/early.h"
#include "lib/events.h"
#include "lib/pass.h"
#include "lib/scrub.h"
#include "lib/segment.h"
#include "lib/store.h"

static const char *state_name(const struct file *f)
{
	if (f->segments) {
		switch (f->segments->state) {
		case SEGMENT_SEALING:
			return "sealing";
		case SEGMENT_READY:
		case SEGMENT_PUBLISHING:
			return "publishing";
		case SEGMENT_RETRY:
			return "retry";
		default:
			return "queued";
		}
	}
	if (f->import && !f->writers)
		return "importing";
	if (f->kept)
		return "kept";
	return f->writers ? "open" : "grace";
}

static void add_pending_locked(struct store *s, const struct file *f, int64_t now_ns,
			       struct buf *out) REQUIRES(s->lock)
{
	CLEANUP_BUF struct buf path = {0};
	int64_t since_ns = f->segments ? f->segments->cut_ns : f->dirty_since_ns;
	char lost[80] = "";
	const char *error = f->segments ? f->segments->error : f->reason ? f->reason : "";

	if (f->error)
		snprintf(lost, sizeof(lost), "fsync: %s", strerror(-f->error));
	if (!*error)
		error = lost;
	catalog_path_locked(s, &f->n, 0, &path);
	if (path.failed)
		return;
	buf_str(out, "{");
	buf_json_path(out, "path", path.data, path.len);
	buf_printf(out, ",\"id\":%llu,\"bytes\":%llu,\"age\":%.3f,\"state\":\"%s\",\"error\":",
		   (unsigned long long)f->id, (unsigned long long)(f->size - f->sealed_end),
		   since_ns ? (double)(now_ns - since_ns) / 1e9 : 0.0, state_name(f));
	if (*error)
		buf_json_string(out, error, strlen(error));
	else
		buf_str(out, "null");
	buf_str(out, "}");
}

/* Not what is excluded, and stays as it is. */
static bool is_pending_locked(struct store *s, const struct file *f) REQUIRES(s->lock)
{
	return f->segments || f->kept ||
	       (f->size > f->sealed_end && !catalog_excluded_locked(s, f->n.dir, f->n.name));
}

struct totals {
	uint64_t files, bytes, failed, held;
};

/* Sealed bytes whose raw bytes stay, too, as long as someone has the file open. */
static uint64_t held_bytes(const struct file *f)
{
	return f->raw_present && f->sealed_end > f->raw_base ? f->sealed_end - f->raw_base : 0;
}

/* list NULL: only count. */
static void add_all_pending_locked(struct store *s, struct buf *list, struct totals *t)
    REQUIRES(s->lock)
{
	int64_t now_ns = clock_ns();
	struct file *f;

	DL_FOREACH2(s->active, f, active_next)
	{
		if (!is_pending_locked(s, f))
			continue;
		if (t->files++ && list)
			buf_str(list, ",");
		if (list)
			add_pending_locked(s, f, now_ns, list);
		t->bytes += f->size - f->sealed_end;
		t->held += f->kept && !f->passed ? held_bytes(f) : 0;
		t->failed += f->segments && f->segments->state == SEGMENT_RETRY;
	}
	DL_FOREACH2(s->passed, f, passed_next)
	t->held += held_bytes(f);
}

/* Imports that were refused: of this mount, and of directories that were looked into. */
static void add_refused_locked(struct store *s, struct buf *list) REQUIRES(s->lock)
{
	struct file *f;
	bool first = true;

	DL_FOREACH2(s->imports, f, imports_next)
	{
		CLEANUP_BUF struct buf path = {0};

		if (f->import)
			continue;
		catalog_path_locked(s, &f->n, 0, &path);
		buf_str(list, first ? "{" : ",{");
		first = false;
		buf_json_path(list, "path", path.data ? path.data : "", path.len);
		buf_str(list, ",\"error\":");
		if (f->reason)
			buf_json_string(list, f->reason, strlen(f->reason));
		else
			buf_str(list, "null");
		buf_str(list, "}");
	}
}

/* In which getpid() is the number; 0: unknown. */
static ino_t pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;
}

static void add_options(struct store *s, struct buf *out)
{
	const struct store_options *o = &s->options;

	buf_printf(out,
		   "{\"codec\":\"%s\",\"level\":%d,\"adaptive\":%s,\"threads\":%u,"
		   "\"grace\":%.3f,\"backlog\":%llu,"
		   "\"suffix\":\"%s\","
		   "\"exclude\":",
		   o->codec, o->level, o->adaptive ? "true" : "false", o->threads,
		   (double)o->grace_ns / 1e9, (unsigned long long)o->backlog_bytes,
		   store_suffix(s));
	buf_json_string(out, o->exclude, strlen(o->exclude));
	buf_printf(out,
		   ",\"fsync\":\"%s\",\"cut_size\":%llu,\"cut_age\":%.3f,\"rotate_size\":%llu,"
		   "\"rotate_age\":%.3f,\"scrub\":%.3f,"
		   "\"allow_delete\":",
		   o->fsync_seals ? "seal" : "sync", (unsigned long long)o->cut_bytes,
		   (double)o->cut_age_ns / 1e9, (unsigned long long)o->rotate_bytes,
		   (double)o->rotate_age_ns / 1e9, (double)o->scrub_ns / 1e9);
	if (o->allow_delete || !o->allow_delete_globs)
		buf_str(out, o->allow_delete ? "true" : "false");
	else
		buf_json_string(out, o->allow_delete_globs, strlen(o->allow_delete_globs));
	buf_str(out, "}");
}

void store_status(struct store *s, bool names, struct buf *out)
{
	const struct store_options *o = &s->options;
	CLEANUP_BUF struct buf list = {0}, refused = {0}, damaged = {0}, scrub = {0};
	CLEANUP_BUF struct buf early = {0};
	struct totals t = {0};
	bool draining;
	uint64_t sealed, waiting, damages;
	struct store_pause *p;
	unsigned slowed;

	pass_learn_all(s, NULL);
	lock_take(&s->lock);
	add_all_pending_locked(s, names ? &list : NULL, &t);
	if (names)
		add_refused_locked(s, &refused);
	damages = damage_list_locked(s, &damaged);
	scrub_status_locked(s, &scrub);
	early_status_locked(s, &early);
	draining = s->stopping;
	sealed = s->sealed_total;
	waiting = s->pending_bytes;
	DL_COUNT(s->paused, p, slowed);
	lock_drop(&s->lock);

	buf_printf(out, "{\"version\":\"%s\",\"pid\":%ld,\"pid_ns\":%llu,", NOTEPACKFS_VERSION,
		   (long)getpid(), (unsigned long long)pid_namespace());
	buf_json_path(out, "store", s->path, strlen(s->path));
	buf_printf(
	    out,
	    ",\"state\":\"%s\",\"read_only\":%s,\"sealed_files\":%llu,\"pending_files\":%llu,"
	    "\"pending_bytes\":%llu,\"waiting_bytes\":%llu,\"slowed_writers\":%u,\"failed_"
	    "files\":%llu,\"held_bytes\":%llu,\"damaged_objects\":%llu,\"records\":%llu,"
	    "\"seq\":%llu,"
	    "\"threads\":%u,\"pending\":[",
	    draining ? "draining" : "mounted", o->read_only ? "true" : "false",
	    (unsigned long long)sealed, (unsigned long long)t.files,
	    (unsigned long long)t.bytes, (unsigned long long)waiting, slowed,
	    (unsigned long long)t.failed, (unsigned long long)t.held,
	    (unsigned long long)damages, (unsigned long long)manifest_count(s->manifest),
	    (unsigned long long)manifest_last_seq(s->manifest), o->threads);
	if (list.data)
		buf_add(out, list.data, list.len);
	buf_str(out, "],\"invalid\":[");
	if (refused.data)
		buf_add(out, refused.data, refused.len);
	buf_str(out, "],\"damaged\":[");
	if (names && damaged.data)
		buf_add(out, damaged.data, damaged.len);
	buf_printf(out, "],\"scrub\":%s", scrub.data ? scrub.data : "null");
	buf_printf(out, ",\"early\":%s", early.data ? early.data : "null");
	buf_str(out, ",\"options\":");
	add_options(s, out);
	buf_str(out, "}\n");
}

void store_progress(struct store *s, struct store_progress *out)
{
	struct file *f;

	memset(out, 0, sizeof(*out));
	lock_take(&s->lock);
	DL_FOREACH2(s->active, f, active_next)
	{
		if (!is_pending_locked(s, f))
			continue;
		out->files_left += f->segments || f->dirty;
		out->bytes_left += f->size - f->sealed_end;
	}
	lock_drop(&s->lock);
}

int store_dump_manifest(struct store *s, store_writer *write, void *ctx)
{
	return manifest_dump(s->manifest, write, ctx);
}

/* ---- checksums ---- */

/* A line, and in it its path: where they begin in the text. */
struct sum {
	size_t line, path;
};

struct sums {
	const char *suffix;
	struct buf text; /* the lines, each with an end */
	struct sum *list;
	size_t count, size;
};

static void add_escaped(struct buf *line, const char *s)
{
	for (size_t n; *s; s += n) {
		n = strcspn(s, "\\\n\r");
		buf_add(line, s, n);
		if (!s[n])
			break;
		buf_str(line, s[n] == '\n' ? "\\n" : s[n] == '\r' ? "\\r" : "\\\\");
		n++;
	}
}

/* A line as sha256sum(1) writes it: a backslash in front, and in the name \\, \n and \r, where
 * the name needs it. */
static struct sum add_line(struct buf *text, const struct sealed *rec, const char *dir,
			   const char *object)
{
	struct sum sum = {.line = text->len};
	char sha[2 * SHA256_BYTES + 1];

	hex_encode(rec->sha256, SHA256_BYTES, sha);
	if (strpbrk(dir, "\\\n\r") || strpbrk(object, "\\\n\r"))
		buf_str(text, "\\");
	buf_str(text, sha);
	buf_str(text, "  ");
	sum.path = text->len;
	add_escaped(text, dir);
	buf_str(text, *dir ? "/" : "");
	add_escaped(text, object);
	buf_add(text, "\n", 2); /* with its end */
	return sum;
}

static int add_sum(void *ctx, const struct sealed *rec, const char *dir, const char *plain)
{
	struct sums *sums = ctx;
	char object[NAME_BYTES + 1];

	if (sums->count == sums->size) {
		size_t size = sums->size ? sums->size * 2 : 64;
		struct sum *list = realloc(sums->list, size * sizeof(*list));

		if (!list)
			return -ENOMEM;
		sums->list = list;
		sums->size = size;
	}
	if (name_sealed(plain, rec->part, sums->suffix, object) != 0)
		return 0;
	sums->list[sums->count++] = add_line(&sums->text, rec, dir, object);
	return sums->text.failed ? -ENOMEM : 0;
}

static int by_path(const void *a, const void *b, void *text)
{
	const struct sum *x = a, *y = b;

	return strcmp((const char *)text + x->path, (const char *)text + y->path);
}

int store_dump_sha256sums(struct store *s, store_writer *write, void *ctx)
{
	struct sums sums = {.suffix = store_suffix(s)};
	int err = manifest_each(s->manifest, add_sum, &sums);

	if (sums.count)
		qsort_r(sums.list, sums.count, sizeof(*sums.list), by_path, sums.text.data);
	for (size_t i = 0; i < sums.count && !err; i++) {
		const char *line = sums.text.data + sums.list[i].line;

		err = write(ctx, line, strlen(line));
	}
	buf_release(&sums.text);
	free(sums.list);
	return err;
}

int store_log_size(struct store *s, uint64_t *bytes)
{
	*bytes = events_size(s->events);
	return 0;
}

ssize_t store_log_read(struct store *s, void *buf, size_t len, uint64_t offset)
{
	return events_read(s->events, buf, len, offset);
}
