/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notepackctl: the table of commands, and the small things that they share.
 */
#include "mount/ctl.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/bytes.h"
#include "lib/name.h"

#define TIMEOUT_S_MAX 1e9

static const struct ctl_command commands[] = {
    {"umount", "MNT [--timeout S] [--no-wait]", "unmount, and wait until everything is flushed",
     ctl_umount},
    {"status", "MNT [--json]", "what is pending, sealed and failed", ctl_status},
    {"wait", "MNT|PATH [--timeout S]", "wait until everything that is closed is sealed",
     ctl_wait},
    {"seal", "PATH...", "seal files now, open ones too, and wait for it", ctl_seal},
    {"rm", "PATH...", "remove files, sealed or not", ctl_rm},
    {"check", "STORE|MNT [--deep] [--json]", "verify a store against its manifest", ctl_check},
    {"repair", "STORE [--suffix S]", "rebuild a lost or damaged manifest from the objects",
     ctl_repair},
    {"init", "[--adopt] STORE [--suffix S]", "make a directory a store", ctl_init},
    {"import", "FILE... MNT[/DIR]", "take gzip files over, unchanged, as sealed files",
     ctl_import},
    {"cat", "PATH...", "print the plain bytes of files", ctl_cat},
    {"ls", "[-l] [--json] PATH", "list files with their state", ctl_ls},
};

static const struct ctl_command *current;

__attribute__((format(printf, 2, 0))) static void print_line(FILE *f, const char *fmt,
							     va_list ap)
{
	char line[2048];

	vsnprintf(line, sizeof(line), fmt, ap);
	name_make_printable(line);
	fprintf(f, "notepackctl: %s\n", line);
}

void ctl_error(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	va_start(ap, fmt);
	print_line(stderr, fmt, ap);
	va_end(ap);
}

void ctl_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_line(stderr, fmt, ap);
	va_end(ap);
}

int ctl_usage(const char *fmt, ...)
{
	va_list ap;

	if (fmt) {
		va_start(ap, fmt);
		print_line(stderr, fmt, ap);
		va_end(ap);
	}
	fprintf(stderr, "usage: notepackctl %s %s\n", current->name, current->usage);
	return CTL_USAGE;
}

bool ctl_parse_timeout(const char *text, int64_t *out_ns)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !isfinite(seconds) || seconds < 0 ||
	    seconds > TIMEOUT_S_MAX) {
		ctl_usage("--timeout %s: is no number of seconds", text);
		return false;
	}
	*out_ns = (int64_t)(seconds * 1e9);
	return true;
}

int ctl_help(void)
{
	printf("usage: notepackctl %s %s\n%s\n", current->name, current->usage, current->help);
	return CTL_DONE;
}

int ctl_worse(int a, int b)
{
	return MAX(a, b);
}

const char *ctl_size(uint64_t bytes, char *out)
{
	static const char *const unit[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
	double v = (double)bytes;
	size_t i = 0;

	while (v >= 999.95 && i + 1 < ARRAY_LEN(unit)) {
		v /= 1000;
		i++;
	}
	snprintf(out, CTL_SIZE_TEXT, i ? "%.1f %s" : "%.0f %s", v, unit[i]);
	return out;
}

const char *ctl_files(uint64_t count)
{
	return count == 1 ? "file" : "files";
}

char *ctl_printable(const char *path)
{
	char *out = ctl_alloc(strlen(path) * 4 + 1), *p = out;

	while (*path) {
		size_t n = name_printable(path);

		if (n == 0)
			p += sprintf(p, "\\%03o", (unsigned char)*path);
		else if (*path == '\\')
			p += sprintf(p, "\\\\");
		else
			p = mempcpy(p, path, n);
		path += n ? n : 1;
	}
	*p = '\0';
	return out;
}

void ctl_no_memory(void)
{
	ctl_error("out of memory");
	exit(CTL_FAILED);
}

void *ctl_alloc(size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		ctl_no_memory();
	return p;
}

char *ctl_strdup(const char *s)
{
	size_t size = strlen(s) + 1;

	return memcpy(ctl_alloc(size), s, size);
}

char *ctl_format(const char *fmt, ...)
{
	va_list ap;
	char *out;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&out, fmt, ap);
	va_end(ap);
	if (n < 0)
		ctl_no_memory();
	return out;
}

static void print_help(void)
{
	printf("usage: notepackctl COMMAND [OPTIONS] ...\n\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		printf("  %-7s %-30s %s\n", commands[i].name, commands[i].usage,
		       commands[i].help);
	printf("\nExit status: 0 done, 1 failed, 2 wrong usage, 3 store in use,\n"
	       "4 store damaged, 5 not all flushed. See notepackctl(1).\n");
}

static const struct ctl_command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

/* What was printed must have reached stdout: a full disk is not a success. */
static int close_stdout(int status)
{
	if (ferror(stdout) || fflush(stdout) != 0) {
		ctl_error("standard output: %m");
		return ctl_worse(status, CTL_FAILED);
	}
	return status;
}

int main(int argc, char **argv)
{
	int status;

	if (argc < 2) {
		ctl_error("no command given; see notepackctl --help");
		return CTL_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		print_help();
		return close_stdout(CTL_DONE);
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		printf("notepackctl %s\n", NOTEPACKFS_VERSION);
		return close_stdout(CTL_DONE);
	}
	current = find_command(argv[1]);
	if (!current) {
		ctl_error("%s: no such command; see notepackctl --help", argv[1]);
		return CTL_USAGE;
	}
	argv[1] = ctl_format("notepackctl %s", current->name); /* for getopt's messages */
	status = current->run(argc - 1, argv + 1);
	free(argv[1]);
	return close_stdout(status);
}
