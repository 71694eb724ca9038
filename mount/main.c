/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notepackfs: mount an archive.
 *
 * The order of the stop is the design: the loop ends → nothing is accepted any more → handles
 * that a lazy unmount left are released → the store cuts, seals, joins its threads, commits,
 * and lets go of its lock → exit. Its result is the exit status.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/fs.h"
#include "lib/bytes.h"
#include "lib/log.h"
#include "mount/daemon.h"
#include "mount/mounter.h"
#include "mount/options.h"
#include "mount/paths.h"
#include "mount/serve.h"

#define STATUS_FAILED 1
#define STATUS_USAGE 2
#define STATUS_NOT_FLUSHED 5

struct daemon {
	struct options options;
	struct paths paths;
	struct mounter mounter;
	struct serve serve;
	struct fs *fs;
	struct store *store;
};

static unsigned cpus(void)
{
	cpu_set_t set;
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		return (unsigned)MAX(1, CPU_COUNT(&set));
	return online > 0 ? (unsigned)online : 1;
}

static struct store_options store_options_of(const struct daemon *d)
{
	const struct options *o = &d->options;
	struct store_options s = {
	    .path = d->paths.store,
	    .codec = o->codec->name,
	    .level = o->level,
	    .adaptive = o->adaptive,
	    .threads = o->threads ? o->threads : cpus(),
	    .grace_ns = o->grace_ns,
	    .suffix = o->suffix,
	    .exclude = o->exclude,
	    .fsync_seals = o->fsync_seals,
	    .cut_bytes = o->cut_bytes,
	    .cut_age_ns = o->cut_age_ns,
	    .rotate_bytes = o->rotate_bytes,
	    .rotate_age_ns = o->rotate_age_ns,
	    .scrub_ns = o->scrub_ns,
	    .allow_delete = o->allow_delete,
	    .allow_delete_globs = o->allow_delete_globs,
	    .lockwait_ns = o->lockwait_ns,
	    .backlog_bytes = o->backlog_bytes,
	    .reserve_bytes = o->has_reserve ? o->reserve_bytes : STORE_RESERVE_DEFAULT,
	    .read_only = o->read_only,
	};

	return s;
}

/* By a thread of the session's. */
static void on_ready(void *ctx)
{
	struct daemon *d = ctx;

	daemon_ready();
	log_info("%s is mounted on %s", d->paths.store, d->paths.mountpoint);
}

/* The store's path as a mount option: what separates options gets a backslash. */
static void escape(const char *path, char *out)
{
	for (; *path; path++) {
		if (*path == ',' || *path == '\\')
			*out++ = '\\';
		*out++ = *path;
	}
	*out = '\0';
}

/* Free it; NULL: no memory. */
static char *mount_options(const struct daemon *d)
{
	char source[2 * PATH_MAX], *words;

	escape(d->paths.store, source);
	return asprintf(&words,
			"default_permissions,nosuid,nodev,subtype=notepackfs%s%s,fsname=%s",
			d->options.read_only ? ",ro" : "", d->options.fuse, source) < 0
		   ? NULL
		   : words;
}

/* It is mounted by the mounter, with the options that are the kernel's; some are libfuse's own
 * (allow_root). */
static struct fuse_session *new_session(struct daemon *d)
{
	CLEANUP_FREE char *words = mount_options(d);
	char *argv[] = {(char *)"notepackfs", (char *)"-o", words, (char *)"-d", NULL};
	struct fuse_args args = FUSE_ARGS_INIT(d->options.debug ? 4 : 3, argv);
	struct fuse_session *se = words ? fs_session(d->fs, &args) : NULL;

	fuse_opt_free_args(&args);
	return se;
}

static int32_t open_backing(void *ctx, int fd)
{
	struct daemon *d = ctx;

	return mounter_open_backing(&d->mounter, fuse_session_fd(d->serve.session), fd);
}

static void close_backing(void *ctx, int32_t id)
{
	struct daemon *d = ctx;

	mounter_close_backing(&d->mounter, fuse_session_fd(d->serve.session), id);
}

