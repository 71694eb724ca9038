/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * digest: SHA-256, of bytes in memory, of those that come one after the other, and of a range of a file.
 *
 * Each out has SHA256_BYTES. An error is -ENOMEM, unless it says more: OpenSSL knows no other reason.
 */
#ifndef NOTEPACKFS_LIB_DIGEST_H
#define NOTEPACKFS_LIB_DIGEST_H

#include <openssl/types.h>
#include <stddef.h>
#include <stdint.h>

int digest_of(const void *data, size_t len, uint8_t *out);

/* One that is begun; NULL: no memory. */
EVP_MD_CTX *digest_new(void);
int digest_add(EVP_MD_CTX *md, const void *data, size_t len);
/* Nothing can be added any more. */
int digest_end(EVP_MD_CTX *md, uint8_t *out);
void digest_free(EVP_MD_CTX *md);

/* -EIO also if the file ends before, or another -errno. */
int digest_range(int fd, uint64_t offset, uint64_t len, uint8_t *out);

#endif
