/* SPDX-License-Identifier: BSD-2-Clause */
/* L14: temporaries have names of their own, and a failed fsync is fatal to the new file only.
 */
#include "lib/replace.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "lib/bytes.h"
#include "lib/io.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

static int fail_fsync_at; /* 1: the file's, 2: the directory's; 0: none */
static int fsyncs;

int fsync(int fd)
{
	if (++fsyncs == fail_fsync_at) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}

static bool fail_close; /* of the next temporary */

int close(int fd)
{
	char link[64], path[PATH_MAX] = "";
	bool fails;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	fails = fail_close && readlink(link, path, sizeof(path) - 1) > 0 &&
		replace_is_temporary(path);
	syscall(SYS_close, fd);
	if (!fails)
		return 0;
	fail_close = false;
	errno = EIO;
	return -1;
}

static int replace(struct scratch *s, const char *path, const char *text, bool *renamed)
{
	struct iovec iov[2] = {{.iov_base = (char *)text, .iov_len = strlen(text)},
			       {.iov_base = "!", .iov_len = 1}};

	fsyncs = 0;
	return replace_file(s->fd, path, iov, 2, renamed);
}

static void check_text(struct scratch *s, const char *name, const char *want)
{
	CLEANUP_FREE char *text = NULL;
	size_t len;

	CHECK_EQ(io_read_file(s->fd, name, 1000, &text, &len), 0);
	CHECK_STR(text ? text : "", want);
}

static int temporaries(const struct scratch *s)
{
	DIR *d = opendir(s->path);
	struct dirent *e;
	int count = 0;

	while ((e = readdir(d)))
		count += replace_is_temporary(e->d_name);
	closedir(d);
	return count;
}

static void puts_the_new_content_in_place(void)
{
	struct scratch s;
	bool renamed;

	scratch_init(&s);
	CHECK_EQ(replace(&s, "f", "one", &renamed), 0);
	CHECK(renamed);
	CHECK_EQ(replace(&s, "f", "two", NULL), 0);
	check_text(&s, "f", "two!");
	CHECK_EQ(fsyncs, 2); /* the file, then the directory */
	CHECK_EQ(temporaries(&s), 0);
	CHECK_EQ(mkdirat(s.fd, "d", 0700), 0);
	CHECK_EQ(replace(&s, "d/f", "three", NULL), 0);
	check_text(&s, "d/f", "three!");
	scratch_release(&s);
}

static void a_failed_fsync_leaves_the_old_content_L14(void)
{
	struct scratch s;
	bool renamed;

	scratch_init(&s);
	CHECK_EQ(replace(&s, "f", "old", NULL), 0);
	fail_fsync_at = 1;
	CHECK_EQ(replace(&s, "f", "new", &renamed), -EIO);
	fail_fsync_at = 0;
	CHECK(!renamed);
	CHECK_EQ(fsyncs, 1); /* never a second time */
	check_text(&s, "f", "old!");
	CHECK_EQ(temporaries(&s), 0);
	scratch_release(&s);
}

/* Where a file system keeps an error for the close. */
static void a_failed_close_leaves_the_old_content(void)
{
	struct scratch s;
	bool renamed;

	scratch_init(&s);
	CHECK_EQ(replace(&s, "f", "old", NULL), 0);
	fail_close = true;
	CHECK_EQ(replace(&s, "f", "new", &renamed), -EIO);
	CHECK(!fail_close);
	CHECK(!renamed);
	check_text(&s, "f", "old!");
	CHECK_EQ(temporaries(&s), 0);
	scratch_release(&s);
}

static void a_failed_fsync_of_the_directory_is_ambiguous_L13(void)
{
	struct scratch s;
	bool renamed;

	scratch_init(&s);
	CHECK_EQ(replace(&s, "f", "old", NULL), 0);
	fail_fsync_at = 2;
	CHECK_EQ(replace(&s, "f", "new", &renamed), -EIO);
	fail_fsync_at = 0;
	CHECK(renamed);
	check_text(&s, "f", "new!");
	scratch_release(&s);
}

static void a_directory_in_the_way_changes_nothing(void)
{
	struct scratch s;

	scratch_init(&s);
	CHECK_EQ(mkdirat(s.fd, "f", 0700), 0);
	CHECK_EQ(replace(&s, "f", "new", NULL), -EISDIR);
	CHECK_EQ(temporaries(&s), 0);
	CHECK_EQ(replace(&s, "none/f", "new", NULL), -ENOENT);
	scratch_release(&s);
}

static void its_temporaries_are_known_by_name_L14(void)
{
	CHECK(replace_is_temporary("manifest.new.123.4"));
	CHECK(!replace_is_temporary("manifest"));
	CHECK(!replace_is_temporary("00000001.jsonl"));
}

static void a_file_can_be_written_bit_by_bit(void)
{
	char temporary[REPLACE_TEMPORARY_BYTES];
	bool renamed = false;
	struct scratch s;
	int fd;

	scratch_init(&s);
	scratch_put(&s, "file", "old");
	fd = replace_begin(s.fd, "file", temporary);
	CHECK(fd >= 0);
	CHECK_EQ(temporaries(&s), 1);
	CHECK_EQ(io_pwrite(fd, "w", 1, 2), 0);
	CHECK_EQ(io_pwrite(fd, "ne", 2, 0), 0);
	check_text(&s, "file", "old");
	fsyncs = 0;
	CHECK_EQ(replace_commit(s.fd, "file", temporary, fd, &renamed), 0);
	CHECK(renamed);
	CHECK_EQ(fsyncs, 2);
	check_text(&s, "file", "new");
	CHECK_EQ(temporaries(&s), 0);
	CHECK_EQ(io_pwrite(fd, "N", 1, 0), 0); /* the descriptor is still good */
	check_text(&s, "file", "New");
	close(fd);
	scratch_release(&s);
}

static void a_failed_commit_removes_the_temporary_L14(void)
{
	char temporary[REPLACE_TEMPORARY_BYTES];
	bool renamed = true;
	struct scratch s;
	int fd;

	scratch_init(&s);
	scratch_put(&s, "file", "old");
	fd = replace_begin(s.fd, "file", temporary);
	fsyncs = 0;
	fail_fsync_at = 1;
	CHECK_EQ(replace_commit(s.fd, "file", temporary, fd, &renamed), -EIO);
	fail_fsync_at = 0;
	CHECK(!renamed);
	check_text(&s, "file", "old");
	CHECK_EQ(temporaries(&s), 0);
	close(fd);
	scratch_release(&s);
}

int main(void)
{
	RUN(puts_the_new_content_in_place);
	RUN(a_failed_fsync_leaves_the_old_content_L14);
	RUN(a_failed_close_leaves_the_old_content);
	RUN(a_failed_fsync_of_the_directory_is_ambiguous_L13);
	RUN(a_directory_in_the_way_changes_nothing);
	RUN(a_file_can_be_written_bit_by_bit);
	RUN(a_failed_commit_removes_the_temporary_L14);
	RUN(its_temporaries_are_known_by_name_L14);
	return unit_done();
}
