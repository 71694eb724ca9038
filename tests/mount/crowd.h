/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crowd: many who use one directory, or one file, at a time; for concurrency.sh.
 *
 *	crowd write DIR WRITERS FILES READERS
 *		WRITERS threads make FILES files each: pieces, fsyncs, appends after a reopen;
 *		READERS threads read what is complete, by its plain name and by its object
 *	crowd append FILE PROCESSES LINES
 *		each process appends LINES lines with O_APPEND, fsyncs and reopens now and then
 *	crowd lines FILE PROCESSES LINES
 *		is each of these lines there once, whole, and in its process's order?
 *	crowd churn DIR THREADS ROUNDS LIST
 *		create, rename (also over others), remove, while all is sealed; a thread lists
 *		what stays. Writes what must be left to LIST
 *	crowd left DIR LIST
 *		is exactly that there, each file in one representation?
 *	crowd moves DIR FILE ROUNDS
 *		rename DIR/FILE to DIR/FILE.moved and back, while DIR is renamed to DIR.moved
 *		and back
 *	crowd create DIR COUNT FILLED · crowd look DIR COUNT FILLED · crowd remove DIR COUNT
 *		many entries: FILLED of COUNT files with a few bytes; list and stat all of them;
 *		remove the first COUNT
 *
 * Prints what is wrong, and exits 1.
 */
#ifndef NOTEPACKFS_TESTS_CROWD_H
#define NOTEPACKFS_TESTS_CROWD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEALED ".notepack.gz"
#define NAME 64

/* Says what is wrong with a name; counted. Returns false. */
bool wrong(const char *name, const char *what);
bool any_wrong(void);

/* A file's bytes: any of them can be told from its number and the offset. */
uint8_t byte_of(uint32_t number, size_t offset);
size_t size_of(uint32_t number);

/* Open name in dirfd and compare all of it. */
bool has_bytes(int dirfd, const char *name, uint32_t number, size_t size);
/* The object `name` + SEALED, if it is there, holds a beginning of these bytes. 1: it is. */
int object_begins(int dirfd, const char *name, uint32_t number, size_t size);
/* Make name: in pieces, and where the number says so with fsyncs, or a reopen to append. */
bool make_file(int dirfd, const char *name, uint32_t number);

/* Each entry of a directory by getdents64 with a buffer of that many bytes; not . and .. */
bool each_entry(int dirfd, size_t bytes, void (*entry)(void *ctx, const char *name), void *ctx);
/* The plain name of a listed one, in out (NAME bytes). True: it is an object. */
bool plain_of(const char *name, char *out);

int crowd_write(char **args);
int crowd_churn(char **args);
int crowd_left(char **args);
int crowd_moves(char **args);

#endif
