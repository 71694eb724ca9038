/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The objects of a raw file: are they there, are they whole? Where names and lengths are right, all bytes are
 * read when the mount is usable.
 */
#include "lib/recovery_impl.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/barrier.h"
#include "lib/catalog.h"
#include "lib/digest.h"
#include "lib/io.h"
#include "lib/prover.h"
#include "lib/raw.h"

/* Is the object of this record there, as far as its length and its header say? */
static bool is_there(struct store *s, const struct found_raw *raw, int dfd,
		     const struct sealed *rec)
{
	char name[NAME_BYTES + 1];
	struct stat st;

	return name_sealed(raw->at.name, rec->part, store_suffix(s), name) == 0 &&
	       io_stat(dfd, name, &st) == 0 && S_ISREG(st.st_mode) &&
	       (uint64_t)st.st_size == rec->gz_bytes &&
	       !recovery_is_another(dfd, name, rec->gz_bytes, rec);
}

int recovery_is_whole(struct store *s, const struct found_raw *raw, int dfd,
		      const struct sealed *rec)
{
	char name[NAME_BYTES + 1];
	uint8_t sha256[SHA256_BYTES];
	struct stat st;
	int err = name_sealed(raw->at.name, rec->part, store_suffix(s), name);
	CLEANUP_FD int fd = err ? err : io_open(dfd, name, O_RDONLY | O_NOFOLLOW, 0);

	if (!err)
		err = fd < 0 ? fd : io_fstat(fd, &st);
	if (!err && (uint64_t)st.st_size != rec->gz_bytes)
		return 0;
	if (!err)
		err = digest_range(fd, 0, rec->gz_bytes, sha256);
	/* Gone, not a file, unreadable: lost. Anything else says nothing of the object. */
	if (err == -ENOENT || err == -ELOOP || err == -EINVAL || err == -EIO)
		return 0;
	if (err)
		return err;
	return memcmp(sha256, rec->sha256, SHA256_BYTES) == 0;
}

/* Is there anything under its other spelling? */
static bool has_rival(struct store *s, const struct found_raw *raw, int dfd)
{
	const char *name = raw->at.name, *suffix = store_suffix(s);
	size_t stem = name_stem_len(name, suffix);
	char other[NAME_BYTES + 1];
	struct stat st;
	int n =
	    snprintf(other, sizeof(other), "%.*s%s", (int)stem, name, name[stem] ? "" : suffix);

	return n <= NAME_BYTES && io_stat(dfd, other, &st) != -ENOENT;
}

bool recovery_may_wait(struct store *s, const struct found_raw *raw, int dfd, int fd,
		       const struct sealed *list, size_t count)
{
	uint64_t sealed_end = 0;
	struct stat st;

	if (s->adopted || !s->have_xattrs || !raw->id || raw->doubt || io_fstat(fd, &st) != 0 ||
	    st.st_nlink != 1 || (uint64_t)st.st_size != raw->bytes)
		return false;
	for (size_t i = 0; i < count; i++) {
		const struct sealed *rec = &list[i];
		uint64_t end = rec->offset + rec->raw_bytes;

		if (rec->id != raw->id)
			return false;
		if (end > raw->base && (rec->offset < raw->base || !is_there(s, raw, dfd, rec)))
			return false;
		sealed_end = MAX(sealed_end, end);
	}
	return raw->base < sealed_end && sealed_end <= raw->bytes && !has_rival(s, raw, dfd);
}

/* -ENOENT: it is not there any more. */
static int prove_later(struct store *s, const struct found_raw *raw)
{
	struct file *f = NULL;
	struct node *n;
	int err = store_resolve(s, NULL, raw->at.dir, &n);

	if (err)
		return err;
	lock_take(&s->lock);
	if (n->kind == NODE_DIR)
		f = catalog_find_stem_locked(s, to_dir(n), raw->at.name);
	lock_drop(&s->lock);
	if (f) /* no other thread changes the directory yet */
		prover_add(s, f, raw->doubt);
	node_unref(s, n, 1);
	return f ? 0 : -ENOENT;
}

int recovery_prove_later(struct store *s, const struct differences *diff)
{
	int err = 0;

	for (size_t i = 0; i < diff->raw_count && !err; i++) {
		if (diff->raws[i].waits)
			err = prove_later(s, &diff->raws[i]);
		if (err == -ENOENT) {
			lock_take(&s->lock);
			s->unsettled = true; /* so what is loaded later is not proven */
			lock_drop(&s->lock);
			err = 0;
		}
	}
	return err;
}
