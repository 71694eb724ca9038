/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The repeats are found by a small table of hashes of the latest lines: enough for a fault that
 * comes back from several files in turn, and of constant cost. A retry that fails the same way
 * every few milliseconds must not fill the journal (L9).
 */
#include "lib/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "lib/bytes.h"
#include "lib/lock.h"
#include "lib/name.h"

#define RECENT_LINES 16
#define REPEAT_NS 1000000000

static struct {
	/* Rank 90. Protects the rest. */
	pthread_mutex_t mutex;
	char program[32];
	bool to_syslog;
	int max_level;
	unsigned long repeats;
	struct {
		uint64_t hash;
		int64_t printed_ns;
	} recent[RECENT_LINES];
} state = {
    .mutex = PTHREAD_MUTEX_INITIALIZER, .program = "notepackfs", .max_level = LOG_WARNING};

static const char *level_name(int level)
{
	static const char *const names[] = {"emergency", "alert",  "critical", "error",
					    "warning",	 "notice", "info",     "debug"};

	return names[level & 7];
}

void log_open(const char *program, bool to_syslog, int max_level)
{
	pthread_mutex_lock(&state.mutex);
	snprintf(state.program, sizeof(state.program), "%s", program);
	state.max_level = max_level;
	if (to_syslog && !state.to_syslog)
		openlog(state.program, LOG_PID | LOG_NDELAY, LOG_DAEMON);
	state.to_syslog = to_syslog;
	pthread_mutex_unlock(&state.mutex);
}

static uint64_t hash_line(const char *s)
{
	uint64_t h = 1469598103934665603u; /* FNV-1a */

	while (*s)
		h = (h ^ (uint8_t)*s++) * 1099511628211u;
	return h;
}

/* Was this line printed within the last second? If not, remember it. */
static bool is_repeat_locked(const char *line)
{
	uint64_t hash = hash_line(line);
	int64_t now_ns = clock_ns();
	size_t oldest = 0;

	for (size_t i = 0; i < RECENT_LINES; i++) {
		if (state.recent[i].hash == hash && state.recent[i].printed_ns &&
		    now_ns - state.recent[i].printed_ns < REPEAT_NS)
			return true;
		if (state.recent[i].printed_ns < state.recent[oldest].printed_ns)
			oldest = i;
	}
	state.recent[oldest].hash = hash;
	state.recent[oldest].printed_ns = now_ns;
	return false;
}

static void emit_locked(int level, const char *line)
{
	if (state.to_syslog)
		syslog(level, "%s", line);
	else /* not through stderr: a thread that was cancelled within perror(3) has its lock for ever */
		dprintf(STDERR_FILENO, "%s: %s: %s\n", state.program, level_name(level), line);
}

void log_line(int level, const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	int saved_errno = errno;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	name_make_printable(line); /* a file name must not forge a line */

	pthread_mutex_lock(&state.mutex);
	if (level <= state.max_level) {
		if (is_repeat_locked(line)) {
			state.repeats++;
		} else {
			if (state.repeats) {
				char repeated[64];

				snprintf(repeated, sizeof(repeated),
					 "%lu repeated lines left out", state.repeats);
				emit_locked(LOG_INFO, repeated);
				state.repeats = 0;
			}
			emit_locked(level, line);
		}
	}
	pthread_mutex_unlock(&state.mutex);
	errno = saved_errno;
}

bool log_is_few(atomic_uint *count, const char *what)
{
	unsigned before = atomic_load(count);

	/* No further than needed: it does not wrap. */
	while (before <= LOG_FEW && !atomic_compare_exchange_weak(count, &before, before + 1))
		;
	if (before == LOG_FEW)
		log_warning(
		    "more than %d names of this kind (\"%s\"): the others are not named "
		    "here; notepackctl check lists all",
		    LOG_FEW, what);
	return before < LOG_FEW;
}
