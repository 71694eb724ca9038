/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Watching a daemon end.
 *
 * umount(2) returns while a FUSE daemon is still at work (L28), so the end is known from the
 * lock on the store. It is polled: flock(2) has no deadline, and a shared lock that is dropped
 * at once disturbs no one. Whether the end was a good one is what last_stop says, and it counts
 * only if this daemon wrote it: it names the daemon's process, and it is a new file or the
 * lock's text was emptied, which a daemon that is killed does not live to do. (A process number
 * alone is no proof: in a container every daemon has the same.)
 *
 * A read-only mount writes nothing and shares the lock with others like it. What matters of its end
 * is that the store's disk can be unmounted, so its process is waited for.
 */
#include "mount/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "lib/io.h"
#include "lib/layout.h"
#include "lib/lock.h"

#define SECOND_NS 1000000000LL
#define POLL_MS 100
#define LINE_NS (5 * SECOND_NS)	  /* between two lines where stderr is no terminal */
#define SILENT_NS (2 * SECOND_NS) /* still mounted somewhere: say so after this */
#define TEXT_BYTES_MAX 65536

struct progress {
	uint64_t files_total, files_left, bytes_total, bytes_left;
};

/* What is shown of one wait. */
struct display {
	bool terminal, started, said_busy;
	int64_t begin_ns, first_ns, line_ns; /* first_ns: of the first progress that was read */
	uint64_t first_left, last_left;
	struct progress now;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int signo)
{
	interrupted = signo;
}

static void catch_signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal};

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
}

static bool stat_last_stop(const struct drain *d, struct stat *st)
{
	return io_stat(d->storefd, LAYOUT_LAST_STOP, st) == 0;
}

static int64_t mtime_ns(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * SECOND_NS + st->st_mtim.tv_nsec;
}

bool drain_is_released(const struct drain *d)
{
	struct pollfd end = {.fd = d->pidfd, .events = POLLIN};
	pid_t pid;

	if (d->pidfd >= 0)
		return poll(&end, 1, 0) > 0;
	if (d->lockfd < 0)
		return true;
	if (flock(d->lockfd, LOCK_SH | LOCK_NB) == 0) {
		flock(d->lockfd, LOCK_UN);
		return true;
	}
	layout_holder(d->storefd, &pid);
	return d->pid && pid && pid != d->pid;
}

static uint64_t json_u64(struct json_object *o, const char *key)
{
	struct json_object *v;
	int64_t n = json_object_object_get_ex(o, key, &v) ? json_object_get_int64(v) : 0;

	return n > 0 ? (uint64_t)n : 0;
}

static struct json_object *read_status(const struct ctl_mount *m)
{
	CLEANUP_BUF struct buf b = {0};

	return ctl_control_read(m, "status", &b) == 0 && b.data ? json_tokener_parse(b.data)
								: NULL;
}

/* A pidfd of the daemon that serves a mount, or -1. Its number is its own view, so it must be in
 * our PID namespace. */
static int open_process(const struct ctl_mount *m)
{
	struct json_object *o = read_status(m);
	struct stat ns;
	int fd = -1;

	if (o && stat("/proc/self/ns/pid", &ns) == 0 && json_u64(o, "pid_ns") == ns.st_ino)
		fd = pidfd_open((pid_t)json_u64(o, "pid"), 0);
	json_object_put(o);
	return fd;
}

/* Its own view of its number, which is what it calls itself in its files; 0: it cannot be asked. */
static long ask_pid(const struct ctl_mount *m)
{
	struct json_object *o = read_status(m);
	long pid = o ? (long)json_u64(o, "pid") : 0;

	json_object_put(o);
	return pid;
}

