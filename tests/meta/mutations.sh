#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Each call that makes something durable is dropped or changed by a mutation (tests/crash/mutations), so
# that a test is known to miss it; or stands in EXEMPT there. And each mutation applies to the source.
. "$(dirname "$0")/lib.sh"
need patch patch

patches=tests/crash/mutations
calls='(io_)?(fsync|fdatasync|syncfs|syncdir|sync)|dirfd_sync|raw_sync|replace_file|replace_commit|manifest_commit(_if)?'

# "FILE:LINE" for each line of the sources that has such a call, or hands the function to another, or
# a flag that has each write synced; definitions and declarations aside, which begin in the first
# column, and what is said of it in comments and strings.
calls_in_sources() {
	awk -v calls="(^|[^A-Za-z0-9_])(($calls)[[:blank:]]*[(,)]|(O|RWF)_D?SYNC([^A-Za-z0-9_]|\$))" '
		/^[^[:blank:]]/ || /^[[:blank:]]*\*([[:blank:]]|\/|$)/ { next }
		{
			line = $0
			gsub(/"([^"\\]|\\.)*"/, "\"\"", line)
			gsub(/\/\*.*(\*\/|$)/, "", line)
			if (line ~ calls)
				print FILENAME ":" $0
		}' lib/*.[ch] fs/*.[ch] mount/*.[ch]
}

# How far from where it says each hunk of a patch is.
offsets() {
	LC_ALL=C patch -p1 -F3 -f --dry-run --verbose -i "$1" |
		sed -nE 's/^Hunk #.*\(offset (-?[0-9]+) lines?\).*/\1/p; t; s/^Hunk #.*/0/p'
}

# The same for each line that a patch takes away: once, however many do; so a second one with the same
# text needs a mutation of its own.
lines_taken() {
	for p in "$patches"/*.patch; do
		awk -v offsets="$(offsets "$p" | tr '\n' ' ')" '
			BEGIN { split(offsets, offset, " ") }
			/^--- a\// { file = substr($2, 3); next }
			/^@@/ { split($2, at, "[-,]"); line = at[2] + offset[++hunk]; next }
			/^-/ { print file "\t" line "\t" substr($0, 2) }
			/^[- ]/ { line++ }' "$p"
	done | sort -u | sed -E 's/^([^\t]*)\t[0-9]*\t/\1:/'
}

# EXEMPT: FILE, a blank, the line without its indentation; the reason in the comment above it.
exempt=$(sed '/^#/d; /^$/d; s/ /:\t/' "$patches/EXEMPT")
squeeze() { sed -E 's/:[[:blank:]]+/:/' | sort; }

found=$(calls_in_sources | squeeze)
taken=$(lines_taken | squeeze)
spared=$(squeeze <<<"$exempt")
report "there are calls, and mutations" "$([ -n "$found" ] && [ -n "$taken" ] || echo none)"
report "each call that makes something durable has a mutation, or stands in $patches/EXEMPT" \
	"$(comm -23 <(printf '%s\n' "$found") <(printf '%s\n' "$taken" "$spared" | sort))"
report "what stands in $patches/EXEMPT is in the source, and has no mutation" \
	"$(comm -23 <(printf '%s\n' "$spared" | sed '/^$/d') <(comm -23 <(printf '%s\n' "$found") <(printf '%s\n' "$taken")))"

# As tests/crash/mutate.py does it.
problems=$(
	for p in "$patches"/*.patch; do
		patch -p1 -F3 -s -f --dry-run -i "$p" >/dev/null || echo "$p does not apply"
		grep -q '^Caught by: ' "$p" || echo "$p does not say which test catches it"
		sed -nE 's/^Caught by: ([^ ]*).*/\1/p' "$p" | while IFS= read -r test; do
			[ -f "tests/$test.sh" ] || [ -f "tests/$test.c" ] || echo "$p: there is no test $test"
		done
	done
)
report "each mutation applies, and names tests that exist" "$problems"
finish
