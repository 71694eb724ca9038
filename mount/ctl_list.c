/* SPDX-License-Identifier: BSD-2-Clause */
#include "mount/ctl_list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/io.h"
#include "lib/lock.h"
#include "lib/seekgz.h"
#include "mount/ctl.h"

void list_exclude(struct list *l, const char *globs)
{
	globs_release(&l->exclude);
	if (globs_init(&l->exclude, globs) != 0)
		ctl_no_memory();
}

static struct entry *find(struct list *l, const char *name, size_t len)
{
	struct entry *e;

	HASH_FIND(hh, l->entries, name, len, e);
	return e;
}

static struct entry *add(struct list *l, const char *name, size_t len)
{
	struct entry *e = ctl_alloc(sizeof(*e) + len + 1);

	memset(e, 0, sizeof(*e));
	memcpy(e->name, name, len);
	e->name[len] = '\0';
	HASH_ADD_KEYPTR(hh, l->entries, e->name, len, e);
	return e;
}

static void add_part(struct entry *e, uint64_t offset, uint64_t raw, uint64_t gz,
		     int64_t mtime_ns)
{
	e->parts++;
	e->sealed_bytes += raw;
	e->gz_bytes += gz;
	if (offset + raw >= e->sealed_end) {
		e->sealed_end = offset + raw;
		e->mtime_ns = mtime_ns;
	}
	e->raw_bytes = MAX(e->raw_bytes, e->sealed_end);
}

void list_record(struct list *l, const struct sealed *s, const char *plain)
{
	struct entry *e = find(l, plain, strlen(plain));

	if (!e)
		e = add(l, plain, strlen(plain));
	add_part(e, s->offset, s->raw_bytes, s->gz_bytes, s->mtime_ns);
	e->last_recorded = MAX(e->last_recorded, s->part);
}

/* The file of a stem, under either spelling. */
static struct entry *find_stem(struct list *l, const char *stem, size_t len)
{
	struct entry *e = find(l, stem, len);
	CLEANUP_FREE char *longer = NULL;

	if (e && !e->other)
		return e;
	longer = ctl_format("%.*s%s", (int)len, stem, l->suffix);
	return find(l, longer, strlen(longer));
}

/* Has a record told of this object already? Records come first, and without gaps but at the start. */
static bool is_recorded(struct list *l, const char *name)
{
	const struct entry *e;
	size_t stem;
	uint32_t part;

	if (!name_parse_sealed(name, l->suffix, &stem, &part))
		return false;
	e = find_stem(l, name, stem);
	return e && part <= e->last_recorded;
}

static void add_raw(struct list *l, const char *name, const struct stat *st)
{
	struct entry *e = find(l, name, strlen(name));

	if (!e)
		e = add(l, name, strlen(name));
	e->raw_bytes = MAX(e->raw_bytes, (uint64_t)st->st_size);
	e->mtime_ns = ns_of_timespec(&st->st_mtim);
	e->active = e->raw_bytes > e->sealed_end || !e->parts;
	e->invalid = name_is_refused(name, l->suffix);
	e->excluded = globs_match(&l->exclude, name);
}

/* An object that no record told of: its header does. */
static void add_object(struct list *l, int dirfd, const char *name, const struct stat *st)
{
	CLEANUP_FD int fd = -1;
	struct seekgz_header h;
	const char *reason;
	struct entry *e;
	size_t stem;
	uint32_t part;

	if (!st->st_size) { /* an import that waits for its bytes */
		add_raw(l, name, st);
		return;
	}
	fd = io_open(dirfd, name, O_RDONLY | O_NOFOLLOW, 0);
	if (!name_parse_sealed(name, l->suffix, &stem, &part) || fd < 0 ||
	    seekgz_header_read(fd, (uint64_t)st->st_size, &h, &reason) != 0) {
		e = add(l, name, strlen(name));
		e->other = ENTRY_SPECIAL;
		e->mtime_ns = ns_of_timespec(&st->st_mtim);
		return;
	}
	e = find_stem(l, name, stem);
	if (!e)
		e = add(l, name, stem);
	add_part(e, h.offset, h.layout.raw_bytes, (uint64_t)st->st_size,
		 ns_of_timespec(&st->st_mtim));
	seekgz_header_release(&h);
}

static void add_other(struct list *l, const char *name, const struct stat *st)
{
	struct entry *e = add(l, name, strlen(name));

	e->other = S_ISDIR(st->st_mode)	  ? ENTRY_DIR
		   : S_ISLNK(st->st_mode) ? ENTRY_LINK
					  : ENTRY_SPECIAL;
	e->mtime_ns = ns_of_timespec(&st->st_mtim);
}

static void add_entry(struct list *l, int dirfd, const char *name, unsigned type)
{
	struct stat st;

	if (type == DT_REG && is_recorded(l, name))
		return;
	if (io_stat(dirfd, name, &st) != 0) /* it has just gone */
		return;
	if (!S_ISREG(st.st_mode))
		add_other(l, name, &st);
	else if (!name_has_sealed_suffix(name, l->suffix))
		add_raw(l, name, &st);
	else if (!is_recorded(l, name))
		add_object(l, dirfd, name, &st);
}

int list_directory(struct list *l, const char *dir, bool at_root)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (!d) {
		ctl_error("%s: %m", dir);
		return CTL_FAILED;
	}
	while ((e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    (at_root && strcmp(e->d_name, NAME_PRIVATE) == 0))
			continue;
		add_entry(l, dirfd(d), e->d_name, e->d_type);
	}
	closedir(d);
	return CTL_DONE;
}

static bool is_asked_for(const struct list *l, const struct entry *e, const char *name)
{
	size_t stem;
	uint32_t part;

	if (strcmp(e->name, name) == 0)
		return true;
	return !e->other && e->parts && name_parse_sealed(name, l->suffix, &stem, &part) &&
	       name_stem_len(e->name, l->suffix) == stem && memcmp(e->name, name, stem) == 0;
}

void list_keep_only(struct list *l, const char *name)
{
	struct entry *e, *next;

	HASH_ITER (hh, l->entries, e, next) {
		if (!is_asked_for(l, e, name)) {
			HASH_DEL(l->entries, e);
			free(e);
		}
	}
}

static int by_name(const struct entry *a, const struct entry *b)
{
	return strcmp(a->name, b->name);
}

void list_sort(struct list *l)
{
	HASH_SORT(l->entries, by_name);
}

void list_release(struct list *l)
{
	struct entry *e, *next;

	HASH_ITER (hh, l->entries, e, next) {
		HASH_DEL(l->entries, e);
		free(e);
	}
	globs_release(&l->exclude);
}

const char *entry_state(const struct entry *e)
{
	static const char *const others[] = {"", "dir", "link", "special"};

	if (e->other)
		return others[e->other];
	if (e->invalid)
		return "invalid";
	if (e->excluded && e->active)
		return "excluded";
	return e->active ? "active" : "sealed";
}
