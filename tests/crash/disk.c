/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/crash/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHUTDOWN _IOR('X', 125, uint32_t)
#define SHUTDOWN_NOLOGFLUSH 2
#define SMALL_BYTES ((off_t)64 << 20)  /* ext4 */
#define LARGE_BYTES ((off_t)320 << 20) /* as small as mkfs.xfs makes one */
#define HOST_BYTES ((off_t)2 << 30)

static void die(const char *what, const char *name)
{
	printf("# disk: %s: %s: %s\n", what, name, strerror(errno));
	exit(2);
}

/* Run a program of the system's; its first line of output into line (may be NULL). */
static void run(const char *const argv[], char *line, size_t size)
{
	char rest[256];
	int out[2], status;
	ssize_t n;
	pid_t pid = -1;

	if (pipe(out) != 0 || (pid = fork()) < 0)
		die("fork", argv[0]);
	if (pid == 0) {
		dup2(out[1], STDOUT_FILENO);
		close(out[0]);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(out[1]);
	n = line ? read(out[0], line, size - 1) : 0;
	while (read(out[0], rest, sizeof(rest)) > 0) /* whatever else it says */
		;
	close(out[0]);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		errno = EIO;
		die("failed", argv[0]);
	}
	if (line) {
		line[n > 0 ? n : 0] = '\0';
		line[strcspn(line, "\n")] = '\0';
	}
}

static void attach(const char *image, char *loop, size_t size)
{
	const char *const argv[] = {"losetup", "-f", "--show", image, NULL};

	run(argv, loop, size);
}

static void detach(const char *loop)
{
	const char *const argv[] = {"losetup", "-d", loop, NULL};

	run(argv, NULL, 0);
}

static void make_file(const char *path, off_t bytes)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, bytes) != 0)
		die("making", path);
	close(fd);
}

static void make_fs(const char *kind, const char *image)
{
	const char *const ext4[] = {"mkfs.ext4", "-q", "-F", image, NULL};
	const char *const xfs[] = {"mkfs.xfs", "-q", "-m", "reflink=1", image, NULL};
	const char *const btrfs[] = {"mkfs.btrfs", "-q", image, NULL};

	run(strcmp(kind, "xfs") == 0	 ? xfs
	    : strcmp(kind, "btrfs") == 0 ? btrfs
					 : ext4,
	    NULL, 0);
}

/* The loop device ends with the mount. */
static void mount_fs(const char *kind, const char *image, const char *dir)
{
	bool noauto = strcmp(kind, "noauto") == 0;
	char loop[32];

	attach(image, loop, sizeof(loop));
	if (mount(loop, dir, noauto ? "ext4" : kind, 0, noauto ? "noauto_da_alloc" : NULL) != 0)
		die("mounting", dir);
	detach(loop);
}

/* A process that was killed may take a moment to let go. */
static void umount_fs(const char *dir)
{
	struct timespec pause = {.tv_nsec = 2000000};

	for (int i = 0; umount2(dir, 0) != 0; i++) {
		if (errno != EBUSY || i == 5000)
			die("unmounting", dir);
		nanosleep(&pause, NULL);
	}
}

static bool is_btrfs(const struct disk *d)
{
	return strcmp(d->kind, "btrfs") == 0;
}

/* Whatever becomes of this program, no mount is left. */
static void leave_mounts(void)
{
	static bool left;

	if (!left &&
	    (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)))
		die("a mount namespace", "/");
	left = true;
}

void disk_open(struct disk *d, const char *kind)
{
	char host_image[96];

	leave_mounts();
	*d = (struct disk){.kind = kind};
	snprintf(d->base, sizeof(d->base), "/dev/shm/notepackfs-disk-XXXXXX");
	if (!mkdtemp(d->base))
		die("making", d->base);
	snprintf(d->dir, sizeof(d->dir), "%s/mnt", d->base);
	snprintf(d->image, sizeof(d->image), "%s/image", d->base);
	if (mkdir(d->dir, 0700) != 0)
		die("making", d->dir);
	if (is_btrfs(d)) {
		snprintf(host_image, sizeof(host_image), "%s/host.image", d->base);
		snprintf(d->host, sizeof(d->host), "%s/host", d->base);
		snprintf(d->image, sizeof(d->image), "%s/host/image", d->base);
		if (mkdir(d->host, 0700) != 0)
			die("making", d->host);
		make_file(host_image, HOST_BYTES);
		make_fs("xfs", host_image);
		mount_fs("xfs", host_image, d->host);
	}
	make_file(d->image, strncmp(kind, "ext4", 4) && strcmp(kind, "noauto") ? LARGE_BYTES
									       : SMALL_BYTES);
	make_fs(kind, d->image);
	mount_fs(kind, d->image, d->dir);
}

static void remove_path(const char *format, const struct disk *d)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", d->base, format);
	remove(path);
}

void disk_close(struct disk *d)
{
	umount_fs(d->dir);
	if (d->host[0]) {
		umount_fs(d->host);
		remove_path("host", d);
		remove_path("host.image", d);
	}
	remove_path("image", d);
	remove_path("mnt", d);
	remove(d->base);
}

static void clone_image(const struct disk *d)
{
	char path[128];
	int from = open(d->image, O_RDONLY | O_CLOEXEC), to;

	snprintf(path, sizeof(path), "%s.cut", d->image);
	to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (from < 0 || to < 0 || ioctl(to, FICLONE, from) != 0)
		die("cloning", d->image);
	close(from);
	close(to);
}

void disk_cut(struct disk *d)
{
	uint32_t flags = SHUTDOWN_NOLOGFLUSH;
	int fd;

	if (is_btrfs(d)) {
		clone_image(d);
		return;
	}
	fd = open(d->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, SHUTDOWN, &flags) != 0)
		die("the shutdown ioctl", d->dir);
	close(fd);
}

void disk_restart(struct disk *d)
{
	char cut[128];

	umount_fs(d->dir);
	snprintf(cut, sizeof(cut), "%s.cut", d->image);
	if (is_btrfs(d) && access(cut, F_OK) == 0) {
		if (rename(cut, d->image) != 0)
			die("renaming", cut);
	}
	mount_fs(d->kind, d->image, d->dir);
}
