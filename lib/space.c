/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/space.h"

#include <stdatomic.h>

#include "lib/early.h"
#include "lib/io.h"
#include "lib/log.h"

/* At least this much is asked for anew each time, however much there is: others use the disk. */
#define CREDIT_MAX ((int64_t)64 << 20)
#define INODE_CREDIT_MAX 1024
#define INODE_BYTES ((uint64_t)4096)
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

uint64_t space_inodes(const struct store *s)
{
	struct statvfs st;

	/* Some have no number of them, and say 0 of 0. */
	return fstatvfs(s->fd, &st) != 0 || st.f_files == 0 ? UINT64_MAX : st.f_favail;
}

/* What there is, and what of it writers do not get. */
struct room {
	uint64_t bytes, reserve;
	uint64_t inodes, inode_reserve;
};

static void look(const struct store *s, struct room *r)
{
	uint64_t reserve = s->options.reserve_bytes;
	struct statvfs st;

	*r = (struct room){.bytes = UINT64_MAX, .inodes = UINT64_MAX};
	if (reserve == 0 || fstatvfs(s->fd, &st) != 0)
		return;
	r->bytes = (uint64_t)st.f_bavail * st.f_frsize;
	r->reserve =
	    reserve != STORE_RESERVE_DEFAULT
		? reserve
		: MIN(SPACE_RESERVE, (uint64_t)st.f_blocks * st.f_frsize / SPACE_RESERVE_PART);
	if (st.f_files == 0)
		return;
	r->inodes = st.f_favail;
	r->inode_reserve = MIN(SPACE_INODES + 2 * (uint64_t)s->options.threads,
			       (uint64_t)st.f_files / SPACE_RESERVE_PART);
}

static uint64_t above(uint64_t left, uint64_t reserve)
{
	return left > reserve ? left - reserve : 0;
}

/* Until the file system is asked again. */
static void set_credit(struct store *s, const struct room *r, uint64_t bytes, uint64_t inodes)
{
	uint64_t bytes_left = above(above(r->bytes, r->reserve), bytes) / 2;
	uint64_t inodes_left = above(above(r->inodes, r->inode_reserve), inodes) / 2;

	atomic_store(&s->space_credit, (int64_t)MIN(bytes_left, (uint64_t)CREDIT_MAX));
	atomic_store(&s->inode_credit, (int64_t)MIN(inodes_left, (uint64_t)INODE_CREDIT_MAX));
}

static bool take_credit(atomic_int_least64_t *credit, uint64_t amount)
{
	return amount <= (uint64_t)CREDIT_MAX &&
	       atomic_fetch_sub(credit, (int64_t)amount) >= (int64_t)amount;
}

static int refuse_bytes(struct store *s, const struct room *r)
{
	log_error("%s: less than %llu bytes are free on its file system, the reserve "
		  "for sealing: writers get ENOSPC; make room, or mount with a smaller "
		  "-o reserve",
		  s->path, (unsigned long long)r->reserve);
	return -ENOSPC;
}

/*
 * How much of the range the file does not have yet. It has all of it if it has as many blocks as
 * bytes: only those tell of what is allocated and not written. Below raw_base it has none.
 */
static uint64_t missing(const struct file *f, int fd, uint64_t offset, uint64_t len,
			uint64_t most)
{
	uint64_t end = offset + len, there;
	struct stat st;

	if (io_fstat(fd, &st) != 0)
		return len;
	there = (uint64_t)st.st_blocks * 512 + f->raw_base;
	if (there >= MAX(end, (uint64_t)st.st_size))
		return 0;
	return io_hole_bytes(fd, offset, len, most);
}

int space_take(struct store *s, const struct file *f, int fd, uint64_t offset, uint64_t len)
{
	uint64_t wanted, most;
	struct room r;

	if (take_credit(&s->space_credit, len))
		return 0;
	do {
		look(s, &r);
		most = above(r.bytes, r.reserve);
		wanted = len;
		if (wanted > most)
			wanted = missing(f, fd, offset, len, most);
	} while (wanted > most && early_give_way(s));
	set_credit(s, &r, wanted, 0);
	return wanted > most ? refuse_bytes(s, &r) : 0;
}

bool space_has_room(const struct store *s, uint64_t bytes)
{
	struct room r;

	look(s, &r);
	return above(MIN(r.bytes, space_free(s)), r.reserve) > bytes;
}

bool space_is_short(const struct store *s)
{
	struct room r;

	look(s, &r);
	return above(r.bytes, r.reserve) < r.reserve;
}

int space_take_inode(struct store *s)
{
	struct room r;

	if (take_credit(&s->inode_credit, 1) && take_credit(&s->space_credit, INODE_BYTES))
		return 0;
	look(s, &r);
	set_credit(s, &r, INODE_BYTES, 1);
	if (above(r.bytes, r.reserve) < INODE_BYTES)
		return refuse_bytes(s, &r);
	if (above(r.inodes, r.inode_reserve) >= 1)
		return 0;
	log_error(
	    "%s: no more than %llu inodes are free on its file system, which sealing needs: "
	    "what would make a file or directory gets ENOSPC; remove files from that file "
	    "system",
	    s->path, (unsigned long long)r.inode_reserve);
	return -ENOSPC;
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
bool space_is_pausing_locked(const struct store *s)
{
	return may_pause_locked(s) && (s->paused || over_limit_locked(s));
}

bool store_withhold(struct handle *h)
{
	struct store *s = h->store;
	struct file *f;
	bool pausing;

	if (h->node->kind != NODE_FILE)
		return false;
	f = to_file(h->node);
	lock_take(&s->lock);
	pausing = space_is_pausing_locked(s);
	if (pausing && !f->withheld++)
		f->answered = f->size;
	lock_drop(&s->lock);
	return pausing;
}

void store_answered(struct handle *h)
{
	lock_take(&h->store->lock);
	to_file(h->node)->withheld--;
	lock_drop(&h->store->lock);
}

uint64_t store_pause_bytes(struct store *s, uint64_t bytes)
{
	uint64_t due = 0;

	lock_take(&s->lock);
	s->pause_bytes = space_is_pausing_locked(s) ? s->pause_bytes + bytes : 0;
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
	waiting = p->waiting = space_is_pausing_locked(s) && !p->cancelled;
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
