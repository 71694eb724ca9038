/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index of an object whose groups hold several chunks: it is made by reading, and by sealing; and
 * whatever is in its place, what is read is right. With UNIT_QUICK set (valgrind) all of it is left
 * out: the object has more than 0.5 GiB, most of it zeroes.
 */
#include "lib/seekgz_index.h"

#include "tests/unit/seekgz_build.h"
#include "tests/unit/store_kit.h"

#define CHUNK ((uint64_t)SEEKGZ_CHUNK_BYTES)
#define CHUNKS UINT64_C(1993) /* groups of two; the last of one */
#define BYTES (CHUNKS * CHUNK - 5)
#define NAME "index"

static uint8_t *raw;
static int object;
static struct seekgz_header header;
static struct scratch dir;

static void make_object(void)
{
	struct seekgz_recipe recipe = {.codec = "auto", .level = 1, .part = 1};
	const char *reason;
	struct stat st;

	raw = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(raw != MAP_FAILED);
	sample_random(raw + 6 * CHUNK, 4 * CHUNK, 1); /* groups 3 and 4 */
	object = seekgz_build_temporary(raw, BYTES, &recipe);
	CHECK_EQ(io_fstat(object, &st), 0);
	CHECK_EQ(seekgz_header_read(object, (uint64_t)st.st_size, &header, &reason), 0);
	CHECK_EQ(header.layout.stride_log2, 1);
	CHECK(seekgz_index_wanted(BYTES));
	CHECK(!seekgz_index_wanted(1992 * CHUNK) && !seekgz_index_wanted(0));
}

static struct seekgz_reader *open_indexed(bool save)
{
	struct seekgz_reader *r = NULL;
	const char *reason;

	CHECK_EQ(seekgz_open(dup(object), &r, &reason), 0);
	seekgz_use_index(r, dir.fd, NAME, save);
	return r;
}

static void read_right(struct seekgz_reader *r, uint64_t chunk)
{
	uint8_t buf[4096];

	CHECK_EQ(seekgz_read(r, buf, sizeof(buf), chunk * CHUNK + 77, NULL), sizeof(buf));
	CHECK(memcmp(buf, raw + chunk * CHUNK + 77, sizeof(buf)) == 0);
}

static bool kept(uint32_t group)
{
	CLEANUP_FD int fd = openat(dir.fd, NAME, O_RDONLY | O_CLOEXEC);
	struct seekgz_entry entries[2];

	return fd >= 0 && seekgz_index_read(fd, &header, group, entries);
}

/* Flip a byte in the middle of a chunk that does not compress. */
static void flip(uint64_t chunk)
{
	uint64_t at = header.layout.header_bytes + 1000;
	uint8_t byte;

	for (uint64_t i = 0; i < chunk / 2; i++)
		at += header.group[i].gz_bytes;
	at += chunk % 2 ? codec_bound(CHUNK) : 0;
	CHECK_EQ(io_pread(object, &byte, 1, at), 1);
	byte = (uint8_t)~byte;
	CHECK_EQ(io_pwrite(object, &byte, 1, at), 0);
}

static void a_reader_keeps_the_index_of_what_it_walks(void)
{
	struct seekgz_reader *r;

	scratch_init(&dir);
	r = open_indexed(true);
	CHECK(!kept(3));
	read_right(r, 7);
	CHECK(kept(3));
	CHECK(!kept(2) && !kept(4));
	read_right(r, CHUNKS - 2);
	read_right(r, 0);
	CHECK(kept(CHUNKS / 2 - 1) && kept(0) && kept(3));
	seekgz_close(r);
	scratch_release(&dir);
}

/* With it, damage in one chunk of a group is damage of that one; without it, of the group. */
static void with_an_index_only_the_damaged_chunk_cannot_be_read(void)
{
	struct seekgz_damage damage;
	struct seekgz_reader *r;
	uint8_t byte;

	scratch_init(&dir);
	r = open_indexed(true);
	read_right(r, 6);
	seekgz_close(r);
	flip(7);
	flip(9);
	r = open_indexed(false);
	read_right(r, 6);
	CHECK_EQ(seekgz_read(r, &byte, 1, 7 * CHUNK, &damage), -EIO);
	CHECK_EQ(damage.raw_offset, 7 * CHUNK);
	CHECK_STR(damage.reason, "a CRC is wrong");
	CHECK_EQ(seekgz_read(r, &byte, 1, 8 * CHUNK, &damage), -EIO);
	CHECK_EQ(damage.raw_offset, 8 * CHUNK);
	seekgz_close(r);
	CHECK(!kept(4)); /* a walk that fails is not kept */
	flip(7);
	flip(9);
	scratch_release(&dir);
}

