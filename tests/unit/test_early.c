/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that are compressed while they are written: whatever is done to a file meanwhile, the object is the
 * one that it would be without, and only what was changed is compressed again.
 */
#include "tests/unit/early_kit.h"

static void seal_while_written(void)
{
	struct store *s;

	begin();
	s = start_with(2);
	store_release(begin_file(s, "a"));
	wait_early(s, "complete", 1);
	seal_all(s);
	CHECK_EQ(early(s, "reused_chunks"), CHUNKS);
	CHECK_EQ(early(s, "redone_chunks"), 0);
	CHECK_EQ(early(s, "files"), 0);
	check_object(s, "a");
	close_store(s);
}

static void is_byte_identical_with_every_codec(void)
{
	const struct codec *each;

	sample_mixed(sample, MOST, 1);
	for (size_t i = 0; (each = codec_at(i)); i++) {
		if (strcmp(each->name, "isal") == 0)
			continue; /* early_kit.h */
		codec = each->name;
		printf("# %s\n", codec);
		seal_while_written();
	}
	codec = codec_find("auto")->name;
	sample_quick();
}

static void a_seal_right_behind_the_close_goes_on_from_there(void)
{
	struct store *s;

	begin();
	s = start_with(2);
	store_release(begin_file(s, "a"));
	seal_all(s);
	CHECK(early(s, "reused_chunks") >= CHUNKS - BEHIND / CHUNK);
	CHECK_EQ(early(s, "redone_chunks"), 0);
	check_object(s, "a");
	close_store(s);
}

/* Other bytes, and the same CRC-32: a multiple of its polynomial is added. */
static void overwrite_unseen_by_crc(struct handle *h, size_t at)
{
	static const uint8_t polynomial[] = {0x41, 0x06, 0x71, 0xdb, 0x01};
	uint8_t data[sizeof(polynomial)];
	uint32_t before = codec_crc32(0, now, now_bytes);

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = now[at + i] ^ polynomial[i];
	write_at(h, at, data, sizeof(data), false);
	CHECK_EQ(codec_crc32(0, now, now_bytes), before);
}

static void the_end_is_made_anew_behind_an_append(void)
{
	struct store *s;
	struct handle *h;

	begin();
	s = start_with(2);
	store_release(begin_file(s, "a"));
	wait_early(s, "complete", 1);
	append(s, "a", sample, 3 * MIB);
	memcpy(now + SIZE, sample, 3 * MIB);
	now_bytes += 3 * MIB;
	seal_all(s);
	CHECK(early(s, "reused_chunks") >= CHUNKS);
	CHECK_EQ(early(s, "redone_chunks"), 0);
	check_object(s, "a");

	/* The last chunk, which only the end has, of the same length. */
	store_release(begin_file(s, "b"));
	wait_early(s, "complete", 1);
	h = NULL;
	CHECK_EQ(store_open_node(s, &(struct caller){.uid = getuid(), .gid = getgid()},
				 node_of(s, "b"), O_WRONLY, &h),
		 0);
	overwrite_unseen_by_crc(h, SIZE - 10);
	node_unref(s, node_of(s, "b"), 2);
	store_release(h);
	seal_all(s);
	CHECK_EQ(early(s, "redone_chunks"), 0);
	check_object(s, "b");
	close_store(s);
}

/* It is random: a byte, too, is another one then. how: 0 write, 1 a mapping's pages, 2 behind the daemon's back, 3 a hole */
static void overwrite(struct store *s, struct handle *h, size_t at, size_t len, int how)
{
	CLEANUP_FREE uint8_t *data = malloc(len);
	int fd;

	sample_random(data, len, 42);
	if (how < 2) {
		write_at(h, at, data, len, how == 1);
		return;
	}
	if (how == 3) {
		CHECK_EQ(
		    store_fallocate(h, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, len), 0);
		memset(now + at, 0, len);
		return;
	}
	fd = openat(dir.fd, "a", O_WRONLY);
	CHECK(fd >= 0);
	CHECK_EQ(io_pwrite(fd, data, len, at), 0);
	close(fd);
	memcpy(now + at, data, len);
}

