/* SPDX-License-Identifier: BSD-2-Clause */
#include "mount/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "mount/mountflags.h"

#define THREADS 4
#define WAKE_NS 10000000

#define SIGNAL_WAKE SIGUSR1 /* to the main thread: leave sem_wait, and look */
#define SIGNAL_QUIT SIGUSR2 /* to the signals' thread: the loop has ended */

/* ---- the mount ---- */

/* Has the kernel ended the connection? If not, its device number cannot be another's yet. */
static bool is_connected(const struct serve *sv)
{
	struct pollfd p = {.fd = fuse_session_fd(sv->session)};

	return poll(&p, 1, 0) >= 0 && !(p.revents & (POLLERR | POLLNVAL));
}

static void detach(struct serve *sv)
{
	int err = is_connected(sv) ? mounter_detach(sv->mounter) : 0;

	if (err)
		log_warning("%s: cannot detach the mount: %s; when notepackfs has ended, "
			    "umount -l clears it",
			    sv->mountpoint, strerror(-err));
}

/* Libfuse still has the descriptor: from now on it is a pipe that nobody reads. Without
 * descriptors for one it stays what it is, until the end. */
static void sever(struct serve *sv)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) != 0)
		return;
	close(fds[0]);
	dup3(fds[1], fuse_session_fd(sv->session), O_CLOEXEC);
	close(fds[1]);
}

/* ---- signals ---- */

static void no_op(int signal)
{
}

static void signals_of_thread(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGNAL_QUIT);
}

static void set_state(struct serve *sv, enum serve_state state)
{
	lock_take(&sv->lock);
	sv->state = state;
	cond_broadcast(&sv->changed);
	lock_drop(&sv->lock);
}

static enum serve_state wait_while_mounting(struct serve *sv)
{
	enum serve_state state;

	lock_take(&sv->lock);
	while (sv->state == SERVE_MOUNTING)
		cond_wait(&sv->changed, &sv->lock);
	state = sv->state;
	lock_drop(&sv->lock);
	return state;
}

/* Take (and drop) signals, SIGNAL_QUIT among them, until the loop has ended (true) or the
 * deadline has passed. */
static bool wait_for_end(struct serve *sv, const sigset_t *set, int64_t deadline_ns)
{
	while (wait_while_mounting(sv) != SERVE_ENDED) {
		int64_t left_ns = deadline_ns - clock_ns();
		struct timespec left = {left_ns / 1000000000, left_ns % 1000000000};

		if (left_ns <= 0)
			return false;
		sigtimedwait(set, NULL, &left);
	}
	return true;
}

/*
 * End the loop though the kernel has not. Its main thread may be about to sleep when the first
 * wake-up comes, so it is woken until it has said that it is up.
 */
static void end_loop(struct serve *sv)
{
	fs_quiet(sv->fs);
	fuse_session_exit(sv->session);
	lock_take(&sv->lock);
	while (sv->state != SERVE_ENDED) {
		pthread_kill(sv->main_thread, SIGNAL_WAKE);
		cond_wait_until(&sv->changed, &sv->lock, clock_ns() + WAKE_NS);
	}
	lock_drop(&sv->lock);
}

/* Returns when the loop has ended. */
static void stop(struct serve *sv, const sigset_t *set, int signal)
{
	int64_t deadline_ns = clock_ns() + sv->stop_wait_ns;

	log_notice("%s: stopping (%s)", sv->mountpoint, strsignal(signal));
	detach(sv);
	if (wait_for_end(sv, set, deadline_ns))
		return;
	log_notice("%s: still in use after stop_wait: its users get errors from now on",
		   sv->mountpoint);
	end_loop(sv);
}

static void *signal_main(void *arg)
{
	struct serve *sv = arg;
	sigset_t set;
	int signal;

	signals_of_thread(&set);
	for (;;) {
		enum serve_state state;

		if (sigwait(&set, &signal) != 0)
			continue;
		state = wait_while_mounting(sv);
		if (state == SERVE_ENDED)
			return NULL;
		if (signal == SIGNAL_QUIT)
			continue; /* someone else's */
		if (state == SERVE_STARTING) {
			log_error("%s: not mounted: stopped by a signal (%s)", sv->mountpoint,
				  strsignal(signal));
			_exit(1);
		}
		stop(sv, &set, signal);
		return NULL; /* what would wake it has been taken */
	}
}

int serve_begin(struct serve *sv, struct mounter *mounter, const char *mountpoint,
		int64_t stop_wait_ns)
{
	struct sigaction wake = {.sa_handler = no_op}; /* without SA_RESTART */
	sigset_t set;

	memset(sv, 0, sizeof(*sv));
	lock_init(&sv->lock);
	cond_init(&sv->changed);
	sv->mounter = mounter;
	sv->mountpoint = mountpoint;
	sv->stop_wait_ns = stop_wait_ns;
	sv->main_thread = pthread_self();
	sigaction(SIGNAL_WAKE, &wake, NULL);
	signals_of_thread(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return -pthread_create(&sv->signal_thread, NULL, signal_main, sv);
}

/* ---- the session ---- */

int serve_mount(struct serve *sv, struct fs *fs, struct fuse_session *session)
{
	char path[32];
	int fd;

	set_state(sv, SERVE_MOUNTING);
	fd = mounter_mount(sv->mounter);
	if (fd < 0)
		return -1;
	/* libfuse takes a connection by this name; what it has not mounted, it never unmounts. */
	snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	if (fuse_session_mount(session, path) != 0) {
		mounter_detach(sv->mounter);
		close(fd);
		return -1;
	}
	sv->fs = fs;
	sv->session = session;
	return mountflags_check(sv->mountpoint, sv->mounter->device);
}

int serve_loop(struct serve *sv)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int r;

	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_max_threads(config, THREADS);
	fuse_loop_cfg_set_clone_fd(config, 0);
	set_state(sv, SERVE_SERVING);
	r = fuse_session_loop_mt(sv->session, config);
	fuse_loop_cfg_destroy(config);
	/* The mount's end came while a request was being read: an end like any other (-ENODEV is 0). */
	return r == -ECONNABORTED ? 0 : r;
}

void serve_end(struct serve *sv)
{
	set_state(sv, SERVE_ENDED);
	pthread_kill(sv->signal_thread, SIGNAL_QUIT);
	pthread_join(sv->signal_thread, NULL);
	cond_release(&sv->changed);
	lock_release(&sv->lock);
	if (!sv->session)
		return;
	detach(sv);
	sever(sv);
}

void serve_release(struct serve *sv)
{
	if (!sv->session)
		return;
	fuse_session_destroy(sv->session);
	sv->session = NULL;
}
