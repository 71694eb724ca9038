/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * randomops: random operations on a mount, compared with a model in memory.
 *
 * An operation is a kind and up to five numbers. It names handles and paths by their place in
 * small tables, so that a list of operations means something even when some of it is taken out:
 * what cannot be done in the state that it meets is passed over. The list is made from the seed
 * before the run begins; what is random is the list, never the run.
 *
 * When exactly background work freezes bytes is not known, so the model keeps two bounds of the
 * cut of each file: below cut_sure a change must be refused, above cut_maybe it must not be,
 * and what happens in between moves one of them. A barrier makes both the same.
 */
#ifndef NOTEPACKFS_TESTS_RANDOMOPS_H
#define NOTEPACKFS_TESTS_RANDOMOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

enum { DIRS = 4, NAMES = 8, PATHS = DIRS * NAMES, SLOTS = 8, ARGS = 5 };
#define SIZE_LIMIT ((size_t)1 << 20)
#define PATH_BYTES 512

struct run;

struct op {
	uint8_t kind; /* index in op_table */
	uint32_t arg[ARGS];
};

/* args, one letter each: h handle, p path, d directory, f flags of open, a mode of fallocate,
 * m permission bits, o offset, l length, c seed of content, b 0 or 1, t time, n milliseconds */
struct op_info {
	const char *name;
	const char *args;
	unsigned weight;
	bool (*perform)(struct run *r, const uint32_t *arg); /* false: r->failure says why */
};

struct op_list {
	struct op *op;
	size_t count;
};

struct mode {
	const char *name, *options;
	bool allow_delete, fsync_seals;
};

struct file {
	struct file *next;
	int path; /* -1: unlinked */
	uint8_t *data;
	size_t size, space;
	size_t written_end; /* up to here at most an open file is cut */
	size_t cut_sure, cut_maybe, sealed_sure;
	unsigned opens, writers;
	bool armed; /* an fsync may lead to a cut at any time */
	bool
	    mapped; /* written by a mapping, or could be, and its writers may not be released yet */
	bool
	    passed; /* was opened to append, and has been open ever since: who opens it may share the raw file */
	bool map_dirty;		    /* … and the pages may still be in the page cache only */
	bool mode_lazy, mtime_lazy; /* recorded later: a crash may set them back */
	bool mode_known, mtime_known;
	bool mtime_loose; /* pages are written when the kernel likes */
	mode_t mode;
	struct timespec mtime;
	uint64_t ino;
};

/* An open file description; duplicates share it. */
struct description {
	struct file *file;
	int flags;
	size_t position;
	unsigned refs;
};

struct slot {
	int fd; /* valid while description is set */
	struct description *description;
};

struct run {
	const struct mode *mode;
	const char *build;
	char store[PATH_BYTES], mnt[PATH_BYTES], log[PATH_BYTES];
	pid_t daemon;
	struct file *files; /* all that have a name or a handle */
	struct file *at[PATHS];
	bool dir[DIRS];
	struct slot slot[SLOTS];
	uint64_t performed;
	char failure[512];
};

/* ---- randomops_list.c: the operations as lists and as text ---- */

extern const struct op_info op_table[];
extern const size_t op_kinds;
struct op_list list_generate(uint64_t seed, size_t count);
void list_print(const struct op_list *list, const char *prefix);
int list_read(const char *path, char *mode, size_t mode_size, struct op_list *out);
int list_write(const char *path, const char *mode, const struct op_list *list);
uint64_t draw(uint64_t *state); /* splitmix64 */

/* ---- randomops_model.c ---- */

enum verdict { MUST_WORK, MUST_FAIL, EITHER };

extern const char *const dir_names[DIRS];
const char *path_text(int path); /* relative to the root; valid until the next but one call */
const char *name_of(int path);
bool excluded(int path);
struct file *other_spelling(struct run *r, int path); /* a live file of the same stem */
void full_path(const struct run *r, int path, char *out);
void full_dir(const struct run *r, int dir, char *out);

struct file *file_make(struct run *r, int path);
void file_forget(struct run *r, struct file *f); /* freed if nothing refers to it */
void file_unlink(struct run *r, struct file *f);
void file_move(struct run *r, struct file *f, int path);
void file_write(struct file *f, size_t offset, const uint8_t *data, size_t len);
void file_resize(struct file *f, size_t size);
void file_changed(struct file *f);
void fill(uint8_t *out, size_t len, uint32_t seed);

/* May bytes from this offset on be changed? */
enum verdict change_verdict(const struct file *f, size_t offset);
void learn_change(struct file *f, size_t offset, int err);
/* Bounds that follow from who has the file open; called after each operation. */
void model_update(struct run *r);
/* Sets r->failure, and returns false, unless err (errno or 0) is what the verdict allows. */
bool expect(struct run *r, enum verdict v, int err, int refusal, const char *what,
	    const char *name);
bool failed(struct run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- randomops_io.c, randomops_names.c, randomops_daemon.c: what the table calls ---- */

#define OP(name) bool name(struct run *r, const uint32_t *arg)
OP(op_open);
OP(op_dup);
OP(op_close);
OP(op_read);
OP(op_pread);
OP(op_write);
OP(op_pwrite);
OP(op_seek);
OP(op_ftruncate);
OP(op_fsync);
OP(op_fdatasync);
OP(op_mmapw);
OP(op_mmapr);
OP(op_fallocate);
OP(op_fstat);
OP(op_truncate);
OP(op_chmod);
OP(op_utimens);
OP(op_unlink);
OP(op_remove);
OP(op_rename);
OP(op_exchange);
OP(op_noreplace);
OP(op_link);
OP(op_stat);
OP(op_check);
OP(op_list);
OP(op_mkdir);
OP(op_rmdir);
OP(op_movedir);
OP(op_pause);
OP(op_wait);
OP(op_waitpath);
OP(op_seal);
OP(op_sealall);
OP(op_sync);
OP(op_remount);
OP(op_crash);

bool close_slot(struct run *r, struct slot *s);
bool settle_maps(struct run *r); /* no page is dirty in the page cache only */
bool check_content(struct run *r, struct file *f);
struct stat;
bool check_stat(struct run *r, struct file *f, const struct stat *st);

/* Compare one directory, its objects, and their content with the model. */
bool check_dir(struct run *r, int dir);
bool check_all(struct run *r);

int request(struct run *r, unsigned op, const char *path); /* 0 or errno */
bool daemon_start(struct run *r);
bool daemon_stop(struct run *r);
void daemon_kill(struct run *r);				/* and the mount is gone */
int run_program(const struct run *r, const char *const argv[]); /* exit status */

#endif
