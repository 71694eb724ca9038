/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notepackctl init: make a directory a store.
 *
 * --adopt takes over what is there, without copying a byte: gzip files under sealed names become
 * objects, whoever wrote them, and raw files stay raw files. All names are looked at before
 * anything is changed. The manifest that is made knows nothing of them; then every object is
 * read in full and recorded, and one that is bad is renamed to NAME.invalid. An adoption that
 * is interrupted is completed by the next mount, which queues the raw files, too. A manifest is never initialised over objects
 * (lib/manifest.h, L17), so it is made in a directory of its own, and put in its place by a
 * rename: before it this is no store, after it it is one.
 */
#include "mount/ctl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/io.h"
#include "lib/layout.h"
#include "mount/ctl_adopt.h"

#define ADOPT_DIR NAME_PRIVATE "/adopt"

struct options {
	const char *store, *suffix;
	bool adopt;
};

static int say(const char *store, int err, const struct manifest_error *error)
{
	ctl_error("%s: %s", store, *error->text ? error->text : strerror(-err));
	return err == -EBADMSG ? CTL_DAMAGED : CTL_FAILED;
}

static int set_clean(struct manifest_txn *txn, void *ctx)
{
	const bool *clean = ctx;

	manifest_set_clean(txn, *clean);
	return 0;
}

/* Make an empty manifest beneath fd. */
static int make_manifest(int fd, const char *suffix, bool clean, struct manifest_error *error)
{
	const struct manifest_options options = {
	    .suffix = suffix,
	    .exclude = NAME_DEFAULT_EXCLUDE,
	    .create = true,
	};
	struct manifest *m;
	int err = layout_create(fd);

	if (!err)
		err = manifest_open(fd, &options, &m, error);
	if (err)
		return err;
	err = manifest_commit(m, set_clean, &clean);
	manifest_close(m);
	return err;
}

