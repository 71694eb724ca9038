/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iotimer: what its commands share. Any failure ends the program: half a job has no figure.
 */
#ifndef NOTEPACKFS_TESTS_IOTIMER_H
#define NOTEPACKFS_TESTS_IOTIMER_H

#include <stddef.h>
#include <stdint.h>

int64_t now_ns(void);				       /* CLOCK_MONOTONIC */
_Noreturn void die(const char *what);		       /* with errno's text */
int open_or_die(const char *path, int flags);	       /* mode 0644 */
uint64_t number(const char *text, uint64_t least);     /* of an argument */
void print_seconds(int64_t ns);			       /* "seconds S" */
void write_all(int fd, const char *data, size_t size); /* one write(2), whole */

/* The first bytes of a file, or all of it (*size is 0), in memory. */
const char *load(const char *path, size_t *size);

struct latencies {
	int64_t *ns;
	size_t count, room;
};

void latencies_add(struct latencies *l, int64_t ns);
/* "NAME_p50 …", "NAME_p99 …", "NAME_max …" in microseconds; name "" has no underscore. */
void latencies_print(struct latencies *l, const char *name);

/* iotimer_data.c */
void cmd_write(char **argv);
void cmd_fsync(char **argv);
void cmd_pace(char **argv);
void cmd_read(char **argv);
void cmd_random(char **argv);

/* iotimer_meta.c */
void cmd_files(char **argv);
void cmd_stat(char **argv);
void cmd_list(char **argv);
void cmd_calls(char **argv);

#endif
