/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "lib/bytes.h"
#include "lib/io.h"

#define HASH_BUFFER ((size_t)1 << 20)

int digest_of(const void *data, size_t len, uint8_t *out)
{
	return EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

EVP_MD_CTX *digest_new(void)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	if (md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(md);
		md = NULL;
	}
	return md;
}

int digest_add(EVP_MD_CTX *md, const void *data, size_t len)
{
	return EVP_DigestUpdate(md, data, len) == 1 ? 0 : -ENOMEM;
}

int digest_end(EVP_MD_CTX *md, uint8_t *out)
{
	return EVP_DigestFinal_ex(md, out, NULL) == 1 ? 0 : -ENOMEM;
}

void digest_free(EVP_MD_CTX *md)
{
	EVP_MD_CTX_free(md);
}

int digest_range(int fd, uint64_t offset, uint64_t len, uint8_t *out)
{
	CLEANUP_FREE uint8_t *buf = malloc(HASH_BUFFER);
	EVP_MD_CTX *md = digest_new();
	int err = buf && md ? 0 : -ENOMEM;

	while (!err && len > 0) {
		ssize_t n = io_pread(fd, buf, (size_t)MIN(HASH_BUFFER, len), offset);

		if (n > 0) {
			err = digest_add(md, buf, (size_t)n);
			offset += (uint64_t)n;
			len -= (uint64_t)n;
		} else {
			err = n < 0 ? (int)n : -EIO;
		}
	}
	if (!err)
		err = digest_end(md, out);
	digest_free(md);
	return err;
}
