/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Raw files of which a start does not know whether their bytes are sealed: they stay.
 */
#include "tests/unit/order_kit.h"

#include <sys/xattr.h>

#include "lib/cut.h"
#include "lib/raw.h"

/* The first look at a file of this path, behind so many that do not fail. */
static const char *fstat_fails;
static int fstat_passes;

int fstat(int fd, struct stat *st)
{
	char link[64], path[PATH_MAX] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (fstat_fails && readlink(link, path, sizeof(path) - 1) > 0 &&
	    matches(fstat_fails, path) && fstat_passes-- == 0) {
		fstat_fails = NULL;
		errno = ENFILE;
		return -1;
	}
	return (int)syscall(SYS_newfstatat, fd, "", st, AT_EMPTY_PATH);
}

static void keep_the_raw_file(void)
{
	with_raw_file_kept();
}

/* A byte of the object is not what it was. */
static void flip(const char *name)
{
	int fd = openat(dir.fd, name, O_RDWR | O_CLOEXEC);
	uint8_t byte;

	CHECK_EQ(pread(fd, &byte, 1, 30), 1);
	byte ^= 1;
	CHECK_EQ(pwrite(fd, &byte, 1, 30), 1);
	close(fd);
}

/* As the prover leaves it: the next start compares it, before anything is served. */
static void doubt(const char *name)
{
	CLEANUP_FD int fd = openat(dir.fd, name, O_RDONLY | O_CLOEXEC);

	CHECK_EQ(fsetxattr(fd, "user.notepackfs.doubt", "1", 1, 0), 0);
}

/* The start could not compare it with its object, which is damaged. */
static void one_that_could_not_be_compared_is_no_proven_copy(void)
{
	struct store *s;
	struct node *n;

	begin();
	killed_in(keep_the_raw_file);
	CHECK_EQ(fchmodat(dir.fd, "a.notepack.gz", 0644, 0), 0);
	flip("a.notepack.gz");
	doubt("a");
	quiet();
	fstat_passes = 1; /* the walk through the store */
	fstat_fails = "*/a.notepack.gz";
	s = start(NEVER_NS);
	CHECK(!fstat_fails);
	CHECK_EQ(store_lookup(s, store_root(s), "a", &n), 0);
	file_drop_raw(s, to_file(n));
	node_unref(s, n, 1);
	CHECK_EQ(store_close(s), 5);
	CHECK(has_text("a", "text"));
	CHECK_EQ(store_close(start(0)), 0);
	loud();
	CHECK(seals_to("a.notepack.gz", "text"));
	end();
}

/* Where its object should be is none: its record is forgotten, and it is the only copy. */
static void one_with_something_else_in_the_place_of_its_object_is_sealed_again(void)
{
	struct store *s;

	begin();
	killed_in(keep_the_raw_file);
	CHECK_EQ(unlinkat(dir.fd, "a.notepack.gz", 0), 0);
	CHECK_EQ(mknodat(dir.fd, "a.notepack.gz", S_IFSOCK | 0600, 0), 0);
	quiet();
	s = start(NEVER_NS);
	CHECK_EQ(manifest_count(s->manifest), 0);
	CHECK_EQ(store_close(s), 0);
	loud();
	CHECK(seals_to("a.notepack.gz", "text"));
	end();
}

/* An import and a raw file say the same file id: each is a file. */
static void crash_with_both(void)
{
	struct store *s = start(NEVER_NS);
	char import[64];
	struct raw_mark mark = {0};
	uint8_t gz[1000];
	int fd;

	CHECK_EQ(manifest_new_id(s->manifest, &mark.id), 0);
	snprintf(import, sizeof(import), ".notepackfs/import/%llu",
		 (unsigned long long)mark.id);

	scratch_put(&dir, "raw", "text");
	fd = openat(dir.fd, "raw", O_RDWR | O_CLOEXEC);
	CHECK_EQ(raw_write_mark(s, fd, &mark), 0);
	close(fd);
	fd = openat(dir.fd, import, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	CHECK_EQ(io_write(fd, gz, foreign_gzip(gz, sizeof(gz), "import")), 0);
	CHECK_EQ(raw_write_path(fd, "import.notepack.gz"), 0);
	close(fd);
}

static void one_with_the_id_of_an_import_is_another_file(void)
{
	struct store *s;

	begin();
	killed_in(crash_with_both);
	quiet();
	s = start(0);
	seal_all(s);
	CHECK_EQ(manifest_count(s->manifest), 2);
	CHECK_EQ(store_close(s), 0);
	loud();
	CHECK(seals_to("raw.notepack.gz", "text"));
	CHECK(seals_to("import.notepack.gz", "import"));
	end();
}

static void keep_more_than_the_object_has(void)
{
	struct store *s = with_raw_file_kept();

	append(s, "a", " and more", 9);
}

/* Only its mark says whose the object beside it is: without it they would be two files. */
static void one_that_cannot_be_read_ends_a_repair(void)
{
	begin();
	killed_in(keep_more_than_the_object_has);
	CHECK_EQ(unlinkat(dir.fd, ".notepackfs/manifest", 0), 0);
	fstat_passes = 0;
	fstat_fails = "*/a";
	CHECK_EQ(repair(), -ENFILE);
	CHECK(!scratch_has(&dir, ".notepackfs/manifest"));
	CHECK_EQ(repair(), 0);
	quiet();
	CHECK_EQ(store_close(start(0)), 0);
	loud();
	CHECK(seals_to("a.notepack.gz", "text"));
	CHECK(seals_to("a.p000000002.notepack.gz", " and more"));
	end();
}

int main(void)
{
	loud();
	RUN(one_that_could_not_be_compared_is_no_proven_copy);
	RUN(one_with_something_else_in_the_place_of_its_object_is_sealed_again);
	RUN(one_with_the_id_of_an_import_is_another_file);
	RUN(one_that_cannot_be_read_ends_a_repair);
	return unit_done();
}
