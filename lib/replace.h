/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replace: put a whole file in the place of another, atomically and durably.
 *
 * The one place where "temporary → fsync → rename → fsync of the directory" is written down for
 * files that are rewritten as a whole (the manifest, its chunk files, last_stop). After 0 the
 * new content survives a power cut; after an error the old content is there, unless only the
 * last step failed: then *renamed is set, and the new content is in place but perhaps not
 * durable (L13: such an error is ambiguous, and nothing may be deleted on it).
 */
#ifndef NOTEPACKFS_LIB_REPLACE_H
#define NOTEPACKFS_LIB_REPLACE_H

#include <stdbool.h>
#include <sys/uio.h>

/*
 * Replace path (beneath dirfd; its directory must exist) by the bytes of iov. The temporary is
 * path + ".new.PID.COUNT", unique in this process, removed on failure. renamed may be NULL.
 * Returns 0 or -errno.
 */
int replace_file(int dirfd, const char *path, const struct iovec *iov, int iovcnt,
		 bool *renamed);

/*
 * The same for a file that is written bit by bit. replace_begin makes the temporary, sets its
 * name, and returns its descriptor (the caller's, for reading and writing) or -errno.
 * replace_commit does the rest: on an error before the rename the temporary is removed. To give
 * up before that, io_unlink the temporary.
 */
#define REPLACE_TEMPORARY_BYTES 512
int replace_begin(int dirfd, const char *path, char temporary[REPLACE_TEMPORARY_BYTES]);
int replace_commit(int dirfd, const char *path, const char *temporary, int fd, bool *renamed);

/* Is this the name of a temporary that replace_file may have left behind in a crash? */
bool replace_is_temporary(const char *name);

#endif
