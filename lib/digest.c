/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "lib/bytes.h"
#include "lib/io.h"

#define HASH_BUFFER ((size_t)1 << 20)

int digest_range(int fd, uint64_t offset, uint64_t len, uint8_t *out)
{
	CLEANUP_FREE uint8_t *buf = malloc(HASH_BUFFER);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	int err = buf && md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;

	while (!err && len > 0) {
		ssize_t n = io_pread(fd, buf, (size_t)MIN(HASH_BUFFER, len), offset);

		if (n <= 0)
			err = n < 0 ? (int)n : -EIO;
		else if (EVP_DigestUpdate(md, buf, (size_t)n) != 1)
			err = -ENOMEM;
		else {
			offset += (uint64_t)n;
			len -= (uint64_t)n;
		}
	}
	if (!err && EVP_DigestFinal_ex(md, out, NULL) != 1)
		err = -ENOMEM;
	EVP_MD_CTX_free(md);
	return err;
}
