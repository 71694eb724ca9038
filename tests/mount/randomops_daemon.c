/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mount itself: starting, stopping, killing it; barriers.
 */
#include "tests/mount/randomops.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/proto.h"

static pid_t spawn(const struct run *r, const char *const argv[])
{
	pid_t pid = fork();
	int log;

	if (pid != 0)
		return pid;
	log = open(r->log, O_WRONLY | O_CREAT | O_APPEND, 0644);
	if (log >= 0) {
		dup2(log, 1);
		dup2(log, 2);
	}
	execv(argv[0], (char *const *)argv);
	_exit(127);
}

static int status_of(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int run_program(const struct run *r, const char *const argv[])
{
	return status_of(spawn(r, argv));
}

static bool is_mounted(const struct run *r)
{
	char status[PATH_BYTES];
	struct stat st;

	snprintf(status, sizeof(status), "%.400s/.notepackfs/status", r->mnt);
	return stat(status, &st) == 0;
}

bool daemon_start(struct run *r)
{
	char program[PATH_BYTES];
	const char *const argv[] = {program, r->store,	       r->mnt, "-f",
				    "-o",    r->mode->options, NULL};

	snprintf(program, sizeof(program), "%.400s/mount/notepackfs", r->build);
	r->daemon = spawn(r, argv);
	while (!is_mounted(r)) {
		const struct timespec soon = {.tv_nsec = 1000000};
		int status;

		if (waitpid(r->daemon, &status, WNOHANG) != 0) {
			r->daemon = 0;
			return failed(r, "the daemon ended at its start; see %s", r->log);
		}
		nanosleep(&soon, NULL);
	}
	return true;
}

bool daemon_stop(struct run *r)
{
	char program[PATH_BYTES];
	const char *const argv[] = {program, "umount", r->mnt, NULL};
	int ctl, daemon;

	snprintf(program, sizeof(program), "%.400s/mount/notepackctl", r->build);
	ctl = run_program(r, argv);
	if (ctl != 0)
		return failed(r, "notepackctl umount: exit status %d", ctl);
	daemon = status_of(r->daemon);
	r->daemon = 0;
	return daemon == 0 || failed(r, "the daemon's exit status is %d", daemon);
}

void daemon_kill(struct run *r)
{
	if (!r->daemon)
		return;
	kill(r->daemon, SIGKILL);
	/* One of its threads may be telling the kernel of a name, and wait for an answer that
	 * no one gives: that ends with the connection. */
	umount2(r->mnt, MNT_FORCE);
	status_of(r->daemon);
	r->daemon = 0;
	umount2(r->mnt, MNT_DETACH);
}

int request(struct run *r, unsigned op, const char *path)
{
	char status[PATH_BYTES];
	struct proto_request req = {.op = op};
	int fd, err = 0;

	snprintf(status, sizeof(status), "%.400s/.notepackfs/status", r->mnt);
	snprintf(req.path, sizeof(req.path), "%s", path);
	fd = open(status, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	if (ioctl(fd, PROTO_IOCTL, &req) != 0)
		err = errno;
	close(fd);
	return err;
}

/* ---- barriers ---- */

/* What has no writer is sealed to its end, and so is an open file up to its last record. */
static void sealed_by(struct file *f, bool open_too)
{
	size_t end = f->size;

	if (f->path < 0 || excluded(f->path))
		return;
	/* Who may have had a mapping has been released by now. */
	f->mapped = f->mapped && f->writers;
	f->passed = f->passed && f->opens;
	if (f->writers && !open_too)
		return;
	if (f->writers) {
		if (f->cut_maybe < f->written_end)
			f->cut_maybe = f->written_end;
		if (f->mapped) /* not, if the mapping was of one of these writers */
			return;
		for (end = f->written_end; end > 0; end--) {
			if (f->data[end - 1] == '\n' ||
			    (end == f->written_end && f->data[end - 1] == 0))
				break;
		}
		if (strstr(name_of(f->path), ".notepack")) /* frames: this is no boundary */
			end = 0;
	} else {
		f->armed = false;
		f->cut_maybe = f->size;
	}
	if (f->cut_sure < end)
		f->cut_sure = end;
	if (f->sealed_sure < end)
		f->sealed_sure = end;
}

static bool barrier(struct run *r, unsigned op, int path)
{
	struct file *f = path < 0 ? NULL : r->at[path];
	bool here = path < 0 || f;
	bool may_be_busy = f && op == PROTO_SEAL && f->writers && f->mapped;
	const char *text = path < 0 ? "" : path_text(path);
	int err;

	if (!settle_maps(r))
		return false;
	err = request(r, op, text);
	r->performed++;
	if (may_be_busy && err == EBUSY)
		err = 0; /* nothing is cut then, as sealed_by() has it */
	if (!expect(r, here ? MUST_WORK : MUST_FAIL, err, ENOENT,
		    op == PROTO_SEAL ? "seal" : "wait", text))
		return false;
	if (f)
		sealed_by(f, op == PROTO_SEAL);
	for (f = path < 0 ? r->files : NULL; f; f = f->next)
		sealed_by(f, op == PROTO_SEAL);
	if (!here)
		return true;
	return path < 0 ? check_all(r) : check_dir(r, path / NAMES);
}

OP(op_wait)
{
	(void)arg;
	return barrier(r, PROTO_WAIT, -1);
}

OP(op_waitpath)
{
	return barrier(r, PROTO_WAIT, (int)arg[0]);
}

OP(op_seal)
{
	return barrier(r, PROTO_SEAL, (int)arg[0]);
}

OP(op_sealall)
{
	(void)arg;
	return barrier(r, PROTO_SEAL, -1);
}

/* sync MNT. Attributes set while there was a raw file may still be committed later, when that
 * is given up, so those of a crash are uncertain all the same. */
OP(op_sync)
{
	int fd = open(r->mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = fd < 0 || fsync(fd) != 0 ? errno : 0;

	(void)arg;
	if (fd >= 0)
		close(fd);
	r->performed++;
	if (err)
		return failed(r, "sync of the root: %s", strerror(err));
	return true;
}

OP(op_pause)
{
	const struct timespec t = {.tv_nsec = (long)arg[0] * 1000000};

	nanosleep(&t, NULL);
	r->performed++;
	return true;
}

/* ---- remounts ---- */

static bool close_all(struct run *r)
{
	bool good = true;

	for (size_t i = 0; i < SLOTS && good; i++)
		good = !r->slot[i].description || close_slot(r, &r->slot[i]);
	return good;
}

OP(op_remount)
{
	(void)arg;
	if (!close_all(r) || !daemon_stop(r) || !daemon_start(r))
		return false;
	r->performed++;
	for (struct file *f = r->files; f; f = f->next) {
		sealed_by(f, false);
		f->written_end = f->size;
		f->armed = f->mode_lazy = f->mtime_lazy = false;
	}
	return check_all(r);
}

/* Killed with everything open. What was cut and not sealed is not cut any more. */
OP(op_crash)
{
	(void)arg;
	if (!settle_maps(r))
		return false;
	daemon_kill(r);
	for (size_t i = 0; i < SLOTS; i++) {
		if (r->slot[i].description && !close_slot(r, &r->slot[i]))
			r->failure[0] = '\0'; /* no one answers a close */
	}
	if (!daemon_start(r))
		return false;
	r->performed++;
	for (struct file *f = r->files; f; f = f->next) {
		f->cut_sure = f->sealed_sure;
		f->written_end = f->size;
		f->armed = false;
		/* What was never cut has its attributes in the store. */
		f->mode_known = f->mode_known && !(f->mode_lazy && f->cut_maybe);
		f->mtime_known = f->mtime_known && !(f->mtime_lazy && f->cut_maybe);
		/* The raw file may have them still, and is given up before they are recorded. */
	}
	model_update(r);
	return check_all(r);
}
