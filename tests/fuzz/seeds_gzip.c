/* SPDX-License-Identifier: BSD-2-Clause */
/* The seeds that are gzip files: of ours, of others, and the index of one. */
#include "tests/fuzz/gzindex_subject.h"
#include "tests/fuzz/seeds.h"
#include "tests/unit/gzfile_kit.h"
#include "tests/unit/seekgz_build.h"

static const char seekgz_reads[24] = {0,  0, 1, 0,  1, 5, 3, 0, 18, 1, 9, 0,
				      17, 3, 0, 16, 0, 1, 1, 2, 27, 9, 1, 1};

static void object_seed(const char *name, size_t raw_bytes,
			void (*sample)(uint8_t *, size_t, uint64_t), int level, uint8_t how)
{
	struct seekgz_recipe recipe = {
	    .codec = "zlib", .level = level, .part = how + 1u, .offset = how * 1000u};
	CLEANUP_FREE uint8_t *raw = malloc(raw_bytes), *gz = malloc(raw_bytes + 20000);
	CLEANUP_FD int fd = -1;
	struct buf b = {0};
	char flipped[64];
	ssize_t n;

	MUST(raw && gz);
	sample(raw, raw_bytes, raw_bytes);
	fd = seekgz_build_temporary(raw, raw_bytes, &recipe);
	MUST(fd >= 0);
	n = io_pread(fd, gz, raw_bytes + 20000, 0);
	buf_add(&b, &how, 1);
	buf_add(&b, seekgz_reads, sizeof(seekgz_reads));
	buf_add(&b, gz, (size_t)n);
	seeds_write("seekgz", name, &b);
	b.data[0] = 1;
	b.data[b.len - 20] ^= 1; /* in the body */
	snprintf(flipped, sizeof(flipped), "%s-flipped", name);
	seeds_write("seekgz", flipped, &b);
	b.data[b.len - 20] ^= 1;
	b.data[1 + sizeof(seekgz_reads) + 16 + 24] ^= 1;
	snprintf(flipped, sizeof(flipped), "%s-forged-sha256", name);
	seeds_write("seekgz", flipped, &b);
	buf_release(&b);
}

static void seekgz_seeds(void)
{
	object_seed("byte", 1, sample_text, 6, 0);
	object_seed("text", 2000, sample_text, 6, 0);
	object_seed("stored", 300, sample_random, 6, 0);
	object_seed("zeroes", 100000, sample_zeroes, 6, 0);
	object_seed("two-chunks", SEEKGZ_CHUNK_BYTES + 1, sample_zeroes, 9, 0);
	object_seed("five-chunks", 5 * SEEKGZ_CHUNK_BYTES - 1, sample_zeroes, 1, 0);
	object_seed("forged-crc", 500, sample_text, 1, 1);
	object_seed("forged-length", 500, sample_text, 1, 3);
	object_seed("forged-layout", 500, sample_text, 1, 7);
}

static const char gzfile_reads[21] = {0,  0,  0,   1,  0, 0, 5, 16, 16, 1, 1,
				      16, 17, 255, 15, 3, 0, 1, 16, 31, 0};

static void gzfile_seed(const char *name, struct gz *gz, uint8_t how)
{
	struct buf b = {0};

	buf_add(&b, gzfile_reads, sizeof(gzfile_reads));
	b.data[0] = (char)how;
	buf_add(&b, gz->p, gz->len);
	seeds_write("gzfile", name, &b);
	buf_release(&b);
	gz_release(gz);
}

