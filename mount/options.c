/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words of -o stand in one table: each with what it does to struct options. mount(8) and
 * mount.fuse(8) hand on much that is not ours ("dev,suid,_netdev,x-systemd…"): what has no
 * meaning here, or is always on, is accepted and ignored, so that an fstab line works as it is.
 */
#include "mount/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/bytes.h"
#include "lib/name.h"
#include "mount/value.h"

#define SECOND_NS INT64_C(1000000000)
#define THREADS_MAX 256
#define LEVEL_MAX 12 /* of any codec */

/* ---- what an option does: false if its value is malformed ---- */

static bool replace_string(struct options *o, char **at, const char *value)
{
	free(*at);
	*at = strdup(value);
	o->no_memory |= !*at;
	return true;
}

static bool set_level(struct options *o, const char *value)
{
	unsigned level;

	if (!value_number(value, 1, LEVEL_MAX, &level))
		return false;
	o->level = (int)level;
	return true;
}

static bool set_codec(struct options *o, const char *value)
{
	o->codec = codec_find(value);
	return o->codec;
}

static bool set_adaptive(struct options *o, const char *value)
{
	o->adaptive = true;
	return true;
}

static bool set_threads(struct options *o, const char *value)
{
	return value_number(value, 1, THREADS_MAX, &o->threads);
}

static bool set_grace(struct options *o, const char *value)
{
	return value_duration(value, &o->grace_ns);
}

static bool set_suffix(struct options *o, const char *value)
{
	return name_check_suffix(value) == 0 && replace_string(o, &o->suffix, value);
}

/* A name has no slash: such a glob would match none, and say nothing. */
static bool set_globs(struct options *o, char **at, const char *value)
{
	return !strchr(value, '/') && replace_string(o, at, value);
}

static bool set_exclude(struct options *o, const char *value)
{
	return set_globs(o, &o->exclude, value);
}

static bool set_fsync(struct options *o, const char *value)
{
	o->fsync_seals = strcmp(value, "seal") == 0;
	return o->fsync_seals || strcmp(value, "sync") == 0;
}

static bool set_cut_size(struct options *o, const char *value)
{
	return value_size(value, &o->cut_bytes);
}

static bool set_cut_age(struct options *o, const char *value)
{
	return value_duration(value, &o->cut_age_ns);
}

static bool set_rotate_size(struct options *o, const char *value)
{
	return value_size(value, &o->rotate_bytes);
}

static bool set_rotate_age(struct options *o, const char *value)
{
	return value_duration(value, &o->rotate_age_ns);
}

static bool set_allow_delete(struct options *o, const char *value)
{
	if (!value) {
		o->allow_delete = true;
		return true;
	}
	return *value && set_globs(o, &o->allow_delete_globs, value);
}

static bool set_backlog(struct options *o, const char *value)
{
	return value_size(value, &o->backlog_bytes);
}

static bool set_reserve(struct options *o, const char *value)
{
	o->has_reserve = true;
	return value_size(value, &o->reserve_bytes);
}

static bool set_passthrough(struct options *o, const char *value)
{
	o->passthrough = strcmp(value, "auto") == 0;
	return o->passthrough || strcmp(value, "off") == 0;
}

static bool set_scrub(struct options *o, const char *value)
{
	return value_duration(value, &o->scrub_ns);
}

static bool set_lockwait(struct options *o, const char *value)
{
	return value_duration(value, &o->lockwait_ns);
}

static bool set_stop_wait(struct options *o, const char *value)
{
	return value_duration(value, &o->stop_wait_ns);
}

static bool set_ro(struct options *o, const char *value)
{
	o->read_only = true;
	return true;
}

static bool set_rw(struct options *o, const char *value)
{
	o->read_only = false;
	return true;
}

/* ---- the table ---- */

enum argument { NONE, OPTIONAL, REQUIRED };

struct word {
	const char *name;
	enum argument argument;
	bool (*set)(struct options *o, const char *value);
	const char *values; /* what is right, for the message */
};

#define A_DURATION "a number of seconds, or with s, m, h or d"
#define A_SIZE "a number of bytes, or with K, M, G or T"

#ifdef HAVE_LIBDEFLATE
#define A_LIBDEFLATE ", libdeflate"
#else
#define A_LIBDEFLATE ""
#endif
#ifdef HAVE_ISAL
#define A_ISAL ", isal"
#else
#define A_ISAL ""
#endif
#define A_CODEC "auto" A_LIBDEFLATE A_ISAL " or zlib (what this build has)"

