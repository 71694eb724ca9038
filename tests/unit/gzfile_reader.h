/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gzfile_reader: a reader for a file of gzfile_kit, and reads that are compared.
 */
#ifndef NOTEPACKFS_TESTS_GZFILE_READER_H
#define NOTEPACKFS_TESTS_GZFILE_READER_H

#include <dirent.h>

#include "tests/unit/gzfile_kit.h"
#include "tests/unit/scratch.h"

/* A reader for fd, which it takes over; its index is "index" in index_dirfd. */
static inline struct gzfile_reader *open_fd(int fd, const struct gzfile_facts *facts,
					    int index_dirfd)
{
	struct gzfile_reader *r = NULL;
	const char *reason;

	CHECK_EQ(gzfile_open(fd, facts, index_dirfd, "index", &r, &reason), 0);
	CHECK(reason == NULL);
	return r;
}

static inline struct gzfile_reader *open_gz(const struct gz *gz,
					    const struct gzfile_facts *facts, int index_dirfd)
{
	return open_fd(gz_file(gz), facts, index_dirfd);
}

static inline void check_read(struct gzfile_reader *r, const uint8_t *raw, size_t len,
			      size_t pos, size_t want)
{
	CLEANUP_FREE uint8_t *buf = malloc(want);
	ssize_t n = gzfile_read(r, buf, want, pos, NULL);

	CHECK_EQ(n, MIN(want, len - pos));
	CHECK(n > 0 && memcmp(buf, raw + pos, (size_t)n) == 0);
}

static inline void check_whole(struct gzfile_reader *r, const uint8_t *raw, size_t len)
{
	for (size_t pos = 0; pos < len; pos += 128 * KIB)
		check_read(r, raw, len, pos, 128 * KIB);
}

/* How many files are in the directory. */
static inline int entries(const struct scratch *s)
{
	DIR *d = opendir(s->path);
	struct dirent *e;
	int count = 0;

	while ((e = readdir(d)))
		count += e->d_name[0] != '.';
	closedir(d);
	return count;
}

#endif
