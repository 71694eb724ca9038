/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * record: one line of the manifest, as a struct and as compact JSON.
 *
 * A sealed record:
 *	{"seq":7,"path":"a/x.notepack.gz","plain":"x","id":12,"part":1,"offset":0,"raw_size":…,
 *	 "gz_size":…,"sha256":"…","raw_sha256":"…","crc32":"xxxxxxxx","records":…,
 *	 "first_created_at":…,"last_created_at":…,"mtime":"SEC.NSEC","sealed_at":"SEC.NSEC",
 *	 "mode":420,"uid":0,"gid":0,"codec":"zlib","level":6}
 * records and the two created_at only where the content is notepack. path is the object's, from
 * the store's root; plain is the last component that the writer used. A path or plain that is
 * no UTF-8 is path_b64, plain_b64. mtime and sealed_at are decimal strings of seconds with nine
 * digits behind the point (a JSON number would lose nanoseconds).
 *
 * The other lines:
 *	{"seq":8,"op":"rm","id":12,"part":1,"path":"…","sha256":"…"}	 a removal
 *	{"seq":9,"op":"mvdir","from":"a","to":"b/c"}			 a directory was renamed
 *	{"seq":10,"op":"intent","id":12,"from":"a/x","to":"a/y"}	 a rename has begun
 *	{"seq":11,"op":"done","intent":10}				 … and is complete
 * from and to of an intent are plain paths; its id is 0 if a directory is renamed.
 */
#ifndef NOTEPACKFS_LIB_RECORD_H
#define NOTEPACKFS_LIB_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/bytes.h"

#define RECORD_LEVEL_MAX 12
#define RECORD_PATH_BYTES 65535 /* longest path of a directory, from the store's root */

enum record_op { RECORD_SEALED, RECORD_RM, RECORD_MVDIR, RECORD_INTENT, RECORD_DONE };

/* The facts of one sealed segment, without its path. */
struct sealed {
	uint64_t seq;
	uint64_t id; /* file id */
	uint64_t offset;
	uint64_t raw_bytes;
	uint64_t gz_bytes;
	uint64_t records, first_created_at, last_created_at; /* valid if is_notepack */
	int64_t mtime_ns, sealed_at_ns;			     /* since 1970; may be negative */
	uint32_t part;
	uint32_t crc32;
	uint32_t mode; /* permission bits, 07777, of the plain name */
	uint32_t uid, gid;
	uint8_t sha256[SHA256_BYTES];
	uint8_t raw_sha256[SHA256_BYTES];
	uint8_t codec; /* number for record_codec_name */
	uint8_t level;
	bool is_notepack;
};

/* A decoded line. Strings lie in its text. Unused fields are 0 or NULL. */
struct record {
	enum record_op op;
	struct sealed sealed;  /* op SEALED; for RM: seq, id, part, sha256 */
	const char *dir;       /* SEALED, RM: the directory of path, "" for the root */
	const char *name;      /* SEALED: plain; RM: the object's name */
	const char *from, *to; /* MVDIR, INTENT */
	uint64_t intent; /* DONE: the seq of the intent; INTENT: its own file id is sealed.id */
	char *text;
	size_t text_size;
};

#define RECORD_CODEC_IMPORT 3 /* "import": the object is not in the form of lib/seekgz.h */
const char *record_codec_name(unsigned codec); /* NULL past the last */
int record_codec_number(const char *name);     /* -EINVAL */

/*
 * The checks that a decoder makes, for those who are about to write. Pure.
 * record_path_ok: relative, with no component "", "." or "..", none longer than NAME_BYTES, not
 * in NAME_PRIVATE, not absurdly long (RECORD_PATH_BYTES and a name). record_move_ok: both are,
 * they differ, and to does not lie in from. record_check_sealed: NULL, or (a constant) why this
 * must be neither written nor believed.
 */
bool record_path_ok(const char *path);
bool record_move_ok(const char *from, const char *to);
const char *record_check_sealed(const struct sealed *s, const char *dir, const char *plain,
				const char *suffix);

/* Append the line, with its newline. Errors are the buffer's. object is the object's name
 * (lib/name.h), plain the plain name; dir as in struct record. */
void record_encode_sealed(struct buf *b, const struct sealed *s, const char *dir,
			  const char *object, const char *plain);
void record_encode_rm(struct buf *b, uint64_t seq, const struct sealed *s, const char *dir,
		      const char *object);
void record_encode_mvdir(struct buf *b, uint64_t seq, const char *from, const char *to);
void record_encode_intent(struct buf *b, uint64_t seq, uint64_t id, const char *from,
			  const char *to);
void record_encode_done(struct buf *b, uint64_t seq, uint64_t intent);

/*
 * Decode one line (without its newline). Members that are not known are ignored; an op that is
 * not known is refused. Checks every field: types, ranges, that paths are relative and free of
 * "", "." and "..", that plain and path agree for this suffix. out is zeroes, or what an earlier
 * call decoded, whose memory is used again: so a million lines need one allocation. 0 · -EBADMSG:
 * *reason (a constant) says what is wrong · -ENOMEM. On 0: record_release it at last; else it was.
 */
int record_decode(const char *line, size_t len, const char *suffix, struct record *out,
		  const char **reason);
void record_release(struct record *r);
#define CLEANUP_RECORD __attribute__((cleanup(record_release)))

#endif
