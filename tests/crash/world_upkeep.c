/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is done to a store for its own sake: it is read again, its manifest is damaged and repaired.
 */
#include "tests/crash/world_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/layout.h"
#include "lib/repair.h"

#define SCRUB_PASSES 2
#define SCRUB_TRIES 3000 /* milliseconds */

static long passes(struct store *s)
{
	static const char key[] = "\"passes\":";
	struct buf buf = {.data = NULL};
	const char *at = NULL;
	long n = -1;

	store_status(s, true, &buf);
	if (buf.data)
		at = memmem(buf.data, buf.len, key, strlen(key));
	if (at)
		n = strtol(at + strlen(key), NULL, 10);
	buf_release(&buf);
	return n;
}

void world_scrub(struct world *w, struct store *s)
{
	struct timespec pause = {.tv_nsec = 1000000};
	int i;

	shim_pause();
	for (i = 0; i < SCRUB_TRIES && passes(s) < SCRUB_PASSES; i++)
		nanosleep(&pause, NULL);
	shim_resume();
	if (i == SCRUB_TRIES && !atomic_load(&w->shim.injected))
		world_violation(w, "the store was not read again");
}

static void die(const char *what)
{
	perror(what);
	exit(2);
}

void world_damage(struct world *w)
{
	char path[sizeof(w->dir) + 32];
	struct stat st;
	char byte;
	int fd;

	w->repairs = true;
	snprintf(path, sizeof(path), "%s/" LAYOUT_MANIFEST, w->dir);
	if (w->seed % 4 == 0) {
		if (unlink(path) != 0)
			die(path);
		return;
	}
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		die(path);
	if (w->seed % 4 == 1) {
		if (ftruncate(fd, (off_t)(w->seed / 4) % st.st_size) != 0)
			die(path);
	} else {
		off_t at = (off_t)(w->seed / 4) % st.st_size;

		if (pread(fd, &byte, 1, at) != 1)
			die(path);
		byte ^= (char)(1 << w->seed / 4 % 7);
		if (pwrite(fd, &byte, 1, at) != 1)
			die(path);
	}
	close(fd);
}

static void say(void *ctx, enum repair_level level, const char *text)
{
	fprintf(stderr, "repair: %s\n", text);
}

static void progress(void *ctx, uint64_t done, uint64_t total)
{
}

/* It has met errors of the disk, has said so, and has left out what it could not read: so it is to be
 * made again, from nothing. */
static int forget_manifest(struct world *w)
{
	char path[sizeof(w->dir) + 32];

	if (!atomic_load(&w->shim.injected))
		world_violation(w, "the repair found damage");
	snprintf(path, sizeof(path), "%s/" LAYOUT_MANIFEST, w->dir);
	shim_pause();
	if (unlink(path) != 0)
		die(path);
	shim_resume();
	return -EIO;
}

/* As notepackctl repair. */
int world_repair(struct world *w)
{
	const struct repair_options options = {.say = say, .progress = progress};
	struct repair_error error = {.text = ""};
	struct repair_counts counts;
	int fd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), lock = -1;
	int err = fd < 0 ? -errno : layout_create(fd);

	if (!err) {
		lock = layout_lock(fd, true, "tool", 0);
		err = lock < 0 ? lock : 0;
	}
	if (!err) {
		err = repair_store(fd, &options, &counts, &error);
		if (err < 0)
			fprintf(stderr, "repair: %s\n", error.text);
		if (err < 0 && !error.text[0])
			world_violation(w, "the repair failed, and did not say why");
		if (err == 0 && (counts.damaged || counts.quarantined))
			err = forget_manifest(w);
		err = err < 0 ? err : 0;
		layout_lock_note(lock, NULL);
	}
	if (lock >= 0)
		close(lock);
	if (fd >= 0)
		close(fd);
	world_failed(w, err);
	return err;
}