/* Serve until the end. 0, or an exit status. */
static int serve(struct daemon *d)
{
	const struct fs_backing backing = {
	    .open = open_backing, .close = close_backing, .ctx = d};
	struct fuse_session *se = new_session(d);
	int err;

	if (!se) {
		log_error("%s: cannot make a FUSE session; see the lines above",
			  d->paths.mountpoint);
		return STATUS_FAILED;
	}
	if (serve_mount(&d->serve, d->fs, se) != 0) {
		log_error(
		    "%s: cannot mount; see the line above, and fusermount3(1) for mounts of "
		    "users other than root",
		    d->paths.mountpoint);
		if (d->serve.session != se)
			fuse_session_destroy(se);
		return STATUS_FAILED;
	}
	if (d->options.passthrough)
		fs_pass_through(d->fs, d->store, &backing);
	err = fs_start(d->fs, d->store, se);
	if (err) {
		log_error("%s: cannot start threads: %s; see ulimit -u", d->paths.mountpoint,
			  strerror(-err));
		return STATUS_FAILED;
	}
	err = serve_loop(&d->serve);
	if (err)
		log_error("%s: the connection to the kernel failed: %s; mount again",
			  d->paths.mountpoint, strerror(err < 0 ? -err : EIO));
	return err ? STATUS_FAILED : 0;
}

/* With a store: serve it and close it. */
static int run_open_store(struct daemon *d)
{
	int status = serve(d);
	int drained;

	fs_pass_no_more(d->fs);
	serve_end(&d->serve);
	fs_stop(d->fs);
	store_release_all(d->store);
	drained = store_close(d->store);
	if (drained == STATUS_NOT_FLUSHED)
		log_error("%s: not everything could be sealed, see the lines above; what the "
			  "store has of it is kept, and taken up at the next mount",
			  d->paths.store);
	else if (drained)
		log_error(
		    "%s: the stop failed, see the lines above; nothing is lost: mount again",
		    d->paths.store);
	else
		log_info("%s: everything is sealed", d->paths.store);
	return drained ? drained : status;
}

/* What is left to the mounter is the daemon's no more. */
static int begin(struct daemon *d)
{
	CLEANUP_FREE char *words = mount_options(d);
	int err = words ? mounter_start(&d->mounter, d->paths.mountpoint, words) : -ENOMEM;

	if (!err)
		err = daemon_drop_privileges();
	if (!err)
		err = serve_begin(&d->serve, &d->mounter, d->paths.mountpoint,
				  d->options.stop_wait_ns);
	if (err)
		log_error("cannot start: %s; see ulimit -u", strerror(-err));
	return err;
}

static int serve_store(struct daemon *d)
{
	struct store_options options = store_options_of(d);
	struct store_error error = {.exit_status = STATUS_FAILED};
	int status;

	d->fs = fs_new(on_ready, d);
	if (!d->fs) {
		serve_end(&d->serve);
		log_error("cannot start: out of memory");
		return STATUS_FAILED;
	}
	if (store_open(&options, fs_hooks(d->fs), &d->store, &error) == 0) {
		status = run_open_store(d);
	} else {
		serve_end(&d->serve);
		log_error("%s", error.text);
		status = error.exit_status;
	}
	fs_free(d->fs);
	serve_release(&d->serve);
	return status;
}

static int run(struct daemon *d)
{
	int status = begin(d) == 0 ? serve_store(d) : STATUS_FAILED;

	mounter_end(&d->mounter);
	return status;
}

static void log_fuse(enum fuse_log_level level, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

/* A libfuse message ends in a newline, ours do not. */
static void log_fuse(enum fuse_log_level level, const char *fmt, va_list ap)
{
	char line[1024];
	size_t len;

	vsnprintf(line, sizeof(line), fmt, ap);
	len = strlen(line);
	if (len > 0 && line[len - 1] == '\n')
		line[len - 1] = '\0';
	log_line((int)level, "%s", line);
}

static int start(struct daemon *d)
{
	const struct options *o = &d->options;
	int status;

	if (o->foreground)
		log_open("notepackfs", false, o->debug ? LOG_DEBUG : LOG_INFO);
	if (!o->debug)
		fuse_set_log_func(log_fuse);
	status = paths_check(o->store, o->mountpoint, &d->paths);
	if (!status)
		status = paths_check_fuse();
	if (status)
		return status;
	if (!o->foreground)
		daemon_fork();
	return run(d);
}

static void print_version(void)
{
	printf("notepackfs %s (libfuse %s, codecs", NOTEPACKFS_VERSION, fuse_pkgversion());
	for (size_t i = 0; codec_at(i); i++)
		printf(" %s", codec_at(i)->name);
	puts(")");
}

int main(int argc, char *argv[])
{
	static struct daemon d = {.mounter.fd = -1};
	char message[512];
	int status = 0;

	daemon_prepare();
	switch (options_parse(argc, argv, &d.options, message, sizeof(message))) {
	case OPTIONS_RUN:
		status = start(&d);
		break;
	case OPTIONS_HELP:
		fputs(options_help(), stdout);
		break;
	case OPTIONS_VERSION:
		print_version();
		break;
	case OPTIONS_WRONG:
		log_error("%s", message);
		status = STATUS_USAGE;
		break;
	}
	options_release(&d.options);
	return status;
}
