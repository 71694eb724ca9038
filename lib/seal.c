/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/seal.h"

#include "lib/catalog.h"
#include "lib/codec.h"
#include "lib/early.h"
#include "lib/io.h"
#include "lib/orphan.h"
#include "lib/piecewise.h"
#include "lib/raw.h"
#include "lib/seal_small.h"
#include "lib/temporary.h"
#include "lib/window.h"

struct seal {
	struct window window; /* first: they are one */
	struct segment *seg;
	struct early *early; /* its chunks; NULL: there are none */
	struct raw *raw;
	/* By one thread at a time. */
	struct seekgz_writer writer;
	struct frames frames;
};

static void free_seal(struct seal *sl)
{
	if (sl->window.raw_fd >= 0)
		close(sl->window.raw_fd);
	raw_put(sl->window.store, sl->seg->file, sl->raw);
	early_free(sl->early);
	seekgz_writer_release(&sl->writer);
	window_release(&sl->window);
	free(sl);
}

static bool is_cancelled(struct window *w)
{
	return ((struct seal *)w)->seg->cancelled;
}

static int add(struct window *w, const uint8_t *raw, size_t raw_len, const uint8_t *gz,
	       size_t gz_len)
{
	struct seal *sl = (struct seal *)w;

	frames_feed(&sl->frames, raw, raw_len);
	return seekgz_writer_add(&sl->writer, raw, raw_len, gz, gz_len);
}

/* ---- the end ---- */

void seal_fill_record(struct segment *seg, const struct lane *lane,
		      const struct seekgz_writer *w, const struct frames *frames)
{
	temporary_record(seg, lane, w->crc32, frames);
	seg->record.gz_bytes = w->gz_bytes;
	free(seg->index);
	seg->index = seekgz_writer_index(w, &seg->index_bytes);
}

static int complete(struct seal *sl)
{
	struct segment *seg = sl->seg;
	struct sealed *rec = &seg->record;
	int err = sl->writer.raw_bytes == seg->raw_bytes ? 0 : -EIO;

	if (!err)
		err = seekgz_writer_end(&sl->writer, seg->part, seg->offset, rec->raw_sha256);
	if (!err)
		err = seekgz_writer_hash(&sl->writer, UINT64_MAX, rec->sha256);
	seal_fill_record(seg, sl->window.lane, &sl->writer, &sl->frames);
	return err;
}

/* The last task is through. */
static void end(struct window *w, int err, const char *step)
{
	struct seal *sl = (struct seal *)w;
	struct store *s = w->store;
	struct sealer *sealer = w->sealer;
	struct segment *seg = sl->seg;

	if (!err) {
		step = "completing the temporary";
		err = complete(sl);
	}
	if (err)
		temporary_drop(s, seg);
	else if (sl->early)
		early_count(s, sl->early, w->reused);
	free_seal(sl);
	sealer_compressed(sealer, seg, err, step);
}

/* ---- the beginning ---- */

int seal_open_raw(struct store *s, struct file *f, struct raw **raw, int *fd, const char **step)
{
	struct stat st;
	int err;

	lock_take(&s->lock);
	gate_enter_locked(s, f);
	lock_drop(&s->lock);
	err = raw_open_unseen(s, f, raw, fd);
	lock_take(&s->lock);
	gate_leave_locked(s, f);
	lock_drop(&s->lock);
	if (!err)
		err = io_fstat(*fd, &st);
	if (err)
		return err;
	if (st.st_nlink > 1) {
		*step = "its raw file has another name, a hard link, through which it can be "
			"changed; remove that";
		return -EMLINK;
	}
	return 0;
}

static struct seal *new_seal(struct store *s, struct sealer *p, struct segment *seg,
			     struct early *early)
{
	struct seekgz_layout layout;
	struct seal *sl = calloc(1, sizeof(*sl));
	struct window *w;

	if (!sl)
		return NULL;
	w = &sl->window;
	window_init(w);
	w->store = s;
	w->sealer = p;
	w->lane = early ? early_lane(early) : sealer_lane(p);
	w->source = early ? early_chunks(early) : NULL;
	w->offset = seg->offset;
	w->raw_bytes = seg->raw_bytes;
	seekgz_layout(seg->raw_bytes, &layout);
	w->chunks = layout.chunks;
	w->stopped = is_cancelled;
	w->add = add;
	w->end = end;
	sl->seg = seg;
	sl->early = early;
	frames_init(&sl->frames);
	return sl;
}

/* All that has to be there before the first chunk. */
static int open_all(struct seal *sl, const char **step)
{
	struct store *s = sl->window.store;
	struct segment *seg = sl->seg;
	int err = seekgz_writer_init(&sl->writer, -1, seg->raw_bytes);

	if (err)
		return err;
	*step = "opening the raw file";
	err = seal_open_raw(s, seg->file, &sl->raw, &sl->window.raw_fd, step);
	if (err)
		return err;
	*step = "creating a temporary";
	err = temporary_open(s, seg);
	if (err)
		return err;
	sl->writer.fd = seg->tmp_fd;
	*step = "getting memory";
	return window_start(&sl->window);
}

void seal_begin(struct store *s, struct sealer *p, struct segment *seg, struct early *early)
{
	const char *step = "getting memory";
	struct seal *sl;
	int err;

	piecewise_fit(s, seg);
	if (seg->raw_bytes <= SEEKGZ_CHUNK_BYTES && !early) {
		seal_small_start(s, p, seg);
		return;
	}
	sl = new_seal(s, p, seg, early);
	lock_take(&s->lock);
	seg->state = SEGMENT_SEALING;
	lock_drop(&s->lock);
	err = sl ? open_all(sl, &step) : -ENOMEM;
	if (!err)
		return;
	if (sl)
		free_seal(sl);
	else
		early_free(early);
	temporary_drop(s, seg);
	sealer_compressed(p, seg, err, step);
}

void seal_start(struct store *s, struct sealer *p, struct segment *seg)
{
	if (seg->orphan)
		orphan_start(s, p, seg);
	else if (!early_seal(s, p, seg))
		seal_begin(s, p, seg, NULL);
}
