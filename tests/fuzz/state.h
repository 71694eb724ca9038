/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * state: a store's directory in any state, made from an input, and looked at afterwards.
 *
 * Plain bytes come from STREAMS streams. A byte tells, given its offset, of which stream it is; so
 * a byte of a file can be followed into whatever it ends up in.
 */
#ifndef NOTEPACKFS_TESTS_FUZZ_STATE_H
#define NOTEPACKFS_TESTS_FUZZ_STATE_H

#include "lib/buf.h"
#include "lib/record.h"
#include "tests/fuzz/fuzz.h"

#define STREAMS 12
#define STREAM_BYTES 4096

uint8_t stream_byte(unsigned stream, uint64_t offset);
/* The stream of a byte at an offset; STREAMS: of none. */
unsigned stream_of(uint8_t byte, uint64_t offset);

/* How many files hold each byte of each stream. */
struct holdings {
	uint16_t count[STREAMS][STREAM_BYTES];
};

/* len bytes at offset: of those that are a stream's, one more is held. */
void holdings_add(struct holdings *h, const uint8_t *data, size_t len, uint64_t offset);

/* Is there at least as much in h as in least? */
bool holdings_cover(const struct holdings *h, const struct holdings *least);

#define BLOBS_MAX 64

/* What is to be found again whole: an object, or a file whose name no user gives one. */
struct blob {
	uint32_t crc32;	 /* of its bytes */
	unsigned stream; /* … which are the first `len` of this; STREAMS: of none */
	uint64_t len;
};

#define RAWS_MAX 64

/* A raw file: the bytes from … to of a stream, as far as they are its own by its mark. */
struct made_raw {
	const char *dir, *name;
	uint64_t id; /* by its mark; 0: it has none */
	unsigned stream;
	uint64_t from, to;
};

/* What was made. */
struct state {
	int fd;		   /* of the store; borrowed */
	bool odd_private;  /* in the private directory is what notepackfs does not put there */
	bool odd_manifest; /* the manifest was damaged */
	const char *suffix;
	struct made_raw raws[RAWS_MAX];
	unsigned raw_count;
	struct blob blobs[BLOBS_MAX];
	unsigned blob_count;
	uint32_t removed[BLOBS_MAX]; /* those that a removal names: they may go */
	uint64_t removed_id[BLOBS_MAX],
	    removed_end[BLOBS_MAX]; /* … of these files, up to there */
	unsigned removed_count;
	/* While it is made: */
	struct buf lines;
	uint32_t line_count;
	uint64_t seq;
	bool clean;
	const char *exclude;
};

/* A sealed object of a run of a stream, or the same as another gzip would write it; and what a
 * record says of it. */
struct state_object {
	unsigned stream;
	uint32_t part;
	uint16_t offset, len;
	bool foreign;
	uint8_t *gz;
	size_t gz_len;
	uint32_t gz_crc32;
	struct sealed rec;
};

/* Made once for each, and kept. */
const struct state_object *state_object(unsigned stream, uint32_t part, uint16_t offset,
					uint16_t len, bool foreign);

/* Add what the raw files held and must be held still: not what was removed, and once of those that
 * are copies of one another under two spellings of one name. */
void state_needs(const struct state *s, struct holdings *needed);

/* Make the state, in an empty directory. */
void state_make(struct state *s, int fd, struct input *in);

/* ---- looking at a directory ---- */

/* Every file beneath fd, as text: path, kind, mode, length, the CRC-32 of the content, the target of
 * a link. skip: paths (from fd) that are left out, NULL at the end. */
void state_list(int fd, const char *const *skip, struct buf *out);

/* Call back for each regular file beneath the directory `path`, with its path. */
typedef void state_visit(void *ctx, int fd, const char *path);
void state_each(int rootfd, const char *path, state_visit *visit, void *ctx);

/* What was read of the file `name`: nothing that was not written at its offset. */
void state_check_view(const struct state *s, const char *name, const uint8_t *data, size_t len);

/* All bytes of a file that is open, in a new block. */
uint8_t *state_read(int fd, size_t *len);

#endif
