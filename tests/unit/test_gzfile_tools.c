/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files as gzip, pigz, Python and others really write them: each is good, and reads back at
 * random. The programs are those of contrib/setup-debian; one that is missing is a failure.
 */
#include <sys/wait.h>

#include "tests/unit/gzfile_kit.h"
#include "tests/unit/gzfile_reader.h"

static const struct {
	const char
	    *command;	  /* from the file plain to standard output, in the scratch directory */
	uint64_t members; /* 0: some */
	bool slow;
} writers[] = {
    {"gzip -1 -c plain", 1, false},
    {"gzip -6 -c plain", 1, false},
    {"gzip -9 -n < plain", 1, false},
    {"gzip --rsyncable -c plain", 1, false},
    {"gzip -c empty; gzip -c plain; gzip -c empty", 3, false},
    {"gzip -c plain; head -c 1000 /dev/zero", 1, false},
    {"split -b 700000 --filter='gzip' plain", 0, false},
    {"pigz -1 -c plain", 1, false},
    {"pigz -p 3 -b 128 -c plain", 1, false},
    {"pigz -i -9 -c plain", 1, false},
    {"pigz -C 'a comment' -c plain", 1, false},
    {"pigz -11 -I 1 -c plain", 1, true}, /* zopfli, that does not try again to save more */
    {"busybox gzip -c plain", 1, false},
    {"7zz a -tgzip -so -mx=1 ignored plain", 1, false},
    {"7zz a -tgzip -so -mx=9 ignored plain", 1, true},
    {"python3 -c 'import gzip, shutil, sys\n"
     "with open(\"plain\", \"rb\") as i, gzip.GzipFile(\"x\", \"wb\", 6, sys.stdout.buffer) as "
     "o:\n"
     "    shutil.copyfileobj(i, o, 999)'",
     1, false},
    {"python3 -c 'import gzip, sys\n"
     "sys.stdout.buffer.write(gzip.compress(open(\"plain\", \"rb\").read(), 9))'",
     1, false},
    /* Not with -HeaderCRC: its Gzip.pm keeps 8 of the 16 bits, and gzip and zlib refuse that.
     */
    {"perl -MIO::Compress::Gzip=:all -e 'gzip(\"plain\", \"-\", -Name => \"n\", "
     "-Comment => \"c\", -ExtraField => [AB => \"x\"]) or die'",
     1, false},
};

static void write_plain(struct scratch *s, const uint8_t *raw, size_t len)
{
	int fd = openat(s->fd, "plain", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	CHECK_EQ(io_pwrite(fd, raw, len, 0), 0);
	close(fd);
	scratch_put(s, "empty", "");
}

/* Run the writer; the descriptor of what it wrote. */
static int run_writer(struct scratch *s, const char *command)
{
	char line[PATH_MAX];
	int status;

	snprintf(line, sizeof(line), "cd %s && { %s\n} > file.gz", s->path, command);
	status = system(line);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return openat(s->fd, "file.gz", O_RDONLY | O_CLOEXEC);
}

static void check_reads(struct scratch *s, int fd, const struct gzfile_summary *sum,
			const uint8_t *raw, size_t len)
{
	struct gzfile_facts facts = {
	    .gz_bytes = sum->gz_bytes, .raw_bytes = sum->raw_bytes, .crc32 = sum->crc32};
	struct gzfile_reader *r = open_fd(fd, &facts, s->fd);
	uint64_t seed = sum->gz_bytes;

	for (int k = 0; k < 20; k++)
		check_read(r, raw, len, (size_t)sample_below(&seed, len), 200 * KIB);
	check_whole(r, raw, len);
	gzfile_close(r);
}

static void check_writer(struct scratch *s, size_t i, const uint8_t *raw, size_t len)
{
	struct expected e = {.raw = raw, .len = len};
	struct seekgz_damage damage = {0};
	struct gzfile_summary sum = {0};
	int fd = run_writer(s, writers[i].command);
	int err = gzfile_verify(fd, &sum, compare, &e, &damage);

	CHECK_EQ(err, 0);
	CHECK_EQ(sum.raw_bytes, len);
	CHECK(writers[i].members == 0 ? sum.members > 1 : sum.members == writers[i].members);
	if (err || sum.raw_bytes != len)
		printf("# %s: %s\n", writers[i].command, damage.reason ? damage.reason : "");
	else
		check_reads(s, dup(fd), &sum, raw, len);
	close(fd);
}

static void reads_what_the_writers_of_this_world_write(void)
{
	size_t len = 2 * MIB + 12345;
	CLEANUP_FREE uint8_t *raw = malloc(len);
	struct scratch s;

	scratch_init(&s);
	sample_mixed(raw, len, 1);
	write_plain(&s, raw, len);
	for (size_t i = 0; i < ARRAY_LEN(writers); i++)
		if (!writers[i].slow || !getenv("UNIT_QUICK"))
			check_writer(&s, i, raw, len);
	scratch_release(&s);
}

int main(void)
{
	RUN(reads_what_the_writers_of_this_world_write);
	return unit_done();
}
