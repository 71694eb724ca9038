/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notepackctl cat: plain bytes to stdout.
 *
 * A name with the sealed suffix is decompressed and checked in full, wherever it lies. In a
 * mount any other name is simply read: the daemon decompresses and checks. In a store that is
 * not mounted, or in a directory to which objects were copied, a plain name stands for its
 * parts, in order, and then what the raw file has beyond them. Nothing is printed that a
 * checksum has not vouched for, so nothing after a damage.
 */
#include "mount/ctl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/gzfile.h"
#include "lib/io.h"
#include "lib/name.h"
#include "lib/object.h"
#include "lib/seekgz.h"

#define COPY_BYTES ((size_t)1 << 20)

struct part {
	uint32_t number;
	char *name;
};

struct parts {
	struct part *part;
	size_t count;
};

static int say_damaged(const char *path, const struct seekgz_damage *damage, int err)
{
	if (!damage->reason)
		ctl_error("%s: %s", path, strerror(-err));
	else
		ctl_error(
		    "%s: damaged at offset %llu (byte %llu of the object): %s; what follows "
		    "is not printed",
		    path, (unsigned long long)damage->raw_offset,
		    (unsigned long long)damage->gz_offset, damage->reason);
	return CTL_DAMAGED;
}

static int say(const char *path, int err)
{
	ctl_error("%s: %s", path, strerror(-err));
	return CTL_FAILED;
}

static int write_out(void *ctx, const uint8_t *data, size_t len)
{
	int err = io_write(STDOUT_FILENO, data, len);

	*(int *)ctx = err;
	return err;
}

/* One pass: each chunk has a CRC of its own, checked before the chunk is printed. */
static int print_verified(int fd, const char *path)
{
	struct seekgz_damage damage = {0};
	struct seekgz_header header = {0};
	struct seekgz_summary summary;
	int write_err = 0;
	int err = seekgz_verify(fd, &header, &summary, write_out, &write_err, &damage);

	seekgz_header_release(&header);
	if (write_err)
		return say("standard output", write_err);
	return err ? say_damaged(path, &damage, err) : CTL_DONE;
}

static int hash_and_print(struct seekgz_reader *r, EVP_MD_CTX *hash, const char *path)
{
	CLEANUP_FREE uint8_t *buf = ctl_alloc(COPY_BYTES);
	struct seekgz_damage damage = {0};
	uint64_t offset = 0;
	ssize_t n;

	while ((n = seekgz_read(r, buf, COPY_BYTES, offset, &damage)) > 0) {
		int err = io_write(STDOUT_FILENO, buf, (size_t)n);

		if (err)
			return say("standard output", err);
		EVP_DigestUpdate(hash, buf, (size_t)n);
		offset += (uint64_t)n;
	}
	return n < 0 ? say_damaged(path, &damage, (int)n) : CTL_DONE;
}

