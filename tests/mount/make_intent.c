/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * make_intent STORE ID FROM TO: put into the manifest of an unmounted store that the renaming
 * of a file has begun, as a crash in the middle of one leaves it. ID 0: of a directory.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/manifest.h"

struct intent {
	uint64_t id;
	const char *from, *to;
};

static int put(struct manifest_txn *txn, void *ctx)
{
	struct intent *i = ctx;
	uint64_t seq;

	manifest_set_clean(txn, false);
	return manifest_intent(txn, i->id, i->from, i->to, &seq);
}

int main(int argc, char **argv)
{
	struct manifest_options options = {.suffix = NULL};
	struct manifest_error error = {.text = ""};
	struct manifest *m;
	struct intent i;
	int fd, err;

	if (argc != 5) {
		fprintf(stderr, "usage: %s STORE ID FROM TO\n", argv[0]);
		return 2;
	}
	i = (struct intent){.id = strtoull(argv[2], NULL, 10), .from = argv[3], .to = argv[4]};
	fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = manifest_open(fd, &options, &m, &error);
	if (!err)
		err = manifest_commit(m, put, &i);
	if (err) {
		fprintf(stderr, "%s: %s %s\n", argv[1], strerror(-err), error.text);
		return 1;
	}
	manifest_close(m);
	return 0;
}
