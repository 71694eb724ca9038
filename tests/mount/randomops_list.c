/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lists of operations: from a seed, to text, and back. A run uses some of the kinds and a few
 * of the paths only, chosen by its seed: what is rare in the whole then becomes frequent in
 * some runs.
 */
#include "tests/mount/randomops.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct op_info op_table[] = {
    {"open", "hpf", 1300, op_open},
    {"dup", "hh", 100, op_dup},
    {"close", "h", 900, op_close},
    {"read", "hl", 400, op_read},
    {"pread", "hol", 700, op_pread},
    {"write", "hlc", 1500, op_write},
    {"pwrite", "holc", 1100, op_pwrite},
    {"seek", "ho", 150, op_seek},
    {"ftruncate", "ho", 250, op_ftruncate},
    {"fsync", "h", 200, op_fsync},
    {"fdatasync", "h", 80, op_fdatasync},
    {"mmapw", "holcb", 200, op_mmapw},
    {"mmapr", "hol", 150, op_mmapr},
    {"fallocate", "haol", 150, op_fallocate},
    {"fstat", "h", 150, op_fstat},
    {"truncate", "po", 200, op_truncate},
    {"chmod", "pm", 120, op_chmod},
    {"utimens", "pt", 120, op_utimens},
    {"unlink", "p", 250, op_unlink},
    {"remove", "p", 200, op_remove},
    {"rename", "pp", 400, op_rename},
    {"exchange", "pp", 60, op_exchange},
    {"noreplace", "pp", 60, op_noreplace},
    {"link", "pp", 50, op_link},
    {"stat", "p", 500, op_stat},
    {"check", "p", 400, op_check},
    {"list", "d", 150, op_list},
    {"mkdir", "d", 40, op_mkdir},
    {"rmdir", "d", 40, op_rmdir},
    {"movedir", "dd", 40, op_movedir},
    {"pause", "n", 15, op_pause},
    {"wait", "", 40, op_wait},
    {"waitpath", "p", 60, op_waitpath},
    {"seal", "p", 100, op_seal},
    {"sealall", "", 20, op_sealall},
    {"sync", "", 40, op_sync},
    {"remount", "", 3, op_remount},
    {"crash", "", 4, op_crash},
};
const size_t op_kinds = sizeof(op_table) / sizeof(op_table[0]);

static const struct word {
	const char *name;
	int value;
} open_words[] = {{"wronly", O_WRONLY}, {"rdwr", O_RDWR},   {"append", O_APPEND},
		  {"trunc", O_TRUNC},	{"creat", O_CREAT}, {"excl", O_EXCL},
		  {"dsync", O_DSYNC}};

