/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An index is named after the object's SHA-256, so that it follows the object through renames,
 * and two objects that are the same share one.
 */
#include "lib/object.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/frames.h"
#include "lib/gzfile.h"
#include "lib/io.h"
#include "lib/seekgz_index.h"

/* ---- verifying ---- */

struct pass {
	struct frames frames;
	uint64_t raw_bytes;
	int (*progress)(void *ctx, uint64_t raw_bytes);
	void *ctx;
};

static int take(void *ctx, const uint8_t *data, size_t len)
{
	struct pass *p = ctx;

	frames_feed(&p->frames, data, len);
	p->raw_bytes += len;
	return p->progress ? p->progress(p->ctx, p->raw_bytes) : 0;
}

static int verify_ours(int fd, struct sealed *rec, struct pass *pass,
		       struct seekgz_damage *damage)
{
	struct seekgz_header header = {0};
	struct seekgz_summary summary;
	int err = seekgz_verify(fd, &header, &summary, take, pass, damage);

	if (err)
		return err;
	rec->part = header.part;
	rec->offset = header.offset;
	rec->raw_bytes = header.layout.raw_bytes;
	rec->gz_bytes = summary.gz_bytes;
	rec->crc32 = summary.crc32;
	rec->codec = (uint8_t)record_codec_number("zlib");
	memcpy(rec->sha256, summary.sha256, SHA256_BYTES);
	memcpy(rec->raw_sha256, header.raw_sha256, SHA256_BYTES);
	seekgz_header_release(&header);
	return 0;
}

static int verify_foreign(int fd, struct sealed *rec, struct pass *pass,
			  struct seekgz_damage *damage)
{
	struct gzfile_summary summary;
	int err = gzfile_verify(fd, &summary, take, pass, damage);

	if (err)
		return err;
	rec->part = 1;
	rec->offset = 0;
	rec->raw_bytes = summary.raw_bytes;
	rec->gz_bytes = summary.gz_bytes;
	rec->crc32 = summary.crc32;
	rec->codec = RECORD_CODEC_IMPORT;
	memcpy(rec->sha256, summary.sha256, SHA256_BYTES);
	memcpy(rec->raw_sha256, summary.raw_sha256, SHA256_BYTES);
	return 0;
}

int object_is_ours(int fd)
{
	static const uint8_t magic[4] = {0x1f, 0x8b, 8, 4};
	uint8_t start[14];
	ssize_t n = io_pread(fd, start, sizeof(start), 0);

	if (n < 0)
		return (int)n;
	return n == sizeof(start) && memcmp(start, magic, sizeof(magic)) == 0 &&
	       start[12] == 'N' && start[13] == 'P';
}

int object_verify(int fd, struct sealed *rec, int (*progress)(void *ctx, uint64_t raw_bytes),
		  void *ctx, struct seekgz_damage *damage)
{
	CLEANUP_FD int unseen = io_reopen_unseen(fd);
	struct pass pass = {.progress = progress, .ctx = ctx};
	int ours = unseen < 0 ? unseen : object_is_ours(unseen);
	int err;

	memset(damage, 0, sizeof(*damage));
	frames_init(&pass.frames);
	if (ours < 0)
		return ours;
	err = ours ? verify_ours(unseen, rec, &pass, damage)
		   : verify_foreign(unseen, rec, &pass, damage);
	if (err)
		return err;
	rec->is_notepack = frames_is_notepack(&pass.frames);
	rec->records = rec->is_notepack ? pass.frames.records : 0;
	rec->first_created_at = rec->is_notepack ? pass.frames.first_created_at : 0;
	rec->last_created_at = rec->is_notepack ? pass.frames.last_created_at : 0;
	return 0;
}

/* ---- reading ---- */

struct object_reader {
	atomic_uint refs;
	struct chunks_reader *cached; /* one of the three */
	struct seekgz_reader *ours;
	struct gzfile_reader *foreign;
};

