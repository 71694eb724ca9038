/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * posix: what POSIX says of a filesystem, call by call, checked by root in an empty directory.
 * Each group of checks is a function of no arguments in a file posix_*.c; posix.c has the
 * table. A check prints one line, "+ name" or "- name: why"; tests/mount/posix.sh makes TAP of
 * them.
 */
#ifndef NOTEPACKFS_TESTS_POSIX_H
#define NOTEPACKFS_TESTS_POSIX_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

struct user {
	uid_t uid;
	gid_t gid, also; /* also: a supplementary group, 0 for none */
};

/* OWNER has what is tested, OTHER is no one; MEMBER is in the group PROJECT, too. */
#define PROJECT 4000
extern const struct user OWNER, OTHER, MEMBER;

/* One check. */
void check(bool ok, const char *name, ...) __attribute__((format(printf, 2, 3)));
/* The same of an errno: 0 for a call that must succeed. */
void expect(int want, int got, const char *name, ...) __attribute__((format(printf, 3, 4)));

/* The call must fail with errno want, or succeed if want is 0. */
#define EXPECT(want, call, ...) expect((want), (long)(call) == -1L ? errno : 0, __VA_ARGS__)

/* The same call by a process of this user. */
#define EXPECT_AS(user, want, call, ...)                                                       \
	do {                                                                                   \
		pid_t pid_ = become(&(user));                                                  \
		if (pid_ == 0)                                                                 \
			_exit((long)(call) == -1L ? errno : 0);                                \
		expect((want), outcome(pid_), __VA_ARGS__);                                    \
	} while (0)

/* fork, and in the child (which gets 0) take this user's identity. */
pid_t become(const struct user *u);
/* Its exit status. */
int outcome(pid_t child);

/* What must work for the checks to mean anything: ends the program if r is -1. */
int need(int r, const char *what);

/* 0 or -1 with errno; the descriptor is closed again. */
int opens(const char *path, int flags, mode_t mode);
int makes(const char *path, mode_t mode); /* an empty file, O_EXCL */
void put(const char *path, const char *text);
bool holds(const char *path, const char *text);
struct stat stat_of(const char *path); /* lstat; zeros if there is nothing */
unsigned mode_of(const char *path);    /* 07777 */

/* Kinds of entries that checks go through. */
enum kind { REGULAR, DIRECTORY, SYMLINK, KINDS };
extern const char *const kind_name[KINDS];
void make(enum kind k, const char *path);
void make_for(enum kind k, const char *path, uid_t owner);
int removes(enum kind k, const char *path);

/* Wait until what changes from now on gets a later time than all before (the kernel's coarse
 * clock ticks every few milliseconds). */
void tick(void);
bool later(struct timespec a, struct timespec b); /* is a later than b? */
bool same_time(struct timespec a, struct timespec b);

/* name, for a path of n bytes; static storage, two at a time. */
const char *long_name(size_t n);

typedef void group_fn(void);
group_fn owners, modes, access_rights, set_ids, set_gid_directories, sticky_directories;
group_fn times_of_calls, times_of_parents, times_set, times_rights;
group_fn renames, rename_errors, rename_sticky, rename_times;
group_fn path_errors, long_paths, links, strange_names;
group_fn open_flags, truncation, unlinked_files, removed_directories;
group_fn data, locks, mappings, holes;
group_fn listings, link_counts, statfs_values, refused;
group_fn sealed_states, removed_sealed;

#endif
