/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nothing is opened before the task runs, and all is closed when it ends, but for the temporary: of
 * thousands that wait there is a segment and a task each, and no more.
 *
 * The SHA-256 of the object is that of the bytes that were written; they are read again, and compared.
 */
#include "lib/seal_small.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/codec.h"
#include "lib/digest.h"
#include "lib/io.h"
#include "lib/raw.h"
#include "lib/seal.h"
#include "lib/space.h"
#include "lib/temporary.h"
#include "lib/verifier.h"
#include "lib/window.h"

struct small {
	struct task task;
	struct store *store;
	struct sealer *sealer;
	struct segment *seg;
	struct lane *lane;
};

/* Of one segment, while its task runs. */
struct work {
	struct segment *seg;
	struct seekgz_header header;
	struct seekgz_group group;
	struct frames frames;
	size_t raw_len, gz_len; /* gz: the whole object */
	uint8_t *raw, *gz;
};

static int read_raw(struct store *s, struct work *w, const char **step)
{
	struct raw *raw = NULL;
	ssize_t n;
	int fd = -1, err;

	*step = "opening the raw file";
	err = seal_open_raw(s, w->seg->file, &raw, &fd, step);
	if (!err) {
		*step = "reading the raw file";
		n = io_pread(fd, w->raw, w->raw_len, w->seg->offset);
		err = n < 0 ? (int)n : (size_t)n == w->raw_len ? 0 : -EIO;
	}
	if (fd >= 0)
		close(fd);
	raw_put(s, w->seg->file, raw);
	return err;
}

/* Header, chunk and end, in memory. */
static int make_object(struct small *m, struct work *w, const char **step)
{
	struct codec_state *state = sealer_take_state(m->sealer, m->lane);
	uint8_t *body = w->gz + w->header.layout.header_bytes;
	ssize_t n;
	int err;

	*step = "compressing";
	if (!state)
		return -ENOMEM;
	n = window_compress(state, w->raw, w->raw_len, body, step);
	sealer_give_state(m->sealer, state);
	if (n < 0)
		return (int)n;
	w->group.gz_bytes = (uint32_t)n;
	w->group.crc32 = codec_crc32(0, w->raw, w->raw_len);
	frames_feed(&w->frames, w->raw, w->raw_len);
	*step = "completing the temporary";
	err = digest_of(w->raw, w->raw_len, w->header.raw_sha256);
	if (err)
		return err;
	seekgz_header_encode(&w->header, w->gz);
	seekgz_trailer_encode(w->group.crc32, w->raw_len, body + n);
	w->gz_len = w->header.layout.header_bytes + (size_t)n + SEEKGZ_TRAILER_BYTES;
	return 0;
}

/* What it reads as is what was made. */
static int compare(int fd, const struct work *w)
{
	CLEANUP_FREE uint8_t *there = malloc(w->gz_len);
	ssize_t n = there ? io_pread(fd, there, w->gz_len, 0) : -ENOMEM;

	if (n < 0)
		return (int)n;
	return (size_t)n == w->gz_len && memcmp(there, w->gz, w->gz_len) == 0 ? 0 : -EIO;
}

static int write_object(struct store *s, struct work *w, const char **step)
{
	struct sealed *rec = &w->seg->record;
	int err;

	*step = "creating a temporary";
	err = temporary_open(s, w->seg);
	if (err)
		return err;
	*step = "writing the temporary";
	err = io_pwrite(w->seg->tmp_fd, w->gz, w->gz_len, 0);
	if (err)
		return err;
	*step = "completing the temporary";
	rec->gz_bytes = w->gz_len;
	memcpy(rec->raw_sha256, w->header.raw_sha256, SHA256_BYTES);
	err = digest_of(w->gz, w->gz_len, rec->sha256);
	return err ? err : compare(w->seg->tmp_fd, w);
}

static int seal(struct small *m, const char **step)
{
	CLEANUP_FREE uint8_t *raw = NULL, *gz = NULL;
	struct work w = {.seg = m->seg, .raw_len = m->seg->raw_bytes};
	int err;

	seekgz_layout(w.raw_len, &w.header.layout);
	w.header.part = m->seg->part;
	w.header.offset = m->seg->offset;
	w.header.group = &w.group;
	frames_init(&w.frames);
	*step = "getting memory";
	w.raw = raw = malloc(w.raw_len);
	w.gz = gz = malloc(w.header.layout.header_bytes + codec_bound(w.raw_len) +
			   MAX(VERIFIER_ROOM, SEEKGZ_TRAILER_BYTES));
	if (!raw || !gz)
		return -ENOMEM;
	err = read_raw(m->store, &w, step);
	if (!err)
		err = make_object(m, &w, step);
	if (!err)
		err = write_object(m->store, &w, step);
	if (!err)
		temporary_record(m->seg, m->lane, w.group.crc32, &w.frames);
	return err;
}

static void run(struct task *t)
{
	struct small *m = (struct small *)t;
	struct store *s = m->store;
	const char *step = "sealing";
	bool cancelled;
	int err = -ECANCELED;

	lock_take(&s->lock);
	m->seg->state = SEGMENT_SEALING;
	cancelled = m->seg->cancelled;
	if (!cancelled)
		space_chunk_begin_locked(s);
	lock_drop(&s->lock);
	if (!cancelled) {
		err = seal(m, &step);
		space_chunk_end(s, err ? 0 : m->seg->raw_bytes);
	}
	if (err)
		temporary_drop(s, m->seg);
	sealer_compressed(m->sealer, m->seg, err, step);
	free(m);
}

void seal_small_start(struct store *s, struct sealer *p, struct segment *seg)
{
	struct small *m = malloc(sizeof(*m));

	if (!m) {
		sealer_compressed(p, seg, -ENOMEM, "getting memory");
		return;
	}
	*m = (struct small){
	    .task.run = run, .store = s, .sealer = p, .seg = seg, .lane = sealer_lane(p)};
	pool_submit(sealer_pool(p), &m->task);
}
