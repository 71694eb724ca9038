/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/temporary.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/codec.h"
#include "lib/io.h"

int temporary_open_path(struct store *s, const char *path, mode_t mode)
{
	return io_open(s->tmpfd, path + strlen(LAYOUT_TMP "/"), O_RDWR | O_CREAT | O_EXCL,
		       mode);
}

int temporary_open(struct store *s, struct segment *seg)
{
	static atomic_ulong counter;
	int fd;

	snprintf(seg->tmp, sizeof(seg->tmp), LAYOUT_TMP "/%llu.%u.%lu.gz",
		 (unsigned long long)seg->file->id, (unsigned)seg->part,
		 atomic_fetch_add(&counter, 1));
	/* The mode that it will most likely have in the end. */
	fd = temporary_open_path(s, seg->tmp, 0444);
	if (fd < 0) {
		seg->tmp[0] = '\0';
		return fd;
	}
	seg->tmp_fd = fd;
	return 0;
}

void temporary_drop(struct store *s, struct segment *seg)
{
	if (seg->tmp_fd >= 0)
		close(seg->tmp_fd);
	if (seg->tmp[0])
		io_unlink(s->fd, seg->tmp, 0);
	seg->tmp_fd = -1;
	seg->tmp[0] = '\0';
}

void temporary_record(struct segment *seg, const struct lane *lane, uint32_t crc,
		      const struct frames *frames)
{
	struct sealed *rec = &seg->record;

	rec->id = seg->file->id;
	rec->part = seg->part;
	rec->offset = seg->offset;
	rec->raw_bytes = seg->raw_bytes;
	rec->crc32 = crc;
	rec->is_notepack = frames_is_notepack(frames);
	rec->records = rec->is_notepack ? frames->records : 0;
	rec->first_created_at = rec->is_notepack ? frames->first_created_at : 0;
	rec->last_created_at = rec->is_notepack ? frames->last_created_at : 0;
	rec->codec = (uint8_t)record_codec_number(lane->codec->name);
	rec->level = (uint8_t)lane->level;
}
