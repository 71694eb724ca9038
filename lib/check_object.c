/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One object, held against the facts of its record.
 */
#include "lib/check_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/bytes.h"
#include "lib/io.h"
#include "lib/object.h"
#include "lib/seekgz.h"

int check_verdict(struct check_verdict *v, enum check_outcome outcome, const char *reason)
{
	*v = (struct check_verdict){.outcome = outcome};
	snprintf(v->reason, sizeof(v->reason), "%s", reason ? reason : "unknown damage");
	return 0;
}

static int verdict_at(struct check_verdict *v, const struct seekgz_damage *damage)
{
	check_verdict(v, CHECK_DAMAGED, damage->reason);
	v->has_offset = true;
	v->raw_offset = damage->raw_offset;
	v->gz_offset = damage->gz_offset;
	return 0;
}

/* Does the header agree with the record? NULL, or what does not. */
static const char *disagreement(const struct seekgz_header *h, const struct sealed *s)
{
	if (h->part != s->part)
		return "its header has another part number than its record";
	if (h->offset != s->offset)
		return "its header has another offset than its record";
	if (h->layout.raw_bytes != s->raw_bytes)
		return "its header has another raw size than its record";
	if (memcmp(h->raw_sha256, s->raw_sha256, SHA256_BYTES) != 0)
		return "its header has another raw SHA-256 than its record";
	return NULL;
}

/* An import has no header of ours: all that can be told at a glance is that it is gzip. */
static int look_at_magic(int fd, struct check_verdict *v)
{
	uint8_t magic[2];

	if (io_pread(fd, magic, sizeof(magic), 0) != sizeof(magic) || magic[0] != 0x1f ||
	    magic[1] != 0x8b)
		return check_verdict(v, CHECK_DAMAGED, "it is not a gzip file");
	return 0;
}

static int look_at_header(int fd, const struct sealed *s, struct check_verdict *v)
{
	struct seekgz_header header;
	const char *reason = NULL;
	int err;

	if (s->codec == RECORD_CODEC_IMPORT)
		return look_at_magic(fd, v);
	err = seekgz_header_read(fd, s->gz_bytes, &header, &reason);

	if (err == -ENOMEM)
		return err;
	if (err)
		return check_verdict(v, CHECK_DAMAGED, reason ? reason : strerror(-err));
	reason = disagreement(&header, s);
	seekgz_header_release(&header);
	return check_verdict(v, reason ? CHECK_DISAGREES : CHECK_GOOD, reason ? reason : "");
}

struct counting {
	struct check *check;
	uint64_t counted;
};

static int count_bytes(void *ctx, uint64_t raw_bytes)
{
	struct counting *c = ctx;

	check_progress(c->check, raw_bytes - c->counted);
	c->counted = raw_bytes;
	return 0;
}

static int look_at_all(struct check *c, int fd, const struct sealed *s, struct check_verdict *v)
{
	struct counting counting = {.check = c};
	struct seekgz_damage damage = {0};
	struct sealed found = {0};
	int err = object_verify(fd, &found, count_bytes, &counting, &damage);

	if (err == -ENOMEM)
		return err;
	if (err && damage.reason)
		return verdict_at(v, &damage);
	if (err)
		return check_verdict(v, CHECK_DAMAGED, strerror(-err));
	if (memcmp(found.sha256, s->sha256, SHA256_BYTES) != 0)
		return check_verdict(v, CHECK_DISAGREES,
				     "its SHA-256 is not what its record says");
	if (found.crc32 != s->crc32)
		return check_verdict(v, CHECK_DISAGREES,
				     "its CRC-32 is not what its record says");
	return 0;
}

/* Is there an object to look at? */
static int open_object(int dirfd, const char *name, const struct sealed *s,
		       struct check_verdict *v)
{
	int fd =
	    dirfd < 0 ? -ENOENT : io_open(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	struct stat st;
	int err = fd < 0 ? fd : io_fstat(fd, &st);

	check_verdict(v, CHECK_GOOD, "");
	if (err == -ENOENT || err == -ENOTDIR)
		check_verdict(v, CHECK_DISAGREES, "is missing; its record is in the manifest");
	else if (err && err != -ELOOP)
		check_verdict(v, CHECK_DAMAGED, strerror(-err));
	else if (err || !S_ISREG(st.st_mode))
		check_verdict(v, CHECK_DISAGREES,
			      "is no regular file; its record is in the manifest");
	else if ((uint64_t)st.st_size != s->gz_bytes) {
		check_verdict(v, CHECK_DISAGREES, "");
		snprintf(v->reason, sizeof(v->reason),
			 "is %lld bytes long; its record says %llu", (long long)st.st_size,
			 (unsigned long long)s->gz_bytes);
	}
	return fd;
}

int check_object(struct check *c, int dirfd, const char *name, const struct sealed *s,
		 struct check_verdict *v)
{
	CLEANUP_FD int fd = open_object(dirfd, name, s, v);
	int err;

	if (v->outcome != CHECK_GOOD)
		return 0;
	err = look_at_header(fd, s, v);
	if (!err && v->outcome == CHECK_GOOD && c->options->deep)
		err = look_at_all(c, fd, s, v);
	return err;
}
