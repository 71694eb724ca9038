/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/space.h"

#include <stdatomic.h>

#include "lib/log.h"

/* At least this much is asked for anew each time, however much there is: others use the disk. */
#define CREDIT_MAX ((int64_t)64 << 20)
/* While nothing is being compressed, all writers together wait this long for each MiB. */
#define PAUSE_NS_PER_MIB INT64_C(100000000)
/* What a compressed byte earns is never less than a part of one, this small. */
#define PAUSE_PART_MIN 16
/* Below the limit, the first waits this long, and each one behind it for an eighth less. */
#define PAUSE_STEP_NS INT64_C(50000000)
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

static bool may_pause_locked(const struct store *s) REQUIRES(s->lock)
{
	return s->options.backlog_bytes && !s->stopping && !s->pausing_over;
}

static bool over_limit_locked(const struct store *s) REQUIRES(s->lock)
{
	return s->pending_bytes > s->options.backlog_bytes;
}

/* Below the limit, too, while there is a queue: no one passes those who wait. */
static bool is_pausing_locked(const struct store *s) REQUIRES(s->lock)
{
	return may_pause_locked(s) && (s->paused || over_limit_locked(s));
}

uint64_t store_pause_bytes(struct store *s, uint64_t bytes)
{
	uint64_t due = 0;

	lock_take(&s->lock);
	s->pause_bytes = is_pausing_locked(s) ? s->pause_bytes + bytes : 0;
	if (s->pause_bytes >= PAUSE_BYTES) {
		due = s->pause_bytes;
		s->pause_bytes = 0;
	}
	lock_drop(&s->lock);
	return due;
}

bool store_pause(struct store *s, struct store_pause *p, uint64_t bytes)
{
	bool waiting;

	lock_take(&s->lock);
	waiting = p->waiting = is_pausing_locked(s) && !p->cancelled;
	if (waiting) {
		if (!s->paused) {
			s->pause_credit = 0;
			s->pause_turn_ns = clock_ns();
			s->pause_step_ns = PAUSE_STEP_NS;
		}
		p->bytes = bytes;
		DL_APPEND(s->paused, p);
		cond_signal(&s->timer_wake);
	}
	lock_drop(&s->lock);
	return waiting; /* and *p may be gone */
}

bool store_pause_cancel(struct store *s, struct store_pause *p)
{
	bool waiting;

	lock_take(&s->lock);
	waiting = p->waiting;
	p->cancelled = true;
	if (waiting) {
		p->waiting = false;
		DL_DELETE(s->paused, p);
		cond_signal(&s->timer_wake); /* another one is the first */
		cond_broadcast(&s->changed); /* store_unpause */
	}
	lock_drop(&s->lock);
	return waiting;
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

void space_chunk_begin_locked(struct store *s)
{
	s->compressing++;
}

void space_chunk_end(struct store *s, uint64_t bytes)
{
	uint64_t part = 1;

	lock_take(&s->lock);
	s->compressing--;
	s->compressed_ns = clock_ns();
	if (s->paused) {
		if (over_limit_locked(s))
			part += s->pending_bytes / s->options.backlog_bytes;
		s->pause_credit += bytes / MIN(part, PAUSE_PART_MIN);
		if (s->pause_credit >= s->paused->bytes || !s->compressing)
			cond_signal(&s->timer_wake);
	}
	lock_drop(&s->lock);
}

/* When p, the first, goes on, whatever was earned; 0: not as things are. */
static int64_t turn_ns_locked(const struct store *s, const struct store_pause *p)
    REQUIRES(s->lock)
{
	if (!over_limit_locked(s))
		return s->pause_turn_ns + s->pause_step_ns;
	if (s->compressing)
		return 0;
	return MAX(s->pause_turn_ns, s->compressed_ns) +
	       ((int64_t)p->bytes * (PAUSE_NS_PER_MIB >> 10) >> 10);
}

/* Is it the turn of p, the first? If so, it is paid. Else *next_ns says when. */
static bool take_turn_locked(struct store *s, const struct store_pause *p, int64_t *next_ns)
    REQUIRES(s->lock)
{
	int64_t now_ns = clock_ns();

	if (s->pause_credit >= p->bytes) {
		s->pause_credit -= p->bytes;
		return true;
	}
	*next_ns = turn_ns_locked(s, p);
	if (!*next_ns || *next_ns > now_ns)
		return false;
	s->pause_turn_ns = now_ns;
	s->pause_step_ns -= s->pause_step_ns / 8;
	return true;
}

struct store_pause *space_due_locked(struct store *s, int64_t *next_ns)
{
	struct store_pause *due = NULL, *p;

	*next_ns = 0;
	if (over_limit_locked(s))
		s->pause_step_ns = PAUSE_STEP_NS;
	while ((p = s->paused) && (!may_pause_locked(s) || take_turn_locked(s, p, next_ns))) {
		p->waiting = false;
		DL_DELETE(s->paused, p);
		DL_APPEND(due, p);
		*next_ns = 0;
	}
	return due;
}

void space_wake(struct store_pause *due)
{
	struct store_pause *p, *next;

	DL_FOREACH_SAFE (due, p, next)
		p->wake(p);
}
