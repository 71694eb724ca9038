/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmapwriter FILE BYTES [sync]: makes the file, maps it shared, closes it, and writes through
 * the mapping. Its pages reach the filesystem after the close (FLUSH), before the mapping ends
 * (RELEASE). With sync each page is followed by msync.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096

static int fill(char *map, size_t size, int sync)
{
	for (size_t at = 0; at < size; at += PAGE) {
		size_t part = size - at < PAGE ? size - at : PAGE;

		for (size_t i = 0; i < part; i++)
			map[at + i] = (char)('a' + (at / PAGE + i) % 26);
		if (sync && msync(map + at, part, MS_SYNC) < 0)
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	size_t size;
	char *map;
	int fd;

	if (argc != 3 && (argc != 4 || strcmp(argv[3], "sync") != 0)) {
		fprintf(stderr, "usage: mmapwriter FILE BYTES [sync]\n");
		return 2;
	}
	size = strtoul(argv[2], NULL, 10);
	fd = open(argv[1], O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0) {
		perror(argv[1]);
		return 1;
	}
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED || close(fd) < 0 || fill(map, size, argc == 4) < 0 ||
	    munmap(map, size) < 0) {
		perror(argv[1]);
		return 1;
	}
	return 0;
}