static int open_ours(struct object_reader *r, int fd, const struct sealed *rec, int index_dirfd,
		     bool read_only, const char **reason)
{
	const struct seekgz_header *header;
	char name[2 * SHA256_BYTES + 1];
	int err = seekgz_open(fd, &r->ours, reason);

	if (err)
		return err;
	header = seekgz_header(r->ours);
	if (header->part == rec->part && header->offset == rec->offset &&
	    header->layout.raw_bytes == rec->raw_bytes) {
		hex_encode(rec->sha256, SHA256_BYTES, name);
		if (index_dirfd >= 0)
			seekgz_use_index(r->ours, index_dirfd, name, !read_only);
		return 0;
	}
	seekgz_close(r->ours);
	*reason = "it is not the part that the manifest names";
	return -EBADMSG;
}

static int open_foreign(struct object_reader *r, int fd, const struct sealed *rec,
			int index_dirfd, bool read_only, const char **reason)
{
	struct gzfile_facts facts = {
	    .gz_bytes = rec->gz_bytes,
	    .raw_bytes = rec->raw_bytes,
	    .crc32 = rec->crc32,
	    .no_save = read_only,
	};
	char name[2 * SHA256_BYTES + 1];

	hex_encode(rec->sha256, SHA256_BYTES, name);
	return gzfile_open(fd, &facts, index_dirfd, name, &r->foreign, reason);
}

/* Read one of ours through the cache. */
static int attach(struct object_reader *r, struct chunks *chunks)
{
	r->cached = chunks_attach(chunks, r->ours);
	r->ours = NULL;
	return r->cached ? 0 : -ENOMEM;
}

int object_open(int fd, const struct sealed *rec, struct chunks *chunks, int index_dirfd,
		bool read_only, struct object_reader **out, const char **reason)
{
	struct object_reader *r = calloc(1, sizeof(*r));
	int err;

	if (!r) {
		close(fd);
		return -ENOMEM;
	}
	if (rec->codec == RECORD_CODEC_IMPORT)
		err = open_foreign(r, fd, rec, index_dirfd, read_only, reason);
	else
		err = open_ours(r, fd, rec, index_dirfd, read_only, reason);
	if (!err && r->ours && chunks)
		err = attach(r, chunks);
	atomic_init(&r->refs, 1);
	if (err)
		free(r);
	else
		*out = r;
	return err;
}

struct object_reader *object_ref(struct object_reader *r)
{
	atomic_fetch_add(&r->refs, 1);
	return r;
}

void object_close(struct object_reader *r)
{
	if (!r || atomic_fetch_sub(&r->refs, 1) > 1)
		return;
	if (r->cached)
		chunks_detach(r->cached);
	if (r->ours)
		seekgz_close(r->ours);
	if (r->foreign)
		gzfile_close(r->foreign);
	free(r);
}

ssize_t object_read(struct object_reader *r, void *buf, size_t len, uint64_t offset,
		    struct seekgz_damage *damage)
{
	if (r->foreign)
		return gzfile_read(r->foreign, buf, len, offset, damage);
	if (r->cached)
		return chunks_read(r->cached, buf, len, offset, damage);
	return seekgz_read(r->ours, buf, len, offset, damage);
}

bool object_has_index(uint8_t codec, uint64_t raw_bytes)
{
	return codec == RECORD_CODEC_IMPORT || seekgz_index_wanted(raw_bytes);
}

void object_save_index(int index_dirfd, const struct sealed *rec, const uint8_t *index,
		       size_t size)
{
	char name[2 * SHA256_BYTES + 1];
	int fd;

	if (!index || index_dirfd < 0)
		return;
	hex_encode(rec->sha256, SHA256_BYTES, name);
	fd = io_open(index_dirfd, name, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600);
	if (fd < 0)
		return;
	(void)io_pwrite(fd, index, size, 0);
	close(fd);
}

void object_forget_index(int index_dirfd, const struct sealed *rec)
{
	char name[2 * SHA256_BYTES + 1];

	if (index_dirfd < 0 || !object_has_index(rec->codec, rec->raw_bytes))
		return;
	hex_encode(rec->sha256, SHA256_BYTES, name);
	(void)io_unlink(index_dirfd, name, 0);
}
