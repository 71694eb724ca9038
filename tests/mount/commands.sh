#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# notepackctl and the control files. remove.sh has rm; mounting.sh has umount of a dead mount.
. "$(dirname "$0")/lib.sh"

# status_of EXPECTED COMMAND…
status_of() {
	local want=$1 got=0
	shift
	"$@" || got=$?
	[ "$got" = "$want" ]
}

slow_file() {
	base64 /dev/urandom | head -c "$2" >"$MNT/$1"
}

# ---- init ----

rmdir "$STORE"
check "init makes a store" "$NOTEPACKCTL" init "$STORE"
check "… with a private directory of its own" [ "$(stat -c %a "$STORE/.notepackfs")" = 700 ]
check_refused "init refuses a store" "is a store already" "$NOTEPACKCTL" init "$STORE"
mkdir "$WORK/full"
echo raw >"$WORK/full/raw.txt"
check_refused "init refuses a directory that is not empty" "adopt" "$NOTEPACKCTL" init "$WORK/full"
check "init --adopt makes it a store" "$NOTEPACKCTL" init --adopt "$WORK/full"
# Named bug: the last stop was not clean, it said; there was none.
"$NOTEPACKCTL" check "$WORK/full" >"$WORK/out"
check "check says that it was not mounted yet" \
	grep -qF "; it was not unmounted yet, the next mount seals what is left; no problem" "$WORK/out"
check "wrong usage is exit 2" status_of 2 "$NOTEPACKCTL" init 2>"$WORK/err"
check "an unknown command is exit 2" status_of 2 "$NOTEPACKCTL" frobnicate 2>"$WORK/err"
check_refused "a path outside of any mount is refused" "in no notepackfs mount" \
	"$NOTEPACKCTL" status "$WORK"
check_refused "… naming what is there for one whose unmount goes on" "notepackctl wait STORE" \
	"$NOTEPACKCTL" umount "$WORK"

# ---- status ----

start grace=1h
exec 7>"$MNT/open"
printf 12345 >&7
mkdir "$MNT/d"
printf 1234567 >"$MNT/d/in grace"
printf x >"$MNT/ignored.tmp"
"$NOTEPACKCTL" status "$MNT" --json >"$WORK/status"
check "status --json is one JSON object" quietly jq -e . "$WORK/status"
check "status --json names each pending file" [ \
	"$(jq -r '.pending | sort_by(.path)[] | "\(.path) \(.bytes) \(.state) \(.error)"' "$WORK/status")" = \
	"$(printf 'd/in grace 7 grace null\nopen 5 open null')" ]
check "status --json gives their age" quietly jq -e '.pending | all(.age >= 0 and .age < 60)' "$WORK/status"
check "the totals agree" quietly jq -e '.pending_files == 2 and .pending_bytes == 12' "$WORK/status"
"$NOTEPACKCTL" status "$MNT" >"$WORK/table"
check "status prints a table" grep -Eq '^grace +7 B .*d/in grace$' "$WORK/table"
check "… with the totals" grep -Eq '^pending +2 files, 12 B' "$WORK/table"

# ---- wait, seal, cat, ls ----

check "wait seals what is closed" "$NOTEPACKCTL" wait "$MNT"
check "… and is done when it is sealed" sealed "$MNT/d/in grace"
check "… and leaves what is open" listed "$MNT/open"
printf '\nhalf a line' >&7
check "seal cuts an open file" "$NOTEPACKCTL" seal "$MNT/open"
check "… at the last complete record" [ "$(zcat "$MNT/open.notepack.gz")" = 12345 ]
check "… and the rest is in the plain name" [ "$(cat "$MNT/open")" = "$(printf '12345\nhalf a line')" ]
exec 7>&-
check "seal takes a directory" "$NOTEPACKCTL" seal "$MNT/d"
check "cat prints plain names and objects" \
	[ "$("$NOTEPACKCTL" cat "$MNT/d/in grace" "$MNT/open.notepack.gz")" = 123456712345 ]
check "ls lists plain names once" [ "$("$NOTEPACKCTL" ls "$MNT" | tr '\n' ' ')" = "d/ ignored.tmp open " ]
check "ls -l has state and parts" sh -c "'$NOTEPACKCTL' ls -l '$MNT' | grep -Eq '^[a-z]+ +1 .*open\$'"
check "ls --json is JSON" sh -c "'$NOTEPACKCTL' ls --json '$MNT' | jq -e '.entries | length == 3' >'$WORK/out'"
check_refused "seal says what is not there" "No such file" "$NOTEPACKCTL" seal "$MNT/none"

# ---- control files ----

