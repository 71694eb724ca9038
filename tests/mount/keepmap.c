/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keepmap: a mapping that outlives its descriptor.
 *
 *	keepmap read|write FILE
 *
 * Maps FILE, shared, closes it, and says "mapped". Each line of the standard input is then, with write, what
 * the mapping begins with from now on; with read, the file into which the bytes of the mapping are copied. It is
 * answered with "done".
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int copy_out(const char *name, const char *bytes, size_t size)
{
	FILE *out = fopen(name, "w");
	bool good = out && fwrite(bytes, 1, size, out) == size;

	if (out && fclose(out) != 0)
		good = false;
	return good ? 0 : 1;
}

int main(int argc, char *argv[])
{
	bool writes = argc == 3 && strcmp(argv[1], "write") == 0;
	int fd = argc == 3 ? open(argv[2], (writes ? O_RDWR : O_RDONLY) | O_CLOEXEC) : -1;
	char line[4096], *map;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return 2;
	map = mmap(NULL, (size_t)st.st_size, writes ? PROT_READ | PROT_WRITE : PROT_READ,
		   MAP_SHARED, fd, 0);
	if (map == MAP_FAILED || close(fd) != 0)
		return 2;
	puts("mapped");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (writes)
			memcpy(map, line, strnlen(line, (size_t)st.st_size));
		else if (copy_out(line, map, (size_t)st.st_size) != 0)
			return 1;
		puts("done");
		fflush(stdout);
	}
	return 0;
}
