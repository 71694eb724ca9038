/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * recovery: what is done at a start that follows no clean stop, before anything is served.
 *
 * It compares the manifest with the store and makes them agree, changing as little as can be:
 *
 *	a temporary				is removed
 *	a rename that was begun			is completed
 *	an object that no record names
 *	  … and a removal does, by path and hash: the removal is completed
 *	  … and a record without its object does, by content: the record gets the new path
 *	  … and it is what comes next of the
 *	      raw file beside it		is read when the mount is usable (lib/orphan.h)
 *	  … and is whole (every byte is checked): is recorded
 *	  … else: goes to quarantine; nothing is deleted
 *	an object under a record's name that
 *	  says it is another's			counts as one that no record names
 *	an object with another mode or owner	gives them to its record (lib/lazy.h); its
 *	  than its record			times do not count
 *	a record without its object		is reported; it stays
 *	a raw file of a sealed file, its mark and all
 *	  lengths right, without a doubt	is compared when the mount is usable
 *						(lib/prover.h); if it differs, the next start
 *						goes on here:
 *	  … with bytes behind the sealed length: those are sealed
 *	  … whose objects are lost or damaged: takes their place, and is sealed again
 *	  … with none, and the same bytes (SHA-256): is given up (after a lease, lib/raw.h)
 *	  … of which a power cut took bytes that
 *	      the objects have (lib/remnant.h): so, too
 *	  … else: it is another file, and gets a name of its own (NAME.recovered-ID)
 *	a raw file whose parts are lost, as its mark says
 *	  … with the bytes behind them		begins with these; behind parts that are left it
 *						gets a name of its own; the log says what is lost
 *	  … with none: a hole to its end	is removed
 *	any other raw file with bytes		is sealed; with an id of its own, if that of its mark
 *						is another file's, or was a removed one's
 *
 * Each step is durable before the next relies on it, and finding the work half done is the same
 * as finding it not done: so recovery can be cut short and run again.
 */
#ifndef NOTEPACKFS_LIB_RECOVERY_H
#define NOTEPACKFS_LIB_RECOVERY_H

#include "lib/core.h"

/* Remove what an unfinished seal or commit left. At every start, and when a stop
 * is over. 0, or -errno: not all could be. */
int recovery_sweep(struct store *s);

/* The whole of it. Before any other thread uses the store. 0 or -errno. */
int recovery_run(struct store *s);

/* When everything else is up: have the raw files that recovery_run found sealed. */
int recovery_arm(struct store *s);
void recovery_forget(struct store *s);

#endif
