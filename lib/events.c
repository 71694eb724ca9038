/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/events.h"

#include <errno.h>
#include <fcntl.h>

#include "lib/bytes.h"
#include "lib/io.h"
#include "lib/layout.h"
#include "lib/lock.h"
#include "lib/log.h"

#include <string.h>
#include <unistd.h>

struct events {
	int storefd;
	uint64_t max_bytes;
	int read_only;
	/* Rank 40. Protects what follows, and keeps lines whole; held while a line is appended.
	 */
	struct lock lock;
	int fd, old_fd; /* -1: none */
	uint64_t size, old_size;
};

static int open_one(struct events *e, const char *path, int flags, uint64_t *size)
{
	struct stat st;
	int fd = io_open(e->storefd, path, flags, 0600);

	*size = fd >= 0 && io_fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	return fd;
}

struct events *events_open(int storefd, uint64_t max_bytes, int read_only)
{
	struct events *e = calloc(1, sizeof(*e));
	int flags = read_only ? O_RDONLY : O_RDWR | O_CREAT | O_APPEND;

	if (!e)
		return NULL;
	e->storefd = storefd;
	e->max_bytes = max_bytes;
	e->read_only = read_only;
	lock_init(&e->lock);
	e->fd = open_one(e, LAYOUT_LOG, flags, &e->size);
	e->old_fd = open_one(e, LAYOUT_LOG_OLD, O_RDONLY, &e->old_size);
	if (e->fd < 0 && !read_only)
		log_error(LAYOUT_LOG ": %s; events are not recorded", strerror(-e->fd));
	return e;
}

void events_close(struct events *e)
{
	if (!e)
		return;
	if (e->fd >= 0)
		close(e->fd);
	if (e->old_fd >= 0)
		close(e->old_fd);
	lock_release(&e->lock);
	free(e);
}

/* Half of the bound is full: the log becomes log.1, and a new one begins. */
static void rotate_locked(struct events *e) REQUIRES(e->lock)
{
	int err = io_rename(e->storefd, LAYOUT_LOG, e->storefd, LAYOUT_LOG_OLD, 0);

	if (err) {
		log_warning(LAYOUT_LOG ": not rotated: %s", strerror(-err));
		return;
	}
	if (e->old_fd >= 0)
		close(e->old_fd);
	e->old_fd = e->fd;
	e->old_size = e->size;
	e->fd = open_one(e, LAYOUT_LOG, O_RDWR | O_CREAT | O_APPEND, &e->size);
}

void events_format(struct buf *lines, const char *event, uint64_t seq, const char *path,
		   const char *more)
{
	int64_t now_ns = clock_wall_ns();

	buf_printf(lines, "{\"time\":\"%lld.%09lld\",\"event\":\"%s\",\"seq\":%llu,",
		   (long long)(now_ns / 1000000000), (long long)(now_ns % 1000000000), event,
		   (unsigned long long)seq);
	buf_json_path(lines, "path", path, strlen(path));
	buf_str(lines, more);
	buf_str(lines, "}\n");
}

/* All of it, or nothing. */
static int append_locked(struct events *e, const char *data, size_t len) REQUIRES(e->lock)
{
	struct stat st;
	int err;

	if (e->size + len > e->max_bytes / 2)
		rotate_locked(e);
	if (e->fd < 0)
		return e->fd;
	err = io_write(e->fd, data, len);
	if (!err)
		e->size += len;
	else if (io_truncate(e->fd, e->size) != 0 && io_fstat(e->fd, &st) == 0)
		e->size = (uint64_t)st.st_size;
	return err;
}

static int append_each_locked(struct events *e, const char *data, size_t len) REQUIRES(e->lock)
{
	int err = 0;

	while (len > 0) {
		size_t line = (size_t)((const char *)memchr(data, '\n', len) - data) + 1;
		int r = append_locked(e, data, line);

		err = err ? err : r;
		data += line;
		len -= line;
	}
	return err;
}

void events_append(struct events *e, const struct buf *lines)
{
	int err = lines->failed ? -ENOMEM : 0;

	if (e->read_only)
		return;
	lock_take(&e->lock);
	if (!err && append_locked(e, lines->data, lines->len) != 0)
		err = append_each_locked(e, lines->data, lines->len); /* room for some? */
	lock_drop(&e->lock);
	if (err)
		log_warning(LAYOUT_LOG ": an event was not recorded: %s", strerror(-err));
}

void events_add(struct events *e, const char *event, uint64_t seq, const char *path,
		const char *more)
{
	CLEANUP_BUF struct buf line = {0};

	events_format(&line, event, seq, path, more);
	events_append(e, &line);
}

uint64_t events_size(struct events *e)
{
	uint64_t size;

	lock_take(&e->lock);
	size = e->old_size + e->size;
	lock_drop(&e->lock);
	return size;
}

ssize_t events_read(struct events *e, void *buf, size_t len, uint64_t offset)
{
	ssize_t n = 0;

	lock_take(&e->lock);
	if (offset < e->old_size && e->old_fd >= 0)
		n = io_pread(e->old_fd, buf, (size_t)MIN(len, e->old_size - offset), offset);
	else if (offset < e->old_size + e->size && e->fd >= 0)
		n = io_pread(e->fd, buf, (size_t)MIN(len, e->old_size + e->size - offset),
			     offset - e->old_size);
	lock_drop(&e->lock);
	return n;
}
