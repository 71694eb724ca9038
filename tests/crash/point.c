/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/crash/point.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FDS 256
#define IN_JSON_C 77 /* the status of a process that died there */
#define HANG_SECONDS 60
#define STAGE_OPERATIONS 180 /* how far a stage before is let, at most */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int count_entries(const char *path)
{
	DIR *d = opendir(path);
	int count = 0;

	while (d && readdir(d))
		count++;
	if (d)
		closedir(d);
	return count;
}

/* The kernel takes a moment to forget a thread that was joined. */
static bool threads_settle(int want)
{
	struct timespec pause = {.tv_nsec = 1000000};

	for (int i = 0; i < 5000; i++) {
		if (count_entries("/proc/self/task") <= want)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

static void check_descriptors(struct world *w, const bool open_before[FDS])
{
	char path[PATH_MAX], link[32];
	ssize_t n;

	for (int fd = 0; fd < FDS; fd++) {
		if (open_before[fd] || fcntl(fd, F_GETFD) < 0)
			continue;
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, path, sizeof(path) - 1);
		path[n > 0 ? n : 0] = '\0';
		world_violation(w, "a descriptor is left: %.200s", path);
	}
}

/* The hook: what is promised from here on, no one has heard. */
static struct world *cut_world;
static struct disk *cut_disk;

static void cut(void)
{
	shim_pause();
	atomic_store(&cut_world->frozen, true);
	disk_cut(cut_disk);
}

/* The hook of a device: it fails, then it is well again; whichever thread comes first. */
static void turn_device(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static bool fails;

	pthread_mutex_lock(&lock);
	fails = !fails;
	if (fails)
		disk_fail(cut_disk);
	else
		disk_heal(cut_disk);
	pthread_mutex_unlock(&lock);
}

/* I7: what was closed leaves nothing behind in the process. */
static void run_scenario(const struct point *p, struct world *w)
{
	int threads = count_entries("/proc/self/task");
	bool open_before[FDS];

	for (int fd = 0; fd < FDS; fd++)
		open_before[fd] = fcntl(fd, F_GETFD) >= 0;
	cut_world = w;
	cut_disk = p->disk;
	shim_arm(&w->shim, p->mode.action == SHIM_DEVICE ? turn_device : cut);
	p->scenario->run(w);
	shim_arm(NULL, NULL);
	if (w->close_status == -1)
		world_violation(w, "the scenario did not come to its end");
	if (!threads_settle(threads))
		world_violation(w, "%d threads are left",
				count_entries("/proc/self/task") - threads);
	check_descriptors(w, open_before);
	if (atomic_load(&w->shim.again))
		world_violation(w, "a descriptor was fsynced again after a failure");
	if (w->close_status == 0) {
		world_check_archive(w, WORLD_KILLED);
		world_acknowledge_all(w);
	}
}

enum stage { STAGE_BEFORE, STAGE_FAULT, STAGE_LOOK };

/* Where it died, for FI_VERBOSE. */
static void on_signal(int signo)
{
	void *frames[32];

	int count = backtrace(frames, 32);
	Dl_info info;

	backtrace_symbols_fd(frames, count, STDERR_FILENO);
	/* json-c 0.16 looks at few of its allocations, while a manifest is loaded: nothing of ours
	 * can help it, and nothing was begun yet. */
	for (int i = 0; i < count; i++) {
		if (dladdr(frames[i], &info) && info.dli_fname &&
		    strstr(info.dli_fname, "libjson-c"))
			_exit(IN_JSON_C);
	}
	signal(signo, SIG_DFL);
	raise(signo);
}

static void child(const struct point *p, struct world *w, enum stage stage, int log)
{
	alarm(HANG_SECONDS);
	signal(SIGSEGV, on_signal);
	dup2(log, STDERR_FILENO);
	switch (stage) {
	case STAGE_BEFORE:
		if (p->scenario->killed)
			shim_arm(&w->shim, NULL);
		p->scenario->before(w);
		break;
	case STAGE_FAULT:
		run_scenario(p, w);
		break;
	case STAGE_LOOK:
		world_verify(w, p->disk ? WORLD_CUT : WORLD_KILLED);
		break;
	}
	_exit(0);
}

/* Run a stage to its end; its wait status. */
static int run_stage(const struct point *p, struct world *w, enum stage stage, int log)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		child(p, w, stage, log);
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		perror("fork");
		exit(2);
	}
	return status;
}

