/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libfuse lets a session replace the two system calls with which it talks to the device. Ours
 * do the same, and look at the first message in each direction: INIT, which comes alone; and at
 * answers to OPEN that are to be amended.
 */
#include "fs/handshake.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fs/private.h"
#include "lib/bytes.h"

/* One process serves one connection. */
static struct {
	atomic_bool done;
	struct fuse_init_in init; /* the INIT request; before … */
	size_t init_len;
	_Atomic uint64_t unique; /* … its number: a notification may be on its way already */
} handshake;

#define WANTED ((uint32_t)FUSE_HANDLE_KILLPRIV_V2)

static void note_request(const void *message, size_t len)
{
	struct fuse_in_header header;

	if (len < sizeof(header) + offsetof(struct fuse_init_in, flags2))
		return;
	memcpy(&header, message, sizeof(header));
	if (header.opcode != FUSE_INIT)
		return;
	handshake.init_len = MIN(len - sizeof(header), sizeof(handshake.init));
	memcpy(&handshake.init, (const char *)message + sizeof(header), handshake.init_len);
	atomic_store(&handshake.unique, header.unique);
}

static ssize_t read_request(int fd, void *buf, size_t len, void *userdata)
{
	ssize_t n = read(fd, buf, len);

	if (n > 0 && !atomic_load_explicit(&handshake.done, memory_order_relaxed))
		note_request(buf, (size_t)n);
	return n;
}

/* libfuse gives the header and the body one piece each. A refusal has no body; then the kernel
 * asks again with an older version. */
static void amend_reply(struct fs *fs, const struct iovec *iov, int count)
{
	struct fuse_out_header header;
	struct fuse_init_out init;

	if (iov[0].iov_len < sizeof(header))
		return;
	memcpy(&header, iov[0].iov_base, sizeof(header));
	if (count < 2 || header.unique != atomic_load(&handshake.unique) || header.error ||
	    iov[1].iov_len < offsetof(struct fuse_init_out, flags2))
		return;
	memcpy(&init, iov[1].iov_base, offsetof(struct fuse_init_out, flags2));
	init.flags |= handshake.init.flags & WANTED;
	memcpy(iov[1].iov_base, &init, offsetof(struct fuse_init_out, flags2));
	passthrough_amend_init(&fs->passthrough, &handshake.init, handshake.init_len,
			       iov[1].iov_base, iov[1].iov_len);
	atomic_store(&handshake.done, true);
}

static ssize_t write_reply(int fd, struct iovec *iov, int count, void *userdata)
{
	if (!atomic_load_explicit(&handshake.done, memory_order_relaxed))
		amend_reply(userdata, iov, count);
	passthrough_amend_reply(iov, count);
	return writev(fd, iov, count);
}

int handshake_install(struct fuse_session *se)
{
	static const struct fuse_custom_io io = {.writev = write_reply, .read = read_request};

	/* The session goes on using the descriptor it has. */
	return fuse_session_custom_io(se, &io, fuse_session_fd(se));
}
