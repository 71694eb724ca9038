/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Paths and names in a directory that someone else may write to. All of it is run three times: with
 * openat2(2), and in processes in which a filter of system calls hides it, as ENOSYS and as EPERM.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "lib/bytes.h"
#include "lib/io.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

/* A directory of the test's own, and beside it what nobody may touch:
 *	inside/ file dir/file out -> ../outside up -> .. abs -> /etc
 *	outside/ file */
struct place {
	struct scratch s;
	int in, out; /* descriptors of the two */
};

static void place_init(struct place *p)
{
	scratch_init(&p->s);
	if (mkdirat(p->s.fd, "inside", 0700) != 0 || mkdirat(p->s.fd, "outside", 0700) != 0 ||
	    mkdirat(p->s.fd, "inside/dir", 0700) != 0 ||
	    symlinkat("../outside", p->s.fd, "inside/out") != 0 ||
	    symlinkat("..", p->s.fd, "inside/up") != 0 ||
	    symlinkat("/etc", p->s.fd, "inside/abs") != 0 ||
	    symlinkat("../outside/file", p->s.fd, "inside/link") != 0)
		abort();
	scratch_put(&p->s, "inside/file", "inside");
	scratch_put(&p->s, "inside/dir/file", "inside");
	scratch_put(&p->s, "outside/file", "outside");
	p->in = openat(p->s.fd, "inside", O_PATH | O_DIRECTORY | O_CLOEXEC);
	p->out = openat(p->s.fd, "outside", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void place_release(struct place *p)
{
	close(p->in);
	close(p->out);
	scratch_release(&p->s);
}

/* Nothing outside has changed. */
static void check_outside(struct place *p, const struct stat *before)
{
	struct stat st;

	CHECK_EQ(fstatat(p->out, "file", &st, 0), 0);
	CHECK_EQ(st.st_size, 7);
	CHECK_EQ(st.st_mode, before->st_mode);
	CHECK_EQ(st.st_uid, before->st_uid);
	CHECK_EQ(st.st_nlink, 1);
	CHECK_EQ(st.st_mtim.tv_sec, before->st_mtim.tv_sec);
	CHECK_EQ(st.st_mtim.tv_nsec, before->st_mtim.tv_nsec);
	CHECK_EQ(fstat(p->out, &st), 0);
	CHECK_EQ(st.st_nlink, 2);
	CHECK(faccessat(p->out, "new", F_OK, 0) != 0);
}

static const char *const bad_dirs[] = {"out",	     "up/outside", "..",
				       "../outside", "abs",	   "dir/../../outside",
				       "dir/../out", "/tmp",	   "out/."};

static const int refusals[] = {-ELOOP, -EXDEV};

static int is_refusal(int err)
{
	return err == refusals[0] || err == refusals[1];
}

/* Named bug: when something was renamed elsewhere, openat2 could not tell, and said EAGAIN. */
static void no_path_goes_up(void)
{
	static const char *const paths[] = {"dir/../file", "dir/..", "dir/../dir/file",
					    "./dir/../file"};
	struct place p;

	place_init(&p);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		CHECK_EQ(io_open(p.in, paths[i], O_RDONLY, 0), -EXDEV);
	place_release(&p);
}

static void no_path_leaves_by_a_directory(void)
{
	struct timespec times[2] = {{1, 0}, {1, 0}};
	struct place p;
	struct stat before, st;
	char path[64], text[64];

	place_init(&p);
	CHECK_EQ(fstatat(p.out, "file", &before, 0), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad_dirs); i++) {
		snprintf(path, sizeof(path), "%s/file", bad_dirs[i]);
		CHECK(is_refusal(io_open(p.in, path, O_RDONLY, 0)));
		CHECK(is_refusal(io_open(p.in, path, O_WRONLY | O_TRUNC, 0)));
		CHECK(is_refusal(io_open(p.in, path, O_PATH, 0)));
		CHECK(is_refusal(io_open(p.in, bad_dirs[i], O_RDONLY | O_DIRECTORY, 0)));
		CHECK(is_refusal(io_open(p.in, bad_dirs[i], O_PATH | O_DIRECTORY, 0)));
		CHECK(is_refusal(io_stat(p.in, path, &st)));
		CHECK(is_refusal(io_unlink(p.in, path, 0)));
		CHECK(is_refusal(io_rename(p.in, path, p.in, "stolen", 0)));
		CHECK(is_refusal(io_rename(p.in, "file", p.in, path, 0)));
		CHECK(is_refusal(io_rename_noreplace(p.in, path, p.in, "stolen")));
		CHECK(is_refusal(io_set_times_at(p.in, path, S_IFREG, times)));
		CHECK(is_refusal(io_chmod(p.in, path, S_IFREG, 0)));
		CHECK(is_refusal(io_chown(p.in, path, S_IFREG, 1, 1)));
		CHECK(is_refusal((int)io_readlink(p.in, path, text, sizeof(text))));
		snprintf(path, sizeof(path), "%s/new", bad_dirs[i]);
		CHECK(is_refusal(io_open(p.in, path, O_RDWR | O_CREAT | O_EXCL, 0600)));
		CHECK(is_refusal(io_mkdir(p.in, path, 0700)));
		CHECK(is_refusal(io_symlink("x", p.in, path)));
		CHECK(is_refusal(io_rename_noreplace(p.in, "file", p.in, path)));
	}
	check_outside(&p, &before);
	CHECK_EQ(io_stat(p.in, "file", &st), 0);
	place_release(&p);
}

static void no_link_is_followed_at_the_end(void)
{
	struct timespec times[2] = {{1, 0}, {1, 0}};
	struct place p;
	struct stat before, st;

	place_init(&p);
	CHECK_EQ(fstatat(p.out, "file", &before, 0), 0);
	CHECK_EQ(io_open(p.in, "link", O_RDONLY, 0), -ELOOP);
	CHECK_EQ(io_open(p.in, "link", O_RDWR | O_CREAT, 0600), -ELOOP);
	CHECK_EQ(io_open(p.in, "link", O_WRONLY | O_TRUNC, 0), -ELOOP);
	CHECK_EQ(io_open(p.in, "link", O_RDWR | O_CREAT | O_EXCL, 0600), -EEXIST);
	CHECK_EQ(io_stat(p.in, "link", &st), 0);
	CHECK(S_ISLNK(st.st_mode));
	CHECK_EQ(io_set_times_at(p.in, "link", S_IFREG, times), -EINVAL);
	CHECK_EQ(io_set_times_at(p.in, "link", S_IFLNK, times), 0);
	CHECK_EQ(io_stat(p.in, "link", &st), 0);
	CHECK(S_ISLNK(st.st_mode));
	CHECK_EQ(st.st_mtim.tv_sec, 1);
	CHECK_EQ(io_chmod(p.in, "link", S_IFREG, 0), -EINVAL);
	CHECK_EQ(io_chown(p.in, "link", S_IFREG, 1, 1), -EINVAL);
	CHECK_EQ(io_chmod(p.in, "file", S_IFREG, 0640), 0);
	CHECK_EQ(io_stat(p.in, "file", &st), 0);
	CHECK_EQ(st.st_mode & 07777, 0640);
	check_outside(&p, &before);
	CHECK_EQ(io_unlink(p.in, "link", 0), 0);
	check_outside(&p, &before);
	place_release(&p);
}

/* A hard link in the store may be to anyone's file. */
static void attributes_of_a_file_with_two_names_stay(void)
{
	struct timespec times[2] = {{1, 0}, {1, 0}};
	struct place p;
	struct stat st;

	place_init(&p);
	CHECK_EQ(linkat(p.out, "file", p.in, "hard", 0), 0);
	CHECK_EQ(io_chmod(p.in, "hard", S_IFREG, 0666), -EMLINK);
	CHECK_EQ(io_chown(p.in, "hard", S_IFREG, getuid(), getgid()), -EMLINK);
	CHECK_EQ(io_chown(p.in, "hard", S_IFLNK, getuid(), getgid()), -EINVAL);
	CHECK_EQ(io_set_times_at(p.in, "hard", S_IFREG, times), -EMLINK);
	CHECK_EQ(fstatat(p.out, "file", &st, 0), 0);
	CHECK_EQ(st.st_mode & 0777, 0644);
	CHECK(st.st_mtim.tv_sec > 1);
	CHECK_EQ(io_unlink(p.in, "hard", 0), 0);
	CHECK_EQ(io_chmod(p.in, "dir", S_IFDIR, 0750), 0);
	CHECK_EQ(io_chown(p.in, "dir", S_IFDIR, getuid(), getgid()), 0);
	CHECK_EQ(io_chown(p.in, "link", S_IFLNK, getuid(), getgid()), 0);
	place_release(&p);
}

static void put_socket(struct place *p)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/inside/socket", p->s.path);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		abort();
}

