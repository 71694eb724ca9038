/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * randread PLAIN SOURCE OBJECT READS SECONDS: compare PLAIN with SOURCE at random offsets, by
 * two descriptors: one opened at the start and kept, one opened anew from time to time, while
 * OBJECT is not there yet, and then READS times more.
 *
 * Both are asked of the filesystem, not of the page cache. Prints "before N" and "after N": the
 * reads that began before and after OBJECT was seen. Exits 1 if a read gave anything else than
 * SOURCE has, or OBJECT did not come.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define READ_MAX 200000
#define REOPEN_EVERY 16

static uint64_t random_state = 88172645463325252;

static uint64_t below(uint64_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % limit;
}

static int open_or_die(const char *path)
{
	int fd = open(path, O_RDONLY);

	if (fd < 0) {
		printf("# randread: %s: %s\n", path, strerror(errno));
		exit(1);
	}
	return fd;
}

/* One read; 0 if it gave what the source has. */
static int compare(int fd, int source, uint64_t size)
{
	static char got[READ_MAX], want[READ_MAX];
	/* The ends now and then: of the file, and of a chunk of 256 KiB. */
	uint64_t kind = below(8), len = 1 + below(READ_MAX), offset = below(size);
	ssize_t n, m;

	if (kind == 0)
		offset = size - 1 - below(size < 1000 ? size : 1000);
	else if (kind == 1 && size > 600000)
		offset = (offset & ~UINT64_C(262143)) + 262143 - below(10);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	n = pread(fd, got, len, (off_t)offset);
	m = pread(source, want, len, (off_t)offset);
	if (n == m && n >= 0 && memcmp(got, want, (size_t)n) == 0)
		return 0;
	printf("# randread: %llu bytes at %llu: %s\n", (unsigned long long)len,
	       (unsigned long long)offset,
	       n < 0	? strerror(errno)
	       : n != m ? "another length"
			: "other bytes");
	return 1;
}

int main(int argc, char **argv)
{
	unsigned long before = 0, after = 0, reads = argc == 6 ? strtoul(argv[4], NULL, 10) : 0;
	int kept, fresh, source, failures = 0;
	time_t deadline;
	struct stat st;

	if (!reads) {
		fprintf(stderr, "randread: wrong usage; see its source\n");
		return 2;
	}
	kept = open_or_die(argv[1]);
	fresh = open_or_die(argv[1]);
	source = open_or_die(argv[2]);
	deadline = time(NULL) + atol(argv[5]);
	if (fstat(source, &st) != 0 || st.st_size == 0)
		return 2;
	while (after < reads && failures < 10) {
		int there = access(argv[3], F_OK) == 0;

		if (!there && time(NULL) > deadline) {
			printf("# randread: %s does not appear\n", argv[3]);
			failures++;
			break;
		}
		if ((before + after) % REOPEN_EVERY == REOPEN_EVERY - 1) {
			close(fresh);
			fresh = open_or_die(argv[1]);
		}
		failures += compare(kept, source, (uint64_t)st.st_size);
		failures += compare(fresh, source, (uint64_t)st.st_size);
		*(there ? &after : &before) += 1;
	}
	printf("before %lu\nafter %lu\n", before, after);
	return failures > 0;
}