static const struct word words[] = {
    {"level", REQUIRED, set_level, "1 to 12"},
    {"codec", REQUIRED, set_codec, A_CODEC},
    {"adaptive", NONE, set_adaptive, NULL},
    {"threads", REQUIRED, set_threads, "1 to 256"},
    {"grace", REQUIRED, set_grace, A_DURATION},
    {"suffix", REQUIRED, set_suffix, "a dot and a short word, like .notepack"},
    {"exclude", REQUIRED, set_exclude,
     "globs of names, without a slash, with colons between them"},
    {"fsync", REQUIRED, set_fsync, "seal or sync"},
    {"cut_size", REQUIRED, set_cut_size, A_SIZE},
    {"cut_age", REQUIRED, set_cut_age, A_DURATION},
    {"rotate_size", REQUIRED, set_rotate_size, A_SIZE},
    {"rotate_age", REQUIRED, set_rotate_age, A_DURATION},
    {"scrub", REQUIRED, set_scrub, A_DURATION},
    {"allow_delete", OPTIONAL, set_allow_delete,
     "globs of names, without a slash, with colons between them, or no \"=\""},
    {"backlog", REQUIRED, set_backlog, A_SIZE},
    {"reserve", REQUIRED, set_reserve, A_SIZE},
    {"passthrough", REQUIRED, set_passthrough, "auto or off"},
    {"lockwait", REQUIRED, set_lockwait, A_DURATION},
    {"stop_wait", REQUIRED, set_stop_wait, A_DURATION},
    {"ro", NONE, set_ro, NULL},
    {"rw", NONE, set_rw, NULL},
};

static const char *const fuse_words[] = {
    "allow_other", "allow_root", "noexec", "noatime", "sync", "dirsync",
};

/* Always on; without a meaning here; or for mount(8), systemd and fstab only. */
static const char *const ignored_words[] = {
    "default_permissions",
    "nosuid",
    "nodev",
    "suid",
    "dev",
    "exec",
    "async",
    "defaults",
    "atime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "lazytime",
    "nolazytime",
    "_netdev",
    "nofail",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "nousers",
    "owner",
    "group",
};

static bool is_in(const char *word, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(word, list[i]) == 0)
			return true;
	}
	return false;
}

static bool is_ignored(const char *word)
{
	return strncmp(word, "x-", 2) == 0 || strncmp(word, "X-", 2) == 0 ||
	       strncmp(word, "comment=", 8) == 0 ||
	       is_in(word, ignored_words, ARRAY_LEN(ignored_words));
}

static void add_fuse_word(struct options *o, const char *word)
{
	char *joined;

	if (asprintf(&joined, "%s,%s", o->fuse ? o->fuse : "", word) < 0) {
		o->no_memory = true;
		return;
	}
	free(o->fuse);
	o->fuse = joined;
}

/* ---- the command line ---- */

struct message {
	char *text;
	size_t size;
};

static enum options_result wrong(struct message *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static enum options_result wrong(struct message *m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(m->text, m->size, fmt, ap);
	va_end(ap);
	return OPTIONS_WRONG;
}

static const struct word *find_word(const char *text, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strlen(words[i].name) == len && strncmp(words[i].name, text, len) == 0)
			return &words[i];
	}
	return NULL;
}

static enum options_result apply_word(struct options *o, const char *text, struct message *m)
{
	size_t len = strcspn(text, "=");
	const char *value = text[len] ? text + len + 1 : NULL;
	const struct word *w = find_word(text, len);

	if (is_ignored(text))
		return OPTIONS_RUN;
	if (is_in(text, fuse_words, ARRAY_LEN(fuse_words))) {
		add_fuse_word(o, text);
		return OPTIONS_RUN;
	}
	if (strcmp(text, "remount") == 0)
		return wrong(m, "option \"remount\": the options of a mount cannot be changed; "
				"unmount it, and mount it with others");
	if (!w)
		return wrong(m, "unknown option \"%s\"; see notepackfs --help", text);
	if (value && w->argument == NONE)
		return wrong(m, "option \"%s\" takes no value; see notepackfs --help", w->name);
	if (!value && w->argument == REQUIRED)
		return wrong(m, "option \"%s\" needs a value (%s); see notepackfs --help",
			     w->name, w->values);
	if (!w->set(o, value))
		return wrong(m,
			     "option \"%s\" is malformed: it takes %s; see notepackfs --help",
			     text, w->values);
	return OPTIONS_RUN;
}

