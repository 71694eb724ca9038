/* SPDX-License-Identifier: BSD-2-Clause */
#include "mount/options.h"
#include "mount/value.h"

#include "tests/unit/unit.h"

#define NS INT64_C(1000000000)

static char message[256];

/* Parse a command line of words with single blanks between them. */
static enum options_result parse(struct options *o, const char *line)
{
	static char text[512];
	char *argv[32];
	int argc = 0;

	snprintf(text, sizeof(text), "notepackfs %s", line);
	for (char *word = strtok(text, " "); word && argc < 31; word = strtok(NULL, " "))
		argv[argc++] = word;
	argv[argc] = NULL;
	message[0] = '\0';
	return options_parse(argc, argv, o, message, sizeof(message));
}

static void check_wrong(const char *line, const char *names)
{
	struct options o;

	if (parse(&o, line) != OPTIONS_WRONG || !strstr(message, names) ||
	    strchr(message, '\n')) {
		printf("# \"%s\" gave the message \"%s\"\n", line, message);
		CHECK(!"refused, with one line that names it");
	}
	options_release(&o);
}

static void has_the_documented_defaults(void)
{
	struct options o;

	CHECK_EQ(parse(&o, "s m"), OPTIONS_RUN);
	CHECK_STR(o.store, "s");
	CHECK_STR(o.mountpoint, "m");
	CHECK(o.codec == codec_find("auto") && !o.adaptive);
	CHECK_EQ(o.level, 6);
	CHECK_EQ(o.threads, 0);
	CHECK_EQ(o.grace_ns, NS);
	CHECK_EQ(o.cut_bytes, 1 << 20);
	CHECK_EQ(o.cut_age_ns, 60 * NS);
	CHECK_EQ(o.rotate_bytes, 0);
	CHECK(o.passthrough);
	CHECK_EQ(o.rotate_age_ns, 0);
	CHECK_EQ(o.backlog_bytes, (uint64_t)4 << 30);
	CHECK(!o.has_reserve);
	CHECK_EQ(o.lockwait_ns, 90 * NS);
	CHECK_EQ(o.stop_wait_ns, 10 * NS);
	CHECK(o.fsync_seals && !o.allow_delete && !o.read_only && !o.foreground && !o.debug);
	CHECK(!o.suffix && !o.exclude && !o.allow_delete_globs);
	CHECK_STR(o.fuse, "");
	options_release(&o);
}

static void sets_every_option(void)
{
	struct options o;

	CHECK_EQ(parse(&o, "-f s -o level=9,threads=3,grace=0.25,suffix=.arc m "
			   "-oexclude=*.a:*.b,fsync=sync,cut_size=4K,cut_age=2m,"
			   "allow_delete=*.log.[0-9],backlog=1G,reserve=0,lockwait=0,stop_wait="
			   "1h,ro,codec=zlib,adaptive"),
		 OPTIONS_RUN);
	CHECK_EQ(o.level, 9);
	CHECK(o.codec == codec_find("zlib") && o.adaptive);
	CHECK_EQ(o.threads, 3);
	CHECK_EQ(o.grace_ns, NS / 4);
	CHECK_STR(o.suffix, ".arc");
	CHECK_STR(o.exclude, "*.a:*.b");
	CHECK(!o.fsync_seals);
	CHECK_EQ(o.cut_bytes, 4096);
	CHECK_EQ(o.cut_age_ns, 120 * NS);
	CHECK_STR(o.allow_delete_globs, "*.log.[0-9]");
	CHECK(!o.allow_delete);
	CHECK_EQ(o.backlog_bytes, 1 << 30);
	CHECK(o.has_reserve && o.reserve_bytes == 0);
	CHECK_EQ(o.lockwait_ns, 0);
	CHECK_EQ(o.stop_wait_ns, 3600 * NS);
	CHECK(o.read_only && o.foreground && !o.debug);
	options_release(&o);
}

static void the_last_of_two_values_counts(void)
{
	struct options o;

	CHECK_EQ(parse(&o, "s m -o ro,level=1,exclude=a -o level=2,rw,exclude="), OPTIONS_RUN);
	CHECK_EQ(o.level, 2);
	CHECK(!o.read_only);
	CHECK_STR(o.exclude, "");
	options_release(&o);
}

