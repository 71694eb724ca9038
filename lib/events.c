/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/events.h"

#include <fcntl.h>

#include "lib/buf.h"
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

void events_add(struct events *e, const char *event, uint64_t seq, const char *path,
		const char *more)
{
	CLEANUP_BUF struct buf line = {0};
	int64_t now_ns = clock_wall_ns();
	int err;

	if (e->read_only)
		return;
	buf_printf(&line, "{\"time\":\"%lld.%09lld\",\"event\":\"%s\",\"seq\":%llu,",
		   (long long)(now_ns / 1000000000), (long long)(now_ns % 1000000000), event,
		   (unsigned long long)seq);
	buf_json_path(&line, "path", path, strlen(path));
	buf_str(&line, more);
	buf_str(&line, "}\n");
	if (line.failed)
		return;
	lock_take(&e->lock);
	if (e->size + line.len > e->max_bytes / 2)
		rotate_locked(e);
	err = e->fd < 0 ? e->fd : io_write(e->fd, line.data, line.len);
	if (!err)
		e->size += line.len;
	lock_drop(&e->lock);
	if (err)
		log_warning(LAYOUT_LOG ": an event was not recorded: %s", strerror(-err));
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
