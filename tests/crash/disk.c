/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/crash/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <mntent.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHUTDOWN _IOR('X', 125, uint32_t)
#define SHUTDOWN_NOLOGFLUSH 2
#define SMALL_BYTES ((off_t)64 << 20)  /* ext4 */
#define LARGE_BYTES ((off_t)320 << 20) /* as small as mkfs.xfs makes one */
#define HOST_BYTES ((off_t)2 << 30)
#define THIN_HOST "size=8m,mode=0700"
#define SERVER_SECONDS 20 /* until nbdfuse shows its file */

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
	/* All that is not data takes its room now. */
	const char *const thin[] = {"mkfs.ext4", "-q",
				    "-F",	 "-N",
				    "2048",	 "-b",
				    "4096", /* a page each: one_page_a_request */
				    "-E",	 "lazy_itable_init=0,lazy_journal_init=0",
				    image,	 NULL};

	run(strcmp(kind, "xfs") == 0	 ? xfs
	    : strcmp(kind, "thin") == 0	 ? thin
	    : strcmp(kind, "btrfs") == 0 ? btrfs
					 : ext4,
	    NULL, 0);
}

static bool is_ext4(const char *kind)
{
	return strcmp(kind, "xfs") != 0 && strcmp(kind, "btrfs") != 0;
}

/*
 * A loop device (Linux 6.18, drivers/block/loop.c, lo_complete_rq) takes a write of which its file took the
 * first half for a whole one: then no fsync is told. Of one page there is no half.
 */
static void one_page_a_request(const char *loop)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/sys/block/%s/queue/max_sectors_kb",
		 strrchr(loop, '/') + 1);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "4", 1) != 1)
		die("writing", path);
	close(fd);
}

