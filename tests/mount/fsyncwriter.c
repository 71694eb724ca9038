/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fsyncwriter: handles that fsync and go on writing.
 *
 *	fsyncwriter rounds KIND FILE COPY COUNT WAITED BYTES
 *		COUNT times: write the rest of a record and a torn half of the next, and fsync;
 *		in the first WAITED rounds then wait for the next part of FILE. KIND: lines or
 *		frames, of BYTES or a little more. Then, the handle still open, read the plain
 *		name, and try to change what is sealed. COPY gets what was written.
 *	fsyncwriter whole KIND		is what comes on stdin whole records, and at least one?
 *	fsyncwriter mapped FILE COPY FENCE
 *		write FILE through a shared mapping, with msync and fsync; then write, fsync and
 *		wait for the part of FENCE: by then FILE's deadline is over, and it must not be cut.
 *	fsyncwriter fsync FD · pwrite FD OFFSET TEXT · ftruncate FD SIZE
 *		with a descriptor that the caller has open
 *
 * Prints what is wrong, and exits 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WAIT_SECONDS 60
#define MAP_BYTES ((size_t)1 << 20)
#define PATH 4096

static int failures;

static void fail(const char *what)
{
	printf("# fsyncwriter: %s\n", what);
	failures++;
}

static void die(const char *what)
{
	printf("# fsyncwriter: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void write_fully(int fd, const void *data, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, (const char *)data + done, len - done);

		if (n < 0)
			die("write");
		done += (size_t)n;
	}
}

/* The whole file, or NULL (errno). */
static char *read_fully(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	char *data;
	ssize_t n = 0;

	if (fd < 0 || fstat(fd, &st) != 0)
		return NULL;
	data = malloc((size_t)st.st_size + 1);
	if (!data)
		die("malloc");
	for (*len = 0; *len < (size_t)st.st_size; *len += (size_t)n) {
		n = read(fd, data + *len, (size_t)st.st_size - *len);
		if (n <= 0)
			break;
	}
	close(fd);
	return data;
}

/* ---- records ---- */

static bool is_frames(const char *kind)
{
	return strcmp(kind, "frames") == 0;
}

/* Record i in out; returns its length. A frame begins as version 1 does. */
static size_t make_record(bool frames, unsigned i, size_t bytes, char *out)
{
	size_t len = bytes + i % 7;

	if (frames) {
		uint32_t payload = (uint32_t)len - 4;

		for (int b = 0; b < 4; b++)
			out[b] = (char)(payload >> (8 * b));
		memset(out + 4, (int)('a' + i % 26), len - 4);
		out[4] = 1;
		out[4 + 129] = (char)(i % 128); /* created_at */
	} else {
		memset(out, (int)('a' + i % 26), len);
		snprintf(out, len, "record %u", i);
		out[strlen(out)] = ' ';
		out[len - 1] = '\n';
	}
	return len;
}

/* The bytes after the last whole record; all of them if there is none. */
static size_t torn_bytes(bool frames, const char *data, size_t len)
{
	size_t at = 0;

	if (!frames) {
		while (len - at > 0 && data[len - at - 1] != '\n')
			at++;
		return at;
	}
	while (len - at >= 4) {
		size_t payload = 0;

		for (size_t b = 0; b < 4; b++)
			payload |= (size_t)(unsigned char)data[at + b] << (8 * b);
		if (payload > len - at - 4)
			break;
		at += 4 + payload;
	}
	return len - at;
}

static int do_whole(char **argv)
{
	static char data[64 << 20];
	size_t len = 0;
	ssize_t n;

	while ((n = read(STDIN_FILENO, data + len, sizeof(data) - len)) > 0)
		len += (size_t)n;
	if (len == 0)
		fail("no bytes");
	else if (torn_bytes(is_frames(argv[0]), data, len) > 0)
		fail("a record is torn");
	return failures > 0;
}

/* ---- parts ---- */

static void part_path(const char *file, unsigned part, char *out)
{
	size_t len = strlen(file);
	const char *suffix = ".notepack";

	if (len > strlen(suffix) && strcmp(file + len - strlen(suffix), suffix) == 0)
		len -= strlen(suffix);
	if (part == 1)
		snprintf(out, PATH, "%.*s.notepack.gz", (int)len, file);
	else
		snprintf(out, PATH, "%.*s.p%09u.notepack.gz", (int)len, file, part);
}

static bool has_part(const char *file, unsigned part)
{
	char path[PATH];

	part_path(file, part, path);
	return access(path, F_OK) == 0;
}

static void await_part(const char *file, unsigned part)
{
	time_t deadline = time(NULL) + WAIT_SECONDS;

	while (!has_part(file, part)) {
		const struct timespec pause = {0, 1000000};

		if (time(NULL) > deadline) {
			printf("# fsyncwriter: %s: part %u does not appear\n", file, part);
			exit(1);
		}
		nanosleep(&pause, NULL);
	}
}

/* ---- rounds ---- */

static void compare(const char *file, const char *want, size_t want_len, const char *when)
{
	size_t len;
	char *data = read_fully(file, &len);

	if (!data)
		die(file);
	if (len != want_len || memcmp(data, want, len) != 0) {
		printf("# fsyncwriter: %s: %s: %zu bytes, other than the %zu written\n", file,
		       when, len, want_len);
		failures++;
	}
	free(data);
}

