/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The calls themselves. Each goes to the kernel through the real syscall(2), so that nothing has to
 * be looked up but that, readdir and pthread_create. Memory comes from glibc's own names of its
 * allocator; under AddressSanitizer the allocator is left alone, and SHIM_MEMORY never counts.
 */
#include "tests/crash/shim_impl.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

/* gcc takes what is defined here for a misuse of it; clang does not know the warning. */
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

/* A call on a descriptor, on a path. */
static long on_fd(unsigned classes, const char *call, int fd, long number, long b, long c,
		  long d)
{
	struct shim_turn t = {.hit = false};
	int saved = errno;

	if (shim_counts(fd))
		t = shim_begin(classes, call, fd, NULL);
	errno = saved;
	if (shim_fails(&t))
		return -1;
	return shim_end(&t, shim_sys(number, fd, b, c, d, 0, 0));
}

static long on_path(unsigned classes, const char *call, const char *path, long number,
		    const long args[5])
{
	struct shim_turn t = {.hit = false};

	if (shim_path_counts(path))
		t = shim_begin(classes, call, -1, path);
	if (shim_fails(&t))
		return -1;
	return shim_end(&t, shim_sys(number, args[0], args[1], args[2], args[3], args[4], 0));
}

#define ON_PATH(classes, call, path, number, ...)                                              \
	on_path(classes, call, path, number, (const long[5]){__VA_ARGS__})

/* ---- data ---- */

static ssize_t transfer(unsigned class, const char *call, int fd, long number, const void *buf,
			size_t len, off_t offset)
{
	struct shim_turn t = {.hit = false};

	if (len > 1 && shim_counts(fd))
		t = shim_begin(class, call, fd, NULL);
	if (shim_fails(&t))
		return -1;
	if (t.hit && t.action == SHIM_SHORT)
		len /= 2;
	return shim_end(&t, shim_sys(number, fd, (long)buf, (long)len, offset, 0, 0));
}

ssize_t write(int fd, const void *buf, size_t len)
{
	return transfer(SHIM_WRITE, "write", fd, SYS_write, buf, len, 0);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	return transfer(SHIM_WRITE, "pwrite", fd, SYS_pwrite64, buf, len, offset);
}

ssize_t read(int fd, void *buf, size_t len)
{
	return transfer(SHIM_READ, "read", fd, SYS_read, buf, len, 0);
}

ssize_t pread(int fd, void *buf, size_t len, off_t offset)
{
	return transfer(SHIM_READ, "pread", fd, SYS_pread64, buf, len, offset);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	struct shim_turn t = {.hit = false};

	if (shim_counts(fd))
		t = shim_begin(SHIM_WRITE, "writev", fd, NULL);
	if (shim_fails(&t))
		return -1;
	if (t.hit && t.action == SHIM_SHORT && count > 1)
		count /= 2;
	return shim_end(&t, shim_sys(SYS_writev, fd, (long)iov, count, 0, 0, 0));
}

ssize_t copy_file_range(int in, off_t *in_pos, int out, off_t *out_pos, size_t len,
			unsigned flags)
{
	struct shim_turn t = {.hit = false};

	if (shim_counts(out))
		t = shim_begin(SHIM_SIZE, "copy_file_range", out, NULL);
	if (shim_fails(&t))
		return -1;
	return shim_end(&t, shim_sys(SYS_copy_file_range, in, (long)in_pos, out, (long)out_pos,
				     (long)len, flags));
}

static int sync_fd(const char *call, int fd, long number)
{
	long r;

	if (shim_armed && fd >= 0 && fd < SHIM_FDS && atomic_load(&shim_sync_failed[fd]))
		atomic_fetch_add(&shim_armed->again, 1);
	r = on_fd(SHIM_SYNC, call, fd, number, 0, 0, 0);
	if (r < 0)
		shim_has_failed(call, fd);
	if (r < 0 && shim_armed && fd >= 0 && fd < SHIM_FDS)
		atomic_store(&shim_sync_failed[fd], true);
	return (int)r;
}

int fsync(int fd)
{
	return sync_fd("fsync", fd, SYS_fsync);
}

int fdatasync(int fd)
{
	return sync_fd("fdatasync", fd, SYS_fdatasync);
}

int ftruncate(int fd, off_t bytes)
{
	return (int)on_fd(SHIM_SIZE, "ftruncate", fd, SYS_ftruncate, bytes, 0, 0);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
	return (int)on_fd(SHIM_SIZE, "fallocate", fd, SYS_fallocate, mode, offset, len);
}

