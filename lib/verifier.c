/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/verifier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/codec.h"

struct verifier {
	struct inflater *inflater;
	uint8_t *plain;
	size_t size;
};

struct verifier *verifier_new(void)
{
	struct verifier *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->inflater = inflater_new();
	if (v->inflater)
		return v;
	free(v);
	return NULL;
}

void verifier_free(struct verifier *v)
{
	if (!v)
		return;
	inflater_free(v->inflater);
	free(v->plain);
	free(v);
}

static int make_room(struct verifier *v, size_t size)
{
	if (size <= v->size)
		return 0;
	free(v->plain);
	v->plain = malloc(size);
	v->size = v->plain ? size : 0;
	return v->plain ? 0 : -ENOMEM;
}

int verifier_chunk(struct verifier *v, uint8_t *gz, size_t n, const uint8_t *raw, size_t len)
{
	int err = make_room(v, len + INFLATER_RAW_ROOM);

	if (!err)
		err = inflater_whole(v->inflater, gz, n, v->plain, len);
	return err ? err : memcmp(v->plain, raw, len) == 0 ? 0 : -EIO;
}
