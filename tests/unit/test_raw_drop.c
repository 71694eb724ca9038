/* SPDX-License-Identifier: BSD-2-Clause */
/* Who waits until a file is sealed does not wait until the bytes of its raw file are gone. */
#include "tests/unit/store_kit.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

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

static void the_bytes_of_a_large_one_go_last(void)
{
	CLEANUP_FREE uint8_t *data = malloc(LARGE);
	struct scratch dir;
	struct store *s;

	scratch_init(&dir);
	sample_text(data, LARGE, 1);
	s = open_store(&dir, 2, NEVER_NS);
	put(s, "large", data, LARGE);
	put(s, "small", data, SMALL);
	seal_all(s);
	CHECK(!scratch_has(&dir, "large"));
	CHECK(!scratch_has(&dir, "small"));
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
	RUN(the_bytes_of_a_large_one_go_last);
	return unit_done();
}
