/* SPDX-License-Identifier: BSD-2-Clause */
/* The files of the manifest as files: what is there, what is to be cleared away. */
#include "lib/manifest_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "lib/io.h"
#include "lib/log.h"
#include "lib/replace.h"

void manifest_file_chunk_path(char out[64], uint32_t number)
{
	snprintf(out, 64, MANIFEST_CHUNKS "/%08u.jsonl", number);
}

int manifest_file_read_chunk(int storefd, const struct chunk *c, struct buf *out,
			     const char **reason)
{
	uint8_t sha256[SHA256_BYTES];
	char path[64];
	int err;

	manifest_file_chunk_path(path, c->number);
	*reason = "the file is missing";
	err = io_read_file_into(storefd, path, c->bytes, &out->data, &out->size, &out->len);
	if (err == -ENOENT)
		return -EBADMSG;
	*reason = "it is no regular file";
	if (err == -EINVAL || err == -ELOOP)
		return -EBADMSG;
	*reason = "the file's length is not the header's";
	if (err == -EFBIG || (!err && out->len < c->bytes))
		return -EBADMSG;
	if (!err && EVP_Digest(out->data, out->len, sha256, NULL, EVP_sha256(), NULL) != 1)
		err = -ENOMEM;
	if (err)
		return err;
	*reason = NULL;
	return memcmp(sha256, c->sha256, SHA256_BYTES) == 0 ? 0 : -EBADMSG;
}

/* Call fn for each name in a directory until it returns other than 0. */
static int each_name(int storefd, const char *path,
		     int (*fn)(void *ctx, int dirfd, const char *), void *ctx)
{
	int fd = io_open(storefd, path, O_RDONLY | O_DIRECTORY, 0), err = 0;
	struct dirent *e;
	DIR *dir;

	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while (!err && (errno = 0, e = readdir(dir))) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			err = fn(ctx, dirfd(dir), e->d_name);
	}
	if (!err && errno)
		err = -errno;
	closedir(dir);
	return err;
}

static int found_any(void *ctx, int fd, const char *name)
{
	return !replace_is_temporary(name);
}

int manifest_was_there(int storefd)
{
	/* Each is made when there is a manifest, and not before. */
	static const char *const later[] = {MANIFEST_RESERVE, NAME_PRIVATE "/log",
					    NAME_PRIVATE "/log.1", NAME_PRIVATE "/last_stop"};
	struct stat st;
	int r = each_name(storefd, MANIFEST_CHUNKS, found_any, NULL);

	for (size_t i = 0; i < ARRAY_LEN(later) && (r == 0 || r == -ENOENT); i++) {
		r = io_stat(storefd, later[i], &st);
		r = r == 0 ? 1 : r == -ENOENT ? 0 : r;
	}
	return r == -ENOENT ? 0 : r;
}

/* An object, anywhere. Only a store without a manifest is searched, so it is not a large one, or
 * its manifest is lost. */
static int found_sealed(void *ctx, int fd, const char *name)
{
	struct stat st;

	if (strcmp(name, NAME_PRIVATE) == 0 || io_stat(fd, name, &st) != 0)
		return 0;
	if (S_ISDIR(st.st_mode))
		return each_name(fd, name, found_sealed, ctx);
	return S_ISREG(st.st_mode) && name_has_sealed_suffix(name, ctx);
}

int manifest_file_refuse_leftovers(int storefd, const char *suffix,
				   struct manifest_error *error)
{
	const char *what = NAME_PRIVATE " has what came after it";
	int r = manifest_was_there(storefd);

	if (r == 0) {
		what = "the store has sealed objects";
		r = each_name(storefd, ".", found_sealed, (void *)suffix);
	}
	if (r > 0) {
		snprintf(error->text, sizeof(error->text),
			 MANIFEST_FILE ": it is missing, but %s; " MANIFEST_REPAIR, what);
		return -EBADMSG;
	}
	if (r < 0)
		snprintf(error->text, sizeof(error->text), "%s: %s", NAME_PRIVATE,
			 strerror(-r));
	return r;
}

static int make_dir(int parentfd, const char *name)
{
	int err = io_mkdir(parentfd, name, 0700);

	if (!err)
		return io_syncdir(parentfd, ".");
	return err == -EEXIST ? 0 : err;
}

int manifest_file_make_dirs(int storefd)
{
	CLEANUP_FD int fd = -1;
	int err = make_dir(storefd, NAME_PRIVATE);

	if (err)
		return err;
	fd = io_open(storefd, NAME_PRIVATE, O_RDONLY | O_DIRECTORY, 0);
	return fd < 0 ? fd : make_dir(fd, "chunks");
}

static int remove_name(int dirfd, const char *name)
{
	int err = io_unlink(dirfd, name, 0);

	if (err && err != -ENOENT)
		log_warning(NAME_PRIVATE ": %s cannot be removed: %s", name, strerror(-err));
	return 0;
}

/* Which number does a chunk file have? 0 if the name is no chunk's. */
static uint32_t chunk_number(const char *name)
{
	if (strspn(name, "0123456789") != 8 || strcmp(name + 8, ".jsonl") != 0)
		return 0;
	return (uint32_t)strtoul(name, NULL, 10);
}

static int sweep_name(void *ctx, int dirfd, const char *name)
{
	struct disk *d = ctx;
	uint32_t number = chunk_number(name);

	if (replace_is_temporary(name))
		return remove_name(dirfd, name);
	for (size_t i = 0; i < d->chunks.count; i++) {
		if (d->chunks.items[i].number == number)
			return 0;
	}
	return number ? remove_name(dirfd, name) : 0;
}

void manifest_file_sweep(struct disk *d)
{
	d->sweep = each_name(d->storefd, MANIFEST_CHUNKS, sweep_name, d) != 0;
}

static int sweep_temporary(void *ctx, int dirfd, const char *name)
{
	if (strncmp(name, "manifest.", 9) != 0 || !replace_is_temporary(name))
		return 0;
	return remove_name(dirfd, name);
}

void manifest_file_sweep_temporaries(int storefd)
{
	each_name(storefd, NAME_PRIVATE, sweep_temporary, NULL);
}

static int add_number(void *ctx, int dirfd, const char *name)
{
	struct chunk c = {.number = chunk_number(name)};

	return c.number ? manifest_chunks_add(ctx, &c) : 0;
}

int manifest_file_chunks(int storefd, struct chunks *out)
{
	int err = each_name(storefd, MANIFEST_CHUNKS, add_number, out);

	return err == -ENOENT ? 0 : err;
}

static int highest_number(void *ctx, int dirfd, const char *name)
{
	uint32_t *next = ctx, number = chunk_number(name);

	*next = MAX(*next, number + 1);
	return 0;
}

uint32_t manifest_file_next_chunk(const struct disk *d)
{
	uint32_t next = 1;

	for (size_t i = 0; i < d->chunks.count; i++)
		next = MAX(next, d->chunks.items[i].number + 1);
	each_name(d->storefd, MANIFEST_CHUNKS, highest_number, &next);
	return next;
}