int drain_open(struct drain *d, const char *store, const struct ctl_mount *m)
{
	struct stat st;
	pid_t pid;

	*d = DRAIN_CLOSED;
	d->store = ctl_strdup(store);
	d->storefd = ctl_open_dir(store);
	if (d->storefd < 0)
		return CTL_FAILED;
	d->stop_found = stat_last_stop(d, &st);
	if (d->stop_found) {
		d->stop_ino = st.st_ino;
		d->stop_mtime_ns = mtime_ns(&st);
	}
	d->lockfd = io_open(d->storefd, LAYOUT_LOCK, O_RDONLY, 0);
	if (d->lockfd < 0 && d->lockfd != -ENOENT) {
		ctl_error("%s/" LAYOUT_LOCK
			  ": %s; run this as root or as the owner of the store",
			  store, strerror(-d->lockfd));
		return CTL_FAILED;
	}
	layout_holder(d->storefd, &pid);
	/* A read-only mount leaves the text of an earlier daemon that was killed. */
	if (m && m->read_only && drain_is_released(d)) {
		d->pidfd = open_process(m);
		return CTL_DONE;
	}
	d->writes = pid || (m && !m->read_only);
	d->noted = pid != 0;
	/* A full disk may have had no room for the text. */
	d->pid = d->writes && !pid ? ask_pid(m) : pid;
	return CTL_DONE;
}

void drain_close(struct drain *d)
{
	if (d->pidfd >= 0)
		close(d->pidfd);
	if (d->lockfd >= 0)
		close(d->lockfd);
	if (d->storefd >= 0)
		close(d->storefd);
	free(d->store);
	*d = DRAIN_CLOSED;
}

/* Read one of the daemon's small JSON files, if it is about this daemon; NULL if not. */
static struct json_object *read_about(const struct drain *d, const char *path)
{
	CLEANUP_FREE char *text = NULL;
	struct json_object *o;
	size_t len;

	if (io_read_file(d->storefd, path, TEXT_BYTES_MAX, &text, &len) != 0)
		return NULL;
	o = json_tokener_parse(text);
	if (o && d->pid && json_u64(o, "pid") != (uint64_t)d->pid) {
		json_object_put(o);
		return NULL;
	}
	return o;
}

static bool read_progress(const struct drain *d, struct progress *p)
{
	struct json_object *o = read_about(d, LAYOUT_DRAIN);

	if (!o)
		return false;
	p->files_total = json_u64(o, "files_total");
	p->files_left = json_u64(o, "files_left");
	p->bytes_total = json_u64(o, "bytes_total");
	p->bytes_left = json_u64(o, "bytes_left");
	json_object_put(o);
	return true;
}

/* Bytes a second since the first progress; 0 if it is too early to say. */
static double rate(const struct display *s)
{
	double seconds = (double)(clock_ns() - s->first_ns) / SECOND_NS;

	if (seconds < 0.2 || s->now.bytes_left >= s->first_left)
		return 0;
	return (double)(s->first_left - s->now.bytes_left) / seconds;
}

static double done_ratio(const struct progress *p)
{
	if (p->bytes_total)
		return 1 - MIN(1.0, (double)p->bytes_left / (double)p->bytes_total);
	if (p->files_total)
		return 1 - MIN(1.0, (double)p->files_left / (double)p->files_total);
	return 1;
}

/* " 47%  12 files left  8.1 MB/s  ETA 0:12" */
static void format_state(const struct display *s, char *out, size_t size)
{
	double per_second = rate(s);
	char speed[CTL_SIZE_TEXT];
	int n = snprintf(out, size, "%3.0f%%  %llu %s left", 100 * done_ratio(&s->now),
			 (unsigned long long)s->now.files_left, ctl_files(s->now.files_left));

	if (per_second > 0 && n > 0 && (size_t)n < size) {
		unsigned long eta =
		    (unsigned long)((double)s->now.bytes_left / per_second + 0.5);

		snprintf(out + n, size - (size_t)n, "  %s/s  ETA %lu:%02lu",
			 ctl_size((uint64_t)per_second, speed), eta / 60, eta % 60);
	}
}

static int bar_width(size_t text_len)
{
	struct winsize w;
	int columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : 80;

	return MAX(0, MIN(40, columns - (int)text_len - 5));
}

