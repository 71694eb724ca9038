#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A writer who appends to the store's own file outlives the daemon. The next mount has what he wrote, shows what
# he writes, and whoever appends beside him there writes behind him, in each mode: no byte of either is lost.

# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

start
exec 8>>"$MNT/first"
exec 8>&-
reason=$(grep -m 1 -o 'through this process.*' "$LOG" || :)
stop "a first mount"
if [ -n "$reason" ]; then
	skip "a writer outlives the daemon" "$reason"
	finish
fi

MADE="A1 A2 B2 A3 B3 A4 B4 A5"

lines() {
	tr '\n' ' ' <"$1"
}

# append NAME FLAGS: lines of standard input, each by one write, with a handle that python3 opens so
append() {
	python3 -u -c '
import os, sys
fd = os.open(sys.argv[1], os.O_APPEND | getattr(os, sys.argv[2]))
for line in sys.stdin: os.write(fd, line.encode())' "$MNT/$1" "$2"
}

# beside NAME FLAGS: B's lines through a handle of the new mount between A's, which go past it.
beside() {
	local to pid i
	mkfifo "$WORK/to"
	append "$1" "$2" <"$WORK/to" &
	pid=$!
	exec {to}>"$WORK/to"
	for i in 2 3 4; do
		echo "A$i" >&8
		echo "B$i" >&"$to"
		wait_for 20 seen "$STORE/$1" "B$i" || return 1
	done
	exec {to}>&-
	wait "$pid"
	rm "$WORK/to"
}

seen() {
	grep -qx "$2" "$1"
}

# MODE is that of the second mount.
for mode in passthrough=auto passthrough=off rotate_size=1M; do
	for flags in O_WRONLY O_RDWR; do
		start grace=1h
		exec 8>>"$MNT/x"
		echo A1 >&8
		crash
		start "grace=1h,allow_delete,$mode"
		check "$mode, $flags: what was written before is there" [ "$(lines "$MNT/x")" = "A1 " ]
		check "$mode, $flags: a second one appends" beside x "$flags"
		echo A5 >&8
		check "$mode, $flags: no line is lost" [ "$(lines "$MNT/x")" = "$MADE " ]
		exec 8>&-
		"$NOTEPACKCTL" seal "$MNT/x"
		check "$mode, $flags: nor when it is sealed" [ "$(zcat "$(object_of "$MNT/x")" | tr '\n' ' ')" = "$MADE " ]
		rm "$MNT/x"
		stop "$mode, $flags"
	done
done

start grace=1h
exec 8>>"$MNT/y"
echo A1 >&8
crash
start grace=1h,allow_delete,passthrough=off
exec 7<"$MNT/y"
check "what is there is read" [ "$(lines "$MNT/y")" = "A1 " ]
echo A2 >&8
check "what a survivor writes is seen at once: its length" [ "$(stat -c %s "$MNT/y")" = 6 ]
check "… and its bytes, though someone has had it open" [ "$(lines "$MNT/y")" = "A1 A2 " ]
echo A3 >&8
check "… each time" [ "$(lines "$MNT/y") $(cat <&7 | tail -n 1)" = "A1 A2 A3  A3" ]
exec 7<&- 8>&-
stop "a reader"

# Between his writes all of it is sealed, and he may write more at any time.
start grace=1h
exec 8>>"$MNT/z"
echo A1 >&8
crash
names() {
	find "$MNT" -name 'z*' -printf '%f\n' | sort | tr '\n' ' '
}
for round in 1 2; do
	start grace=0
	check "what a survivor has written is sealed ($round)" wait_for 20 sealed "$MNT/z"
	check "… he lives, so it is listed as active ($round)" wait_for 20 listed "$MNT/z"
	check "… and says so ($round)" [ "$(getfattr --only-values -n user.notepack.state "$MNT/z")" = active ]
	[ "$round" = 2 ] || crash
done
check "he is not waited for" quietly timeout 20 "$NOTEPACKCTL" wait "$MNT"
echo A2 >&8
check "he writes more, which is there" [ "$(lines "$MNT/z")" = "A1 A2 " ]
part_two() { listed "$MNT/z.p000000002.notepack.gz"; }
check "… is sealed, too" wait_for 20 part_two
check "… and it stays active" [ "$(names)" = "z z.notepack.gz z.p000000002.notepack.gz " ]
exec 8>&-
check "when he has ended it is not active any more" wait_for 20 plain_gone "$MNT/z"
check "… and is sealed" [ "$(getfattr --only-values -n user.notepack.state "$MNT/z")" = sealed ]
check "… with each line" [ "$(lines "$MNT/z")" = "A1 A2 " ]
stop "a survivor between two writes"

# Named bug: what was written beside him in one call over the end of a page, he could come into the middle of.
cat >"$WORK/survivor.py" <<'END'
import os, sys
fd = os.open(sys.argv[1], os.O_CREAT | os.O_APPEND | os.O_WRONLY)
while not os.path.exists(sys.argv[2]): os.write(fd, b"a\n" * 20)
END
cat >"$WORK/appender.py" <<'END'
import os, sys
for i in range(200):
    fd = os.open(sys.argv[1], os.O_APPEND | getattr(os, sys.argv[2]) | getattr(os, sys.argv[3], 0))
    for j in range(10): os.write(fd, b"b" * 4999 + b"\n")
    os.close(fd)
END
whole_lines() {
	[ "$(grep -vc '^a$' "$1")" = 2000 ] && [ "$(grep -xc 'b\{4999\}' "$1")" = 2000 ]
}
for flags in "O_RDWR -" "O_WRONLY O_DSYNC"; do
	name=${flags% *}
	start grace=1h
	python3 "$WORK/survivor.py" "$MNT/$name" "$WORK/$name.end" &
	survivor=$!
	wait_for 20 [ -s "$STORE/$name" ]
	crash
	start grace=1h
	# shellcheck disable=SC2086
	python3 "$WORK/appender.py" "$MNT/$name" $flags
	: >"$WORK/$name.end"
	check "$flags: a survivor who writes at the same time has ended" wait "$survivor"
	check "$flags: … and each line is whole" whole_lines "$MNT/$name"
	stop "$flags: lines beside a survivor"
done
finish