static const int fallocate_modes[] = {
    0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
    FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
static const unsigned permissions[] = {0644, 0600, 0640, 0444, 0755, 0664};

uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* Small ones are as likely as large ones; now and then the last bit of a power of two off. */
static uint32_t draw_size(uint64_t *rng, unsigned bits)
{
	uint32_t n = (uint32_t)(draw(rng) & ((UINT64_C(1) << (draw(rng) % (bits + 1))) - 1));

	if (draw(rng) % 8 == 0)
		n = (n + 2048) / 4096 * 4096;
	return n;
}

/* Of programs that append, and those that read beside them: who is passed through stays so. */
static uint32_t draw_logger_flags(uint64_t *rng)
{
	return draw(rng) % 2 ? O_RDONLY : O_WRONLY | O_APPEND | O_CREAT;
}

static uint32_t draw_open_flags(uint64_t *rng)
{
	static const int access[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDWR, O_WRONLY};
	uint64_t bits = draw(rng);
	uint32_t flags = (uint32_t)access[bits % 5];

	bits /= 5;
	if (bits % 4 != 0)
		flags |= O_CREAT;
	if (bits / 4 % 3 == 0)
		flags |= O_APPEND;
	if (bits / 12 % 8 == 0)
		flags |= O_EXCL | O_CREAT;
	if (bits / 96 % 6 == 0 && (flags & O_ACCMODE) != O_RDONLY)
		flags |= O_TRUNC;
	if (bits / 576 % 24 == 0)
		flags |= O_DSYNC;
	return flags;
}

static uint32_t draw_arg(uint64_t *rng, char type, const int *paths, size_t path_count)
{
	switch (type) {
	case 'h':
		return (uint32_t)(draw(rng) % SLOTS);
	case 'p':
		return (uint32_t)paths[draw(rng) % path_count];
	case 'd':
		return (uint32_t)(draw(rng) % DIRS);
	case 'f':
		return draw_open_flags(rng);
	case 'a':
		return (uint32_t)fallocate_modes[draw(rng) % 5];
	case 'm':
		return permissions[draw(rng) % 6];
	case 'o':
		return draw_size(rng, draw(rng) % 16 ? 16 : 19);
	case 'l':
		return 1 + draw_size(rng, draw(rng) % 16 ? 13 : 16);
	case 'c':
		return (uint32_t)draw(rng);
	case 'b':
		return (uint32_t)(draw(rng) & 1);
	case 't':
		return (uint32_t)(draw(rng) % 2000000000);
	default:
		return (uint32_t)(draw(rng) % 40);
	}
}

struct op_list list_generate(uint64_t seed, size_t count)
{
	struct op_list list = {.op = calloc(count, sizeof(struct op)), .count = count};
	uint64_t rng = seed * 2 + 1, total = 0;
	unsigned weight[64];
	int paths[8];
	size_t path_count = 2 + draw(&rng) % 6;
	bool loggers = draw(&rng) % 4 == 0;

	if (!list.op)
		abort();
	for (size_t i = 0; i < path_count; i++)
		paths[i] = (int)(draw(&rng) % (draw(&rng) % 2 ? NAMES : PATHS));
	for (size_t k = 0; k < op_kinds; k++) {
		static const unsigned factor[] = {0, 1, 2, 2, 2, 6};

		/* Without these nothing happens. */
		weight[k] = op_table[k].weight * (k < 9 ? 2 : factor[draw(&rng) % 6]);
		total += weight[k];
	}
	for (size_t i = 0; i < count; i++) {
		uint64_t at = draw(&rng) % total;
		uint8_t k = 0;

		while (at >= weight[k])
			at -= weight[k++];
		list.op[i].kind = k;
		for (size_t a = 0; op_table[k].args[a]; a++) {
			list.op[i].arg[a] =
			    draw_arg(&rng, op_table[k].args[a], paths, path_count);
			if (loggers && op_table[k].args[a] == 'f' && draw(&rng) % 8)
				list.op[i].arg[a] = draw_logger_flags(&rng);
		}
	}
	return list;
}

/* ---- text ---- */

static void print_flags(FILE *out, uint32_t flags)
{
	fputs((flags & O_ACCMODE) == O_RDONLY ? " rdonly" : "", out);
	for (size_t i = 0; i < sizeof(open_words) / sizeof(open_words[0]); i++) {
		const struct word *w = &open_words[i];
		int mask = w->value <= O_ACCMODE ? O_ACCMODE : w->value;

		if (((int)flags & mask) == w->value)
			fprintf(out, "%c%s", i < 2 ? ' ' : '+', w->name);
	}
}

static void print_op(FILE *out, const struct op *op)
{
	const struct op_info *info = &op_table[op->kind];

	fputs(info->name, out);
	for (size_t a = 0; info->args[a]; a++) {
		uint32_t n = op->arg[a];

		if (info->args[a] == 'h')
			fprintf(out, " h%u", n);
		else if (info->args[a] == 'p')
			fprintf(out, " %s", path_text((int)n));
		else if (info->args[a] == 'd')
			fprintf(out, " %s", n ? dir_names[n] : ".");
		else if (info->args[a] == 'f')
			print_flags(out, n);
		else
			fprintf(out, " %u", n);
	}
	fputc('\n', out);
}

void list_print(const struct op_list *list, const char *prefix)
{
	for (size_t i = 0; i < list->count; i++) {
		fputs(prefix, stdout);
		print_op(stdout, &list->op[i]);
	}
	fflush(stdout);
}

int list_write(const char *path, const char *mode, const struct op_list *list)
{
	FILE *out = fopen(path, "w");

	if (!out)
		return -1;
	fprintf(out, "mode %s\n", mode);
	for (size_t i = 0; i < list->count; i++)
		print_op(out, &list->op[i]);
	return fclose(out);
}

static bool parse_flags(char *word, uint32_t *out)
{
	char *save = NULL;

	*out = O_RDONLY;
	for (char *w = strtok_r(word, "+", &save); w; w = strtok_r(NULL, "+", &save)) {
		bool found = strcmp(w, "rdonly") == 0;

		for (size_t i = 0; i < sizeof(open_words) / sizeof(open_words[0]); i++) {
			if (strcmp(w, open_words[i].name) != 0)
				continue;
			*out |= (uint32_t)open_words[i].value;
			found = true;
		}
		if (!found)
			return false;
	}
	return true;
}

static bool parse_arg(char type, char *word, uint32_t *out)
{
	if (type == 'h')
		return *word == 'h' && (*out = (uint32_t)atoi(word + 1)) < SLOTS;
	if (type == 'p') {
		for (*out = 0; *out < PATHS; ++*out) {
			if (strcmp(path_text((int)*out), word) == 0)
				return true;
		}
		return false;
	}
	if (type == 'd') {
		for (*out = 0; *out < DIRS; ++*out) {
			if (strcmp(*out ? dir_names[*out] : ".", word) == 0)
				return true;
		}
		return false;
	}
	if (type == 'f')
		return parse_flags(word, out);
	*out = (uint32_t)strtoul(word, NULL, 10);
	return true;
}

static bool parse_op(char *line, struct op *op)
{
	char *save = NULL, *word = strtok_r(line, " \n", &save);
	size_t k = 0;

	while (k < op_kinds && (!word || strcmp(op_table[k].name, word) != 0))
		k++;
	if (k == op_kinds)
		return false;
	op->kind = (uint8_t)k;
	for (size_t a = 0; op_table[k].args[a]; a++) {
		word = strtok_r(NULL, " \n", &save);
		if (!word || !parse_arg(op_table[k].args[a], word, &op->arg[a]))
			return false;
	}
	return true;
}

int list_read(const char *path, char *mode, size_t mode_size, struct op_list *out)
{
	FILE *in = fopen(path, "r");
	char line[256];
	int err = in ? 0 : -1;

	*out = (struct op_list){0};
	while (in && !err && fgets(line, sizeof(line), in)) {
		struct op op = {0};
		struct op *grown;

		if (strncmp(line, "mode ", 5) == 0) {
			snprintf(mode, mode_size, "%s", line + 5);
			mode[strcspn(mode, "\n")] = '\0';
			continue;
		}
		if (*line == '#' || *line == '\n')
			continue;
		grown = realloc(out->op, (out->count + 1) * sizeof(op));
		if (grown)
			out->op = grown;
		if (!grown || !parse_op(line, &op))
			err = -1;
		else
			out->op[out->count++] = op;
	}
	if (in)
		fclose(in);
	return err;
}