/* The one line of a terminal: [#####----]  47%  … */
static void show_bar(struct display *s)
{
	char text[128], bar[41];
	int width, filled;

	format_state(s, text, sizeof(text));
	width = bar_width(strlen(text));
	filled = (int)(done_ratio(&s->now) * width + 0.5);
	memset(bar, '-', (size_t)width);
	memset(bar, '#', (size_t)filled);
	bar[width] = '\0';
	fprintf(stderr, "\r[%s] %s\033[K", bar, text);
	fflush(stderr);
}

static void show_line(struct display *s)
{
	char text[128];

	if (clock_ns() - s->line_ns < LINE_NS || s->now.bytes_left == s->last_left)
		return;
	format_state(s, text, sizeof(text));
	ctl_note("flushing:%s%s", text[0] == ' ' ? "" : " ", text);
	s->line_ns = clock_ns();
	s->last_left = s->now.bytes_left;
}

static void show_start(const struct drain *d, struct display *s)
{
	char size[CTL_SIZE_TEXT];

	s->started = true;
	s->first_ns = s->line_ns = clock_ns();
	s->first_left = s->last_left = s->now.bytes_left;
	if (!s->terminal)
		ctl_note("%s: flushing %llu %s, %s", d->store,
			 (unsigned long long)s->now.files_left, ctl_files(s->now.files_left),
			 ctl_size(s->now.bytes_left, size));
}

static void show(const struct drain *d, struct display *s)
{
	if (!read_progress(d, &s->now) || (!s->started && !s->now.files_left))
		return;
	if (!s->started)
		show_start(d, s);
	if (s->terminal)
		show_bar(s);
	else
		show_line(s);
}

/* The progress line ends here; what is printed next is a line of its own. */
static void show_end(const struct drain *d, struct display *s, bool good)
{
	double seconds = (double)(clock_ns() - s->begin_ns) / SECOND_NS;
	char size[CTL_SIZE_TEXT];

	if (!s->started)
		return;
	if (s->terminal)
		fprintf(stderr, "\r\033[K");
	if (good)
		ctl_note("%s: flushed %llu %s, %s, in %.1f s", d->store,
			 (unsigned long long)s->now.files_total, ctl_files(s->now.files_total),
			 ctl_size(s->now.bytes_total, size), seconds);
}

/* One that is killed does not live to empty the lock's text. */
static bool has_ended_in_order(const struct drain *d)
{
	pid_t pid;

	return d->noted && layout_holder(d->storefd, &pid) == HOLDER_NONE && pid == 0;
}

/* Did this daemon write last_stop? */
static bool is_fresh(const struct drain *d)
{
	struct stat st;

	if (!stat_last_stop(d, &st))
		return false;
	if (!d->stop_found || st.st_ino != d->stop_ino || mtime_ns(&st) != d->stop_mtime_ns)
		return true;
	return has_ended_in_order(d);
}

static int say_unfinished(const struct drain *d, uint64_t unfinished, uint64_t lost)
{
	if (lost)
		ctl_error(
		    "%s: %llu %s could not be sealed, and the raw bytes of %llu were removed "
		    "from the store, not by notepackfs: they are lost, unless they can be put "
		    "back; the daemon's log names them",
		    d->store, (unsigned long long)unfinished, ctl_files(unfinished),
		    (unsigned long long)lost);
	else if (!unfinished)
		ctl_error(
		    "%s: not all of it is as it should be; what there is is kept, and the "
		    "next mount looks at it again (the daemon's log names it)",
		    d->store);
	else
		ctl_error(
		    "%s: %llu %s could not be sealed; nothing is lost, the raw bytes are in "
		    "the store, and the next mount seals them (the daemon's log has the "
		    "reasons)",
		    d->store, (unsigned long long)unfinished, ctl_files(unfinished));
	return CTL_NOT_FLUSHED;
}

