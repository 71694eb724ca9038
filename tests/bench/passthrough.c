/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * passthrough SOURCE MOUNTPOINT [-f] [-o OPTIONS]: a FUSE file system that does nothing but hand each
 * request on to SOURCE: what FUSE itself costs, to compare notepackfs with.
 *
 * It is as libfuse's own low-level example is by default: write-through, names and attributes valid
 * for a second, one descriptor (O_PATH) for each inode, data spliced where libfuse can. It has what
 * the rows of tests/bench use, and no more: no links, no extended attributes, no locks.
 *
 * An inode is known by (st_dev, st_ino) and counted as the kernel counts its look-ups. Files are
 * opened anew through /proc/self/fd.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The default falls through cases in a way that compilers warn about. */
#define HASH_FUNCTION(key, len, value) HASH_OAT(key, len, value)
#include <uthash.h>

#define VALID_S 1.0

struct key {
	dev_t dev;
	ino_t ino;
};

struct inode {
	struct key key;	  /* of the hash */
	int fd;		  /* O_PATH */
	uint64_t lookups; /* under lock */
	UT_hash_handle hh;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct inode *inodes; /* under lock; all but the root */
static struct inode root;

static struct inode *inode_of(fuse_ino_t ino)
{
	/* A number that the kernel was given in an answer of ours: the address of the inode. */
	return ino == FUSE_ROOT_ID ? &root : (struct inode *)(uintptr_t)ino; // NOLINT
}

struct fd_path {
	char text[64];
};

static struct fd_path path_of(fuse_ino_t ino)
{
	struct fd_path p;

	snprintf(p.text, sizeof(p.text), "/proc/self/fd/%d", inode_of(ino)->fd);
	return p;
}

/* Count a look-up of what fd is; fd is the inode's, or closed, from now on. */
static struct inode *take(int fd, const struct stat *st)
{
	struct key key;
	struct inode *i;

	memset(&key, 0, sizeof(key)); /* the padding is hashed, too */
	key.dev = st->st_dev;
	key.ino = st->st_ino;
	pthread_mutex_lock(&lock);
	HASH_FIND(hh, inodes, &key, sizeof(key), i);
	if (i) {
		close(fd);
	} else if ((i = calloc(1, sizeof(*i)))) {
		i->key = key;
		i->fd = fd;
		HASH_ADD(hh, inodes, key, sizeof(i->key), i);
	} else {
		close(fd);
	}
	if (i)
		i->lookups++;
	pthread_mutex_unlock(&lock);
	return i;
}

static void drop(fuse_ino_t ino, uint64_t count)
{
	struct inode *i = inode_of(ino);

	if (i == &root)
		return;
	pthread_mutex_lock(&lock);
	i->lookups -= count;
	if (i->lookups == 0) {
		HASH_DEL(inodes, i);
		close(i->fd);
		free(i);
	}
	pthread_mutex_unlock(&lock);
}

/* 0, or an errno. */
static int find(fuse_ino_t parent, const char *name, struct fuse_entry_param *e)
{
	int fd = openat(inode_of(parent)->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct inode *i;

	if (fd < 0)
		return errno;
	memset(e, 0, sizeof(*e));
	e->attr_timeout = e->entry_timeout = VALID_S;
	if (fstatat(fd, "", &e->attr, AT_EMPTY_PATH) != 0) {
		int err = errno;

		close(fd);
		return err;
	}
	i = take(fd, &e->attr);
	if (!i)
		return ENOMEM;
	e->ino = (uintptr_t)i;
	return 0;
}

static void reply_result(fuse_req_t req, int result)
{
	fuse_reply_err(req, result < 0 ? errno : 0);
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e;
	int err = find(parent, name, &e);

	if (err)
		fuse_reply_err(req, err);
	else
		fuse_reply_entry(req, &e);
}

static void on_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	drop(ino, count);
	fuse_reply_none(req);
}

static void on_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		drop(forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	if (fstatat(inode_of(ino)->fd, "", &st, AT_EMPTY_PATH) != 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_attr(req, &st, VALID_S);
}

static int set_times(const char *path, const struct stat *attr, int which)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};

	if (which & FUSE_SET_ATTR_ATIME)
		times[0] = attr->st_atim;
	if (which & FUSE_SET_ATTR_ATIME_NOW)
		times[0].tv_nsec = UTIME_NOW;
	if (which & FUSE_SET_ATTR_MTIME)
		times[1] = attr->st_mtim;
	if (which & FUSE_SET_ATTR_MTIME_NOW)
		times[1].tv_nsec = UTIME_NOW;
	return utimensat(AT_FDCWD, path, times, 0);
}

static void on_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int which,
		       struct fuse_file_info *fi)
{
	struct fd_path path = path_of(ino);
	uid_t uid = which & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1;
	gid_t gid = which & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1;
	int times = FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME |
		    FUSE_SET_ATTR_MTIME_NOW;

	if ((which & FUSE_SET_ATTR_MODE && chmod(path.text, attr->st_mode) != 0) ||
	    (which & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID) &&
	     chown(path.text, uid, gid) != 0) ||
	    (which & FUSE_SET_ATTR_SIZE && truncate(path.text, attr->st_size) != 0) ||
	    (which & times && set_times(path.text, attr, which) != 0))
		fuse_reply_err(req, errno);
	else
		on_getattr(req, ino, fi);
}

static void on_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	if (mkdirat(inode_of(parent)->fd, name, mode) != 0)
		fuse_reply_err(req, errno);
	else
		on_lookup(req, parent, name);
}

