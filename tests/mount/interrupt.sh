#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Interrupting: the one who waits for an unmount, the daemon while it flushes, the mount under its
# users (umount -l, umount -f), and a program that goes on writing into a raw file whatever becomes of
# daemons (L29). Nothing that was accepted is lost, and the next mount finishes what was begun. (Who appends through
# a mount may go on like that, too: passthrough_append.)
# shellcheck disable=SC2317 # functions that check and wait_for call
. "$(dirname "$0")/lib.sh"

HERE=$(cd "$(dirname "$0")" && pwd)

SOURCE=$WORK/source
PARTS=8
mkdir "$SOURCE"
for i in $(seq $PARTS); do
	"$BUILD/tests/mount/makedata" file text $((3 << 20)) "$i" >"$SOURCE/$i.log"
done

new_store() {
	rm -rf "$STORE"
	mkdir "$STORE"
}

# published N: so many of the source's files, at least
published() {
	[ "$(find "$STORE" -maxdepth 1 -name '[0-9].log.notepack.gz' | wc -l)" -ge "$1" ]
}

all_published() {
	published "$PARTS"
}

some_missing() {
	! published "$PARTS"
}

all_read() {
	local i
	for i in $(seq "$PARTS"); do
		cmp "$SOURCE/$i.log" "$MNT/$i.log" || return 1
	done
}

compressing() {
	[ -n "$(find "$STORE/.notepackfs/tmp" -type f -size +0)" ]
}

unmounted() {
	! mountpoint -q "$MNT"
}

