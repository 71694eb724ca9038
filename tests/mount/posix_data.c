/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes: appends, copies, mappings, holes, locks. */
#include "posix.h"

#include <sys/file.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>

enum { APPENDERS = 4, LINES = 250 };

/* LINES lines of a length and a letter of its own. */
static void append_lines(int who)
{
	int fd = open("appended", O_WRONLY | O_APPEND);
	char line[64];
	int len = 20 + 10 * who;

	memset(line, 'a' + who, (size_t)len);
	line[len - 1] = '\n';
	for (int i = 0; fd >= 0 && i < LINES; i++) {
		if (write(fd, line, (size_t)len) != len)
			_exit(1);
	}
	_exit(fd < 0);
}

/* Is each line one letter, as long as that letter's are, and are there LINES of each? */
static bool lines_are_whole(void)
{
	FILE *in = fopen("appended", "r");
	int count[APPENDERS] = {0};
	char line[128];
	bool whole = in;

	while (whole && fgets(line, sizeof(line), in)) {
		int who = line[0] - 'a';

		whole = who >= 0 && who < APPENDERS && (int)strlen(line) == 20 + 10 * who &&
			strspn(line, (char[2]){line[0], 0}) == strlen(line) - 1;
		if (whole)
			count[who]++;
	}
	for (int i = 0; i < APPENDERS; i++)
		whole = whole && count[i] == LINES;
	if (in)
		fclose(in);
	return whole;
}

static void appends(void)
{
	pid_t child[APPENDERS];
	int failed = 0, fd;

	make(REGULAR, "appended");
	for (int i = 0; i < APPENDERS; i++) {
		child[i] = need(fork(), "fork");
		if (child[i] == 0)
			append_lines(i);
	}
	for (int i = 0; i < APPENDERS; i++)
		failed += outcome(child[i]) != 0;
	check(failed == 0, "%d processes append", APPENDERS);
	check(lines_are_whole(), "each line is there once, and whole");
	put("end", "0123");
	fd = need(open("end", O_RDWR | O_APPEND), "end");
	check(lseek(fd, 0, SEEK_SET) == 0 && write(fd, "45", 2) == 2 && holds("end", "012345"),
	      "O_APPEND writes at the end, wherever the offset is");
	check(lseek(fd, 0, SEEK_CUR) == 6, "… and moves the offset there");
	close(fd);
}

void data(void)
{
	struct iovec parts[2] = {{.iov_base = (char[]){"ab"}, .iov_len = 2},
				 {.iov_base = (char[]){"cde"}, .iov_len = 3}};
	char there[16];
	int fd, to;
	off_t from_off = 1, to_off = 0;

	appends();
	fd = need(open("file", O_RDWR | O_CREAT, 0644), "file");
	check(writev(fd, parts, 2) == 5 && holds("file", "abcde"), "writev");
	check(pread(fd, there, 16, 5) == 0 && pread(fd, there, 16, 1000) == 0,
	      "at and behind the end nothing is read");
	EXPECT(EINVAL, lseek(fd, -1, SEEK_SET), "a negative offset");
	EXPECT(EINVAL, pread(fd, there, 1, -1), "… of pread");
	to = need(open("copy", O_RDWR | O_CREAT, 0644), "copy");
	check(copy_file_range(fd, &from_off, to, &to_off, 3, 0) == 3 && holds("copy", "bcd"),
	      "copy_file_range");
	check(from_off == 4 && to_off == 3, "… moves the offsets");
	EXPECT(EBADF,
	       copy_file_range(fd, NULL, need(open("copy", O_RDONLY), "copy"), NULL, 1, 0),
	       "… not to what is open for reading");
	close(fd);
	close(to);
	fd = need(open("direct", O_RDWR | O_CREAT | O_DIRECT, 0644), "direct");
	{
		char *block = aligned_alloc(4096, 8192);

		memset(block, 'd', 8192);
		check(block && write(fd, block, 8192) == 8192 &&
			  pread(fd, block, 4096, 4096) == 4096 && block[4095] == 'd',
		      "O_DIRECT writes and reads");
		free(block);
	}
	close(fd);
}

/* ---- locks ---- */

static int try_flock(const char *path)
{
	int fd = open(path, O_RDWR);

	return fd < 0 ? -1 : flock(fd, LOCK_EX | LOCK_NB);
}

static int try_fcntl(const char *path)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10};
	int fd = open(path, O_RDWR);

	return fd < 0 ? -1 : fcntl(fd, F_SETLK, &l);
}