/* The only way to die is the one that was asked for. */
static void judge_end(struct world *w, int status, bool may_be_killed, const char *stage)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && may_be_killed)
		return;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		world_violation(w, "%s: hangs", stage);
	else if (WIFSIGNALED(status))
		world_violation(w, "%s: died of signal %d", stage, WTERMSIG(status));
	else
		world_violation(w, "%s: ended with %d", stage, WEXITSTATUS(status));
}

static void run_before(const struct point *p, struct world *w, int log)
{
	bool killed = p->scenario->killed;
	int status;

	if (killed) {
		w->shim = (struct shim_state){.mode = *shim_mode_find("kill"), .span = 1};
		w->shim.at = 1 + (long)(p->seed * 2654435761 % STAGE_OPERATIONS);
	}
	status = run_stage(p, w, STAGE_BEFORE, log);
	judge_end(w, status, killed, "before");
	memset(&w->shim, 0, sizeof(w->shim));
	w->close_status = -1;
	w->errors = 0;
}

static bool has_lines(int log)
{
	struct stat st;

	return fstat(log, &st) != 0 || st.st_size > 0;
}

static void show(int log)
{
	char text[8192];
	ssize_t n = pread(log, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	fputs(text, stdout);
}

static void run_fault(const struct point *p, struct world *w, struct verdict *v)
{
	/* Of a descriptor without a name, so that the shim's path filter has nothing to do. */
	int log = memfd_create("log", 0), quiet = memfd_create("log", 0);
	bool dies = p->mode.action == SHIM_KILL || p->mode.action == SHIM_HOOK;
	int status;

	if (p->scenario->before)
		run_before(p, w, quiet);
	w->shim.mode = p->mode;
	w->shim.at = p->at;
	w->shim.span = p->span;
	w->may_put_aside = p->mode.err == EIO;
	w->may_recover = p->disk || p->mode.err == EIO;
	w->may_refuse = p->mode.action == SHIM_ERROR || p->mode.action == SHIM_DEVICE;
	status = run_stage(p, w, STAGE_FAULT, log);
	v->injected = atomic_load(&w->shim.injected);
	v->total = atomic_load(&w->shim.count);
	memcpy(v->what, w->shim.what, sizeof(v->what));
	v->in_json_c =
	    p->mode.err == ENOMEM && WIFEXITED(status) && WEXITSTATUS(status) == IN_JSON_C;
	judge_end(w, v->in_json_c ? 0 : status, dies && v->injected, "with the fault");
	v->silent = v->injected && !dies && !w->errors && !w->close_status && !has_lines(log);
	v->close_status = w->close_status;
	if (p->mode.action == SHIM_DEVICE)
		disk_heal(p->disk);
	if (p->disk)
		disk_restart(p->disk);
	if (!w->violations)
		judge_end(w, run_stage(p, w, STAGE_LOOK, quiet), false, "the look at it");
	if (getenv("FI_VERBOSE")) {
		printf("# errors %d, close %d, it said:\n", w->errors, w->close_status);
		show(log);
		printf("# before, and at the look:\n");
		show(quiet);
	}
	close(log);
	close(quiet);
}

/* The store's own entry is not what is tested. */
static void sync_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) != 0) {
		perror(path);
		exit(2);
	}
	close(fd);
}

void point_run(const struct point *p, struct verdict *v)
{
	struct world *w = world_new();
	const char *where = p->disk ? p->disk->dir : "/dev/shm";

	memset(v, 0, sizeof(*v));
	w->seed = p->seed;
	if (p->disk)
		disk_renew(p->disk);
	snprintf(w->dir, sizeof(w->dir), "%s/notepackfs-point-XXXXXX", where);
	if (!mkdtemp(w->dir)) {
		perror(w->dir);
		exit(2);
	}
	if (p->disk)
		sync_dir(where);
	run_fault(p, w, v);
	v->started_twice = w->started_twice;
	v->violations = w->violations;
	memcpy(v->text, w->verdict, sizeof(v->text));
	if (!v->violations || !getenv("KEEP"))
		remove_tree(w->dir);
	munmap(w, sizeof(*w));
}
