/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/fsyncs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "lib/bytes.h"
#include "lib/io.h"
#include "lib/log.h"

struct work {
	const int *fds;
	int *results;
	size_t count;
	atomic_size_t next; /* not taken by a thread yet */
};

static void *run(void *arg)
{
	struct work *w = arg;
	size_t i;

	while ((i = atomic_fetch_add(&w->next, 1)) < w->count)
		w->results[i] = io_fsync(w->fds[i]);
	return NULL;
}

void fsyncs(const int *fds, int *results, size_t count)
{
	struct work w = {.fds = fds, .results = results, .count = count};
	size_t wanted = MIN(count / FSYNCS_A_THREAD, FSYNCS_MAX), others = 0;
	pthread_t threads[FSYNCS_MAX];
	int err = 0;

	while (others + 1 < wanted && !err) {
		err = pthread_create(&threads[others], NULL, run, &w);
		others += !err;
	}
	if (err)
		log_warning("only %zu of %zu threads could be started (%s); the work is done "
			    "all the same",
			    others + 1, wanted, strerror(err));
	run(&w);
	while (others > 0)
		pthread_join(threads[--others], NULL);
}
