#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# However a mount is stopped, the daemon lives until the last object is published, and then ends with
# exit 0 (L5, L7, L28, L29).
# shellcheck disable=SC2317 # functions that check and wait_for call
. "$(dirname "$0")/lib.sh"

SOURCE=$WORK/source
PARTS=4

# make_source BYTES: PARTS files of that size together, unless that is what is there
make_source() {
	[ "${SOURCE_BYTES-}" != "$1" ] || return 0
	SOURCE_BYTES=$1
	rm -rf "$SOURCE"
	mkdir "$SOURCE"
	for i in $(seq "$PARTS"); do
		"$BUILD/tests/mount/makedata" file text $(($1 / PARTS)) "$i" >"$SOURCE/$i.log"
	done
}

new_store() {
	rm -rf "$STORE"
	mkdir "$STORE"
}

# A process that has ended and was not waited for does not count.
alive() {
	[[ $(ps -o stat= -p "$1" 2>/dev/null) == [!Z]* ]]
}

ended() {
	! alive "$1"
}

all_published() {
	[ "$(find "$STORE" -maxdepth 1 -name '*.notepack.gz' | wc -l)" = "$PARTS" ]
}

some_missing() {
	! all_published
}

store_is_complete() {
	local i
	all_published || return 1
	for i in $(seq "$PARTS"); do
		zcat "$STORE/$i.log.notepack.gz" | cmp - "$SOURCE/$i.log" || return 1
	done
}

compressing() {
	[ -n "$(find "$STORE/.notepackfs/tmp" -type f -size +0)" ]
}

unmounted() {
	! mountpoint -q "$MNT"
}