/* Take the next word off a list: in place, ends at a comma that has no backslash before it. */
static char *next_word(char **list)
{
	char *word = *list, *in = word, *out = word;

	for (; *in && *in != ','; in++) {
		if (in[0] == '\\' && (in[1] == ',' || in[1] == '\\'))
			in++;
		*out++ = *in;
	}
	*list = *in ? in + 1 : in;
	*out = '\0';
	return word;
}

static enum options_result apply_list(struct options *o, const char *text, struct message *m)
{
	CLEANUP_FREE char *copy = strdup(text);
	enum options_result r = OPTIONS_RUN;
	char *rest = copy;

	if (!copy)
		o->no_memory = true;
	while (rest && *rest && r == OPTIONS_RUN) {
		const char *word = next_word(&rest);

		if (*word)
			r = apply_word(o, word, m);
	}
	return r;
}

/* One argument that starts with a dash. *i is its index, and is moved past a value of its own.
 */
static enum options_result apply_flags(struct options *o, int argc, char *const argv[], int *i,
				       struct message *m)
{
	const char *arg = argv[*i];

	if (strcmp(arg, "--help") == 0)
		return OPTIONS_HELP;
	if (strcmp(arg, "--version") == 0)
		return OPTIONS_VERSION;
	for (const char *p = arg + 1; *p; p++) {
		switch (*p) {
		case 'f':
			o->foreground = true;
			break;
		case 'd':
			o->foreground = o->debug = true;
			break;
		case 'h':
			return OPTIONS_HELP;
		case 'V':
			return OPTIONS_VERSION;
		case 'o':
			if (p[1])
				return apply_list(o, p + 1, m);
			if (++*i >= argc)
				return wrong(m, "-o needs options; see notepackfs --help");
			return apply_list(o, argv[*i], m);
		default:
			return wrong(m, "unknown option \"%s\"; see notepackfs --help", arg);
		}
	}
	return OPTIONS_RUN;
}

static enum options_result apply_operand(struct options *o, const char *arg, struct message *m)
{
	if (!*arg)
		return wrong(m, "a path is empty; see notepackfs --help");
	if (!o->store)
		o->store = arg;
	else if (!o->mountpoint)
		o->mountpoint = arg;
	else
		return wrong(
		    m, "\"%s\": more than a store and a mountpoint; see notepackfs --help",
		    arg);
	return OPTIONS_RUN;
}

static void set_defaults(struct options *o)
{
	memset(o, 0, sizeof(*o));
	o->codec = codec_find("auto");
	o->grace_ns = SECOND_NS;
	o->fsync_seals = true;
	o->cut_bytes = 1 << 20;
	o->passthrough = true;
	o->cut_age_ns = 60 * SECOND_NS;
	o->backlog_bytes = (uint64_t)4 << 30;
	o->lockwait_ns = 90 * SECOND_NS;
	o->stop_wait_ns = 10 * SECOND_NS;
	o->fuse = strdup("");
	o->no_memory = !o->fuse;
}

/* Whichever of the two stood first. */
static enum options_result match_level(struct options *o, struct message *m)
{
	const struct codec *c = o->codec;

	if (!o->level)
		o->level = c->default_level;
	if (o->level < c->min_level || o->level > c->max_level)
		return wrong(m,
			     "option \"level=%d\" is out of range: the codec %s has %d to %d; "
			     "see notepackfs --help",
			     o->level, c->name, c->min_level, c->max_level);
	return OPTIONS_RUN;
}

enum options_result options_parse(int argc, char *const argv[], struct options *o,
				  char *message, size_t size)
{
	struct message m = {message, size};
	bool only_operands = false;

	set_defaults(o);
	for (int i = 1; i < argc; i++) {
		enum options_result r;

		if (!only_operands && strcmp(argv[i], "--") == 0) {
			only_operands = true;
			continue;
		}
		if (only_operands || argv[i][0] != '-' || !argv[i][1])
			r = apply_operand(o, argv[i], &m);
		else
			r = apply_flags(o, argc, argv, &i, &m);
		if (r != OPTIONS_RUN)
			return r;
	}
	if (o->no_memory)
		return wrong(&m, "out of memory");
	if (!o->mountpoint)
		return wrong(&m,
			     "%s is missing; usage: notepackfs STORE MOUNTPOINT [-o OPTIONS], "
			     "see notepackfs --help",
			     o->store ? "the mountpoint" : "the store");
	return match_level(o, &m);
}

void options_release(struct options *o)
{
	free(o->suffix);
	free(o->exclude);
	free(o->allow_delete_globs);
	free(o->fuse);
	memset(o, 0, sizeof(*o));
}
