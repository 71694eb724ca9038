/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * value: durations, sizes and numbers as users write them. Each returns false for malformed
 * text; what *out holds then means nothing.
 */
#ifndef NOTEPACKFS_MOUNT_VALUE_H
#define NOTEPACKFS_MOUNT_VALUE_H

#include <stdbool.h>
#include <stdint.h>

/* "1.5", "90s", "10m", "2h", "7d": nanoseconds; seconds without a unit; at most 100 years. */
bool value_duration(const char *text, int64_t *ns);

/* "4096", "1M", "2.5G": bytes; K, M, G and T are powers of 1024; below 2^63. */
bool value_size(const char *text, uint64_t *bytes);

/* A whole number from min to max. */
bool value_number(const char *text, unsigned min, unsigned max, unsigned *out);

#endif