static void a_level_is_one_of_the_codecs(void)
{
	const struct codec *c;

	for (size_t i = 0; (c = codec_at(i)); i++) {
		char line[64], beyond[64];
		struct options o;

		snprintf(line, sizeof(line), "s m -o codec=%s", c->name);
		CHECK_EQ(parse(&o, line), OPTIONS_RUN);
		CHECK(o.codec == c && o.level == c->default_level);
		options_release(&o);
		snprintf(line, sizeof(line), "s m -o level=%d,codec=%s", c->max_level, c->name);
		CHECK_EQ(parse(&o, line), OPTIONS_RUN);
		CHECK_EQ(o.level, c->max_level);
		options_release(&o);
		if (c->max_level == 12)
			continue;
		/* In either order. */
		snprintf(beyond, sizeof(beyond), "the codec %s has 1 to %d", c->name,
			 c->max_level);
		snprintf(line, sizeof(line), "s m -o level=%d,codec=%s", c->max_level + 1,
			 c->name);
		check_wrong(line, beyond);
		snprintf(line, sizeof(line), "s m -o codec=%s,level=%d", c->name,
			 c->max_level + 1);
		check_wrong(line, beyond);
	}
}

static void a_codec_that_is_not_built_in_is_refused_with_those_that_are(void)
{
	static const char *const all[] = {"zlib", "libdeflate", "isal"};

	for (size_t i = 0; i < 3; i++) {
		char line[64];

		snprintf(line, sizeof(line), "s m -o codec=%s", all[i]);
		if (!codec_find(all[i]))
			check_wrong(line, "zlib (what this build has)");
	}
}

static void allow_delete_without_globs_is_everywhere(void)
{
	struct options o;

	CHECK_EQ(parse(&o, "s m -o allow_delete"), OPTIONS_RUN);
	CHECK(o.allow_delete && !o.allow_delete_globs);
	options_release(&o);
	check_wrong("s m -o allow_delete=", "allow_delete=");
	check_wrong("s m -o allow_delete=*.log:keep/*", "allow_delete=");
	check_wrong("s m -o exclude=.*:tmp/*", "exclude=");
}

static void debugging_implies_the_foreground(void)
{
	struct options o;

	CHECK_EQ(parse(&o, "-d s m"), OPTIONS_RUN);
	CHECK(o.debug && o.foreground);
	options_release(&o);
}

static void an_fstab_line_works_as_it_is(void)
{
	struct options o;

	CHECK_EQ(parse(&o, "s m -o rw,dev,suid,_netdev,nofail,noauto,user,x-systemd.automount,"
			   "relatime,defaults,X-mount.mkdir,comment=x"),
		 OPTIONS_RUN);
	CHECK_STR(o.fuse, "");
	options_release(&o);
}

static void mount_options_are_passed_on(void)
{
	struct options o;

	CHECK_EQ(parse(&o, "s m -o allow_other,default_permissions,noexec,nodev,noatime"),
		 OPTIONS_RUN);
	CHECK_STR(o.fuse, ",allow_other,noexec,noatime");
	options_release(&o);
}

static void a_backslash_keeps_a_comma(void)
{
	struct options o;

	CHECK_EQ(parse(&o, "s m -o exclude=a\\,b\\\\:c,ro"), OPTIONS_RUN);
	CHECK_STR(o.exclude, "a,b\\:c");
	CHECK(o.read_only);
	options_release(&o);
}

static void paths_that_look_like_options_follow_two_dashes(void)
{
	struct options o;

	CHECK_EQ(parse(&o, "-f -- -s -m"), OPTIONS_RUN);
	CHECK_STR(o.store, "-s");
	CHECK_STR(o.mountpoint, "-m");
	options_release(&o);
}

static void help_and_version_need_nothing_else(void)
{
	static const char *const help[] = {"--help", "-h", "s --help"};
	struct options o;

	for (size_t i = 0; i < 3; i++) {
		CHECK_EQ(parse(&o, help[i]), OPTIONS_HELP);
		options_release(&o);
	}
	CHECK_EQ(parse(&o, "--version"), OPTIONS_VERSION);
	options_release(&o);
	CHECK_EQ(parse(&o, "-V"), OPTIONS_VERSION);
	options_release(&o);
	CHECK(strstr(options_help(), "notepackctl umount"));
}

static void refuses_missing_and_surplus_operands(void)
{
	check_wrong("", "the store is missing");
	check_wrong("s", "the mountpoint is missing");
	check_wrong("s m x", "\"x\"");
	check_wrong("s m -o", "-o needs");
}

static void refuses_what_it_does_not_know(void)
{
	check_wrong("s m -x", "\"-x\"");
	check_wrong("s m --foreground", "\"--foreground\"");
	check_wrong("s m -o levle=3", "\"levle=3\"");
	check_wrong("s m -o leve", "\"leve\"");
	check_wrong("s m -o fsname=x", "\"fsname=x\"");
	check_wrong("s m -o ro,writeback", "\"writeback\"");
	check_wrong("s m -o allow_other=1", "\"allow_other=1\"");
}

