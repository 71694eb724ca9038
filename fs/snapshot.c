/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A manifest of a million records is some 400 MB of text, so it goes into a file without a name
 * in $TMPDIR (or /tmp, or /var/tmp), not into memory (L38). Only where no such file can be made
 * is it a memfd: rather memory than no manifest.
 */
#include "fs/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/io.h"

#define OUTPUT_BYTES 65536

struct output {
	int fd;
	size_t used;
	uint64_t written;
	char data[OUTPUT_BYTES];
};

void snapshot_init(struct snapshot *s)
{
	memset(s, 0, sizeof(*s));
	s->fd = -1;
}

void snapshot_release(struct snapshot *s)
{
	if (s->fd >= 0)
		close(s->fd);
	buf_release(&s->text);
	snapshot_init(s);
}

/* A descriptor, or -errno. */
static int open_unnamed(void)
{
	const char *const dirs[] = {getenv("TMPDIR"), "/tmp", "/var/tmp"};
	int fd;

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		if (!dirs[i] || dirs[i][0] != '/')
			continue;
		fd = open(dirs[i], O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
		if (fd >= 0)
			return fd;
	}
	fd = memfd_create("notepackfs", MFD_CLOEXEC);
	return fd >= 0 ? fd : -ENOMEM;
}

static int output_flush(struct output *o)
{
	int err = io_pwrite(o->fd, o->data, o->used, o->written);

	o->written += o->used;
	o->used = 0;
	return err;
}

static int output_write(void *ctx, const char *data, size_t len)
{
	struct output *o = ctx;

	while (len > 0) {
		size_t n = MIN(len, sizeof(o->data) - o->used);

		memcpy(o->data + o->used, data, n);
		o->used += n;
		data += n;
		len -= n;
		if (o->used == sizeof(o->data)) {
			int err = output_flush(o);

			if (err)
				return err;
		}
	}
	return 0;
}

static int generate(struct store *store, snapshot_source *source, struct output *o)
{
	int err;

	o->used = 0;
	o->written = 0;
	o->fd = open_unnamed();
	if (o->fd < 0)
		return o->fd;
	err = source(store, output_write, o);
	return err ? err : output_flush(o);
}

int snapshot_generate(struct store *store, snapshot_source *source, struct snapshot *out)
{
	struct output *o = malloc(sizeof(*o));
	int err;

	if (!o)
		return -ENOMEM;
	err = generate(store, source, o);
	if (o->fd >= 0)
		out->fd = o->fd;
	out->size = o->written;
	free(o);
	return err;
}

int snapshot_status(struct store *store, bool names, struct snapshot *out)
{
	store_status(store, names, &out->text);
	if (out->text.failed)
		return -ENOMEM;
	out->size = out->text.len;
	return 0;
}

ssize_t snapshot_read(const struct snapshot *s, void *buf, size_t size, uint64_t offset)
{
	if (s->fd >= 0)
		return io_pread(s->fd, buf, size, offset);
	if (offset >= s->size)
		return 0;
	size = MIN(size, s->size - offset);
	memcpy(buf, s->text.data + offset, size);
	return (ssize_t)size;
}
