/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * manifest_impl: what the files of the manifest share.
 *
 *	manifest.c	 open, close, and the group commit
 *	manifest_read.c	 look-ups, walks, and the generated manifest
 *	manifest_txn.c	 what a commit's function collects
 *	manifest_overlay.c	 … the overlay that it is in until it is saved
 *	manifest_mem.c	 the live records in memory: the base
 *	manifest_node.c	 … one of them
 *	manifest_block.c … where those are that were loaded
 *	manifest_header.c the header line, to and from text
 *	manifest_load.c	 reading and decoding everything
 *	manifest_replay.c applying it, line by line
 *	manifest_file.c	 the files as files: leftovers, sweeping
 *	manifest_save.c	 writing: the header and the tail, the reserve
 *	manifest_fold.c	 the tail into chunks, and full rewrites
 *	manifest_salvage.c what is left of a damaged one
 *	manifest_rebuild.c a new one in its place
 *
 * Who may touch what. The base is changed only by the leader of a group, and only under the
 * lock: so others read it under the lock, and the leader may read it without. The overlay is
 * changed under the lock while the members' functions run and belongs to the leader from then
 * on. struct disk belongs to the leader alone.
 */
#ifndef NOTEPACKFS_LIB_MANIFEST_IMPL_H
#define NOTEPACKFS_LIB_MANIFEST_IMPL_H

#include <openssl/evp.h>
#include <sys/uio.h>

#define HASH_NONFATAL_OOM 1
/* The default falls through cases in a way that compilers warn about. */
#define HASH_FUNCTION(key, len, value) HASH_OAT(key, len, value)
#include <uthash.h>

#include "lib/buf.h"
#include "lib/lock.h"
#include "lib/manifest.h"
#include "lib/name.h"

#define MANIFEST_FILE NAME_PRIVATE "/manifest"
#define MANIFEST_CHUNKS NAME_PRIVATE "/chunks"
#define MANIFEST_RESERVE NAME_PRIVATE "/reserve"
#define MANIFEST_REPAIR "`notepackctl repair` rebuilds the manifest from the objects"

#define MANIFEST_TAIL_LINES 1000
#define MANIFEST_CHUNK_LINES 4096
#define MANIFEST_ID_STEP 4096
#define MANIFEST_RESERVE_BYTES (1 << 20)
#define MANIFEST_CHUNK_NUMBER_MAX 99999999U

/* A directory that holds records. Those that hold none are freed (the root stays). */
struct dir {
	UT_hash_handle hh;
	char *path;
	char *next_path; /* the leader's: where the commit in hand moves it; NULL: it stays */
	struct dir *next_moved;
	struct node *first;
	uint64_t count;
};

/*
 * A live record, or one that was removed: then it stays, with the seq of its removal, so that
 * it cannot come back, until a full rewrite forgets it. From offset on the bytes are what a
 * record says; two nodes of equal length and equal bytes there say the same.
 */
struct node {
	struct node *chained; /* the next in its chain of the hash table by id and part */
	struct dir *dir;
	struct node *next, *prev; /* in dir */
	uint64_t seq;
	uint64_t id;
	uint32_t part;
	bool removed : 1;
	bool doubtful : 1, stale : 1; /* while a damaged manifest is read: manifest_rebuild.h */
	bool is_notepack : 1;
	uint8_t codec : 4, level : 4;
	uint16_t at; /* its place in its block (manifest_block.c), or 0: it is from malloc */
	uint64_t offset, raw_bytes, gz_bytes;
	int64_t mtime_ns, sealed_at_ns;
	uint32_t crc32, uid, gid;
	uint16_t mode;
	uint8_t sha256[SHA256_BYTES], raw_sha256[SHA256_BYTES];
	char rest[]; /* is_notepack: records, first and last created_at; then the plain name */
};

#define SLOT_KEY_BYTES (sizeof(uint64_t) + sizeof(uint32_t))
/* 32 GiB of chains; records above that many only make them longer. */
#define MANIFEST_CHAIN_BITS_MAX 32

struct block;
struct blocks {
	struct block *first;
};

struct memory {
	struct node **chains; /* 2^bits of them */
	unsigned bits;
	struct blocks blocks; /* those that were loaded */
	struct dir *dirs;     /* never empty: the root */
	uint64_t count, live; /* with, and without those that were removed */
};