/* As glibc's where the file system can; it returns the error. */
int posix_fallocate(int fd, off_t offset, off_t len)
{
	int saved = errno;
	int err = 0;

	if (on_fd(SHIM_SIZE, "posix_fallocate", fd, SYS_fallocate, 0, offset, len) != 0)
		err = errno;
	errno = saved;
	return err;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	long arg;

	va_start(ap, request);
	arg = va_arg(ap, long);
	va_end(ap);
	if (request == FICLONE)
		return (int)on_fd(SHIM_SIZE, "FICLONE", fd, SYS_ioctl, (long)request, arg, 0);
	return (int)shim_sys(SYS_ioctl, fd, (long)request, arg, 0, 0, 0);
}

/* ---- names ---- */

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	return (int)ON_PATH(SHIM_NAME, "rename", to, SYS_renameat2, from_dir, (long)from,
			    to_dir, (long)to, (long)flags);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	return renameat2(from_dir, from, to_dir, to, 0);
}

int rename(const char *from, const char *to)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	return (int)ON_PATH(SHIM_NAME, "link", to, SYS_linkat, from_dir, (long)from, to_dir,
			    (long)to, flags);
}

int symlinkat(const char *target, int dir, const char *path)
{
	return (int)ON_PATH(SHIM_NAME, "symlink", path, SYS_symlinkat, (long)target, dir,
			    (long)path, 0, 0);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
	return (int)ON_PATH(SHIM_NAME, "mkdir", path, SYS_mkdirat, dir, (long)path, (long)mode,
			    0, 0);
}

int unlinkat(int dir, const char *path, int flags)
{
	return (int)ON_PATH(SHIM_REMOVE, "unlink", path, SYS_unlinkat, dir, (long)path, flags,
			    0, 0);
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

/* ---- descriptors ---- */

static long open_path(const char *path, bool create, long number, const long args[5])
{
	unsigned classes = SHIM_OPEN | (create ? SHIM_NAME : SHIM_READ);
	struct shim_turn t = {.hit = false};

	if (shim_path_counts(path))
		t = shim_begin(classes, create ? "create" : "open", -1, path);
	t.after &= t.action != SHIM_ERROR; /* no one could know of what it made */
	if (shim_fails(&t))
		return -1;
	return shim_end(&t, shim_sys(number, args[0], args[1], args[2], args[3], args[4], 0));
}

int openat(int dir, const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	if (flags & (O_CREAT | O_TMPFILE)) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	return (int)open_path(path, flags & O_CREAT, SYS_openat,
			      (const long[5]){dir, (long)path, flags, (long)mode, 0});
}

int open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	if (flags & (O_CREAT | O_TMPFILE)) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	return openat(AT_FDCWD, path, flags, mode);
}

long syscall(long number, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_openat2) {
		const struct open_how *how = (const struct open_how *)(uintptr_t)a[2];

		return open_path((const char *)(uintptr_t)a[1], how->flags & O_CREAT, number,
				 a);
	}
	return shim_sys(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int memfd_create(const char *name, unsigned flags)
{
	return (int)ON_PATH(SHIM_OPEN, "memfd_create", name, SYS_memfd_create, (long)name,
			    (long)flags, 0, 0, 0);
}

int fcntl(int fd, int command, ...)
{
	bool makes = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
	va_list ap;
	long arg;

	va_start(ap, command);
	arg = va_arg(ap, long);
	va_end(ap);
	return makes ? (int)on_fd(SHIM_OPEN, "dup", fd, SYS_fcntl, command, arg, 0)
		     : (int)shim_sys(SYS_fcntl, fd, command, arg, 0, 0, 0);
}

int close(int fd)
{
	struct shim_turn t = {.hit = false};
	long r;

	if (shim_armed && fd >= 0 && fd < SHIM_FDS)
		atomic_store(&shim_sync_failed[fd], false);
	if (shim_counts(fd))
		t = shim_begin(SHIM_CLOSE, "close", fd, NULL);
	t.after = true;
	r = shim_sys(SYS_close, fd, 0, 0, 0, 0, 0);
	return (int)shim_end(&t, r);
}

/* ---- attributes ---- */

int fchmod(int fd, mode_t mode)
{
	return (int)on_fd(SHIM_META, "fchmod", fd, SYS_fchmod, (long)mode, 0, 0);
}

int fchmodat(int dir, const char *path, mode_t mode, int flags)
{
	if (flags) { /* fchmodat2, or what glibc does for it */
		int (*real)(int, const char *, mode_t, int);

		*(void **)&real = dlsym(RTLD_NEXT, "fchmodat");
		return real(dir, path, mode, flags);
	}
	return (int)ON_PATH(SHIM_META, "fchmodat", path, SYS_fchmodat, dir, (long)path,
			    (long)mode, 0, 0);
}

int fchown(int fd, uid_t uid, gid_t gid)
{
	return (int)on_fd(SHIM_META, "fchown", fd, SYS_fchown, (long)uid, (long)gid, 0);
}

int fchownat(int dir, const char *path, uid_t uid, gid_t gid, int flags)
{
	return (int)ON_PATH(SHIM_META, "fchownat", path, SYS_fchownat, dir, (long)path,
			    (long)uid, (long)gid, flags);
}

int futimens(int fd, const struct timespec times[2])
{
	return (int)on_fd(SHIM_META, "futimens", fd, SYS_utimensat, 0, (long)times, 0);
}

int utimensat(int dir, const char *path, const struct timespec times[2], int flags)
{
	return (int)ON_PATH(SHIM_META, "utimensat", path, SYS_utimensat, dir, (long)path,
			    (long)times, flags, 0);
}

int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)
{
	struct shim_turn t = {.hit = false};

	if (shim_counts(fd))
		t = shim_begin(SHIM_XATTR, "fsetxattr", fd, NULL);
	if (shim_fails(&t))
		return -1;
	return (int)shim_end(
	    &t, shim_sys(SYS_fsetxattr, fd, (long)name, (long)value, (long)size, flags, 0));
}

