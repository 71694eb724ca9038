/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * posix DIR [GROUP…]: run the groups named (without names all that need no sealed file), each
 * in a directory of its own in DIR. Exit 0 if all was checked, whatever the checks found.
 */
#include "posix.h"

#include <grp.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <time.h>

const struct user OWNER = {3001, 3001, 0};
const struct user OTHER = {3002, 3002, 0};
const struct user MEMBER = {3003, 3003, PROJECT};
const char *const kind_name[KINDS] = {"a file", "a directory", "a link"};

static const struct {
	const char *name;
	group_fn *run;
	bool by_name_only;
} groups[] = {
    {"owners", owners, false},
    {"modes", modes, false},
    {"access_rights", access_rights, false},
    {"set_ids", set_ids, false},
    {"set_gid_directories", set_gid_directories, false},
    {"sticky_directories", sticky_directories, false},
    {"times_of_calls", times_of_calls, false},
    {"times_of_parents", times_of_parents, false},
    {"times_set", times_set, false},
    {"times_rights", times_rights, false},
    {"renames", renames, false},
    {"rename_errors", rename_errors, false},
    {"rename_sticky", rename_sticky, false},
    {"rename_times", rename_times, false},
    {"path_errors", path_errors, false},
    {"long_paths", long_paths, false},
    {"links", links, false},
    {"strange_names", strange_names, false},
    {"open_flags", open_flags, false},
    {"truncation", truncation, false},
    {"unlinked_files", unlinked_files, false},
    {"removed_directories", removed_directories, false},
    {"data", data, false},
    {"locks", locks, false},
    {"mappings", mappings, false},
    {"holes", holes, false},
    {"listings", listings, false},
    {"link_counts", link_counts, false},
    {"statfs_values", statfs_values, false},
    {"refused", refused, false},
    {"sealed_states", sealed_states, true},
    {"removed_sealed", removed_sealed, true},
};
#define GROUPS (sizeof(groups) / sizeof(groups[0]))

static const char *group;

__attribute__((format(printf, 3, 0))) static void report(bool ok, const char *why,
							 const char *name, va_list ap)
{
	printf("%c %s: ", ok ? '+' : '-', group);
	vprintf(name, ap);
	printf(ok ? "\n" : " (%s)\n", why);
	fflush(stdout);
}

void check(bool ok, const char *name, ...)
{
	va_list ap;

	va_start(ap, name);
	report(ok, "not so", name, ap);
	va_end(ap);
}

void expect(int want, int got, const char *name, ...)
{
	char why[128];
	va_list ap;

	snprintf(why, sizeof(why), "%s instead of %s", got ? strerrorname_np(got) : "success",
		 want ? strerrorname_np(want) : "success");
	va_start(ap, name);
	report(want == got, why, name, ap);
	va_end(ap);
}

int need(int r, const char *what)
{
	if (r < 0) {
		printf("- %s: %s: %s\n", group, what, strerror(errno));
		exit(1);
	}
	return r;
}

pid_t become(const struct user *u)
{
	pid_t pid = need(fork(), "fork");
	gid_t list[2] = {u->gid, u->also};

	if (pid == 0 && (setgroups(u->also ? 2 : 1, list) != 0 || setgid(u->gid) != 0 ||
			 setuid(u->uid) != 0))
		_exit(255);
	return pid;
}

int outcome(pid_t child)
{
	int status = 0;

	need(waitpid(child, &status, 0), "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

int opens(const char *path, int flags, mode_t mode)
{
	int fd = open(path, flags, mode);

	return fd < 0 ? -1 : close(fd);
}

int makes(const char *path, mode_t mode)
{
	return opens(path, O_WRONLY | O_CREAT | O_EXCL, mode);
}

void put(const char *path, const char *text)
{
	int fd = need(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644), path);

	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		need(-1, path);
	close(fd);
}

bool holds(const char *path, const char *text)
{
	char there[4096];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, there, sizeof(there));

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)strlen(text) && memcmp(there, text, (size_t)n) == 0;
}

struct stat stat_of(const char *path)
{
	struct stat st = {0};

	if (lstat(path, &st) != 0)
		memset(&st, 0, sizeof(st));
	return st;
}

unsigned mode_of(const char *path)
{
	return stat_of(path).st_mode & 07777;
}

void make(enum kind k, const char *path)
{
	need(k == REGULAR     ? makes(path, 0644)
	     : k == DIRECTORY ? mkdir(path, 0755)
			      : symlink("target", path),
	     path);
}

void make_for(enum kind k, const char *path, uid_t owner)
{
	make(k, path);
	need(lchown(path, owner, owner), "lchown");
}

int removes(enum kind k, const char *path)
{
	return k == DIRECTORY ? rmdir(path) : unlink(path);
}

void tick(void)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	struct timespec then, now;

	clock_gettime(CLOCK_REALTIME, &then);
	do {
		nanosleep(&pause, NULL);
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	} while (!later(now, then));
}

bool later(struct timespec a, struct timespec b)
{
	return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

const char *long_name(size_t n)
{
	static char names[2][4096 + 256];
	static int which;
	char *name = names[which ^= 1];

	memset(name, 'n', n);
	name[n] = '\0';
	return name;
}

static bool is_wanted(size_t i, int argc, char **argv)
{
	for (int a = 2; a < argc; a++) {
		if (strcmp(argv[a], groups[i].name) == 0)
			return true;
	}
	return argc == 2 && !groups[i].by_name_only;
}

int main(int argc, char **argv)
{
	if (argc < 2 || getuid() != 0) {
		fprintf(stderr, "usage, as root: posix DIR [GROUP…]\n");
		return 2;
	}
	umask(0);
	for (size_t i = 0; i < GROUPS; i++) {
		if (!is_wanted(i, argc, argv))
			continue;
		group = groups[i].name;
		need(chdir(argv[1]), argv[1]);
		need(mkdir(group, 0777), group);
		need(chdir(group), group);
		groups[i].run();
	}
	return 0;
}
