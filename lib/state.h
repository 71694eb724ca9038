/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * state: what is held across system calls in the place of a lock: busy nodes and shut gates.
 *
 * A busy node can be parked on (store_park in lib/store.h) or waited for; a gate is only ever
 * shut for as long as a few system calls take, and is waited for. Everyone waits on
 * store.changed.
 */
#ifndef NOTEPACKFS_LIB_STATE_H
#define NOTEPACKFS_LIB_STATE_H

#include "lib/core.h"

/* Busy states. take: STORE_BUSY if it is taken (caller->busy is then set and referenced); -errno, if
 * that may last: what it is taken for fails. */
int node_take_locked(struct store *s, struct node *n, enum busy busy, struct caller *c)
    REQUIRES(s->lock);
/* Give it back; returns the parked waiters, to be woken by waiters_wake without the lock. */
struct waiter *node_give_locked(struct store *s, struct node *n) REQUIRES(s->lock);
void waiters_wake(struct waiter *w);
/* What a node is held for fails, and is tried again, for who knows how long: who waits for it, or comes
 * now, gets this -errno, until it is given back. */
void node_stuck(struct store *s, struct node *n, int err) EXCLUDES(s->lock);
/* node_give_locked and all that follows, for callers that have nothing else to do under the
 * lock. */
void node_give(struct store *s, struct node *n) EXCLUDES(s->lock);
void node_wait_locked(struct store *s, const struct node *n) REQUIRES(s->lock);
/* Wait until it is idle, then take it. */
void node_take_wait_locked(struct store *s, struct node *n, enum busy busy) REQUIRES(s->lock);

/* Gates. */
void gate_enter_locked(struct store *s, struct file *f) REQUIRES(s->lock);
void gate_leave_locked(struct store *s, struct file *f) REQUIRES(s->lock);
void gate_shut_locked(struct store *s, struct file *f) REQUIRES(s->lock);
void gate_open_locked(struct store *s, struct file *f) REQUIRES(s->lock);

#endif
