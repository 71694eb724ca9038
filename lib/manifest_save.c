/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Saving: [header][tail][the new lines] replaces the manifest. The tail's text stays in memory
 * and its SHA-256 is carried on, so a commit costs what its tail costs, whatever the archive
 * holds; a tail that grows too long becomes a chunk (manifest_fold.c). A fold that fails is no
 * error: the tail stays, a little longer.
 *
 * Nothing here changes struct disk for good before the rename is durable. Paths are resolved
 * from the store at each commit, so nothing is ever written into a directory that was moved
 * away.
 */
#include "lib/manifest_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/io.h"
#include "lib/log.h"
#include "lib/replace.h"

/* After a fold that failed, the next is tried when the tail has grown by as many lines. */
#define FOLD_RETRY_LINES 256

int manifest_save_init(struct disk *d, int storefd)
{
	memset(d, 0, sizeof(*d));
	d->storefd = storefd;
	d->fold_above = MANIFEST_TAIL_LINES;
	d->tail_seq = 1;
	d->sha = EVP_MD_CTX_new();
	d->sha_next = EVP_MD_CTX_new();
	d->sha_result = EVP_MD_CTX_new();
	if (!d->sha || !d->sha_next || !d->sha_result)
		return -ENOMEM;
	return EVP_DigestInit_ex(d->sha, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

void manifest_save_release(struct disk *d)
{
	EVP_MD_CTX_free(d->sha);
	EVP_MD_CTX_free(d->sha_next);
	EVP_MD_CTX_free(d->sha_result);
	buf_release(&d->tail);
	free(d->chunks.items);
}

/* sha_next: over the tail as it will be, which is `added` bytes longer, or empty. */
static int hash_tail(struct disk *d, const struct buf *added, bool folded, uint8_t *sha256)
{
	int ok;

	if (folded)
		ok = EVP_DigestInit_ex(d->sha_next, EVP_sha256(), NULL);
	else
		ok = EVP_MD_CTX_copy_ex(d->sha_next, d->sha) == 1 &&
		     EVP_DigestUpdate(d->sha_next, added->data, added->len) == 1;
	return ok == 1 && EVP_MD_CTX_copy_ex(d->sha_result, d->sha_next) == 1 &&
		       EVP_DigestFinal_ex(d->sha_result, sha256, NULL) == 1
		   ? 0
		   : -ENOMEM;
}

bool manifest_save_use_reserve(struct disk *d)
{
	CLEANUP_FD int fd = io_open(d->storefd, MANIFEST_RESERVE, O_RDONLY, 0);
	CLEANUP_FD int cut = -1;
	struct stat st;

	if (fd < 0 || io_fstat(fd, &st) != 0 || st.st_blocks == 0)
		return false;
	cut = io_open(d->storefd, MANIFEST_RESERVE, O_WRONLY | O_TRUNC, 0);
	if (cut < 0)
		return false;
	/* Some filesystems hand out freed blocks only after the truncation is on disk. */
	io_fsync(cut);
	d->reserve = RESERVE_WANTED;
	log_notice("the store's filesystem is full: the manifest's reserve is used");
	return true;
}

static void hold_reserve(struct disk *d)
{
	CLEANUP_FD int fd = io_open(d->storefd, MANIFEST_RESERVE, O_RDWR | O_CREAT, 0600);
	CLEANUP_FD int cut = -1;
	int err;

	if (fd < 0)
		return;
	err = posix_fallocate(fd, 0, MANIFEST_RESERVE_BYTES);
	if (!err) {
		d->reserve = RESERVE_HELD;
		return;
	}
	/* A part of it would only take room away. */
	cut = io_open(d->storefd, MANIFEST_RESERVE, O_WRONLY | O_TRUNC, 0);
	if (err == ENOSPC || err == EDQUOT || err == EINTR || err == EIO)
		return;
	d->reserve = RESERVE_IMPOSSIBLE;
	log_notice("the store's filesystem cannot reserve space for the manifest: %s",
		   strerror(err));
}

static int replace(struct disk *d, const struct iovec *iov, int count, struct save *s)
{
	int err = replace_file(d->storefd, MANIFEST_FILE, iov, count, &s->renamed);

	if ((err == -ENOSPC || err == -EDQUOT) && !s->renamed && manifest_save_use_reserve(d))
		err = replace_file(d->storefd, MANIFEST_FILE, iov, count, &s->renamed);
	else if (!err && d->reserve == RESERVE_WANTED)
		hold_reserve(d);
	return err;
}

static int write_manifest(struct disk *d, struct save *s, const struct fold *f, uint32_t lines)
{
	CLEANUP_BUF struct buf line = {0};
	struct header h = {
	    .generation = s->generation,
	    .next_seq = s->overlay->at.next_seq,
	    .next_id = s->next_id,
	    .clean = s->clean,
	    .suffix = s->suffix,
	    .exclude = s->exclude,
	    .chunks = f->done ? &f->chunks : &d->chunks,
	    .tail_lines = f->done ? 0 : lines,
	    .tail_bytes = f->done ? 0 : d->tail.len,
	};
	struct iovec iov[2];
	int err = hash_tail(d, &s->overlay->lines, f->done, h.tail_sha256);

	if (err)
		return err;
	manifest_header_encode(&line, &h, true);
	if (line.failed)
		return -ENOMEM;
	iov[0] = (struct iovec){.iov_base = line.data, .iov_len = line.len};
	iov[1] = (struct iovec){.iov_base = d->tail.data, .iov_len = d->tail.len};
	return replace(d, iov, f->done ? 1 : 2, s);
}

/* What was saved is the state now. Cannot fail. */
static void adopt(struct disk *d, struct save *s, struct fold *f, uint32_t lines)
{
	EVP_MD_CTX *sha = d->sha;

	d->sha = d->sha_next;
	d->sha_next = sha;
	d->generation = s->generation;
	d->tail_lines = lines;
	if (!f->done)
		return;
	free(d->chunks.items);
	d->chunks = f->chunks;
	memset(&f->chunks, 0, sizeof(f->chunks));
	d->chunk_lines = 0;
	for (size_t i = 0; i < d->chunks.count; i++)
		d->chunk_lines += d->chunks.items[i].lines;
	d->tail_lines = 0;
	buf_release(&d->tail);
	s->rewritten = f->rewritten;
	s->forget_seq = d->tail_seq;
	d->tail_seq = s->overlay->at.next_seq;
	d->fold_above = MANIFEST_TAIL_LINES;
	d->sweep = d->sweep || f->dropped;
}

static void give_up(struct disk *d, struct save *s, struct fold *f, size_t old_len)
{
	d->tail.len = old_len;
	d->tail.failed = false;
	if (s->renamed) {
		/* Disk may hold either state (L13): both keep their chunks, and this generation
		 * is not given to another. */
		d->generation = s->generation;
		d->sweep = true;
	} else {
		manifest_fold_undo(d, f);
	}
}

int manifest_save(struct disk *d, struct save *s)
{
	const struct overlay *o = s->overlay;
	uint32_t lines = d->tail_lines + (uint32_t)o->at.line_count;
	size_t old_len = d->tail.len;
	struct fold f = {0};
	int err;

	/* manifest_header.c reads no higher one. */
	if (d->generation >= UINT64_MAX - 1)
		return -EOVERFLOW;
	s->generation = d->generation + 1;
	buf_add(&d->tail, o->lines.data, o->lines.len);
	err = d->tail.failed ? -ENOMEM : 0;
	if (!err && s->rewrite)
		err = manifest_fold(d, s, lines, &f);
	else if (!err && lines > d->fold_above && manifest_fold(d, s, lines, &f) != 0)
		d->fold_above = lines + FOLD_RETRY_LINES;
	if (!err)
		err = write_manifest(d, s, &f, lines);
	if (err)
		give_up(d, s, &f, old_len);
	else
		adopt(d, s, &f, lines);
	free(f.chunks.items);
	if (!err && d->sweep)
		manifest_file_sweep(d);
	return err;
}
