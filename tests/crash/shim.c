/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/crash/shim_impl.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef long real_syscall(long number, ...);

static real_syscall *kernel;
struct shim_state *shim_armed;
static void (*armed_hook)(void);
__thread int shim_paused;
atomic_bool shim_sync_failed[SHIM_FDS];
static const char *log_path;

#define SHIM_PATH 60
#define MUTATING SHIM_CHANGE
#define ALLOCATING (SHIM_WRITE | SHIM_SYNC | SHIM_NAME | SHIM_SIZE | SHIM_XATTR)

static const struct shim_mode modes[] = {
    {"kill", SHIM_KILL, false, 0, MUTATING},
    {"killafter", SHIM_KILL, true, 0, MUTATING},
    {"EIO", SHIM_ERROR, false, EIO, MUTATING | SHIM_CLOSE | SHIM_READ | SHIM_STAT},
    {"lost", SHIM_ERROR, true, EIO, MUTATING},
    {"ENOSPC", SHIM_ERROR, false, ENOSPC, ALLOCATING},
    {"EINTR", SHIM_ERROR, false, EINTR, MUTATING | SHIM_CLOSE | SHIM_READ},
    {"short", SHIM_SHORT, false, 0, SHIM_WRITE | SHIM_READ},
    {"ENOMEM", SHIM_ERROR, false, ENOMEM, SHIM_MEMORY},
    {"EMFILE", SHIM_ERROR, false, EMFILE, SHIM_OPEN},
    {"EAGAIN", SHIM_ERROR, false, EAGAIN, SHIM_THREAD},
    {"power", SHIM_HOOK, false, 0, MUTATING},
    {"powerafter", SHIM_HOOK, true, 0, MUTATING},
    {"sync", SHIM_HOOK, true, 0, SHIM_SYNC},
    {"ack", SHIM_HOOK, false, 0, SHIM_ACK},
    {"device", SHIM_DEVICE, false, 0, SHIM_SYNC},
    {"count", SHIM_PASS, false, 0, MUTATING},
};

static const struct {
	const char *name;
	unsigned bit;
} class_names[] = {
    {"write", SHIM_WRITE},   {"sync", SHIM_SYNC},     {"name", SHIM_NAME},
    {"remove", SHIM_REMOVE}, {"size", SHIM_SIZE},     {"meta", SHIM_META},
    {"xattr", SHIM_XATTR},   {"close", SHIM_CLOSE},   {"read", SHIM_READ},
    {"stat", SHIM_STAT},     {"open", SHIM_OPEN},     {"thread", SHIM_THREAD},
    {"memory", SHIM_MEMORY}, {"change", SHIM_CHANGE},
};

const struct shim_mode *shim_mode_find(const char *name)
{
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		if (strcmp(modes[i].name, name) == 0)
			return &modes[i];
	}
	return NULL;
}

unsigned shim_classes_find(const char *names)
{
	unsigned classes = 0;

	while (*names) {
		size_t len = strcspn(names, ","), i = 0,
		       n = sizeof(class_names) / sizeof(*class_names);

		while (i < n && (strlen(class_names[i].name) != len ||
				 strncmp(class_names[i].name, names, len) != 0))
			i++;
		if (i == n)
			return 0;
		classes |= class_names[i].bit;
		names += len + (names[len] == ',');
	}
	return classes;
}

long shim_sys(long number, long a, long b, long c, long d, long e, long f)
{
	if (!kernel)
		*(void **)&kernel = dlsym(RTLD_NEXT, "syscall");
	return kernel(number, a, b, c, d, e, f);
}

void shim_arm(struct shim_state *state, void (*hook)(void))
{
	armed_hook = hook;
	for (int i = 0; i < SHIM_FDS; i++)
		atomic_store(&shim_sync_failed[i], false);
	shim_armed = state;
}

void shim_pause(void)
{
	shim_paused++;
}

void shim_resume(void)
{
	shim_paused--;
}

/* ---- the turn of one call ---- */

/* Opened each time: a daemon closes what it has inherited. */
static void note(const char *line, size_t len)
{
	long fd;

	if (!log_path)
		return;
	fd = shim_sys(SYS_openat, AT_FDCWD, (long)log_path,
		      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600, 0, 0);
	if (fd >= 0) {
		shim_sys(SYS_write, fd, (long)line, (long)len, 0, 0, 0);
		shim_sys(SYS_close, fd, 0, 0, 0, 0, 0);
	}
}

static void note_injected(struct shim_state *st, long number, const char *call, int fd,
			  const char *what)
{
	char line[2 * SHIM_WHAT], path[512], link[32];
	int n;

	shim_paused++;
	if (!what) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = (int)shim_sys(SYS_readlink, (long)link, (long)path, sizeof(path) - 1, 0, 0,
				  0);
		path[n > 0 ? n : 0] = '\0';
		what = path;
	}
	if (strlen(what) > SHIM_PATH) /* its end says more */
		what += strlen(what) - SHIM_PATH;
	if (atomic_fetch_add(&st->injected, 1) == 0)
		snprintf(st->what, sizeof(st->what), "%.20s %.70s", call, what);
	n = snprintf(line, sizeof(line), "injected %ld %s %s\n", number, call, what);
	note(line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
	shim_paused--;
}

