#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The arrows between the layers, from the #include lines: mount → fs → lib, never back, and inside
# lib the floors of lib/FLOORS.
. "$(dirname "$0")/lib.sh"

# "FILE HEADER" for each quoted #include of the given files; tests and generated files have none.
includes() {
	awk '/^[ \t]*#[ \t]*include[ \t]*"/ { split($0, part, "\""); print FILENAME, part[2] }' "$@"
}

# The layers may include only headers whose path matches.
only() {
	local layer=$1 allowed=$2
	includes "$layer"/*.[ch] | awk -v re="$allowed" '$2 !~ re { print $1 " includes " $2 }'
}

# What a header includes, and what these include; each once.
closure() {
	local header=$1 inner
	[[ " ${seen-} " == *" $header "* ]] && return
	seen="${seen-} $header"
	while read -r _ inner; do
		closure "$inner"
	done < <(includes "$header")
}

report "lib includes nothing of fs and mount" "$(only lib '^lib/')"
report "lib knows no FUSE" "$(grep -nE '#[[:space:]]*include[[:space:]]*<(fuse|linux/fuse)' lib/*.[ch])"

seen=
closure lib/store.h
allowed=$(xargs printf '%s|' <<<"$seen")lib/bytes.h\|lib/io.h\|lib/lock.h\|lib/log.h
report "fs includes of lib the façade and small tools only" "$(only fs "^(fs/.*|${allowed//./\\.})\$")"
report "mount includes fs and lib" "$(only mount '^(mount|fs|lib)/')"
report "mount includes of fs fs.h only" "$(includes mount/*.[ch] | awk '$2 ~ /^fs\// && $2 != "fs/fs.h"')"

# lib/FLOORS: a line a floor, from the ground up. "name" is name.c and name.h, "name.c" just this.
problems=$(
	{
		sed 's/#.*//' lib/FLOORS | awk 'NF { for (i = 1; i <= NF; i++) print "floor", NR, $i }'
		printf 'file %s\n' lib/*.[ch]
		includes lib/*.[ch] | sed 's/^/include /'
	} | awk '
		function place(file, name, bare) {
			name = file
			sub(/^lib\//, "", name)
			bare = name
			sub(/\.[ch]$/, "", bare)
			if (name in floor)
				used[name] = 1
			else if (bare in floor)
				used[bare] = 1
			return name in floor ? floor[name] : bare in floor ? floor[bare] : 0
		}
		$1 == "floor" {
			if ($3 in floor)
				print $3 " stands in lib/FLOORS twice"
			floor[$3] = $2
		}
		$1 == "file" && !place($2) { print $2 " is on no floor of lib/FLOORS" }
		$1 == "include" && $3 ~ /^lib\// && place($2) && place($3) > place($2) {
			print $2 " includes " $3 ", which is on a higher floor"
		}
		END {
			for (name in floor)
				if (!(name in used))
					print name " is in lib/FLOORS, but not in lib"
		}'
)
report "inside lib includes point to the same floor or down" "$problems"

# The map of lib/DESIGN names each source of lib, as a word at the start of an entry.
problems=$(
	{
		sed -n '/^Map of the files/,$s/^    \([a-z_]*\)\(\.h\)\{0,1\} .*/map \1/p' lib/DESIGN
		printf 'file %s\n' lib/*.c
	} | awk '
		$1 == "map" { map[$2] = 1; next }
		{ gsub(/^lib\/|\.c$/, "", $2); files[$2] = 1 }
		END {
			for (name in files)
				if (!(name in map))
					print "lib/" name ".c is not in the map of lib/DESIGN"
			for (name in map)
				if (!(name in files) && system("test -e lib/" name ".h") != 0)
					print name " is in the map of lib/DESIGN, but not in lib"
		}'
)
report "the map in lib/DESIGN is the list of the sources" "$problems"
finish
