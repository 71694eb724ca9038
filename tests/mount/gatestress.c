/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gatestress FILE ROUNDS: two threads append a line to FILE, two read it and two stat it,
 * opening and closing it each time; all at once. With grace=0 each close starts a seal, the end
 * of the seal gives the raw file up, and the next append makes a new one. A reader in the gate
 * that waits for the name, and a drop with the name that waits for the gate, would hang here.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *path;
static int rounds;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void *append(void *arg)
{
	for (int i = 0; i < rounds; i++) {
		int fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0644);

		if (fd < 0 || write(fd, "line\n", 5) != 5)
			die("append");
		/* With the fsync it is sealed while it is open, and given up after the close.
		 */
		for (int k = 0; k < 4; k++) {
			if (fsync(fd) != 0)
				die("fsync");
		}
		if (close(fd) != 0)
			die("close");
	}
	return NULL;
}

static void *look(void *arg)
{
	char buf[4096];

	for (int i = 0; i < rounds; i++) {
		struct stat st;
		int fd;

		if (stat(path, &st) != 0)
			die("stat");
		if (arg)
			continue;
		fd = open(path, O_RDONLY);
		if (fd < 0 || pread(fd, buf, sizeof(buf), st.st_size / 2) < 0 || close(fd) != 0)
			die("read");
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[6];
	int fd;

	if (argc != 3)
		return 2;
	path = argv[1];
	rounds = atoi(argv[2]);
	fd = open(path, O_WRONLY | O_CREAT, 0644);
	if (fd < 0 || close(fd) != 0)
		die(path);
	for (int i = 0; i < 6; i++)
		pthread_create(&threads[i], NULL, i < 2 ? append : look, i < 4 ? NULL : "stat");
	for (int i = 0; i < 6; i++)
		pthread_join(threads[i], NULL);
	printf("# %d lines\n", 2 * rounds);
	return 0;
}
