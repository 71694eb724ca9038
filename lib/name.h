/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * name: the arithmetic of names. Pure functions over bytes; no files, no locks.
 *
 *	plain name	what the writer used:			x  or  x.notepack
 *	stem		the plain name without the suffix:	x
 *	sealed name	of part 1:				x.notepack.gz
 *			of part n > 1:				x.p000000002.notepack.gz
 *
 * ".notepack" stands for the store's suffix. A plain name that is nothing but the suffix is its
 * own stem. ".p" sorts after ".notepack" in C and in en_US, so a glob lists parts in order.
 */
#ifndef NOTEPACKFS_LIB_NAME_H
#define NOTEPACKFS_LIB_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_BYTES 255		/* longest name in a directory, without a NUL */
#define NAME_PLAIN_BYTES 233	/* longest plain name of a file that can be sealed */
#define NAME_SUFFIX_BYTES 9	/* longest suffix */
#define NAME_PART_MAX 999999999 /* nine digits */
#define NAME_PRIVATE ".notepackfs"

#define NAME_DEFAULT_SUFFIX ".notepack"
#define NAME_DEFAULT_EXCLUDE ".*:*~:*.tmp:*.part:*.open:*.swp"

/* How many bytes of the plain name are its stem. */
size_t name_stem_len(const char *plain, const char *suffix);

/* Write the sealed name of a part (>= 1) of a plain name; out holds NAME_BYTES + 1.
 * Returns 0, or -ENAMETOOLONG (a later part of a stem of exactly NAME_PLAIN_BYTES). */
int name_sealed(const char *plain, uint32_t part, const char *suffix, char *out);

/* Does the name end like a sealed name? */
bool name_has_sealed_suffix(const char *name, const char *suffix);

/* Take a sealed name apart; false if it is none. stem_len counts bytes of name. */
bool name_parse_sealed(const char *name, const char *suffix, size_t *stem_len, uint32_t *part);

/* How long the plain name must be of which this is a sealed name; of another name, its own
 * length. */
size_t name_plain_bytes(const char *name, const char *suffix);

/*
 * May a file of this plain name be created (and sealed some day)?
 * 0 · -EINVAL: its stem ends like a part number (".p" and nine digits) · -ENAMETOOLONG.
 */
int name_check_plain(const char *plain, const char *suffix);

/* 0, or -EINVAL: not "." and a word that can stand in a file name, at most NAME_SUFFIX_BYTES.
 */
int name_check_suffix(const char *suffix);

/*
 * Names of imports: gzip files that someone else made (lib/import.h).
 *
 * name_is_import: could this be the sealed name of a whole file, part 1 of a plain name that is
 * good? name_is_refused: is it what an import is called that was refused (X.notepack.gz.invalid
 * or, where that was taken, X.notepack.gz.2.invalid, …)? name_refused: make that, n from 1, into
 * out (NAME_BYTES + 1): 0, or -ENAMETOOLONG.
 */
bool name_is_import(const char *name, const char *suffix);

/* A stem that ends in the suffix itself (X.notepack.notepack.gz) has one spelling: with one more. */
bool name_stem_needs_suffix(const char *stem, size_t len, const char *suffix);
bool name_is_refused(const char *name, const char *suffix);

/* Is a file of this name never sealed? A refused import's, and those that name_check_plain refuses
 * with -EINVAL: who has access to the store can make one. */
bool name_is_unsealable(const char *name, const char *suffix);
int name_refused(const char *import, unsigned n, char *out);

bool name_is_utf8(const char *s, size_t len);

/* How many bytes of s (not empty) are a character that can be shown on a terminal; 0: its first byte
 * is of none. */
size_t name_printable(const char *s);

/* Put a question mark for each byte that cannot be shown, in place. */
void name_make_printable(char *s);

/* A list of globs, split at colons ("*.tmp:*~"). */
struct globs {
	char **pattern;
	size_t count;
};

/* Compile text (NULL or "" is an empty list). 0 or -ENOMEM. */
int globs_init(struct globs *g, const char *text);
void globs_release(struct globs *g);

/* Does any glob match this single name (fnmatch(3), no flags: "*" matches a leading dot)? */
bool globs_match(const struct globs *g, const char *name);

/* Does any glob match any component of this path? */
bool globs_match_path(const struct globs *g, const char *path);

#endif
