#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# X.c exports names that start with X_ only (nm on what was built). A module spread over several
# files (manifest.c, manifest_txn.c, …) has one prefix, its first word; what goes beyond that is in
# symbols.table with its reason, and an entry that is not needed any more is a failure, too.
. "$(dirname "$0")/lib.sh"
need nm binutils
: "${BUILD:?the build directory}"

# "FILE SYMBOL" of each external definition. Sanitizers and coverage add names that start with __.
exports() {
	local file base object
	for file in lib/*.c fs/*.c mount/*.c; do
		base=$(basename "$file" .c)
		object=$(find "$BUILD/$(dirname "$file")" -name "$base.c.o" -print -quit)
		if [ -z "$object" ]; then
			echo "$file -"
			continue
		fi
		nm -g --defined-only -f posix "$object" |
			awk -v file="$file" '$2 ~ /^[TDBRCVW]$/ && $1 !~ /^__/ { print file, $1 }'
	done
}

all=$(exports)
report "every source was built" "$(awk '$2 == "-" { print $1 " has no object in the build" }' <<<"$all")"
problems=$(
	{
		grep -v '^#' tests/meta/symbols.table | awk 'NF { print "table", $1, $2 }'
		awk '{ print "export", $0 }' <<<"$all"
	} | awk '
		$1 == "table" { allowed[$2, $3] = 1; next }
		$3 == "-" { next }
		{
			module = $2
			sub(/^.*\//, "", module)
			sub(/\.c$/, "", module)
			family = module
			sub(/_.*/, "", family)
			if ($3 == module || index($3, module "_") == 1 || index($3, family "_") == 1)
				next
			for (key in allowed) {
				split(key, part, SUBSEP)
				prefix = part[2]
				if (part[1] == $2 && ($3 == prefix ||
				    (prefix ~ /_$/ && index($3, prefix) == 1))) {
					used[key] = 1
					next
				}
			}
			print $2 " exports " $3
		}
		END {
			for (key in allowed) {
				split(key, part, SUBSEP)
				if (!(key in used))
					print "tests/meta/symbols.table: " part[1] " " part[2] " is not needed"
			}
		}'
)
report "a source exports only names of its module" "$problems"
finish
