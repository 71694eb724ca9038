/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an object says of itself. Of ours, the header and the end say all but whether the
 * content is notepack: for that it is decompressed as far as it could be, which is one chunk of
 * most others. A gzip file of someone else's is read in full.
 */
#include "lib/repair_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "lib/frames.h"
#include "lib/io.h"
#include "lib/lock.h"
#include "lib/object.h"

/* What is wrong with an object; "": nothing that was seen. */
struct verdict {
	char reason[160];
};

static void blame(struct verdict *v, const char *reason)
{
	snprintf(v->reason, sizeof(v->reason), "%s", reason ? reason : "unknown damage");
}

static void blame_at(struct verdict *v, const struct seekgz_damage *d)
{
	snprintf(v->reason, sizeof(v->reason), "at offset %llu: %s",
		 (unsigned long long)d->gz_offset, d->reason ? d->reason : "damaged");
}

/* The CRC-32 of all plain bytes, from those of the groups; the object's end has it, too. */
static int check_end(int fd, const struct seekgz_header *h, struct sealed *rec,
		     struct verdict *v)
{
	uint8_t want[SEEKGZ_TRAILER_BYTES], got[SEEKGZ_TRAILER_BYTES];
	ssize_t n = io_pread(fd, got, sizeof(got), rec->gz_bytes - sizeof(got));
	uLong crc = 0;

	if (n < 0)
		return (int)n;
	for (uint32_t i = 0; i < h->layout.groups; i++)
		crc = crc32_combine(crc, h->group[i].crc32,
				    (z_off_t)seekgz_group_bytes(&h->layout, i));
	rec->crc32 = (uint32_t)crc;
	seekgz_trailer_encode(rec->crc32, h->layout.raw_bytes, want);
	if (n != sizeof(got) || memcmp(got, want, sizeof(got)) != 0)
		blame(v, "its final block, CRC-32 and length are wrong");
	return 0;
}

/* Count notepack records, up to where it is seen that there are none. */
static int scan_frames(int fd, struct sealed *rec, struct verdict *v)
{
	CLEANUP_FREE uint8_t *buf = malloc(SEEKGZ_CHUNK_BYTES);
	struct seekgz_damage damage = {0};
	struct seekgz_reader *reader;
	struct frames frames;
	uint64_t offset = 0;
	const char *reason;
	ssize_t n = 0;
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	int err = own < 0 ? -errno : !buf ? -ENOMEM : 0;

	if (err && own >= 0)
		close(own);
	if (!err)
		err = seekgz_open(own, &reader, &reason);
	if (err)
		return err;
	frames_init(&frames);
	do {
		n = seekgz_read(reader, buf, SEEKGZ_CHUNK_BYTES, offset, &damage);
		if (n > 0)
			frames_feed(&frames, buf, (size_t)n);
		offset += (uint64_t)MAX(n, 0);
	} while (n > 0 && !frames.invalid);
	seekgz_close(reader);
	if (n < 0 && damage.reason && !damage.err) {
		blame_at(v, &damage);
		return 0;
	}
	rec->is_notepack = n == 0 && frames_is_notepack(&frames);
	if (rec->is_notepack) {
		rec->records = frames.records;
		rec->first_created_at = frames.first_created_at;
		rec->last_created_at = frames.last_created_at;
	}
	return (int)MIN(n, 0);
}

static int read_ours(int fd, struct sealed *rec, struct verdict *v)
{
	struct seekgz_header h = {0};
	const char *reason = NULL;
	int err = seekgz_header_read(fd, rec->gz_bytes, &h, &reason);

	if (err == -EBADMSG) {
		blame(v, reason);
		return 0;
	}
	if (err)
		return err;
	rec->part = h.part;
	rec->offset = h.offset;
	rec->raw_bytes = h.layout.raw_bytes;
	rec->codec = (uint8_t)record_codec_number("zlib");
	memcpy(rec->raw_sha256, h.raw_sha256, SHA256_BYTES);
	err = check_end(fd, &h, rec, v);
	seekgz_header_release(&h);
	return err || *v->reason ? err : scan_frames(fd, rec, v);
}