static void refused(const char *what, long r)
{
	if (r >= 0 || errno != EPERM) {
		printf("# fsyncwriter: %s: %s instead of EPERM\n", what,
		       r >= 0 ? "success" : strerror(errno));
		failures++;
	}
}

static void try_to_change(const char *file, int fd, size_t cut)
{
	char path[PATH];
	size_t before_len, after_len;
	char *before, *after;

	part_path(file, 1, path);
	before = read_fully(path, &before_len);
	refused("pwrite at 0", pwrite(fd, "changed", 7, 0));
	refused("pwrite of the last cut byte", pwrite(fd, "x", 1, (off_t)cut - 1));
	refused("pwrite across the cut", pwrite(fd, "changed", 7, (off_t)cut - 3));
	refused("ftruncate to 0", ftruncate(fd, 0));
	refused("ftruncate just below the cut", ftruncate(fd, (off_t)cut - 1));
	refused("open with O_TRUNC", open(file, O_WRONLY | O_TRUNC));
	refused("opening the object for writing", open(path, O_WRONLY));
	after = read_fully(path, &after_len);
	if (!before || !after || before_len != after_len ||
	    memcmp(before, after, before_len) != 0)
		fail("the object has changed");
	free(before);
	free(after);
}

static int do_rounds(char **argv)
{
	const char *file = argv[1];
	bool frames = is_frames(argv[0]);
	unsigned count = (unsigned)atoi(argv[3]), waited = (unsigned)atoi(argv[4]);
	size_t bytes = (size_t)atol(argv[5]), end = 0, written = 0, cut = 0;
	char *all = malloc((count + 2) * (bytes + 8));
	int fd = open(file, O_WRONLY | O_CREAT | O_EXCL, 0644), copy;

	if (fd < 0 || !all)
		die(file);
	end = make_record(frames, 0, bytes, all);
	for (unsigned i = 1; i <= count; i++) {
		size_t whole = end;

		end += make_record(frames, i, bytes, all + end);
		write_fully(fd, all + written, whole + bytes / 2 - written);
		written = whole + bytes / 2;
		if (fsync(fd) != 0)
			die("fsync");
		if (i <= waited) {
			await_part(file, i);
			cut = whole;
		}
		if (i % 10 == 0)
			compare(file, all, written, "between two fsyncs");
	}
	if (cut > 0)
		try_to_change(file, fd, cut);
	write_fully(fd, all + written, end - written);
	compare(file, all, end, "while it is open");
	if (close(fd) != 0)
		die("close");
	compare(file, all, end, "after the close");
	copy = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0644);
	write_fully(copy, all, end);
	close(copy);
	free(all);
	return failures > 0;
}

/* ---- a shared mapping ---- */

static void fence(const char *path, int fd, unsigned part)
{
	write_fully(fd, "fence\n", 6);
	if (fsync(fd) != 0)
		die("fsync");
	await_part(path, part);
}

static int do_mapped(char **argv)
{
	int fd = open(argv[0], O_RDWR | O_CREAT | O_EXCL, 0644), copy;
	int fence_fd = open(argv[2], O_WRONLY | O_CREAT | O_EXCL, 0644);
	char *map;

	if (fd < 0 || fence_fd < 0 || ftruncate(fd, MAP_BYTES) != 0)
		die(argv[0]);
	map = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		die("mmap");
	for (unsigned i = 0; i < 8; i++) {
		size_t step = MAP_BYTES / 8;

		for (size_t at = 0; at < step; at += 16)
			snprintf(map + i * step + at, 17, "%014zu.\n", i * step + at);
		if (msync(map, MAP_BYTES, MS_SYNC) != 0 || fsync(fd) != 0)
			die("msync");
		fence(argv[2], fence_fd, 2 * i + 1);
		fence(argv[2], fence_fd, 2 * i + 2);
		if (has_part(argv[0], 1))
			fail("a file that is mapped shared was cut while open");
	}
	memcpy(map + 100, "changed after the last fsync",
	       28); /* reaches the file at the close */
	copy = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0644);
	write_fully(copy, map, MAP_BYTES);
	close(copy);
	munmap(map, MAP_BYTES);
	close(fence_fd);
	if (close(fd) != 0)
		die("close");
	return failures > 0;
}

/* ---- with a descriptor of the caller's ---- */

static int result(long r)
{
	if (r >= 0)
		return 0;
	fprintf(stderr, "%s\n", strerror(errno));
	return 1;
}

static int do_fsync(char **argv)
{
	return result(fsync(atoi(argv[0])));
}

static int do_pwrite(char **argv)
{
	return result(pwrite(atoi(argv[0]), argv[2], strlen(argv[2]), atoll(argv[1])));
}

static int do_ftruncate(char **argv)
{
	return result(ftruncate(atoi(argv[0]), atoll(argv[1])));
}

static const struct {
	const char *name;
	int arguments;
	int (*run)(char **argv);
} commands[] = {
    {"rounds", 6, do_rounds}, {"whole", 1, do_whole},	{"mapped", 3, do_mapped},
    {"fsync", 1, do_fsync},   {"pwrite", 3, do_pwrite}, {"ftruncate", 2, do_ftruncate},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (argc == 2 + commands[i].arguments && strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argv + 2);
	}
	fprintf(stderr, "fsyncwriter: wrong usage; see its source\n");
	return 2;
}