/* A rename that has begun. */
struct intent {
	uint64_t seq, id;
	char *from, *to;
	bool undone; /* nothing was moved: its end is in the next commit */
};

struct intents {
	struct intent *items;
	size_t count, size;
};

/* What the commits in hand make of one record. */
struct slot_state {
	struct node *node;    /* its new form, with its own struct dir; NULL: only removed */
	uint64_t removed_seq; /* not 0: and then it is removed */
	size_t moves;	      /* only the moves from this one on concern its directory */
};

struct slot {
	UT_hash_handle hh;
	uint64_t id;
	uint32_t part;
	struct slot_state state;
};

struct move {
	char *from, *to;
};

/* All that one member of a group may have added to, so that it can be taken back. */
struct overlay_mark {
	uint64_t next_seq, id_mark;
	int64_t live_delta;
	int clean; /* -1: as it is */
	size_t line_count, line_bytes, move_count, intent_count, done_count;
};

struct undo {
	struct slot *slot;
	struct slot_state before;
};

/* The changes of a group of commits, on top of the base. */
struct overlay {
	struct overlay_mark at;
	struct slot *slots;
	struct buf lines;
	struct move *moves;
	size_t moves_size;
	struct intents intents; /* that were added */
	uint64_t *dones;
	size_t dones_size;
	struct undo *undo; /* of the member in hand */
	size_t undo_count, undo_size;
};

struct manifest_txn {
	struct manifest *m;
	struct overlay *overlay;
	int error; /* sticky */
};

struct chunk {
	uint32_t number, lines;
	uint64_t bytes;
	uint8_t sha256[SHA256_BYTES];
};

struct chunks {
	struct chunk *items;
	size_t count, size;
};

struct header {
	uint64_t generation, next_seq, next_id;
	bool clean;
	const char *suffix, *exclude;
	const struct chunks *chunks;
	uint32_t tail_lines;
	uint64_t tail_bytes;
	uint8_t tail_sha256[SHA256_BYTES];
};

enum reserve { RESERVE_WANTED, RESERVE_HELD, RESERVE_IMPOSSIBLE };

/* The leader's view of the files. */
struct disk {
	int storefd;
	uint64_t generation; /* the highest that may be on disk */
	struct chunks chunks;
	uint64_t chunk_lines;
	uint32_t next_chunk;
	struct buf tail;
	uint32_t tail_lines;
	uint32_t fold_above;	/* tail lines; raised for a while when a fold has failed */
	uint64_t tail_seq;	/* no line of the tail has a lower seq */
	EVP_MD_CTX *sha;	/* over the tail */
	EVP_MD_CTX *sha_next;	/* over the tail that is being saved */
	EVP_MD_CTX *sha_result; /* scratch */
	bool sweep;		/* there may be chunk files that nothing refers to */
	enum reserve reserve;
};

struct member {
	struct member *next;
	int (*fn)(struct manifest_txn *txn, void *ctx);
	void *ctx;
	bool conditional; /* a positive result is a way to decline */
	int result;
	bool saw_unsaved; /* its result holds only if the save succeeds */
	bool done;
};

struct manifest {
	bool read_only;
	char *suffix, *exclude;
	/* As loaded. */
	bool was_clean;
	char *was_exclude;
	struct manifest_intent *loaded_intents;
	size_t loaded_intent_count;
	struct manifest_removal *loaded_removals;
	size_t loaded_removal_count;

	struct disk disk; /* the leader's */

	/* Rank 30. Protects the rest. Never held across a system call. */
	struct lock lock;
	struct cond cond; /* a group is done */
	struct memory mem;
	struct intents intents;
	uint64_t generation;
	uint64_t next_seq;
	/* ids from id_next up to, not with, id_mark may be handed out; id_mark is in the
	 * header. id_next may be above id_mark: then none. */
	uint64_t id_next, id_mark;
	bool clean;
	bool leading; /* there is a leader */
	struct member *queue;
	struct member **queue_end;
};

/* manifest.c */

