/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * make_object PLAIN OBJECT [CODEC [LEVEL]]: seal PLAIN into the new file OBJECT with the
 * reference writer, for tests that give objects to other programs.
 */
#include <fcntl.h>
#include <stdio.h>

#include "tests/unit/seekgz_build.h"

static int make_object(const char *plain, const char *object,
		       const struct seekgz_recipe *recipe)
{
	CLEANUP_FD int in = open(plain, O_RDONLY | O_CLOEXEC);
	CLEANUP_FD int out = open(object, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	struct stat st;
	uint8_t *raw;
	int err;

	if (in < 0 || out < 0)
		return -errno;
	err = io_fstat(in, &st);
	if (err)
		return err;
	if (st.st_size == 0)
		return -ENODATA;
	raw = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, in, 0);
	if (raw == MAP_FAILED)
		return -errno;
	err = seekgz_build(out, raw, (uint64_t)st.st_size, recipe);
	munmap(raw, (size_t)st.st_size);
	return err;
}

int main(int argc, char **argv)
{
	struct seekgz_recipe recipe = seekgz_default_recipe();
	int err;

	if (argc < 3 || argc > 5) {
		fprintf(stderr, "usage: make_object PLAIN OBJECT [CODEC [LEVEL]]\n");
		return 2;
	}
	if (argc > 3)
		recipe.codec = argv[3];
	if (argc > 4)
		recipe.level = atoi(argv[4]);
	err = make_object(argv[1], argv[2], &recipe);
	if (err)
		fprintf(stderr, "make_object: %s: %s\n", argv[2], strerror(-err));
	return err != 0;
}
