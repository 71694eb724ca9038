#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# scrub=DURATION: everything is read again in the background; damage is found without a reader, and is
# forgotten when it is mended; it is paced, and stops at once.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

status_of() { # JQ EXPRESSION
	jq -r "$1" "$MNT/.notepackfs/status"
}

error_of() {
	getfattr --absolute-names --only-values -n user.notepack.error "$1" 2>/dev/null
}

damaged_are() {
	[ "$(status_of '[.damaged[].path] | sort | join(" ")')" = "$1" ]
}

passes_are() { # AT LEAST
	[ "$(status_of .scrub.passes)" -ge "$1" ]
}

flip() { # FILE: its middle
	printf '\377\000\377' | dd of="$1" bs=1 seek=$(($(stat -c %s "$1") / 2)) conv=notrunc status=none
}

start grace=0.02
check "without the option there is none" [ "$(status_of .scrub)" = null ]
mkdir "$MNT/d"
for i in {1..5}; do
	"$BUILD/tests/mount/makedata" file binary 300000 "$i" >"$MNT/d/f$i"
done
"$BUILD/tests/mount/makedata" file text 300000 9 | gzip >"$MNT/d/foreign.notepack.gz"
"$NOTEPACKCTL" wait "$MNT"
stop

start grace=0.02,scrub=1
check "a good archive is read again and again" wait_for 20 passes_are 2
check "without a finding" [ "$(status_of .damaged_objects)" -eq 0 ]
check "all of it" [ "$(status_of .scrub.total_bytes)" -eq 1800000 ]
cp -p "$STORE/d/f2.notepack.gz" "$WORK/f2"
flip "$STORE/d/f2.notepack.gz"
flip "$STORE/d/foreign.notepack.gz"
mv "$STORE/d/f4.notepack.gz" "$WORK/f4"
check "damage is found, and what is missing" \
	wait_for 30 damaged_are "d/f2.notepack.gz d/f4.notepack.gz d/foreign.notepack.gz"
check "the log says so" grep -q "d/f2.notepack.gz: damaged at plain offset " "$LOG"
check "the attribute" grep -q "^part 1 is damaged at offset " <(error_of "$MNT/d/f2")
check "an event" grep -q '"event":"damage".*"path":"d/foreign.notepack.gz"' "$MNT/.notepackfs/log"
check "a missing one is called so" grep -q "it is missing" <(error_of "$MNT/d/f4")
cp -p "$WORK/f2" "$STORE/d/f2.notepack.gz"
mv "$WORK/f4" "$STORE/d/f4.notepack.gz"
check "what was mended is forgotten" wait_for 30 damaged_are "d/foreign.notepack.gz"
check "by the attribute, too" [ -z "$(error_of "$MNT/d/f2")" ]
stop

start ro,scrub=1
check "a mount that only reads has it, too" wait_for 20 damaged_are "d/foreign.notepack.gz"
"$NOTEPACKCTL" umount "$MNT" >/dev/null 2>&1
daemon_status

# 1.8 MB in an hour are 500 bytes a second: the first object is never done in this test.
start grace=0.02,scrub=1h
started() {
	[ "$(status_of .scrub.done_bytes)" -gt 0 ]
}
check "it is paced: after the first bytes it waits" wait_for 20 started
check "for the next" [ "$(status_of .scrub.done_bytes)" -le 300000 ]
before=$SECONDS
stop "in the middle of an object"
check "the stop does not wait for it" [ $((SECONDS - before)) -le 3 ]

# Sealing has the disk to itself: a pass takes a second, sealing this some.
"$BUILD/tests/mount/makedata" file text 60000000 3 >"$WORK/big"
start grace=0.02,scrub=1,level=9,threads=1
check "while there is nothing to seal it goes on" wait_for 20 passes_are 1
cp "$WORK/big" "$MNT/big"
is_pending() {
	[ "$(status_of .pending_files)" -gt 0 ]
}
check "(sealing has begun)" wait_for 10 is_pending
before=$SECONDS
passes=$(status_of .scrub.passes)
"$NOTEPACKCTL" wait "$MNT"
passes=$(($(status_of .scrub.passes) - passes))
if [ $((SECONDS - before)) -ge 3 ]; then
	check "while files are sealed it pauses" [ "$passes" -le 1 ]
else
	skip "while files are sealed it pauses" "sealing took less than 3 s here"
fi
stop

finish