static void an_overwrite_redoes_only_what_it_touched(void)
{
	struct store *s;
	struct handle *h;

	begin();
	s = start_with(2);
	h = begin_file(s, "a");
	overwrite(s, h, 0, 1, 0);
	overwrite(s, h, 5 * CHUNK - 7, 100, 0); /* two */
	overwrite(s, h, 30 * MIB + 5, 1, 1);
	overwrite(s, h, 40 * MIB, 1, 2);
	overwrite(s, h, 50 * MIB + (150 << 10), 10, 3); /* no zeroes yet */
	store_release(h);
	seal_all(s);
	CHECK_EQ(early(s, "redone_chunks"), 6);
	CHECK(early(s, "reused_chunks") >= CHUNKS - BEHIND / CHUNK - 6);
	check_object(s, "a");
	close_store(s);
}

static void an_overwrite_that_a_crc_does_not_show_is_redone_too(void)
{
	struct store *s;
	struct handle *h;

	begin();
	s = start_with(2);
	h = begin_file(s, "a");
	overwrite_unseen_by_crc(h, 20 * MIB + 7);
	store_release(h);
	seal_all(s);
	CHECK_EQ(early(s, "redone_chunks"), 1);
	check_object(s, "a");
	close_store(s);
}

static void what_is_overwritten_goes_on_being_compressed(void)
{
	struct store *s;
	struct handle *h;

	begin();
	s = start_with(2);
	h = begin_file(s, "a");
	overwrite(s, h, 9 * MIB, 1, 0);
	write_at(h, SIZE, sample, MOST - SIZE, false);
	wait_early(s, "bytes", MOST - BEHIND);
	store_release(h);
	seal_all(s);
	CHECK_EQ(early(s, "redone_chunks"), 1);
	CHECK(early(s, "reused_chunks") >= (MOST - BEHIND) / CHUNK - 1);
	check_object(s, "a");
	close_store(s);
}

static void a_change_of_the_raw_file_behind_the_end_is_found(void)
{
	struct store *s;

	begin();
	s = start_with(2);
	store_release(begin_file(s, "a"));
	wait_early(s, "complete", 1);
	overwrite(s, NULL, SIZE - 5, 1, 2); /* in the shorter chunk */
	seal_all(s);
	check_object(s, "a");
	store_release(begin_file(s, "b"));
	CHECK_EQ(remove_name(s, "a"), 0);
	CHECK_EQ(rename_to(s, "b", "a"), 0);
	wait_early(s, "complete", 1);
	overwrite(s, NULL, 17 * MIB, 1, 2);
	seal_all(s);
	CHECK_EQ(early(s, "redone_chunks"), 1);
	check_object(s, "a");
	close_store(s);
}

static void a_truncation_keeps_what_is_before_it(void)
{
	struct store *s;
	struct handle *h;
	uint64_t reused;

	begin();
	s = start_with(2);
	h = begin_file(s, "a");
	write_at(h, SIZE, sample, MOST - SIZE, false);
	wait_early(s, "bytes", MOST - BEHIND);
	cut_to(s, "a", 65 * MIB + 1);
	store_release(h);
	seal_all(s);
	reused = early(s, "reused_chunks");
	CHECK_EQ(reused, 65 * 4);
	CHECK_EQ(early(s, "redone_chunks"), 0);
	check_object(s, "a");

	/* … and grows again, with other bytes. */
	h = begin_file(s, "b");
	write_at(h, SIZE, sample, MOST - SIZE, false);
	wait_early(s, "bytes", MOST - BEHIND);
	cut_to(s, "b", 65 * MIB + 1);
	wait_between(s, "bytes", 0, 65 * MIB + 1); /* what was compressed behind it is gone */
	write_at(h, 65 * MIB + 1, sample + MIB, 14 * MIB, false);
	wait_early(s, "bytes", 79 * MIB - BEHIND);
	store_release(h);
	seal_all(s);
	CHECK(early(s, "reused_chunks") - reused >= (79 * MIB - BEHIND) / CHUNK);
	CHECK_EQ(early(s, "redone_chunks"), 0);
	check_object(s, "b");

	/* Behind what was compressed: nothing has changed. */
	reused = early(s, "reused_chunks");
	h = begin_file(s, "c");
	cut_to(s, "c", SIZE - 1);
	store_release(h);
	wait_early(s, "complete", 1);
	seal_all(s);
	CHECK_EQ(early(s, "reused_chunks") - reused, CHUNKS);
	check_object(s, "c");
	close_store(s);
}

