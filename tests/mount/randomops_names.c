/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is done by name: attributes, renaming, removing, directories.
 */
#include "tests/mount/randomops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/proto.h"

static int errno_of(long result)
{
	return result < 0 ? errno : 0;
}

/* ---- attributes ---- */

static bool check_times(struct run *r, struct file *f, const struct stat *st, const char *name)
{
	if (f->map_dirty || f->mtime_loose)
		return true;
	if (f->mtime_known &&
	    (st->st_mtim.tv_sec != f->mtime.tv_sec || st->st_mtim.tv_nsec != f->mtime.tv_nsec))
		return failed(r, "%s: mtime is %lld.%09ld, expected %lld.%09ld", name,
			      (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
			      (long long)f->mtime.tv_sec, f->mtime.tv_nsec);
	f->mtime = st->st_mtim;
	f->mtime_known = true;
	return true;
}

/* What is not known yet is learnt, and must stay. */
bool check_stat(struct run *r, struct file *f, const struct stat *st)
{
	const char *name = f->path < 0 ? "an unlinked file" : path_text(f->path);

	if (!S_ISREG(st->st_mode) || (size_t)st->st_size != f->size)
		return failed(r, "%s: mode %o, size %lld, expected a size of %zu", name,
			      st->st_mode, (long long)st->st_size, f->size);
	if (f->mode_known && (st->st_mode & 07777) != f->mode)
		return failed(r, "%s: mode is %o, expected %o", name, st->st_mode & 07777,
			      f->mode);
	f->mode = st->st_mode & 07777;
	f->mode_known = true;
	if (f->ino && f->ino != st->st_ino)
		return failed(r, "%s: inode number is %llu, was %llu", name,
			      (unsigned long long)st->st_ino, (unsigned long long)f->ino);
	for (struct file *g = r->files; g; g = g->next) {
		if (g != f && g->ino == st->st_ino)
			return failed(r, "%s: inode number %llu is another's", name,
				      (unsigned long long)st->st_ino);
	}
	f->ino = st->st_ino;
	if (f->path >= 0 && st->st_nlink != 1)
		return failed(r, "%s: link count is %lu", name, (unsigned long)st->st_nlink);
	return check_times(r, f, st, name);
}

OP(op_stat)
{
	struct file *f = r->at[arg[0]];
	char full[PATH_BYTES];
	struct stat st;
	int err;

	full_path(r, (int)arg[0], full);
	err = errno_of(stat(full, &st));
	r->performed++;
	if (!expect(r, f ? MUST_WORK : MUST_FAIL, err, ENOENT, "stat", path_text((int)arg[0])))
		return false;
	return !f || check_stat(r, f, &st);
}

OP(op_truncate)
{
	struct file *f = r->at[arg[0]];
	char full[PATH_BYTES];
	int err;

	full_path(r, (int)arg[0], full);
	err = errno_of(truncate(full, arg[1]));
	r->performed++;
	if (!expect(r, f ? change_verdict(f, arg[1]) : MUST_FAIL, err, f ? EPERM : ENOENT,
		    "truncate", path_text((int)arg[0])))
		return false;
	if (f)
		learn_change(f, arg[1], err);
	if (f && !err)
		file_resize(f, arg[1]);
	return true;
}

OP(op_chmod)
{
	struct file *f = r->at[arg[0]];
	char full[PATH_BYTES];
	int err;

	full_path(r, (int)arg[0], full);
	err = errno_of(chmod(full, arg[1]));
	r->performed++;
	if (!expect(r, f ? MUST_WORK : MUST_FAIL, err, ENOENT, "chmod", path_text((int)arg[0])))
		return false;
	if (f) {
		f->mode = arg[1];
		f->mode_known = f->mode_lazy = true;
	}
	return true;
}

OP(op_utimens)
{
	struct file *f = r->at[arg[0]];
	struct timespec when = {.tv_sec = arg[1], .tv_nsec = arg[1] % 1000000000};
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, when};
	char full[PATH_BYTES];
	int err;

	if (f && f->map_dirty)
		return true;
	full_path(r, (int)arg[0], full);
	err = errno_of(utimensat(AT_FDCWD, full, times, 0));
	r->performed++;
	if (!expect(r, f ? MUST_WORK : MUST_FAIL, err, ENOENT, "utimensat",
		    path_text((int)arg[0])))
		return false;
	if (f) {
		f->mtime = when;
		f->mtime_known = f->mtime_lazy = true;
		f->mtime_loose = false;
	}
	return true;
}

/* ---- removing ---- */

static enum verdict removal_verdict(const struct run *r, const struct file *f)
{
	return r->mode->allow_delete ? MUST_WORK : change_verdict(f, 0);
}

OP(op_unlink)
{
	struct file *f = r->at[arg[0]];
	char full[PATH_BYTES];
	int err;

	full_path(r, (int)arg[0], full);
	err = errno_of(unlink(full));
	r->performed++;
	if (!expect(r, f ? removal_verdict(r, f) : MUST_FAIL, err, f ? EPERM : ENOENT, "unlink",
		    path_text((int)arg[0])))
		return false;
	if (f && err)
		learn_change(f, 0, err);
	else if (f)
		file_unlink(r, f);
	return true;
}

/* What notepackctl rm does. */
OP(op_remove)
{
	struct file *f = r->at[arg[0]];
	int err = request(r, PROTO_REMOVE, path_text((int)arg[0]));

	r->performed++;
	if (!expect(r, f ? MUST_WORK : MUST_FAIL, err, ENOENT, "notepackctl rm",
		    path_text((int)arg[0])))
		return false;
	if (f)
		file_unlink(r, f);
	return true;
}