check "the manifest has a header and one line for each segment" sh -c \
	"jq -es 'length == 3 and .[0].notepackfs == 1 and (.[1:] | map(.plain) | sort) == [\"in grace\", \"open\"]' \
		'$MNT/.notepackfs/manifest' >'$WORK/out'"
check "the manifest is in the order of seq" sh -c \
	"jq -es '.[1:] | map(.seq) | . == sort' '$MNT/.notepackfs/manifest' >'$WORK/out'"
printf 'odd' >"$MNT/d/back\\slash
newline"
"$NOTEPACKCTL" wait "$MNT"
check "sha256sums verifies, odd names included" sh -c \
	"cd '$MNT' && sha256sum --quiet -c .notepackfs/sha256sums && [ \$(wc -l <.notepackfs/sha256sums) = 4 ]"
check "a control file is not written to" sh -c "! echo x 2>/dev/null >>'$MNT/.notepackfs/status'"
tail -n +1 -f "$MNT/.notepackfs/log" >"$WORK/followed" 2>/dev/null &
tail=$!
mv "$MNT/open" "$MNT/renamed"
echo new >"$MNT/new"
"$NOTEPACKCTL" seal "$MNT/new"
"$NOTEPACKCTL" rm "$MNT/new"
check "tail -f follows the log" wait_for 20 grep -q '"event":"remove"' "$WORK/followed"
kill "$tail"
wait "$tail" 2>/dev/null
check "the log is one JSON line for each seal, rename and removal" [ \
	"$(jq -r '.event' "$WORK/followed" | sort | uniq -c | tr -s ' \n' ' ')" = " 1 remove 1 rename 5 seal " ]
check "each has a sequence number" quietly jq -es 'all(.seq > 0)' "$WORK/followed"
echo synced >"$MNT/synced"
check "sync of the mount returns" sync "$MNT"
check "… and starts the sealing of what is closed" wait_for 20 sealed "$MNT/synced"
stop

# ---- check ----

check "check of a sound store is exit 0" sh -c "'$NOTEPACKCTL' check '$STORE' | grep -q 'no problem'"
check "check --deep of a sound store is exit 0" sh -c "'$NOTEPACKCTL' check --deep '$STORE' | grep -q 'verified in full'"
check "check --json is JSON" sh -c \
	"'$NOTEPACKCTL' check --json '$STORE' | jq -e '.problem_count == 0 and .clean' >'$WORK/out'"
start
seq 100000 >"$MNT/damaged"
"$NOTEPACKCTL" seal "$MNT/damaged"
check "check of a mount is exit 0" quietly "$NOTEPACKCTL" check --deep "$MNT"
stop "before the damage"
chmod u+w "$STORE/damaged.notepack.gz"
printf '\377\377\377\377' | dd of="$STORE/damaged.notepack.gz" bs=1 seek=100000 conv=notrunc status=none
"$NOTEPACKCTL" check --deep "$STORE" >"$WORK/damage"
check "check --deep of a damaged object is exit 4" [ $? = 4 ]
check "… and names file, offset and reason" \
	grep -Eq '^damaged.*: damaged at offset [0-9]+ \(byte [0-9]+ of the object\): .+' "$WORK/damage"
"$NOTEPACKCTL" check --deep --json "$STORE" >"$WORK/json"
check "… in JSON, too" quietly jq -e '.problems[0] | .path == "damaged.notepack.gz" and .raw_offset >= 0 and .reason != ""' \
	"$WORK/json"
check "cat of a damaged object fails" sh -c "! '$NOTEPACKCTL' cat '$STORE/damaged.notepack.gz' >'$WORK/out' 2>'$WORK/err'"
check "check of what is no store is exit 1" status_of 1 "$NOTEPACKCTL" check "$MNT" 2>"$WORK/err"
rm "$STORE/damaged.notepack.gz"
"$NOTEPACKCTL" check "$STORE" >"$WORK/damage"
check "check of a missing object is exit 4" [ $? = 4 ]
check "… and names it" grep -q '^damaged' "$WORK/damage"
rm -rf "$STORE"
mkdir "$STORE"

# ---- umount ----

# Named bug: the drain saw a queue without work before the last file was taken off the list of
# unsealed ones, and ended with exit 5.
for _ in $(seq 20); do
	start grace=1h
	mkdir "$MNT/quick"
	for i in 1 2 3 4 5 6 7 8; do echo "$i" >"$MNT/quick/$i"; done
	"$NOTEPACKCTL" umount "$MNT" 2>>"$LOG" || echo "# exit $?" >>"$WORK/not-flushed"
	daemon_status || echo "# exit $?" >>"$WORK/not-flushed"
	rm -rf "${STORE:?}"
	mkdir "$STORE"