static void sets_how_sealed_files_are_read(void)
{
	struct options o;

	CHECK_EQ(parse(&o, "s m -o passthrough=off"), OPTIONS_RUN);
	CHECK(!o.passthrough);
	options_release(&o);
	CHECK_EQ(parse(&o, "s m -o passthrough=off,passthrough=auto"), OPTIONS_RUN);
	CHECK(o.passthrough);
	options_release(&o);
}

static void sets_when_open_files_are_rotated(void)
{
	struct options o;

	CHECK_EQ(parse(&o, "s m -o rotate_size=1G,rotate_age=1d"), OPTIONS_RUN);
	CHECK_EQ(o.rotate_bytes, 1 << 30);
	CHECK_EQ(o.rotate_age_ns, 86400 * NS);
	options_release(&o);
}

static void refuses_a_remount_with_what_helps(void)
{
	check_wrong("s m -o rw,remount", "unmount it");
}

static void refuses_malformed_values(void)
{
	static const char *const values[] = {
	    "level=0",		"level=13",	 "level=",	    "level=6x",
	    "level=-1",		"threads=0",	 "threads=257",	    "threads=99999999999",
	    "grace=",		"grace=1x",	 "grace=-1",	    "grace=1ss",
	    "grace=.5",		"grace=1.",	 "grace=nan",	    "grace=1e9",
	    "grace=999999999d", "suffix=",	 "suffix=notepack", "suffix=./x",
	    "fsync=maybe",	"cut_size=1.5",	 "cut_size=1KB",    "cut_size=9999999999T",
	    "cut_age=5k",	"rotate_size=x", "passthrough=on",  "rotate_age=1w",
	    "codec=lzma",	"codec=",	 "codec=zlibx"};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		char line[64];

		snprintf(line, sizeof(line), "s m -o %s", values[i]);
		check_wrong(line, values[i]);
	}
	check_wrong("s m -o level", "\"level\"");
	check_wrong("s m -o adaptive=1", "\"adaptive\"");
	check_wrong("s m -o ro=1", "\"ro\"");
}

static void reads_durations(void)
{
	int64_t ns = -1;

	CHECK(value_duration("0", &ns) && ns == 0);
	CHECK(value_duration("90", &ns) && ns == 90 * NS);
	CHECK(value_duration("1.5s", &ns) && ns == 3 * NS / 2);
	CHECK(value_duration("0.000001", &ns) && ns == 1000);
	CHECK(value_duration("1.25d", &ns) && ns == 108000 * NS);
	CHECK(value_duration("36500d", &ns) && ns > 0);
	CHECK(!value_duration("36500.1d", &ns));
	CHECK(!value_duration("18446744073709551616", &ns));
}

static void reads_sizes(void)
{
	uint64_t bytes = 1;

	CHECK(value_size("0", &bytes) && bytes == 0);
	CHECK(value_size("4096", &bytes) && bytes == 4096);
	CHECK(value_size("2.5K", &bytes) && bytes == 2560);
	CHECK(value_size("1.25G", &bytes) && bytes == UINT64_C(1342177280));
	CHECK(value_size("3T", &bytes) && bytes == UINT64_C(3) << 40);
	CHECK(value_size("9223372036854775807", &bytes) && bytes == INT64_MAX);
	CHECK(!value_size("9223372036854775808", &bytes));
	CHECK(!value_size("99999999999999999999", &bytes));
	CHECK(!value_size("8388608T", &bytes));
	CHECK(!value_size("K", &bytes));
}

int main(void)
{
	RUN(has_the_documented_defaults);
	RUN(sets_every_option);
	RUN(the_last_of_two_values_counts);
	RUN(a_level_is_one_of_the_codecs);
	RUN(a_codec_that_is_not_built_in_is_refused_with_those_that_are);
	RUN(allow_delete_without_globs_is_everywhere);
	RUN(debugging_implies_the_foreground);
	RUN(an_fstab_line_works_as_it_is);
	RUN(mount_options_are_passed_on);
	RUN(a_backslash_keeps_a_comma);
	RUN(paths_that_look_like_options_follow_two_dashes);
	RUN(help_and_version_need_nothing_else);
	RUN(refuses_missing_and_surplus_operands);
	RUN(refuses_what_it_does_not_know);
	RUN(sets_how_sealed_files_are_read);
	RUN(sets_when_open_files_are_rotated);
	RUN(refuses_a_remount_with_what_helps);
	RUN(refuses_malformed_values);
	RUN(reads_durations);
	RUN(reads_sizes);
	return unit_done();
}
