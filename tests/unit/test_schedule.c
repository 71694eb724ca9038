/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Orders of events that are rare: threads that are slow, each time they have let go of a lock, beside
 * others that are quick. Which are the slow ones is another matter in each round.
 */
#include "tests/unit/store_kit.h"

#include <dlfcn.h>
#include <stdatomic.h>

#define THREADS 5
#define FILES 6
#define FILE_BYTES 262144 /* so that none is compressed when the last is submitted */
#define SLOW_US 60000
#define SLOW_TIMES 2
#define HANGS_AFTER_S 120

static atomic_uint round_now, threads_seen;

#ifndef __SANITIZE_THREAD__
/* Of the threads of a round those are slow, a few times, whose bit is set in its number; 0: none. */
static bool is_slow(void)
{
	static __thread unsigned round, number, times;

	if (round != atomic_load(&round_now)) {
		round = atomic_load(&round_now);
		number = atomic_fetch_add(&threads_seen, 1);
		times = 0;
	}
	return round >> number % THREADS & 1 && times++ < SLOW_TIMES;
}

int pthread_mutex_unlock(pthread_mutex_t *m)
{
	static int (*real)(pthread_mutex_t * m);
	int err;

	if (!real)
		real = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_unlock");
	err = real(m);
	if (is_slow())
		usleep(SLOW_US);
	return err;
}
#endif

/* The publisher went to sleep without a look at what had become ready meanwhile: more files than are
 * compressed at a time, and the stop waited for ever. */
static void a_drain_ends_whichever_thread_is_slow_L7(void)
{
	struct scratch dir;
	static uint8_t data[FILE_BYTES];

#ifdef __SANITIZE_THREAD__
	SKIP("ThreadSanitizer has an unlock of its own");
	return;
#endif
	scratch_init(&dir);
	sample_text(data, sizeof(data), 1);
	for (unsigned i = 1; i < 1 << THREADS; i++) {
		struct store *s = open_store(&dir, 1, NEVER_NS);
		char name[32];

		for (int k = 0; k < FILES; k++) {
			snprintf(name, sizeof(name), "%u.%d", i, k);
			put(s, name, data, sizeof(data));
		}
		atomic_store(&threads_seen, 0);
		atomic_store(&round_now, i);
		CHECK_EQ(store_close(s), 0);
		atomic_store(&round_now, 0);
	}
	scratch_release(&dir);
}

int main(void)
{
	alarm(HANGS_AFTER_S);
	RUN(a_drain_ends_whichever_thread_is_slow_L7);
	return unit_done();
}
