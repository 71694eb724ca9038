#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A crash while a long file is open of which nearly all is sealed: its raw file is there. The next mount is
# usable at once, while that is compared with its parts; it goes only then.
# shellcheck disable=SC2317 # functions that check and wait_for call
. "$(dirname "$0")/lib.sh"

SHIM=$BUILD/tests/mount/libheldread.so
FIFO=$WORK/fifo
mkfifo "$FIFO"

# As a crash behind the publication of its first part leaves it: that, and all of the raw file, whose bytes
# would be given back next.
leave_raw() {
	rm -rf "$STORE"
	mkdir "$STORE"
	start grace=1h
	exec 7>"$MNT/long"
	cat "$WORK/data" >&7
	cp --preserve=all "$STORE/long" "$WORK/raw"
	"$NOTEPACKCTL" seal "$MNT/long"
	crash
	exec 7>&-
	cp --preserve=all "$WORK/raw" "$STORE/long"
	echo tail >>"$STORE/long"
}

# Whoever reads it lets it go; without a reader the time is up.
release() {
	timeout 20 sh -c ": >'$FIFO'"
}

raw_is_gone() {
	[ ! -e "$STORE/long" ]
}

stops_with() {
	local ctl=0 daemon=0
	"$NOTEPACKCTL" umount "$MNT" >>"$LOG" 2>&1 || ctl=$?
	daemon_status || daemon=$?
	[ "$ctl $daemon" = "$1 $1" ]
}

log_says() {
	grep -q "$1" "$LOG"
}

if nm -D "$NOTEPACKFS" | grep -qE "__(a|t)san_init"; then
	skip "the mount is usable while the raw file is compared" \
		"the sanitizer's own library must be the first that is preloaded"
	finish
fi
"$BUILD/tests/mount/makedata" file random $((4 << 20)) 1 >"$WORK/data"
{ cat "$WORK/data"; echo tail; } >"$WORK/all"

leave_raw
check "a crash leaves the raw file and its part" [ -e "$STORE/long" -a -e "$STORE/long.notepack.gz" ]
LD_PRELOAD=$SHIM HELDREAD_FIFO=$FIFO start grace=0
check "the mount is usable before they were compared" cmp "$WORK/all" "$MNT/long"
echo text >"$MNT/other"
check "others are sealed meanwhile" wait_for 20 sealed "$MNT/other"
check "so is what was not yet" wait_for 20 sealed "$MNT/long"
check "the raw file is there still" [ -e "$STORE/long" ]
check "they are being compared" release
check "the raw file goes then" wait_for 20 raw_is_gone
stop
check "nothing is lost" cmp "$WORK/all" <(cat "$STORE"/long*.gz | zcat)
check "the store is whole" quietly "$NOTEPACKCTL" check --deep "$STORE"

leave_raw
printf 'change' | dd of="$STORE/long" bs=1 seek=1000000 conv=notrunc status=none
cp "$STORE/long" "$WORK/changed"
start grace=0
check "one that differs: what was sealed is read" cmp "$WORK/all" "$MNT/long"
check "the log says so" wait_for 20 log_says "long: its raw file is not what was sealed of it"
check "it is kept" cmp "$WORK/changed" "$STORE/long"
check "the rest is sealed" wait_for 20 sealed "$MNT/long"
check "the stop is not a clean one" stops_with 5
start grace=0
check "the next start gives it another name" log_says "long: another file has this name"
stop
check "the file has its bytes" cmp "$WORK/all" <(cat "$STORE"/long.notepack.gz "$STORE"/long.p*.gz | zcat)
check "… and the other its own" cmp "$WORK/changed" <(cat "$STORE"/long.recovered-*.gz | zcat)
check "the store is whole again" quietly "$NOTEPACKCTL" check --deep "$STORE"
finish