static void what_becomes_small_is_sealed_as_any_other(void)
{
	struct store *s;
	struct handle *h;

	begin();
	s = start_with(2);
	h = begin_file(s, "a");
	cut_to(s, "a", 64 * MIB - 1);
	store_release(h);
	seal_all(s);
	CHECK_EQ(early(s, "reused_chunks"), 0);
	check_object(s, "a");
	/* From the start: another file, in effect. */
	h = begin_file(s, "b");
	cut_to(s, "b", 0);
	write_at(h, 0, sample + 5, SIZE, false);
	wait_early(s, "bytes", SIZE - BEHIND);
	store_release(h);
	seal_all(s);
	CHECK(early(s, "reused_chunks") > 0);
	CHECK_EQ(early(s, "redone_chunks"), 0);
	check_object(s, "b");
	close_store(s);
}

static void an_open_file_that_is_cut_goes_on_in_the_next_part(void)
{
	uint8_t lines[] = "a line\nand the next";
	size_t end, len = sizeof(lines) - 1;
	struct store *s;
	struct handle *h;

	begin();
	s = start_with(2);
	h = begin_file(s, "a");
	write_at(h, SIZE, sample, 100 << 10, false); /* text */
	write_at(h, now_bytes, lines, len, false);
	end = now_bytes - len + 7;
	CHECK_EQ(store_fsync(h), 0);
	seal_all(s);
	CHECK(early(s, "reused_chunks") >= CHUNKS - BEHIND / CHUNK);
	CHECK(object_equals(&dir, "a.notepack.gz", now, end));
	write_at(h, now_bytes, sample, 3 * MIB, false);
	store_release(h);
	seal_all(s);
	CHECK(object_equals(&dir, "a.p000000002.notepack.gz", now + end, now_bytes - end));
	close_store(s);
}

/* A record that has not come to its end, and is longer than the job is behind: it is not in this part. */
static void a_cut_before_the_end_of_the_job_takes_less(void)
{
	CLEANUP_FREE uint8_t *frames = calloc(1, 74 * MIB);
	size_t cut = 65 * MIB;
	struct store *s;
	struct handle *h;

	for (size_t at = 0; at < 66 * MIB; at += MIB) {
		sample_text(frames + at + 200, 8 << 10, at);
		put_le32(frames + at, (uint32_t)(at < cut ? MIB : 10 * MIB) - 4);
		frames[at + 4] = 1;
	}
	begin();
	s = start_with(2);
	h = create(s, "a.notepack", NULL);
	now_bytes = 0;
	write_at(h, 0, frames, 74 * MIB, false);
	wait_early(s, "bytes", 74 * MIB - BEHIND);
	CHECK_EQ(store_fsync(h), 0);
	seal_all(s);
	CHECK_EQ(early(s, "reused_chunks"), cut / CHUNK);
	CHECK(object_equals(&dir, "a.notepack.gz", now, cut));
	store_release(h);
	seal_all(s);
	CHECK(object_equals(&dir, "a.p000000002.notepack.gz", now + cut, 9 * MIB));
	close_store(s);
}

int main(void)
{
	early_begin();
	RUN(is_byte_identical_with_every_codec);
	RUN(a_seal_right_behind_the_close_goes_on_from_there);
	RUN(the_end_is_made_anew_behind_an_append);
	RUN(an_overwrite_redoes_only_what_it_touched);
	RUN(an_overwrite_that_a_crc_does_not_show_is_redone_too);
	RUN(what_is_overwritten_goes_on_being_compressed);
	RUN(a_change_of_the_raw_file_behind_the_end_is_found);
	RUN(a_truncation_keeps_what_is_before_it);
	RUN(what_becomes_small_is_sealed_as_any_other);
	RUN(a_cut_before_the_end_of_the_job_takes_less);
	RUN(an_open_file_that_is_cut_goes_on_in_the_next_part);
	return early_done();
}
