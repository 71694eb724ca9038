/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/space.h"

#include <stdatomic.h>

#include "lib/log.h"

/* At least this much is asked for anew each time, however much there is: others use the disk. */
#define CREDIT_MAX ((int64_t)64 << 20)
/* A writer waits this long for each MiB: it is slower than the compression then, and does not look
 * stuck. With many of them that is not slow enough: so many times that, as the limit is exceeded. */
#define PAUSE_NS_PER_MIB INT64_C(100000000)
#define PAUSE_FACTOR_MAX 16
/* Waits for less are saved up. */
#define PAUSE_BYTES ((uint64_t)64 << 10)

uint64_t space_free(const struct store *s)
{
	struct statvfs st;

	if (fstatvfs(s->fd, &st) != 0)
		return UINT64_MAX;
	return (uint64_t)st.f_bavail * st.f_frsize;
}

bool space_has_inodes(const struct store *s)
{
	struct statvfs st;

	/* Some have no number of them, and say 0 of 0. */
	return fstatvfs(s->fd, &st) != 0 || st.f_files == 0 || st.f_favail > 0;
}

static uint64_t reserve_of(const struct store *s)
{
	struct statvfs st;
	uint64_t reserve = s->options.reserve_bytes;

	if (reserve != STORE_RESERVE_DEFAULT)
		return reserve;
	if (fstatvfs(s->fd, &st) != 0)
		return 0;
	return MIN(SPACE_RESERVE, (uint64_t)st.f_blocks * st.f_frsize / SPACE_RESERVE_PART);
}

int space_take(struct store *s, uint64_t bytes)
{
	uint64_t reserve, room, left;
	int64_t credit;

	if (atomic_fetch_sub(&s->space_credit, (int64_t)bytes) >= (int64_t)bytes)
		return 0;
	reserve = reserve_of(s);
	room = space_free(s);
	if (reserve && room < reserve + bytes) {
		atomic_store(&s->space_credit, 0);
		log_error("%s: less than %llu bytes are free on its file system, the reserve "
			  "for sealing: writers get ENOSPC; make room, or mount with a smaller "
			  "-o reserve",
			  s->path, (unsigned long long)reserve);
		return -ENOSPC;
	}
	left = reserve ? (room - reserve - bytes) / 2 : (uint64_t)CREDIT_MAX;
	credit = (int64_t)MIN(left, (uint64_t)CREDIT_MAX);
	atomic_store(&s->space_credit, credit);
	return 0;
}

/* ---- the backlog ---- */

static bool over_limit_locked(const struct store *s) REQUIRES(s->lock)
{
	return s->options.backlog_bytes && s->pending_bytes > s->options.backlog_bytes &&
	       !s->stopping && !s->pausing_over;
}

int64_t store_pause_ns(struct store *s, uint64_t bytes)
{
	int64_t ns = 0;

	lock_take(&s->lock);
	s->pause_bytes = over_limit_locked(s) ? s->pause_bytes + bytes : 0;
	if (s->pause_bytes >= PAUSE_BYTES) {
		uint64_t factor =
		    MIN(s->pending_bytes / s->options.backlog_bytes, PAUSE_FACTOR_MAX);

		ns = (int64_t)(s->pause_bytes * factor) * (PAUSE_NS_PER_MIB >> 10) >> 10;
		s->pause_bytes = 0;
	}
	lock_drop(&s->lock);
	return ns;
}

bool store_pause(struct store *s, struct store_pause *p, int64_t ns)
{
	bool over;

	lock_take(&s->lock);
	over = over_limit_locked(s);
	if (over) {
		struct store_pause *at = s->paused;

		p->until_ns = clock_ns() + ns;
		while (at && at->until_ns <= p->until_ns)
			at = at->next;
		if (at)
			DL_PREPEND_ELEM(s->paused, at, p);
		else
			DL_APPEND(s->paused, p);
		cond_signal(&s->timer_wake);
	}
	lock_drop(&s->lock);
	return over;
}

void store_unpause(struct store *s)
{
	lock_take(&s->lock);
	s->pausing_over = true;
	cond_signal(&s->timer_wake);
	while (s->paused || s->waking)
		cond_wait(&s->changed, &s->lock);
	lock_drop(&s->lock);
}

struct store_pause *space_due_locked(struct store *s, int64_t *next_ns)
{
	int64_t now_ns = clock_ns();
	struct store_pause *due = NULL, *p;
	bool all = !over_limit_locked(s);

	*next_ns = 0;
	while ((p = s->paused) && (all || p->until_ns <= now_ns)) {
		DL_DELETE(s->paused, p);
		DL_APPEND(due, p);
	}
	if (p)
		*next_ns = p->until_ns;
	return due;
}

void space_wake(struct store_pause *due)
{
	struct store_pause *p, *next;

	DL_FOREACH_SAFE (due, p, next)
		p->wake(p);
}
