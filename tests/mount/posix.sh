#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What POSIX says of a filesystem: posix.c makes the calls, as root and as other users, first for
# active files, then for sealed ones. Here is what needs the store, the daemon or a remount: inode
# numbers, attributes and content that last, space that is given back, files beyond 4 GiB.
#
# NOTEPACKFS_LONG=1: the large file is sealed, too (5 GiB of zeros through the compressor: a minute).
. "$(dirname "$0")/lib.sh"
POSIX=$BUILD/tests/mount/posix

if [ "$(id -u)" != 0 ]; then
	fail "runs as root: it acts for several users"
	finish
fi

# run_posix DIR [GROUP…]: its lines as TAP. That it ran to its end is a check, too.
run_posix() {
	local line status=0
	"$POSIX" "$@" >"$WORK/posix.out" 2>&1 || status=$?
	while IFS= read -r line; do
		case $line in
		"+ "*) ok "${line#+ }" ;;
		"- "*) fail "${line#- }" ;;
		*) echo "# $line" ;;
		esac
	done <"$WORK/posix.out"
	check "all is checked: ${*:2}" [ "$status" -eq 0 ]
}

# Every name with what must outlast a remount. A directory's size and atime are the store's
# business; a file's blocks change when it is sealed.
inventory() {
	(cd "$MNT" && find . -path ./.notepackfs -prune -o \
		-printf '%p %i %y %m %n %U %G %T@ %l\0' | sort -z) >"$1"
}

content() {
	(cd "$MNT" && find . -path ./.notepackfs -prune -o -type f ! -name '*.notepack.gz' -print0 |
		sort -z | xargs -0 sha256sum) >"$1"
}

chmod 755 "$WORK"
start grace=1h,allow_other
run_posix "$MNT"

# ---- what is unlinked gives its space back ----

holds_removed() {
	find "/proc/$DAEMON/fd" -lname '*(deleted)' | grep -q .
}
holds_none() {
	! holds_removed
}
check "the daemon holds no removed file open" wait_for 10 holds_none
exec 7<>"$MNT/unlinked"
dd if=/dev/zero bs=1M count=8 status=none >&7
rm "$MNT/unlinked"
check "an unlinked file is not in the store" [ ! -e "$STORE/unlinked" ]
check "… and is held while it is open" holds_removed
exec 7>&-
check "… and given back at its close" wait_for 10 holds_none

# ---- offsets of more than 32 bits ----

