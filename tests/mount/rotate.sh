#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A file that is held open for months: rotate_size and rotate_age make parts of it, at records, while its
# writer, a tail -f, and readers old and new notice nothing; its disk space comes back; and nothing of it is
# lost when the daemon is killed.
. "$(dirname "$0")/lib.sh"

TOOL=$BUILD/tests/mount/fsyncwriter
MAKEDATA=$BUILD/tests/mount/makedata
# A part is cut at 1 MiB; until it is published a little more is written.
RAW_KIB_MAX=3072

has_parts() {
	[ "$(count_parts "$1")" -ge "$2" ]
}

# What the raw file NAME has of the disk is small, though its length is not.
space_is_back() {
	[ "$(du -k "$STORE/$1" | cut -f1)" -le "$RAW_KIB_MAX" ]
}

# write_lines FD COPY BYTES SEED: whole lines of text to a descriptor and to the copy.
write_lines() {
	"$MAKEDATA" file text "$3" "$4" >"$WORK/piece"
	echo >>"$WORK/piece"
	cat "$WORK/piece" >&"$1"
	cat "$WORK/piece" >>"$2"
}

# write_long FD NAME: five times 2 MiB, each a part or more before the next.
write_long() {
	local before
	for i in $(seq 5); do
		before=$(count_parts "$MNT/$2")
		write_lines "$1" "$WORK/$2" 2097152 "$i"
		wait_for 60 has_parts "$MNT/$2" $((before + 1)) || return 1
	done
}

