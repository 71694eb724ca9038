#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# rsync of a real tree of 5,000 files, directories and links (20,000 with NOTEPACKFS_LONG=1): the first run is complete, a second
# transfers nothing, and rsync -c agrees; while files are being sealed, sealed, and after a remount.
. "$(dirname "$0")/lib.sh"

SOURCE=$WORK/source
ENTRIES=5000
[ "${NOTEPACKFS_LONG:-0}" = 0 ] || ENTRIES=20000

# What rsync -a would change in the mount: nothing, if all is well.
differences() {
	rsync -ai "$@" "$SOURCE/" "$MNT/" 2>&1
}

check_same() {
	local found
	found=$(differences -n)
	check "a second run transfers nothing ($1)" [ -z "${found:0:500}" ]
	found=$(differences -nc)
	check "rsync -c agrees ($1)" [ -z "${found:0:500}" ]
}

# The first of these trees that is large enough; a copy, because the machine's own may change.
copy_tree() {
	local from
	for from in /usr/share /usr; do
		find "$from" -xdev -mindepth 1 \( -type f -o -type l -o -type d \) -printf '%P\n' |
			LC_ALL=C sort | head -n "$ENTRIES" >"$WORK/list"
		[ "$(wc -l <"$WORK/list")" -lt "$ENTRIES" ] || break
	done
	mkdir "$SOURCE"
	echo "# from $from"
	rsync -a --files-from="$WORK/list" "$from/" "$SOURCE/"
}

# What a tree may have and this one perhaps has not.
add_odd_things() {
	local odd=$SOURCE/odd
	mkdir -p "$odd/empty directory" "$odd/sticky"
	chmod 1777 "$odd/sticky"
	echo one >"$odd/linked"
	ln "$odd/linked" "$odd/linked too"
	ln "$odd/linked" "$odd/sticky/linked three"
	ln -s /nowhere "$odd/dangling"
	: >"$odd/empty"
	echo hidden >"$odd/.hidden"
	echo secret >"$odd/secret"
	chmod 000 "$odd/secret"
	echo newline >"$odd/"$'new\nline'
	echo latin >"$odd/"$'latin\xe4'
	echo old | tee "$odd/old" >"$odd/older"
	chown 65534:65533 "$odd/old"
	touch -d '1999-12-31 23:59:59.123456789' "$odd/old"
	touch -d '1931-01-01' "$odd/older"
	touch -h -d '2001-02-03 04:05:06.7' "$odd/dangling" "$odd/empty directory" "$odd"
}

entries() {
	find "$1" -mindepth 1 -printf x | wc -c
}

check "there is a tree" copy_tree
add_odd_things
count=$(entries "$SOURCE")
check "it has $count entries" [ "$count" -ge "$ENTRIES" ]
echo "# $(find "$SOURCE" -type f -printf x | wc -c) files, $(find "$SOURCE" -type d -printf x | wc -c)" \
	"directories, $(find "$SOURCE" -type l -printf x | wc -c) links, $(du -sm "$SOURCE" | cut -f 1) MiB"

start
check "the first run is complete" quietly rsync -a "$SOURCE/" "$MNT/"
check "a second run at once transfers nothing" [ -z "$(differences)" ]
check "the mount lists as many entries" [ "$(entries "$MNT")" = "$count" ]
check "all of it is sealed" quietly "$NOTEPACKCTL" wait "$MNT"
check "… and listed so, but for what is empty or excluded" [ -z "$(find "$MNT" -type f -size +0 \
	! -name '*.notepack.gz' ! -path '*/.*' ! -name '*~' ! -name '*.tmp' ! -name '*.part' ! -name '*.open' ! -name '*.swp')" ]
check "the mount lists as many entries as before" [ "$(entries "$MNT")" = "$count" ]
check_same sealed
check "hard links have become files of their own" sh -c \
	"[ \"\$(stat -c %h '$MNT/odd/linked' '$MNT/odd/linked too' | sort -u)\" = 1 ] &&
	cmp '$MNT/odd/linked' '$MNT/odd/linked too'"
stop "the first mount"
start
check_same "after a remount"
check "a run that may write transfers nothing, either" [ -z "$(differences)" ]
check "sha256sums verifies" sh -c "cd '$MNT' && sha256sum --quiet -c .notepackfs/sha256sums"
stop "the second mount"

# Files that are closed and not cut yet.
rm -rf "$STORE" "$SOURCE"
mkdir "$STORE" "$SOURCE"
add_odd_things
start grace=1h
check "a first run is complete before anything is sealed" quietly rsync -a "$SOURCE/" "$MNT/"
check_same "not sealed"
stop "not sealed"
start grace=1h
check_same "sealed by the unmount"
stop "sealed by the unmount"
finish
