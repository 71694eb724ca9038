/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * io: system calls on files, with errors as return values.
 *
 * The only module in which errno becomes -errno. Every function returns 0 (or what it says) on
 * success and -errno, unchanged, on failure. EINTR is retried where a retry is safe; close is
 * never retried.
 *
 * Every path is resolved beneath the directory descriptor and through no symbolic link (openat2(2),
 * RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, or what does the same without it): -ELOOP and -EXDEV say
 * that a path tried to leave; one with ".." is refused so wherever it leads. What the last name stands for is never followed either, whatever
 * is done to it.
 */
#ifndef NOTEPACKFS_LIB_IO_H
#define NOTEPACKFS_LIB_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

/*
 * Open path beneath dirfd; O_CLOEXEC is added. Returns a descriptor. Without O_DIRECTORY or O_PATH
 * it is a regular file's: anything else (a FIFO, a socket, a device, a directory) is -EINVAL, and
 * is never waited for.
 */
int io_open(int dirfd, const char *path, int flags, mode_t mode);

/* A new file in memory, without a name. Returns a descriptor. */
int io_memory_file(void);

/* A second descriptor of an open file, to read it without a trace in its access time; where
 * that is not permitted (another's file, no /proc), with one. */
int io_reopen_unseen(int fd);

/* Read up to len bytes at offset, stopping short only at the end of the file. Returns the
 * count. */
ssize_t io_pread(int fd, void *buf, size_t len, uint64_t offset);

/* Where the next data begins at or behind offset (SEEK_DATA; the descriptor's own position moves).
 * -ENXIO: there is only a hole. -EINVAL: the file system cannot tell. */
int io_next_data(int fd, uint64_t offset, uint64_t *at);

/* Write all of buf at offset. A short write that makes no progress is -ENOSPC. */
int io_pwrite(int fd, const void *buf, size_t len, uint64_t offset);

/* One write at offset; may be short. Returns the count. */
ssize_t io_pwrite_some(int fd, const void *buf, size_t len, uint64_t offset);

/* The same at the end of the file, wherever others who append have moved it by then. */
ssize_t io_append_some(int fd, const void *buf, size_t len);
int io_truncate(int fd, uint64_t bytes);
int io_fallocate(int fd, int mode, uint64_t offset, uint64_t len);

/* How much of the range is in holes, as SEEK_HOLE sees them: ext4, XFS and tmpfs call bytes that are
 * allocated and not written a hole, too. What cannot be seen counts as one. Stops looking when it is
 * more than `most`. Moves the file's position. */
uint64_t io_hole_bytes(int fd, uint64_t offset, uint64_t len, uint64_t most);

/* Write all of buf at the descriptor's own position (or its end, with O_APPEND). */
int io_write(int fd, const void *buf, size_t len);

/* Read a whole file of at most max bytes into a new, NUL-terminated buffer (free it);
 * -EFBIG if it is longer. */
int io_read_file(int dirfd, const char *path, size_t max, char **out, size_t *len);
/* The same into *buf, of *size bytes from malloc, which another takes the place of if it is too small. */
int io_read_file_into(int dirfd, const char *path, size_t max, char **buf, size_t *size,
		      size_t *len);

int io_fsync(int fd);
int io_syncfs(int fd); /* syncfs(2): of all of its file system */

/* fsync the directory path beneath dirfd ("." for dirfd itself, which may be O_PATH). */
int io_syncdir(int dirfd, const char *path);

int io_stat(int dirfd, const char *path, struct stat *st);
int io_fstat(int fd, struct stat *st);

/*
 * A number for this very file: its inode number, and its birth time, since a file system gives the
 * number of a file that was removed to the next one. Where it keeps no birth time, only the former.
 */
int io_identity(int dirfd, const char *path, uint64_t *out);
int io_fidentity(int fd, uint64_t *out);
/* Both, in one look. */
int io_stat_identity(int dirfd, const char *path, struct stat *st, uint64_t *identity);

int io_mkdir(int dirfd, const char *path, mode_t mode);
int io_symlink(const char *target, int dirfd, const char *path);

/* The target, NUL-terminated, cut off after size - 1 bytes. Returns its length. */
ssize_t io_readlink(int dirfd, const char *path, char *out, size_t size);

/*
 * On an error io_unlink and io_rename look again: a network filesystem, or a device that fails just
 * then, may have made the change and lost the answer. A name that has moved, or is gone, is no error.
 * (No one else changes these names.)
 */
int io_unlink(int dirfd, const char *path, int flags);
/* A hard link: -EEXIST if `to` exists; -EPERM, -EOPNOTSUPP and others where there are none. */
int io_link(int from_dirfd, const char *from, int to_dirfd, const char *to);
int io_rename(int from_dirfd, const char *from, int to_dirfd, const char *to, unsigned flags);

/*
 * Rename without replacing: -EEXIST if `to` exists. Where the filesystem knows no
 * RENAME_NOREPLACE (-EINVAL), a link and an unlink do the same for regular files: `to` is never
 * replaced there either, and a crash between the two leaves both names of one complete file.
 */
int io_rename_noreplace(int from_dirfd, const char *from, int to_dirfd, const char *to);

/* The same for a start after such a crash: if `to` is the same file already, `from` goes, unless
 * they are one name. */
int io_rename_resume(int from_dirfd, const char *from, int to_dirfd, const char *to);

/* Are they names of one file? */
bool io_same_file(int a_dirfd, const char *a, int b_dirfd, const char *b);

/* Is it the name of this very file? After a rename that failed, yes says that only its answer was lost,
 * or that it was cut in two; then the old name may still be there. */
bool io_is_named(int fd, int dirfd, const char *name);

/* Times with UTIME_OMIT nanoseconds are left alone. */
int io_set_times(int fd, const struct timespec times[2]);

/*
 * Owner, mode and times of what is of this kind (S_IFREG, S_IFDIR, S_IFLNK; else -EINVAL) and has
 * no other name (else -EMLINK): a hard link in the store may be to anyone's file. The last two
 * need /proc.
 */
int io_chown(int dirfd, const char *path, mode_t kind, uid_t uid, gid_t gid);
int io_chmod(int dirfd, const char *path, mode_t kind, mode_t mode);
int io_set_times_at(int dirfd, const char *path, mode_t kind, const struct timespec times[2]);

/* Begin to write what is new of the range (len 0: to the end) to the disk: a hint, so that a later fsync has
 * less to wait for. */
void io_start_writeback(int fd, uint64_t offset, uint64_t len);

/* Have the next reads of this file come from the disk; as far as the kernel does it. */
void io_drop_cache(int fd);

#endif
