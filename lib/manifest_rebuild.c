/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The records go straight into the memory, and what is saved is what a full rewrite makes of it
 * (manifest_fold.c): chunk files under numbers that no file has, then the header over the old
 * one. So the old manifest and its chunk files are as they were until that rename.
 */
#include "lib/manifest_rebuild.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "lib/io.h"
#include "lib/manifest_impl.h"
#include "lib/replace.h"

#define COPY_BYTES_MAX ((size_t)1 << 30)

int manifest_rebuild_begin(int storefd, const struct manifest_new *n, struct manifest **out)
{
	struct manifest *m = manifest_new_memory(storefd);

	if (!m)
		return -ENOMEM;
	m->suffix = strdup(n->suffix);
	m->exclude = strdup(n->exclude);
	if (!m->suffix || !m->exclude) {
		manifest_close(m);
		return -ENOMEM;
	}
	m->disk.generation = n->generation;
	m->disk.next_chunk = manifest_file_next_chunk(&m->disk);
	m->disk.tail_seq = 0; /* every removal is kept */
	m->next_seq = n->next_seq;
	m->id_next = m->id_mark = n->next_id;
	*out = m;
	return 0;
}

int manifest_rebuild_put(struct manifest *m, const struct sealed *s, const char *dir,
			 const char *plain, bool removed)
{
	struct node *n;

	if (record_check_sealed(s, dir, plain, m->suffix) || s->seq >= m->next_seq ||
	    s->id >= m->id_mark || manifest_mem_find(&m->mem, s->id, s->part))
		return -EINVAL;
	n = manifest_node_new(s, plain);
	if (!n)
		return -ENOMEM;
	n->dir = manifest_mem_dir(&m->mem, dir);
	if (!n->dir)
		n->dir = manifest_mem_new_dir(dir);
	if (!n->dir) {
		free(n);
		return -ENOMEM;
	}
	n->removed = removed;
	manifest_mem_insert(&m->mem, n, NULL);
	m->mem.live += !removed;
	return 0;
}

int manifest_rebuild_intent(struct manifest *m, const struct manifest_intent *i)
{
	return manifest_intents_add(&m->intents, i->seq, i->id, i->from, i->to);
}

int manifest_rebuild_commit(struct manifest *m)
{
	struct overlay overlay;
	struct save s = {
	    .overlay = &overlay,
	    .mem = &m->mem,
	    .intents = &m->intents,
	    .suffix = m->suffix,
	    .exclude = m->exclude,
	    .next_id = m->id_mark,
	    .rewrite = true,
	};

	manifest_overlay_init(&overlay, m->next_seq);
	return manifest_save(&m->disk, &s);
}

/* ---- the old one ---- */

static int copy_file(int storefd, const char *from, const char *to)
{
	CLEANUP_FREE char *text = NULL;
	struct iovec iov;
	size_t len;
	int err = io_read_file(storefd, from, COPY_BYTES_MAX, &text, &len);

	if (err)
		return err == -EIO ? 0 : err;
	iov = (struct iovec){.iov_base = text, .iov_len = len};
	return replace_file(storefd, to, &iov, 1, NULL);
}

/* What is no file (a directory, a link) would be in the way, and says nothing that could be read. */
static int keep_file(int storefd, const char *from, const char *to)
{
	struct stat st;
	int err = io_stat(storefd, from, &st);

	if (err)
		return err == -ENOENT ? 0 : err;
	if (!S_ISREG(st.st_mode))
		return io_rename(storefd, from, storefd, to, 0);
	err = io_link(storefd, from, storefd, to);
	if (err == -ENOENT || !err)
		return 0;
	return copy_file(storefd, from, to);
}

static int keep_chunks(int storefd, const char *dir)
{
	struct chunks list = {0};
	int err = manifest_file_chunks(storefd, &list);

	for (size_t i = 0; i < list.count && !err; i++) {
		char from[64], to[128];

		manifest_file_chunk_path(from, list.items[i].number);
		snprintf(to, sizeof(to), "%s/chunks/%08u.jsonl", dir, list.items[i].number);
		err = keep_file(storefd, from, to);
	}
	free(list.items);
	return err;
}

int manifest_rebuild_keep(int storefd, const char *dir)
{
	char chunks[96], manifest[96];
	int err;

	snprintf(chunks, sizeof(chunks), "%s/chunks", dir);
	snprintf(manifest, sizeof(manifest), "%s/manifest", dir);
	if (mkdirat(storefd, dir, 0700) != 0 || mkdirat(storefd, chunks, 0700) != 0)
		return -errno;
	err = keep_chunks(storefd, dir);
	if (!err)
		err = keep_file(storefd, MANIFEST_FILE, manifest);
	if (!err)
		err = io_syncdir(storefd, chunks);
	if (!err)
		err = io_syncdir(storefd, dir);
	return err;
}
