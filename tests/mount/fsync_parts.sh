#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A handle that fsyncs and goes on writing: its bytes become parts while it is open, cut at records
# and as seldom as the rules say; what is cut can no longer be changed through it.
. "$(dirname "$0")/lib.sh"

TOOL=$BUILD/tests/mount/fsyncwriter

has_parts() {
	[ "$(count_parts "$1")" = "$2" ]
}

# Another file is fsynced and gets a part: so whatever fsynced before has had its turn.
fences=0
fence() {
	fences=$((fences + 1))
	exec 8>"$MNT/fence.$fences"
	echo fence >&8
	"$TOOL" fsync 8
	wait_for 30 sealed "$MNT/fence.$fences"
	exec 8>&-
}

# rounds NAME KIND FILE COUNT WAITED BYTES
rounds() {
	local name=$1 kind=$2 file=$3
	check "$name: every round, read and refusal is as it must be" \
		"$TOOL" rounds "$kind" "$MNT/$file" "$WORK/$file" "$4" "$5" "$6"
	"$NOTEPACKCTL" wait "$MNT"
	check "$name: the parts give every byte in order" parts_give "$MNT/$file" "$WORK/$file"
	check "$name: no record is torn in a part" parts_are_whole "$MNT/$file" "$kind"
	check "$name: the plain name gives every byte" cmp "$MNT/$file" "$WORK/$file"
	echo "# $name: $(count_parts "$MNT/$file") parts"
}

# ---- every fsync ----

# A cut that came between the end of a part and the look for the next one had its segment
# submitted twice: the queue broke, and no part came any more.
start grace=0,cut_size=0
rounds "100 fsyncs of lines, each waited for" lines waited.log 100 100 200
check "… are 100 parts, and one at the close" has_parts "$MNT/waited.log" 101
rounds "100 fsyncs of frames, each waited for" frames waited.notepack 100 100 300
check "… are 100 parts, and one at the close" has_parts "$MNT/waited.notepack" 101
rounds "100 fsyncs of lines, the last 80 not waited for" lines mixed.log 100 20 5000
rounds "100 fsyncs of frames, the last 80 not waited for" frames mixed.notepack 100 20 5000
check "a file mapped shared is not cut while it is open" \
	"$TOOL" mapped "$MNT/mapped.log" "$WORK/mapped.log" "$MNT/fence"
"$NOTEPACKCTL" wait "$MNT"
check "… and is complete after the close" parts_give "$MNT/mapped.log" "$WORK/mapped.log"
check "… in one part" has_parts "$MNT/mapped.log" 1

exec 7>"$MNT/by-hand.log"
echo one >&7
"$TOOL" fsync 7
check "a part appears while the file is open" wait_for 30 has_parts "$MNT/by-hand.log" 1
printf 'two\ntorn' >&7
check "the plain name has what was written since" \
	[ "$(cat "$MNT/by-hand.log")" = "$(printf 'one\ntwo\ntorn')" ]
check_refused "a write below the cut is refused" "Operation not permitted" \
	"$TOOL" pwrite 7 0 ONE
check_refused "ftruncate below the cut is refused" "Operation not permitted" \
	"$TOOL" ftruncate 7 2
check "ftruncate above the cut is not" "$TOOL" ftruncate 7 10
check "a write above the cut is not" "$TOOL" pwrite 7 4 TWO
exec 7>&-
"$NOTEPACKCTL" wait "$MNT"
check "the plain name has it all" [ "$(cat "$MNT/by-hand.log")" = "$(printf 'one\nTWO\nto')" ]
check "the first object is what it was" [ "$(zcat "$MNT/by-hand.log.notepack.gz")" = one ]
stop
check_clean_store

# ---- the defaults, but for a shorter grace ----

start grace=0.05
rounds "100 fsyncs of lines with the defaults" lines few.log 100 1 200
check "… are at most a first part and a last one" has_parts "$MNT/few.log" 2
rounds "64 fsyncs of 64 KiB with the defaults" lines more.log 64 1 65536
check "… are at most a part for each MiB, a first one and a last one" \
	[ "$(count_parts "$MNT/more.log")" -le 6 ]
exec 7>>"$MNT/once.log"
echo one >&7
"$TOOL" fsync 7
echo two >&7
exec 7>&-
"$NOTEPACKCTL" wait "$MNT"
echo "# write, fsync, write, close: $(count_parts "$MNT/once.log") parts"
check "write, fsync, write, close: every line" [ "$(cat "$MNT/once.log")" = "$(printf 'one\ntwo')" ]
stop "with the defaults"
check_clean_store

start grace=1h
exec 7>>"$MNT/once.log"
echo three >&7
"$TOOL" fsync 7
echo four >&7
exec 7>&-
"$NOTEPACKCTL" seal "$MNT/once.log"
check "a close before grace ends makes it one segment" [ \
	"$(zcat "$(parts_of "$MNT/once.log" | tail -n 1)")" = "$(printf 'three\nfour')" ]
stop "with a long grace"

# ---- cut_size and cut_age, each alone ----

start grace=0,cut_size=64K,cut_age=1h
exec 7>>"$MNT/size.log"
echo one >&7
"$TOOL" fsync 7
check "cut_size: the first fsync makes a part" wait_for 30 has_parts "$MNT/size.log" 1
echo two >&7
"$TOOL" fsync 7
fence
check "cut_size: a few bytes more make none" has_parts "$MNT/size.log" 1
"$BUILD/tests/mount/makedata" file text 70000 1 >&7
echo >&7
"$TOOL" fsync 7
# The fsync before it waits for cut_age; once, this one was taken to be waiting, too.
check "cut_size: enough bytes make one, whatever waits for cut_age" \
	wait_for 30 has_parts "$MNT/size.log" 2
exec 7>&-
stop "cut_size"
check_clean_store

start grace=0,cut_size=1T,cut_age=1s
exec 7>>"$MNT/age.log"
echo one >&7
"$TOOL" fsync 7
check "cut_age: the first fsync makes a part" wait_for 30 has_parts "$MNT/age.log" 1
echo two >&7
"$TOOL" fsync 7
check "cut_age: a few bytes more are a part in time" wait_for 30 has_parts "$MNT/age.log" 2
exec 7>&-
stop "cut_age"
check_clean_store

# ---- fsync=sync ----

start grace=0,cut_size=0,fsync=sync
exec 7>>"$MNT/sync.log"
echo one >&7
"$TOOL" fsync 7
echo closed >"$MNT/closed.log"
check "fsync=sync: a closed file is sealed" wait_for 30 sealed "$MNT/closed.log"
check "fsync=sync: an fsync cuts nothing" has_parts "$MNT/sync.log" 0
exec 7>&-
check "fsync=sync: the close does" wait_for 30 has_parts "$MNT/sync.log" 1
stop "fsync=sync"
check_clean_store
finish