int fremovexattr(int fd, const char *name)
{
	return (int)on_fd(SHIM_XATTR, "fremovexattr", fd, SYS_fremovexattr, (long)name, 0, 0);
}

ssize_t fgetxattr(int fd, const char *name, void *value, size_t size)
{
	return on_fd(SHIM_READ, "fgetxattr", fd, SYS_fgetxattr, (long)name, (long)value,
		     (long)size);
}

int fstat(int fd, struct stat *st)
{
	struct shim_turn t = {.hit = false};

	if (shim_counts(fd))
		t = shim_begin(SHIM_STAT, "fstat", fd, NULL);
	if (shim_fails(&t))
		return -1;
	return (int)shim_end(
	    &t, shim_sys(SYS_newfstatat, fd, (long)"", (long)st, AT_EMPTY_PATH, 0, 0));
}

int fstatat(int dir, const char *path, struct stat *st, int flags)
{
	return (int)ON_PATH(SHIM_STAT, "fstatat", path, SYS_newfstatat, dir, (long)path,
			    (long)st, flags, 0);
}

int statx(int dir, const char *path, int flags, unsigned mask, struct statx *st)
{
	struct shim_turn t = {.hit = false};

	if (*path)
		return (int)ON_PATH(SHIM_STAT, "statx", path, SYS_statx, dir, (long)path, flags,
				    mask, (long)st);
	if (shim_counts(dir))
		t = shim_begin(SHIM_STAT, "statx", dir, NULL);
	if (shim_fails(&t))
		return -1;
	return (int)shim_end(&t,
			     shim_sys(SYS_statx, dir, (long)path, flags, mask, (long)st, 0));
}

struct dirent *readdir(DIR *dir)
{
	static struct dirent *(*real)(DIR *);
	struct shim_turn t = {.hit = false};

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "readdir64");
	if (shim_counts(dirfd(dir)))
		t = shim_begin(SHIM_READ, "readdir", dirfd(dir), NULL);
	return shim_fails(&t) ? NULL : real(dir);
}

/* ---- threads and memory ---- */

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
		   void *arg)
{
	static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	struct shim_turn t = shim_begin(SHIM_THREAD, "pthread_create", -1, "");

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
	return t.hit && t.action == SHIM_ERROR ? t.err : real(thread, attr, start, arg);
}

#ifndef __SANITIZE_ADDRESS__
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static bool memory_fails(const char *call)
{
	struct shim_turn t;

	if (!shim_armed || shim_paused || !(shim_armed->mode.classes & SHIM_MEMORY))
		return false;
	t = shim_begin(SHIM_MEMORY, call, -1, "");
	return shim_fails(&t);
}

void *malloc(size_t size)
{
	return memory_fails("malloc") ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return memory_fails("calloc") ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	return memory_fails("realloc") ? NULL : __libc_realloc(old, size);
}
#endif
