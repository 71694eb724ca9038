/* SPDX-License-Identifier: BSD-2-Clause */
/* seekgz_write: the disk is given what is written while chunks are still added, and the rest with the end. */
#include "lib/seekgz_write.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#define CHUNKS 80

static uint64_t given; /* bytes whose writeback was begun */
static unsigned calls, wholes;

int sync_file_range(int fd, off_t offset, off_t len, unsigned flags)
{
	if (len == 0) {
		wholes++;
	} else {
		CHECK_EQ(offset, given);
		given = (uint64_t)(offset + len);
		calls++;
	}
	return (int)syscall(SYS_sync_file_range, fd, offset, len, flags);
}

static void gives_the_disk_what_is_written_as_it_comes(void)
{
	static uint8_t chunk[SEEKGZ_CHUNK_BYTES];
	struct seekgz_writer w;
	struct scratch dir;
	uint8_t sha256[SHA256_BYTES];
	int fd;

	scratch_init(&dir);
	fd = openat(dir.fd, "object", O_RDWR | O_CREAT, 0600);
	CHECK(fd >= 0);
	CHECK_EQ(seekgz_writer_init(&w, fd, (uint64_t)CHUNKS * sizeof(chunk)), 0);
	for (int i = 0; i < CHUNKS; i++)
		CHECK_EQ(seekgz_writer_add(&w, chunk, sizeof(chunk), chunk, sizeof(chunk)), 0);
	CHECK(calls >= 2);
	CHECK(w.gz_bytes - given < (uint64_t)8 << 20);
	CHECK_EQ(wholes, 0);
	CHECK_EQ(seekgz_writer_end(&w, 1, 0, sha256), 0);
	CHECK_EQ(wholes, 1);
	seekgz_writer_release(&w);
	close(fd);
	scratch_release(&dir);
}

int main(void)
{
	RUN(gives_the_disk_what_is_written_as_it_comes);
	return unit_done();
}
