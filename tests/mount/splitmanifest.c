/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * splitmanifest STORE LINES TAIL: rewrite an unmounted store's manifest, with the same lines in
 * the same order, so that all but the last TAIL of them are in chunk files of LINES lines each.
 * Prints the number of chunk files. A store of some hundred files then has what one of some
 * ten thousand has.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/io.h"
#include "lib/manifest_impl.h"
#include "lib/replace.h"

static void die(const char *what, int err)
{
	fprintf(stderr, "splitmanifest: %s: %s\n", what, strerror(-err));
	exit(1);
}

static void write_file(int storefd, const char *path, const struct iovec *iov, int count)
{
	int err = replace_file(storefd, path, iov, count, NULL);

	if (err)
		die(path, err);
}

/* Every line, in order; the header as it was. */
static void read_all(int storefd, struct buf *lines, struct header_read *read)
{
	const char *reason = "", *end;
	CLEANUP_BUF struct buf chunk = {0};
	char *text = NULL;
	size_t len;
	int err = io_read_file(storefd, MANIFEST_FILE, 1 << 28, &text, &len);

	if (err)
		die(MANIFEST_FILE, err);
	end = memchr(text, '\n', len);
	if (!end || manifest_header_decode(text, (size_t)(end - text), read, &reason) != 0)
		die(reason, -EBADMSG);
	for (size_t i = 0; i < read->chunks.count; i++) {
		if (manifest_file_read_chunk(storefd, &read->chunks.items[i], &chunk, &reason))
			die("a chunk file", -EBADMSG);
		buf_add(lines, chunk.data, chunk.len);
	}
	buf_add(lines, end + 1, len - (size_t)(end + 1 - text));
	free(text);
}

static size_t skip_lines(const char *text, const char *end, uint32_t *count)
{
	const char *p = text;
	uint32_t n = 0;

	for (; n < *count && p < end; n++)
		p = (const char *)memchr(p, '\n', (size_t)(end - p)) + 1;
	*count = n;
	return (size_t)(p - text);
}

static void write_chunk(int storefd, struct chunks *chunks, uint32_t number, const char *text,
			size_t len, uint32_t lines)
{
	struct chunk c = {.number = number, .lines = lines, .bytes = len};
	struct iovec iov = {.iov_base = (void *)text, .iov_len = len};
	char path[64];

	EVP_Digest(text, len, c.sha256, NULL, EVP_sha256(), NULL);
	manifest_file_chunk_path(path, number);
	write_file(storefd, path, &iov, 1);
	if (manifest_chunks_add(chunks, &c) != 0)
		die("memory", -ENOMEM);
}

static void split(int storefd, uint32_t each, uint32_t tail)
{
	struct header_read read;
	struct chunks chunks = {0};
	struct buf lines = {0}, head = {0};
	uint32_t total = UINT32_MAX, number = 1, n;
	struct iovec iov[2];
	size_t done = 0;
	char path[64];

	read_all(storefd, &lines, &read);
	for (size_t i = 0; i < read.chunks.count; i++)
		number = MAX(number, read.chunks.items[i].number + 1);
	skip_lines(lines.data, lines.data + lines.len, &total);
	for (uint32_t left = total > tail ? total - tail : 0; left > 0; left -= n) {
		size_t len;

		n = MIN(each, left);
		len = skip_lines(lines.data + done, lines.data + lines.len, &n);
		write_chunk(storefd, &chunks, number++, lines.data + done, len, n);
		done += len;
	}
	read.h.chunks = &chunks;
	read.h.tail_lines = MIN(tail, total);
	read.h.tail_bytes = lines.len - done;
	EVP_Digest(lines.data + done, lines.len - done, read.h.tail_sha256, NULL, EVP_sha256(),
		   NULL);
	manifest_header_encode(&head, &read.h, true);
	iov[0] = (struct iovec){.iov_base = head.data, .iov_len = head.len};
	iov[1] = (struct iovec){.iov_base = lines.data + done, .iov_len = lines.len - done};
	write_file(storefd, MANIFEST_FILE, iov, 2);
	for (size_t i = 0; i < read.chunks.count; i++) {
		manifest_file_chunk_path(path, read.chunks.items[i].number);
		io_unlink(storefd, path, 0);
	}
	printf("%zu\n", chunks.count);
	free(chunks.items);
	buf_release(&lines);
	buf_release(&head);
	manifest_header_release(&read);
}

int main(int argc, char **argv)
{
	int storefd;

	if (argc != 4) {
		fprintf(stderr, "usage: splitmanifest STORE LINES TAIL\n");
		return 2;
	}
	storefd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (storefd < 0)
		die(argv[1], -errno);
	split(storefd, (uint32_t)strtoul(argv[2], NULL, 10),
	      (uint32_t)strtoul(argv[3], NULL, 10));
	close(storefd);
	return 0;
}