static void what_is_no_regular_file_is_not_waited_for(void)
{
	static const int modes[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_CREAT,
				    O_WRONLY | O_TRUNC};
	static const char *const names[] = {"fifo", "socket", "null", "zero"};
	struct place p;
	char *text;
	size_t len, count = ARRAY_LEN(names);

	place_init(&p);
	CHECK_EQ(mkfifoat(p.in, "fifo", 0600), 0);
	put_socket(&p);
	if (mknodat(p.in, "null", S_IFCHR | 0666, 1 << 8 | 3) != 0 ||
	    mknodat(p.in, "zero", S_IFCHR | 0666, 1 << 8 | 5) != 0)
		count -= 2; /* not root */
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < ARRAY_LEN(modes); k++)
			CHECK_EQ(io_open(p.in, names[i], modes[k], 0600), -EINVAL);
		CHECK_EQ(io_read_file(p.in, names[i], 100, &text, &len), -EINVAL);
	}
	CHECK_EQ(io_open(p.in, "dir", O_RDONLY, 0), -EINVAL);
	if (count < ARRAY_LEN(names))
		SKIP("devices: only root makes them");
	place_release(&p);
}

static void what_lies_beneath_is_found(void)
{
	static const char *const good[] = {"file", "./file", "dir/file", "dir//file",
					   "./dir/./file"};
	struct place p;
	struct stat st;
	char long_name[300], text[16];

	place_init(&p);
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		CLEANUP_FD int fd = io_open(p.in, good[i], O_RDONLY, 0);

		CHECK(fd >= 0);
		CHECK_EQ(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
		CHECK_EQ(io_stat(p.in, good[i], &st), 0);
	}
	CHECK_EQ(io_syncdir(p.in, "."), 0);
	CHECK_EQ(io_syncdir(p.in, "dir"), 0);
	CHECK_EQ(io_open(p.in, "none/file", O_RDONLY, 0), -ENOENT);
	CHECK_EQ(io_open(p.in, "", O_RDONLY, 0), -ENOENT);
	CHECK_EQ(io_open(p.in, "file/x", O_RDONLY, 0), -ENOTDIR);
	CHECK_EQ(io_stat(p.in, "file/x", &st), -ENOTDIR);
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	CHECK_EQ(io_open(p.in, long_name, O_RDONLY, 0), -ENAMETOOLONG);
	CHECK_EQ(io_mkdir(p.in, "dir/new", 0700), 0);
	CHECK_EQ(io_symlink("target", p.in, "dir/new/link"), 0);
	CHECK_EQ(io_readlink(p.in, "dir/new/link", text, sizeof(text)), 6);
	CHECK_STR(text, "target");
	CHECK_EQ(io_readlink(p.in, "dir/new/link", text, 4), 3);
	CHECK_STR(text, "tar");
	CHECK_EQ(io_rename(p.in, "dir/new/link", p.in, "dir/link", 0), 0);
	CHECK_EQ(io_unlink(p.in, "dir/new", AT_REMOVEDIR), 0);
	place_release(&p);
}