/* The loop device ends with the mount. */
static void mount_fs(const char *kind, const char *image, const char *dir)
{
	bool noauto = strcmp(kind, "noauto") == 0;
	char loop[32];

	attach(image, loop, sizeof(loop));
	if (strcmp(kind, "thin") == 0 || strcmp(kind, "heal") == 0)
		one_page_a_request(loop);
	if (mount(loop, dir, is_ext4(kind) ? "ext4" : kind, 0,
		  noauto ? "noauto_da_alloc" : NULL))
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

static bool is_heal(const struct disk *d)
{
	return strcmp(d->kind, "heal") == 0;
}

static bool is_thin(const struct disk *d)
{
	return strcmp(d->kind, "thin") == 0;
}

/* The copies of other tests' mounts: while there is one, an unmount of those waits. */
static void drop_copies(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	struct mntent *m;

	while (mounts && (m = getmntent(mounts))) {
		if (strncmp(m->mnt_type, "fuse", 4) == 0)
			(void)umount2(m->mnt_dir, MNT_DETACH);
	}
	if (!mounts)
		die("reading", "/proc/self/mounts");
	endmntent(mounts);
}

/* Whatever becomes of this program, no mount is left. */
static void leave_mounts(void)
{
	static bool left;

	if (left)
		return;
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		die("a mount namespace", "/");
	drop_copies();
	left = true;
}

static void in_base(char *path, size_t size, const struct disk *d, const char *name)
{
	snprintf(path, size, "%s/%s", d->base, name);
}

/* The image's own file system, on which the image lies then. */
static void open_host(struct disk *d)
{
	char host_image[96];

	in_base(d->host, sizeof(d->host), d, "host");
	in_base(d->image, sizeof(d->image), d, "host/image");
	if (mkdir(d->host, 0700) != 0)
		die("making", d->host);
	if (is_thin(d)) {
		if (mount("tmpfs", d->host, "tmpfs", 0, THIN_HOST) != 0)
			die("mounting", d->host);
		return;
	}
	in_base(host_image, sizeof(host_image), d, "host.image");
	make_file(host_image, HOST_BYTES);
	make_fs("xfs", host_image);
	mount_fs("xfs", host_image, d->host);
}

/* In the child, with nothing of *d: that may be shared. It ends with us, and nbdkit with it. */
static void serve(const char *image, const char *file, const char *fault)
{
	const char *const argv[] = {"nbdfuse",
				    file,
				    "[",
				    "nbdkit",
				    "--exit-with-parent",
				    "-f",
				    "--filter=error",
				    "file",
				    image,
				    "error-pwrite=EIO",
				    "error-pwrite-rate=100%",
				    fault,
				    "]",
				    NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	if (!getenv("FI_VERBOSE")) /* a line for each error */
		dup2(null, STDERR_FILENO);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

/* From here on the image is what nbdfuse shows. */
static void open_server(struct disk *d)
{
	struct timespec pause = {.tv_nsec = 2000000};
	char image[96], fault[128];
	struct stat st;
	pid_t pid;

	in_base(image, sizeof(image), d, "image");
	snprintf(fault, sizeof(fault), "error-pwrite-file=%s/fault", d->base);
	in_base(d->image, sizeof(d->image), d, "nbd/device");
	in_base(d->host, sizeof(d->host), d, "nbd");
	if (mkdir(d->host, 0700) != 0)
		die("making", d->host);
	pid = fork();
	if (pid < 0)
		die("fork", "nbdfuse");
	if (pid == 0)
		serve(image, d->image, fault);
	d->server = pid;
	for (int i = 0; stat(d->image, &st) != 0 || st.st_size == 0; i++) {
		if (i == SERVER_SECONDS * 500 || waitpid(d->server, NULL, WNOHANG) != 0) {
			errno = ENODEV;
			die("nbdfuse or nbdkit (contrib/setup-debian test installs them)",
			    d->image);
		}
		nanosleep(&pause, NULL);
	}
}

void disk_open(struct disk *d, const char *kind)
{
	leave_mounts();
	*d = (struct disk){.kind = kind};
	snprintf(d->base, sizeof(d->base), "/dev/shm/notepackfs-disk-XXXXXX");
	if (!mkdtemp(d->base))
		die("making", d->base);
	in_base(d->dir, sizeof(d->dir), d, "mnt");
	in_base(d->image, sizeof(d->image), d, "image");
	if (mkdir(d->dir, 0700) != 0)
		die("making", d->dir);
	if (is_btrfs(d) || is_thin(d))
		open_host(d);
	make_file(d->image, is_ext4(kind) ? SMALL_BYTES : LARGE_BYTES);
	make_fs(kind, d->image);
	if (is_heal(d))
		open_server(d);
	mount_fs(kind, d->image, d->dir);
}

static void remove_path(const char *name, const struct disk *d)
{
	char path[128];

	in_base(path, sizeof(path), d, name);
	remove(path);
}

void disk_close(struct disk *d)
{
	umount_fs(d->dir);
	if (d->host[0])
		umount_fs(d->host);
	if (d->server && waitpid(d->server, NULL, 0) != d->server)
		die("waiting for", "nbdfuse");
	remove_path("nbd", d);
	remove_path("host", d);
	remove_path("host.image", d);
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

/* Take all that is left of the file system of this file, while others may take some, too. */
static void fill(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	struct statvfs st;
	off_t bytes = 0;

	if (fd < 0)
		die("making", path);
	while (fstatvfs(fd, &st) == 0 && st.f_bavail > 0) {
		off_t more = (off_t)(st.f_bavail * st.f_frsize);

		if (fallocate(fd, 0, bytes, more) == 0)
			bytes += more;
		else if (errno != ENOSPC)
			die("filling", path);
	}
	close(fd);
}

static void switch_path(const struct disk *d, char *path, size_t size)
{
	in_base(path, size, d, is_thin(d) ? "host/ballast" : "fault");
}

void disk_fail(struct disk *d)
{
	char path[128];

	switch_path(d, path, sizeof(path));
	if (is_thin(d))
		fill(path);
	else
		make_file(path, 0);
}

void disk_heal(struct disk *d)
{
	char path[128];

	switch_path(d, path, sizeof(path));
	if (unlink(path) != 0 && errno != ENOENT)
		die("removing", path);
}

void disk_renew(struct disk *d)
{
	if (!is_thin(d))
		return;
	umount_fs(d->dir);
	if (unlink(d->image) != 0)
		die("removing", d->image);
	make_file(d->image, SMALL_BYTES);
	make_fs(d->kind, d->image);
	mount_fs(d->kind, d->image, d->dir);
}
