/* SPDX-License-Identifier: BSD-2-Clause */
/* The program has its own renameat2, so that a file system without RENAME_NOREPLACE can be had.
 */
#include "lib/io.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "lib/bytes.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

static int noreplace_errno; /* what RENAME_NOREPLACE fails with; 0: it works */

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	if ((flags & RENAME_NOREPLACE) && noreplace_errno) {
		errno = noreplace_errno;
		return -1;
	}
	return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

static void check_text(struct scratch *s, const char *name, const char *want)
{
	CLEANUP_FREE char *text = NULL;
	size_t len = 0;

	CHECK_EQ(io_read_file(s->fd, name, 1000, &text, &len), 0);
	CHECK_STR(text ? text : "", want);
	CHECK_EQ(len, strlen(want));
}

static void rename_onto_free_and_taken_names(void)
{
	struct scratch s;

	scratch_init(&s);
	scratch_put(&s, "a", "old");
	scratch_put(&s, "b", "new");
	CHECK_EQ(io_rename_noreplace(s.fd, "b", s.fd, "a"), -EEXIST);
	check_text(&s, "a", "old");
	check_text(&s, "b", "new");
	CHECK_EQ(io_rename_noreplace(s.fd, "b", s.fd, "c"), 0);
	check_text(&s, "c", "new");
	CHECK(!scratch_has(&s, "b"));
	CHECK_EQ(io_rename_noreplace(s.fd, "missing", s.fd, "d"), -ENOENT);
	scratch_release(&s);
}

static void rename_noreplace_replaces_nothing(void)
{
	noreplace_errno = 0;
	rename_onto_free_and_taken_names();
}

static void rename_noreplace_does_without_the_flag_EINVAL(void)
{
	noreplace_errno = EINVAL;
	rename_onto_free_and_taken_names();
	noreplace_errno = 0;
}

static void rename_noreplace_does_without_the_system_call_ENOSYS(void)
{
	noreplace_errno = ENOSYS;
	rename_onto_free_and_taken_names();
	noreplace_errno = 0;
}

static void a_renaming_cut_between_link_and_unlink_is_resumed(void)
{
	struct scratch s;

	scratch_init(&s);
	scratch_put(&s, "a", "half");
	CHECK_EQ(linkat(s.fd, "a", s.fd, "b", 0), 0);
	CHECK(io_same_file(s.fd, "a", s.fd, "b"));
	CHECK_EQ(io_rename_noreplace(s.fd, "a", s.fd, "b"), -EEXIST);
	CHECK_EQ(io_rename_resume(s.fd, "a", s.fd, "b"), 0);
	CHECK(!scratch_has(&s, "a"));
	check_text(&s, "b", "half");

	scratch_put(&s, "c", "half"); /* the same bytes are not the same file */
	CHECK(!io_same_file(s.fd, "b", s.fd, "c"));
	CHECK(!io_same_file(s.fd, "b", s.fd, "missing"));
	CHECK_EQ(io_rename_resume(s.fd, "b", s.fd, "c"), -EEXIST);
	CHECK(scratch_has(&s, "b") && scratch_has(&s, "c"));
	CHECK_EQ(io_rename_resume(s.fd, "b", s.fd, "d"), 0);
	CHECK(!scratch_has(&s, "b"));
	check_text(&s, "d", "half");

	/* Named bug: it was removed (mv a a.notepack renames no object). */
	CHECK_EQ(io_rename_resume(s.fd, "d", s.fd, "d"), 0);
	check_text(&s, "d", "half");
	scratch_release(&s);
}

static void other_errors_of_a_rename_are_forwarded(void)
{
	struct scratch s;

	scratch_init(&s);
	scratch_put(&s, "a", "x");
	noreplace_errno = EIO;
	CHECK_EQ(io_rename_noreplace(s.fd, "a", s.fd, "b"), -EIO);
	noreplace_errno = 0;
	CHECK(scratch_has(&s, "a") && !scratch_has(&s, "b"));
	scratch_release(&s);
}

static void paths_cannot_leave_the_directory(void)
{
	struct scratch s;

	scratch_init(&s);
	CHECK_EQ(symlinkat("/etc/passwd", s.fd, "out"), 0);
	CHECK_EQ(symlinkat("inside", s.fd, "in"), 0);
	scratch_put(&s, "inside", "x");
	CHECK_EQ(io_open(s.fd, "../x", O_RDONLY, 0), -EXDEV);
	CHECK_EQ(io_open(s.fd, "/etc/passwd", O_RDONLY, 0), -EXDEV);
	CHECK_EQ(io_open(s.fd, "out", O_RDONLY, 0), -ELOOP);
	CHECK_EQ(io_open(s.fd, "in", O_RDONLY, 0), -ELOOP);
	CHECK_EQ(io_open(s.fd, "none", O_RDONLY, 0), -ENOENT);
	scratch_release(&s);
}