static void without_leave_nothing_is_put_there(void)
{
	struct seekgz_reader *r;

	scratch_init(&dir);
	r = open_indexed(false);
	read_right(r, 7);
	CHECK_EQ(faccessat(dir.fd, NAME, F_OK, 0), -1);
	seekgz_close(r);
	scratch_release(&dir);
}

/* Each byte of a group's entries changed, and the file cut short: it is read right, and healed. */
static void an_index_that_is_wrong_is_made_anew(void)
{
	const uint64_t at = 3 * 2 * SEEKGZ_INDEX_ENTRY;
	struct seekgz_reader *r;

	scratch_init(&dir);
	for (uint64_t i = 0; i <= 2 * SEEKGZ_INDEX_ENTRY; i++) {
		CLEANUP_FD int fd = openat(dir.fd, NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		uint8_t byte = 0;

		io_pread(fd, &byte, 1, at + i);
		byte = (uint8_t)~byte;
		if (i < 2 * SEEKGZ_INDEX_ENTRY)
			CHECK_EQ(io_pwrite(fd, &byte, 1, at + i), 0);
		else
			CHECK_EQ(ftruncate(fd, (off_t)(at + i - 1)), 0);
		CHECK(!kept(3));
		r = open_indexed(true);
		read_right(r, 6);
		read_right(r, 7);
		CHECK(kept(3));
		seekgz_close(r);
	}
	scratch_release(&dir);
}

/* Of the object in the store: right for each of its groups. */
static void check_sealed_index(void)
{
	CLEANUP_FD int fd = openat(dir.fd, "x.notepack.gz", O_RDONLY | O_CLOEXEC);
	CLEANUP_FD int index = -1;
	char path[PATH_MAX];
	struct seekgz_entry entries[2];
	struct seekgz_header h;
	const char *reason;
	struct dirent *e;
	struct stat st;
	DIR *d;

	snprintf(path, sizeof(path), "%s/.notepackfs/index", dir.path);
	CHECK_EQ(count_entries(&dir, ".notepackfs/index"), 1);
	d = opendir(path);
	while ((e = readdir(d))) {
		if (e->d_name[0] != '.')
			index = openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC);
	}
	closedir(d);
	CHECK_EQ(io_fstat(fd, &st), 0);
	CHECK_EQ(seekgz_header_read(fd, (uint64_t)st.st_size, &h, &reason), 0);
	for (uint32_t i = 0; i < h.layout.groups; i++)
		CHECK(seekgz_index_read(index, &h, i, entries));
	seekgz_header_release(&h);
}

/* A file of zeroes that takes no room. */
static void sealing_makes_the_index_and_removing_takes_it_away(void)
{
	struct stat st = {.st_size = (off_t)BYTES};
	unsigned set = STORE_SET_SIZE;
	struct caller c = me();
	struct handle *h;
	struct store *s;
	struct node *n;

	scratch_init(&dir);
	s = open_store(&dir, 2, NEVER_NS);
	h = create(s, "x", &n);
	CHECK_EQ(store_setattr(s, &c, n, &st, &set, &st), 0);
	store_release(h);
	seal_all(s);
	check_sealed_index();
	node_unref(s, n, 1);
	CHECK_EQ(remove_name(s, "x"), 0);
	CHECK_EQ(count_entries(&dir, ".notepackfs/index"), 0);
	CHECK_EQ(store_close(s), 0);
	scratch_release(&dir);
}

static void an_object_of_more_than_half_a_gib(void)
{
	SKIP("UNIT_QUICK");
}

int main(void)
{
	if (getenv("UNIT_QUICK")) {
		RUN(an_object_of_more_than_half_a_gib);
		return unit_done();
	}
	make_object();
	RUN(a_reader_keeps_the_index_of_what_it_walks);
	RUN(with_an_index_only_the_damaged_chunk_cannot_be_read);
	RUN(without_leave_nothing_is_put_there);
	RUN(an_index_that_is_wrong_is_made_anew);
	RUN(sealing_makes_the_index_and_removing_takes_it_away);
	seekgz_header_release(&header);
	return unit_done();
}