# begin [OPTIONS]: a new store, into which the source was just copied
begin() {
	new_store
	start "threads=1,grace=1h${1:+,$1}"
	cp "$SOURCE"/* "$MNT"
}

# Every byte of the source, from the mount, and then from the store alone.
check_all_there() {
	local name=$1
	start grace=0
	check "$name: the next mount has every byte" all_read
	stop "$name: the next mount"
	check "$name: … and seals all of it" all_published
	check "$name: the store is sound" quietly "$NOTEPACKCTL" check --deep "$STORE"
	check_clean_store
}

# The daemon's end by itself, with this status.
check_ends() {
	local name=$1 want=$2 status=0
	check "$name: the daemon ends" wait_for 60 has_ended "$DAEMON"
	daemon_status || status=$?
	check "$name: … with status $want" [ $status = "$want" ]
}

# ---- Ctrl-C of notepackctl umount: the signal of the terminal, to it and its children ----

begin
setsid "$NOTEPACKCTL" umount "$MNT" >"$WORK/ctl.out" 2>&1 &
ctl=$!
wait_for 20 unmounted
wait_for 20 compressing
wait_for 20 grep -q flushing "$WORK/ctl.out" # its handler is there
kill -INT -- "-$ctl"
status=0
wait "$ctl" || status=$?
check "Ctrl-C while it flushes: notepackctl does not say that all is flushed" [ $status = 5 ]
check "… and says what goes on" grep -qi "background\|goes on\|still" "$WORK/ctl.out"
check "… and the daemon lives" kill -0 "$DAEMON"
check "… and someone else may wait for it" "$NOTEPACKCTL" wait "$STORE"
check_ends "Ctrl-C while it flushes" 0
check_all_there "Ctrl-C while it flushes"

# Early, at any moment of its first 50 ms, and again and again.
begin
for delay in 0.0005 0.001 0.002 0.005 0.01 0.02 0.05; do
	timeout -s INT "$delay" "$NOTEPACKCTL" umount "$MNT" >>"$LOG" 2>&1
done
unmounted || "$NOTEPACKCTL" umount "$MNT" >>"$LOG" 2>&1
check_ends "Ctrl-C at any moment" 0
check_all_there "Ctrl-C at any moment"

# ---- SIGKILL of the daemon while it flushes ----

begin
for n in $(seq 3); do
	"$NOTEPACKCTL" umount --no-wait "$MNT" >>"$LOG" 2>&1
	wait_for 20 published "$n"
	kill -KILL "$DAEMON"
	wait "$DAEMON" 2>/dev/null
	check "killed while it flushes ($n): something is left to do" some_missing
	start threads=1,grace=1h
	check "… and nothing is lost" all_read
done
crash
check_all_there "killed while it flushes"

begin
"$NOTEPACKCTL" umount "$MNT" >"$WORK/ctl.out" 2>&1 &
ctl=$!
wait_for 20 compressing
kill -KILL "$DAEMON"
wait "$DAEMON" 2>/dev/null
status=0
wait "$ctl" || status=$?
DAEMON=
check "the daemon is killed while notepackctl waits: it does not say that all is flushed" [ $status != 0 ]
check "… but what to do" grep -q "mount" "$WORK/ctl.out"
check_all_there "killed while notepackctl waits"

# ---- umount -l ----

begin
exec 7>"$MNT/writer.log" 6<"$MNT/1.log"
echo one >&7
umount -l "$MNT"
check "umount -l: whoever has a file open goes on writing" sh -c "echo two >&7"
check "… and reading" cmp - "$SOURCE/1.log" <&6
check_refused "… and the store is not given to a second mount" "in use" \
	"$NOTEPACKFS" "$STORE" "$MNT" -f -o lockwait=0
kill -KILL "$DAEMON"
wait "$DAEMON" 2>/dev/null
DAEMON=
check_refused "… the daemon is killed: they get errors" "" sh -c "echo late >&7"
exec 7>&- 6<&-
start grace=1h
check "… what was written after the unmount is there" [ "$(cat "$MNT/writer.log")" = "$(printf 'one\ntwo')" ]
crash
check_all_there "umount -l, and the daemon is killed"

begin stop_wait=1
exec 7>"$MNT/writer.log"
echo one >&7
umount -l "$MNT"
echo two >&7
kill -TERM "$DAEMON"
check_ends "umount -l, then SIGTERM: stop_wait ends it" 0
exec 7>&- 2>/dev/null
check "… with all that was written" [ "$(zcat "$STORE/writer.log.notepack.gz")" = "$(printf 'one\ntwo')" ]

# ---- umount -f: the kernel ends the connection under everyone ----

begin
exec 7>"$MNT/writer.log" 6<"$MNT/1.log"
echo one >&7
umount -f "$MNT" 2>/dev/null
umount -l "$MNT" 2>/dev/null
check_refused "umount -f: who has a file open gets errors" "" sh -c "echo late >&7"
exec 7>&- 6<&-
check_ends "umount -f" 0
check "umount -f: what was accepted is sealed" [ "$(zcat "$STORE/writer.log.notepack.gz")" = one ]
check_all_there "umount -f"

begin
(while echo line; do :; done) 2>/dev/null >"$MNT/busy.log" &
writer=$!
wait_for 10 sh -c "[ \$(stat -c %s '$MNT/busy.log') -gt 10000 ]"
umount -f "$MNT" 2>/dev/null
umount -l "$MNT" 2>/dev/null
kill "$writer" 2>/dev/null
wait "$writer" 2>/dev/null
check_ends "umount -f under a writer" 0
check "umount -f under a writer: whole lines, nothing else" \
	[ "$(zcat "$STORE/busy.log.notepack.gz" | sort -u | head -c 20)" = line ]
check_all_there "umount -f under a writer"

# ---- SIGKILL of a daemon that cannot end ----

# A thread of the daemon may be waiting in the kernel for what a client holds, who waits for the daemon.
# For those at the other ends that is the same as here: all that the daemon had open stays open.
new_store
start grace=1h
echo "before" >"$MNT/before.log"
mkfifo "$WORK/hold"
python3 "$HERE/hold_descriptors.py" "$DAEMON" <"$WORK/hold" >"$WORK/held" &
holder=$!
exec 9>"$WORK/hold"
check "a daemon is killed, and its connection stays open" wait_for 20 grep -q held "$WORK/held"
kill -KILL "$DAEMON"
wait "$DAEMON" 2>/dev/null
DAEMON=
timeout -k 5 60 stat "$MNT/unknown" >"$WORK/stat" 2>&1
check "who asks is told, and does not wait" grep -Eq "not connected|connection abort" "$WORK/stat"
umount "$MNT"
exec 9>&-
wait "$holder"
start grace=0
check "the next mount has what was written" [ "$(cat "$MNT/before.log")" = before ]
stop "after a daemon that could not end"
check_clean_store

# ---- a writer that outlives the daemons ----

# It has the raw file open itself, as a program whose writes the kernel passes through would.
writer() {
	exec 8>>"$STORE/outlives.log"
	echo ready >"$WORK/writer.ready"
	local n=0
	until [ -e "$WORK/writer.stop" ]; do
		n=$((n + 1))
		echo "line $n of a program that outlives the daemon" >&8
		echo "$n" >"$WORK/writer.count"
	done
}

count() {
	cat "$WORK/writer.count" 2>/dev/null || echo 0
}

grown_by() {
	[ "$(count)" -gt $(($1 + $2)) ]
}

new_store
start grace=1h
echo "line 0" >"$MNT/outlives.log"
writer &
writer=$!
wait_for 10 [ -e "$WORK/writer.ready" ]
crash
for round in 1 2 3 4; do
	start grace=0,cut_age=0.1,cut_size=1
	from=$(count)
	check "a writer outlives the daemon ($round): it is sealed so far" wait_for 20 sealed "$MNT/outlives.log"
	check "… its raw file is kept" wait_for 20 sh -c \
		"'$NOTEPACKCTL' status --json '$MNT' | jq -e '.pending[] | select(.path == \"outlives.log\" and .state == \"kept\")'"
	check "… and it goes on" wait_for 20 grown_by "$from" 500
	case $round in
	1 | 3) crash ;;
	*)
		status=0
		"$NOTEPACKCTL" umount "$MNT" >>"$LOG" 2>&1 || status=$?
		check "… an unmount says that not all is flushed" [ $status = 5 ]
		daemon_status || status=$?
		check "… and so does the daemon" [ $status = 5 ]
		;;
	esac
	check "… the raw file is there ($round)" [ -e "$STORE/outlives.log" ]
done
start grace=0
from=$(count)
wait_for 20 grown_by "$from" 200
: >"$WORK/writer.stop"
wait "$writer"
gone() { [ ! -e "$STORE/outlives.log" ]; }
check "when it has ended all of it is sealed, and the raw file goes" wait_for 60 gone
check "every line is there once, in order" cmp "$MNT/outlives.log" \
	<(echo "line 0"; seq "$(count)" | sed 's/.*/line & of a program that outlives the daemon/')
stop "when the writer has ended"
check "the store is sound" quietly "$NOTEPACKCTL" check --deep "$STORE"
check_clean_store
finish
