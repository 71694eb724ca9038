/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/space.h"

#include <stdatomic.h>

#include "lib/log.h"

/* At least this much is asked for anew each time, however much there is: others use the disk. */
#define CREDIT_MAX ((int64_t)64 << 20)
/* Long enough that a writer is slower than any disk, short enough that it does not look stuck. */
#define PAUSE_NS INT64_C(100000000)

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

bool store_pause(struct store *s, struct store_pause *p)
{
	bool over;

	lock_take(&s->lock);
	over = over_limit_locked(s);
	if (over) {
		p->until_ns = clock_ns() + PAUSE_NS;
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
