/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/prover.h"

#include "lib/catalog.h"
#include "lib/cut.h"
#include "lib/raw.h"
#include "lib/rotate.h"
#include "lib/state.h"

void prover_add(struct store *s, struct file *f, bool doubted)
{
	lock_take(&s->lock);
	if (f->raw_present && f->part_count && f->raw_base < f->sealed_end && !f->raw_pending) {
		f->raw_unproven = true;
		f->raw_doubted = doubted;
		f->raw_pending = !doubted;
		if (!doubted) {
			f->base_removed = true; /* recovery has looked for a gap */
			node_ref_locked(&f->n);
			DL_APPEND2(s->proofs, f, proof_prev, proof_next);
		}
	}
	lock_drop(&s->lock);
}

static void prove(struct store *s, struct file *f)
{
	bool proven = raw_prove(s, f), punch;

	lock_take(&s->lock);
	f->raw_pending = false;
	file_unused_locked(s, f); /* its raw file may go */
	/* Who is busy with it publishes its next part most likely, and punches then. To wait for that
	 * might be for as long as the disk is full. */
	punch = proven && (f->piecewise || f->writers) && f->n.linked && f->n.busy == IDLE;
	if (punch)
		node_take_wait_locked(s, &f->n, BUSY_HELD);
	lock_drop(&s->lock);
	if (punch) {
		rotate_published(s, f);
		node_give(s, &f->n);
	}
}

static void *prover_thread(void *arg)
{
	struct store *s = arg;
	struct file *f;

	lock_take(&s->lock);
	while ((f = s->proofs)) {
		DL_DELETE2(s->proofs, f, proof_prev, proof_next);
		lock_drop(&s->lock);
		prove(s, f);
		lock_take(&s->lock);
		node_unref_locked(s, &f->n, 1);
	}
	lock_drop(&s->lock);
	return NULL;
}

void prover_start(struct store *s)
{
	bool some;

	lock_take(&s->lock);
	some = s->proofs != NULL;
	lock_drop(&s->lock);
	if (!some)
		return;
	s->prover_running = pthread_create(&s->prover_thread, NULL, prover_thread, s) == 0;
	if (!s->prover_running)
		prover_thread(s);
}

void prover_finish(struct store *s)
{
	if (s->prover_running)
		pthread_join(s->prover_thread, NULL);
	s->prover_running = false;
}
