/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/orphan.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/catalog.h"
#include "lib/cut.h"
#include "lib/digest.h"
#include "lib/events.h"
#include "lib/io.h"
#include "lib/layout.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/quarantine.h"
#include "lib/raw.h"
#include "lib/seal.h"

#define PREFIX "orphan."

/* One in work, of a pool's thread. */
struct look {
	struct task task;
	struct store *store;
	struct sealer *sealer;
	struct segment *seg;
	struct raw *raw;
	int raw_fd, fd;
	struct sealed rec;
	char reason[160]; /* why it is not used; "": it is */
	bool differs;	  /* the raw file has other bytes, or cannot be read */
	const char *step; /* what failed, where it cannot be told */
};

void orphan_path(uint64_t id, uint32_t part, char out[ORPHAN_PATH_BYTES])
{
	snprintf(out, ORPHAN_PATH_BYTES, LAYOUT_TMP "/" PREFIX "%llu.%u.gz",
		 (unsigned long long)id, (unsigned)part);
}

bool orphan_parse(const char *name, uint64_t *id, uint32_t *part)
{
	char path[ORPHAN_PATH_BYTES];
	unsigned long long file;
	unsigned number;

	if (sscanf(name, PREFIX "%llu.%u.gz", &file, &number) != 2)
		return false;
	*id = file;
	*part = number;
	orphan_path(file, number, path);
	return strcmp(path + strlen(LAYOUT_TMP "/"), name) == 0;
}

int orphan_cut_locked(struct store *s, struct file *f, const struct sealed *rec,
		      struct segment **out)
{
	char name[NAME_BYTES + 1];

	if (f->id != rec->id || !f->n.linked || f->import || !f->raw_present || f->segments ||
	    f->next_part != rec->part || f->cut_end != rec->offset ||
	    f->size - f->cut_end < rec->raw_bytes ||
	    name_sealed(f->n.name, rec->part, store_suffix(s), name) != 0)
		return -ESTALE;
	*out = segment_new_locked(s, f, rec->raw_bytes);
	if (!*out)
		return -ENOMEM;
	(*out)->orphan = true;
	orphan_path(rec->id, rec->part, (*out)->tmp);
	f->dirty = f->size > f->cut_end;
	active_update_locked(s, f);
	return 0;
}

/* ---- is it right? ---- */

/* It cannot be told now; a retry may. Whatever else goes wrong with it, it is of no use. */
static bool may_pass(int err)
{
	return err == -ENOMEM || err == -EMFILE || err == -ENFILE || err == -ECANCELED;
}

static int go_on(void *ctx, uint64_t raw_bytes)
{
	struct look *l = ctx;
	bool cancelled;

	lock_take(&l->store->lock);
	cancelled = l->seg->cancelled;
	lock_drop(&l->store->lock);
	return cancelled ? -ECANCELED : 0;
}

static int verify(struct look *l)
{
	const struct segment *seg = l->seg;
	struct seekgz_damage damage = {0};
	int err = object_verify(l->fd, &l->rec, go_on, l, &damage);

	if (may_pass(err))
		return err;
	if (err)
		snprintf(l->reason, sizeof(l->reason), "is damaged: at offset %llu: %s",
			 (unsigned long long)damage.gz_offset,
			 damage.reason ? damage.reason : strerror(-err));
	else if (l->rec.part != seg->part || l->rec.offset != seg->offset ||
		 l->rec.raw_bytes != seg->raw_bytes)
		snprintf(l->reason, sizeof(l->reason), "is of another range of its file");
	return 0;
}

static int compare(struct look *l)
{
	uint8_t sha256[SHA256_BYTES];
	int err = digest_range(l->raw_fd, l->seg->offset, l->seg->raw_bytes, sha256);

	if (may_pass(err))
		return err;
	l->differs = err || memcmp(sha256, l->rec.raw_sha256, SHA256_BYTES) != 0;
	return 0;
}