/* An open that would break a lease waits for it; one that does not wait is refused. */
static void a_file_with_a_lease_is_opened(void)
{
	struct place p;
	CLEANUP_FD int holder = -1;

	place_init(&p);
	holder = openat(p.in, "file", O_RDONLY | O_CLOEXEC);
	signal(SIGIO, SIG_IGN);
	if (fcntl(holder, F_SETLEASE, F_RDLCK) != 0) {
		SKIP("no leases here");
	} else {
		pid_t child = fork();

		if (child == 0) /* its open makes the kernel ask us, who give it up at once */
			_exit(io_open(p.in, "file", O_RDWR, 0) >= 0 ? 0 : 1);
		while (fcntl(holder, F_GETLEASE) == F_RDLCK)
			usleep(1000);
		fcntl(holder, F_SETLEASE, F_UNLCK);
		int status = -1;

		CHECK_EQ(waitpid(child, &status, 0), child);
		CHECK_EQ(status, 0);
	}
	place_release(&p);
}

/* From now on openat2 fails with this errno in this process. */
static int hide_openat2(int error)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = ARRAY_LEN(code), .filter = code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
		       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0
		   ? 0
		   : -errno;
}

static void run_all(void)
{
	no_path_leaves_by_a_directory();
	no_link_is_followed_at_the_end();
	attributes_of_a_file_with_two_names_stay();
	what_is_no_regular_file_is_not_waited_for();
	what_lies_beneath_is_found();
}

static void run_without_openat2(int error)
{
	int status = -1;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		int before = atomic_load(&unit_failures);

		if (hide_openat2(error) != 0)
			_exit(77);
		CHECK_EQ(syscall(SYS_openat2, AT_FDCWD, ".", NULL, 0), -1);
		CHECK_EQ(errno, error);
		run_all();
		fflush(stdout);
		_exit(atomic_load(&unit_failures) != before);
	}
	CHECK_EQ(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		SKIP("no filter of system calls can be set here");
	else
		CHECK_EQ(status, 0);
}

static void the_same_without_openat2_ENOSYS(void)
{
	run_without_openat2(ENOSYS);
}

static void the_same_where_a_filter_says_EPERM(void)
{
	run_without_openat2(EPERM);
}

int main(void)
{
	RUN(no_path_goes_up);
	RUN(no_path_leaves_by_a_directory);
	RUN(no_link_is_followed_at_the_end);
	RUN(attributes_of_a_file_with_two_names_stay);
	RUN(what_is_no_regular_file_is_not_waited_for);
	RUN(what_lies_beneath_is_found);
	RUN(a_file_with_a_lease_is_opened);
	RUN(the_same_without_openat2_ENOSYS);
	RUN(the_same_where_a_filter_says_EPERM);
	return unit_done();
}
