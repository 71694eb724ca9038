/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is done with open files. Each operation compares what it gets with the model, and the
 * model follows what the mount did where either would be right.
 */
#include "tests/mount/randomops.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static uint8_t buffer[SIZE_LIMIT];

static struct slot *open_slot(struct run *r, uint32_t n)
{
	return r->slot[n].description ? &r->slot[n] : NULL;
}

static bool readable(const struct slot *s)
{
	return (s->description->flags & O_ACCMODE) != O_WRONLY;
}

static bool writable(const struct slot *s)
{
	return (s->description->flags & O_ACCMODE) != O_RDONLY;
}

static const char *name_in(const struct slot *s)
{
	return s->description->file->path < 0 ? "an unlinked file"
					      : path_text(s->description->file->path);
}

static int errno_of(long result)
{
	return result < 0 ? errno : 0;
}

/* ---- opening and closing ---- */

static void take_slot(struct run *r, struct slot *s, int fd, struct file *f, int flags)
{
	struct description *d = calloc(1, sizeof(*d));

	if (!d)
		abort();
	*d = (struct description){.file = f, .flags = flags, .refs = 1};
	*s = (struct slot){.fd = fd, .description = d};
	f->opens++;
	f->writers += writable(s);
	r->performed++;
}

/* What must open(2) give? *refusal is the error if it may be refused. */
static enum verdict open_verdict(struct run *r, int path, int flags, int *refusal)
{
	struct file *f = r->at[path];

	*refusal = 0;
	if (!r->dir[path / NAMES] || (!f && !(flags & O_CREAT)))
		*refusal = ENOENT;
	else if ((!f && other_spelling(r, path)) ||
		 (f && (flags & O_CREAT) && (flags & O_EXCL)))
		*refusal = EEXIST;
	if (*refusal)
		return MUST_FAIL;
	*refusal = EPERM;
	return f && (flags & O_TRUNC) ? change_verdict(f, 0) : MUST_WORK;
}

OP(op_open)
{
	struct slot *s = &r->slot[arg[0]];
	int path = (int)arg[1], flags = (int)arg[2], refusal, fd, err;
	enum verdict v = open_verdict(r, path, flags, &refusal);
	struct file *f = r->at[path];
	char full[PATH_BYTES];

	if (s->description)
		return true;
	full_path(r, path, full);
	fd = open(full, flags | O_CLOEXEC, 0644);
	err = errno_of(fd);
	if (!expect(r, v, err, refusal, "open", path_text(path)))
		return false;
	if (f && refusal == EPERM && (flags & O_TRUNC))
		learn_change(f, 0, err);
	/* What is refused is the truncation, behind the open: he could have mapped it. */
	if (f && err == EPERM)
		f->mapped |= (flags & O_ACCMODE) == O_RDWR && f->passed;
	if (err)
		return true;
	if (!f)
		f = file_make(r, path);
	else if (flags & O_TRUNC)
		file_resize(f, 0);
	/* An appender is passed through, and so are those who come as long as someone is: this one can map the raw
	 * file, and no one would see it. */
	f->passed |= (flags & (O_ACCMODE | O_APPEND)) == (O_WRONLY | O_APPEND);
	f->mapped |= (flags & O_ACCMODE) == O_RDWR && f->passed;
	take_slot(r, s, fd, f, flags & ~(O_CREAT | O_EXCL | O_TRUNC));
	return true;
}

OP(op_dup)
{
	struct slot *from = open_slot(r, arg[0]), *to = &r->slot[arg[1]];

	if (!from || to->description)
		return true;
	*to = (struct slot){.fd = dup(from->fd), .description = from->description};
	to->description->refs++;
	r->performed++;
	return to->fd >= 0 || failed(r, "dup: %s", strerror(errno));
}

bool close_slot(struct run *r, struct slot *s)
{
	struct description *d = s->description;
	struct file *f = d->file;
	char name[64];
	int err;

	snprintf(name, sizeof(name), "%s", name_in(s));
	err = errno_of(close(s->fd));
	if (writable(s))
		f->map_dirty = false;
	s->description = NULL;
	if (--d->refs == 0) {
		f->opens--;
		f->writers -= (d->flags & O_ACCMODE) != O_RDONLY;
		free(d);
		file_forget(r, f);
	}
	return expect(r, MUST_WORK, err, 0, "close", name);
}

OP(op_close)
{
	struct slot *s = open_slot(r, arg[0]);

	r->performed += s != NULL;
	return !s || close_slot(r, s);
}

/* ---- reading ---- */

static bool compare(struct run *r, const char *what, const char *name, const struct file *f,
		    const uint8_t *got, ssize_t n, size_t offset, size_t len)
{
	size_t want = offset >= f->size ? 0 : f->size - offset < len ? f->size - offset : len;

	if (n < 0)
		return failed(r, "%s %s at %zu: %s", what, name, offset, strerror(errno));
	if ((size_t)n != want)
		return failed(r, "%s %s at %zu: %zd bytes, expected %zu of a size of %zu", what,
			      name, offset, n, want, f->size);
	for (size_t i = 0; i < want; i++) {
		if (got[i] != f->data[offset + i])
			return failed(r, "%s %s at %zu: byte %zu is %u, expected %u", what,
				      name, offset, offset + i, got[i], f->data[offset + i]);
	}
	return true;
}

