/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proto: requests that notepackctl makes of a mounted store, by ioctl(2) on the control file
 * MNT/.notepackfs/status (opened O_RDONLY).
 *
 * An ioctl arrives behind the RELEASEs of everything that its caller closed before it. The
 * daemon parks it: no thread waits, and interrupting the caller ends it with EINTR and undoes
 * nothing.
 *
 * path is relative to the root of the mount, without a leading slash; "" is the whole mount. It
 * may name a directory (everything beneath), a plain name, or a sealed name (its file).
 *
 *	PROTO_WAIT	cut what is closed, grace or not; return when everything that was
 *			cut or dirty and closed when the request came is sealed
 *	PROTO_SEAL	the same, and cut open files, too (at their last complete record)
 *	PROTO_REMOVE	remove the file, sealed or not; allowed to root, the daemon's user and
 *			the file's owner, if unlink(2) would be. Not a directory (EISDIR).
 *
 * Others than root and the daemon's user need the right to search the directories of path. Files
 * that they may not write are not cut for them, nor waited for until they are; if path is such a
 * file, that is EACCES.
 *
 * Errors: ENOENT no such path · EPERM · EACCES · EISDIR · EROFS · ENAMETOOLONG · EINVAL unknown op ·
 * ELOOP a symbolic link ·
 * EIO a wait ended because the mount is stopping and a segment could not be sealed.
 */
#ifndef NOTEPACKFS_LIB_PROTO_H
#define NOTEPACKFS_LIB_PROTO_H

#include <stdint.h>
#include <sys/ioctl.h>

#define PROTO_PATH_BYTES 4096

enum proto_op { PROTO_WAIT = 1, PROTO_SEAL = 2, PROTO_REMOVE = 3 };

struct proto_request {
	uint32_t op;
	uint32_t zero;
	char path[PROTO_PATH_BYTES];
};

#define PROTO_IOCTL _IOW('N', 1, struct proto_request)

/*
 * MNT/.notepackfs/status, one JSON object:
 *	{"version":"0.1.0","pid":…,"store":"/abs/path","state":"mounted"|"draining","read_only":false,
 *	 "sealed_files":…,"pending_files":…,"pending_bytes":…,"failed_files":…,
 *	 "records":…,"seq":…,"threads":…,
 *	 "pending":[{"path":"a/x","id":…,"bytes":…,"age":SECONDS,"state":"open"|"grace"|"queued"|
 *	   "sealing"|"publishing"|"retry"|"kept"|"importing","error":null|"text"},…],
 *	 "invalid":[{"path":"a/x.notepack.gz.invalid","error":null|"text"},…],
 *	 "options":{"codec":"libdeflate","level":6,"adaptive":false,"threads":2,"grace":1.0,…}}
 * sealed_files are the segments that this mount has sealed, records all that there are; bytes are raw
 * bytes not sealed yet; age counts from the first of them. invalid: imports that
 * were refused, those of this mount and of directories that were looked into. A path that is no
 * UTF-8 is path_b64. Both lists are empty for others than root and the daemon's user.
 */

#endif
