/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log: one line an event, to stderr or to syslog.
 *
 * Thread-safe from the first call; before log_open lines of LOG_WARNING and worse go to
 * stderr. A line that was printed less than a second ago is not printed again: the repeats are
 * counted, and the count follows the next line that is printed. Levels are syslog's
 * (LOG_ERR … LOG_DEBUG).
 */
#ifndef NOTEPACKFS_LIB_LOG_H
#define NOTEPACKFS_LIB_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <syslog.h>

/* Send lines up to max_level to syslog (as program) or, if !to_syslog, to stderr. */
void log_open(const char *program, bool to_syslog, int max_level);

/* Print one line; no newline at the end of fmt. */
void log_line(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define LOG_FEW 100

/*
 * Of a kind of line there may be one for each of a million files: the first LOG_FEW that *count counts are to
 * be printed (true). Instead of the next one, one is printed that says that there are more; what: "is …", as
 * the kind's own lines go on behind the name.
 */
bool log_is_few(atomic_uint *count, const char *what);

#define log_error(...) log_line(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