large() {
	python3 - "$1" "$2" <<-'PYTHON'
		import os, sys
		size, path = 5 << 30, sys.argv[2]
		places = ((0, b"first"), ((4 << 30) - 2, b"four"), (size // 2 + 12345, b"middle"), (size - 4, b"last"))
		if sys.argv[1] == "write":
		    fd = os.open(path, os.O_RDWR | os.O_CREAT)
		    for at, text in places:
		        os.pwrite(fd, text, at)
		fd = os.open(path, os.O_RDONLY)
		right = os.fstat(fd).st_size == size and os.pread(fd, 10, size) == b""
		for at, text in places:
		    right = right and os.pread(fd, len(text), at) == text
		right = right and os.pread(fd, 8, 3 << 30) == bytes(8)
		sys.exit(not right)
	PYTHON
}
check "a sparse file of 5 GiB is written and read" large write "$MNT/.large"
check "… and takes few blocks" [ "$(stat -c %b "$MNT/.large")" -lt 1024 ]
if [ "${NOTEPACKFS_LONG:-0}" = 1 ]; then
	mv "$MNT/.large" "$MNT/large"
	check "it is sealed" "$NOTEPACKCTL" seal "$MNT/large"
	check "… and reads as before" large read "$MNT/large"
	check "… to gzip, too: its size" [ "$(zcat "$MNT/large.notepack.gz" | wc -c)" = $((5 << 30)) ]
else
	skip "it is sealed and reads as before" "NOTEPACKFS_LONG=1 is not set"
	rm "$MNT/.large"
fi

# ---- sealed files ----

mkdir "$MNT/sealed" "$MNT/closed"
for name in a b c; do
	echo sealed >"$MNT/sealed/$name"
done
for mode in 000 200 444; do
	echo "closed $mode" >"$MNT/closed/$mode"
	chown 3001:4000 "$MNT/closed/$mode"
	chmod "$mode" "$MNT/closed/$mode"
	touch -d '2005-06-07 08:09:10.111213141' "$MNT/closed/$mode"
done
attributes() {
	stat -c '%i %a %u %g %h %s %x %y' "$MNT"/closed/{000,200,444}
}
attributes >"$WORK/active"
"$NOTEPACKCTL" seal "$MNT"
attributes >"$WORK/sealed"
check "sealing changes no attribute of a file, its access time neither" \
	cmp "$WORK/active" "$WORK/sealed"
check "a sealed file of mode 000 has its content" [ "$(cat "$MNT/closed/000")" = "closed 000" ]
run_posix "$MNT" sealed_states
exec 7<"$MNT/sealed/a" 8<"$MNT/sealed/a"
flock 7
check "a lock of a sealed file is the file's" sh -c '! flock -n 8'
exec 7<&- 8<&-

blocks_are_true() {
	local blocks size
	read -r blocks size < <(stat -c '%b %s' "$1")
	[ $((blocks * 512)) -ge "$size" ] && [ $((blocks * 512)) -lt $((size + 65536)) ]
}
seq 100000 >"$MNT/numbers"
"$NOTEPACKCTL" seal "$MNT/numbers"
check "an object occupies its bytes" blocks_are_true "$MNT/numbers.notepack.gz"
raw_gone() {
	[ ! -e "$STORE/numbers" ]
}
check "the raw file goes" wait_for 10 raw_gone
check "a sealed file occupies what its object does" \
	[ "$(stat -c %b "$MNT/numbers")" = "$(stat -c %b "$MNT/numbers.notepack.gz")" ]

# ---- a remount ----

check "the private directory is no link of the root" \
	[ "$(stat -c %h "$MNT")" = $((2 + $(find "$MNT" -mindepth 1 -maxdepth 1 -type d | wc -l))) ]
echo tail >>"$MNT/sealed/b"
"$NOTEPACKCTL" seal "$MNT"
echo raw >"$MNT/raw.tmp"
ln -s 'a target' "$MNT/a link"
inventory "$WORK/before"
content "$WORK/before.content"
stat -c '%n %i %a %u %g %s %Y' "$MNT"/closed/{000,200,444} "$MNT"/sealed/{a,b,c} >"$WORK/before.plain"
stop
start grace=1h,allow_other
inventory "$WORK/after"
content "$WORK/after.content"
stat -c '%n %i %a %u %g %s %Y' "$MNT"/closed/{000,200,444} "$MNT"/sealed/{a,b,c} >"$WORK/after.plain"
check "inodes, owners, modes, links and times of all that is listed outlast a remount" \
	cmp "$WORK/before" "$WORK/after"
check "… those of plain names that are not listed, too" cmp "$WORK/before.plain" "$WORK/after.plain"
check "… and the content" cmp "$WORK/before.content" "$WORK/after.content"
sealed_at_the_end() {
	find "$MNT/long_paths" -name '*.notepack.gz' -execdir zcat {} + | grep -qx 'at the end'
}
check "what was put at the end of the longest path is sealed there" sealed_at_the_end
# ("..." is an excluded name.)
check "each odd name but one is sealed, and reads" \
	[ "$(find "$MNT/strange_names" -name '*.notepack.gz' -exec zcat {} + | grep -o odd | wc -l)" = 15 ]
stop

# ---- where removing is allowed ----

start grace=1h,allow_other,allow_delete
"$NOTEPACKCTL" rm "$MNT/sealed/b" # one of several parts: rm alone is refused
rm -r "$MNT/sealed"
mkdir "$MNT/sealed"
for name in a b c; do
	echo sealed >"$MNT/sealed/$name"
done
"$NOTEPACKCTL" seal "$MNT/sealed"
run_posix "$MNT" removed_sealed
check "nothing removed is held" wait_for 10 holds_none
stop
finish
