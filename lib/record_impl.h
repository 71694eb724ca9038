/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * record_impl: a line as a table of fields; shared by record_fields.c, which fills it, and
 * record_decode.c, which checks it. Pure.
 */
#ifndef NOTEPACKFS_LIB_RECORD_IMPL_H
#define NOTEPACKFS_LIB_RECORD_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;

/* The members, in the order in which record.c writes them. */
#define FIELDS(X)                                                                              \
	X(SEQ, "seq")                                                                          \
	X(OP, "op")                                                                            \
	X(PATH, "path")                                                                        \
	X(PATH_B64, "path_b64")                                                                \
	X(PLAIN, "plain")                                                                      \
	X(PLAIN_B64, "plain_b64")                                                              \
	X(ID, "id")                                                                            \
	X(PART, "part")                                                                        \
	X(OFFSET, "offset")                                                                    \
	X(RAW_SIZE, "raw_size")                                                                \
	X(GZ_SIZE, "gz_size")                                                                  \
	X(SHA256, "sha256")                                                                    \
	X(RAW_SHA256, "raw_sha256")                                                            \
	X(CRC32, "crc32")                                                                      \
	X(RECORDS, "records")                                                                  \
	X(FIRST_CREATED_AT, "first_created_at")                                                \
	X(LAST_CREATED_AT, "last_created_at")                                                  \
	X(MTIME, "mtime")                                                                      \
	X(SEALED_AT, "sealed_at")                                                              \
	X(MODE, "mode")                                                                        \
	X(UID, "uid")                                                                          \
	X(GID, "gid")                                                                          \
	X(CODEC, "codec")                                                                      \
	X(LEVEL, "level")                                                                      \
	X(FROM, "from")                                                                        \
	X(FROM_B64, "from_b64")                                                                \
	X(TO, "to")                                                                            \
	X(TO_B64, "to_b64")                                                                    \
	X(INTENT, "intent")

#define FIELD_ENUM(id, name) F_##id,
enum field_id { FIELDS(FIELD_ENUM) F_COUNT };

struct field {
	enum { ABSENT, NUMBER, STRING, OTHER } kind;
	uint32_t len;
	union {
		uint64_t number;
		const char *s; /* not terminated; points into the line or into `parsed` */
	};
};

struct record_fields {
	struct field fields[F_COUNT];
	struct json_object *parsed; /* NULL, or what the strings point into */
};

/* Take a line apart. 0 · -EBADMSG: it is no JSON object · -ENOMEM. On 0: record_fields_release.
 */
int record_fields_init(struct record_fields *f, const char *line, size_t len);
void record_fields_release(struct record_fields *f);

/* "… is missing, or is not what it must be" */
const char *record_fields_reason(unsigned k);

#endif
