/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Those that this mount gives out need not be noted: no file that is only found then can have one.
 */
#include "lib/ids.h"

struct id {
	uint64_t id;
	UT_hash_handle hh;
};

static struct id *find_locked(struct store *s, uint64_t id) REQUIRES(s->lock)
{
	struct id *entry;

	HASH_FIND(hh, s->claimed_ids, &id, sizeof(id), entry);
	return entry;
}

void ids_begin(struct store *s)
{
	lock_take(&s->lock);
	s->ids_end = manifest_next_id(s->manifest);
	lock_drop(&s->lock);
}

/* By its first part a file is known: it was sealed, perhaps removed. */
static bool is_free_locked(struct store *s, uint64_t id) REQUIRES(s->lock)
{
	return id >= MANIFEST_FIRST_ID && id < s->ids_end &&
	       !manifest_knows(s->manifest, id, 1) && !find_locked(s, id);
}

bool ids_claim_locked(struct store *s, uint64_t id)
{
	struct id *entry;

	if (!is_free_locked(s, id))
		return false;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return false; /* a new id is never wrong */
	entry->id = id;
	HASH_ADD(hh, s->claimed_ids, id, sizeof(id), entry);
	if (entry->hh.tbl)
		return true;
	free(entry);
	return false;
}

void ids_drop_locked(struct store *s, uint64_t id)
{
	struct id *entry = find_locked(s, id);

	if (!entry)
		return;
	HASH_DEL(s->claimed_ids, entry);
	free(entry);
}

void ids_release(struct store *s)
{
	struct id *entry, *next;

	HASH_ITER (hh, s->claimed_ids, entry, next) {
		HASH_DEL(s->claimed_ids, entry);
		free(entry);
	}
}
