/* SPDX-License-Identifier: BSD-2-Clause */
/* Who waits until a file is sealed waits until its raw file has no name any more, and not until its bytes
 * are gone. */
#include "tests/unit/store_kit.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "lib/barrier.h"

#define LARGE ((size_t)2 << 20)
#define SMALL ((size_t)100 << 10)
#define WAIT_S 20

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool told, late;
static int closed;

static bool is_given_up(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 0 &&
	       (size_t)st.st_size == LARGE;
}

/* The last close of a raw file that has no name any more comes when the one who waits was told. */
int close(int fd)
{
	struct timespec until;

	if (is_given_up(fd)) {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += WAIT_S;
		pthread_mutex_lock(&mutex);
		while (!told && !late)
			late = pthread_cond_timedwait(&changed, &mutex, &until) != 0;
		closed++;
		pthread_mutex_unlock(&mutex);
	}
	return (int)syscall(SYS_close, fd);
}

static void tell(void)
{
	pthread_mutex_lock(&mutex);
	told = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
}

/* Another barrier is looked at while the raw file is removed. */
static struct store *looking;
static struct wait sealing;
static bool looked, ended_early;

int unlinkat(int dirfd, const char *name, int flags)
{
	if (looking && strcmp(name, "looked-at") == 0) {
		looked = true;
		barrier_check(looking);
		ended_early = seal_has_ended(&sealing);
	}
	return (int)syscall(SYS_unlinkat, dirfd, name, flags);
}

/* Named bug: what stat(2) says of the file changed behind the end of notepackctl seal. */
static void a_barrier_ends_when_the_raw_file_has_gone(void)
{
	struct scratch dir;

	scratch_init(&dir);
	looking = open_store(&dir, 2, NEVER_NS);
	put(looking, "looked-at", "text", 4);
	seal_begin(looking, &sealing);
	seal_end(&sealing);
	CHECK(looked && !ended_early);
	CHECK_EQ(store_close(looking), 0);
	scratch_release(&dir);
}

static void the_bytes_of_a_large_one_go_last(void)
{
	CLEANUP_FREE uint8_t *data = malloc(LARGE);
	struct scratch dir;
	struct store *s;

	scratch_init(&dir);
	sample_text(data, LARGE, 1);
	s = open_store(&dir, 2, NEVER_NS);
	put(s, "small", data, SMALL);
	seal_all(s);
	CHECK(!scratch_has(&dir, "small"));
	/* Alone: what is published behind it is published when its bytes have gone. */
	put(s, "large", data, LARGE);
	seal_all(s);
	CHECK(!scratch_has(&dir, "large"));
	tell();
	CHECK_EQ(store_close(s), 0);
	CHECK(!late);
	CHECK_EQ(closed, 1);
	CHECK(object_equals(&dir, "large.notepack.gz", data, LARGE));
	scratch_release(&dir);
}

int main(void)
{
	log_open("test_raw_drop", false, LOG_ERR);
	RUN(a_barrier_ends_when_the_raw_file_has_gone);
	looking = NULL;
	RUN(the_bytes_of_a_large_one_go_last);
	return unit_done();
}