done
check "an unmount right after the last close is exit 0, 20 times" [ ! -e "$WORK/not-flushed" ]
start grace=1h
slow_file lines 16M
"$NOTEPACKCTL" umount "$MNT" 2>"$WORK/lines"
check "umount: exit 0 when all is flushed" [ $? = 0 ]
check "umount: says what it flushes, in lines" grep -q 'flushing 1 file, 16.8 MB' "$WORK/lines"
check "umount: says that it has" grep -q 'flushed 1 file, 16.8 MB' "$WORK/lines"
check "umount: no control characters where there is no terminal" sh -c "! grep -q '[[:cntrl:]]' '$WORK/lines'"
check "umount: the daemon ends with exit 0" daemon_status

start grace=1h
slow_file bar 16M
script -qec "'$NOTEPACKCTL' umount '$MNT'" /dev/null >"$WORK/bar" </dev/null
check "umount: a bar on a terminal" grep -Eq '\[[#-]+\] +[0-9]+%  1 file left' "$WORK/bar"
check "umount: the bar's daemon ends with exit 0" daemon_status

start grace=1h
slow_file timeout 32M
check "umount --timeout: exit 5 when it has passed" \
	status_of 5 "$NOTEPACKCTL" umount --timeout 0 "$MNT" 2>"$WORK/err"
check "… with the way to go on waiting" grep -q 'notepackctl wait' "$WORK/err"
check "wait of the store goes on waiting" "$NOTEPACKCTL" wait "$STORE" 2>"$WORK/err"
check "… until it is flushed" [ -e "$STORE/timeout.notepack.gz" ]
check "umount --timeout: the daemon ends with exit 0" daemon_status

# Named bug: two seconds behind an unmount that left files open it was called mounted.
start grace=1h
check_refused "wait of a store that is mounted names the remedy" "it is mounted, so give the mountpoint" \
	"$NOTEPACKCTL" wait "$STORE"
exec 7>"$MNT/lazy"
umount -i -l "$MNT"
"$NOTEPACKCTL" wait "$STORE" 2>"$WORK/lazy" 7>&- &
waiting=$!
check "wait of the store: files are open behind umount -l, and it says so" \
	wait_for 20 grep -q 'still in use, by open files' "$WORK/lazy"
check "… and waits" kill -0 "$waiting"
echo late >&7
exec 7>&-
check "… until the last is closed" wait "$waiting"
check "… and sealed" [ "$(zcat "$STORE/lazy.notepack.gz")" = late ]
check "umount -l: the daemon ends with exit 0" daemon_status

is_sealing() {
	[ "$(getfattr --absolute-names --only-values -n user.notepack.state "$1")" = sealing ]
}

# Named bug: of the files behind the one that was waited for when the signal came, nothing was said.
start grace=1h
slow_file first 32M
echo second >"$MNT/second"
"$NOTEPACKCTL" seal "$MNT/first" "$MNT/second" 2>"$WORK/interrupted" &
waiting=$!
check "seal: is waiting for the first file" wait_for 20 is_sealing "$MNT/first"
kill -TERM "$waiting"
status=0
wait "$waiting" || status=$?
check "seal: interrupting it is exit 5" [ "$status" = 5 ]
check "… and says what goes on" grep -q 'first: interrupted; sealing goes on' "$WORK/interrupted"
check "… and what was not begun" grep -q 'second: interrupted before' "$WORK/interrupted"
check "… and it is not" [ ! -e "$MNT/second.notepack.gz" ]
stop "after the interrupted seal"

start grace=1h
slow_file interrupted 32M
"$NOTEPACKCTL" umount "$MNT" 2>"$WORK/interrupted" &
waiting=$!
check "umount: is waiting" wait_for 20 grep -q flushing "$WORK/interrupted"
kill -TERM "$waiting" # bash has its background jobs ignore SIGINT
status=0
wait "$waiting" || status=$?
check "umount: interrupting it is exit 5" [ "$status" = 5 ]
check "… and says that nothing is lost" grep -q 'interrupted; flushing goes on' "$WORK/interrupted"
check "… and nothing is: the daemon ends with exit 0" daemon_status
check "… with everything sealed" [ -e "$STORE/interrupted.notepack.gz" ]

start grace=1h
slow_file background 16M
check "umount --no-wait: exit 0" "$NOTEPACKCTL" umount --no-wait "$MNT"
check "… with the mount gone" sh -c "! mountpoint -q '$MNT'"
check "… and the daemon ends with exit 0" daemon_status
start
exec 7>"$MNT/busy"
check_refused "umount: a file that is open is in the way" "is in use" "$NOTEPACKCTL" umount "$MNT"
exec 7>&-
mkdir "$MNT/below"
check_refused "umount: a directory in the mount is no mountpoint" "is no mountpoint" \
	"$NOTEPACKCTL" umount "$MNT/below"
stop "at the end"
check_clean_store
finish