static int examine(struct look *l)
{
	int err;

	l->step = "opening the raw file";
	err = seal_open_raw(l->store, l->seg->file, &l->raw, &l->raw_fd, &l->step);
	if (err)
		return err;
	l->step = "examining the object that a crash left";
	l->fd = io_open(l->store->fd, l->seg->tmp, O_RDONLY | O_NOFOLLOW, 0);
	if (may_pass(l->fd))
		return l->fd;
	if (l->fd < 0) {
		snprintf(l->reason, sizeof(l->reason), "cannot be opened: %s",
			 strerror(-l->fd));
		return 0;
	}
	err = verify(l);
	return err || *l->reason ? err : compare(l);
}

/* ---- what follows ---- */

static void tell(struct look *l, const char *to)
{
	struct store *s = l->store;
	CLEANUP_BUF struct buf path = {0};

	lock_take(&s->lock);
	catalog_path_locked(s, &l->seg->file->n, 0, &path);
	lock_drop(&s->lock);
	if (path.failed || !path.data)
		return;
	if (l->differs)
		log_warning("%s: its raw file does not have all bytes of the object that a "
			    "crash left without a record; that is recorded, and the raw file "
			    "stays unless it has no others",
			    path.data);
	else if (!to)
		log_notice(
		    "%s: was sealed and not yet in the manifest; it has the bytes of its "
		    "raw file, and is recorded",
		    path.data);
	else
		log_error("%s: its object, which a crash had left without a record, %s; it was "
			  "moved to %s in the store, and the raw file is sealed again",
			  path.data, l->reason, to);
	events_add(s->events, "recover", manifest_last_seq(s->manifest), path.data,
		   to ? ",\"what\":\"quarantined\"" : ",\"what\":\"adopted\"");
}

static int set_aside(struct look *l)
{
	char to[QUARANTINE_PATH_BYTES];
	int err = quarantine_move(l->store->fd, l->store->fd, l->seg->tmp, to);

	if (!err)
		tell(l, to);
	return err == -ENOENT ? 0 : err;
}

static void use(struct look *l)
{
	struct segment *seg = l->seg;

	if (l->differs) {
		lock_take(&l->store->lock);
		seg->file->raw_unproven = true;
		lock_drop(&l->store->lock);
	}
	tell(l, NULL);
	seg->record = l->rec;
	seg->record.id = seg->file->id;
	seg->tmp_fd = l->fd;
	l->fd = -1;
	seg->orphan = false;
}

static void run(struct task *t)
{
	struct look *l = (struct look *)t;
	struct sealer *p = l->sealer;
	struct store *s = l->store;
	struct segment *seg = l->seg;
	const char *step;
	bool again;
	int err = examine(l);

	again = !err && *l->reason;
	if (again) {
		l->step = "moving the object that a crash left into quarantine";
		err = set_aside(l);
		if (!err) {
			seg->tmp[0] = '\0';
			seg->orphan = false;
		}
	} else if (!err) {
		use(l);
	}
	step = l->step;
	if (l->fd >= 0)
		close(l->fd);
	if (l->raw_fd >= 0)
		close(l->raw_fd);
	raw_put(s, seg->file, l->raw);
	free(l);
	if (again && !err)
		seal_start(s, p, seg);
	else
		sealer_compressed(p, seg, err, step);
}

void orphan_start(struct store *s, struct sealer *p, struct segment *seg)
{
	struct look *l = calloc(1, sizeof(*l));

	lock_take(&s->lock);
	seg->state = SEGMENT_SEALING;
	lock_drop(&s->lock);
	if (!l) {
		sealer_compressed(p, seg, -ENOMEM, "getting memory");
		return;
	}
	*l = (struct look){
	    .task.run = run, .store = s, .sealer = p, .seg = seg, .raw_fd = -1, .fd = -1};
	pool_submit(sealer_pool(p), &l->task);
}