void locks(void)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 15, .l_len = 1};
	int fd;

	make(REGULAR, "file");
	need(chmod("file", 0666), "chmod");
	fd = need(open("file", O_RDWR), "file");
	EXPECT(0, flock(fd, LOCK_EX), "flock");
	EXPECT_AS(OTHER, EWOULDBLOCK, try_flock("file"), "another process meets it");
	need(rename("file", "renamed"), "rename");
	EXPECT_AS(OTHER, EWOULDBLOCK, try_flock("renamed"), "… under the file's new name");
	make(REGULAR, "file");
	need(chmod("file", 0666), "chmod");
	EXPECT_AS(OTHER, 0, try_flock("file"), "… not in another file of the old name");
	EXPECT(0, flock(fd, LOCK_UN), "unlock");
	EXPECT_AS(OTHER, 0, try_flock("renamed"), "then it is free");
	EXPECT(0, fcntl(fd, F_SETLK, &l), "a lock of one byte");
	EXPECT_AS(OTHER, EAGAIN, try_fcntl("renamed"), "another process meets it");
	need(rename("renamed", "again"), "rename");
	EXPECT_AS(OTHER, EAGAIN, try_fcntl("again"), "… under the file's new name");
	l.l_start = 100;
	l.l_type = F_UNLCK;
	EXPECT(0, fcntl(fd, F_SETLK, &l), "another byte is unlocked");
	EXPECT_AS(OTHER, EAGAIN, try_fcntl("again"), "… and the lock stays");
	close(fd);
	EXPECT_AS(OTHER, 0, try_fcntl("again"), "closing the file unlocks it");
}

/* ---- mappings ---- */

void mappings(void)
{
	const size_t len = 3 * 4096;
	int fd = need(open("file", O_RDWR | O_CREAT, 0644), "file");
	char *shared, *private, c = 0;

	need(ftruncate(fd, (off_t)len), "ftruncate");
	shared = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	check(shared != MAP_FAILED && private != MAP_FAILED, "shared and private mappings");
	if (shared == MAP_FAILED || private == MAP_FAILED)
		return;
	shared[4096] = 's';
	check(pread(fd, &c, 1, 4096) == 1 && c == 's', "read sees what a shared mapping wrote");
	check(private[4096] == 's', "a private one, too, until it writes");
	private[4096] = 'p';
	check(pread(fd, &c, 1, 4096) == 1 && c == 's', "what a private one writes is its own");
	check(pwrite(fd, "w", 1, 5000) == 1 && shared[5000] == 'w', "a mapping sees a write");
	EXPECT(0, msync(shared, len, MS_SYNC), "msync");
	close(fd);
	shared[8192] = 'l';
	EXPECT(0, munmap(shared, len), "munmap after the close");
	munmap(private, len);
	fd = need(open("file", O_RDONLY), "file");
	check(pread(fd, &c, 1, 8192) == 1 && c == 'l', "a write after the close is there");
	EXPECT(EACCES, mmap(NULL, len, PROT_WRITE, MAP_SHARED, fd, 0),
	       "a shared mapping for writing of a file open for reading");
	close(fd);
}

/* ---- holes ---- */

void holes(void)
{
	const off_t mib = 1 << 20;
	struct stat st;
	off_t at;
	int fd = need(open("file", O_RDWR | O_CREAT, 0644), "file");
	char c = 'x';

	check(pwrite(fd, "end", 3, 64 * mib) == 3, "a write behind a hole");
	st = stat_of("file");
	check(st.st_size == 64 * mib + 3, "the hole counts in the size");
	check(st.st_blocks * 512 < mib, "… and not in the blocks");
	check(pread(fd, &c, 1, 32 * mib) == 1 && c == 0, "it reads as zeros");
	at = lseek(fd, 0, SEEK_DATA);
	check(at >= 0 && at <= 64 * mib, "SEEK_DATA is not behind the data");
	at = lseek(fd, 64 * mib, SEEK_HOLE);
	check(at == st.st_size, "SEEK_HOLE of the last bytes is the end");
	EXPECT(ENXIO, lseek(fd, st.st_size, SEEK_DATA), "SEEK_DATA at the end");
	EXPECT(ENXIO, lseek(fd, st.st_size + 1, SEEK_HOLE), "SEEK_HOLE behind the end");
	EXPECT(0, fallocate(fd, 0, 0, mib), "fallocate");
	check(stat_of("file").st_blocks * 512 >= mib, "… takes blocks");
	check(stat_of("file").st_size == st.st_size, "… within the size");
	EXPECT(0, fallocate(fd, FALLOC_FL_KEEP_SIZE, 65 * mib, mib),
	       "fallocate behind the end");
	check(stat_of("file").st_size == st.st_size, "… keeps the size");
	EXPECT(0, fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, mib),
	       "a hole is punched");
	EXPECT(0, posix_fallocate(fd, 0, 70 * mib) ? -1 : 0, "posix_fallocate");
	check(stat_of("file").st_size == 70 * mib, "… extends the file");
	EXPECT(EINVAL, fallocate(fd, 0, 0, 0), "fallocate of nothing");
	EXPECT(EINVAL, fallocate(fd, 0, -1, 1), "fallocate at a negative offset");
	EXPECT(0, ftruncate(fd, 0), "truncated");
	check(stat_of("file").st_blocks == 0, "… it takes no blocks");
	close(fd);
}
