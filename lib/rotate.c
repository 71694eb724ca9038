/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/rotate.h"

#include <string.h>

#include "lib/cut.h"
#include "lib/log.h"
#include "lib/raw.h"

void rotate_begin_locked(struct store *s, struct file *f, uint64_t from)
{
	f->rotate_from = from;
	f->rotate_ns = clock_ns();
}

/* When the time is up; 0: never. */
static int64_t up_ns(const struct store *s, const struct file *f)
{
	return s->options.rotate_age_ns ? f->rotate_ns + s->options.rotate_age_ns : 0;
}

static bool is_full(const struct store *s, const struct file *f)
{
	return s->options.rotate_bytes && f->written_end > f->rotate_from &&
	       f->written_end - f->rotate_from >= s->options.rotate_bytes;
}

bool rotate_is_due_locked(const struct store *s, const struct file *f, int64_t now_ns)
{
	int64_t up = up_ns(s, f);

	if (!f->dirty || f->import || !f->n.linked)
		return false;
	return is_full(s, f) || (up && up <= now_ns);
}

void rotate_arm_locked(struct store *s, struct file *f)
{
	bool full = is_full(s, f);
	int64_t at = full ? clock_ns() : up_ns(s, f);

	if (!at || !f->dirty || f->import || !f->n.linked ||
	    (f->deadline_ns && f->deadline_ns <= at))
		return;
	timer_arm_locked(s, f, at, full ? TIMER_SOON : TIMER_ROTATE);
}

void rotate_published(struct store *s, struct file *f)
{
	bool wanted;
	int r;

	lock_take(&s->lock);
	f->piecewise = f->piecewise && f->raw_present;
	wanted = f->piecewise || (f->writers && f->raw_present &&
				  f->sealed_end - f->raw_base >= ROTATE_SPACE_BYTES);
	lock_drop(&s->lock);
	if (!wanted)
		return;
	r = raw_punch(s, f);
	lock_take(&s->lock);
	f->kept |= r == 1; /* file_drop_raw() has looked just before */
	active_update_locked(s, f);
	lock_drop(&s->lock);
	if (r == 1)
		log_notice(
		    "%s: someone outside of notepackfs still writes to it: the disk space "
		    "of what is sealed of it comes back when that has ended, and it is "
		    "closed",
		    f->n.name);
	else if (r < 0)
		log_error("%s: the disk space of its sealed bytes could not be given back: %s; "
			  "that is tried again with its next part",
			  f->n.name, strerror(-r));
}