/* Without records, not from disk; manifest_close it. NULL: no memory. */
struct manifest *manifest_new_memory(int storefd);
/* Have manifest_intents show those of the memory. 0 or -ENOMEM. */
int manifest_copy_intents(struct manifest *m);

/* manifest_block.c */

/* An item of size bytes, aligned as a uint64_t; *at, which is never 0, is to be given back with it. NULL:
 * there is no memory. */
void *manifest_block_alloc(struct blocks *list, size_t size, uint16_t *at);
void manifest_block_free(struct blocks *list, void *item, uint16_t at);
/* Those of `from` become those of `to`. */
void manifest_block_join(struct blocks *to, struct blocks *from);
/* Free all of them, and with them their items. */
void manifest_block_release(struct blocks *list);

/* manifest_node.c */

/* A node outside the memory. NULL when there is none left. */
struct node *manifest_node_new(const struct sealed *s, const char *plain);
/* The same in one of these blocks, which then become the memory's. */
struct node *manifest_node_new_in(struct blocks *blocks, const struct sealed *s,
				  const char *plain);
/* Of either kind; one that is in a block when the block is the memory's. */
void manifest_node_free(struct memory *mem, struct node *n);
bool manifest_node_same(const struct node *a, const struct node *b);
void manifest_node_facts(const struct node *n, struct sealed *out);
const char *manifest_node_plain(const struct node *n);
void manifest_node_encode(struct buf *b, const struct node *n, const char *dir,
			  const char *suffix);
void manifest_node_encode_rm(struct buf *b, const struct node *n, uint64_t seq, const char *dir,
			     const char *suffix);

/* manifest_mem.c */
int manifest_mem_init(struct memory *mem);
void manifest_mem_release(struct memory *mem);
/* There will be so many records: have the room now, once. It helps, and is not needed. */
void manifest_mem_expect(struct memory *mem, uint64_t count);
/* All records, those that were removed, too: of one directory after the other. next may be asked before
 * the record is dropped, if it is the only one that is. */
struct node *manifest_mem_first(const struct memory *mem);
struct node *manifest_mem_next(const struct node *n);
struct node *manifest_mem_find(const struct memory *mem, uint64_t id, uint32_t part);
struct dir *manifest_mem_dir(const struct memory *mem, const char *path);
/* A directory outside the memory. NULL when there is none left. */
struct dir *manifest_mem_new_dir(const char *path);
void manifest_mem_free_dir(struct dir *dir);
/* Put a node in, in place of the one of its key (old, or NULL); n->dir is a directory of its
 * own, which is used or freed. Cannot fail. live is not counted. */
void manifest_mem_insert(struct memory *mem, struct node *n, struct node *old);
/* The same where none has its key, and d is in the memory. */
void manifest_mem_add(struct memory *mem, struct node *n, struct dir *d);
/* Move every directory that has a next_path there. Cannot fail. */
void manifest_mem_move(struct memory *mem);
/* path after a rename of from to to: a new string, or NULL if the rename does not concern it
 * (then *failed is false). */
char *manifest_mem_moved(const char *path, const char *from, const char *to, bool *failed);
/* Free what was removed before seq. */
void manifest_mem_forget(struct memory *mem, uint64_t seq);
void manifest_mem_check(struct memory *mem, uint64_t next_seq);

/* Intents. add copies the strings; reserve makes the next `extra` calls of take infallible. */
int manifest_intents_add(struct intents *list, uint64_t seq, uint64_t id, const char *from,
			 const char *to);
int manifest_intents_reserve(struct intents *list, size_t extra);
bool manifest_intents_has(const struct intents *list, uint64_t seq);
void manifest_intents_drop(struct intents *list, uint64_t seq);
void manifest_intents_truncate(struct intents *list, size_t count);
void manifest_intents_undo(struct intents *list, uint64_t seq);
int manifest_done_undone(struct manifest_txn *txn, void *ctx);

/* manifest_overlay.c */
void manifest_overlay_init(struct overlay *o, uint64_t next_seq);
void manifest_overlay_release(struct overlay *o);
void manifest_overlay_free_node(struct node *n);
bool manifest_overlay_changed(const struct overlay *o);
struct slot *manifest_overlay_find(const struct overlay *o, uint64_t id, uint32_t part);
bool manifest_overlay_is_done(const struct overlay *o, uint64_t intent_seq);
/* path with the moves from `first` on applied: path itself, or a new string in *moved. NULL:
 * there is no memory. */
