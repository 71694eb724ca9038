/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * getdents: a directory read by getdents64(2) itself: readdir(3) chooses the size of its buffer.
 */
#ifndef NOTEPACKFS_TESTS_GETDENTS_H
#define NOTEPACKFS_TESTS_GETDENTS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct getdents_entry { /* struct linux_dirent64 */
	uint64_t ino;
	int64_t off;
	unsigned short length;
	unsigned char type;
	char name[];
};

/* Each name but . and .., from where fd stands to the end, with a buffer of that many bytes. 0, or -1
 * with errno. */
static inline int getdents_each(int fd, size_t bytes,
				void (*entry)(void *ctx, const char *name), void *ctx)
{
	char *buf = malloc(bytes);
	long n = -1;

	while (buf && (n = syscall(SYS_getdents64, fd, buf, bytes)) > 0) {
		for (long at = 0; at < n;) {
			const struct getdents_entry *e = (const void *)(buf + at);

			if (strcmp(e->name, ".") != 0 && strcmp(e->name, "..") != 0)
				entry(ctx, e->name);
			at += e->length;
		}
	}
	free(buf);
	return (int)n;
}

#endif
