/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options: the command line of notepackfs, as a pure function: no output, no files, no exit.
 */
#ifndef NOTEPACKFS_MOUNT_OPTIONS_H
#define NOTEPACKFS_MOUNT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/codec.h"

struct options {
	const char *store;	/* as given; in argv */
	const char *mountpoint; /* as given; in argv */
	bool foreground;
	bool debug; /* implies foreground */

	const struct codec *codec; /* never NULL */
	int level;		   /* one of the codec's */
	bool adaptive;
	unsigned threads; /* 0: as many as there are CPUs */
	int64_t grace_ns;
	char *suffix;  /* NULL: the store's */
	char *exclude; /* NULL: the default; "" excludes nothing */
	bool fsync_seals;
	uint64_t cut_bytes;
	int64_t cut_age_ns;
	uint64_t rotate_bytes; /* 0: never */
	int64_t rotate_age_ns; /* 0: never */
	int64_t scrub_ns;      /* 0: never */
	bool allow_delete;
	char *allow_delete_globs; /* NULL: none */
	int64_t lockwait_ns;
	uint64_t backlog_bytes;
	bool passthrough;
	bool has_reserve;
	uint64_t reserve_bytes; /* if has_reserve */
	int64_t stop_wait_ns;
	bool read_only;
	char *fuse; /* mount options for FUSE, each with a comma before it; never NULL */

	bool no_memory; /* options_parse's own note */
};

enum options_result {
	OPTIONS_RUN,	 /* store and mountpoint are set */
	OPTIONS_HELP,	 /* --help */
	OPTIONS_VERSION, /* --version */
	OPTIONS_WRONG,	 /* message says what and what to do, in one line */
};

/* Release *o in every case. message holds size bytes. */
enum options_result options_parse(int argc, char *const argv[], struct options *o,
				  char *message, size_t size);
void options_release(struct options *o);

/* What --help prints. */
const char *options_help(void);

#endif
