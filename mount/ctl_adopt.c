/* SPDX-License-Identifier: BSD-2-Clause */
#include "mount/ctl_adopt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/io.h"
#include "lib/name.h"
#include "lib/store.h"
#include "mount/ctl.h"
#include "mount/ctl_hash.h"

/* The stem of a raw file of the directory at hand. */
struct stem {
	UT_hash_handle hh;
	char name[];
};

struct adopt {
	int storefd;
	const char *suffix;
	struct globs exclude;
	bool refused;
};

static void refuse(struct adopt *a, const char *path, const char *reason)
{
	a->refused = true;
	ctl_error("%s: %s", path, reason);
}

/* What is in it is looked at later; it takes as long as reading all of it. */
static void judge_object(struct adopt *a, const char *name, const char *path)
{
	size_t stem;
	uint32_t part;

	if (!name_parse_sealed(name, a->suffix, &stem, &part))
		refuse(a, path, "has a sealed name with an impossible part number; rename it");
}

static void judge_raw(struct adopt *a, struct stem **stems, const char *name, const char *path)
{
	size_t len = name_stem_len(name, a->suffix);
	int err = name_check_plain(name, a->suffix);
	struct stem *s;

	if (err == -EINVAL) {
		refuse(a, path, "ends like the part number of a sealed name; rename it");
		return;
	}
	if (err) {
		refuse(a, path, "has too long a name for a sealed one; shorten it");
		return;
	}
	HASH_FIND(hh, *stems, name, len, s);
	if (s) {
		refuse(a, path,
		       "would get the same sealed name as the file with the other "
		       "spelling beside it; rename one of the two");
		return;
	}
	s = ctl_alloc(sizeof(*s) + len + 1);
	memcpy(s->name, name, len);
	s->name[len] = '\0';
	HASH_ADD_KEYPTR(hh, *stems, s->name, len, s);
}

static void adopt_dir(struct adopt *a, int dirfd, const char *path);

static void judge_dir(struct adopt *a, int dirfd, const char *name, const char *path)
{
	CLEANUP_FD int fd = io_open(dirfd, name, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		refuse(a, path, strerror(-fd));
	else
		adopt_dir(a, fd, path);
}

static void judge_entry(struct adopt *a, int dirfd, struct stem **stems, const char *name,
			const char *path)
{
	struct stat st;
	int err = io_stat(dirfd, name, &st);

	if (err)
		refuse(a, path, strerror(-err));
	else if (S_ISDIR(st.st_mode))
		judge_dir(a, dirfd, name, path);
	else if (S_ISLNK(st.st_mode))
		return;
	else if (!S_ISREG(st.st_mode))
		refuse(a, path,
		       "is neither a file, a directory nor a symbolic link; move it away");
	else if (name_has_sealed_suffix(name, a->suffix))
		judge_object(a, name, path);
	else
		judge_raw(a, stems, name, path);
}

static void free_stems(struct stem *stems)
{
	struct stem *s, *next;

	HASH_ITER (hh, stems, s, next) {
		HASH_DEL(stems, s);
		free(s);
	}
}

static bool is_skipped(const struct adopt *a, const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
	       strcmp(name, "lost+found") == 0 || globs_match(&a->exclude, name);
}

static void adopt_dir(struct adopt *a, int dirfd, const char *path)
{
	int fd = io_open(dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct stem *stems = NULL;
	struct dirent *e;

	if (!d) {
		refuse(a, path, strerror(fd < 0 ? -fd : errno));
		return;
	}
	for (errno = 0; (e = readdir(d)); errno = 0) {
		CLEANUP_FREE char *full = ctl_format("%s/%s", path, e->d_name);

		if (strcmp(e->d_name, NAME_PRIVATE) == 0 && dirfd != a->storefd)
			refuse(a, path, "is another store; move it away");
		else if (!is_skipped(a, e->d_name))
			judge_entry(a, dirfd, &stems, e->d_name, full);
	}
	if (errno)
		refuse(a, path, strerror(errno));
	closedir(d);
	free_stems(stems);
}

int adopt_check(int storefd, const char *path, const char *suffix)
{
	struct adopt a = {.storefd = storefd, .suffix = suffix};

	if (globs_init(&a.exclude, NAME_DEFAULT_EXCLUDE) != 0)
		ctl_no_memory();
	adopt_dir(&a, storefd, path);
	globs_release(&a.exclude);
	return a.refused ? CTL_FAILED : CTL_DONE;
}

/* ---- what is in the objects ---- */

struct adoption {
	const char *store;
	bool terminal;
	uint64_t good, bad;
};

static void adopted(void *ctx, const char *path, const char *reason, uint64_t done,
		    uint64_t total)
{
	struct adoption *a = ctx;
	char done_text[CTL_SIZE_TEXT], total_text[CTL_SIZE_TEXT];

	if (a->terminal)
		fprintf(stderr, "\r\033[K");
	if (reason) {
		a->bad++;
		ctl_error("%s/%s: %s; it is called .invalid now", a->store, path, reason);
	} else {
		a->good++;
	}
	if (a->terminal && done < total)
		fprintf(stderr, "%s of %s verified", ctl_size(done, done_text),
			ctl_size(total, total_text));
}

int adopt_objects(const char *path, const char *suffix)
{
	struct adoption a = {.store = path, .terminal = isatty(STDERR_FILENO)};
	struct store_error error = {.text = ""};
	struct store_options options = {.path = path, .suffix = suffix, .threads = 1};
	CLEANUP_FREE char *absolute = realpath(path, NULL);

	if (absolute)
		options.path = absolute;
	if (store_adopt(&options, adopted, &a, &error) != 0) {
		ctl_error("%s", error.text);
		return error.exit_status;
	}
	if (a.good || a.bad)
		printf("%llu %s adopted, %llu not\n", (unsigned long long)a.good,
		       ctl_files(a.good), (unsigned long long)a.bad);
	return a.bad ? CTL_DAMAGED : CTL_DONE;
}