/* Whatever is no directory: the manifest, or one that was not complete under a name of its own. */
static void remove_files(int dirfd, const char *path)
{
	int fd = io_open(dirfd, path, O_RDONLY | O_DIRECTORY, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (d && (e = readdir(d)))
		io_unlink(fd, e->d_name, 0); /* refuses a directory */
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
}

/* Remove the directory in which a manifest was made, with what init may have left in it. */
static void remove_adopt_dir(int storefd)
{
	static const char *const dirs[] = {LAYOUT_CHUNKS, LAYOUT_TMP,	     LAYOUT_IMPORT,
					   LAYOUT_INDEX,  LAYOUT_QUARANTINE, NAME_PRIVATE};
	CLEANUP_FD int fd = io_open(storefd, ADOPT_DIR, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return;
	remove_files(fd, NAME_PRIVATE);
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		io_unlink(fd, dirs[i], AT_REMOVEDIR);
	io_unlink(storefd, ADOPT_DIR, AT_REMOVEDIR);
}

static int place_manifest(int storefd, const char *suffix, struct manifest_error *error)
{
	CLEANUP_FD int fd = -1;
	int err;

	remove_adopt_dir(storefd);
	err = io_mkdir(storefd, ADOPT_DIR, 0700);
	if (err)
		return err;
	fd = io_open(storefd, ADOPT_DIR, O_RDONLY | O_DIRECTORY, 0);
	err = fd < 0 ? fd : make_manifest(fd, suffix, false, error);
	if (!err)
		err = io_rename_noreplace(fd, LAYOUT_MANIFEST, storefd, LAYOUT_MANIFEST);
	if (!err)
		err = io_syncdir(storefd, NAME_PRIVATE);
	remove_adopt_dir(storefd);
	return err;
}

static int make_store(const struct options *o, int storefd, int kind)
{
	struct manifest_error error = {{0}};
	CLEANUP_FD int lockfd = -1;
	int err = layout_create(storefd);

	if (!err) {
		lockfd = layout_lock(storefd, true, "tool", 0);
		err = MIN(lockfd, 0);
	}
	if (err == -EBUSY) {
		ctl_error("%s: is in use", o->store);
		return CTL_IN_USE;
	}
	if (err)
		return say(o->store, err, &error);
	if (kind == LAYOUT_NOT_STORE || (kind == LAYOUT_BEGUN && o->adopt))
		err = place_manifest(storefd, o->suffix, &error);
	else
		err = make_manifest(storefd, o->suffix, kind == LAYOUT_EMPTY, &error);
	layout_lock_note(lockfd, NULL);
	if (err)
		return say(o->store, err, &error);
	close(lockfd); /* store_adopt takes it */
	lockfd = -1;
	return o->adopt ? adopt_objects(o->store, o->suffix) : CTL_DONE;
}

/* A store in a mount or in another store would be sealed by that one. The directory may not
 * exist yet. */
static int refuse_nested(const char *store)
{
	CLEANUP_MOUNT struct ctl_mount m = {0};
	CLEANUP_FREE char *path = realpath(store, NULL), *above = NULL, *suffix = NULL;

	if (!path)
		path = ctl_canonical(store);
	if (!path)
		return CTL_DONE; /* creating it will say why not */
	if (ctl_mount_find(path, &m, NULL) == 0) {
		ctl_error("%s: is in the notepackfs mount %s; a store must lie outside", store,
			  m.mountpoint);
		return CTL_FAILED;
	}
	*strrchr(path, '/') = '\0';
	above = ctl_store_above(path, &suffix);
	if (!above)
		return CTL_DONE;
	ctl_error("%s: is in the store %s; a store must lie outside", store, above);
	return CTL_FAILED;
}

/* May this directory become a store? */
static int judge(const struct options *o, int storefd, int *kind)
{
	*kind = layout_probe(storefd);
	if (*kind < 0) {
		ctl_error("%s: %s", o->store, strerror(-*kind));
		return CTL_FAILED;
	}
	if (*kind == LAYOUT_STORE && o->adopt) /* once more: an adoption was interrupted */
		return CTL_DONE;
	if (*kind == LAYOUT_STORE) {
		ctl_error("%s: is a store already", o->store);
		return CTL_FAILED;
	}
	if (*kind == LAYOUT_NOT_STORE && !o->adopt) {
		ctl_error("%s: is not empty; --adopt makes it a store with what is in it",
			  o->store);
		return CTL_FAILED;
	}
	if (*kind == LAYOUT_BEGUN && manifest_was_there(storefd) != 0) {
		ctl_error(
		    "%s: its manifest is missing; notepackctl repair rebuilds it from the "
		    "objects",
		    o->store);
		return CTL_DAMAGED;
	}
	if (!o->adopt)
		return CTL_DONE;
	return adopt_check(storefd, o->store, o->suffix ? o->suffix : NAME_DEFAULT_SUFFIX);
}

static int init(const struct options *o)
{
	CLEANUP_FD int storefd = -1;
	int status = refuse_nested(o->store), kind;

	if (status != CTL_DONE)
		return status;
	if (mkdir(o->store, 0777) != 0 && errno != EEXIST) {
		ctl_error("%s: cannot be created: %m", o->store);
		return CTL_FAILED;
	}
	storefd = ctl_open_dir(o->store);
	if (storefd < 0)
		return CTL_FAILED;
	status = judge(o, storefd, &kind);
	if (status == CTL_DONE && kind == LAYOUT_STORE)
		return adopt_objects(o->store, o->suffix);
	return status == CTL_DONE ? make_store(o, storefd, kind) : status;
}

int ctl_init(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"adopt", no_argument, NULL, 'a'},
	    {"suffix", required_argument, NULL, 's'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	struct options o = {0};
	int c;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) >= 0) {
		if (c == 'h')
			return ctl_help();
		if (c == 'a')
			o.adopt = true;
		else if (c == 's')
			o.suffix = optarg;
		else
			return ctl_usage(NULL);
	}
	if (argc - optind != 1)
		return ctl_usage("one directory is needed");
	if (o.suffix && name_check_suffix(o.suffix) != 0)
		return ctl_usage("--suffix %s: must be a dot and up to 8 more characters, like "
				 "\".notepack\", without blanks and /*?[]\\:,",
				 o.suffix);
	o.store = argv[optind];
	return init(&o);
}