static void gzfile_seeds(void)
{
	static uint8_t raw[3 * MIB];
	struct member all = {.level = 9, .mem_level = 8, .flags = 0x1f};
	struct gz gz = {0};
	struct bits bits;

	sample_text(raw, 700, 5);
	for (size_t i = 700; i < sizeof(raw); i++)
		raw[i] = raw[i - 700];
	gz_member(&gz, raw, 500, &usual);
	gzfile_seed("member", &gz, 0);
	gz_member(&gz, raw, 500, &all);
	gzfile_seed("all-fields", &gz, 0);
	gz_member(&gz, raw, 100, &usual);
	gz_member(&gz, raw, 0, &all);
	gz_member(&gz, raw + 100, 50, &usual);
	gz_add(&gz, "\0\0\0\0\0", 5);
	gzfile_seed("members-and-zeroes", &gz, 0);
	gz_member(&gz, raw, 0, &usual);
	gzfile_seed("empty-member", &gz, 0);
	gz_fixed_member(&gz, raw, 100, 30);
	gzfile_seed("fixed-blocks", &gz, 0);
	gz_member(&gz, raw, sizeof(raw), &usual);
	gzfile_seed("three-pieces", &gz, 0);
	gz_member(&gz, raw, MIB + 1, &usual);
	gz_member(&gz, raw, MIB, &all);
	gzfile_seed("two-members-of-pieces", &gz, 0);
	for (uint8_t how = 1; how < 6; how++) {
		char name[32];

		gz_member(&gz, raw, MIB + 7, &usual);
		snprintf(name, sizeof(name), "forged-facts-%u", how);
		gzfile_seed(name, &gz, how);
	}
	gz_member(&gz, raw, 300, &usual);
	gz.p[gz.len - 6] ^= 1;
	gzfile_seed("wrong-crc", &gz, 0);
	gz_member(&gz, raw, 300, &usual);
	gz.p[gz.len - 1] ^= 1;
	gzfile_seed("wrong-length", &gz, 0);
	gz_head(&gz, 0);
	bits = (struct bits){.gz = &gz};
	put_fixed_block(&bits, raw, 20, false);
	gzfile_seed("cut-short", &gz, 0);
	gz_add(&gz, "\x1f\x8b\x08\xe0\0\0\0\0\0\3", 10);
	gzfile_seed("reserved-flags", &gz, 0);
}

static void gzindex_seed(const char *name, uint8_t how, size_t len)
{
	struct buf b = {0};

	buf_add(&b, &how, 1);
	buf_add(&b, "\xff\x90\x70\1", 4);
	buf_add(&b, subject.index, len);
	seeds_write("gzindex", name, &b);
	buf_release(&b);
}

/* Another window, as long as the right one, of which all but the piece's CRC-32 is right. */
static void forge_window(unsigned piece)
{
	uint8_t *entry = subject.index + 48 + 40 * (size_t)piece;
	uint8_t *place = subject.index + get_le64(entry + 16);
	static uint8_t zeroes[GZSTREAM_WINDOW_BYTES];
	uLongf len = get_le32(entry + 24);

	MUST(compress2(place, &len, zeroes, get_le16(entry + 36), 9) == Z_OK);
	put_le32(entry + 24, (uint32_t)len);
}

static void gzindex_seeds(void)
{
	scratch_begin();
	subject_prepare();
	gzindex_seed("right", 0, subject.index_len);
	gzindex_seed("none", 0, 0);
	gzindex_seed("cut-short", 0, subject.index_len - 1);
	gzindex_seed("forged-length", 3, subject.index_len - 100);
	gzindex_seed("forged-windows", 7, subject.index_len);
	forge_window(1);
	gzindex_seed("forged-window-content", 7, subject.index_len);
	put_le64(subject.index + 48 + 40, UINT64_MAX);
	gzindex_seed("forged-point", 7, subject.index_len);
	put_le64(subject.index + 48 + 40, 0);
	put_le64(subject.index + 48 + 40 + 8, 5);
	gzindex_seed("forged-place", 7, subject.index_len);
	put_le16(subject.index + 48 + 80 + 36, 32769);
	gzindex_seed("forged-window-length", 7, subject.index_len);
}

void seeds_gzip(void)
{
	seekgz_seeds();
	gzfile_seeds();
	gzindex_seeds();
}