OP(op_read)
{
	struct slot *s = open_slot(r, arg[0]);
	ssize_t n;
	bool good;

	if (!s || !readable(s))
		return true;
	n = read(s->fd, buffer, arg[1]);
	good = compare(r, "read", name_in(s), s->description->file, buffer, n,
		       s->description->position, arg[1]);
	s->description->position += n > 0 ? (size_t)n : 0;
	r->performed++;
	return good;
}

OP(op_pread)
{
	struct slot *s = open_slot(r, arg[0]);

	if (!s || !readable(s))
		return true;
	r->performed++;
	return compare(r, "pread", name_in(s), s->description->file, buffer,
		       pread(s->fd, buffer, arg[2], arg[1]), arg[1], arg[2]);
}

bool check_content(struct run *r, struct file *f)
{
	char full[PATH_BYTES];
	ssize_t n;
	int fd;

	full_path(r, f->path, full);
	fd = open(full, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return failed(r, "open %s: %s", path_text(f->path), strerror(errno));
	n = pread(fd, buffer, SIZE_LIMIT, 0);
	close(fd);
	return compare(r, "content of", path_text(f->path), f, buffer, n, 0, SIZE_LIMIT);
}

OP(op_check)
{
	struct file *f = r->at[arg[0]];

	r->performed += f != NULL;
	return !f || check_content(r, f);
}

/* ---- writing ---- */

static bool write_at(struct run *r, struct slot *s, size_t offset, size_t len, uint32_t seed,
		     bool at_position)
{
	struct file *f = s->description->file;
	bool append = s->description->flags & O_APPEND;
	ssize_t n;
	int err;

	if (append)
		offset = f->size;
	if (offset + len > SIZE_LIMIT)
		return true;
	/* Else this fsync's cut could meet a page that is not written yet. */
	if ((s->description->flags & O_DSYNC) && !settle_maps(r))
		return false;
	fill(buffer, len, seed);
	n = at_position ? write(s->fd, buffer, len) : pwrite(s->fd, buffer, len, (off_t)offset);
	err = errno_of(n);
	if (n > 0 && (size_t)n < len && change_verdict(f, offset + (size_t)n) == EITHER) {
		/* The kernel made several requests of it, and a cut came between two. */
		file_write(f, offset, buffer, (size_t)n);
		learn_change(f, offset + (size_t)n, EPERM);
		if (at_position)
			s->description->position = offset + (size_t)n;
		r->performed++;
		return true;
	}
	if (n >= 0 && (size_t)n != len)
		return failed(r, "write %s at %zu: %zd of %zu bytes", name_in(s), offset, n,
			      len);
	if (!expect(r, change_verdict(f, offset), err, EPERM, "write", name_in(s)))
		return false;
	learn_change(f, offset, err);
	if (!err) {
		file_write(f, offset, buffer, len);
		f->armed |= (s->description->flags & O_DSYNC) && r->mode->fsync_seals;
		if (at_position)
			s->description->position = offset + len;
	}
	r->performed++;
	return true;
}

OP(op_write)
{
	struct slot *s = open_slot(r, arg[0]);

	return !s || !writable(s) ||
	       write_at(r, s, s->description->position, arg[1], arg[2], true);
}

OP(op_pwrite)
{
	struct slot *s = open_slot(r, arg[0]);

	return !s || !writable(s) || write_at(r, s, arg[1], arg[2], arg[3], false);
}

OP(op_seek)
{
	struct slot *s = open_slot(r, arg[0]);

	if (!s)
		return true;
	r->performed++;
	s->description->position = arg[1];
	return lseek(s->fd, arg[1], SEEK_SET) == (off_t)arg[1] ||
	       failed(r, "lseek: %s", strerror(errno));
}

OP(op_ftruncate)
{
	struct slot *s = open_slot(r, arg[0]);
	struct file *f = s ? s->description->file : NULL;
	int err;

	if (!s)
		return true;
	r->performed++;
	err = errno_of(ftruncate(s->fd, arg[1]));
	if (!writable(s))
		return expect(r, MUST_FAIL, err, EINVAL, "ftruncate", name_in(s));
	if (!expect(r, change_verdict(f, arg[1]), err, EPERM, "ftruncate", name_in(s)))
		return false;
	learn_change(f, arg[1], err);
	if (!err)
		file_resize(f, arg[1]);
	return true;
}

static bool synced(struct run *r, struct slot *s, int err)
{
	s->description->file->map_dirty = false;
	if (r->mode->fsync_seals) /* whoever asks for it */
		s->description->file->armed = true;
	r->performed++;
	return expect(r, MUST_WORK, err, 0, "fsync", name_in(s));
}

OP(op_fsync)
{
	struct slot *s = open_slot(r, arg[0]);

	return !s || synced(r, s, errno_of(fsync(s->fd)));
}

OP(op_fdatasync)
{
	struct slot *s = open_slot(r, arg[0]);

	return !s || synced(r, s, errno_of(fdatasync(s->fd)));
}

/* What a range reads as afterwards. A range is cleared (punch, zero) or there is space for it.
 */
OP(op_fallocate)
{
	struct slot *s = open_slot(r, arg[0]);
	int mode = (int)arg[1];
	size_t offset = arg[2], end = offset + arg[3], cleared;
	bool clears = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
	struct file *f = s ? s->description->file : NULL;
	enum verdict v;
	int err;

	if (!s)
		return true;
	r->performed++;
	v = clears ? change_verdict(f, offset) : MUST_WORK;
	err = errno_of(fallocate(s->fd, mode, (off_t)offset, arg[3]));
	if (!writable(s))
		return expect(r, MUST_FAIL, err, EBADF, "fallocate", name_in(s));
	if (err == EOPNOTSUPP && (mode & FALLOC_FL_ZERO_RANGE))
		return true; /* tmpfs has none */
	if (!expect(r, v, err, EPERM, "fallocate", name_in(s)))
		return false;
	if (clears)
		learn_change(f, offset, err);
	if (err)
		return true;
	cleared = end < f->size ? end : f->size;
	if (clears && offset < cleared)
		memset(f->data + offset, 0, cleared - offset);
	if (!(mode & FALLOC_FL_KEEP_SIZE) && end > f->size)
		file_resize(f, end);
	file_changed(f);
	return true;
}

/* ---- mappings ---- */

bool settle_maps(struct run *r)
{
	for (size_t i = 0; i < SLOTS; i++) {
		struct slot *s = open_slot(r, (uint32_t)i);

		if (!s || !s->description->file->map_dirty)
			continue;
		if (sync_file_range(s->fd, 0, 0,
				    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
					SYNC_FILE_RANGE_WAIT_AFTER) != 0)
			return failed(r, "writing the pages of %s: %s", name_in(s),
				      strerror(errno));
		s->description->file->map_dirty = false;
	}
	return true;
}

/*
 * Write into a shared mapping. The pages are written by msync, or later with other things.
 * Where a cut may be in the way this is not done at all: which of the pages were refused, and
 * until when the page cache shows them, is for the tests of mappings (append.sh).
 */
OP(op_mmapw)
{
	struct slot *s = open_slot(r, arg[0]);
	struct file *f = s ? s->description->file : NULL;
	size_t offset = arg[1], len = arg[2], end;
	uint8_t *map;
	int err = 0;

	if (!s || (s->description->flags & O_ACCMODE) != O_RDWR || offset >= f->size ||
	    offset < f->cut_maybe || f->armed)
		return true;
	len = len < f->size - offset ? len : f->size - offset;
	map = mmap(NULL, f->size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
	if (map == MAP_FAILED)
		return failed(r, "mmap %s: %s", name_in(s), strerror(errno));
	fill(buffer, len, arg[3]);
	memcpy(map + offset, buffer, len);
	if (arg[4])
		err = errno_of(msync(map, f->size, MS_SYNC));
	munmap(map, f->size);
	file_write(f, offset, buffer, len);
	end = (offset + len + 4095) / 4096 * 4096; /* whole pages are written */
	if (f->written_end < end)
		f->written_end = end < f->size ? end : f->size;
	f->map_dirty = !arg[4];
	f->mtime_loose = f->mapped = true;
	f->armed |= arg[4] && r->mode->fsync_seals; /* msync is an fsync */
	r->performed++;
	return expect(r, MUST_WORK, err, 0, "msync", name_in(s));
}

OP(op_mmapr)
{
	struct slot *s = open_slot(r, arg[0]);
	struct file *f = s ? s->description->file : NULL;
	size_t offset = arg[1], len = arg[2];
	uint8_t *map;
	bool good;

	if (!s || !readable(s) || offset >= f->size)
		return true;
	len = len < f->size - offset ? len : f->size - offset;
	map = mmap(NULL, f->size, PROT_READ, MAP_PRIVATE, s->fd, 0);
	if (map == MAP_FAILED)
		return failed(r, "mmap %s: %s", name_in(s), strerror(errno));
	good = compare(r, "mapping of", name_in(s), f, map + offset, (ssize_t)len, offset, len);
	munmap(map, f->size);
	r->performed++;
	return good;
}

OP(op_fstat)
{
	struct slot *s = open_slot(r, arg[0]);
	struct stat st;

	if (!s)
		return true;
	r->performed++;
	if (fstat(s->fd, &st) != 0)
		return failed(r, "fstat %s: %s", name_in(s), strerror(errno));
	return check_stat(r, s->description->file, &st);
}
