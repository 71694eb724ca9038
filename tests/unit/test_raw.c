/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a raw file's own bytes begin, whatever base its mark says; whether someone writes it. */
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>

#include "lib/io.h"
#include "lib/raw.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

static struct scratch dir;
static int fd;
static uint64_t block;

/* A file of so many bytes, all of it a hole. */
static void begin(uint64_t bytes)
{
	struct stat st;

	scratch_init(&dir);
	fd = openat(dir.fd, "raw", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK_EQ(io_truncate(fd, bytes), 0);
	CHECK_EQ(io_fstat(fd, &st), 0);
	block = (uint64_t)st.st_blksize;
}

static void put(uint64_t offset, const char *data, size_t len)
{
	CHECK_EQ(io_pwrite(fd, data, len, offset), 0);
}

static uint64_t begins(uint64_t base)
{
	struct stat st;

	CHECK_EQ(io_fstat(fd, &st), 0);
	return raw_begin(fd, &st, base);
}

static void end(void)
{
	close(fd);
	scratch_release(&dir);
}

static void a_tail_begins_at_its_base(void)
{
	uint64_t far;

	begin(0);
	far = 10 * block + 21;
	put(21, "tail", 4);
	CHECK_EQ(begins(0), 0);
	CHECK_EQ(begins(21), 21);
	put(far, "tail", 4);
	CHECK_EQ(io_fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, far), 0);
	CHECK_EQ(begins(far), far);
	CHECK_EQ(begins(far + 2), far); /* never behind what is there */
	end();
}

static void zeroes_and_holes_behind_base_are_the_files(void)
{
	begin(100);
	CHECK_EQ(begins(21), 21);
	put(21, "\0\0\0\0", 4);
	CHECK_EQ(begins(21), 21);
	end();
}

static void bytes_below_base_are_not_hidden(void)
{
	begin(0);
	put(0, "\0\0bytes", 7);
	CHECK_EQ(begins(5), 0);
	CHECK_EQ(begins(UINT64_MAX), 0);
	CHECK_EQ(io_truncate(fd, 2), 0); /* zeroes, and so is all of the block of base 5 */
	CHECK_EQ(begins(5), 2);
	CHECK_EQ(begins(UINT64_MAX), 0);
	end();
}

static void what_was_to_be_punched_begins_behind_the_hole(void)
{
	begin(0);
	put(3 * block, "\0\0bytes", 7);
	put(6 * block, "more", 4);
	CHECK_EQ(begins(5 * block), 3 * block + 2);
	CHECK_EQ(begins(UINT64_MAX), 3 * block + 2);
	CHECK_EQ(begins(3 * block), 3 * block);
	end();
}

static void nothing_but_a_hole_is_hollow(void)
{
	begin(21);
	CHECK_EQ(begins(0), 0);
	CHECK_EQ(begins(20), 20);
	CHECK_EQ(begins(21), RAW_HOLLOW);
	CHECK_EQ(begins(UINT64_MAX), RAW_HOLLOW);
	CHECK_EQ(io_truncate(fd, 0), 0);
	CHECK_EQ(begins(21), 0);
	end();
}

static void where_it_cannot_be_told_all_are_bytes(void)
{
	struct stat st = {.st_size = 42, .st_blksize = 4096};

	CHECK_EQ(raw_begin(-1, &st, 21), 0);
}

/* The kernel tells who holds a lease that someone opens the file. It did so with SIGIO, which ends a
 * process. */
static void who_looks_for_writers_survives_one_that_comes(void)
{
	int status = 0;
	pid_t opener, looker;

	begin(0);
	close(fd); /* it can write */
	fd = openat(dir.fd, "raw", O_RDONLY | O_CLOEXEC);
	fflush(stdout);
	opener = fork();
	if (opener == 0) {
		for (;;)
			close(openat(dir.fd, "raw", O_RDWR | O_CLOEXEC));
	}
	looker = fork();
	if (looker == 0) {
		int met = 0;

		for (int i = 0; i < 20000; i++)
			met += raw_has_foreign_writer(dir.fd, "raw");
		_exit(met == 0); /* it was there, at times */
	}
	CHECK_EQ(waitpid(looker, &status, 0), looker);
	CHECK_EQ(status, 0);
	kill(opener, SIGKILL);
	CHECK_EQ(waitpid(opener, NULL, 0), opener);
	CHECK(!raw_has_foreign_writer(dir.fd, "raw"));
	end();
}

int main(void)
{
	RUN(a_tail_begins_at_its_base);
	RUN(zeroes_and_holes_behind_base_are_the_files);
	RUN(bytes_below_base_are_not_hidden);
	RUN(what_was_to_be_punched_begins_behind_the_hole);
	RUN(nothing_but_a_hole_is_hollow);
	RUN(where_it_cannot_be_told_all_are_bytes);
	RUN(who_looks_for_writers_survives_one_that_comes);
	return unit_done();
}