static void on_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	reply_result(req, unlinkat(inode_of(parent)->fd, name, 0));
}

static void on_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	reply_result(req, unlinkat(inode_of(parent)->fd, name, AT_REMOVEDIR));
}

static void on_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to,
		      const char *to_name, unsigned flags)
{
	reply_result(req,
		     renameat2(inode_of(parent)->fd, name, inode_of(to)->fd, to_name, flags));
}

static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	int fd = open(path_of(ino).text, (fi->flags & ~O_NOFOLLOW) | O_CLOEXEC);

	if (fd < 0) {
		fuse_reply_err(req, errno);
		return;
	}
	fi->fh = (uint64_t)fd;
	if (fuse_reply_open(req, fi) != 0)
		close(fd);
}

static void on_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	struct fuse_entry_param e;
	int fd, err;

	fd = openat(inode_of(parent)->fd, name, (fi->flags | O_CREAT | O_CLOEXEC) & ~O_NOFOLLOW,
		    mode);
	if (fd < 0) {
		fuse_reply_err(req, errno);
		return;
	}
	err = find(parent, name, &e);
	if (err) {
		close(fd);
		fuse_reply_err(req, err);
		return;
	}
	fi->fh = (uint64_t)fd;
	if (fuse_reply_create(req, &e, fi) != 0)
		close(fd);
}

static void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	struct fuse_bufvec source = FUSE_BUFVEC_INIT(size);

	source.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	source.buf[0].fd = (int)fi->fh;
	source.buf[0].pos = offset;
	fuse_reply_data(req, &source, FUSE_BUF_SPLICE_MOVE);
}

static void on_write(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *in, off_t offset,
		     struct fuse_file_info *fi)
{
	struct fuse_bufvec out = FUSE_BUFVEC_INIT(fuse_buf_size(in));
	ssize_t n;

	out.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	out.buf[0].fd = (int)fi->fh;
	out.buf[0].pos = offset;
	n = fuse_buf_copy(&out, in, 0);
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_write(req, (size_t)n);
}

static void on_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	reply_result(req, close(dup((int)fi->fh)));
}

static void on_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	reply_result(req, datasync ? fdatasync((int)fi->fh) : fsync((int)fi->fh));
}

static void on_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	reply_result(req, close((int)fi->fh));
}

static void on_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	int fd = openat(inode_of(ino)->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		fuse_reply_err(req, errno);
		if (fd >= 0)
			close(fd);
		return;
	}
	fi->fh = (uintptr_t)dir;
	if (fuse_reply_open(req, fi) != 0)
		closedir(dir);
}

static DIR *dir_of(struct fuse_file_info *fi)
{
	return (DIR *)(uintptr_t)fi->fh; // NOLINT
}

static void on_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		       struct fuse_file_info *fi)
{
	char *buffer = malloc(size);
	struct dirent *d;
	size_t used = 0;

	if (!buffer) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	seekdir(dir_of(fi), offset);
	while ((errno = 0, d = readdir(dir_of(fi)))) {
		struct stat st = {.st_ino = d->d_ino, .st_mode = (mode_t)d->d_type << 12};
		size_t need = fuse_add_direntry(req, buffer + used, size - used, d->d_name, &st,
						d->d_off);

		if (need > size - used)
			break;
		used += need;
	}
	if (!d && errno && used == 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_buf(req, buffer, used);
	free(buffer);
}

static void on_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	reply_result(req, closedir(dir_of(fi)));
}

static const struct fuse_lowlevel_ops ops = {
    .lookup = on_lookup,
    .forget = on_forget,
    .forget_multi = on_forget_multi,
    .getattr = on_getattr,
    .setattr = on_setattr,
    .mkdir = on_mkdir,
    .unlink = on_unlink,
    .rmdir = on_rmdir,
    .rename = on_rename,
    .open = on_open,
    .create = on_create,
    .read = on_read,
    .write_buf = on_write,
    .flush = on_flush,
    .fsync = on_fsync,
    .release = on_release,
    .opendir = on_opendir,
    .readdir = on_readdir,
    .releasedir = on_releasedir,
};

static int serve(struct fuse_session *session, const char *mountpoint, int foreground)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int status = 1;

	if (!config || fuse_set_signal_handlers(session) != 0)
		goto out_config;
	if (fuse_session_mount(session, mountpoint) != 0)
		goto out_handlers;
	if (fuse_daemonize(foreground) == 0)
		status = fuse_session_loop_mt(session, config) != 0;
	fuse_session_unmount(session);
out_handlers:
	fuse_remove_signal_handlers(session);
out_config:
	fuse_loop_cfg_destroy(config);
	return status;
}

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc - 1, argv + 1);
	struct fuse_cmdline_opts options;
	struct fuse_session *session;
	int status = 2;

	if (argc < 3) {
		fprintf(stderr, "usage: passthrough SOURCE MOUNTPOINT [-f] [-o OPTIONS]\n");
		return 2;
	}
	root.fd = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root.fd < 0) {
		fprintf(stderr, "passthrough: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	umask(0); /* the kernel has applied the caller's */
	argv[1] = argv[0];
	if (fuse_parse_cmdline(&args, &options) != 0)
		return 2;
	session = options.mountpoint ? fuse_session_new(&args, &ops, sizeof(ops), NULL) : NULL;
	if (session) {
		status = serve(session, options.mountpoint, options.foreground);
		fuse_session_destroy(session);
	}
	free(options.mountpoint);
	fuse_opt_free_args(&args);
	return status;
}
