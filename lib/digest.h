/* SPDX-License-Identifier: BSD-2-Clause */
/* digest: the SHA-256 of a range of a file. */
#ifndef NOTEPACKFS_LIB_DIGEST_H
#define NOTEPACKFS_LIB_DIGEST_H

#include <stdint.h>

/* out: SHA256_BYTES. 0, -EIO also if the file ends before, -ENOMEM, another -errno. */
int digest_range(int fd, uint64_t offset, uint64_t len, uint8_t *out);

#endif
