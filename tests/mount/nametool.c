/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nametool: the calls on names that a shell has no word for. Each prints the error as
 * strerror(3) says it, and exits 1, if it is refused.
 *
 *	rename FROM TO [noreplace|exchange|whiteout]
 *	truncate PATH BYTES	truncate(2): by path, without opening
 *	setxattr PATH
 *	pwrite PATH OFFSET TEXT	opened O_RDWR, without O_CREAT
 *	list DIR BYTES		every name but . and .., by getdents64(2) with a buffer of BYTES
 *	seek DIR COUNT COMMAND	print COUNT names, run COMMAND, seekdir(3) to where it was,
 *				print "--" and the rest
 *	mknod PATH		a regular file, by mknod(2)
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/mount/getdents.h"

static int result(long r)
{
	if (r >= 0)
		return 0;
	fprintf(stderr, "%s\n", strerror(errno));
	return 1;
}

static int do_rename(char **argv)
{
	unsigned flags = 0;

	if (argv[2] && strcmp(argv[2], "noreplace") == 0)
		flags = RENAME_NOREPLACE;
	else if (argv[2] && strcmp(argv[2], "exchange") == 0)
		flags = RENAME_EXCHANGE;
	else if (argv[2])
		flags = RENAME_WHITEOUT;
	return result(renameat2(AT_FDCWD, argv[0], AT_FDCWD, argv[1], flags));
}

static int do_truncate(char **argv)
{
	return result(truncate(argv[0], atoll(argv[1])));
}

static int do_setxattr(char **argv)
{
	return result(setxattr(argv[0], "user.test", "1", 1, 0));
}

static int do_pwrite(char **argv)
{
	int fd = open(argv[0], O_RDWR);
	int r;

	if (fd < 0)
		return result(fd);
	r = result(pwrite(fd, argv[2], strlen(argv[2]), atoll(argv[1])));
	return close(fd) == 0 ? r : result(-1);
}

static void print_name(void *ctx, const char *name)
{
	puts(name);
}

static int do_list(char **argv)
{
	int fd = open(argv[0], O_RDONLY | O_DIRECTORY);
	int r;

	if (fd < 0)
		return result(fd);
	r = result(getdents_each(fd, (size_t)atol(argv[1]), print_name, NULL));
	close(fd);
	return r;
}

static int do_seek(char **argv)
{
	DIR *d = opendir(argv[0]);
	const struct dirent *e;
	long where;

	if (!d)
		return result(-1);
	for (long count = atol(argv[1]); count > 0 && (e = readdir(d)); count--)
		puts(e->d_name);
	where = telldir(d);
	fflush(stdout);
	if (system(argv[2]) != 0)
		return 2;
	puts("--");
	seekdir(d, where);
	while ((e = readdir(d)))
		puts(e->d_name);
	return result(closedir(d));
}

static int do_mknod(char **argv)
{
	return result(mknod(argv[0], S_IFREG | 0644, 0));
}

static const struct {
	const char *name;
	int arguments;
	int (*run)(char **argv);
} commands[] = {
    {"rename", 2, do_rename}, {"truncate", 2, do_truncate}, {"setxattr", 1, do_setxattr},
    {"pwrite", 3, do_pwrite}, {"list", 2, do_list},	    {"seek", 3, do_seek},
    {"mknod", 1, do_mknod},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (argc > 1 + commands[i].arguments && strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argv + 2);
	}
	fprintf(stderr, "nametool: wrong usage; see its source\n");
	return 2;
}