/* Several chunks share a CRC: the reader checks the group first, and decompresses it again. */
static int print_groups(struct seekgz_reader *r, const char *path)
{
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	uint8_t sha256[SHA256_BYTES];
	int status;

	if (!hash || EVP_DigestInit_ex(hash, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(hash);
		return say(path, -ENOMEM);
	}
	status = hash_and_print(r, hash, path);
	EVP_DigestFinal_ex(hash, sha256, NULL);
	EVP_MD_CTX_free(hash);
	if (status == CTL_DONE &&
	    memcmp(sha256, seekgz_header(r)->raw_sha256, sizeof(sha256)) != 0) {
		ctl_error(
		    "%s: damaged: the SHA-256 of its plain bytes is not what its header says",
		    path);
		return CTL_DAMAGED;
	}
	return status;
}

/* An import has one CRC-32, at its end: so it is read twice. */
static int print_import(int fd, const char *path, uint64_t *raw_bytes)
{
	struct seekgz_damage damage = {0};
	struct gzfile_summary summary;
	int write_err = 0;
	int err = gzfile_verify(fd, &summary, NULL, NULL, &damage);

	if (!err)
		err = gzfile_verify(fd, &summary, write_out, &write_err, &damage);
	if (write_err)
		return say("standard output", write_err);
	*raw_bytes = summary.raw_bytes;
	return err ? say_damaged(path, &damage, err) : CTL_DONE;
}

/* Print a sealed object; fd is taken over. */
static int print_object(int fd, const char *path)
{
	struct seekgz_reader *r;
	const char *reason = NULL;
	uint64_t raw_bytes;
	int status, err;

	if (object_is_ours(fd) == 0) {
		status = print_import(fd, path, &raw_bytes);
		close(fd);
		return status;
	}
	err = seekgz_open(fd, &r, &reason);
	if (err == -EBADMSG) {
		ctl_error("%s: damaged at offset 0: %s", path, reason ? reason : "its header");
		return CTL_DAMAGED;
	}
	if (err)
		return say(path, err);
	if (seekgz_header(r)->layout.stride_log2 == 0)
		status = print_verified(fd, path);
	else
		status = print_groups(r, path);
	seekgz_close(r);
	return status;
}

static int print_plain(int fd, uint64_t offset, const char *path)
{
	CLEANUP_FREE uint8_t *buf = ctl_alloc(COPY_BYTES);
	ssize_t n;

	while ((n = io_pread(fd, buf, COPY_BYTES, offset)) > 0) {
		int err = io_write(STDOUT_FILENO, buf, (size_t)n);

		if (err)
			return say("standard output", err);
		offset += (uint64_t)n;
	}
	if (n != -EIO)
		return n < 0 ? say(path, (int)n) : CTL_DONE;
	ctl_error("%s: cannot be read at offset %llu: %s; what follows is not printed "
		  "(notepackctl check --deep names what is damaged)",
		  path, (unsigned long long)offset, strerror(EIO));
	return CTL_DAMAGED;
}

static void parts_release(struct parts *p)
{
	for (size_t i = 0; i < p->count; i++)
		free(p->part[i].name);
	free(p->part);
}

static int compare_parts(const void *a, const void *b)
{
	const struct part *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

static void parts_add(struct parts *p, const char *name, uint32_t number)
{
	struct part *grown = realloc(p->part, (p->count + 1) * sizeof(*grown));

	if (!grown)
		ctl_no_memory();
	p->part = grown;
	p->part[p->count++] = (struct part){.number = number, .name = ctl_strdup(name)};
}

/* The parts of a plain name that are in its directory, in order. */
static void find_parts(const char *dir, const char *plain, const char *suffix, struct parts *p)
{
	size_t stem = name_stem_len(plain, suffix);
	DIR *d = opendir(dir);
	struct dirent *e;

	*p = (struct parts){0};
	while (d && (e = readdir(d))) {
		size_t len;
		uint32_t number;

		if (name_parse_sealed(e->d_name, suffix, &len, &number) && len == stem &&
		    memcmp(e->d_name, plain, stem) == 0)
			parts_add(p, e->d_name, number);
	}
	if (d)
		closedir(d);
	if (p->count)
		qsort(p->part, p->count, sizeof(*p->part), compare_parts);
}

/* Print one of several parts. *end is where the part before ended, and then where this one
 * does. */
static int print_part(const char *path, uint32_t number, bool first, uint64_t *end)
{
	CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct seekgz_header h = {0};
	const char *reason = NULL;
	struct stat st = {0};
	int err = fd < 0 ? -errno : io_fstat(fd, &st);
	bool joins;

	if (!err && number == 1 && object_is_ours(fd) == 0)
		return print_import(fd, path, end);
	if (!err)
		err = seekgz_header_read(fd, (uint64_t)st.st_size, &h, &reason);
	if (err == -EBADMSG) {
		ctl_error("%s: damaged at offset 0: %s", path, reason ? reason : "its header");
		return CTL_DAMAGED;
	}
	if (err)
		return say(path, err);
	joins = h.part == number && (first || h.offset == *end);
	if (!joins)
		ctl_error(
		    "%s: does not join the part before it, which ends at offset %llu; it is "
		    "part %u at offset %llu by its header",
		    path, (unsigned long long)*end, h.part, (unsigned long long)h.offset);
	*end = h.offset + h.layout.raw_bytes;
	seekgz_header_release(&h);
	return joins ? print_object(fcntl(fd, F_DUPFD_CLOEXEC, 0), path) : CTL_DAMAGED;
}

/* What the raw file, if there is one, has beyond its parts. */
static int print_tail(const char *path, uint64_t from, bool needed)
{
	CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return errno == ENOENT && !needed ? CTL_DONE : say(path, -errno);
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		return say(path, -EISDIR);
	return print_plain(fd, from, path);
}

static int print_parts(const char *path, const char *dir, const char *base, const char *suffix)
{
	struct parts p;
	uint64_t end = 0;
	int status = CTL_DONE;

	find_parts(dir, base, suffix, &p);
	for (size_t i = 0; i < p.count && status == CTL_DONE; i++) {
		CLEANUP_FREE char *part = ctl_format("%s/%s", dir, p.part[i].name);

		status = print_part(part, p.part[i].number, i == 0, &end);
	}
	if (status == CTL_DONE)
		status = print_tail(path, end, p.count == 0);
	parts_release(&p);
	return status;
}

static bool in_mount(const char *canonical)
{
	CLEANUP_MOUNT struct ctl_mount m = {0};

	return ctl_mount_find(canonical, &m, NULL) == 0;
}

static int cat(const char *path)
{
	CLEANUP_FREE char *canonical = ctl_canonical(path), *suffix = NULL;
	char *base;
	int fd;

	if (!canonical)
		return say(path, -errno);
	free(ctl_store_above(canonical, &suffix));
	base = strrchr(canonical, '/') + 1;
	if (name_has_sealed_suffix(base, suffix)) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		return fd < 0 ? say(path, -errno) : print_object(fd, path);
	}
	if (in_mount(canonical))
		return print_tail(path, 0, true);
	base[-1] = '\0';
	return print_parts(path, base - 1 == canonical ? "/" : canonical, base, suffix);
}

int ctl_cat(int argc, char **argv)
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {0}};
	int c, status = CTL_DONE;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) >= 0)
		return c == 'h' ? ctl_help() : ctl_usage(NULL);
	if (optind == argc)
		return ctl_usage("a path is needed");
	for (int i = optind; i < argc; i++)
		status = ctl_worse(status, cat(argv[i]));
	return status;
}
