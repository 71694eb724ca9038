/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gzfile_reader: readers for files of gzfile_kit, and reads that are compared.
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

/* A file of some pieces, with what is known of it, and a place for its index. */
struct subject {
	struct gz gz;
	uint8_t *raw;
	size_t len;
	struct gzfile_facts facts;
	struct scratch dir;
	int fd;
};

static inline void subject_init(struct subject *s, size_t len, const struct member *m,
				void (*sample)(uint8_t *, size_t, uint64_t))
{
	*s = (struct subject){.len = len, .raw = malloc(len)};
	scratch_init(&s->dir);
	sample(s->raw, len, len);
	gz_member(&s->gz, s->raw, len, m);
	s->facts = gz_facts(&s->gz, s->raw, len);
	s->fd = gz_file(&s->gz);
}

static inline void subject_release(struct subject *s)
{
	close(s->fd);
	gz_release(&s->gz);
	free(s->raw);
	scratch_release(&s->dir);
}

static inline struct gzfile_reader *subject_open(struct subject *s)
{
	return open_fd(dup(s->fd), &s->facts, s->dir.fd);
}

/* A byte of each piece, the last piece first: the stream can never go on, so each needs its
 * window. */
static inline void check_every_piece(struct gzfile_reader *r, const struct subject *s)
{
	for (size_t piece = (s->len + MIB - 1) / MIB; piece-- > 0;)
		check_read(r, s->raw, s->len, piece * MIB, 1000);
}

/* How many indexes does a reader make that needs all of it? All it reads must be right. */
static inline uint64_t indexes_made(struct subject *s)
{
	struct gzfile_reader *r = subject_open(s);
	struct gzfile_counts counts;

	check_every_piece(r, s);
	gzfile_counts(r, &counts);
	gzfile_close(r);
	return counts.indexes_made;
}

#endif