static int read_foreign(int fd, struct sealed *rec, struct verdict *v)
{
	struct seekgz_damage damage;
	int err = object_verify(fd, rec, NULL, NULL, &damage);

	if (err == -EBADMSG || err == -EFBIG) {
		blame_at(v, &damage);
		return 0;
	}
	return err;
}

/* Everything but what makes it a part of a file. */
static int read_facts(int fd, struct repair_object *o, struct verdict *v)
{
	struct sealed *rec = &o->rec;
	int ours = object_is_ours(fd), err;

	if (ours < 0)
		return ours;
	memset(rec, 0, sizeof(*rec));
	memcpy(rec->sha256, o->sha256, SHA256_BYTES);
	rec->gz_bytes = (uint64_t)o->st.st_size;
	rec->mode = (o->st.st_mode & 0777) | 0200;
	rec->uid = o->st.st_uid;
	rec->gid = o->st.st_gid;
	rec->mtime_ns = ns_of_timespec(&o->st.st_mtim);
	rec->sealed_at_ns = ns_of_timespec(&o->st.st_ctim);
	err = ours ? read_ours(fd, rec, v) : read_foreign(fd, rec, v);
	if (!err && !*v->reason && rec->part != o->part)
		blame(v, "its header and its name name different parts");
	return err;
}

/* What only a record says, from one that is doubtful in the rest. */
static void take_hints(struct sealed *rec, const struct sealed *old)
{
	rec->seq = old->seq;
	rec->id = old->id;
	rec->mtime_ns = old->mtime_ns;
	rec->sealed_at_ns = old->sealed_at_ns;
	rec->mode = old->mode;
	rec->uid = old->uid;
	rec->gid = old->gid;
	if (rec->codec != RECORD_CODEC_IMPORT && old->codec != RECORD_CODEC_IMPORT) {
		rec->codec = old->codec;
		rec->level = old->level;
	}
}

static bool is_same_segment(const struct sealed *a, const struct sealed *b)
{
	return a->part == b->part && a->offset == b->offset && a->raw_bytes == b->raw_bytes &&
	       memcmp(a->raw_sha256, b->raw_sha256, SHA256_BYTES) == 0;
}

static void keep_named(struct repair *r, struct repair_object *o, struct manifest_old *named,
		       const char *reason)
{
	named->taken = true;
	o->old = named;
	o->rec = named->sealed;
	o->fate = REPAIR_RECORD;
	r->counts->kept++;
	r->counts->damaged++;
	repair_say(r, REPAIR_DAMAGE, o->dir, o->name, "is damaged: %s; it keeps its record",
		   reason);
}

static void give_up(struct repair *r, struct repair_object *o, int err)
{
	o->fate = REPAIR_LEAVE;
	r->counts->damaged++;
	repair_say(r, REPAIR_DAMAGE, o->dir, o->name,
		   "cannot be read: %s; it stays, without a record", strerror(-err));
}

int repair_judge(struct repair *r, struct repair_object *o, struct manifest_old *named)
{
	CLEANUP_FD int fd = repair_open(r, o->dir, o->name);
	struct verdict v = {.reason = ""};
	int err = fd < 0 ? fd : 0;

	if (!err && !o->part)
		blame(&v, "its name is no part's");
	else if (!err)
		err = o->unreadable ? -EIO : read_facts(fd, o, &v);
	if (err == -ENOMEM || err == -EMFILE || err == -ENFILE)
		return err;
	if (err && named)
		keep_named(r, o, named, strerror(-err));
	else if (err)
		give_up(r, o, err);
	else if (named && *v.reason)
		keep_named(r, o, named, v.reason);
	else if (named && is_same_segment(&o->rec, &named->sealed))
		keep_named(r, o, named, "its bytes are not those that were sealed");
	else if (*v.reason) {
		o->fate = REPAIR_QUARANTINE;
		repair_say(r, REPAIR_DAMAGE, o->dir, o->name, "is damaged: %s", v.reason);
	} else {
		o->fate = REPAIR_RECORD;
		r->counts->kept += o->old != NULL;
		r->counts->anew += !o->old;
		if (o->old)
			take_hints(&o->rec, &o->old->sealed);
	}
	return 0;
}
