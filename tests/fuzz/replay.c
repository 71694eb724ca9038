/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replay PATH…: run a target on the files given, and on those in the directories given, once each,
 * as libFuzzer would. TAP on stdout. A file that breaks the target ends the process; the line
 * before says which it was.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "lib/io.h"
#include "tests/fuzz/fuzz.h"

#define FILE_BYTES_MAX ((size_t)1 << 20)

static unsigned count;

static int replay_file(const char *path, const char *name)
{
	CLEANUP_FREE char *text = NULL;
	CLEANUP_FREE uint8_t *data = NULL;
	const char *base = strrchr(path, '/');
	char dir[PATH_MAX];
	size_t len;
	int fd, err;

	snprintf(dir, sizeof(dir), "%.*s", base ? (int)(base - path) : 1, base ? path : ".");
	fd = open(*dir ? dir : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	err = fd < 0 ? -errno
		     : io_read_file(fd, base ? base + 1 : path, FILE_BYTES_MAX, &text, &len);
	if (fd >= 0)
		close(fd);
	if (err) {
		printf("not ok %u - %s: %s\n", ++count, name, strerror(-err));
		return 1;
	}
	printf("# %s\n", name);
	fflush(stdout);
	data = fuzz_copy(text, len);
	(void)LLVMFuzzerTestOneInput(data, len);
	printf("ok %u - %s\n", ++count, name);
	return 0;
}

static int replay_directory(const char *path)
{
	struct dirent **list;
	int n = scandir(path, &list, NULL, alphasort), failed = 0;

	if (n < 0) {
		printf("not ok %u - %s: %s\n", ++count, path, strerror(errno));
		return 1;
	}
	for (int i = 0; i < n; i++) {
		char file[PATH_MAX];

		snprintf(file, sizeof(file), "%s/%s", path, list[i]->d_name);
		if (list[i]->d_name[0] != '.')
			failed |= replay_file(file, list[i]->d_name);
		free(list[i]);
	}
	free(list);
	return failed;
}

int main(int argc, char **argv)
{
	int failed = 0;

	for (int i = 1; i < argc; i++) {
		struct stat st;

		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
			failed |= replay_directory(argv[i]);
		else
			failed |= replay_file(argv[i], argv[i]);
	}
	if (count == 0)
		printf("not ok %u - there is something to replay\n", ++count);
	printf("1..%u\n", count);
	return failed;
}