# begin BYTES [OPTIONS]: a mount that has just begun to compress this much
begin() {
	new_store
	make_source "$1"
	start "grace=0${2:+,$2}"
	cp "$SOURCE"/* "$MNT"
	wait_for 30 compressing
}

# The end of a stop that begin began: still at work when it was asked to stop, and done at its end.
check_stop() {
	local name=$1 status=0
	check "$name: comes in the middle of compressing" some_missing
	check "$name: the daemon is alive while objects are missing" alive_or_published "$DAEMON"
	check "$name: the daemon ends" wait_for 120 ended "$DAEMON"
	daemon_status || status=$?
	check "$name: exit status 0" [ $status = 0 ]
	check "$name: every object is there, and whole" store_is_complete
	check_clean_store
	check "$name: nothing is mounted" unmounted
	check "$name: the stop was clean" grep -q '"clean":true' "$STORE/.notepackfs/manifest"
}

# Life is looked at first: what has ended by then publishes nothing any more.
alive_or_published() {
	local turns=0
	until all_published; do
		if ! alive "$1" && ! all_published; then
			return 1
		fi
		turns=$((turns + 1))
		read -r -t 0.02 <> <(:)
	done
	echo "# looked $turns times"
}

# ---- 64 MiB in one thread: a second or more for a stop to come in the middle of ----

begin $((64 << 20)) threads=1
"$NOTEPACKCTL" umount "$MNT" >"$WORK/umount.out" 2>&1 &
ctl=$!
wait_for 30 unmounted
check "notepackctl umount: comes in the middle of compressing" some_missing
check "notepackctl umount: waits while objects are missing" alive_or_published "$ctl"
check "notepackctl umount: returns" wait_for 120 ended "$ctl"
check "notepackctl umount: the daemon has ended by then" ended "$DAEMON"
status=0
wait "$ctl" || status=$?
check "notepackctl umount: exit status 0" [ $status = 0 ]
check "notepackctl umount: prints plain lines where there is no terminal" \
	sh -c "! grep -q \"\$(printf '[\\r\\033]')\" '$WORK/umount.out'"
status=0
daemon_status || status=$?
check "notepackctl umount: exit status 0 of the daemon" [ $status = 0 ]
check "notepackctl umount: every object is there, and whole" store_is_complete
check_clean_store

begin $((64 << 20)) threads=1
kill -TERM "$DAEMON"
wait_for 30 unmounted
check_stop SIGTERM

# ---- less, in other ways ----

begin $((24 << 20)) threads=1
kill -TERM "$DAEMON"
wait_for 30 unmounted
kill -TERM "$DAEMON"
kill -INT "$DAEMON"
check_stop "a second SIGTERM"

begin $((24 << 20)) threads=1
kill -INT "$DAEMON"
wait_for 30 unmounted
check_stop SIGINT

begin $((24 << 20)) threads=1
umount "$MNT"
check_stop "umount(8)"

# ---- interrupting the one who waits loses nothing ----

begin $((24 << 20)) threads=1
"$NOTEPACKCTL" umount "$MNT" >>"$LOG" 2>&1 &
ctl=$!
wait_for 30 unmounted
kill -TERM "$ctl"
status=0
wait "$ctl" || status=$?
check "an interrupted notepackctl umount does not say that all is flushed" [ $status != 0 ]
check_stop "an interrupted notepackctl umount"

begin $((24 << 20)) threads=1
status=0
"$NOTEPACKCTL" umount "$MNT" --timeout 0.01 >>"$LOG" 2>&1 || status=$?
check "notepackctl umount --timeout: exit status 5 when time is up" [ $status = 5 ]
check_stop "notepackctl umount --timeout"

# ---- with a writer ----

new_store
start grace=1h
exec 7>>"$MNT/open.log"
echo one >&7
umount -l "$MNT"
check "a lazy unmount: the daemon lives while a writer has a file open" alive "$DAEMON"
echo two >&7
exec 7>&-
check "a lazy unmount: the daemon ends after the last close" wait_for 60 ended "$DAEMON"
status=0
daemon_status || status=$?
check "a lazy unmount: exit status 0" [ $status = 0 ]
check "a lazy unmount: what was written after it is there, too" \
	[ "$(zcat "$STORE/open.log.notepack.gz")" = "$(printf 'one\ntwo')" ]
check_clean_store

new_store
start grace=1h,stop_wait=10m
exec 7>>"$MNT/open.log"
echo one >&7
kill -TERM "$DAEMON"
wait_for 30 unmounted
echo two >&7
check "SIGTERM: a writer is served until it closes" alive "$DAEMON"
exec 7>&-
check "SIGTERM: the daemon ends after the last close, long before stop_wait" \
	wait_for 60 ended "$DAEMON"
status=0
daemon_status || status=$?
check "SIGTERM with a writer: exit status 0" [ $status = 0 ]
check "SIGTERM with a writer: all of it is sealed" \
	[ "$(zcat "$STORE/open.log.notepack.gz")" = "$(printf 'one\ntwo')" ]

new_store
start grace=1h,stop_wait=0.2
exec 7>"$MNT/open.log" # one who appends may go on: passthrough_append
echo one >&7
kill -TERM "$DAEMON"
check "stop_wait: the daemon does not wait for ever for a writer" wait_for 60 ended "$DAEMON"
status=0
daemon_status || status=$?
check "stop_wait: exit status 0" [ $status = 0 ]
check_refused "stop_wait: the writer gets an error" "" sh -c "echo late >&7"
exec 7>&- 2>/dev/null
check "stop_wait: what was accepted is sealed" [ "$(zcat "$STORE/open.log.notepack.gz")" = one ]

new_store
start grace=1h
exec 7>>"$MNT/open.log"
check_refused "notepackctl umount: a mount in use is named busy, and stays" "is in use" \
	"$NOTEPACKCTL" umount "$MNT"
check "… and goes on working" sh -c "echo one >&7"
exec 7>&-
stop "when it is not in use any more"
check "… and has what was written" [ "$(zcat "$STORE/open.log.notepack.gz")" = one ]

# ---- as a daemon ----

new_store
make_source $((24 << 20))
check "without -f: notepackfs returns when the mount is usable" \
	"$NOTEPACKFS" "$STORE" "$MNT" -o grace=0,threads=1
check "without -f: it is usable" cp "$SOURCE"/* "$MNT"
DAEMON=$(sed 's/.*"pid":\([0-9]*\).*/\1/' "$MNT/.notepackfs/status")
check "without -f: the status names the process" alive "$DAEMON"
status=0
"$NOTEPACKCTL" umount "$MNT" >>"$LOG" 2>&1 || status=$?
check "without -f: exit status 0 of notepackctl umount" [ $status = 0 ]
check "without -f: when it returns, every object is there, and whole" store_is_complete
check "without -f: the daemon ends" wait_for 20 ended "$DAEMON"
DAEMON=
check_clean_store

# ---- what cannot be sealed ----

new_store
start grace=1h
echo precious >"$MNT/file"
rmdir "$STORE/.notepackfs/tmp"
: >"$STORE/.notepackfs/tmp"
ctl=0
status=0
"$NOTEPACKCTL" umount "$MNT" >>"$LOG" 2>&1 || ctl=$?
daemon_status || status=$?
check "what cannot be sealed: exit status 5 of both" [ "$ctl $status" = "5 5" ]
check "… and the raw bytes are kept" [ "$(cat "$STORE/file")" = precious ]
rm "$STORE/.notepackfs/tmp"
start grace=0
check "… and sealed by the next mount" wait_for 20 sealed "$MNT/file"
stop "the next mount"
check_clean_store
finish