/* The lock is free: how did it end? */
static int result(const struct drain *d)
{
	struct json_object *o = is_fresh(d) ? read_about(d, LAYOUT_LAST_STOP) : NULL;
	uint64_t exit_status, unfinished, lost;

	if (!o && !d->writes) /* mounted read-only: there was nothing to flush */
		return CTL_DONE;
	if (!o && has_ended_in_order(d)) {
		ctl_error(
		    "%s: the daemon (pid %ld) ended, but could not write down how, as on a "
		    "full disk; its log says why. Nothing is lost: mount the store again",
		    d->store, d->pid);
		return CTL_NOT_FLUSHED;
	}
	if (!o) {
		ctl_error("%s: the daemon (pid %ld) died before all was flushed; nothing is "
			  "lost: mount "
			  "the store again to recover",
			  d->store, d->pid);
		return CTL_FAILED;
	}
	exit_status = json_u64(o, "exit");
	unfinished = json_u64(o, "unfinished");
	lost = json_u64(o, "lost");
	json_object_put(o);
	if (exit_status == 0)
		return CTL_DONE;
	if (exit_status == CTL_NOT_FLUSHED)
		return say_unfinished(d, unfinished, lost);
	ctl_error(
	    "%s: the daemon (pid %ld) ended with status %llu; its log says why. Nothing is "
	    "lost: mount the store again to recover",
	    d->store, d->pid, (unsigned long long)exit_status);
	return CTL_FAILED;
}

static int give_up(const struct drain *d, const char *why)
{
	if (d->pidfd >= 0) {
		ctl_error("%s: %s; there is nothing to flush, but the daemon has not ended yet",
			  d->store, why);
		return CTL_NOT_FLUSHED;
	}
	ctl_error(
	    "%s: %s; flushing goes on in the background and nothing is lost; watch it with "
	    "notepackctl wait '%s'",
	    d->store, why, d->store);
	return CTL_NOT_FLUSHED;
}

/* The mount is gone from here, but the daemon still serves it: files are open after a
 * lazy unmount, or another mount namespace has it. Ends the wait if it is lazy. */
static bool still_in_use(const struct drain *d, struct display *s, bool lazy)
{
	pid_t pid;

	if (s->said_busy || clock_ns() - s->begin_ns < SILENT_NS ||
	    (d->pidfd < 0 && layout_holder(d->storefd, &pid) != HOLDER_MOUNTED))
		return false;
	s->said_busy = true;
	ctl_note("%s: still in use, by open files or in another mount namespace%s%s", d->store,
		 d->pidfd < 0 ? "; it is flushed when that ends" : "",
		 lazy ? "" : "; waiting for it");
	return lazy;
}

static int say_mounted(const struct drain *d)
{
	ctl_error("%s: is a store; it is mounted, so give the mountpoint", d->store);
	return CTL_FAILED;
}

/* The end of a process wakes, that of a lock does not. */
static void nap(const struct drain *d)
{
	struct pollfd end = {.fd = d->pidfd, .events = POLLIN};

	(void)poll(&end, 1, POLL_MS);
}

int drain_wait(struct drain *d, const struct drain_wait *how)
{
	struct display s = {.terminal = isatty(STDERR_FILENO), .begin_ns = clock_ns()};
	int status;

	interrupted = 0;
	catch_signals();
	while (!drain_is_released(d)) {
		if (interrupted ||
		    (how->timeout_ns >= 0 && clock_ns() - s.begin_ns >= how->timeout_ns)) {
			show_end(d, &s, false);
			return give_up(d, interrupted ? "interrupted" : "timed out");
		}
		if (how->unmounted && layout_holder_is_mounted(d->storefd))
			return say_mounted(d);
		show(d, &s);
		if (still_in_use(d, &s, how->lazy))
			return CTL_DONE;
		nap(d);
	}
	if (s.terminal && s.started)
		fprintf(stderr, "\r\033[K");
	status = result(d);
	if (status == CTL_DONE)
		show_end(d, &s, true);
	return status;
}
