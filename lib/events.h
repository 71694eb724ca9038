/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * events: the store's log of what happened to its files, one JSON line each.
 *
 *	{"time":"SEC.NSEC","event":"seal"|"rename"|"remove"|"fail"|"recover"|…,"seq":…,"path":"…",…}
 *
 * Appended after the fact is durable in the manifest; seq is the manifest's at that time. The
 * newest 64 MiB are kept, in two files (log, log.1). Losing the log loses no data; it is not
 * fsynced.
 */
#ifndef NOTEPACKFS_LIB_EVENTS_H
#define NOTEPACKFS_LIB_EVENTS_H

#include <stdint.h>
#include <sys/types.h>

#include "lib/buf.h"

struct events;

/* Open the log beneath storefd (borrowed). NULL when there is no memory; a log that cannot be
 * opened is said in the system log, and events are dropped. */
struct events *events_open(int storefd, uint64_t max_bytes, int read_only);
void events_close(struct events *e);

/* Append an event about a path. more is further JSON members, starting with a comma, or "". */
void events_add(struct events *e, const char *event, uint64_t seq, const char *path,
		const char *more);

/* The same in two steps, for several: format each as a line, and append them all with one write. If it fails,
 * each is tried by itself. No line is ever left in part. */
void events_format(struct buf *lines, const char *event, uint64_t seq, const char *path,
		   const char *more);
void events_append(struct events *e, const struct buf *lines);

uint64_t events_size(struct events *e);
ssize_t events_read(struct events *e, void *buf, size_t len, uint64_t offset);

#endif