static void reads_stop_only_at_the_end(void)
{
	struct scratch s;
	char buf[16];

	scratch_init(&s);
	scratch_put(&s, "a", "0123456789");
	CLEANUP_FD int fd = io_open(s.fd, "a", O_RDWR, 0);

	CHECK_EQ(io_pread(fd, buf, 4, 2), 4);
	CHECK(memcmp(buf, "2345", 4) == 0);
	CHECK_EQ(io_pread(fd, buf, sizeof(buf), 7), 3);
	CHECK_EQ(io_pread(fd, buf, sizeof(buf), 70), 0);
	CHECK_EQ(io_pwrite(fd, "ab", 2, 9), 0);
	CHECK_EQ(io_write(fd, "XY", 2), 0);
	check_text(&s, "a", "XY2345678ab");
	CHECK_EQ(io_truncate(fd, 3), 0);
	check_text(&s, "a", "XY2");
	CHECK_EQ(io_pread(-1, buf, 1, 0), -EBADF);
	CHECK_EQ(io_fsync(fd), 0);
	CHECK_EQ(io_syncdir(s.fd, "."), 0);
	CHECK_EQ(io_syncdir(s.fd, "none"), -ENOENT);
	scratch_release(&s);
}

static void whole_files_have_a_limit(void)
{
	struct scratch s;
	char *text = NULL;
	size_t len;

	scratch_init(&s);
	scratch_put(&s, "a", "0123456789");
	CHECK_EQ(io_read_file(s.fd, "a", 9, &text, &len), -EFBIG);
	CHECK_EQ(io_read_file(s.fd, ".", 9, &text, &len), -EINVAL);
	CHECK_EQ(io_read_file(s.fd, "b", 9, &text, &len), -ENOENT);
	check_text(&s, "a", "0123456789");
	scratch_release(&s);
}

static void a_buffer_is_read_into_again(void)
{
	CLEANUP_FREE char *text = NULL;
	size_t size = 0, len = 0;
	struct scratch s;
	const char *first;

	scratch_init(&s);
	scratch_put(&s, "large", "0123456789");
	scratch_put(&s, "small", "abc");
	scratch_put(&s, "fits", "9876543210");
	scratch_put(&s, "larger", "0123456789x");
	CHECK_EQ(io_read_file_into(s.fd, "large", 100, &text, &size, &len), 0);
	CHECK(size == 11 && len == 10 && strcmp(text, "0123456789") == 0);
	first = text;
	CHECK_EQ(io_read_file_into(s.fd, "small", 100, &text, &size, &len), 0);
	CHECK(text == first && size == 11 && len == 3 && strcmp(text, "abc") == 0);
	CHECK_EQ(io_read_file_into(s.fd, "fits", 100, &text, &size, &len), 0);
	CHECK(text == first && size == 11 && len == 10 && strcmp(text, "9876543210") == 0);
	CHECK_EQ(io_read_file_into(s.fd, "missing", 100, &text, &size, &len), -ENOENT);
	CHECK_EQ(io_read_file_into(s.fd, "larger", 10, &text, &size, &len), -EFBIG);
	CHECK(text == first && size == 11);
	CHECK_EQ(io_read_file_into(s.fd, "larger", 11, &text, &size, &len), 0);
	CHECK(size == 12 && len == 11 && strcmp(text, "0123456789x") == 0);
	scratch_release(&s);
}

static void full_devices_say_so(void)
{
	CLEANUP_FD int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	CHECK_EQ(io_write(fd, "x", 1), -ENOSPC);
	CHECK_EQ(io_pwrite(fd, "x", 1, 0), -ENOSPC);
}

static void a_file_in_memory_has_no_name(void)
{
	CLEANUP_FD int fd = io_memory_file();
	struct stat st;
	char byte;

	CHECK_EQ(io_pwrite(fd, "x", 1, 1000), 0);
	CHECK_EQ(io_pread(fd, &byte, 1, 1000), 1);
	CHECK_EQ(byte, 'x');
	CHECK_EQ(io_fstat(fd, &st), 0);
	CHECK_EQ(st.st_nlink, 0);
	CHECK_EQ(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

int main(void)
{
	RUN(rename_noreplace_replaces_nothing);
	RUN(rename_noreplace_does_without_the_flag_EINVAL);
	RUN(rename_noreplace_does_without_the_system_call_ENOSYS);
	RUN(a_renaming_cut_between_link_and_unlink_is_resumed);
	RUN(other_errors_of_a_rename_are_forwarded);
	RUN(paths_cannot_leave_the_directory);
	RUN(reads_stop_only_at_the_end);
	RUN(whole_files_have_a_limit);
	RUN(a_buffer_is_read_into_again);
	RUN(full_devices_say_so);
	RUN(a_file_in_memory_has_no_name);
	return unit_done();
}
