/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One record in memory: made, compared, and back to its facts and its line. Its name is inline, as the
 * last member, and so is what only few have.
 */
#include "lib/manifest_impl.h"

#include <string.h>

#define NOTEPACK_BYTES (3 * sizeof(uint64_t))

_Static_assert(RECORD_LEVEL_MAX < 16 && RECORD_CODEC_IMPORT < 16,
	       "struct node has four bits each");

static size_t extra_bytes(bool is_notepack)
{
	return is_notepack ? NOTEPACK_BYTES : 0;
}

static size_t node_bytes(const struct sealed *s, const char *plain)
{
	size_t rest = extra_bytes(s->is_notepack) + strlen(plain) + 1;

	return MAX(offsetof(struct node, rest) + rest, sizeof(struct node));
}

static void fill_node(struct node *n, const struct sealed *s, const char *plain)
{
	uint64_t notepack[3] = {s->records, s->first_created_at, s->last_created_at};
	size_t extra = extra_bytes(s->is_notepack);

	memset(n, 0, offsetof(struct node, rest));
	n->seq = s->seq;
	n->id = s->id;
	n->part = s->part;
	n->is_notepack = s->is_notepack;
	n->codec = s->codec & 15;
	n->level = s->level & 15;
	n->offset = s->offset;
	n->raw_bytes = s->raw_bytes;
	n->gz_bytes = s->gz_bytes;
	n->mtime_ns = s->mtime_ns;
	n->sealed_at_ns = s->sealed_at_ns;
	n->crc32 = s->crc32;
	n->uid = s->uid;
	n->gid = s->gid;
	n->mode = (uint16_t)s->mode;
	memcpy(n->sha256, s->sha256, SHA256_BYTES);
	memcpy(n->raw_sha256, s->raw_sha256, SHA256_BYTES);
	memcpy(n->rest, notepack, extra);
	strcpy(n->rest + extra, plain);
}

struct node *manifest_node_new(const struct sealed *s, const char *plain)
{
	struct node *n = malloc(node_bytes(s, plain));

	if (n)
		fill_node(n, s, plain);
	return n;
}

struct node *manifest_node_new_in(struct blocks *blocks, const struct sealed *s,
				  const char *plain)
{
	uint16_t at;
	struct node *n = manifest_block_alloc(blocks, node_bytes(s, plain), &at);

	if (n) {
		fill_node(n, s, plain);
		n->at = at;
	}
	return n;
}

void manifest_node_free(struct memory *mem, struct node *n)
{
	if (n->at)
		manifest_block_free(&mem->blocks, n, n->at);
	else
		free(n);
}

const char *manifest_node_plain(const struct node *n)
{
	return n->rest + (n->is_notepack ? NOTEPACK_BYTES : 0);
}

bool manifest_node_same(const struct node *a, const struct node *b)
{
	const size_t facts = offsetof(struct node, offset);

	return a->is_notepack == b->is_notepack && a->codec == b->codec &&
	       a->level == b->level &&
	       memcmp((const char *)a + facts, (const char *)b + facts,
		      offsetof(struct node, rest) - facts +
			  (a->is_notepack ? NOTEPACK_BYTES : 0)) == 0 &&
	       strcmp(manifest_node_plain(a), manifest_node_plain(b)) == 0;
}

void manifest_node_facts(const struct node *n, struct sealed *out)
{
	uint64_t notepack[3] = {0};

	if (n->is_notepack)
		memcpy(notepack, n->rest, sizeof(notepack));
	*out = (struct sealed){
	    .seq = n->seq,
	    .id = n->id,
	    .offset = n->offset,
	    .raw_bytes = n->raw_bytes,
	    .gz_bytes = n->gz_bytes,
	    .records = notepack[0],
	    .first_created_at = notepack[1],
	    .last_created_at = notepack[2],
	    .mtime_ns = n->mtime_ns,
	    .sealed_at_ns = n->sealed_at_ns,
	    .part = n->part,
	    .crc32 = n->crc32,
	    .mode = n->mode,
	    .uid = n->uid,
	    .gid = n->gid,
	    .codec = n->codec,
	    .level = n->level,
	    .is_notepack = n->is_notepack,
	};
	memcpy(out->sha256, n->sha256, SHA256_BYTES);
	memcpy(out->raw_sha256, n->raw_sha256, SHA256_BYTES);
}

/* The object's name. Sealed names were checked when they came in: this cannot fail. */
static void object_of(const struct node *n, const char *suffix, char *out)
{
	if (name_sealed(manifest_node_plain(n), n->part, suffix, out) != 0)
		abort();
}

void manifest_node_encode(struct buf *b, const struct node *n, const char *dir,
			  const char *suffix)
{
	char object[NAME_BYTES + 1];
	struct sealed s;

	object_of(n, suffix, object);
	manifest_node_facts(n, &s);
	record_encode_sealed(b, &s, dir, object, manifest_node_plain(n));
}

void manifest_node_encode_rm(struct buf *b, const struct node *n, uint64_t seq, const char *dir,
			     const char *suffix)
{
	char object[NAME_BYTES + 1];
	struct sealed s;

	object_of(n, suffix, object);
	manifest_node_facts(n, &s);
	record_encode_rm(b, seq, &s, dir, object);
}
