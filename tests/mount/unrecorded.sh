#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The manifest cannot be written while an object has its name already: who renames, removes or changes
# the file is told so and does not wait, the daemon can be stopped, and nothing is lost.
# shellcheck disable=SC2317 # functions that check and wait_for call
. "$(dirname "$0")/lib.sh"

cleanup_more() {
	chattr -i "$STORE/.notepackfs" 2>/dev/null
}

not_recorded() {
	"$NOTEPACKCTL" status --json "$MNT" | jq -e '.pending[] | select(.path == "a" and .error != null)' >/dev/null
}

# refused COMMAND…: it ends, and not with success
refused() {
	local status=0
	timeout -k 5 30 "$@" 2>/dev/null || status=$?
	[ "$status" != 0 ] && [ "$status" -lt 124 ]
}

start grace=1h,allow_delete
echo "first" >"$MNT/first"
"$NOTEPACKCTL" seal "$MNT"
echo "text" >"$MNT/a"
if ! chattr +i "$STORE/.notepackfs" 2>/dev/null; then
	stop "without attributes"
	skip "all of it" "the file system has no immutable directories"
	finish
fi
"$NOTEPACKCTL" seal "$MNT/a" 2>/dev/null &
waiter=$!
check "the object has its name, and no record" wait_for 20 not_recorded
check "… in the store" [ -e "$STORE/a.notepack.gz" ]
check "a rename is refused, and ends" refused mv "$MNT/a" "$MNT/b"
check "a removal is refused, and ends" refused rm -f "$MNT/a"
check "a change of its mode does not wait" timeout -k 5 30 chmod 600 "$MNT/a"
check "it can be read" [ "$(cat "$MNT/a")" = text ]
check "others can be written" sh -c "echo other >'$MNT/other'"
kill "$waiter"
status=0
wait "$waiter" || status=$?
check "who waits for it can be ended" [ $status = 5 ]
status=0
timeout -k 5 60 "$NOTEPACKCTL" umount "$MNT" >/dev/null 2>&1 || status=$?
check "the unmount ends, and says that not all is flushed" [ $status -ne 0 ]
check "… nor does it hang" [ $status -lt 124 ]
check "the daemon ends" wait_for 20 has_ended "$DAEMON"
wait "$DAEMON"
DAEMON=
chattr -i "$STORE/.notepackfs"

start grace=0
check "the next mount has it" [ "$(cat "$MNT/a")" = text ]
check "… and what was written meanwhile" [ "$(cat "$MNT/other")" = other ]
stop "afterwards"
check "all of it is sealed" sh -c "zcat '$STORE/a.notepack.gz' | grep -qx text && zcat '$STORE/other.notepack.gz' | grep -qx other"
check "the store is sound" quietly "$NOTEPACKCTL" check --deep "$STORE"
check_clean_store

# Named bug: of these, too, the log named the first hundred only, and notepackctl check none.
for i in $(seq 120); do mkfifo "$STORE/fifo$i"; done
: >"$LOG"
start grace=1h
ls "$MNT" >/dev/null
check "each name that only the log tells is in it" [ "$(grep -c 'fifo[0-9]*: is neither file' "$LOG")" = 120 ]
stop "with names that are not shown"
finish