/* ---- renaming ---- */

static enum verdict rename_verdict(struct run *r, int from, int to, unsigned flags,
				   int *refusal)
{
	struct file *src = r->at[from], *dst = r->at[to], *other = other_spelling(r, to);

	*refusal = 0;
	if (!r->dir[from / NAMES] || !r->dir[to / NAMES] || !src ||
	    (!dst && (flags & RENAME_EXCHANGE)))
		*refusal = ENOENT;
	else if (dst && (flags & RENAME_NOREPLACE))
		*refusal = EEXIST;
	else if (src == dst)
		return MUST_WORK;
	else if (other && other != src && other != dst)
		*refusal = EEXIST;
	if (*refusal)
		return MUST_FAIL;
	if (flags & RENAME_EXCHANGE) {
		*refusal = EINVAL;
		return src->cut_sure || dst->cut_sure	  ? MUST_FAIL
		       : src->cut_maybe || dst->cut_maybe ? EITHER
							  : MUST_WORK;
	}
	*refusal = EPERM;
	return dst ? removal_verdict(r, dst) : MUST_WORK;
}

static bool rename_with(struct run *r, int from, int to, unsigned flags)
{
	char full_from[PATH_BYTES], full_to[PATH_BYTES];
	struct file *src = r->at[from], *dst = r->at[to];
	int refusal, err;
	enum verdict v = rename_verdict(r, from, to, flags, &refusal);

	full_path(r, from, full_from);
	full_path(r, to, full_to);
	err = errno_of(renameat2(AT_FDCWD, full_from, AT_FDCWD, full_to, flags));
	r->performed++;
	if (!expect(r, v, err, refusal, "rename to", path_text(to)))
		return false;
	if (err == EPERM && dst)
		learn_change(dst, 0, err);
	if (err || src == dst)
		return true;
	if (flags & RENAME_EXCHANGE) {
		file_move(r, src, to);
		dst->path = from;
		r->at[from] = dst;
		src->cut_maybe = dst->cut_maybe = 0;
		return true;
	}
	if (dst)
		file_unlink(r, dst);
	file_move(r, src, to);
	return true;
}

OP(op_rename)
{
	return rename_with(r, (int)arg[0], (int)arg[1], 0);
}

OP(op_exchange)
{
	return rename_with(r, (int)arg[0], (int)arg[1], RENAME_EXCHANGE);
}

OP(op_noreplace)
{
	return rename_with(r, (int)arg[0], (int)arg[1], RENAME_NOREPLACE);
}

OP(op_link)
{
	char from[PATH_BYTES], to[PATH_BYTES];
	int err, refusal = EPERM;

	full_path(r, (int)arg[0], from);
	full_path(r, (int)arg[1], to);
	if (!r->at[arg[0]] || !r->dir[arg[1] / NAMES])
		refusal = ENOENT;
	else if (r->at[arg[1]])
		refusal = EEXIST;
	err = errno_of(link(from, to));
	r->performed++;
	return expect(r, MUST_FAIL, err, refusal, "link to", path_text((int)arg[1]));
}

/* ---- directories ---- */

static bool is_empty(const struct run *r, uint32_t dir)
{
	for (int i = 0; i < NAMES; i++) {
		if (r->at[(int)dir * NAMES + i])
			return false;
	}
	return true;
}

OP(op_mkdir)
{
	char full[PATH_BYTES];
	int err;

	if (!arg[0])
		return true;
	full_dir(r, (int)arg[0], full);
	err = errno_of(mkdir(full, 0755));
	r->performed++;
	if (!expect(r, r->dir[arg[0]] ? MUST_FAIL : MUST_WORK, err, EEXIST, "mkdir",
		    dir_names[arg[0]]))
		return false;
	r->dir[arg[0]] = true;
	return true;
}

OP(op_rmdir)
{
	char full[PATH_BYTES];
	bool may = r->dir[arg[0]] && is_empty(r, arg[0]);
	int err;

	if (!arg[0])
		return true;
	full_dir(r, (int)arg[0], full);
	err = errno_of(rmdir(full));
	r->performed++;
	if (!expect(r, may ? MUST_WORK : MUST_FAIL, err, r->dir[arg[0]] ? ENOTEMPTY : ENOENT,
		    "rmdir", dir_names[arg[0]]))
		return false;
	if (!err)
		r->dir[arg[0]] = false;
	return true;
}

OP(op_movedir)
{
	char from[PATH_BYTES], to[PATH_BYTES];
	int refusal = 0, err;

	if (!arg[0] || !arg[1] || arg[0] == arg[1])
		return true;
	full_dir(r, (int)arg[0], from);
	full_dir(r, (int)arg[1], to);
	if (!r->dir[arg[0]])
		refusal = ENOENT;
	else if (r->dir[arg[1]] && !is_empty(r, arg[1]))
		refusal = ENOTEMPTY;
	err = errno_of(rename(from, to));
	r->performed++;
	if (!expect(r, refusal ? MUST_FAIL : MUST_WORK, err, refusal,
		    "rename of a directory to", dir_names[arg[1]]))
		return false;
	if (err)
		return true;
	for (int i = 0; i < NAMES; i++) {
		struct file *f = r->at[(int)arg[0] * NAMES + i];

		if (f)
			file_move(r, f, (int)arg[1] * NAMES + i);
	}
	r->dir[arg[0]] = false;
	r->dir[arg[1]] = true;
	return true;
}