const char *manifest_overlay_move_path(const struct overlay *o, size_t first, const char *path,
				       char **moved);
/* Keep, or take back, what was added since `since`. */
void manifest_overlay_accept(struct overlay *o);
void manifest_overlay_rollback(struct overlay *o, const struct overlay_mark *since);
/* Work out every next_path: where the moves take the directories. By the leader. 0 or -ENOMEM.
 */
int manifest_overlay_plan(struct overlay *o, struct memory *mem);
void manifest_overlay_unplan(struct overlay *o, struct memory *mem);
/* The mark of file ids, for manifest_new_id. */
void manifest_overlay_raise_ids(struct manifest_txn *txn, uint64_t mark);

/* manifest_header.c */

/* A header line as read; release it. */
struct header_read {
	struct header h; /* chunks, suffix and exclude point below */
	struct chunks chunks;
	char *suffix, *exclude;
};

/* Append the line, with its newline; files: with chunks and tail. */
void manifest_header_encode(struct buf *b, const struct header *h, bool files);
/* 0 · -EBADMSG: *reason says why · -EPROTO: a newer format · -ENOMEM. On 0: release it. */
int manifest_header_decode(const char *line, size_t len, struct header_read *out,
			   const char **reason);
void manifest_header_release(struct header_read *r);

/* manifest_load.c */
int manifest_load(struct manifest *m, const char *suffix, struct manifest_error *error);

/* manifest_file.c */
/* 0, or -EBADMSG: there is no manifest, but what only a manifest can have left, or objects. */
int manifest_file_refuse_leftovers(int storefd, const char *suffix,
				   struct manifest_error *error);
/* Make NAME_PRIVATE and its directory of chunks, durably, where they are missing. */
int manifest_file_make_dirs(int storefd);
/* Remove the chunk files that nothing refers to. Only when what refers is durable. */
void manifest_file_sweep(struct disk *d);
void manifest_file_sweep_temporaries(int storefd);
/* Append every chunk file that exists: its number, nothing else. */
int manifest_file_chunks(int storefd, struct chunks *out);
/* A number above that of every chunk file that exists. */
uint32_t manifest_file_next_chunk(const struct disk *d);
void manifest_file_chunk_path(char out[64], uint32_t number);
/* The whole chunk file in place of what out has, checked against its length and SHA-256. 0 · -EBADMSG:
 * *reason, or NULL: the SHA-256 is wrong, and out has the text · others.
 */
int manifest_file_read_chunk(int storefd, const struct chunk *c, struct buf *out,
			     const char **reason);
int manifest_chunks_add(struct chunks *list, const struct chunk *c);

/* manifest_save.c */

/* What the leader hands over under the lock: the header's numbers. */
struct save {
	struct overlay *overlay;
	const struct memory *mem;
	const struct intents *intents;
	const char *suffix, *exclude;
	uint64_t generation, next_id;
	bool clean;
	bool rewrite; /* everything into new chunk files; then a fold that fails is an error */
	bool renamed; /* out: after an error: disk may hold the new state */
	bool rewritten; /* out: what was removed before forget_seq is forgotten */
	uint64_t forget_seq;
};

/* What a fold has made: the list of chunks for the next header. */
struct fold {
	struct chunks chunks;
	size_t kept; /* the first ones are in the present header, too */
	bool done, rewritten;
	bool dropped; /* some of the present header are not in it */
};

int manifest_save_init(struct disk *d, int storefd);
void manifest_save_release(struct disk *d);
/* Give the reserved blocks back. Were there any? */
bool manifest_save_use_reserve(struct disk *d);
/* Make the overlay durable. 0, or an error: then nothing has changed, unless renamed is set. */
int manifest_save(struct disk *d, struct save *s);

/* manifest_fold.c */

/* Write the tail (`lines` of them), or everything, into new chunk files. On an error, which is
 * logged, there are none, and f is empty. */
int manifest_fold(struct disk *d, const struct save *s, uint32_t lines, struct fold *f);
/* Remove the new chunk files. */
void manifest_fold_undo(struct disk *d, struct fold *f);

#endif