# Mapped before anything is cut, and read when all is: descriptors for the way there and back.
mapped_reader() {
	coproc MAPPED { python3 -c '
import mmap, os, sys, hashlib
fd = os.open(sys.argv[1], os.O_RDONLY)
m = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
print(hashlib.sha256(m[:4096]).hexdigest(), flush=True)
sys.stdin.readline()
print(hashlib.sha256(m[:]).hexdigest(), flush=True)
' "$1"; }
}

# ---- rotate_size: a writer with O_APPEND, one at its own offset ----

start grace=1h,rotate_size=1M
for how in append offset; do
	name=$how.log
	: >"$WORK/$name"
	[ "$how" = append ] && exec 7>>"$MNT/$name"
	[ "$how" = offset ] && exec 7>"$MNT/$name"
	echo first >&7
	echo first >>"$WORK/$name"
	tail -c +1 -f "$MNT/$name" >"$WORK/tailed" 2>"$WORK/tail.err" &
	tail_pid=$!
	exec 6<"$MNT/$name"
	check "rotate_size: parts appear while the file is open ($how)" write_long 7 "$name"
	check "… its disk space comes back while it is open" wait_for 60 space_is_back "$name"
	check "… the raw file has its whole length" \
		[ "$(stat -c %s "$STORE/$name")" = "$(stat -c %s "$WORK/$name")" ]
	check "… and so has the plain name" \
		[ "$(stat -c %s "$MNT/$name")" = "$(stat -c %s "$WORK/$name")" ]
	check "… no line is torn in a part" parts_are_whole "$MNT/$name" lines
	check "… a reader from before reads every byte" cmp "/proc/self/fd/6" "$WORK/$name"
	check "… and a new one" cmp "$MNT/$name" "$WORK/$name"
	printf torn >&7
	printf torn >>"$WORK/$name"
	check "… a torn line is read" cmp "$MNT/$name" "$WORK/$name"
	[ "$how" = append ] || check_refused "… what is cut cannot be overwritten" \
		"Operation not permitted" "$TOOL" pwrite 7 0 ONE
	exec 7>&- 6<&-
	check "… tail -f has had every byte" wait_for 30 cmp "$WORK/tailed" "$WORK/$name"
	kill "$tail_pid"
	wait "$tail_pid" 2>/dev/null
	check "… and nothing to say" [ ! -s "$WORK/tail.err" ]
	"$NOTEPACKCTL" wait "$MNT"
	check "… after the close the parts are all of it" parts_give "$MNT/$name" "$WORK/$name"
	check "… and the plain name, too" cmp "$MNT/$name" "$WORK/$name"
done

# Its pages come from the raw file first, from the parts later.
: >"$WORK/map.log"
exec 7>>"$MNT/map.log"
write_lines 7 "$WORK/map.log" 900000 1
mapped_reader "$MNT/map.log"
read -r -u "${MAPPED[0]}" first
check "a mapping reads what is there" [ "$first" = "$(head -c 4096 "$WORK/map.log" | sha256sum | cut -d' ' -f1)" ]
check "a file that is mapped to be read is rotated" write_long 7 map.log
check "… its disk space comes back" wait_for 60 space_is_back map.log
echo >&"${MAPPED[1]}"
read -r -u "${MAPPED[0]}" all
wait "$MAPPED_PID"
check "… the mapping has every byte" \
	[ "$all" = "$(head -c 900001 "$WORK/map.log" | sha256sum | cut -d' ' -f1)" ]
exec 7>&-

# The hole is no change that anyone made.
: >"$WORK/time.log"
exec 7>>"$MNT/time.log"
write_lines 7 "$WORK/time.log" 3000000 1
touch -d '2020-02-02 02:02:02.020202020' "$MNT/time.log"
check "a large file is cut once and gives back its space" wait_for 60 space_is_back time.log
check "… and keeps its time" [ "$(stat -c %.9Y "$MNT/time.log")" = 1580608922.020202020 ]
exec 7>&-

"$BUILD/tests/bench/corpus" notepack 6000000 1 >"$WORK/frames.notepack"
exec 7>>"$MNT/frames.notepack"
head -c 3000001 "$WORK/frames.notepack" >&7
check "frames: a part appears while the file is open" wait_for 60 has_parts "$MNT/frames.notepack" 1
tail -c +3000002 "$WORK/frames.notepack" >&7
check "frames: and another" wait_for 60 has_parts "$MNT/frames.notepack" 2
check "frames: none is torn in a part" parts_are_whole "$MNT/frames.notepack" frames
exec 7>&-

exec 7>>"$MNT/excluded.tmp"
"$MAKEDATA" file text 3000000 1 >&7
write_lines 7 "$WORK/after" 1200000 2
check "an excluded name is not cut" [ "$(count_parts "$MNT/excluded.tmp")" = 0 ]
mv "$MNT/excluded.tmp" "$MNT/included"
write_lines 7 "$WORK/after" 1200000 3
check "… from the next MiB on, when it has another" wait_for 60 has_parts "$MNT/included" 1
exec 7>&-
stop rotate_size
check_clean_store

# ---- what is fsynced gives back its space, too ----

start grace=0
: >"$WORK/synced.log"
exec 7>"$MNT/synced.log"
for i in 1 2 3 4; do
	write_lines 7 "$WORK/synced.log" 2000000 "$i"
	"$TOOL" fsync 7
	wait_for 60 has_parts "$MNT/synced.log" "$i"
done
check "without rotate_size: what is sealed after an fsync gives back its space" \
	wait_for 60 space_is_back synced.log
check "… and is read" cmp "$MNT/synced.log" "$WORK/synced.log"
exec 8>>"$MNT/quiet.log"
write_lines 8 "$WORK/quiet.log" 4000000 1
write_lines 7 "$WORK/synced.log" 2000000 5
"$TOOL" fsync 7
wait_for 60 has_parts "$MNT/synced.log" 5
check "… what is not fsynced is not cut" [ "$(count_parts "$MNT/quiet.log")" = 0 ]
exec 7>&- 8>&-
stop "without rotate_size"
check_clean_store

# ---- rotate_age ----

start grace=1h,rotate_age=0.5
exec 7>>"$MNT/age.log"
echo one >&7
check "rotate_age: what is new for so long is a part" wait_for 30 has_parts "$MNT/age.log" 1
printf 'two\ntorn' >&7
check "… and what comes behind it" wait_for 30 has_parts "$MNT/age.log" 2
# A part of another file: so the torn line had its time.
exec 8>>"$MNT/fence.log"
for i in 1 2; do
	echo fence >&8
	wait_for 30 has_parts "$MNT/fence.log" "$i"
done
check "… but for a line that is not complete" [ "$(count_parts "$MNT/age.log")" = 2 ]
echo " no more" >&7
check "… until it is" wait_for 30 has_parts "$MNT/age.log" 3
check "the parts are what was written" \
	[ "$(parts_of "$MNT/age.log" | xargs zcat)" = "$(printf 'one\ntwo\ntorn no more')" ]
exec 7>&- 8>&-
stop rotate_age
check_clean_store

# A file that someone opens again within grace is open, too.
start grace=0.5,rotate_age=1
echo one >"$MNT/again.log"
exec 7>>"$MNT/again.log"
check "rotate_age: a file opened again within grace is rotated" \
	wait_for 30 has_parts "$MNT/again.log" 1
exec 7>&-
stop "opened again"

# ---- the daemon is killed ----

start grace=0,rotate_size=1M
: >"$WORK/killed.log"
exec 7>>"$MNT/killed.log"
for i in 1 2 3; do
	write_long 7 killed.log
	write_lines 7 "$WORK/killed.log" 1500000 9
	crash
	exec 7>&-
	start grace=0,rotate_size=1M
	check "killed while it is rotated: every byte is there ($i)" \
		cmp "$MNT/killed.log" "$WORK/killed.log"
	exec 7>>"$MNT/killed.log"
done
write_long 7 killed.log
check "its disk space comes back to a writer that has opened it again" \
	wait_for 60 space_is_back killed.log
check "… and it has every byte" cmp "$MNT/killed.log" "$WORK/killed.log"
exec 7>&-
stop killed
check_clean_store
start
check "all of it is in the parts" parts_give "$MNT/killed.log" "$WORK/killed.log"
stop "at the end"
check "nothing went wrong" [ -z "$(grep -iE 'error|could not|failed' "$LOG")" ]
finish