static void die(struct shim_state *st)
{
	atomic_store(&st->dead, true);
	if (st->mode.action == SHIM_HOOK && armed_hook)
		armed_hook();
	shim_sys(SYS_kill, shim_sys(SYS_getpid, 0, 0, 0, 0, 0, 0), SIGKILL, 0, 0, 0, 0);
	for (;;)
		shim_sys(SYS_pause, 0, 0, 0, 0, 0, 0);
}

struct shim_turn shim_begin(unsigned classes, const char *call, int fd, const char *what)
{
	struct shim_state *st = shim_armed;
	struct shim_turn t = {.hit = false};
	long number;

	if (!st || shim_paused || !(classes & st->mode.classes))
		return t;
	while (atomic_load(&st->dead) &&
	       (st->mode.action == SHIM_KILL || st->mode.action == SHIM_HOOK))
		shim_sys(SYS_pause, 0, 0, 0, 0, 0, 0);
	number = atomic_fetch_add(&st->count, 1) + 1;
	if (st->mode.action == SHIM_DEVICE && st->at &&
	    (number == st->at || number == st->at + st->span)) {
		shim_paused++;
		armed_hook();
		shim_paused--;
	}
	if (st->mode.action == SHIM_DEVICE || !st->at || number < st->at ||
	    number >= st->at + st->span)
		return t;
	t = (struct shim_turn){true, st->mode.action, st->mode.after, st->mode.err};
	note_injected(st, number, call, fd, what);
	if (!t.after && (t.action == SHIM_KILL || t.action == SHIM_HOOK))
		die(st);
	return t;
}

void shim_has_failed(const char *call, int fd)
{
	struct shim_state *st = shim_armed;
	int saved = errno;

	if (st && !shim_paused && st->mode.action == SHIM_DEVICE)
		note_injected(st, atomic_load(&st->count), call, fd, NULL);
	errno = saved;
}

bool shim_fails(const struct shim_turn *t)
{
	if (!t->hit || t->after || t->action != SHIM_ERROR)
		return false;
	errno = t->err;
	return true;
}

long shim_end(const struct shim_turn *t, long result)
{
	if (!t->hit || !t->after)
		return result;
	if (t->action == SHIM_KILL || t->action == SHIM_HOOK)
		die(shim_armed);
	if (t->action == SHIM_ERROR && result >= 0) {
		errno = t->err;
		return -1;
	}
	return result;
}

bool shim_counts(int fd)
{
	int saved = errno;
	struct stat st;
	bool yes;

	if (!shim_armed || shim_paused || fd < 0 || fd == STDOUT_FILENO || fd == STDERR_FILENO)
		return false;
	yes = shim_sys(SYS_newfstatat, fd, (long)"", (long)&st, AT_EMPTY_PATH, 0, 0) == 0 &&
	      (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
	errno = saved;
	return yes;
}

bool shim_path_counts(const char *path)
{
	return shim_armed && !shim_paused && strncmp(path, "/proc", 5) != 0 &&
	       strncmp(path, "/dev/", 5) != 0 && strncmp(path, "/sys/", 5) != 0;
}

void shim_acknowledged(const char *name)
{
	(void)shim_begin(SHIM_ACK, "acknowledged", -1, name);
}

/* ---- LD_PRELOAD ---- */

static struct shim_state from_environment;

__attribute__((constructor)) static void arm_from_environment(void)
{
	const char *mode = getenv("FI_MODE"), *at = getenv("FI_AT"), *span = getenv("FI_SPAN");
	const char *classes = getenv("FI_CLASS"), *log = getenv("FI_LOG");
	const struct shim_mode *found = mode ? shim_mode_find(mode) : NULL;
	struct shim_state *st = &from_environment;

	if (!mode)
		return;
	if (!found || (classes && !shim_classes_find(classes))) {
		fprintf(stderr, "shim: FI_MODE or FI_CLASS is not known\n");
		_exit(2);
	}
	st->mode = *found;
	if (classes)
		st->mode.classes = shim_classes_find(classes);
	st->at = at ? atol(at) : 0;
	st->span = span ? atol(span) : 1;
	log_path = log;
	shim_arm(st, NULL);
}

__attribute__((destructor)) static void report_total(void)
{
	char line[96];
	int n;

	if (shim_armed != &from_environment)
		return;
	shim_arm(NULL, NULL);
	n = snprintf(line, sizeof(line), "total %ld\nagain %d\n",
		     atomic_load(&from_environment.count),
		     atomic_load(&from_environment.again));
	note(line, (size_t)n);
}
