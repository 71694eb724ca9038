/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fsyncs: many files made durable, several at a time.
 *
 * Each fsync behind the first is mostly a flush of the device's cache, which is waited for. Flushes that
 * are asked for side by side share one.
 */
#ifndef NOTEPACKFS_LIB_FSYNCS_H
#define NOTEPACKFS_LIB_FSYNCS_H

#include <stddef.h>

#define FSYNCS_MAX 8	  /* threads, with the caller */
#define FSYNCS_A_THREAD 8 /* files for each, at least */

/*
 * fsync each of the count files once, and return when all were: results[i] is 0 or -errno of fds[i]. The
 * threads for it end before. One that cannot be created is done without: the caller does it all, if need be.
 */
void fsyncs(const int *fds, int *results, size_t count);

#endif
